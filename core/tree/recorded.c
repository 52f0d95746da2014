/* SPDX-License-Identifier: MIT */
/* recorded.c - lists of what is recorded of files, and such a list as JSON lines. */
#include "core/tree/recorded.h"

#include <string.h>

#include "core/base/text.h"
#include "core/tree/internal.h"

void dray_recorded_free(struct dray_recorded_list *list)
{
    dray_arena_free(&list->paths);
    free(list->items);
    *list = (struct dray_recorded_list){0};
}

int dray_recorded_add(struct dray_recorded_list *list, const struct dray_recorded *recorded,
                      struct dray_error *error)
{
    const char *fault = dray_path_fault(recorded->path, recorded->path_length);

    if (fault)
        return dray_fail(error, DRAY_INVALID, "\"%.*s\" is no path in a dataset: it %s",
                         DRAY_SHOWN(recorded->path, recorded->path_length), fault);
    char *path = dray_arena_text(&list->paths, recorded->path, recorded->path_length);
    if (!path || DRAY_GROW(list->items, list->count, list->capacity) != 0)
        return dray_fail_memory(error);
    list->items[list->count] = *recorded;
    list->items[list->count++].path = path;
    return 0;
}

/* ---- JSON lines ---- */

static int take_path(const json_t *json, char **ret_owned, struct dray_recorded *recorded,
                     struct dray_error *error)
{
    const json_t *text = json_object_get(json, "path"), *coded = json_object_get(json, "path_b64");
    size_t length = json_string_length(text);

    recorded->path = json_string_value(text);
    if (coded) {
        *ret_owned =
            json_is_string(coded) ? dray_base64_decode(json_string_value(coded), &length) : NULL;
        recorded->path = *ret_owned;
    }
    if (!recorded->path)
        return dray_fail(error, DRAY_INVALID, "it has no \"path\" that is a text%s",
                         coded ? ", and \"path_b64\" is no base64" : "");
    recorded->path_length = length > UINT32_MAX ? UINT32_MAX : (uint32_t)length;
    return 0;
}

static int take_digest(const json_t *json, const char *key, size_t bytes, uint8_t flag,
                       uint8_t *ret_digest, struct dray_recorded *recorded,
                       struct dray_error *error)
{
    const json_t *text = json_object_get(json, key);

    if (!text || json_is_null(text))
        return 0;
    if (json_string_length(text) != 2 * bytes ||
        dray_unhex(json_string_value(text), bytes, ret_digest) != 0)
        return dray_fail(error, DRAY_INVALID, "its \"%s\" is no text of %zu hexadecimal digits",
                         key, 2 * bytes);
    recorded->has |= flag;
    return 0;
}

static int take_object(const json_t *json, struct dray_recorded_list *list,
                       struct dray_error *error)
{
    const json_t *size = json_object_get(json, "size");
    struct dray_recorded recorded = {0};
    dray_autofree char *owned = NULL;

    int result = take_path(json, &owned, &recorded, error);
    if (result == 0 && size && !json_is_null(size)) {
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return dray_fail(error, DRAY_INVALID, "its \"size\" is no number of bytes");
        recorded.bytes = (uint64_t)json_integer_value(size);
        recorded.has |= DRAY_RECORDED_BYTES;
    }
    if (result == 0)
        result = take_digest(json, "sha256", DRAY_SHA256_BYTES, DRAY_RECORDED_SHA256,
                             recorded.sha256, &recorded, error);
    if (result == 0)
        result = take_digest(json, "md5", DRAY_MD5_BYTES, DRAY_RECORDED_MD5, recorded.md5,
                             &recorded, error);
    return result == 0 ? dray_recorded_add(list, &recorded, error) : result;
}

static int take_line(const char *line, size_t length, struct dray_recorded_list *list,
                     struct dray_error *error)
{
    json_error_t fault;
    json_t *json = json_loadb(line, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &fault);
    int result = json_is_object(json) ? take_object(json, list, error)
                                      : dray_fail(error, DRAY_INVALID, "it is no JSON object%s%s",
                                                  json ? "" : ": ", json ? "" : fault.text);

    json_decref(json);
    return result;
}

int dray_recorded_read(const char *name, const char *text, size_t length,
                       struct dray_recorded_list *list, struct dray_error *error)
{
    const char *end = text + length;
    uint64_t number = 0;

    for (const char *next = text; next < end;) {
        const char *newline = memchr(next, '\n', (size_t)(end - next));
        const char *stop = newline ? newline : end;
        int result = stop > next ? take_line(next, (size_t)(stop - next), list, error) : 0;

        number++;
        if (result != 0) {
            dray_where(error, "%.400s:%llu", name, (unsigned long long)number);
            return result;
        }
        next = newline ? newline + 1 : end;
    }
    return 0;
}
