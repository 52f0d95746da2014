/* SPDX-License-Identifier: MIT */
/*
 * compare.c - a delivery is whole when its manifest is the one that the marker names, and when its
 * tree.jsonl says what is there, name for name: nothing is missing, nothing is of another type or
 * size or links elsewhere, and nothing is beside it.
 */
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <openssl/evp.h>
#include <string.h>

/* A line holds at most a path, a link target and their base64 forms, escaped. */
#define LINE_CAP ((size_t)256 << 10)
/* Shown of a name in one line for a person. */
#define NAME_SHOWN 120
/* Of a manifest, at once. */
#define READ_STEP ((size_t)256 << 10)

/* The line before. */
struct last {
    char *path;
    size_t length;
    int is_directory;
};

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
    PROBE_TEXT target = bytes_of(line, "link", &length);
    ssize_t got = readlinkat(probe->root, path, found, sizeof(found));

    if (target == NULL || got < 0 || (size_t)got != length || memcmp(found, target, length) != 0)
        PROBE_NOT_WHOLE(probe, "%.*s links to something else", NAME_SHOWN, path);
}

static void free_digest(EVP_MD_CTX **context)
{
    EVP_MD_CTX_free(*context);
}

/* SHA-256 of a file in 64 digits; 0, or -1 where it cannot be read. What says nothing about the
 * file is noted. */
static int digest_of(struct probe *probe, int fd, char ret_digits[static 65])
{
    EVP_MD_CTX *context __attribute__((cleanup(free_digest))) = EVP_MD_CTX_new();
    PROBE_TEXT buffer = malloc(READ_STEP);
    unsigned char digest[32];
    unsigned length = 0;
    ssize_t got = 0;
    int computed =
        context != NULL && buffer != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;

    while (computed && (got = probe_read(fd, buffer, READ_STEP)) > 0) {
        computed = EVP_DigestUpdate(context, buffer, (size_t)got) == 1;
        probe->ctx->host->progress(probe->ctx, 0, 0);
        if (probe_is_cancelled(probe))
            return -1;
    }
    if (got < 0)
        return -1;
    if (!computed || EVP_DigestFinal_ex(context, digest, &length) != 1 ||
        length != sizeof(digest)) {
        probe_no_memory(probe);
        return -1;
    }
    for (size_t i = 0; i < sizeof(digest); i++) {
        ret_digits[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        ret_digits[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    ret_digits[2 * sizeof(digest)] = '\0';
    return 0;
}

/* How finely the file system keeps times, ns: the coarsest step that fits those of the records,
 * which nobody set. */
static int64_t grain_of(int records)
{
    static const char *const names[] = {"delivered.json", "tree.jsonl", "manifest-sha256.txt"};
    static const int64_t steps[] = {2000000000, 1000000000, 1000000, 1000, 100};
    struct stat status;

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        size_t fit = 0;
        for (size_t j = 0; j < sizeof(names) / sizeof(names[0]); j++)
            fit +=
                fstatat(records, names[j], &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                (status.st_mtim.tv_sec % 2 * 1000000000 + status.st_mtim.tv_nsec) % steps[i] == 0;
        if (fit == sizeof(names) / sizeof(names[0]))
            return steps[i];
    }
    return 1;
}

/* Is it the time that the file was given, as its file system keeps it? */
static int is_time(const struct probe *probe, int64_t given, const struct stat *status)
{
    struct timespec times[2];
    int64_t over = given % probe->grain;

    hpfs_times(given - (over < 0 ? over + probe->grain : over), times);
    return status->st_mtim.tv_sec == times[1].tv_sec && status->st_mtim.tv_nsec == times[1].tv_nsec;
}

/* A file that was not touched since it was delivered has the time that it was given then. Any other
 * may be somebody's work, unless its bytes are still those. */
static void compare_bytes(struct probe *probe, const json_t *line, const char *path,
                          const struct stat *status)
{
    char found[65];

    if (is_time(probe, json_integer_value(json_object_get(line, "mtime")), status))
        return;
    HPFS_FD fd = probe_open_file(probe->root, path);
    if (fd < 0 || digest_of(probe, fd, found) != 0)
        PROBE_NOT_WHOLE(probe, "%.*s was changed, and cannot be read", NAME_SHOWN, path);
    else if (strcmp(found, probe_text(line, "sha256")) != 0)
        PROBE_NOT_WHOLE(probe, "%.*s was changed", NAME_SHOWN, path);
}

/* What is there by that path against what the line says. */
static void compare_entry(struct probe *probe, const json_t *line, const char *path)
{
    const char *type = probe_text(line, "type");
    struct stat status;

    if (fstatat(probe->root, path, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        PROBE_NOT_WHOLE(probe,
                        errno == ENOENT || errno == ENOTDIR ? "missing %.*s"
                                                            : "%.*s cannot be looked at",
                        NAME_SHOWN, path);
        return;
    }
    mode_t wanted = strcmp(type, "file") == 0        ? S_IFREG
                    : strcmp(type, "directory") == 0 ? S_IFDIR
                                                     : S_IFLNK;
    if ((status.st_mode & S_IFMT) != wanted) {
        PROBE_NOT_WHOLE(probe, "%.*s is of another type", NAME_SHOWN, path);
        return;
    }
    if (wanted == S_IFREG) {
        json_int_t size = json_integer_value(json_object_get(line, "size"));
        if (status.st_size != size)
            PROBE_NOT_WHOLE(probe, "%.*s has another size", NAME_SHOWN, path);
        else if (probe->strict)
            compare_bytes(probe, line, path, &status);
        probe->bytes += (uint64_t)status.st_size;
    } else if (wanted == S_IFLNK) {
        compare_link(probe, line, path);
    }
}

/* One line of tree.jsonl. Each path must come after the one before, so that none counts twice. */
static void compare_line(struct probe *probe, struct last *last, const char *text,
                         size_t text_length)
{
    PROBE_JSON line = json_loadb(text, text_length, 0, NULL);
    size_t length = 0;
    char *path = json_is_object(line) ? bytes_of(line, "path", &length) : NULL;

    if (path == NULL || !is_path(path, length) ||
        (last->path != NULL && !is_after(path, length, last->path, last->length))) {
        free(path);
        PROBE_NOT_WHOLE(probe, "its tree.jsonl has a line that is not valid");
        return;
    }
    /* A directory that has something in it is no entry that was counted. */
    if (last->is_directory && is_below(path, length, last->path, last->length))
        probe->listed--;
    probe->names++;
    probe->listed++;
    compare_entry(probe, line, path);
    free(last->path);
    last->path = path;
    last->length = length;
    last->is_directory = strcmp(probe_text(line, "type"), "directory") == 0;
}

static void compare_lines(struct probe *probe, struct last *last, int fd)
{
    PROBE_TEXT buffer = malloc(LINE_CAP);
    size_t held = 0;

    if (buffer == NULL) {
        probe_no_memory(probe);
        return;
    }
    while (probe->why == NULL && probe->failed == 0) {
        ssize_t got = probe_read(fd, buffer + held, LINE_CAP - held);
        if (got < 0)
            PROBE_NOT_WHOLE(probe, "its tree.jsonl cannot be read: %s", strerror(errno));
        else if (got == 0 && held > 0)
            PROBE_NOT_WHOLE(probe,
                            "its tree.jsonl ends within a line, or has one that is too long");
        if (got <= 0)
            return;
        held += (size_t)got;
        char *line = buffer, *end = buffer + held;
        for (char *newline;
             probe->why == NULL && (newline = memchr(line, '\n', (size_t)(end - line))) != NULL;
             line = newline + 1)
            compare_line(probe, last, line, (size_t)(newline - line));
        held = (size_t)(end - line);
        memmove(buffer, line, held);
        probe->ctx->host->progress(probe->ctx, 0, 0);
        if (probe_is_cancelled(probe))
            return;
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
        probe->ctx->host->free(path);
        probe_no_memory(probe);
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

/* NULL with errno 0 at the end; what cannot be read is no end. */
static const struct dirent *next_name(DIR *listing)
{
    errno = 0;
    return readdir(listing);
}

/* Names in one directory; those of directories are put aside. */
static uint64_t count_names(struct probe *probe, struct pending *pending, const char *folder)
{
    HPFS_FD fd = openat(probe->root, folder[0] == '\0' ? "." : folder,
                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);
    uint64_t count = 0;

    if (listing == NULL) {
        PROBE_NOT_WHOLE(probe, "%.*s cannot be listed: %s", NAME_SHOWN,
                        folder[0] == '\0' ? "it" : folder, strerror(errno));
        return 0;
    }
    fd = -1; /* the listing's */
    for (const struct dirent *one; probe->failed == 0 && (one = next_name(listing)) != NULL;) {
        if (strcmp(one->d_name, ".") == 0 || strcmp(one->d_name, "..") == 0 ||
            (folder[0] == '\0' && strcmp(one->d_name, ".dray") == 0))
            continue;
        count++;
        if (is_directory(listing, one))
            push_path(probe, pending, folder, one->d_name);
    }
    if (errno != 0)
        PROBE_NOT_WHOLE(probe, "%.*s cannot be listed: %s", NAME_SHOWN,
                        folder[0] == '\0' ? "it" : folder, strerror(errno));
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
        probe->ctx->host->free(folder);
    }
    free(pending.paths);
    if (found < probe->names)
        PROBE_NOT_WHOLE(probe, "names of it come and go while it is looked at");
    if (found > probe->names)
        PROBE_NOT_WHOLE(probe, "%" PRIu64 " %s in it that %s not delivered", found - probe->names,
                        found - probe->names == 1 ? "entry is" : "entries are",
                        found - probe->names == 1 ? "was" : "were");
}

/* Of records, only ours may be there. */
static int is_record(const char *name)
{
    static const char *const ours[] = {"manifest-sha256.txt", "manifest-md5.txt", "tree.jsonl",
                                       "receipt.json",        "receipt.sig",      "README.txt",
                                       "delivered.json"};

    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (strcmp(name, ours[i]) == 0)
            return 1;
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static void check_records(struct probe *probe, int records)
{
    HPFS_FD fd = openat(records, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);

    if (listing == NULL) {
        PROBE_NOT_WHOLE(probe, "its records cannot be listed: %s", strerror(errno));
        return;
    }
    fd = -1; /* the listing's */
    for (const struct dirent *one; (one = next_name(listing)) != NULL;)
        if (!is_record(one->d_name))
            PROBE_NOT_WHOLE(probe, "among its records is %.*s", NAME_SHOWN, one->d_name);
    if (errno != 0)
        PROBE_NOT_WHOLE(probe, "its records cannot be listed: %s", strerror(errno));
    (void)closedir(listing);
    if (hpfs_count_names(probe->root, ".dray") != 1)
        PROBE_NOT_WHOLE(probe, "its .dray holds more than records of this dataset");
}

/* ---- The manifest ---- */

void probe_compare(struct probe *probe, int records, const char *digest)
{
    char found[65];
    HPFS_FD fd = probe_open_file(records, "tree.jsonl");
    HPFS_FD manifest = probe_open_file(records, "manifest-sha256.txt");
    struct last last = {NULL, 0, 0};

    if (fd < 0 || manifest < 0) {
        PROBE_NOT_WHOLE(probe, "it has no %s", fd < 0 ? "tree.jsonl" : "manifest-sha256.txt");
        return;
    }
    if (digest_of(probe, manifest, found) != 0)
        PROBE_NOT_WHOLE(probe, "its manifest-sha256.txt cannot be read");
    else if (strcmp(found, digest) != 0)
        PROBE_NOT_WHOLE(probe, "its manifest-sha256.txt is not the one that its marker names");
    if (probe->why != NULL || probe->failed != 0)
        return;
    probe->grain = grain_of(records);
    compare_lines(probe, &last, fd);
    free(last.path);
    if (probe->why == NULL && probe->failed == 0 && (probe->strict || !probe->merged))
        check_nothing_else(probe);
    if (probe->strict && probe->why == NULL && probe->failed == 0)
        check_records(probe, records);
}
