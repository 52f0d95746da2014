/* SPDX-License-Identifier: MIT */
/*
 * staged_list.c - the list of what was brought: a line of JSON for each file, directory and link,
 * in an order that does not depend on the file system. Whether all is still there as it was is
 * answered by making the list again. Bytes are not read: their digests are compared where they are.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/text.h"
#include "core/engine/staged.h"

#define PIECE (64u << 10)
/* As deep as a path of the kernel's may be. */
#define DEEPEST 2048

/* What is done with each entry, below a directory; `path` is relative to it. */
struct listing {
    int root;
    int (*entry)(const struct listing *listing, const char *path, const struct stat *status);
    void *arg;
    struct dray_error *error;
};

static int is_name(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int list_directory(struct listing *listing, const char *path, int depth);

static int list_entry(struct listing *listing, const char *parent, const char *name, int depth)
{
    dray_autofree char *path = *parent ? dray_format("%s/%s", parent, name) : strdup(name);
    struct stat status;

    if (!path)
        return dray_fail_memory(listing->error);
    if (fstatat(listing->root, path, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return dray_fail_errno(listing->error, errno, "looking at %s", path);
    int result = listing->entry(listing, path, &status);
    return result == 0 && S_ISDIR(status.st_mode) ? list_directory(listing, path, depth + 1)
                                                  : result;
}

/* Each is opened by its path from the root, so that depth costs no descriptors. */
static int list_directory(struct listing *listing, const char *path, int depth)
{
    struct dirent **names = NULL;
    int result = 0;

    if (depth > DEEPEST)
        return dray_fail(listing->error, DRAY_UNSUPPORTED, "%s is too deep", path);
    dray_autoclose int fd =
        openat(listing->root, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int count = fd < 0 ? -1 : scandirat(fd, ".", &names, is_name, by_bytes);
    if (count < 0)
        return dray_fail_errno(listing->error, errno, "listing %s",
                               *path ? path : "what was brought");
    dray_close_descriptor(&fd);
    fd = -1;
    for (int i = 0; i < count; i++) {
        if (result == 0)
            result = list_entry(listing, path, names[i]->d_name, depth);
        free(names[i]);
    }
    free(names);
    return result;
}

/* ---- A line */

static json_t *time_of(const struct timespec *time)
{
    return json_integer((json_int_t)time->tv_sec * 1000000000 + time->tv_nsec);
}

static int add_target(const struct listing *listing, const char *path, json_t *json)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(listing->root, path, target, sizeof(target));

    return length >= 0 ? dray_json_set_path(json, "target", target, (size_t)length) : -1;
}

/* `ctime` tells of bytes that were changed and had their time set back: nobody can set it. */
static char *line_of(const struct listing *listing, const char *path, const struct stat *status)
{
    const char *type = S_ISREG(status->st_mode)   ? "file"
                       : S_ISDIR(status->st_mode) ? "directory"
                       : S_ISLNK(status->st_mode) ? "link"
                                                  : "other";
    json_t *json = json_pack("{s:s, s:I, s:i}", "type", type, "inode", (json_int_t)status->st_ino,
                             "mode", (int)(status->st_mode & 07777));
    char *line = NULL;
    int made = json && dray_json_set_path(json, "path", path, strlen(path)) == 0;

    /* A directory has what is in it. */
    if (made && !S_ISDIR(status->st_mode))
        made = json_object_set_new(json, "size", json_integer(status->st_size)) == 0 &&
               json_object_set_new(json, "mtime", time_of(&status->st_mtim)) == 0 &&
               json_object_set_new(json, "ctime", time_of(&status->st_ctim)) == 0;
    if (made && S_ISLNK(status->st_mode))
        made = add_target(listing, path, json) == 0;
    if (made)
        line = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(json);
    return line;
}

/* ---- Writing */

struct writing {
    struct dray_buffer buffer;
    int fd;
};

static int flush(struct writing *writing, struct dray_error *error)
{
    if (writing->buffer.failed)
        return dray_fail_memory(error);
    if (dray_write_all(writing->fd, writing->buffer.data, writing->buffer.length) != 0)
        return dray_fail_errno(error, errno, "writing the list of what was brought");
    dray_buffer_clear(&writing->buffer);
    return 0;
}

static int write_entry(const struct listing *listing, const char *path, const struct stat *status)
{
    struct writing *writing = listing->arg;
    dray_autofree char *line = line_of(listing, path, status);

    if (!line)
        return dray_fail_memory(listing->error);
    dray_buffer_format(&writing->buffer, "%s\n", line);
    return writing->buffer.length < PIECE && !writing->buffer.failed
               ? 0
               : flush(writing, listing->error);
}

static int open_tree(const char *directory, struct dray_error *error)
{
    dray_autofree char *path = dray_format("%s/tree", directory);

    if (!path)
        return dray_fail_memory(error);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 ? fd : dray_fail_errno(error, errno, "opening %s", path);
}

int dray_staged_list_write(const char *directory, struct dray_error *error)
{
    dray_autofree char *path = dray_format("%s/list", directory);
    struct writing writing = {.fd = -1, .buffer = {.cap = 1u << 20}};
    dray_autoclose int tree = path ? open_tree(directory, error) : dray_fail_memory(error);
    struct listing listing = {.root = tree, .entry = write_entry, .arg = &writing, .error = error};

    if (tree < 0)
        return error->class_;
    /* All that the program wrote; nobody else has to wait for more than that. */
    if (syncfs(tree) != 0)
        return dray_fail_errno(error, errno, "making what was brought durable");
    writing.fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (writing.fd < 0)
        return dray_fail_errno(error, errno, "making %s", path);
    int result = list_directory(&listing, "", 0);
    if (result == 0)
        result = flush(&writing, error);
    if (result == 0 && fsync(writing.fd) != 0)
        result = dray_fail_errno(error, errno, "making %s durable", path);
    if (dray_close(&writing.fd) != 0 && result == 0)
        result = dray_fail_errno(error, errno, "writing %s", path);
    dray_buffer_free(&writing.buffer);
    return result;
}

/* ---- Comparing */

struct comparing {
    FILE *list;
    char *line;
    size_t room;
};

/* A line as the list has it next; NULL at its end. */
static const char *next_line(struct comparing *comparing)
{
    ssize_t length = getline(&comparing->line, &comparing->room, comparing->list);

    if (length > 0 && comparing->line[length - 1] == '\n')
        comparing->line[length - 1] = '\0';
    return length > 0 ? comparing->line : NULL;
}

static int compare_entry(const struct listing *listing, const char *path, const struct stat *status)
{
    dray_autofree char *found = line_of(listing, path, status);
    const char *listed = next_line(listing->arg);

    if (!found)
        return dray_fail_memory(listing->error);
    if (listed && strcmp(listed, found) == 0)
        return 0;
    return dray_fail(listing->error, DRAY_INTEGRITY,
                     "%s is not as it was brought, or what is before it is gone", path);
}

static int compare(const char *directory, struct comparing *comparing, struct dray_error *error)
{
    dray_autoclose int tree = open_tree(directory, error);
    struct listing listing = {
        .root = tree, .entry = compare_entry, .arg = comparing, .error = error};
    int result = tree < 0 ? tree : list_directory(&listing, "", 0);

    if (result == 0 && next_line(comparing))
        result = dray_fail(error, DRAY_INTEGRITY, "something is gone: %.200s", comparing->line);
    return result;
}

int dray_staged_list_check(const char *directory, struct dray_error *error)
{
    dray_autofree char *path = dray_format("%s/list", directory);
    struct comparing comparing = {0};

    if (!path)
        return dray_fail_memory(error);
    comparing.list = fopen(path, "re");
    int result = comparing.list ? compare(directory, &comparing, error)
                                : dray_fail_errno(error, errno, "opening %s", path);
    if (comparing.list)
        (void)fclose(comparing.list);
    free(comparing.line);
    /* What went away is no better; what cannot be looked at now may be whole. */
    if (result == DRAY_NOT_FOUND)
        result = error->class_ = DRAY_INTEGRITY;
    return result;
}

/* ---- Its size */

struct usage {
    struct dray_engine *engine;
    uint64_t sum;
};

static int add_size(const struct listing *listing, const char *path, const struct stat *status)
{
    struct usage *usage = listing->arg;

    (void)path;
    usage->sum += (uint64_t)status->st_blocks * 512;
    if (usage->engine)
        dray_cancel_look(usage->engine);
    return usage->engine && usage->engine->interrupted ? DRAY_CANCELLED : 0;
}

uint64_t dray_disk_usage(const char *path, struct dray_engine *engine)
{
    struct usage usage = {.engine = engine};
    struct dray_error ignored = {0};
    dray_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct listing listing = {.root = fd, .entry = add_size, .arg = &usage, .error = &ignored};

    /* What goes away meanwhile is not counted. */
    if (fd < 0 || list_directory(&listing, "", 0) != 0)
        return usage.sum;
    return usage.sum;
}
