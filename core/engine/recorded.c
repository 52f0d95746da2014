/* SPDX-License-Identifier: MIT */
/* recorded.c - the catalog's record of a dataset's files, on its way to the runner that compares
 * them. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/io.h"
#include "core/base/text.h"
#include "core/engine/deliver.h"

#define PIECE ((size_t)1 << 16)

uint64_t dray_catalog_id(const struct dray_plan *plan)
{
    const char *id = plan->dataset_id, *why = NULL;
    int64_t number = 0;

    if (!id || strncmp(id, "id:", 3) != 0 ||
        dray_int_parse(id + 3, strlen(id + 3), &number, &why) != 0 || number < 1)
        return 0;
    return (uint64_t)number;
}

/* The source that Dray itself put there reads what the catalog names; a workflow's own may bring
 * other paths. NULL: there is none. */
static const struct dray_step *source_of(const struct dray_plan *plan)
{
    for (size_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].role == DRAY_STEP_SOURCE && !plan->steps[i].origin.file)
            return &plan->steps[i];
    return NULL;
}

/* Is there a list, and is something known of the file at the source (which the caller frees)? */
static int look(struct dray_engine *engine, uint64_t id, int *ret_listed, json_t **ret_bundle,
                struct dray_error *error)
{
    const struct dray_dataset_wanted wanted = {.id = id};
    struct dray_dataset_row *rows = NULL;
    size_t count = 0;
    int result = dray_store_datasets(engine->store, &wanted, &rows, &count, error);

    if (result != 0)
        return result;
    *ret_listed = count > 0 && rows[0].listed != 0;
    *ret_bundle = count > 0 ? json_incref(rows[0].bundle) : NULL;
    dray_dataset_rows_free(rows, count);
    return 0;
}

struct writing {
    int fd;
    struct dray_buffer buffer;
    struct dray_error *error;
};

static int add_file(void *arg, const struct dray_dataset_file *file)
{
    struct writing *writing = arg;
    json_t *json = json_pack("{s:I, s:s*, s:s*}", "size", (json_int_t)file->bytes, "sha256",
                             file->sha256, "md5", file->md5);
    char *line = NULL;

    if (json && dray_json_set_path(json, "path", file->path, strlen(file->path)) == 0)
        line = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (!line)
        return dray_fail_memory(writing->error);
    dray_buffer_format(&writing->buffer, "%s\n", line);
    free(line);
    return writing->buffer.length < PIECE && !writing->buffer.failed
               ? 0
               : dray_flush(writing->fd, &writing->buffer, "the catalog's record", writing->error);
}

/* A bundle's source compares that itself. Of a file that is the dataset it is a record like that of
 * any file. */
static const char *only_file(const struct dray_step *source, const json_t *bundle)
{
    const char *path = json_string_value(json_object_get(source->with, "path"));

    return bundle && path && strcmp(source->uses, "source/directory") == 0
               ? strrchr(path, '/') ? strrchr(path, '/') + 1 : path
               : NULL;
}

static int add_only(struct writing *writing, const char *name, json_t *bundle)
{
    json_t *json = json_pack(
        "{s:s, s:O*, s:O*, s:O*}", "path", name, "size", json_object_get(bundle, "size"), "sha256",
        json_object_get(bundle, "sha256"), "md5", json_object_get(bundle, "md5"));
    dray_autofree char *line = json ? json_dumps(json, JSON_COMPACT) : NULL;

    json_decref(json);
    if (!line)
        return dray_fail_memory(writing->error);
    dray_buffer_format(&writing->buffer, "%s\n", line);
    return 0;
}

/* `only`: the file that the bundle is, or NULL. */
static int write_record(struct dray_engine *engine, uint64_t id, const char *only, json_t *bundle,
                        int fd, struct dray_error *error)
{
    struct writing writing = {.fd = fd, .buffer = {.cap = 1u << 20}, .error = error};
    int result = only ? add_only(&writing, only, bundle) : 0;

    if (result == 0)
        result = dray_store_dataset_files(engine->store, id, add_file, &writing, error);
    if (result == 0 && writing.buffer.length > 0)
        result = dray_flush(writing.fd, &writing.buffer, "the catalog's record", writing.error);
    dray_buffer_free(&writing.buffer);
    return result;
}

int dray_recorded_order(struct dray_engine *engine, const struct dray_plan *plan, json_t *start,
                        int *ret_fd, struct dray_error *error)
{
    const struct dray_step *source = source_of(plan);
    uint64_t id = dray_catalog_id(plan);
    json_t *bundle = NULL;
    int listed = 0;

    *ret_fd = -1;
    if (!engine->store || !source || id == 0)
        return 0;
    int result = look(engine, id, &listed, &bundle, error);
    const char *only = result == 0 ? only_file(source, bundle) : NULL;
    if (result == 0 && (listed || only)) {
        *ret_fd = memfd_create("dray-recorded", MFD_CLOEXEC);
        result = *ret_fd < 0 ? dray_fail_errno(error, errno, "making room for the catalog's record")
                             : write_record(engine, id, only, bundle, *ret_fd, error);
        if (result == 0 && json_object_set_new(start, "recorded", json_string(source->id)) != 0)
            result = dray_fail_memory(error);
    }
    json_decref(bundle);
    return result;
}
