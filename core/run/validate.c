/* SPDX-License-Identifier: MIT */
/* validate.c - what is recorded of a dataset against its tree: names, sizes and numbers now,
 * digests recorded for whoever reads the bytes first. */
#include <string.h>

#include "core/base/text.h"
#include "core/run/run.h"
#include "core/tree/bag.h"
#include "core/tree/manifest.h"
#include "core/tree/recorded.h"

#define MANIFEST_CAP (256u << 20)

struct validation {
    struct dray_step_run *step;
    struct dray_tree *tree; /* with the digests that the catalog records */
    struct dray_recorded_list list;
    struct dray_differences differences;
    uint8_t *passed;         /* by entry: nobody has to have listed it */
    struct dray_buffer what; /* as in "manifest.txt says" */
    int compares;            /* there is something to compare with */
    int fetches;             /* a bag that says where parts of it are to be fetched from */
};

/* Where an error has no side yet, it is the dataset that is wrong. */
static int blame_source(int result, struct dray_error *error)
{
    if (error->side == DRAY_SIDE_NONE && result != 0 && result != DRAY_NO_MEMORY &&
        result != DRAY_CANCELLED)
        error->side = DRAY_SIDE_SOURCE;
    return result;
}

static int64_t find_file(const struct dray_tree *tree, const char *path)
{
    int64_t at = dray_tree_find(tree, path, strlen(path));

    return at >= 0 && tree->entries[at]->type == DRAY_FILE ? at : -1;
}

/* The whole of a small file of the dataset. */
static int read_text(struct validation *validation, const struct dray_tree_entry *entry,
                     struct dray_buffer *text, struct dray_error *error)
{
    struct dray_bytes bytes;

    if (entry->bytes > MANIFEST_CAP)
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
static int add_listed(struct validation *validation, const char *manifest,
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

static int use_manifest(struct validation *validation, const char *manifest,
                        struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = MANIFEST_CAP + 1};
    dray_cleanup(dray_recorded_free) struct dray_recorded_list lines = {0};
    int64_t at = find_file(validation->tree, manifest);

    if (at < 0) {
        dray_fail(error, DRAY_NOT_FOUND, "the dataset holds no manifest %s", manifest);
        dray_hint(error, "name the manifest that it holds, or write `manifest: none`");
        return error->class_;
    }
    int result = read_text(validation, validation->tree->entries[at], &text, error);
    /* One at the root can be meant in one way only: its names need no place in between. */
    int folder = strchr(manifest, '/') != NULL;
    if (result == 0)
        result = dray_manifest_read(manifest, text.data, text.length, add_line,
                                    folder ? &lines : &validation->list, error);
    if (result == 0 && folder)
        result = add_listed(validation, manifest, &lines, error);
    validation->passed[at] = 1;
    validation->compares = 1;
    return result;
}

static int use_manifests(struct validation *validation, const json_t *value,
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

/* ---- Bags ---- */

struct bag {
    struct validation *validation;
    char *base;                 /* "", or its folder with a slash */
    size_t length;              /* of it */
    int percent;                /* as bag.h says */
    size_t used;                /* manifests of the payload that are compared */
    struct dray_buffer foreign; /* digests of the payload that are not */
    uint64_t bytes, files;      /* of the payload */
};

/* A bag is a dataset, or the one folder that all of it lies in. NULL with class_ 0: there is none.
 */
static char *find_bag(const struct dray_tree *tree, struct dray_error *error)
{
    const struct dray_tree_entry *first = tree->count > 0 ? tree->entries[0] : NULL;
    const struct dray_tree_entry *last = tree->count > 0 ? tree->entries[tree->count - 1] : NULL;
    char *base = NULL;

    if (find_file(tree, "bagit.txt") >= 0) {
        base = strdup("");
    } else if (first && first->type == DRAY_DIRECTORY && last->path_length > first->path_length &&
               last->path[first->path_length] == '/' &&
               memcmp(last->path, first->path, first->path_length) == 0) {
        dray_autofree char *declaration = dray_format("%s/bagit.txt", first->path);
        if (declaration && find_file(tree, declaration) < 0)
            return NULL;
        base = declaration ? dray_format("%s/", first->path) : NULL;
    } else {
        return NULL;
    }
    if (!base)
        (void)dray_fail_memory(error);
    return base;
}

/* The text of a file of the bag. 0 with *ret_there 0: it has none. */
static int read_tag(struct bag *bag, const char *name, char **ret_path, struct dray_buffer *text,
                    int *ret_there, struct dray_error *error)
{
    *ret_path = dray_format("%s%s", bag->base, name);
    if (!*ret_path)
        return dray_fail_memory(error);
    int64_t at = find_file(bag->validation->tree, *ret_path);
    *ret_there = at >= 0;
    return at >= 0 ? read_text(bag->validation, bag->validation->tree->entries[at], text, error)
                   : 0;
}

static int use_declaration(struct bag *bag, struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = MANIFEST_CAP + 1};
    dray_autofree char *path = NULL;
    int there = 0;

    int result = read_tag(bag, "bagit.txt", &path, &text, &there, error);
    return result == 0 ? dray_bag_declaration(path, text.data, text.length, &bag->percent, error)
                       : result;
}

static int use_info(struct bag *bag, struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = MANIFEST_CAP + 1};
    dray_autofree char *path = NULL;
    struct dray_bag_oxum oxum = {0};
    int there = 0;

    int result = read_tag(bag, "bag-info.txt", &path, &text, &there, error);
    if (result == 0 && there)
        result = dray_bag_info(path, text.data, text.length, &oxum, error);
    if (result == 0 && oxum.known && (oxum.bytes != bag->bytes || oxum.files != bag->files))
        dray_differences_fact(&bag->validation->differences,
                              "below data/ are %llu files of %llu bytes, and its Payload-Oxum has "
                              "%llu of %llu",
                              (unsigned long long)bag->files, (unsigned long long)bag->bytes,
                              (unsigned long long)oxum.files, (unsigned long long)oxum.bytes);
    return result;
}

/* "manifest-sha256.txt" or "tagmanifest-md5.txt": the algorithm, its length; NULL: neither. */
static const char *algorithm_of(const char *name, int *ret_payload, size_t *ret_length)
{
    size_t length = strlen(name);

    *ret_payload = strncmp(name, "manifest-", 9) == 0;
    if (strncmp(name, "tagmanifest-", 12) != 0 && !*ret_payload)
        return NULL;
    const char *algorithm = name + (*ret_payload ? 9 : 12);
    size_t left = length - (size_t)(algorithm - name);
    if (left <= 4 || strcmp(name + length - 4, ".txt") != 0 || strchr(name, '/'))
        return NULL;
    *ret_length = left - 4;
    return algorithm;
}

static int use_bag_manifest(struct bag *bag, const struct dray_tree_entry *entry,
                            struct dray_error *error)
{
    struct dray_bag_manifest manifest = {
        .name = entry->path, .base = bag->base, .percent = bag->percent};
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = MANIFEST_CAP + 1};
    size_t length = 0;
    const char *algorithm = algorithm_of(entry->path + bag->length, &manifest.payload, &length);

    if (!algorithm)
        return 0;
    if (length == 6 && strncasecmp(algorithm, "sha256", 6) == 0) {
        manifest.digest_bytes = DRAY_SHA256_BYTES;
    } else if (length == 3 && strncasecmp(algorithm, "md5", 3) == 0) {
        manifest.digest_bytes = DRAY_MD5_BYTES;
    } else {
        if (manifest.payload)
            dray_buffer_format(&bag->foreign, "%s%.*s", bag->foreign.length > 0 ? ", " : "",
                               (int)(length < 40 ? length : 40), algorithm);
        return 0;
    }
    bag->used += manifest.payload ? 1 : 0;
    int result = read_text(bag->validation, entry, &text, error);
    return result == 0
               ? dray_bag_read(&manifest, text.data, text.length, &bag->validation->list, error)
               : result;
}

/* Only the payload has to be listed. */
static void look_at_payload(struct bag *bag)
{
    const struct dray_tree *tree = bag->validation->tree;

    for (size_t i = 0; i < tree->count; i++) {
        const struct dray_tree_entry *entry = tree->entries[i];
        int payload = entry->path_length > bag->length + 5 &&
                      memcmp(entry->path, bag->base, bag->length) == 0 &&
                      memcmp(entry->path + bag->length, "data/", 5) == 0;
        bag->validation->passed[i] = !payload;
        if (entry->type == DRAY_FILE && entry->path_length == bag->length + 9 &&
            strcmp(entry->path + bag->length, "fetch.txt") == 0)
            bag->validation->fetches = 1;
        if (!payload || entry->type != DRAY_FILE)
            continue;
        bag->files++;
        bag->bytes += entry->bytes;
    }
}

static int fail_unused(const struct bag *bag, struct dray_error *error)
{
    if (bag->foreign.length == 0) {
        dray_fail(error, DRAY_INVALID, "the bag has no manifest of its payload");
        dray_hint(error, "a bag has a manifest-sha256.txt; `manifest: none` delivers this one as "
                         "any other dataset");
    } else {
        dray_fail(error, DRAY_UNSUPPORTED,
                  "the bag's manifests are of %.200s, and only SHA-256 and MD5 are compared",
                  bag->foreign.data);
        dray_hint(error, "add a manifest-sha256.txt to the bag; `manifest: none` delivers it "
                         "without comparing");
    }
    return error->class_;
}

static int use_tags(struct bag *bag, struct dray_error *error)
{
    const struct dray_tree *tree = bag->validation->tree;
    int result = use_declaration(bag, error);

    if (result == 0)
        look_at_payload(bag);
    for (size_t i = 0; result == 0 && i < tree->count; i++)
        if (tree->entries[i]->type == DRAY_FILE && tree->entries[i]->path_length > bag->length)
            result = use_bag_manifest(bag, tree->entries[i], error);
    if (result == 0 && bag->used == 0)
        result = bag->foreign.failed ? dray_fail_memory(error) : fail_unused(bag, error);
    return result == 0 ? use_info(bag, error) : result;
}

/* Where there is one. */
static int use_bag(struct validation *validation, int *ret_there, struct dray_error *error)
{
    struct bag bag = {.validation = validation, .foreign = {.cap = 4096}};

    bag.base = find_bag(validation->tree, error);
    *ret_there = bag.base != NULL;
    if (!bag.base)
        return error->class_;
    bag.length = strlen(bag.base);
    dray_buffer_text(&validation->what, "its bag says");
    validation->compares = 1;
    int result = use_tags(&bag, error);
    dray_buffer_free(&bag.foreign);
    free(bag.base);
    return result;
}

/* ---- All of it ---- */

static int gather(struct validation *validation, struct dray_error *error)
{
    const json_t *value = json_object_get(validation->step->step->with, "manifest");
    const char *word = json_string_value(value);
    int there = 0, result;

    if (word && strcmp(word, "none") == 0)
        return 0;
    if (value && !(word && strcmp(word, "bagit") == 0))
        return use_manifests(validation, value, error);
    error->class_ = 0;
    result = use_bag(validation, &there, error);
    if (result == 0 && !there && value) {
        dray_fail(error, DRAY_NOT_FOUND, "the dataset is no BagIt bag: it holds no bagit.txt");
        dray_hint(error, "name the manifest that it holds, or write `manifest: none`");
        return error->class_;
    }
    return result;
}

/* What the workflow itself says must be there. */
static void expect(struct validation *validation)
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

static int validate(struct validation *validation, struct dray_error *error)
{
    struct dray_step_run *step = validation->step;
    const char *extra = json_string_value(json_object_get(step->step->with, "extra"));

    int result = gather(validation, error);
    if (result != 0)
        return result;
    expect(validation);
    if (extra && strcmp(extra, "ignore") == 0)
        memset(validation->passed, 1, validation->tree->count);
    if (validation->compares)
        result = dray_recorded_compare(validation->tree, &validation->list, validation->passed,
                                       &validation->differences, &step->output, error);
    else
        step->output = dray_tree_ref(validation->tree);
    if (validation->fetches && validation->differences.missing.count > 0)
        dray_differences_fact(&validation->differences,
                              "its fetch.txt says where to fetch what it does not hold");
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
    dray_autofree uint8_t *passed = calloc(tree->count + 1, 1);
    struct validation validation = {.step = step,
                                    .tree = tree,
                                    .differences = DRAY_DIFFERENCES,
                                    .passed = passed,
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
