/* SPDX-License-Identifier: MIT */
/* io.c - see io.h; removing trees is in remove.c. */
#include "core/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

/* Linux moves at most about 2 GiB in one call; more is never asked for. */
#define LARGEST_CALL ((size_t)1 << 30)
#define READ_STEP    ((size_t)64 << 10)

/* After a call failed: 1 if it is to be made again, having waited where the descriptor does not
 * block. */
static int again(int fd, short events)
{
    struct pollfd wait = {.fd = fd, .events = events};

    if (errno == EINTR)
        return 1;
    if (errno != EAGAIN)
        return 0;
    return poll(&wait, 1, -1) > 0 || errno == EINTR;
}

/* Both ways to write; offset NULL: from where the descriptor stands. */
static int write_full(int fd, const char *bytes, size_t length, const off_t *offset)
{
    for (size_t total = 0; total < length;) {
        size_t wanted = length - total < LARGEST_CALL ? length - total : LARGEST_CALL;
        ssize_t done = offset != NULL ? pwrite(fd, bytes + total, wanted, *offset + (off_t)total)
                                      : write(fd, bytes + total, wanted);
        if (done < 0 && !again(fd, POLLOUT))
            return -1;
        total += done > 0 ? (size_t)done : 0;
    }
    return 0;
}

int dray_write_all(int fd, const void *data, size_t length)
{
    return write_full(fd, data, length, NULL);
}

/* Can [offset, offset + length) be named to the system? */
static int fits(uint64_t offset, size_t length)
{
    uint64_t end;

    if (!__builtin_add_overflow(offset, (uint64_t)length, &end) && end <= INT64_MAX)
        return 1;
    errno = EOVERFLOW;
    return 0;
}

int dray_pwrite_all(int fd, const void *data, size_t length, uint64_t offset)
{
    off_t start = (off_t)offset;

    return fits(offset, length) ? write_full(fd, data, length, &start) : -1;
}

int dray_flush(int fd, struct dray_buffer *buffer, const char *what, struct dray_error *error)
{
    if (buffer->failed)
        return dray_fail_memory(error);
    if (dray_write_all(fd, buffer->data, buffer->length) != 0)
        return dray_fail_errno(error, errno, "writing %s", what);
    dray_buffer_clear(buffer);
    return 0;
}

/* Both ways to read; offset NULL: from where the descriptor stands. */
static ssize_t read_full(int fd, char *bytes, size_t length, const off_t *offset)
{
    size_t total = 0;

    while (total < length) {
        size_t wanted = length - total < LARGEST_CALL ? length - total : LARGEST_CALL;
        ssize_t done = offset == NULL ? read(fd, bytes + total, wanted)
                                      : pread(fd, bytes + total, wanted, *offset + (off_t)total);
        if (done < 0) {
            if (!again(fd, POLLIN))
                return -1;
            continue;
        }
        if (done == 0)
            break;
        total += (size_t)done;
    }
    return (ssize_t)total;
}

ssize_t dray_read_full(int fd, void *data, size_t length)
{
    return read_full(fd, data, length, NULL);
}

ssize_t dray_pread_full(int fd, void *data, size_t length, uint64_t offset)
{
    off_t start = (off_t)offset;

    return fits(offset, length) ? read_full(fd, data, length, &start) : -1;
}

int dray_close(int *fd)
{
    /* Never again after EINTR: the number is free already and may be another thread's. What could
     * not be flushed is not known to be written, so that is an error like any other. */
    return close(DRAY_TAKE_FD(*fd));
}

/* The rest of a file, however large it says it is: files in /proc say 0, and pipes have no size. */
static int read_rest(int fd, const char *path, struct dray_buffer *buffer, size_t expected,
                     struct dray_error *error)
{
    size_t step = expected;

    for (;;) {
        char extra;
        size_t room = buffer->cap - buffer->length;
        if (step > room)
            step = room;
        char *place = step > 0 ? dray_buffer_reserve(buffer, step) : &extra;
        if (place == NULL)
            return dray_fail_memory(error);
        /* At the cap one byte more tells a file that fits from one that does not. */
        ssize_t done = dray_read_full(fd, place, step > 0 ? step : 1);
        if (done < 0)
            return dray_fail_errno(error, errno, "cannot read %s", path);
        if (step == 0 && done > 0)
            return dray_fail(error, DRAY_INVALID,
                             "cannot read %s: it is larger than the %zu bytes allowed", path,
                             buffer->cap);
        if (step == 0)
            return 0;
        buffer->length += (size_t)done;
        buffer->data[buffer->length] = '\0';
        if ((size_t)done < step)
            return 0;
        step = READ_STEP;
    }
}

int dray_read_file(const char *path, struct dray_buffer *buffer, struct dray_error *error)
{
    size_t before = buffer->length;
    size_t expected = READ_STEP;
    struct stat status;

    if (buffer->failed != 0)
        return dray_fail_memory(error);
    /* A pipe that nobody writes to would hang us right here, deaf to signals; like this it is
     * empty. */
    dray_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fcntl(fd, F_SETFL, 0) != 0)
        return dray_fail_errno(error, errno, "reading %s", path);
    /* One byte more than the file has, so that one call sees its end. */
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && (uint64_t)status.st_size < SIZE_MAX)
        expected = (size_t)status.st_size + 1;
    int result = read_rest(fd, path, buffer, expected, error);
    if (result != 0) {
        buffer->length = before;
        if (buffer->data != NULL)
            buffer->data[before] = '\0';
    }
    return result;
}

/* The directory part of a path, "." where it has none. Frees: caller. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static int sync_directory(const char *directory)
{
    dray_autoclose int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -1;
    /* A file system that cannot sync directories says EINVAL: then there is nothing more to do. */
    return fsync(fd) == 0 || errno == EINVAL ? 0 : -1;
}

/* A new file in the directory: its descriptor, and its name in *ret_path. */
static int create_beside(const char *directory, char **ret_path)
{
    for (int tries = 0; tries < 16; tries++) {
        uint64_t number;
        if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
            return -1;
        dray_autofree char *path =
            dray_format("%s/.dray-%016llx", directory, (unsigned long long)number);
        if (path == NULL) {
            errno = ENOMEM;
            return -1;
        }
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0) {
            *ret_path = DRAY_TAKE(path);
            return fd;
        }
        if (errno != EEXIST)
            return -1;
    }
    return -1;
}

/* Everything between creating the file and giving it its name. */
static int fill(int *fd, const void *data, size_t length, unsigned mode)
{
    if (dray_write_all(*fd, data, length) != 0 || fchmod(*fd, (mode_t)mode) != 0 || fsync(*fd) != 0)
        return -1;
    return dray_close(fd);
}

int dray_write_file(const char *path, const void *data, size_t length, unsigned mode,
                    struct dray_error *error)
{
    dray_autofree char *directory = directory_of(path);
    dray_autofree char *temporary = NULL;

    if (directory == NULL)
        return dray_fail_memory(error);
    dray_autoclose int fd = create_beside(directory, &temporary);
    if (fd < 0)
        return dray_fail_errno(error, errno, "cannot write %s: no new file can be made in %s", path,
                               directory);
    if (fill(&fd, data, length, mode) != 0 || rename(temporary, path) != 0) {
        int reason = errno;
        (void)unlink(temporary); /* what failed is reported; that this fails too helps nobody */
        return dray_fail_errno(error, reason, "cannot write %s", path);
    }
    if (sync_directory(directory) != 0)
        return dray_fail_errno(error, errno, "cannot make the new %s durable: syncing %s failed",
                               path, directory);
    return 0;
}

/* One directory, which may be there. */
static int make_directory(const char *path, unsigned mode, struct dray_error *error)
{
    struct stat status;

    if (mkdir(path, (mode_t)mode) == 0)
        return 0;
    /* Not only after EEXIST: an existing one on a read-only file system is as good. */
    int reason = errno;
    if (stat(path, &status) != 0)
        return dray_fail_errno(error, reason, "cannot make the directory %s", path);
    if (!S_ISDIR(status.st_mode))
        return dray_fail(error, DRAY_CONFLICT,
                         "cannot make the directory %s: something else has that name", path);
    return 0;
}

int dray_make_directories(const char *path, unsigned mode, struct dray_error *error)
{
    dray_autofree char *copy = strdup(path);

    if (copy == NULL)
        return dray_fail_memory(error);
    if (copy[0] == '\0')
        return dray_fail(error, DRAY_INVALID, "cannot make a directory without a name");
    for (char *end = copy + 1; *end != '\0'; end++) {
        if (*end != '/' || end[-1] == '/')
            continue;
        *end = '\0';
        int result = make_directory(copy, mode, error);
        *end = '/';
        if (result != 0)
            return result;
    }
    return make_directory(copy, mode, error);
}

/* Append the segments of a path, each after a `/`, without those that say nothing. */
static void add_segments(struct dray_buffer *buffer, const char *path)
{
    while (*path != '\0') {
        size_t length = strcspn(path, "/");
        if (length > 0 && !(length == 1 && path[0] == '.')) {
            dray_buffer_add(buffer, "/", 1);
            dray_buffer_add(buffer, path, length);
        }
        path += length;
        path += strspn(path, "/");
    }
}

char *dray_path_absolute(const char *base, const char *path)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer buffer = {.cap = SIZE_MAX - 1};

    if (path[0] != '/') {
        if (base == NULL || base[0] != '/') {
            dray_autofree char *here = getcwd(NULL, 0);
            if (here == NULL)
                return NULL;
            add_segments(&buffer, here);
        }
        if (base != NULL)
            add_segments(&buffer, base);
    }
    add_segments(&buffer, path);
    if (buffer.length == 0)
        dray_buffer_add(&buffer, "/", 1);
    return buffer.failed != 0 ? NULL : DRAY_TAKE(buffer.data);
}
