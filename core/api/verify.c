/* SPDX-License-Identifier: MIT */
/* verify.c - a delivery checked as its recipient can: against its own records, with no state of
 * ours. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/api/api.h"
#include "core/base/digest.h"
#include "core/base/io.h"
#include "core/base/pool.h"
#include "core/base/text.h"
#include "core/tree/bytes.h"
#include "core/tree/manifest.h"
#include "core/tree/walk.h"

#define RECORD_CAP ((size_t)4 << 30)
#define MARKER_CAP (64u << 10)
/* Problems that are listed of one dataset; all are counted. */
#define LISTED 1000
/* Of the records (docs/formats.md). */
#define FORMAT_VERSION 1
#define READ_SIZE      (256u << 10)

/* One delivered dataset below a directory. */
struct checked {
    const char *name;
    char *base; /* directory of its records */
    json_t *marker, *receipt, *problems;
    struct dray_tree *expected; /* of tree.jsonl */
    struct dray_tree *found;    /* what is there */
    struct dray_roots *roots;
    uint64_t problem_count;
    pthread_mutex_t lock; /* guards problems and their count */
};

static void problem(struct checked *checked, const char *path, size_t length, const char *what)
{
    pthread_mutex_lock(&checked->lock);
    checked->problem_count++;
    if (json_array_size(checked->problems) < LISTED) {
        json_t *one = json_object();
        if (one && dray_json_set_path(one, "path", path, length) == 0 &&
            json_object_set_new(one, "problem", json_string(what)) == 0)
            (void)json_array_append(checked->problems, one);
        json_decref(one);
    }
    pthread_mutex_unlock(&checked->lock);
}

static void record_problem(struct checked *checked, const char *record, const char *what)
{
    dray_autofree char *path = dray_format(".dray/%s/%s", checked->name, record);

    problem(checked, path ? path : record, strlen(path ? path : record), what);
}

/* ---- Records ---- */

static void unreadable(struct checked *checked, const char *record, const struct dray_error *error)
{
    dray_autofree char *what = dray_format("cannot be read: %s", error->message);

    record_problem(checked, record, what ? what : "cannot be read");
}

static int read_record(struct checked *checked, const char *record, struct dray_buffer *out)
{
    dray_autofree char *path = dray_format("%s/%s", checked->base, record);
    struct dray_error error = {0};

    int result = path ? dray_read_file(path, out, &error) : dray_fail_memory(&error);
    if (result == 0)
        return 0;
    if (result == DRAY_NOT_FOUND)
        record_problem(checked, record, "is missing");
    else
        unreadable(checked, record, &error);
    return -1;
}

static json_t *read_json(struct checked *checked, const char *record, size_t cap)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = cap};

    if (read_record(checked, record, &text) != 0)
        return NULL;
    json_t *json =
        json_loadb(text.data ? text.data : "", text.length, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(json)) {
        json_decref(json);
        record_problem(checked, record, "is not JSON");
        return NULL;
    }
    return json;
}

static const char *member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* The bytes of a path in JSON: those of `coded_key` where it is no UTF-8, else of `key`. */
static char *path_of(const json_t *line, const char *key, const char *coded_key, size_t *ret_length)
{
    const char *coded = json_string_value(json_object_get(line, coded_key));
    const char *plain = member(line, key);

    if (!coded) {
        *ret_length = strlen(plain);
        return strdup(plain);
    }
    return dray_base64_decode(coded, ret_length);
}

static int expect_line(struct dray_tree_builder *builder, const json_t *line)
{
    const char *type = member(line, "type"), *digest = member(line, "sha256");
    struct dray_error error = {0};
    struct dray_tree_entry entry = {0};
    size_t length = 0, link_length = 0;
    dray_autofree char *path = path_of(line, "path", "path_b64", &length);
    dray_autofree char *link = path_of(line, "link", "link_b64", &link_length);

    if (!path || !link || strlen(link) != link_length)
        return -1;
    entry.path = path;
    entry.path_length = (uint32_t)length;
    entry.mode = (uint16_t)strtoul(member(line, "mode"), NULL, 8);
    entry.type = strcmp(type, "file") == 0        ? DRAY_FILE
                 : strcmp(type, "directory") == 0 ? DRAY_DIRECTORY
                                                  : DRAY_LINK;
    entry.at = entry.type == DRAY_LINK ? link : NULL;
    entry.bytes = (uint64_t)json_integer_value(json_object_get(line, "size"));
    if (strlen(digest) == 2 * DRAY_SHA256_BYTES &&
        dray_unhex(digest, DRAY_SHA256_BYTES, entry.sha256) == 0)
        entry.flags |= DRAY_ENTRY_SHA256;
    else if (entry.type == DRAY_FILE)
        return -1;
    return dray_tree_builder_add(builder, &entry, &error);
}

static int read_tree(struct checked *checked)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = RECORD_CAP};
    dray_cleanup(dray_tree_builder_freep) struct dray_tree_builder *builder =
        dray_tree_builder_new();
    struct dray_error error = {0};

    if (!builder)
        record_problem(checked, "tree.jsonl", "could not be compared: out of memory");
    if (!builder || read_record(checked, "tree.jsonl", &text) != 0)
        return -1;
    for (size_t at = 0; at < text.length;) {
        const char *end = memchr(text.data + at, '\n', text.length - at);
        size_t length = end ? (size_t)(end - text.data) - at : text.length - at;
        json_t *line = json_loadb(text.data + at, length, 0, NULL);
        int bad = !json_is_object(line) || expect_line(builder, line) != 0;
        json_decref(line);
        if (bad) {
            record_problem(checked, "tree.jsonl", "has a line that is not valid");
            return -1;
        }
        at += length + 1;
    }
    if (dray_tree_builder_finish(builder, &checked->expected, &error) == 0)
        return 0;
    record_problem(checked, "tree.jsonl", error.message);
    return -1;
}

struct manifest_check {
    struct checked *checked;
    uint64_t lines;
};

static int manifest_line(void *arg, const uint8_t *digest, size_t digest_bytes, const char *path,
                         size_t path_length, struct dray_error *error)
{
    struct manifest_check *check = arg;
    const struct dray_tree *expected = check->checked->expected;
    int64_t at = dray_tree_find(expected, path, path_length);

    (void)error;
    check->lines++;
    if (at < 0 || expected->entries[at]->type != DRAY_FILE || digest_bytes != DRAY_SHA256_BYTES ||
        memcmp(expected->entries[at]->sha256, digest, DRAY_SHA256_BYTES) != 0)
        problem(check->checked, path, path_length, "manifest and tree.jsonl do not agree on it");
    return 0;
}

static uint64_t files_of(const struct dray_tree *tree)
{
    uint64_t files = 0;

    for (size_t i = 0; i < tree->count; i++)
        files += tree->entries[i]->type == DRAY_FILE;
    return files;
}

static void check_manifest(struct checked *checked)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = RECORD_CAP};
    struct manifest_check check = {checked, 0};
    struct dray_error error = {0};
    uint8_t digest[DRAY_SHA256_BYTES];
    char hex[DRAY_SHA256_HEX];

    if (read_record(checked, "manifest-sha256.txt", &text) != 0)
        return;
    if (dray_sha256(text.data ? text.data : "", text.length, digest) != 0) {
        record_problem(checked, "manifest-sha256.txt", "could not be hashed");
        return;
    }
    dray_hex(digest, sizeof(digest), hex);
    if (checked->marker && strcmp(hex, member(checked->marker, "manifest_sha256")) != 0)
        record_problem(checked, "manifest-sha256.txt", "is not the one that delivered.json names");
    if (checked->receipt && strcmp(hex, member(checked->receipt, "manifest_sha256")) != 0)
        record_problem(checked, "manifest-sha256.txt", "is not the one that receipt.json names");
    if (dray_manifest_read("manifest-sha256.txt", text.data ? text.data : "", text.length,
                           manifest_line, &check, &error) != 0)
        record_problem(checked, "manifest-sha256.txt", error.message);
    else if (check.lines != files_of(checked->expected))
        record_problem(checked, "manifest-sha256.txt", "does not list every file of tree.jsonl");
}

/* What stands in two of the records must be the same in both. */
static void check_receipt(struct checked *checked)
{
    const json_t *receipt = checked->receipt, *marker = checked->marker;
    const struct dray_tree *tree = checked->expected;
    json_int_t entries = json_integer_value(json_object_get(receipt, "entries"));
    json_int_t bytes = json_integer_value(json_object_get(receipt, "bytes"));

    if (marker && strcmp(member(marker, "dataset"), checked->name) != 0)
        record_problem(checked, "delivered.json", "is of another dataset");
    if (receipt && strcmp(member(json_object_get(receipt, "dataset"), "name"), checked->name) != 0)
        record_problem(checked, "receipt.json", "is of another dataset");
    if (receipt && marker &&
        (strcmp(member(receipt, "job"), member(marker, "job")) != 0 ||
         strcmp(member(receipt, "request_key"), member(marker, "request_key")) != 0))
        record_problem(checked, "receipt.json", "is of another delivery than delivered.json");
    if (receipt && (entries != (json_int_t)tree->listed || bytes != (json_int_t)tree->bytes))
        record_problem(checked, "receipt.json", "counts other entries or bytes than tree.jsonl");
}

/* ---- What is there ---- */

static void check_one(struct checked *checked, const struct dray_tree_entry *expected)
{
    int64_t at = dray_tree_find(checked->found, expected->path, expected->path_length);
    const struct dray_tree_entry *found = at >= 0 ? checked->found->entries[at] : NULL;
    const char *what = NULL;

    if (!found)
        what = "is missing";
    else if (found->type != expected->type)
        what = "is of another type";
    else if (found->type == DRAY_LINK && strcmp(found->at, expected->at) != 0)
        what = "links to something else";
    else if (found->type != DRAY_LINK && found->mode != expected->mode)
        what = "has another mode";
    else if (found->type == DRAY_FILE && found->bytes != expected->bytes)
        what = "has another size";
    if (what)
        problem(checked, expected->path, expected->path_length, what);
    if (what || found->type != DRAY_FILE)
        return;
    struct dray_tree_entry entry = *found;
    memcpy(entry.sha256, expected->sha256, sizeof(entry.sha256));
    entry.flags |= DRAY_ENTRY_SHA256;
    struct dray_error error = {0};
    struct dray_bytes bytes;
    uint8_t sha256[DRAY_SHA256_BYTES];
    dray_autofree char *buffer = malloc(READ_SIZE);
    int64_t got = buffer ? 1 : dray_fail_memory(&error);
    int result = buffer ? dray_bytes_open(&bytes, checked->roots, &entry, &error) : DRAY_NO_MEMORY;
    if (result == 0) {
        while (got > 0)
            got = dray_bytes_read(&bytes, buffer, READ_SIZE, &error);
        struct dray_error end = {0};
        result = dray_bytes_close(&bytes, got == 0 ? sha256 : NULL, got == 0 ? &error : &end);
        result = got < 0 ? (int)got : result;
    }
    if (result == DRAY_INTEGRITY)
        problem(checked, expected->path, expected->path_length, "has other content");
    else if (result != 0) {
        dray_autofree char *why = dray_format("cannot be read: %s", error.message);
        problem(checked, expected->path, expected->path_length, why ? why : "cannot be read");
    }
}

static int check_index(void *arg, uint64_t index)
{
    struct checked *checked = arg;

    check_one(checked, checked->expected->entries[index]);
    return 0;
}

static int is_expected(const struct checked *all, size_t count, const struct dray_tree_entry *entry)
{
    for (size_t i = 0; i < count; i++)
        /* What else is in a directory that one was added to is not ours to judge. */
        if (!all[i].expected || json_is_true(json_object_get(all[i].marker, "merged")) ||
            dray_tree_find(all[i].expected, entry->path, entry->path_length) >= 0)
            return 1;
    return 0;
}

/* ---- All of it ---- */

static json_t *summary(const struct checked *checked)
{
    int known = checked->expected != NULL;

    return json_pack("{s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:O}", "dataset", checked->name, "job",
                     member(checked->marker, "job"), "time", member(checked->marker, "time"),
                     "signed", 0, "entries", (json_int_t)(known ? checked->expected->listed : 0),
                     "bytes", (json_int_t)(known ? checked->expected->bytes : 0), "problem_count",
                     (json_int_t)checked->problem_count, "problems", checked->problems);
}

static void checked_free(struct checked *checked)
{
    free(checked->base);
    json_decref(checked->marker);
    json_decref(checked->receipt);
    json_decref(checked->problems);
    dray_tree_unref(checked->expected);
    (void)pthread_mutex_destroy(&checked->lock);
}

/* What a newer version means cannot be known here. */
static void check_version(struct checked *checked, const char *record, const json_t *json)
{
    if (json && json_integer_value(json_object_get(json, "version")) != FORMAT_VERSION)
        record_problem(checked, record, "is of a version that this program does not know");
}

static void check_dataset(struct checked *checked, struct dray_pool *pool)
{
    checked->marker = read_json(checked, "delivered.json", MARKER_CAP);
    checked->receipt = read_json(checked, "receipt.json", RECORD_CAP);
    check_version(checked, "delivered.json", checked->marker);
    check_version(checked, "receipt.json", checked->receipt);
    if (read_tree(checked) != 0)
        return;
    check_manifest(checked);
    check_receipt(checked);
    if (dray_pool_run(pool, checked->expected->count, check_index, checked) != 0)
        record_problem(checked, "tree.jsonl", "could not be compared");
}

static int walk_delivery(const char *directory, struct dray_roots *roots,
                         struct dray_tree **ret_tree, struct dray_error *error)
{
    dray_cleanup(dray_tree_builder_freep) struct dray_tree_builder *builder =
        dray_tree_builder_new();

    if (!builder)
        return dray_fail_memory(error);
    dray_tree_builder_delivery(builder);
    int result = dray_walk(builder, roots, NULL, directory, NULL, NULL, error);
    if (result == DRAY_PERMANENT) /* a fifo, a socket or a device: none was delivered */
        result = dray_fail(error, DRAY_INTEGRITY, "the delivery is damaged: %s", error->message);
    return result != 0 ? result : dray_tree_builder_finish(builder, ret_tree, error);
}

/* Datasets that have records below the directory. */
static int list_datasets(const char *directory, char ***ret_names, size_t *ret_count,
                         struct dray_error *error)
{
    dray_autofree char *records = dray_format("%s/.dray", directory);
    size_t capacity = 0;
    DIR *listing = records ? opendir(records) : NULL;

    if (!listing) {
        dray_fail(error, DRAY_NOT_FOUND, "%s holds no delivery: %s", directory,
                  errno == ENOENT ? "there is no .dray in it" : strerror(errno));
        dray_hint(error, "name the directory that was delivered: the one that holds .dray");
        return error->class_;
    }
    int result = 0;
    for (const struct dirent *one; result == 0 && (one = readdir(listing));) {
        if (strcmp(one->d_name, ".") == 0 || strcmp(one->d_name, "..") == 0)
            continue;
        char *name = strdup(one->d_name);
        if (!name || DRAY_GROW(*ret_names, *ret_count, capacity) != 0)
            result = dray_fail_memory(error);
        else
            (*ret_names)[(*ret_count)++] = name;
    }
    (void)closedir(listing);
    if (result == 0 && *ret_count == 0)
        result =
            dray_fail(error, DRAY_NOT_FOUND, "%s holds no delivery: its .dray is empty", directory);
    return result;
}

static int verify_datasets(const char *directory, struct checked *all, size_t count,
                           struct dray_pool *pool, struct dray_roots *roots, json_t *datasets,
                           uint64_t *ret_problems, struct dray_error *error)
{
    dray_cleanup(dray_tree_unrefp) struct dray_tree *found = NULL;
    int result = walk_delivery(directory, roots, &found, error);

    if (result != 0)
        return result;
    for (size_t i = 0; i < count; i++) {
        all[i].found = found;
        all[i].roots = roots;
        check_dataset(&all[i], pool);
    }
    for (size_t i = 0; i < found->count; i++)
        if (!is_expected(all, count, found->entries[i]))
            problem(&all[0], found->entries[i]->path, found->entries[i]->path_length,
                    "was not delivered");
    for (size_t i = 0; i < count; i++) {
        *ret_problems += all[i].problem_count;
        if (json_array_append_new(datasets, summary(&all[i])) != 0)
            return dray_fail_memory(error);
    }
    return 0;
}

int dray_api_verify(const char *directory, json_t **ret_verdict, struct dray_error *error)
{
    char **names = NULL;
    size_t count = 0;
    uint64_t problems = 0;
    dray_autofree char *path = realpath(directory, NULL);
    if (!path)
        return dray_fail_errno(error, errno, "looking for %s", directory);
    json_t *datasets = json_array();
    struct dray_roots *roots = dray_roots_new();
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct dray_pool *pool = dray_pool_new(cores > 1 ? (unsigned)cores - 1 : 0, NULL, NULL);
    int result = datasets && roots && pool ? list_datasets(path, &names, &count, error)
                                           : dray_fail_memory(error);
    dray_autofree struct checked *all = calloc(count + 1, sizeof(*all));

    if (result == 0 && !all)
        result = dray_fail_memory(error);
    for (size_t i = 0; all && i < count; i++) {
        all[i].name = names[i];
        all[i].base = dray_format("%s/.dray/%s", path, names[i]);
        all[i].problems = json_array();
        (void)pthread_mutex_init(&all[i].lock, NULL);
        if (!all[i].base || !all[i].problems)
            result = dray_fail_memory(error);
    }
    if (result == 0)
        result = verify_datasets(path, all, count, pool, roots, datasets, &problems, error);
    if (result == 0) {
        *ret_verdict = json_pack("{s:s, s:s, s:O}", "directory", path, "verdict",
                                 problems ? "damaged" : "intact", "datasets", datasets);
        result = *ret_verdict ? 0 : dray_fail_memory(error);
    }
    if (result == 0 && problems)
        result = dray_fail(error, DRAY_INTEGRITY, "%s is damaged: %llu problem%s", path,
                           (unsigned long long)problems, problems == 1 ? "" : "s");
    for (size_t i = 0; i < count; i++) {
        if (all)
            checked_free(&all[i]);
        free(names[i]);
    }
    free(names);
    json_decref(datasets);
    dray_pool_free(pool);
    dray_roots_free(roots);
    return result;
}
