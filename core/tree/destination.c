/* SPDX-License-Identifier: MIT */
#include "core/tree/destination.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "core/base/beneath.h"
#include "core/base/io.h"
#include "core/base/text.h"
#include "core/tree/internal.h"

/* As the kernel has it. */
#define MAX_LINKS 40

/* ---- Roots ---- */

/* How much of a path is this root, 0: it does not begin with it. */
static size_t begins_with(const char *path, const char *root)
{
    size_t length = strlen(root);

    if (length == 1) /* "/" */
        return 1;
    return strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == '\0')
               ? length
               : 0;
}

/* The root that most of the path is, by its real path or (`names`) the configured one too; NULL:
 * none. *ret_rest: what follows, without a slash. */
static const char *root_of(const json_t *roots, const char *path, int names, const char **ret_rest)
{
    static const char *const keys[] = {"real", "path"};
    const char *found = NULL;
    size_t most = 0, i;
    json_t *root;

    if (!roots) {
        *ret_rest = path + 1;
        return "/";
    }
    json_array_foreach(roots, i, root)
    {
        for (size_t k = 0; k < (names ? 2 : 1); k++) {
            size_t length = begins_with(path, json_string_value(json_object_get(root, keys[k])));
            if (length <= most)
                continue;
            most = length;
            found = json_string_value(json_object_get(root, "real"));
        }
    }
    *ret_rest = path + most + (path[most] == '/');
    return found;
}

static void list_roots(const json_t *roots, struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer list = {.cap = sizeof(error->hint)};
    json_t *root;
    size_t i;

    json_array_foreach(roots, i, root)
        dray_buffer_format(&list, "\n  %s", json_string_value(json_object_get(root, "path")));
    dray_hint(error, "deliver below one of these, by a path that begins with it:%s",
              list.data ? list.data : "");
}

static int leads_outside(const json_t *roots, const char *path, const char *where,
                         struct dray_error *error)
{
    if (strcmp(path, where) == 0)
        (void)dray_fail(error, DRAY_DENIED,
                        "%.*s lies outside of the directories that this site delivers into",
                        DRAY_SHOWN(path, strlen(path)));
    else
        (void)dray_fail(error, DRAY_DENIED,
                        "%.*s leads to %.*s, outside of the directories that this site delivers "
                        "into",
                        DRAY_SHOWN(path, strlen(path)), DRAY_SHOWN(where, strlen(where)));
    list_roots(roots, error);
    return error->class_;
}

static int open_root(const char *real)
{
    int fd;

    do
        fd = open(real, O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* By its real path; -1 with errno. EXDEV: it lies outside. */
static int open_real(const json_t *roots, const char *real, int flags)
{
    const char *rest, *root = root_of(roots, real, 0, &rest);
    int no_openat2 = 0;

    if (!root) {
        errno = EXDEV;
        return -1;
    }
    dray_autoclose int base = open_root(root);
    if (base < 0)
        return -1;
    return *rest == '\0' ? openat(base, ".", flags | O_DIRECTORY | O_CLOEXEC)
                         : dray_open_beneath(base, rest, flags | O_DIRECTORY, &no_openat2);
}

int dray_destination_open(const json_t *roots, const char *real, struct dray_error *error)
{
    int fd = open_real(roots, real, O_RDONLY);

    if (fd >= 0)
        return fd;
    if (errno == EXDEV)
        return leads_outside(roots, real, real, error);
    return dray_fail_errno(error, errno, "opening the directory %.*s to deliver into",
                           DRAY_SHOWN(real, strlen(real)));
}

/* ---- Finding ---- */

/* On the way: where it has come to, and what is left of the path. */
struct way {
    const json_t *roots;
    const char *path; /* as it was asked for */
    char *rest;
    char real[PATH_MAX];
    size_t root_length; /* of `real`, how much is the root */
    int fd;             /* O_PATH */
    int links;
    struct dray_error *error;
};

static int fail_errno(struct way *way, int reason)
{
    if (reason == ENOENT)
        return dray_fail(way->error, DRAY_NOT_FOUND, "there is no directory %.*s to deliver into",
                         DRAY_SHOWN(way->path, strlen(way->path)));
    if (reason == ENOTDIR)
        return dray_fail(way->error, DRAY_INVALID,
                         "%.*s is not a directory, so nothing can be delivered into it",
                         DRAY_SHOWN(way->path, strlen(way->path)));
    return dray_fail_errno(way->error, reason, "looking for the directory %.*s to deliver into",
                           DRAY_SHOWN(way->path, strlen(way->path)));
}

/* Go on from the root that an absolute path begins with; takes the path. */
static int start(struct way *way, char *path)
{
    dray_autofree char *given = path;
    dray_autofree char *clean = given ? dray_path_absolute("/", given) : NULL;
    const char *rest;

    if (!clean)
        return dray_fail_memory(way->error);
    const char *root = root_of(way->roots, clean, 1, &rest);
    if (!root)
        return leads_outside(way->roots, way->path, clean, way->error);
    dray_close_descriptor(&way->fd);
    way->fd = open_root(root);
    if (way->fd < 0)
        return fail_errno(way, errno);
    way->root_length = strlen(root);
    memcpy(way->real, root, way->root_length + 1); /* realpath() made it */
    free(way->rest);
    way->rest = strdup(rest);
    return way->rest ? 0 : dray_fail_memory(way->error);
}

/* `..` of a real path is what it is without its last name. That of a root may be in another one. */
static int go_up(struct way *way)
{
    char *slash = strrchr(way->real, '/');

    slash[slash == way->real] = '\0';
    if (strlen(way->real) < way->root_length)
        return start(way, dray_format("%s/%s", way->real, way->rest));
    int above = open_real(way->roots, way->real, O_PATH);
    if (above < 0)
        return fail_errno(way, errno);
    dray_close_descriptor(&way->fd);
    way->fd = above;
    return 0;
}

/* What is no directory may be a link. */
static int follow(struct way *way, const char *name)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(way->fd, name, target, sizeof(target) - 1);

    if (length < 0)
        return fail_errno(way, errno == EINVAL ? ENOTDIR : errno);
    if (++way->links > MAX_LINKS)
        return fail_errno(way, ELOOP);
    target[length] = '\0';
    char *path = dray_format("%s/%s", target, way->rest);
    if (target[0] == '/')
        return start(way, path);
    free(way->rest);
    way->rest = path;
    return path ? 0 : dray_fail_memory(way->error);
}

/* Into the directory `name`. */
static int go_down(struct way *way, const char *name)
{
    /* O_DIRECTORY has what is mounted on demand mounted, which a plain O_PATH does not. */
    dray_autoclose int next = openat(way->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (next < 0 && (errno == ENOTDIR || errno == ELOOP))
        return follow(way, name);
    if (next < 0)
        return fail_errno(way, errno);
    size_t length = strlen(way->real), more = strlen(name);
    length -= way->real[length - 1] == '/';
    if (length + 1 + more >= sizeof(way->real))
        return fail_errno(way, ENAMETOOLONG);
    way->real[length] = '/';
    memcpy(way->real + length + 1, name, more + 1);
    dray_close_descriptor(&way->fd);
    way->fd = DRAY_TAKE_FD(next);
    return 0;
}

/* The next segment off the rest. 1, or 0 when there is none. */
static int next_name(struct way *way, char name[static NAME_MAX + 1], int *ret_result)
{
    size_t begin = strspn(way->rest, "/"), length = strcspn(way->rest + begin, "/");

    if (length == 0)
        return 0;
    if (length > NAME_MAX) {
        *ret_result = fail_errno(way, ENAMETOOLONG);
        return 0;
    }
    memcpy(name, way->rest + begin, length);
    name[length] = '\0';
    memmove(way->rest, way->rest + begin + length, strlen(way->rest + begin + length) + 1);
    return 1;
}

static int walk(struct way *way)
{
    char name[NAME_MAX + 1];
    int result = start(way, strdup(way->path));

    while (result == 0 && next_name(way, name, &result)) {
        if (strcmp(name, "..") == 0)
            result = go_up(way);
        else if (strcmp(name, ".") != 0)
            result = go_down(way, name);
    }
    return result;
}

int dray_destination_find(const json_t *roots, const char *path, char **ret_real, int *ret_fd,
                          struct dray_error *error)
{
    struct way way = {.roots = roots, .path = path, .fd = -1, .error = error};
    int result = walk(&way);

    free(way.rest);
    if (result == 0 && !dray_utf8_valid(way.real, strlen(way.real)))
        result = dray_fail(error, DRAY_INVALID, "the real path of %s is not UTF-8", path);
    dray_autofree char *real = result == 0 ? strdup(way.real) : NULL;
    if (result == 0 && !real)
        result = dray_fail_memory(error);
    if (result != 0) {
        dray_close_descriptor(&way.fd);
        return result;
    }
    *ret_real = DRAY_TAKE(real);
    *ret_fd = way.fd;
    return 0;
}
