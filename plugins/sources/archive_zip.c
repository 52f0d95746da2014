/* SPDX-License-Identifier: MIT */
/*
 * archive_zip.c - a zip says everything twice: in its table of contents at the end, and before each
 * file's bytes. Some programs go by the one and some by the other, so one that says two different
 * things holds different files for different readers. It is refused before anything is extracted.
 */
#include "archive.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Sizes of the records without what is of variable length in them. */
#define END_BYTES     22
#define LOCATOR_BYTES 20
#define END64_BYTES   56
#define ROW_BYTES     46
#define LOCAL_BYTES   30
/* libarchive looks no further for the end, so that what stands there is what it goes by. */
#define TAIL_BYTES ((size_t)16 << 10)
/* A size or place that did not fit is in an extra field. */
#define ELSEWHERE UINT64_C(0xffffffff)
#define ZIP64     1

/* What both sides have to say alike. */
#define FLAG_ENCRYPTED 1u

struct extent {
    uint64_t start, end;
    uint64_t row; /* where the table has it */
};

struct zip {
    struct reading *reading;
    uint64_t end;    /* where the end of the table is told */
    uint64_t before; /* bytes that were put before the whole archive */
    uint64_t rows, table, table_bytes;
    struct extent *extents; /* one for each row */
};

/* One row of the table. */
struct row {
    unsigned flags, method, name_bytes;
    uint64_t packed, start, bytes; /* the file's compressed bytes; its place; the row's own */
    char name[UINT16_MAX + 1];
};

static uint64_t number(const unsigned char *at, int bytes)
{
    uint64_t value = 0;

    while (bytes-- > 0)
        value = value << 8 | at[bytes];
    return value;
}

static int fail_table(const struct zip *zip, const char *why)
{
    const struct dray_host *host = zip->reading->ctx->host;
    int result =
        host->fail(zip->reading->ctx, DRAY_INTEGRITY, "%s %s", zip->reading->options->path, why);

    host->hint(zip->reading->ctx,
               "fetch it again; if it is whole after all, extract it and deliver the directory");
    return result;
}

static int fail_row(const struct zip *zip, const struct row *row, const char *why)
{
    const struct dray_host *host = zip->reading->ctx->host;
    int result = host->fail(zip->reading->ctx, DRAY_INVALID, "the entry \"%.*s\" of %s %s",
                            ARCHIVE_SHOWN, row->name, zip->reading->options->path, why);

    host->hint(zip->reading->ctx,
               "no common program makes such a zip: ask where it comes from, or pack it anew");
    return result;
}

static int read_at(const struct zip *zip, void *buffer, size_t bytes, uint64_t place)
{
    const struct reading *reading = zip->reading;
    char *at = buffer;

    if (place > (uint64_t)reading->before.st_size ||
        bytes > (uint64_t)reading->before.st_size - place)
        return fail_table(zip, "has a table of contents that leads beyond its end");
    while (bytes > 0) {
        ssize_t got = pread(reading->fd, at, bytes, (off_t)place);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return reading->ctx->host->fail_errno(reading->ctx, errno, "reading %s",
                                                  reading->options->path);
        if (got == 0)
            return fail_table(zip, "became shorter while it was read");
        at += got;
        place += (uint64_t)got;
        bytes -= (size_t)got;
    }
    return DRAY_OK;
}

/* ---- The table ----------------------------------------------------------------------------- */

static int read_end64(struct zip *zip)
{
    unsigned char locator[LOCATOR_BYTES], end[END64_BYTES];

    if (zip->end < LOCATOR_BYTES)
        return DRAY_OK;
    int result = read_at(zip, locator, sizeof(locator), zip->end - LOCATOR_BYTES);
    if (result != DRAY_OK || memcmp(locator, "PK\6\7", 4) != 0)
        return result;
    uint64_t place = number(locator + 8, 8);
    result = read_at(zip, end, sizeof(end), place);
    if (result != DRAY_OK)
        return result;
    if (memcmp(end, "PK\6\6", 4) != 0)
        return fail_table(zip, "has a damaged end: its table of contents is not found");
    zip->end = place;
    zip->rows = number(end + 32, 8);
    zip->table_bytes = number(end + 40, 8);
    zip->table = number(end + 48, 8);
    return DRAY_OK;
}

static int read_end(struct zip *zip)
{
    uint64_t size = (uint64_t)zip->reading->before.st_size;
    size_t tail = size < TAIL_BYTES ? (size_t)size : TAIL_BYTES, at = tail;
    unsigned char bytes[TAIL_BYTES];
    int result = read_at(zip, bytes, tail, size - tail);

    if (result != DRAY_OK)
        return result;
    at = tail < END_BYTES ? 0 : tail - END_BYTES + 1;
    while (at > 0 && memcmp(bytes + at - 1, "PK\5\6", 4) != 0)
        at--;
    if (at == 0)
        return fail_table(zip, "is cut off: it has no table of contents at its end");
    const unsigned char *end = bytes + at - 1;
    if (number(end + 20, 2) != tail - (at - 1) - END_BYTES)
        return fail_table(zip, "does not end where its table of contents says");
    zip->end = size - tail + at - 1;
    zip->rows = number(end + 10, 2);
    zip->table_bytes = number(end + 12, 4);
    zip->table = number(end + 16, 4);
    result = read_end64(zip);
    if (result != DRAY_OK)
        return result;
    if (zip->table > zip->end || zip->table_bytes > zip->end - zip->table ||
        zip->rows > zip->table_bytes / ROW_BYTES)
        return fail_table(zip, "says of its table of contents what cannot be");
    zip->before = zip->end - zip->table_bytes - zip->table;
    return DRAY_OK;
}

/* Sizes and place that did not fit into the row, in this order as far as they are missing. */
static int read_zip64(const struct zip *zip, struct row *row, uint64_t size,
                      const unsigned char *extra, size_t bytes)
{
    uint64_t *const missing[] = {size == ELSEWHERE ? &size : NULL,
                                 row->packed == ELSEWHERE ? &row->packed : NULL,
                                 row->start == ELSEWHERE ? &row->start : NULL};

    while (bytes >= 4) {
        size_t length = number(extra + 2, 2), used = 0;
        if (length > bytes - 4)
            break;
        for (size_t i = 0; number(extra, 2) == ZIP64 && i < DRAY_COUNT(missing); i++) {
            if (missing[i] == NULL)
                continue;
            if (used + 8 > length)
                return fail_row(zip, row, "has no size or no place in the table of contents");
            *missing[i] = number(extra + 4 + used, 8);
            used += 8;
        }
        extra += 4 + length;
        bytes -= 4 + length;
    }
    return DRAY_OK;
}

static int read_row(const struct zip *zip, uint64_t place, struct row *row)
{
    unsigned char fixed[ROW_BYTES], extra[UINT16_MAX];
    int result = read_at(zip, fixed, sizeof(fixed), place);

    if (result != DRAY_OK)
        return result;
    if (memcmp(fixed, "PK\1\2", 4) != 0)
        return fail_table(zip, "has a damaged table of contents");
    size_t extra_bytes = number(fixed + 30, 2);
    row->flags = (unsigned)number(fixed + 8, 2);
    row->method = (unsigned)number(fixed + 10, 2);
    row->packed = number(fixed + 20, 4);
    row->name_bytes = (unsigned)number(fixed + 28, 2);
    row->start = number(fixed + 42, 4);
    row->bytes = ROW_BYTES + row->name_bytes + extra_bytes + number(fixed + 32, 2);
    result = read_at(zip, row->name, row->name_bytes, place + ROW_BYTES);
    row->name[row->name_bytes] = '\0';
    if (result == DRAY_OK)
        result = read_at(zip, extra, extra_bytes, place + ROW_BYTES + row->name_bytes);
    if (result == DRAY_OK)
        result = read_zip64(zip, row, number(fixed + 24, 4), extra, extra_bytes);
    return result;
}

/* ---- The other side ------------------------------------------------------------------------ */

static int compare_local(const struct zip *zip, struct row *row, struct extent *extent)
{
    unsigned char fixed[LOCAL_BYTES];
    char name[UINT16_MAX + 1];
    uint64_t start;

    if (__builtin_add_overflow(row->start, zip->before, &start) || start > zip->end)
        return fail_row(zip, row, "has a place beyond the end in the table of contents");
    int result = read_at(zip, fixed, sizeof(fixed), start);
    if (result != DRAY_OK)
        return result;
    if (memcmp(fixed, "PK\3\4", 4) != 0)
        return fail_row(zip, row, "is not where the table of contents says");
    size_t name_bytes = number(fixed + 26, 2), extra_bytes = number(fixed + 28, 2);
    result = read_at(zip, name, name_bytes, start + LOCAL_BYTES);
    if (result != DRAY_OK)
        return result;
    if (name_bytes != row->name_bytes || memcmp(name, row->name, name_bytes) != 0)
        return fail_row(zip, row,
                        "is called otherwise before its bytes than in the table of contents");
    if (number(fixed + 8, 2) != row->method ||
        ((number(fixed + 6, 2) ^ row->flags) & FLAG_ENCRYPTED) != 0)
        return fail_row(zip, row, "is packed otherwise than the table of contents says");
    extent->start = start;
    extent->end = start + LOCAL_BYTES + name_bytes + extra_bytes;
    if (__builtin_add_overflow(extent->end, row->packed, &extent->end) || extent->end > zip->end)
        return fail_row(zip, row, "has more bytes in the table of contents than there are");
    return DRAY_OK;
}

static int by_start(const void *one, const void *other)
{
    const struct extent *a = one, *b = other;

    return a->start < b->start ? -1 : a->start > b->start;
}

/* The same bytes as several files: small archives of huge content are made so. */
static int check_overlaps(const struct zip *zip, struct row *row)
{
    if (zip->rows > 0)
        qsort(zip->extents, zip->rows, sizeof(*zip->extents), by_start);
    for (uint64_t i = 1; i < zip->rows; i++)
        if (zip->extents[i].start < zip->extents[i - 1].end) {
            int result = read_row(zip, zip->extents[i].row, row);
            return result != DRAY_OK ? result
                                     : fail_row(zip, row, "shares its bytes with another entry");
        }
    return DRAY_OK;
}

static int compare_all(struct zip *zip, struct row *row)
{
    const struct dray_host *host = zip->reading->ctx->host;
    uint64_t place = zip->end - zip->table_bytes;
    int result = DRAY_OK;

    for (uint64_t i = 0; result == DRAY_OK && i < zip->rows; i++) {
        host->progress(zip->reading->ctx, 0, 0);
        if (host->cancelled(zip->reading->ctx))
            return host->fail(zip->reading->ctx, DRAY_CANCELLED, "cancelled");
        result = read_row(zip, place, row);
        if (result == DRAY_OK)
            result = compare_local(zip, row, &zip->extents[i]);
        zip->extents[i].row = place;
        place += row->bytes;
    }
    if (result == DRAY_OK && place != zip->end)
        return fail_table(zip, "has more or less in its table of contents than it says");
    return result == DRAY_OK ? check_overlaps(zip, row) : result;
}

int archive_check_zip(struct reading *reading)
{
    struct zip zip = {.reading = reading};
    int result = read_end(&zip);

    if (result != DRAY_OK)
        return result;
    if (zip.rows > (uint64_t)reading->options->max_entries) {
        reading->entries = zip.rows;
        return archive_check_limits(reading, 0);
    }
    struct row *row = calloc(1, sizeof(*row));
    zip.extents = calloc(zip.rows + 1, sizeof(*zip.extents));
    result = row == NULL || zip.extents == NULL
                 ? reading->ctx->host->fail(reading->ctx, DRAY_NO_MEMORY,
                                            "reading %s: out of memory", reading->options->path)
                 : compare_all(&zip, row);
    free(zip.extents);
    free(row);
    return result;
}
