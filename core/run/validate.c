/* SPDX-License-Identifier: MIT */
/* validate.c - a manifest against the tree: missing and extra files now, digests recorded for
 * whoever reads the bytes first. */
#include <string.h>

#include "core/run/run.h"
#include "core/tree/manifest.h"

#define MANIFEST_CAP (256u << 20)
/* Names that a message lists of each kind. */
#define NAMED 5

struct comparison {
    const char *manifest;
    struct dray_tree *tree;
    uint8_t (*digests)[DRAY_SHA256_BYTES]; /* by entry */
    uint8_t *listed;                       /* by entry: 1 in the manifest, 2 the manifest itself */
    struct dray_buffer missing;
    size_t missing_count, lines;
};

static void name_one(struct dray_buffer *names, size_t number, const char *path, size_t length)
{
    if (number < NAMED) {
        dray_buffer_text(names, number == 0 ? " " : ", ");
        dray_buffer_add(names, path, length);
    } else if (number == NAMED) {
        dray_buffer_text(names, ", ...");
    }
}

static void count_all(struct dray_buffer *names, size_t count)
{
    if (count > NAMED)
        dray_buffer_format(names, " (%zu in all)", count);
}

static int compare_line(void *arg, const uint8_t *digest, size_t digest_bytes, const char *path,
                        size_t path_length, struct dray_error *error)
{
    struct comparison *comparison = arg;

    if (digest_bytes != DRAY_SHA256_BYTES) {
        dray_fail(error, DRAY_UNSUPPORTED, "%s lists MD5 digests, and only SHA-256 is compared",
                  comparison->manifest);
        dray_hint(error, "name a manifest that sha256sum wrote, or leave `manifest` out");
        return error->class_;
    }
    comparison->lines++;
    int64_t found = dray_tree_find(comparison->tree, path, path_length);
    if (found < 0 || comparison->tree->entries[found]->type != DRAY_FILE) {
        name_one(&comparison->missing, comparison->missing_count++, path, path_length);
        return 0;
    }
    if (comparison->listed[found] == 1 &&
        memcmp(comparison->digests[found], digest, DRAY_SHA256_BYTES) != 0)
        return dray_fail(error, DRAY_INTEGRITY,
                         "the manifest lists %s twice, with different digests",
                         comparison->tree->entries[found]->path);
    comparison->listed[found] = 1;
    memcpy(comparison->digests[found], digest, DRAY_SHA256_BYTES);
    return 0;
}

static int read_manifest(struct dray_step_run *step, const struct dray_tree_entry *entry,
                         struct dray_buffer *text, struct dray_error *error)
{
    struct dray_bytes bytes;

    if (entry->bytes > MANIFEST_CAP)
        return dray_fail(error, DRAY_INVALID, "the manifest %s is larger than 256 MiB",
                         entry->path);
    char *room = dray_buffer_reserve(text, entry->bytes + 1);
    if (!room)
        return dray_fail_memory(error);
    int result = dray_bytes_open(&bytes, step->run->roots, entry, error);
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

/* The same tree with the digests that the manifest records. */
static int record(struct dray_step_run *step, const struct comparison *comparison,
                  struct dray_error *error)
{
    dray_cleanup(dray_tree_builder_freep) struct dray_tree_builder *builder =
        dray_tree_builder_new();
    const struct dray_tree *tree = comparison->tree;
    int result = builder ? 0 : dray_fail_memory(error);

    if (builder)
        dray_tree_builder_root(builder, tree->root_mode, tree->root_mtime);
    for (size_t i = 0; result == 0 && i < tree->count; i++) {
        struct dray_tree_entry entry = *tree->entries[i];
        if (comparison->listed[i] != 1) {
            result = dray_tree_builder_keep(builder, tree, i, error);
            continue;
        }
        if ((entry.flags & DRAY_ENTRY_SHA256) &&
            memcmp(entry.sha256, comparison->digests[i], DRAY_SHA256_BYTES) != 0)
            return dray_fail(error, DRAY_INTEGRITY,
                             "%s is not what the manifest says: its SHA-256 differs", entry.path);
        memcpy(entry.sha256, comparison->digests[i], DRAY_SHA256_BYTES);
        entry.flags |= DRAY_ENTRY_SHA256;
        result = dray_tree_builder_add(builder, &entry, error);
    }
    return result != 0 ? result : dray_tree_builder_finish(builder, &step->output, error);
}

static int judge(struct comparison *comparison, const char *manifest, struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer extra = {.cap = 64u << 10};
    size_t extra_count = 0;

    for (size_t i = 0; i < comparison->tree->count; i++) {
        const struct dray_tree_entry *entry = comparison->tree->entries[i];
        if (entry->type == DRAY_FILE && comparison->listed[i] == 0)
            name_one(&extra, extra_count++, entry->path, entry->path_length);
    }
    if (comparison->missing_count == 0 && extra_count == 0)
        return 0;
    count_all(&comparison->missing, comparison->missing_count);
    count_all(&extra, extra_count);
    dray_fail(error, DRAY_INTEGRITY, "the dataset is not what %s says:%s%s%s%s%s", manifest,
              comparison->missing_count ? " missing:" : "",
              comparison->missing_count ? comparison->missing.data : "",
              comparison->missing_count && extra_count ? ";" : "",
              extra_count ? " not listed:" : "", extra_count ? extra.data : "");
    error->side = DRAY_SIDE_SOURCE;
    return error->class_;
}

static int validate(struct dray_step_run *step, const char *manifest, struct comparison *comparison,
                    struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = MANIFEST_CAP + 1};
    int64_t at = dray_tree_find(step->input, manifest, strlen(manifest));

    if (at < 0 || step->input->entries[at]->type != DRAY_FILE) {
        dray_fail(error, DRAY_NOT_FOUND, "the dataset holds no manifest %s", manifest);
        dray_hint(error, "name the manifest that it holds, or leave `manifest` out");
        error->side = DRAY_SIDE_SOURCE;
        return error->class_;
    }
    int result = read_manifest(step, step->input->entries[at], &text, error);
    if (result == 0) {
        comparison->listed[at] = 2;
        result =
            dray_manifest_read(manifest, text.data, text.length, compare_line, comparison, error);
        if (result != 0)
            error->side = DRAY_SIDE_SOURCE;
    }
    if (result == 0 && comparison->missing.failed == DRAY_NO_MEMORY)
        result = dray_fail_memory(error);
    if (result == 0)
        result = judge(comparison, manifest, error);
    return result != 0 ? result : record(step, comparison, error);
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

int dray_validate_execute(struct dray_step_run *step, struct dray_error *error)
{
    const char *manifest = json_string_value(json_object_get(step->step->with, "manifest"));
    size_t count = step->input->count;

    if (!manifest || !is_there(step)) {
        step->output = dray_tree_ref(step->input);
        return 0;
    }
    dray_autofree uint8_t(*digests)[DRAY_SHA256_BYTES] = calloc(count + 1, sizeof(*digests));
    dray_autofree uint8_t *listed = calloc(count + 1, 1);
    struct comparison comparison = {.manifest = manifest,
                                    .tree = step->input,
                                    .digests = digests,
                                    .listed = listed,
                                    .missing = {.cap = 64u << 10}};
    if (!digests || !listed)
        return dray_fail_memory(error);
    int result = validate(step, manifest, &comparison, error);
    dray_buffer_free(&comparison.missing);
    return result;
}
