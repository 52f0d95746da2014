/* SPDX-License-Identifier: MIT */
/*
 * fuzz_verdicts.c - any bytes at all as a chunk of stored verdicts: as they are, and as what is
 * packed in one, since few changes leave anything that inflates. It gives rows, and these come back
 * when they are packed again; or it is refused as damaged.
 */
#include <assert.h>
#include <string.h>
#include <zlib.h>

#include "core/base/buffer.h"
#include "core/run/verdict_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct rows {
    struct dray_buffer text; /* of all rows */
    struct dray_verdict_writer *writer;
};

static void put(struct dray_buffer *out, const struct dray_verdict_row *row)
{
    dray_buffer_format(out, "%zu %c%c %llu %lld ", row->path_length, row->type, row->verdict,
                       (unsigned long long)row->bytes, (long long)row->mtime);
    dray_buffer_add(out, row->path, row->path_length);
    dray_buffer_text(out, row->by ? row->by : "-");
    assert(out->failed == 0);
}

static int see(void *arg, const struct dray_verdict_row *row)
{
    struct rows *rows = arg;
    int64_t rule = -1;

    put(&rows->text, row);
    if (!rows->writer)
        return 0;
    /* One for each row, and empty ones end the list of rules. */
    if (row->by && row->by[0])
        rule = dray_verdict_rule(rows->writer, row->by);
    return dray_verdict_add(rows->writer, row, rule);
}

/* One chunk is all that a small input can fill. */
static int read_back(void *arg, const void *data, size_t length, uint64_t entries)
{
    struct rows *rows = arg;
    struct rows again = {.text = {.cap = rows->text.cap}};
    struct dray_error error = {0};

    assert(entries > 0);
    assert(dray_verdict_read(data, length, see, &again, &error) == 0);
    assert(again.text.length == rows->text.length);
    assert(memcmp(again.text.data, rows->text.data, again.text.length) == 0);
    dray_buffer_free(&again.text);
    return 0;
}

static void read_chunk(const void *data, size_t size)
{
    struct dray_verdict_writer writer;
    struct rows rows = {.text = {.cap = 512u << 20}, .writer = &writer};
    struct dray_error error = {0};

    dray_verdict_writer_init(&writer, read_back, &rows);
    int result = dray_verdict_read(data, size, see, &rows, &error);
    assert(result == error.class_ && (result == 0 || result == DRAY_INTEGRITY));
    if (result == 0)
        assert(dray_verdict_flush(&writer) == 0);
    dray_verdict_writer_free(&writer);
    dray_buffer_free(&rows.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer packed = {.cap = 16u << 20};
    uLongf length = compressBound((uLong)size);
    char *room = dray_buffer_reserve(&packed, length);

    if (size > (64u << 10))
        return 0; /* rows share their beginnings: the text of all may be a thousand times that */
    read_chunk(data, size);
    assert(room && compress2((Bytef *)room, &length, data, (uLong)size, Z_BEST_SPEED) == Z_OK);
    read_chunk(room, length);
    return 0;
}
