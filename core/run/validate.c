/* SPDX-License-Identifier: MIT */
/* validate.c - what is recorded of a dataset against its tree: names, sizes and numbers now,
 * digests recorded for whoever reads the bytes first. */
#include <string.h>

#include "core/base/text.h"
#include "core/run/validate.h"
#include "core/tree/manifest.h"

/* Where an error has no side yet, it is the dataset that is wrong. */
static int blame_source(int result, struct dray_error *error)
{
    if (error->side == DRAY_SIDE_NONE && result != 0 && result != DRAY_NO_MEMORY &&
        result != DRAY_CANCELLED)
        error->side = DRAY_SIDE_SOURCE;
    return result;
}

int64_t dray_validate_find(const struct dray_tree *tree, const char *path)
{
    int64_t at = dray_tree_find(tree, path, strlen(path));

    return at >= 0 && tree->entries[at]->type == DRAY_FILE ? at : -1;
}

int dray_validate_text(const struct dray_validation *validation,
                       const struct dray_tree_entry *entry, struct dray_buffer *text,
                       struct dray_error *error)
{
    struct dray_bytes bytes;

    if (entry->bytes > DRAY_VALIDATE_TEXT_CAP)
        return dray_fail(error, DRAY_INVALID, "the manifest %s is larger than 256 MiB",
                         entry->path);
    char *room = dray_buffer_reserve(text, entry->bytes + 1);
    if (!room)
        return dray_fail_memory(error);
    int result = dray_bytes_open(&bytes, validation->step->run->roots, entry, error);
    if (result != 0)
        return result;
    int64_t got = 1;
    while (got > 0 && text->length < entry->bytes) {
        got = dray_bytes_read(&bytes, room + text->length, entry->bytes - text->length, error);
        text->length += got > 0 ? (size_t)got : 0;
    }
    uint8_t sha256[DRAY_SHA256_BYTES];
    struct dray_error first = *error;
    result = dray_bytes_close(&bytes, got < 0 ? NULL : sha256, error);
    if (got >= 0)
        return result;
    *error = first;
    return error->class_;
}

int dray_validate_note(struct dray_step_run *step, json_t *what, struct dray_error *error)
{
    if (!step->compared)
        step->compared = json_array();
    return json_array_append_new(step->compared, what) == 0 ? 0 : dray_fail_memory(error);
}

/* ---- Manifests of sha256sum and md5sum ---- */

static int add_line(void *arg, const uint8_t *digest, size_t digest_bytes, const char *path,
                    size_t path_length, struct dray_error *error)
{
    struct dray_recorded recorded = {
        .path = path, .path_length = path_length > UINT32_MAX ? UINT32_MAX : (uint32_t)path_length};
    int sha256 = digest_bytes == DRAY_SHA256_BYTES;

    recorded.has = sha256 ? DRAY_RECORDED_SHA256 : DRAY_RECORDED_MD5;
    memcpy(sha256 ? recorded.sha256 : recorded.md5, digest, digest_bytes);
    return dray_recorded_add(arg, &recorded, error);
}

/* The line with the list's folder in front of its path, which lies in `room`. */
static int beside(const char *manifest, struct dray_buffer *room, struct dray_recorded *line,
                  struct dray_error *error)
{
    dray_buffer_clear(room);
    dray_buffer_add(room, manifest, (size_t)(strrchr(manifest, '/') - manifest) + 1);
    dray_buffer_add(room, line->path, line->path_length);
    if (room->failed)
        return dray_fail_memory(error);
    line->path = room->data;
    line->path_length = (uint32_t)room->length;
    return 0;
}

/* A list in a folder may have been made in it: its names start where more of them are found. */
static int add_listed(struct dray_validation *validation, const char *manifest,
                      const struct dray_recorded_list *lines, struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer room = {.cap = 1u << 20};
    const struct dray_tree *tree = validation->tree;
    size_t at_root = 0, at_folder = 0;
    int result = 0;

    for (size_t i = 0; result == 0 && i < lines->count; i++) {
        struct dray_recorded line = lines->items[i];
        at_root += dray_tree_find(tree, line.path, line.path_length) >= 0;
        result = beside(manifest, &room, &line, error);
        at_folder += result == 0 && dray_tree_find(tree, line.path, line.path_length) >= 0;
    }
    for (size_t i = 0; result == 0 && i < lines->count; i++) {
        struct dray_recorded line = lines->items[i];
        if (at_folder > at_root)
            result = beside(manifest, &room, &line, error);
        if (result == 0)
            result = dray_recorded_add(&validation->list, &line, error);
    }
    return result;
}

static int use_manifest(struct dray_validation *validation, const char *manifest,
                        struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = DRAY_VALIDATE_TEXT_CAP + 1};
    dray_cleanup(dray_recorded_free) struct dray_recorded_list lines = {0};
    int64_t at = dray_validate_find(validation->tree, manifest);

    if (at < 0) {
        dray_fail(error, DRAY_NOT_FOUND, "the dataset holds no manifest %s", manifest);
        dray_hint(error, "name the manifest that it holds, or write `manifest: none`");
        return error->class_;
    }
    int result = dray_validate_text(validation, validation->tree->entries[at], &text, error);
    /* One at the root can be meant in one way only: its names need no place in between. */
    int folder = strchr(manifest, '/') != NULL;
    if (result == 0)
        result = dray_manifest_read(manifest, text.data, text.length, add_line,
                                    folder ? &lines : &validation->list, error);
    if (result == 0 && folder)
        result = add_listed(validation, manifest, &lines, error);
    if (result == 0)
        result = dray_validate_note(
            validation->step, json_pack("{s:s, s:s}", "what", "manifest", "path", manifest), error);
    validation->passed[at] = 1;
    validation->compares = 1;
    return result;
}

static int use_manifests(struct dray_validation *validation, const json_t *value,
                         struct dray_error *error)
{
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    int result = 0;

    for (size_t i = 0; result == 0 && i < count; i++) {
        const char *manifest =
            json_string_value(json_is_array(value) ? json_array_get(value, i) : value);
        dray_buffer_format(&validation->what, "%s%.60s", i > 0 ? ", " : "", manifest);
        result = use_manifest(validation, manifest, error);
    }
    dray_buffer_text(&validation->what, count > 1 ? " say" : " says");
    return result;
}

/* ---- All of it ---- */

static int gather(struct dray_validation *validation, struct dray_error *error)
{
    const json_t *value = json_object_get(validation->step->step->with, "manifest");
    const char *word = json_string_value(value);
    int there = 0, result;

    if (word && strcmp(word, "none") == 0)
        return 0;
    if (value && !(word && strcmp(word, "bagit") == 0))
        return use_manifests(validation, value, error);
    error->class_ = 0;
    result = dray_validate_bag(validation, &there, error);
    if (result == 0 && !there && value) {
        dray_fail(error, DRAY_NOT_FOUND, "the dataset is no BagIt bag: it holds no bagit.txt");
        dray_hint(error, "name the manifest that it holds, or write `manifest: none`");
        return error->class_;
    }
    return result;
}

/* What the workflow itself says must be there. */
static void expect(struct dray_validation *validation)
{
    const json_t *with = validation->step->step->with;
    const json_t *entries = json_object_get(with, "entries");
    const json_t *bytes = json_object_get(with, "bytes");
    const struct dray_tree *tree = validation->tree;

    if (json_is_integer(entries) && tree->listed != (uint64_t)json_integer_value(entries))
        dray_differences_fact(&validation->differences, "it has %llu entries, `entries` is %lld",
                              (unsigned long long)tree->listed,
                              (long long)json_integer_value(entries));
    if (json_is_integer(bytes) && tree->bytes != (uint64_t)json_integer_value(bytes))
        dray_differences_fact(&validation->differences, "it has %llu bytes, `bytes` is %lld",
                              (unsigned long long)tree->bytes,
                              (long long)json_integer_value(bytes));
}

static int validate(struct dray_validation *validation, struct dray_error *error)
{
    struct dray_step_run *step = validation->step;
    int result = gather(validation, error);

    if (result != 0)
        return result;
    expect(validation);
    if (validation->extra)
        memset(validation->passed, 1, validation->tree->count);
    if (validation->compares)
        result = dray_recorded_compare(validation->tree, &validation->list, validation->passed,
                                       &validation->differences, &step->output, error);
    else
        step->output = dray_tree_ref(validation->tree);
    if (result == 0 && validation->what.failed)
        result = dray_fail_memory(error);
    if (result == 0)
        result = dray_differences_judge(
            &validation->differences,
            validation->what.length > 0 ? validation->what.data : "the workflow says", error);
    return result;
}

/* A preview need not have the bytes that a manifest would be read from: those of a list, and of
 * what is only staged on demand. */
static int is_there(const struct dray_step_run *step)
{
    const struct dray_run *run = step->run;

    for (size_t i = 0; i < run->plan->step_count; i++)
        if (__atomic_load_n(&run->steps[i].unread, __ATOMIC_RELAXED) &&
            dray_plan_depends(run->plan, step->index, i))
            return 0;
    return run->listing == NULL;
}

/* By what the dataset itself holds, and by what the workflow says. Takes a reference to `tree`. */
static int validate_own(struct dray_step_run *step, struct dray_tree *tree,
                        struct dray_error *error)
{
    const char *extra = json_string_value(json_object_get(step->step->with, "extra"));
    dray_autofree uint8_t *passed = calloc(tree->count + 1, 1);
    struct dray_validation validation = {.step = step,
                                         .tree = tree,
                                         .differences = DRAY_DIFFERENCES,
                                         .passed = passed,
                                         .extra = extra && strcmp(extra, "ignore") == 0,
                                         .what = {.cap = 1u << 16}};

    if (!passed)
        return dray_fail_memory(error);
    int result = blame_source(validate(&validation, error), error);
    dray_recorded_free(&validation.list);
    dray_differences_free(&validation.differences);
    dray_buffer_free(&validation.what);
    return result;
}

int dray_validate_execute(struct dray_step_run *step, struct dray_error *error)
{
    const char *read = json_string_value(json_object_get(step->step->with, "read"));
    dray_cleanup(dray_tree_unrefp) struct dray_tree *tree = NULL;

    int result = dray_validate_recorded(step, &tree, error);
    if (result != 0)
        return result;
    if (!is_there(step)) {
        step->output = dray_tree_ref(tree);
        return 0;
    }
    result = validate_own(step, tree, error);
    if (result == 0 && !step->run->preview && read && strcmp(read, "now") == 0)
        result = blame_source(dray_validate_read(step, error), error);
    return result;
}
