/* SPDX-License-Identifier: MIT */
/* dataset_said.c - what is said of a dataset, on a command line or in a line of a file: whether it
 * can be so, and what it makes of what the catalog has. */
#include "core/api/datasets.h"

#include <string.h>

#include "core/base/digest.h"
#include "core/base/io.h"
#include "core/base/text.h"
#include "core/plan/plan.h"
#include "core/tree/tree.h"

#define MOST_TEXT 1024
#define MOST_NAME 200 /* records are kept under it, with suffixes */

static int has_controls(const char *text)
{
    for (size_t i = 0, length = strlen(text); i < length;) {
        size_t bytes = dray_utf8_length(text + i, length - i);
        if (bytes == 0 || dray_utf8_is_control(text + i, bytes))
            return 1;
        i += bytes;
    }
    return 0;
}

/* A text, or NULL for what is null or empty: it is not known then. 0, or DRAY_INVALID. */
static int read_text(const char *key, const json_t *value, const char **ret_text,
                     struct dray_error *error)
{
    const char *text = json_string_value(value);

    *ret_text = NULL;
    if (json_is_null(value) || (text && !*text))
        return 0;
    if (!text)
        return dray_fail(error, DRAY_INVALID, "`%s` is not a text", key);
    if (strlen(text) != json_string_length(value) || has_controls(text))
        return dray_fail(error, DRAY_INVALID,
                         "`%s` holds control characters, such as the end of a line", key);
    if (strlen(text) > MOST_TEXT)
        return dray_fail(error, DRAY_INVALID, "`%s` is longer than %d bytes", key, MOST_TEXT);
    *ret_text = text;
    return 0;
}

static int replace(char **member, const char *text, struct dray_error *error)
{
    char *copy = text ? strdup(text) : NULL;

    if (text && !copy)
        return dray_fail_memory(error);
    free(*member);
    *member = copy;
    return 0;
}

static int set_text(char **member, const char *key, const json_t *value, struct dray_error *error)
{
    const char *text = NULL;
    int result = read_text(key, value, &text, error);

    return result == 0 ? replace(member, text, error) : result;
}

/* ---- each member */

/* It is a directory's name wherever the dataset is delivered, and stands where paths may, too. */
static int set_name(struct dray_dataset_row *row, const json_t *value, struct dray_error *error)
{
    const char *name = NULL;
    int result = read_text("name", value, &name, error);

    if (result != 0)
        return result;
    if (name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
        !strchr("~$-", name[0]) && strncmp(name, "id:", 3) != 0 && strlen(name) <= MOST_NAME)
        return replace(&row->name, name, error);
    (void)dray_fail(error, DRAY_INVALID, "\"%s\" cannot be the name of a dataset",
                    name ? name : "");
    if (name && dray_is_path(name))
        dray_hint(error, "a path is its source: dray dataset add NAME --source %s", name);
    else
        dray_hint(error,
                  "at most %d bytes without `/`, not `.` or `..`, and not beginning with "
                  "`~`, `$`, `-` or `id:`",
                  MOST_NAME);
    return DRAY_INVALID;
}

static int set_type(struct dray_dataset_row *row, const json_t *value, struct dray_error *error)
{
    const char *type = NULL;
    int result = read_text("type", value, &type, error);

    if (result == 0 && type && (strchr(type, '/') || strchr(".~$", type[0])))
        return dray_fail(error, DRAY_INVALID,
                         "\"%s\" cannot be a type: it holds no `/`, and does not begin with `.`, "
                         "`~` or `$`",
                         type);
    return result == 0 ? replace(&row->type, type ? type : "", error) : result;
}

static int set_source(struct dray_dataset_row *row, const json_t *value, const char *base,
                      struct dray_error *error)
{
    const char *source = NULL;
    int result = read_text("source", value, &source, error);

    if (result != 0)
        return result;
    if (source && strstr(source, "://")) {
        (void)dray_fail(error, DRAY_INVALID, "this release has no source for %s", source);
        dray_hint(error, "the source of a dataset is a directory, a file or an archive");
        return DRAY_INVALID;
    }
    if (source && dray_is_remote(source))
        return replace(&row->source, source, error);
    dray_autofree char *path = source ? dray_path_absolute(base, source) : NULL;
    if (source && !path)
        return dray_fail_memory(error);
    return replace(&row->source, path, error);
}

/* Each once; none is the same as not known. */
static int set_tags(struct dray_dataset_row *row, const json_t *value, struct dray_error *error)
{
    json_t *tags = json_array(), *item, *other;
    size_t i, k;
    int result = tags ? 0 : dray_fail_memory(error);

    if (result == 0 && !json_is_array(value) && !json_is_null(value))
        result = dray_fail(error, DRAY_INVALID, "`tags` is not a list of texts");
    json_array_foreach(value, i, item)
    {
        const char *tag = NULL;
        int known = 0;
        if (result == 0)
            result = read_text("tags", item, &tag, error);
        json_array_foreach(tags, k, other) known |= json_equal(item, other);
        if (result == 0 && tag && !known && json_array_append(tags, item) != 0)
            result = dray_fail_memory(error);
    }
    if (result == 0) {
        json_decref(row->tags);
        row->tags = json_array_size(tags) ? json_incref(tags) : NULL;
    }
    json_decref(tags);
    return result;
}

static int set_label(json_t *labels, const char *name, const json_t *value,
                     struct dray_error *error)
{
    const char *text = NULL;
    int result = read_text(name, value, &text, error);
    size_t length = strlen(name);

    if (result != 0)
        return result;
    if (length == 0 || name[length - 1] == '?' || has_controls(name))
        return dray_fail(error, DRAY_INVALID,
                         "\"%s\" cannot be the name of a label: policies could not ask for it",
                         name);
    if (!text)
        (void)json_object_del(labels, name);
    else if (json_object_set_new(labels, name, json_string(text)) != 0)
        return dray_fail_memory(error);
    return 0;
}

static int set_labels(struct dray_dataset_row *row, json_t *value, int merge,
                      struct dray_error *error)
{
    json_t *labels = merge && row->labels ? json_deep_copy(row->labels) : json_object(), *label;
    const char *name;
    int result = labels ? 0 : dray_fail_memory(error);

    if (result == 0 && !json_is_object(value) && !json_is_null(value))
        result = dray_fail(error, DRAY_INVALID, "`labels` is not a mapping of names to texts");
    json_object_foreach(value, name, label)
    {
        if (result == 0)
            result = set_label(labels, name, label, error);
    }
    if (result == 0) {
        json_decref(row->labels);
        row->labels = json_object_size(labels) ? json_incref(labels) : NULL;
    }
    json_decref(labels);
    return result;
}

/* ---- the bundle */

static int check_keys(const json_t *said, const char *what, const char *const *keys, size_t count,
                      struct dray_error *error)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)said, key, value)
    {
        size_t i = 0;
        while (i < count && strcmp(key, keys[i]) != 0)
            i++;
        if (i < count)
            continue;
        (void)dray_fail(error, DRAY_INVALID, "nothing of %s is called \"%s\"", what, key);
        const char *near = dray_nearest(key, keys, count);
        if (near)
            dray_hint(error, "did you mean \"%s\"?", near);
        return DRAY_INVALID;
    }
    return 0;
}

static int read_digest(const json_t *said, const char *key, size_t bytes, char *text,
                       const char **ret_text, struct dray_error *error)
{
    const json_t *value = json_object_get(said, key);
    const char *digits = json_string_value(value);
    uint8_t raw[DRAY_SHA256_BYTES];

    *ret_text = NULL;
    if (!value || json_is_null(value))
        return 0;
    if (!digits || strlen(digits) != 2 * bytes || dray_unhex(digits, bytes, raw) != 0)
        return dray_fail(error, DRAY_INVALID, "`%s` is not %zu hexadecimal digits", key, 2 * bytes);
    *ret_text = dray_hex(raw, bytes, text);
    return 0;
}

/* As lower-case digits. */
static int copy_digest(const json_t *value, const char *key, size_t bytes, json_t *bundle,
                       struct dray_error *error)
{
    char text[DRAY_SHA256_HEX];
    const char *digits = NULL;
    int result = read_digest(value, key, bytes, text, &digits, error);

    if (result == 0 && digits && json_object_set_new(bundle, key, json_string(digits)) != 0)
        result = dray_fail_memory(error);
    return result;
}

/* Of `merge`, digests take the place of all digests, and the size that of the size. */
static int set_bundle(struct dray_dataset_row *row, const json_t *value, int merge,
                      struct dray_error *error)
{
    static const char *const keys[] = {"size", "sha256", "md5"};
    const json_t *size = json_object_get(value, "size");
    int digests = json_object_get(value, "sha256") || json_object_get(value, "md5");
    json_t *bundle = merge && row->bundle ? json_deep_copy(row->bundle) : json_object();
    int result = bundle ? 0 : dray_fail_memory(error);

    if (result == 0 && !json_is_object(value) && !json_is_null(value))
        result = dray_fail(error, DRAY_INVALID, "`bundle` is not a mapping of size and digests");
    if (result == 0)
        result = check_keys(value, "a bundle", keys, DRAY_COUNT(keys), error);
    if (result == 0 && size && !json_is_null(size) &&
        (!json_is_integer(size) || json_integer_value(size) < 0))
        result = dray_fail(error, DRAY_INVALID, "`size` of a bundle is no number of bytes");
    if (result == 0 && digests) {
        (void)json_object_del(bundle, "sha256");
        (void)json_object_del(bundle, "md5");
    }
    if (result == 0)
        result = copy_digest(value, "sha256", DRAY_SHA256_BYTES, bundle, error);
    if (result == 0)
        result = copy_digest(value, "md5", DRAY_MD5_BYTES, bundle, error);
    if (result == 0 && json_is_null(size))
        (void)json_object_del(bundle, "size");
    else if (result == 0 && size &&
             json_object_set_new(bundle, "size", json_integer(json_integer_value(size))) != 0)
        result = dray_fail_memory(error);
    if (result == 0) {
        json_decref(row->bundle);
        row->bundle = json_object_size(bundle) ? json_incref(bundle) : NULL;
    }
    json_decref(bundle);
    return result;
}

/* ---- all of it */

static int set_member(struct dray_dataset_row *row, const char *key, json_t *value,
                      const char *base, int merge, struct dray_error *error)
{
    static const char *const keys[] = {"name",   "type",   "external_id", "owner", "tags",
                                       "labels", "source", "bundle",      "files"};

    if (strcmp(key, "name") == 0)
        return set_name(row, value, error);
    if (strcmp(key, "type") == 0)
        return set_type(row, value, error);
    if (strcmp(key, "external_id") == 0)
        return set_text(&row->external_id, key, value, error);
    if (strcmp(key, "owner") == 0)
        return set_text(&row->owner, key, value, error);
    if (strcmp(key, "tags") == 0)
        return set_tags(row, value, error);
    if (strcmp(key, "labels") == 0)
        return set_labels(row, value, merge, error);
    if (strcmp(key, "source") == 0)
        return set_source(row, value, base, error);
    if (strcmp(key, "bundle") == 0)
        return set_bundle(row, value, merge, error);
    if (strcmp(key, "files") == 0)
        return json_is_array(value) ? 0 : dray_fail(error, DRAY_INVALID, "`files` is not a list");
    (void)dray_fail(error, DRAY_INVALID, "nothing of a dataset is called \"%s\"", key);
    const char *near = dray_nearest(key, keys, DRAY_COUNT(keys));
    if (strcmp(key, "digest") == 0 || strcmp(key, "sha256") == 0 || strcmp(key, "md5") == 0 ||
        strcmp(key, "size") == 0)
        dray_hint(error,
                  "of the archive itself: \"bundle\": {\"size\": N, \"sha256\": DIGITS}; of a "
                  "file: beside its `path`");
    else if (near)
        dray_hint(error, "did you mean \"%s\"?", near);
    return DRAY_INVALID;
}

int dray_dataset_say(struct dray_dataset_row *row, json_t *said, const char *base, int merge,
                     struct dray_error *error)
{
    const char *key;
    json_t *value;
    int result = row->type ? 0 : replace(&row->type, "", error);
    dray_autofree char *before = row->source ? strdup(row->source) : NULL;

    if (row->source && !before)
        result = dray_fail_memory(error);

    if (result == 0 && !row->name && !json_object_get(said, "name"))
        result = dray_fail(error, DRAY_INVALID, "a new dataset has no `name`");
    json_object_foreach(said, key, value)
    {
        if (result == 0)
            result = set_member(row, key, value, base, merge, error);
    }
    /* Of another source nothing is known yet. */
    if (result == 0 && before && (!row->source || strcmp(before, row->source) != 0) &&
        !json_object_get(said, "bundle")) {
        json_decref(row->bundle);
        row->bundle = NULL;
    }
    return result;
}

/* ---- a file */

static int read_path(const json_t *said, char **ret_path, struct dray_error *error)
{
    const char *coded = json_string_value(json_object_get(said, "path_b64"));
    const json_t *plain = json_object_get(said, "path");
    size_t length = coded ? 0 : json_string_length(plain);
    dray_autofree char *path = coded                   ? dray_base64_decode(coded, &length)
                               : json_is_string(plain) ? strndup(json_string_value(plain), length)
                                                       : NULL;

    if (!path)
        return dray_fail(error, DRAY_INVALID,
                         coded ? "`path_b64` is not base64"
                               : "a file has no `path` that is a text");
    const char *fault = strlen(path) != length ? "holds a NUL" : dray_path_fault(path, length);
    if (fault)
        return dray_fail(error, DRAY_INVALID, "\"%s\" is no path in a dataset: it %s", path, fault);
    *ret_path = DRAY_TAKE(path);
    return 0;
}

static const char *const file_keys[] = {"path", "path_b64", "size", "sha256", "md5"};

int dray_dataset_file_say(json_t *said, struct dray_dataset_file_said *ret_file,
                          struct dray_error *error)
{
    const json_t *size = json_object_get(said, "size");

    if (!json_is_object(said))
        return dray_fail(error, DRAY_INVALID,
                         "a file of a dataset is an object with `path` and "
                         "`size`");
    int result = check_keys(said, "a file", file_keys, DRAY_COUNT(file_keys), error);
    if (result == 0 && (!json_is_integer(size) || json_integer_value(size) < 0))
        result = dray_fail(error, DRAY_INVALID, "a file has no `size` that is a number of bytes");
    if (result == 0)
        result = read_digest(said, "sha256", DRAY_SHA256_BYTES, ret_file->sha256,
                             &ret_file->file.sha256, error);
    if (result == 0)
        result =
            read_digest(said, "md5", DRAY_MD5_BYTES, ret_file->md5, &ret_file->file.md5, error);
    if (result == 0)
        result = read_path(said, &ret_file->path, error);
    ret_file->file.path = ret_file->path;
    ret_file->file.bytes = result == 0 ? (uint64_t)json_integer_value(size) : 0;
    return result;
}
