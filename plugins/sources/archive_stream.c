/* SPDX-License-Identifier: MIT */
/*
 * archive_stream.c - the bytes of a compressed tar, expanded to their very end.
 *
 * libarchive alone would stop where the tar ends and never look at what stands behind: checksums of
 * the compressed data, for one, so that damaged bytes would pass as good. And of gzip's it computes
 * none at all. So bytes are expanded here, gzip by zlib and the rest by libarchive's filters, and a
 * second libarchive reads the tar out of them.
 */
#include "archive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define COMPRESSED_BYTES ((size_t)128 << 10)
#define EXPANDED_BYTES   ((size_t)256 << 10)
/* inflateInit2: the largest window, in a gzip member. */
#define GZIP_WINDOW (15 + 16)

/* What libarchive itself says where no errno fits. */
#define NO_ERRNO (-1)

struct archive_gzip {
    z_stream inflate;
    int between; /* a member has ended, and no other has begun */
    unsigned char compressed[COMPRESSED_BYTES];
    unsigned char expanded[EXPANDED_BYTES];
};

/* ---- gzip ---------------------------------------------------------------------------------- */

/* Reasons are kept by libarchive, as if it had found them itself. */
static ssize_t fail(struct archive *archive, int number, const char *reason)
{
    archive_set_error(archive, number, "%s", reason);
    return -1;
}

/* More compressed bytes: 1, 0 at the end of the file, or -1. */
static int fill(struct reading *reading, struct archive *archive)
{
    struct archive_gzip *gzip = reading->gzip;
    ssize_t got;

    do
        got = read(reading->fd, gzip->compressed, sizeof(gzip->compressed));
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return (int)fail(archive, errno, "Error reading fd");
    if (archive_digest_add(reading, gzip->compressed, (size_t)got) != 0)
        return (int)fail(archive, NO_ERRNO, "its digest cannot be computed");
    gzip->inflate.next_in = gzip->compressed;
    gzip->inflate.avail_in = (uInt)got;
    return got > 0;
}

/* Between two members there may be zeros: a tape's or a device's last block is filled with them. */
static int enter_member(struct archive_gzip *gzip, struct archive *archive)
{
    z_stream *inflate = &gzip->inflate;

    while (inflate->avail_in > 0 && *inflate->next_in == 0) {
        inflate->next_in++;
        inflate->avail_in--;
    }
    if (inflate->avail_in == 0)
        return 0;
    if (*inflate->next_in != 0x1f)
        return (int)fail(archive, NO_ERRNO,
                         "something that is not gzip follows the compressed data");
    if (inflateReset(inflate) != Z_OK)
        return (int)fail(archive, ENOMEM, "out of memory");
    gzip->between = 0;
    return 0;
}

static int inflate_some(struct archive_gzip *gzip, struct archive *archive)
{
    switch (inflate(&gzip->inflate, Z_NO_FLUSH)) {
    case Z_OK:
    case Z_BUF_ERROR: /* it wants more input, or more room */
        return 0;
    case Z_STREAM_END:
        gzip->between = 1;
        return 0;
    case Z_MEM_ERROR:
        return (int)fail(archive, ENOMEM, "out of memory");
    default:
        archive_set_error(archive, NO_ERRNO, "damaged gzip data: %s",
                          gzip->inflate.msg != NULL ? gzip->inflate.msg : "zlib gives no reason");
        return -1;
    }
}

static ssize_t expand_gzip(struct reading *reading, struct archive *archive, const void **ret_data)
{
    struct archive_gzip *gzip = reading->gzip;
    z_stream *inflate = &gzip->inflate;

    inflate->next_out = gzip->expanded;
    inflate->avail_out = sizeof(gzip->expanded);
    while (inflate->avail_out > 0) {
        if (inflate->avail_in == 0) {
            int more = fill(reading, archive);
            if (more < 0)
                return -1;
            if (more == 0 && !gzip->between)
                return fail(archive, NO_ERRNO, "truncated gzip data");
            if (more == 0)
                break;
        }
        if (gzip->between && enter_member(gzip, archive) != 0)
            return -1;
        if (!gzip->between && inflate_some(gzip, archive) != 0)
            return -1;
    }
    *ret_data = gzip->expanded;
    return (ssize_t)(sizeof(gzip->expanded) - inflate->avail_out);
}

/* ---- All others ---------------------------------------------------------------------------- */

/* Only what libarchive has built in: for other compressions it would start programs. */
static int support_filters(struct archive *archive)
{
    int failed = archive_read_support_format_raw(archive) != ARCHIVE_OK ||
                 archive_read_support_filter_compress(archive) != ARCHIVE_OK;

    if (archive_bzlib_version() != NULL)
        failed |= archive_read_support_filter_bzip2(archive) != ARCHIVE_OK;
    if (archive_liblzma_version() != NULL)
        failed |= archive_read_support_filter_xz(archive) != ARCHIVE_OK ||
                  archive_read_support_filter_lzma(archive) != ARCHIVE_OK ||
                  archive_read_support_filter_lzip(archive) != ARCHIVE_OK;
    if (archive_liblz4_version() != NULL)
        failed |= archive_read_support_filter_lz4(archive) != ARCHIVE_OK;
    if (archive_libzstd_version() != NULL)
        failed |= archive_read_support_filter_zstd(archive) != ARCHIVE_OK;
    return failed;
}

static ssize_t expand_other(struct reading *reading, struct archive *archive, const void **ret_data)
{
    int64_t offset;
    size_t length;
    int status = archive_read_data_block(reading->filters, ret_data, &length, &offset);

    if (status == ARCHIVE_OK)
        return (ssize_t)length;
    if (status == ARCHIVE_EOF)
        return 0;
    archive_copy_error(archive, reading->filters);
    return -1;
}

/* ---- The stream ---------------------------------------------------------------------------- */

static int open_gzip(struct reading *reading)
{
    reading->gzip = calloc(1, sizeof(*reading->gzip));
    if (reading->gzip != NULL && inflateInit2(&reading->gzip->inflate, GZIP_WINDOW) == Z_OK) {
        reading->compressed = 1;
        return DRAY_OK;
    }
    free(reading->gzip);
    reading->gzip = NULL;
    return reading->ctx->host->fail(reading->ctx, DRAY_NO_MEMORY, "reading %s: out of memory",
                                    reading->options->path);
}

/* For libarchive: the next bytes of the file. */
static la_ssize_t read_block(struct archive *archive, void *arg, const void **ret_data)
{
    struct reading *reading = arg;
    ssize_t got;

    do
        got = read(reading->fd, reading->block, COMPRESSED_BYTES);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return fail(archive, errno, "Error reading fd");
    if (archive_digest_add(reading, reading->block, (size_t)got) != 0)
        return fail(archive, NO_ERRNO, "its digest cannot be computed");
    *ret_data = reading->block;
    return got;
}

static int open_filters(struct reading *reading)
{
    struct archive_entry *entry;

    reading->block = malloc(COMPRESSED_BYTES);
    reading->filters = reading->block != NULL ? archive_read_new() : NULL;
    if (reading->filters == NULL || support_filters(reading->filters) ||
        archive_read_open(reading->filters, reading, NULL, read_block, NULL) != ARCHIVE_OK)
        return archive_failed(reading);
    int status = archive_read_next_header(reading->filters, &entry);
    reading->compressed = archive_filter_count(reading->filters) > 1;
    /* Any bytes at all are raw data. That there are none is all that libarchive says of it. */
    if (reading->compressed && status == ARCHIVE_FATAL)
        (void)snprintf(reading->stream_reason, sizeof(reading->stream_reason), "damaged %s data",
                       archive_filter_name(reading->filters, 0));
    if (status != ARCHIVE_OK && status != ARCHIVE_EOF)
        return archive_failed(reading);
    return DRAY_OK;
}

int archive_stream_open(struct reading *reading)
{
    unsigned char magic[2] = {0, 0};
    ssize_t got = pread(reading->fd, magic, sizeof(magic), 0);

    if (got == (ssize_t)sizeof(magic) && magic[0] == 0x1f && magic[1] == 0x8b)
        return open_gzip(reading);
    int result = open_filters(reading);
    if (result != DRAY_OK || reading->compressed)
        return result;
    archive_stream_close(reading);
    /* What was read of it so far is hashed, but it is read here and there from now on. */
    int hashing = reading->digest != NULL;
    archive_digest_close(reading);
    result = hashing ? archive_digest_open(reading) : DRAY_OK;
    if (result != DRAY_OK)
        return result;
    return lseek(reading->fd, 0, SEEK_SET) == 0
               ? DRAY_OK
               : reading->ctx->host->fail_errno(reading->ctx, errno, "reading %s",
                                                reading->options->path);
}

void archive_stream_close(struct reading *reading)
{
    (void)archive_read_free(reading->filters);
    reading->filters = NULL;
    free(reading->block);
    reading->block = NULL;
    if (reading->gzip != NULL)
        (void)inflateEnd(&reading->gzip->inflate);
    free(reading->gzip);
    reading->gzip = NULL;
}

/* Where the last byte that is not 0 stands is seen from its end: mostly at the first look. */
static void note_end(struct reading *reading, const unsigned char *data, size_t length)
{
    size_t end = length;

    while (end > 0 && data[end - 1] == 0)
        end--;
    if (end > 0)
        reading->last_byte = reading->expanded + (int64_t)end;
    reading->expanded += (int64_t)length;
}

la_ssize_t archive_stream_read(struct archive *archive, void *arg, const void **ret_data)
{
    struct reading *reading = arg;
    const struct dray_host *host = reading->ctx->host;

    host->progress(reading->ctx, 0, 0);
    reading->cancelled = host->cancelled(reading->ctx);
    if (reading->cancelled)
        return fail(archive, NO_ERRNO, "cancelled");
    ssize_t length = reading->gzip != NULL ? expand_gzip(reading, archive, ret_data)
                                           : expand_other(reading, archive, ret_data);
    if (length > 0)
        note_end(reading, *ret_data, (size_t)length);
    if (length < 0) { /* libarchive may go on from here to a reason of its own */
        const char *reason = archive_error_string(archive);
        reading->stream_errno = archive_errno(archive);
        (void)snprintf(reading->stream_reason, sizeof(reading->stream_reason), "%s",
                       reason != NULL ? reason : "libarchive gives no reason");
    }
    return length;
}

int archive_stream_drain(struct reading *reading)
{
    const void *data;
    ssize_t length;
    int result = DRAY_OK;

    do {
        length = archive_stream_read(reading->archive, reading, &data);
        result = archive_check_limits(reading, 0);
    } while (length > 0 && result == DRAY_OK);
    return length < 0 ? archive_failed(reading) : result;
}
