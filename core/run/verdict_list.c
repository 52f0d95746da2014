/* SPDX-License-Identifier: MIT */
#include "core/run/verdict_list.h"

#include <string.h>
#include <zlib.h>

#include "core/base/text.h"

/* Bytes of rows in a chunk, before they are packed; of a chunk that is read, at most. */
#define CHUNK_BYTES (512u << 10)
#define READ_MAX    (64u << 20)

void dray_verdict_writer_init(struct dray_verdict_writer *writer,
                              int (*full)(void *arg, const void *data, size_t length,
                                          uint64_t entries),
                              void *arg)
{
    *writer = (struct dray_verdict_writer){.full = full,
                                           .arg = arg,
                                           .rows = {.cap = READ_MAX / 2},
                                           .last = {.cap = 1u << 20},
                                           .rules = {.cap = READ_MAX / 4},
                                           .packed = {.cap = READ_MAX}};
}

void dray_verdict_writer_free(struct dray_verdict_writer *writer)
{
    dray_buffer_free(&writer->rows);
    dray_buffer_free(&writer->last);
    dray_buffer_free(&writer->rules);
    dray_buffer_free(&writer->packed);
}

uint64_t dray_verdict_chunk(const struct dray_verdict_writer *writer)
{
    return writer->chunks;
}

int64_t dray_verdict_rule(struct dray_verdict_writer *writer, const char *by)
{
    /* With its NUL, which ends it. */
    dray_buffer_add(&writer->rules, by, strlen(by) + 1);
    return writer->rules.failed ? -1 : (int64_t)writer->rule_count++;
}

static size_t common(const struct dray_buffer *last, const char *path, size_t length)
{
    size_t shared = 0, most = last->length < length ? last->length : length;

    while (shared < most && last->data[shared] == path[shared])
        shared++;
    return shared;
}

/* A chunk is `<rules>\0`, each rule with a NUL behind it, an empty one, then the rows. */
int dray_verdict_flush(struct dray_verdict_writer *writer)
{
    if (writer->entries == 0)
        return 0;
    dray_buffer_add(&writer->rules, "", 1);
    dray_buffer_add(&writer->rules, writer->rows.data, writer->rows.length);
    uLongf packed = compressBound((uLong)writer->rules.length);
    dray_buffer_clear(&writer->packed);
    char *room = dray_buffer_reserve(&writer->packed, packed);
    if (writer->rules.failed || writer->rows.failed || writer->last.failed || !room)
        return DRAY_NO_MEMORY;
    if (compress2((Bytef *)room, &packed, (const Bytef *)writer->rules.data,
                  (uLong)writer->rules.length, Z_BEST_SPEED) != Z_OK)
        return DRAY_NO_MEMORY; /* the only failure: there is room */
    int result = writer->full(writer->arg, room, packed, writer->entries);
    dray_buffer_clear(&writer->rows);
    dray_buffer_clear(&writer->last);
    dray_buffer_clear(&writer->rules);
    writer->entries = writer->rule_count = 0;
    writer->chunks++;
    return result;
}

int dray_verdict_add(struct dray_verdict_writer *writer, const struct dray_verdict_row *row,
                     int64_t rule)
{
    size_t shared = common(&writer->last, row->path, row->path_length);

    dray_buffer_format(&writer->rows, "%zu %c%c %lld %llu %lld ", shared, row->type, row->verdict,
                       (long long)rule, (unsigned long long)row->bytes, (long long)row->mtime);
    dray_buffer_add(&writer->rows, row->path + shared, row->path_length - shared);
    dray_buffer_add(&writer->rows, "", 1);
    dray_buffer_clear(&writer->last);
    dray_buffer_add(&writer->last, row->path, row->path_length);
    writer->entries++;
    return writer->rows.length < CHUNK_BYTES ? 0 : dray_verdict_flush(writer);
}

/* ---- reading */

static int damaged(struct dray_error *error)
{
    return dray_fail(error, DRAY_INTEGRITY, "the stored verdicts are damaged");
}

/* All of a chunk, with a NUL behind it. */
static int unpack(const void *data, size_t length, struct dray_buffer *out,
                  struct dray_error *error)
{
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)length};
    int state = length <= UINT32_MAX && inflateInit(&stream) == Z_OK ? Z_OK : Z_MEM_ERROR;

    while (state == Z_OK) {
        char *room = dray_buffer_reserve(out, CHUNK_BYTES);
        if (!room) {
            (void)inflateEnd(&stream);
            return out->failed == DRAY_NO_MEMORY ? dray_fail_memory(error) : damaged(error);
        }
        stream.next_out = (Bytef *)room;
        stream.avail_out = CHUNK_BYTES;
        state = inflate(&stream, Z_NO_FLUSH);
        out->length += CHUNK_BYTES - stream.avail_out;
        out->data[out->length] = '\0';
        if (state == Z_OK && stream.avail_in == 0 && stream.avail_out > 0)
            state = Z_DATA_ERROR; /* cut off */
    }
    if (state != Z_MEM_ERROR)
        (void)inflateEnd(&stream);
    return state == Z_STREAM_END  ? 0
           : state == Z_MEM_ERROR ? dray_fail_memory(error)
                                  : damaged(error);
}

struct rules {
    const char **texts;
    size_t count, capacity;
};

static void free_rules(struct rules *rules)
{
    free(rules->texts);
}

/* The rules, up to the empty one; where the rows begin, NULL: nowhere. */
static const char *read_rules(const struct dray_buffer *chunk, struct rules *rules, int *ret_memory)
{
    const char *at = chunk->data, *end = chunk->data + chunk->length;

    while (at < end && *at) {
        if (DRAY_GROW(rules->texts, rules->count, rules->capacity) != 0) {
            *ret_memory = 1;
            return NULL;
        }
        rules->texts[rules->count++] = at;
        at += strlen(at) + 1;
    }
    return at < end ? at + 1 : NULL;
}

/* "SHARED TV RULE BYTES MTIME REST": where the next row begins, NULL: it is none. */
static const char *read_row(const char *at, const char *end, const struct rules *rules,
                            struct dray_buffer *path, struct dray_verdict_row *row)
{
    const char *nul = memchr(at, '\0', (size_t)(end - at));
    unsigned long long shared = 0, bytes = 0;
    long long rule = 0, mtime = 0;
    int used = 0;

    if (!nul ||
        sscanf(at, "%llu %c%c %lld %llu %lld%n", &shared, &row->type, &row->verdict, &rule, &bytes,
               &mtime, &used) != 6 ||
        at[used] != ' ' || shared > path->length || rule < -1 || rule >= (long long)rules->count)
        return NULL;
    path->length = (size_t)shared;
    dray_buffer_add(path, at + used + 1, (size_t)(nul - at) - (size_t)used - 1);
    row->path = path->data ? path->data : "";
    row->path_length = path->length;
    row->bytes = bytes;
    row->mtime = mtime;
    row->by = rule >= 0 ? rules->texts[rule] : NULL;
    return nul + 1;
}

int dray_verdict_read(const void *data, size_t length,
                      int (*row)(void *arg, const struct dray_verdict_row *row), void *arg,
                      struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer chunk = {.cap = READ_MAX};
    dray_cleanup(dray_buffer_free) struct dray_buffer path = {.cap = 1u << 20};
    dray_cleanup(free_rules) struct rules rules = {0};
    struct dray_verdict_row one = {0};
    int no_memory = 0;
    int result = unpack(data, length, &chunk, error);

    if (result != 0)
        return result;
    const char *end = chunk.data + chunk.length;
    const char *at = read_rules(&chunk, &rules, &no_memory);
    while (result == 0 && at && at < end) {
        at = read_row(at, end, &rules, &path, &one);
        if (path.failed)
            no_memory = 1;
        else if (at)
            result = row(arg, &one);
    }
    if (no_memory)
        return dray_fail_memory(error);
    return result != 0 ? result : at ? 0 : damaged(error);
}
