/* SPDX-License-Identifier: MIT */
/*
 * probe.c - what is at the target. A delivery of ours is one whose marker can be read and whose
 * tree.jsonl says what is there, name for name: nothing is missing, nothing of another type or
 * size, nothing beside it. Bytes are not read: `dray verify` does that. Everything here may have
 * been written by anybody.
 */
#include "hpfs.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MARKER_CAP ((size_t)64 << 10)
/* A line holds at most a path, a link target and their base64 forms, escaped. */
#define LINE_CAP ((size_t)256 << 10)
/* Shown of a name in one line for a person. */
#define NAME_SHOWN 120

struct probe {
    struct dray_ctx *ctx;
    int root;        /* the directory at the target */
    char *why;       /* NULL, or why it is not a whole delivery; made with host->format */
    int failed;      /* a class: something that says nothing about the target */
    uint64_t names;  /* that tree.jsonl lists */
    uint64_t listed; /* without directories that have something in them */
    uint64_t bytes;
    char *last; /* path of the line before */
    size_t last_length;
    int last_is_directory;
};

static void free_json(json_t **json)
{
    json_decref(*json);
}
#define JSON_OWNED __attribute__((cleanup(free_json))) json_t *

static void free_text(char **text)
{
    free(*text);
}
#define TEXT_OWNED __attribute__((cleanup(free_text))) char *

/* Note why it is not whole, once; a missing text is a lack of memory. */
#define NOT_WHOLE(PROBE, ...)                                                                      \
    do {                                                                                           \
        if ((PROBE)->why == NULL && (PROBE)->failed == 0) {                                        \
            (PROBE)->why = (PROBE)->ctx->host->format(__VA_ARGS__);                                \
            if ((PROBE)->why == NULL)                                                              \
                no_memory(PROBE);                                                                  \
        }                                                                                          \
    } while (0)

static void no_memory(struct probe *probe)
{
    probe->failed =
        probe->ctx->host->fail(probe->ctx, DRAY_NO_MEMORY, "looking at the target: out of memory");
}

/* ---- Reading records ---- */

/* A regular file, whatever stands there by its name, or -1 with errno. */
static int open_file(int directory, const char *name)
{
    struct stat status;
    HPFS_FD fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &status) != 0)
        return -1;
    if (!S_ISREG(status.st_mode)) {
        errno = EINVAL;
        return -1;
    }
    int kept = fd;
    fd = -1;
    return kept;
}

static ssize_t read_some(int fd, char *buffer, size_t size)
{
    ssize_t got;

    do
        got = read(fd, buffer, size);
    while (got < 0 && errno == EINTR);
    return got;
}

/* The marker of the records' directory, or NULL: there is none, or none that can be read. */
static json_t *read_marker(struct probe *probe, int records)
{
    HPFS_FD fd = open_file(records, "delivered.json");
    TEXT_OWNED text = malloc(MARKER_CAP);
    size_t length = 0;

    if (text == NULL)
        no_memory(probe);
    if (text == NULL || fd < 0)
        return NULL;
    for (ssize_t got; length < MARKER_CAP; length += (size_t)got) {
        got = read_some(fd, text + length, MARKER_CAP - length);
        if (got < 0)
            return NULL;
        if (got == 0)
            return json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    }
    return NULL; /* no marker is that long */
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

static int is_digest(const char *text)
{
    return strspn(text, "0123456789abcdef") == 64 && text[64] == '\0';
}

/* Does it say all that a marker says, about this dataset? */
static int is_marker(const json_t *marker, const char *dataset)
{
    return json_integer_value(json_object_get(marker, "version")) == 1 &&
           is_digest(text_of(marker, "request_key")) &&
           is_digest(text_of(marker, "manifest_sha256")) && text_of(marker, "job")[0] != '\0' &&
           text_of(marker, "time")[0] != '\0' && strcmp(text_of(marker, "dataset"), dataset) == 0;
}

/* ---- Comparing the tree ---- */

static int value_of(unsigned char byte)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = byte == '\0' ? NULL : strchr(letters, byte);

    return found == NULL ? -1 : (int)(found - letters);
}

/* Base64 as tree.jsonl has it; NULL for no memory or no base64. */
static char *decode(const char *coded, size_t *ret_length)
{
    size_t length = strlen(coded), used = 0;
    char *text = malloc(length / 4 * 3 + 4);
    uint32_t bits = 0;
    unsigned count = 0;

    while (text != NULL && length > 0 && coded[length - 1] == '=')
        length--;
    for (size_t i = 0; text != NULL && i < length; i++) {
        int value = value_of((unsigned char)coded[i]);
        if (value < 0) {
            free(text);
            return NULL;
        }
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            text[used++] = (char)(bits >> count & 0xff);
        }
    }
    if (text != NULL)
        text[used] = '\0';
    *ret_length = used;
    return text;
}

/* The bytes of "path" or "link": themselves, or "KEY_b64" where they are no UTF-8. NULL: none. */
static char *bytes_of(const json_t *line, const char *key, size_t *ret_length)
{
    char name[16];
    const char *plain = json_string_value(json_object_get(line, key));
    size_t length = strlen(key);

    memcpy(name, key, length);
    memcpy(name + length, "_b64", 5);
    const char *coded = json_string_value(json_object_get(line, name));
    if (coded != NULL)
        return decode(coded, ret_length);
    *ret_length = plain == NULL ? 0 : strlen(plain);
    return plain == NULL ? NULL : strdup(plain);
}

/* The order of a tree: as bytes, `/` before all others. */
static int is_after(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t shorter = a_length < b_length ? a_length : b_length, i = 0;

    while (i < shorter && a[i] == b[i])
        i++;
    if (i == shorter)
        return a_length > b_length;
    return b[i] == '/' || (a[i] != '/' && (unsigned char)a[i] > (unsigned char)b[i]);
}

/* A path that stays below the root. */
static int is_path(const char *path, size_t length)
{
    if (length == 0 || path[0] == '/' || strlen(path) != length)
        return 0;
    for (const char *segment = path;;) {
        size_t bytes = strcspn(segment, "/");
        if (bytes == 0 || (bytes == 1 && segment[0] == '.') ||
            (bytes == 2 && segment[0] == '.' && segment[1] == '.'))
            return 0;
        if (segment[bytes] == '\0')
            return 1;
        segment += bytes + 1;
    }
}

static int is_below(const char *path, size_t length, const char *folder, size_t folder_length)
{
    return length > folder_length && path[folder_length] == '/' &&
           memcmp(path, folder, folder_length) == 0;
}

static void compare_link(struct probe *probe, const json_t *line, const char *path)
{
    char found[PATH_MAX];
    size_t length = 0;
    TEXT_OWNED target = bytes_of(line, "link", &length);
    ssize_t got = readlinkat(probe->root, path, found, sizeof(found));

    if (target == NULL || got < 0 || (size_t)got != length || memcmp(found, target, length) != 0)
        NOT_WHOLE(probe, "%.*s links to something else", NAME_SHOWN, path);
}

/* What is there by that path against what the line says. */
static void compare_entry(struct probe *probe, const json_t *line, const char *path)
{
    const char *type = text_of(line, "type");
    struct stat status;

    if (fstatat(probe->root, path, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        NOT_WHOLE(probe,
                  errno == ENOENT || errno == ENOTDIR ? "missing %.*s" : "%.*s cannot be looked at",
                  NAME_SHOWN, path);
        return;
    }
    mode_t wanted = strcmp(type, "file") == 0        ? S_IFREG
                    : strcmp(type, "directory") == 0 ? S_IFDIR
                                                     : S_IFLNK;
    if ((status.st_mode & S_IFMT) != wanted) {
        NOT_WHOLE(probe, "%.*s is of another type", NAME_SHOWN, path);
        return;
    }
    if (wanted == S_IFREG) {
        json_int_t size = json_integer_value(json_object_get(line, "size"));
        if (status.st_size != size)
            NOT_WHOLE(probe, "%.*s has another size", NAME_SHOWN, path);
        probe->bytes += (uint64_t)status.st_size;
    } else if (wanted == S_IFLNK) {
        compare_link(probe, line, path);
    }
}

/* One line of tree.jsonl. Each path must come after the one before, so that none counts twice. */
static void compare_line(struct probe *probe, const char *text, size_t text_length)
{
    JSON_OWNED line = json_loadb(text, text_length, 0, NULL);
    size_t length = 0;
    char *path = json_is_object(line) ? bytes_of(line, "path", &length) : NULL;

    if (path == NULL || !is_path(path, length) ||
        (probe->last != NULL && !is_after(path, length, probe->last, probe->last_length))) {
        free(path);
        NOT_WHOLE(probe, "its tree.jsonl has a line that is not valid");
        return;
    }
    /* A directory that has something in it is no entry that was counted. */
    if (probe->last_is_directory && is_below(path, length, probe->last, probe->last_length))
        probe->listed--;
    probe->names++;
    probe->listed++;
    compare_entry(probe, line, path);
    free(probe->last);
    probe->last = path;
    probe->last_length = length;
    probe->last_is_directory = strcmp(text_of(line, "type"), "directory") == 0;
}

static void compare_lines(struct probe *probe, int fd)
{
    TEXT_OWNED buffer = malloc(LINE_CAP);
    size_t held = 0;

    if (buffer == NULL) {
        no_memory(probe);
        return;
    }
    while (probe->why == NULL && probe->failed == 0) {
        ssize_t got = read_some(fd, buffer + held, LINE_CAP - held);
        if (got < 0)
            NOT_WHOLE(probe, "its tree.jsonl cannot be read: %s", strerror(errno));
        else if (got == 0 && held > 0)
            NOT_WHOLE(probe, "its tree.jsonl ends within a line, or has one that is too long");
        if (got <= 0)
            return;
        held += (size_t)got;
        char *line = buffer, *end = buffer + held;
        for (char *newline;
             probe->why == NULL && (newline = memchr(line, '\n', (size_t)(end - line))) != NULL;
             line = newline + 1)
            compare_line(probe, line, (size_t)(newline - line));
        held = (size_t)(end - line);
        memmove(buffer, line, held);
        probe->ctx->host->progress(probe->ctx, 0, 0);
        if (probe->ctx->host->cancelled(probe->ctx))
            probe->failed = probe->ctx->host->fail(probe->ctx, DRAY_CANCELLED, "cancelled");
    }
}

/* ---- Nothing beside it ---- */

/* Directories are opened by their path: however deep a tree is, few descriptors are held. */
struct pending {
    char **paths;
    size_t count, capacity;
};

static void push_path(struct probe *probe, struct pending *pending, const char *folder,
                      const char *name)
{
    char *path = probe->ctx->host->format("%s%s%s", folder, folder[0] == '\0' ? "" : "/", name);

    if (path != NULL && pending->count == pending->capacity) {
        size_t capacity = pending->capacity > 0 ? 2 * pending->capacity : 64;
        char **grown = reallocarray(pending->paths, capacity, sizeof(*grown));
        if (grown != NULL) {
            pending->paths = grown;
            pending->capacity = capacity;
        }
    }
    if (path == NULL || pending->count == pending->capacity) {
        free(path);
        no_memory(probe);
        return;
    }
    pending->paths[pending->count++] = path;
}

static int is_directory(DIR *listing, const struct dirent *one)
{
    struct stat status;

    if (one->d_type != DT_UNKNOWN)
        return one->d_type == DT_DIR;
    return fstatat(dirfd(listing), one->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(status.st_mode);
}

/* Names in one directory; those of directories are put aside. */
static uint64_t count_names(struct probe *probe, struct pending *pending, const char *folder)
{
    HPFS_FD fd = openat(probe->root, folder[0] == '\0' ? "." : folder,
                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);
    uint64_t count = 0;

    if (listing == NULL) {
        NOT_WHOLE(probe, "%.*s cannot be listed: %s", NAME_SHOWN, folder[0] == '\0' ? "it" : folder,
                  strerror(errno));
        return 0;
    }
    fd = -1; /* the listing's */
    for (const struct dirent *one; probe->failed == 0 && (one = readdir(listing)) != NULL;) {
        if (strcmp(one->d_name, ".") == 0 || strcmp(one->d_name, "..") == 0 ||
            (folder[0] == '\0' && strcmp(one->d_name, ".dray") == 0))
            continue;
        count++;
        if (is_directory(listing, one))
            push_path(probe, pending, folder, one->d_name);
    }
    (void)closedir(listing);
    return count;
}

/* All listed names are there; so as many names as are listed are nothing but those. */
static void check_nothing_else(struct probe *probe)
{
    struct pending pending = {NULL, 0, 0};
    uint64_t found = count_names(probe, &pending, "");

    while (pending.count > 0) {
        char *folder = pending.paths[--pending.count];
        if (probe->why == NULL && probe->failed == 0)
            found += count_names(probe, &pending, folder);
        free(folder);
    }
    free(pending.paths);
    if (found > probe->names)
        NOT_WHOLE(probe, "%" PRIu64 " %s in it that %s not delivered", found - probe->names,
                  found - probe->names == 1 ? "entry is" : "entries are",
                  found - probe->names == 1 ? "was" : "were");
}

/* ---- All of it ---- */

static void compare_tree(struct probe *probe, int records)
{
    HPFS_FD fd = open_file(records, "tree.jsonl");
    HPFS_FD manifest = open_file(records, "manifest-sha256.txt");

    if (fd < 0 || manifest < 0) {
        NOT_WHOLE(probe, "it has no %s", fd < 0 ? "tree.jsonl" : "manifest-sha256.txt");
        return;
    }
    compare_lines(probe, fd);
    free(probe->last);
    probe->last = NULL;
    if (probe->why == NULL && probe->failed == 0)
        check_nothing_else(probe);
}

static void tell_delivered(struct probe *probe, const json_t *marker,
                           struct dray_presence *presence)
{
    const struct dray_host *host = probe->ctx->host;

    presence->state = DRAY_DELIVERED;
    presence->entries = probe->listed;
    presence->bytes = probe->bytes;
    presence->request_key = host->format("%s", text_of(marker, "request_key"));
    presence->job = host->format("%s", text_of(marker, "job"));
    presence->time = host->format("%s", text_of(marker, "time"));
    if (presence->request_key == NULL || presence->job == NULL || presence->time == NULL)
        no_memory(probe);
}

/* A directory without a marker of this dataset. */
static void tell_directory(struct probe *probe, struct dray_presence *presence)
{
    int64_t count = hpfs_count_names(probe->root, ".");

    presence->what = count < 0 ? probe->ctx->host->format("a directory that cannot be listed: %s",
                                                          strerror(errno))
                               : probe->ctx->host->format("a directory with %" PRId64 " %s", count,
                                                          count == 1 ? "entry" : "entries");
    if (presence->what == NULL)
        no_memory(probe);
}

static void look_inside(struct probe *probe, struct dray_presence *presence)
{
    const char *dataset = probe->ctx->host->job(probe->ctx)->dataset;
    HPFS_FD ours = openat(probe->root, ".dray", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    HPFS_FD records =
        ours < 0 ? -1 : openat(ours, dataset, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    JSON_OWNED marker = records < 0 ? NULL : read_marker(probe, records);

    if (!is_marker(marker, dataset)) {
        tell_directory(probe, presence);
        return;
    }
    compare_tree(probe, records);
    if (probe->failed != 0)
        return;
    if (probe->why == NULL) {
        tell_delivered(probe, marker, presence);
        return;
    }
    presence->what =
        probe->ctx->host->format("a delivery of %s that is not whole: %s", dataset, probe->why);
    if (presence->what == NULL)
        no_memory(probe);
}

static const char *type_name(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "a file";
    case S_IFLNK:
        return "a symbolic link";
    default:
        return "neither a directory nor a file";
    }
}

static int look(struct dray_ctx *ctx, const struct hpfs_place *place,
                struct dray_presence *presence)
{
    const struct dray_host *host = ctx->host;
    struct probe probe = {.ctx = ctx};
    struct stat status;

    if (lstat(place->whole, &status) != 0) {
        if (errno != ENOENT)
            return host->fail_errno(ctx, errno, "looking for %s", place->whole);
        presence->state = DRAY_ABSENT;
        return DRAY_OK;
    }
    presence->state = DRAY_OCCUPIED;
    HPFS_FD root = open(place->whole, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0) {
        presence->what =
            S_ISDIR(status.st_mode)
                ? host->format("a directory that cannot be opened: %s", strerror(errno))
                : host->format("%s", type_name(status.st_mode));
        return presence->what != NULL
                   ? DRAY_OK
                   : host->fail(ctx, DRAY_NO_MEMORY, "looking at %s: out of memory", place->whole);
    }
    probe.root = root;
    look_inside(&probe, presence);
    host->free(probe.why);
    return probe.failed;
}

int hpfs_probe(void *self, struct dray_ctx *ctx, struct dray_presence *ret_presence)
{
    struct hpfs_place place;
    int result = hpfs_place_find(self, ctx, &place);

    if (result != DRAY_OK)
        return result;
    result = look(ctx, &place, ret_presence);
    hpfs_place_free(ctx->host, &place);
    return result;
}
