/* SPDX-License-Identifier: MIT */
/* dataset_listing.c - the catalog's list of a dataset's files, as a list that a preview reads. */
#include "core/api/datasets.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/io.h"
#include "core/base/text.h"

#define PIECE ((size_t)1 << 16)

struct writing {
    int fd;
    struct dray_buffer buffer;
    struct dray_error *error;
};

/* A record ends with NUL, as a path may hold any other byte. */
static int add_file(void *arg, const struct dray_dataset_file *file)
{
    struct writing *writing = arg;

    dray_buffer_format(&writing->buffer, "%llu\t", (unsigned long long)file->bytes);
    dray_buffer_add(&writing->buffer, file->path, strlen(file->path) + 1);
    return writing->buffer.length < PIECE && !writing->buffer.failed
               ? 0
               : dray_flush(writing->fd, &writing->buffer, "the catalog's list", writing->error);
}

static int write_list(struct dray_api *api, uint64_t id, int fd, struct dray_error *error)
{
    struct writing writing = {.fd = fd, .buffer = {.cap = 2 * PIECE}, .error = error};
    int result = dray_store_dataset_files(api->engine.store, id, add_file, &writing, error);

    if (result == 0 && writing.buffer.length > 0)
        result = dray_flush(writing.fd, &writing.buffer, "the catalog's list", writing.error);
    dray_buffer_free(&writing.buffer);
    if (result == 0 && lseek(fd, 0, SEEK_SET) != 0)
        result = dray_fail_errno(error, errno, "rewinding the catalog's list");
    return result;
}

int dray_dataset_listing(struct dray_api *api, const struct dray_plan *plan, int *ret_fd,
                         char **ret_name, struct dray_error *error)
{
    dray_cleanup(dray_dataset_row_clear) struct dray_dataset_row row = {0};
    const struct dray_dataset_wanted wanted = {.id = dray_catalog_id(plan)};
    char listed[24];

    if (wanted.id == 0) {
        (void)dray_fail(
            error, DRAY_INVALID,
            "the dataset is a path, and the catalog has lists of its own datasets only");
        dray_hint(error, "name a dataset of the catalog, or give a list with --listing FILE");
        return DRAY_INVALID;
    }
    int result = dray_dataset_first(api, &wanted, &row, error);
    if (result == 0 && row.listed == 0) {
        (void)dray_fail(error, DRAY_INVALID, "the catalog has no list of the files of \"%s\"",
                        plan->dataset);
        dray_hint(error, "dray dataset import takes one");
        return DRAY_INVALID;
    }
    if (result != 0)
        return result;
    *ret_name = dray_format("the catalog, recorded %s", dray_time_print(row.listed, listed));
    *ret_fd = *ret_name ? memfd_create("dray-catalog", MFD_CLOEXEC) : -1;
    if (!*ret_name)
        return dray_fail_memory(error);
    if (*ret_fd < 0)
        return dray_fail_errno(error, errno, "making room for the catalog's list");
    return write_list(api, row.id, *ret_fd, error);
}
