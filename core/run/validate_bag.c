/* SPDX-License-Identifier: MIT */
/*
 * validate_bag.c - a BagIt bag (RFC 8493): its payload against each of its manifests, by digest
 * where that is of an algorithm that is compared, by name in any case.
 */
#include <string.h>

#include "core/base/text.h"
#include "core/run/validate.h"
#include "core/tree/bag.h"

/* By entry there is a bit for each manifest; and a message has room for what is wrong with a few.
 */
#define MOST_MANIFESTS 32u
#define MOST_TOLD      8u

struct bag_manifest {
    const struct dray_tree_entry *entry;
    int payload;         /* manifest-ALG.txt; else tagmanifest-ALG.txt */
    size_t digest_bytes; /* 0: names alone are compared */
};

struct bag {
    struct dray_validation *validation;
    char *base;    /* "", or its folder with a slash */
    size_t length; /* of it */
    int major;     /* of the version that it says it has */
    struct bag_manifest manifests[MOST_MANIFESTS];
    size_t count;
    uint32_t *listed;           /* by entry: in which of them it stands */
    uint32_t payloads;          /* which of them are of the payload, */
    uint32_t compared;          /* and which of those have digests that are compared */
    struct dray_buffer foreign; /* the algorithms of the others */
    uint64_t bytes, files;      /* of the payload */
};

/* ---- What is there ---- */

/* A bag is a dataset, or the one folder that all of it lies in. NULL with class_ 0: there is none.
 */
static char *find_bag(const struct dray_tree *tree, struct dray_error *error)
{
    const struct dray_tree_entry *first = tree->count > 0 ? tree->entries[0] : NULL;
    const struct dray_tree_entry *last = tree->count > 0 ? tree->entries[tree->count - 1] : NULL;
    char *base = NULL;

    if (dray_validate_find(tree, "bagit.txt") >= 0) {
        base = strdup("");
    } else if (first && first->type == DRAY_DIRECTORY && last->path_length > first->path_length &&
               last->path[first->path_length] == '/' &&
               memcmp(last->path, first->path, first->path_length) == 0) {
        dray_autofree char *declaration = dray_format("%s/bagit.txt", first->path);
        if (declaration && dray_validate_find(tree, declaration) < 0)
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
    int64_t at = dray_validate_find(bag->validation->tree, *ret_path);
    *ret_there = at >= 0;
    return at >= 0 ? dray_validate_text(bag->validation, bag->validation->tree->entries[at], text,
                                        error)
                   : 0;
}

static int use_declaration(struct bag *bag, struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = DRAY_VALIDATE_TEXT_CAP + 1};
    dray_autofree char *path = NULL;
    int there = 0;

    int result = read_tag(bag, "bagit.txt", &path, &text, &there, error);
    return result == 0 ? dray_bag_declaration(path, text.data, text.length, &bag->major, error)
                       : result;
}

/* Is it below data/? */
static int is_payload(const struct bag *bag, const struct dray_tree_entry *entry)
{
    return entry->path_length > bag->length + 5 &&
           memcmp(entry->path, bag->base, bag->length) == 0 &&
           memcmp(entry->path + bag->length, "data/", 5) == 0;
}

/* Only the payload has to be listed. */
static int look_at_payload(struct bag *bag, struct dray_error *error)
{
    const struct dray_tree *tree = bag->validation->tree;
    dray_autofree char *data = dray_format("%sdata", bag->base);

    if (!data)
        return dray_fail_memory(error);
    int64_t at = dray_tree_find(tree, data, strlen(data));
    if (at < 0 || tree->entries[at]->type != DRAY_DIRECTORY) {
        dray_fail(error, DRAY_INVALID, "the bag has no payload directory %.400s", data);
        dray_hint(error, "`manifest: none` delivers it as any other dataset");
        return error->class_;
    }
    for (size_t i = 0; i < tree->count; i++) {
        const struct dray_tree_entry *entry = tree->entries[i];
        bag->validation->passed[i] = !is_payload(bag, entry);
        if (bag->validation->passed[i] || entry->type != DRAY_FILE)
            continue;
        bag->files++;
        bag->bytes += entry->bytes;
    }
    return 0;
}

/* ---- Manifests ---- */

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

static int note_manifest(struct bag *bag, const struct dray_tree_entry *entry,
                         struct dray_error *error)
{
    struct bag_manifest manifest = {.entry = entry};
    size_t length = 0;
    const char *algorithm = algorithm_of(entry->path + bag->length, &manifest.payload, &length);

    if (!algorithm)
        return 0;
    if (bag->count == MOST_MANIFESTS)
        return dray_fail(error, DRAY_UNSUPPORTED, "the bag has more than %u manifests",
                         MOST_MANIFESTS);
    if (length == 6 && strncasecmp(algorithm, "sha256", 6) == 0)
        manifest.digest_bytes = DRAY_SHA256_BYTES;
    else if (length == 3 && strncasecmp(algorithm, "md5", 3) == 0)
        manifest.digest_bytes = DRAY_MD5_BYTES;
    if (manifest.payload)
        bag->payloads |= 1u << bag->count;
    if (manifest.payload && manifest.digest_bytes > 0)
        bag->compared |= 1u << bag->count;
    else if (manifest.payload)
        dray_buffer_format(&bag->foreign, "%s%.*s", bag->foreign.length > 0 ? ", " : "",
                           (int)(length < 40 ? length : 40), algorithm);
    bag->manifests[bag->count++] = manifest;
    return 0;
}

static int find_manifests(struct bag *bag, struct dray_error *error)
{
    const struct dray_tree *tree = bag->validation->tree;
    int result = 0;

    for (size_t i = 0; result == 0 && i < tree->count; i++)
        if (tree->entries[i]->type == DRAY_FILE && tree->entries[i]->path_length > bag->length)
            result = note_manifest(bag, tree->entries[i], error);
    if (result != 0 || bag->compared != 0)
        return result;
    if (bag->payloads == 0) {
        dray_fail(error, DRAY_INVALID, "the bag has no manifest of its payload");
        dray_hint(error, "a bag has a manifest-sha256.txt; `manifest: none` delivers this one as "
                         "any other dataset");
    } else {
        dray_fail(error, DRAY_UNSUPPORTED,
                  "the bag's manifests are of %.200s, and only SHA-256 and MD5 are compared",
                  bag->foreign.data ? bag->foreign.data : "another kind");
        dray_hint(error, "add a manifest-sha256.txt to the bag; `manifest: none` delivers it "
                         "without comparing");
    }
    return error->class_;
}

static int use_manifest(struct bag *bag, size_t number, struct dray_error *error)
{
    const struct bag_manifest *one = &bag->manifests[number];
    const struct dray_bag_manifest manifest = {.name = one->entry->path,
                                               .base = bag->base,
                                               .digest_bytes = one->digest_bytes,
                                               .payload = one->payload,
                                               .percent = bag->major > 0};
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = DRAY_VALIDATE_TEXT_CAP + 1};
    struct dray_recorded_list *list = &bag->validation->list;
    size_t from = list->count;

    int result = dray_validate_text(bag->validation, one->entry, &text, error);
    if (result == 0)
        result = dray_bag_read(&manifest, text.data, text.length, list, error);
    for (size_t i = from; i < list->count; i++) {
        int64_t at =
            dray_tree_find(bag->validation->tree, list->items[i].path, list->items[i].path_length);
        if (at >= 0)
            bag->listed[at] |= 1u << number;
    }
    return result;
}

/* ---- Are they whole? ---- */

static void tell_unlisted(struct bag *bag, const char *what, const struct dray_names *names)
{
    char more[40] = "";

    if (names->count > names->shown)
        (void)snprintf(more, sizeof(more), " and %zu more", names->count - names->shown);
    dray_differences_fact(&bag->validation->differences, "%.120s%s%s", what,
                          names->text.data ? names->text.data : "", more);
}

/* Must it stand in that manifest? What stands in none is told of by its name alone. */
static int must_list(const struct bag *bag, size_t number, size_t index)
{
    if (bag->manifests[number].payload)
        return (bag->listed[index] & bag->payloads) != 0 &&
               is_payload(bag, bag->validation->tree->entries[index]);
    for (size_t i = 0; i < bag->count; i++)
        if (bag->manifests[i].payload &&
            bag->manifests[i].entry == bag->validation->tree->entries[index])
            return 1;
    return 0;
}

/* From version 1.0 on each manifest of the payload lists all of it, each of the tags all of those.
 */
static int check_whole(struct bag *bag, size_t number, size_t *told, struct dray_error *error)
{
    const struct dray_tree *tree = bag->validation->tree;
    struct dray_names unlisted = {.text.cap = 8192};
    dray_autofree char *what =
        dray_format("%.100s does not list", bag->manifests[number].entry->path + bag->length);

    if (!what)
        return dray_fail_memory(error);
    for (size_t i = 0; i < tree->count; i++)
        if (tree->entries[i]->type == DRAY_FILE && !(bag->listed[i] & 1u << number) &&
            must_list(bag, number, i))
            dray_names_add(&unlisted, tree->entries[i]->path, tree->entries[i]->path_length, NULL);
    if (unlisted.count > 0 && (*told)++ < MOST_TOLD)
        tell_unlisted(bag, what, &unlisted);
    int failed = unlisted.text.failed;
    dray_buffer_free(&unlisted.text);
    return failed ? dray_fail_memory(error) : 0;
}

/* Before it some files could stand in one manifest, some in another. */
static int check_compared(struct bag *bag, struct dray_error *error)
{
    const struct dray_tree *tree = bag->validation->tree;
    struct dray_names names = {.text.cap = 8192};

    for (size_t i = 0; i < tree->count; i++)
        if (bag->listed[i] & bag->payloads && !(bag->listed[i] & bag->compared))
            dray_names_add(&names, tree->entries[i]->path, tree->entries[i]->path_length, NULL);
    if (names.count > 0)
        tell_unlisted(bag, "no manifest of SHA-256 or MD5 lists", &names);
    int failed = names.text.failed;
    dray_buffer_free(&names.text);
    return failed ? dray_fail_memory(error) : 0;
}

static int use_manifests(struct bag *bag, struct dray_error *error)
{
    size_t told = 0;
    int result = find_manifests(bag, error);

    for (size_t i = 0; result == 0 && i < bag->count; i++)
        result = use_manifest(bag, i, error);
    if (result == 0 && bag->major == 0)
        return check_compared(bag, error);
    for (size_t i = 0; result == 0 && i < bag->count; i++)
        if (!bag->validation->extra || !bag->manifests[i].payload)
            result = check_whole(bag, i, &told, error);
    return result;
}

/* ---- Tags ---- */

/* What is to be fetched, and is not there, is missing, whether a manifest lists it or not. */
static int use_fetch(struct bag *bag, struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = DRAY_VALIDATE_TEXT_CAP + 1};
    dray_cleanup(dray_recorded_free) struct dray_recorded_list fetched = {0};
    struct dray_validation *validation = bag->validation;
    dray_autofree char *path = NULL;
    int there = 0;
    size_t holes = 0;

    int result = read_tag(bag, "fetch.txt", &path, &text, &there, error);
    if (result == 0 && there)
        result = dray_bag_fetch(path, bag->base, bag->major > 0, text.data, text.length, &fetched,
                                error);
    for (size_t i = 0; result == 0 && i < fetched.count; i++) {
        const struct dray_recorded *one = &fetched.items[i];
        if (dray_tree_find(validation->tree, one->path, one->path_length) >= 0)
            continue;
        holes++;
        result = dray_recorded_add(&validation->list, one, error);
    }
    if (result == 0 && holes > 0)
        dray_differences_fact(&validation->differences,
                              "it is incomplete, and its fetch.txt says where to fetch what it "
                              "does not hold");
    return result;
}

static int use_info(struct bag *bag, struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = DRAY_VALIDATE_TEXT_CAP + 1};
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

static int use_bag(struct bag *bag, struct dray_error *error)
{
    int result = use_declaration(bag, error);

    if (result == 0)
        result = look_at_payload(bag, error);
    if (result == 0)
        result = use_manifests(bag, error);
    if (result == 0)
        result = use_fetch(bag, error);
    if (result == 0)
        result = use_info(bag, error);
    if (result == 0 && bag->foreign.failed)
        result = dray_fail_memory(error);
    return result == 0
               ? dray_validate_note(bag->validation->step, json_pack("{s:s}", "what", "bag"), error)
               : result;
}

int dray_validate_bag(struct dray_validation *validation, int *ret_there, struct dray_error *error)
{
    struct bag bag = {.validation = validation, .foreign = {.cap = 4096}};

    dray_autofree char *base = bag.base = find_bag(validation->tree, error);
    *ret_there = base != NULL;
    if (!base)
        return error->class_;
    dray_autofree uint32_t *listed = bag.listed =
        calloc(validation->tree->count + 1, sizeof(*listed));
    if (!listed)
        return dray_fail_memory(error);
    bag.length = strlen(base);
    dray_buffer_text(&validation->what, "its bag says");
    validation->compares = 1;
    int result = use_bag(&bag, error);
    dray_buffer_free(&bag.foreign);
    return result;
}
