/* SPDX-License-Identifier: MIT */
/* rename_path.c - one path through the options, in their order. */
#include "rename.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

/* ---- Options ---- */

static size_t without_slash(const char *text)
{
    size_t length = strlen(text);

    return length > 1 && text[length - 1] == '/' ? length - 1 : length;
}

static int check(struct dray_ctx *ctx, const char *option, int64_t index, const char *text,
                 size_t length)
{
    const char *fault = rename_path_fault(text, length);

    if (fault == NULL)
        return DRAY_OK;
    return ctx->host->fail_option(ctx, option, index, 0,
                                  "\"%.200s\" %s; write a path below the dataset's root, as a/b",
                                  text, fault);
}

static int by_key(const void *left, const void *right, void *arg)
{
    const struct dray_map *map = arg;
    const char *a = map->keys[*(const uint64_t *)left], *b = map->keys[*(const uint64_t *)right];

    return rename_compare(a, without_slash(a), b, without_slash(b));
}

static int prepare_map(struct rename *rename, struct dray_ctx *ctx)
{
    const struct dray_map *map = &rename->map;
    int result = DRAY_OK;

    rename->by_key = calloc(map->count + 1, sizeof(*rename->by_key));
    if (rename->by_key == NULL)
        return ctx->host->fail(ctx, DRAY_NO_MEMORY, "cannot read map: out of memory");
    for (uint64_t i = 0; i < map->count; i++) {
        int key = check(ctx, "map", (int64_t)i, map->keys[i], without_slash(map->keys[i]));
        int value = check(ctx, "map", (int64_t)i, map->values[i], without_slash(map->values[i]));
        result = key != DRAY_OK ? key : value != DRAY_OK ? value : result;
        rename->by_key[i] = i;
    }
    qsort_r(rename->by_key, map->count, sizeof(*rename->by_key), by_key, (void *)(uintptr_t)map);
    for (uint64_t i = 1; result == DRAY_OK && i < map->count; i++)
        if (by_key(&rename->by_key[i - 1], &rename->by_key[i], (void *)(uintptr_t)map) == 0)
            result =
                ctx->host->fail_option(ctx, "map", (int64_t)rename->by_key[i], 0,
                                       "\"%.200s\" is there twice", map->keys[rename->by_key[i]]);
    return result;
}

int rename_path_prepare(struct rename *rename, struct dray_ctx *ctx)
{
    int result = prepare_map(rename, ctx);
    const char *const texts[] = {rename->strip_prefix, rename->prefix, rename->mapping};
    const char *const names[] = {"strip_prefix", "prefix", "mapping"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        size_t length = texts[i] == NULL ? 0 : i < 2 ? without_slash(texts[i]) : strlen(texts[i]);
        int one = texts[i] ? check(ctx, names[i], DRAY_NO_INDEX, texts[i], length) : DRAY_OK;
        result = one != DRAY_OK ? one : result;
    }
    return result;
}

/* ---- What a path may be ---- */

static const char *segment_fault(const char *segment, size_t length)
{
    if (length == 0)
        return "has an empty segment";
    if (segment[0] == '.' && (length == 1 || (length == 2 && segment[1] == '.')))
        return length == 1 ? "has the segment \".\"" : "has the segment \"..\"";
    return length > RENAME_SEGMENT ? "has a segment longer than 255 bytes" : NULL;
}

const char *rename_path_fault(const char *path, size_t length)
{
    if (length == 0)
        return "is empty";
    if (path[0] == '/')
        return "is absolute";
    if (length > RENAME_LONGEST)
        return "is longer than 4000 bytes";
    if (memchr(path, '\0', length) != NULL)
        return "has a NUL byte";
    if (strncmp(path, ".dray", 5) == 0 && (length == 5 || path[5] == '/'))
        return "has .dray at its top, where a delivery says what it is";
    for (const char *segment = path, *end = path + length;;) {
        const char *slash = memchr(segment, '/', (size_t)(end - segment));
        const char *fault =
            segment_fault(segment, (size_t)((slash != NULL ? slash : end) - segment));
        if (fault != NULL || slash == NULL)
            return fault;
        segment = slash + 1;
    }
}

/* ---- Steps ---- */

int rename_path_set(struct rename_path *path, const char *bytes, size_t length)
{
    if (length >= sizeof(path->bytes))
        return -1;
    memmove(path->bytes, bytes, length);
    path->bytes[length] = '\0';
    path->length = length;
    return 0;
}

/* `head` with a slash before the path from byte `from` on, where there is something. */
static int put_before(struct rename_path *path, const char *head, size_t length, size_t from)
{
    size_t rest = path->length - from, slash = rest > 0;

    if (length + slash + rest >= sizeof(path->bytes))
        return -1;
    memmove(path->bytes + length + slash, path->bytes + from, rest + 1);
    memcpy(path->bytes, head, length);
    if (slash)
        path->bytes[length] = '/';
    path->length = length + slash + rest;
    return 0;
}

static void strip(const struct rename *rename, struct rename_path *path)
{
    size_t from = 0, length;

    for (int64_t i = 0; i < rename->strip && from < path->length; i++) {
        const char *slash = memchr(path->bytes + from, '/', path->length - from);
        from = slash != NULL ? (size_t)(slash - path->bytes) + 1 : path->length;
    }
    (void)rename_path_set(path, path->bytes + from, path->length - from);
    if (rename->strip_prefix == NULL)
        return;
    length = without_slash(rename->strip_prefix);
    if (path->length < length || memcmp(path->bytes, rename->strip_prefix, length) != 0)
        return;
    if (path->length == length)
        (void)rename_path_set(path, "", 0);
    else if (path->bytes[length] == '/')
        (void)rename_path_set(path, path->bytes + length + 1, path->length - length - 1);
}

/* The row of `map` with that key, or -1. */
static int64_t find_key(const struct rename *rename, const char *path, size_t length)
{
    uint64_t low = 0, high = rename->map.count;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2, row = rename->by_key[middle];
        const char *key = rename->map.keys[row];
        int order = rename_compare(path, length, key, without_slash(key));
        if (order == 0)
            return (int64_t)row;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

/* The longest key that is the path or a directory above it. */
static int map_path(const struct rename *rename, struct rename_path *path)
{
    size_t length = path->length;

    while (rename->map.count > 0 && length > 0) {
        int64_t row = find_key(rename, path->bytes, length);
        if (row >= 0) {
            const char *value = rename->map.values[row];
            return put_before(path, value, without_slash(value),
                              length + (path->bytes[length] == '/'));
        }
        while (length > 0 && path->bytes[length - 1] != '/')
            length--;
        length -= length > 0;
    }
    return 0;
}

static int change_case(int64_t letters, struct rename_path *path)
{
    size_t out = 0;

    for (size_t i = 0; i < path->length;) {
        utf8proc_int32_t point = 0;
        utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)path->bytes + i,
                                                 (utf8proc_ssize_t)(path->length - i), &point);
        if (out + 4 >= sizeof(path->spare))
            return -1;
        if (step <= 0) {
            path->spare[out++] = path->bytes[i++]; /* no UTF-8: as it is */
            continue;
        }
        point = letters == CASE_LOWER ? utf8proc_tolower(point) : utf8proc_toupper(point);
        out += (size_t)utf8proc_encode_char(point, (utf8proc_uint8_t *)path->spare + out);
        i += (size_t)step;
    }
    return rename_path_set(path, path->spare, out);
}

static int is_ascii(const struct rename_path *path)
{
    for (size_t i = 0; i < path->length; i++)
        if ((unsigned char)path->bytes[i] >= 0x80)
            return 0;
    return 1;
}

/* A segment that is no UTF-8 has no normal form. */
static int normalize_segment(struct dray_ctx *ctx, const char *segment, size_t length,
                             struct rename_path *path, size_t *at)
{
    utf8proc_uint8_t *made = NULL;
    utf8proc_ssize_t got = utf8proc_map((const utf8proc_uint8_t *)segment, (utf8proc_ssize_t)length,
                                        &made, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    const char *text = got >= 0 ? (const char *)made : segment;
    size_t bytes = got >= 0 ? (size_t)got : length;
    int fits = *at + bytes + 1 < sizeof(path->spare);

    if (fits)
        memcpy(path->spare + *at, text, bytes);
    *at += bytes;
    free(made);
    if (got == UTF8PROC_ERROR_NOMEM)
        return ctx->host->fail(ctx, DRAY_NO_MEMORY, "renaming: out of memory");
    return fits ? 0 : -1;
}

/* Segment by segment, so that a directory has one name for all that is below it. */
static int normalize(struct dray_ctx *ctx, struct rename_path *path)
{
    size_t at = 0;

    if (is_ascii(path))
        return 0;
    for (const char *segment = path->bytes, *end = segment + path->length;;) {
        const char *slash = memchr(segment, '/', (size_t)(end - segment));
        size_t length = (size_t)((slash != NULL ? slash : end) - segment);
        int result = normalize_segment(ctx, segment, length, path, &at);
        if (result != 0 || slash == NULL)
            return result != 0 ? result : rename_path_set(path, path->spare, at);
        path->spare[at++] = '/';
        segment = slash + 1;
    }
}

static int fail_path(struct dray_ctx *ctx, const char *old, size_t length,
                     const struct rename_path *path, const char *fault)
{
    int result =
        ctx->host->fail(ctx, DRAY_INVALID, "\"%.*s\" cannot be renamed: its new path \"%.*s\" %s",
                        SHOWN(old, length), SHOWN(path->bytes, path->length), fault);

    ctx->host->hint(ctx, "say in `map` what it is to be called, or leave it out with a filter "
                         "before this step");
    return result;
}

int rename_path_make(const struct rename *rename, struct dray_ctx *ctx, const char *old,
                     size_t length, struct rename_path *path)
{
    int result = rename_path_set(path, old, length);

    if (result == 0)
        strip(rename, path);
    if (result == 0 && path->length > 0)
        result = map_path(rename, path);
    if (result == 0 && rename->compiled != NULL && path->length > 0)
        result = rename_regex_apply(ctx, rename->compiled, path);
    if (result != 0 && result != -1)
        return result;
    /* Said of what the other steps made, or a prefix would hide it. */
    const char *fault = result != 0 ? "is too long" : path->length == 0 ? "is empty" : NULL;
    if (fault == NULL && rename->prefix != NULL && path->bytes[0] != '/')
        result = put_before(path, rename->prefix, without_slash(rename->prefix), 0);
    if (fault == NULL && result == 0 && rename->letters != CASE_KEEP)
        result = change_case(rename->letters, path);
    if (fault == NULL && result == 0 && rename->unicode == UNICODE_NFC)
        result = normalize(ctx, path);
    if (result != 0 && result != -1)
        return result;
    if (fault == NULL)
        fault = result != 0 ? "is too long" : rename_path_fault(path->bytes, path->length);
    if (fault == NULL)
        fault = rename_safe_apply(rename->safe, path) != 0
                    ? "is too long"
                    : rename_path_fault(path->bytes, path->length);
    if (fault == NULL)
        fault = rename_safe_fault(rename->safe, path->bytes, path->length);
    return fault == NULL ? DRAY_OK : fail_path(ctx, old, length, path, fault);
}
