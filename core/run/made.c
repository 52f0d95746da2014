/* SPDX-License-Identifier: MIT */
#include "core/run/made.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buffer.h"
#include "core/base/io.h"

/* Some thousand lines: no request leaves so much behind. Of a longer file nothing is believed,
 * since its newest lines are not read. */
#define FILE_CAP ((size_t)512 << 10)

/* The inode of what is held, and when it was born, where that is known. */
static int identify(int held, struct dray_made_line *ret_line)
{
    struct statx status;

    if (statx(held, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &status) != 0)
        return -1;
    *ret_line = (struct dray_made_line){.inode = status.stx_ino};
    if ((status.stx_mask & STATX_BTIME) != 0 && status.stx_btime.tv_sec > 0)
        ret_line->born = (uint64_t)status.stx_btime.tv_sec * 1000000000 + status.stx_btime.tv_nsec;
    return 0;
}

/* ---- Reading ---- */

/* Of each kind, as it is written. */
static const char *const words[] = {"made", "old", "kept"};

/* "made INODE BORN", "old INODE BORN MANIFEST" or "kept INODE BORN"; any other line says nothing.
 */
static int read_line(struct dray_made *made, const char *line, struct dray_error *error)
{
    struct dray_made_line one = {0};
    char word[8];
    int end = 0;

    int found = sscanf(line, "%7[a-z] %" SCNu64 " %" SCNu64 "%n %64[0-9a-f]%n", word, &one.inode,
                       &one.born, &end, one.manifest, &end);
    for (size_t i = 0; found >= 3 && i < DRAY_COUNT(words); i++) {
        size_t digits = i == DRAY_MADE_OLD ? DRAY_SHA256_HEX - 1 : 0;
        if (strcmp(word, words[i]) != 0 || strlen(one.manifest) != digits || line[end] != '\0')
            continue;
        one.what = (enum dray_made_what)i;
        if (DRAY_GROW(made->lines, made->count, made->capacity) != 0)
            return dray_fail_memory(error);
        made->lines[made->count++] = one;
    }
    return 0;
}

/* What was cut by a crash has no line end. */
static int read_lines(struct dray_made *made, char *text, size_t length, struct dray_error *error)
{
    int result = 0;

    for (char *line = text, *end;
         result == 0 && (end = memchr(line, '\n', length - (size_t)(line - text))) != NULL;
         line = end + 1) {
        *end = '\0';
        result = read_line(made, line, error);
    }
    return result;
}

static char *path_of(const char *directory, const char *request_key)
{
    return dray_format("%s/%s", directory, request_key);
}

/* Its name has to be durable too, while there is nothing in it. */
static int sync_name(const char *directory, int fd, struct dray_error *error)
{
    struct stat status;
    dray_autoclose int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return folder >= 0 && fstat(fd, &status) == 0 && (status.st_size > 0 || fsync(folder) == 0)
               ? 0
               : dray_fail_errno(error, errno, "making the names in %s durable", directory);
}

int dray_made_open(const char *directory, const char *request_key, int make,
                   struct dray_made *ret_made, struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 2 * FILE_CAP};
    dray_autofree char *path = path_of(directory, request_key);
    int flags = O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | (make ? O_CREAT : 0);

    *ret_made = (struct dray_made){.fd = -1};
    if (!path)
        return dray_fail_memory(error);
    int result = make ? dray_make_directories(directory, 0700, error) : 0;
    if (result != 0)
        return result;
    ret_made->fd = open(path, flags, 0600);
    if (ret_made->fd < 0)
        return !make && errno == ENOENT ? 0 : dray_fail_errno(error, errno, "opening %s", path);
    if (make && (result = sync_name(directory, ret_made->fd, error)) != 0) {
        dray_made_close(ret_made);
        return result;
    }
    char *room = dray_buffer_reserve(&text, FILE_CAP);
    ssize_t got = room ? dray_read_full(ret_made->fd, room, FILE_CAP) : -1;
    if (!room)
        result = dray_fail_memory(error);
    else if (got < 0)
        result = dray_fail_errno(error, errno, "reading %s", path);
    else if ((size_t)got < FILE_CAP)
        result = read_lines(ret_made, room, (size_t)got, error);
    if (result != 0)
        dray_made_close(ret_made);
    return result;
}

void dray_made_close(struct dray_made *made)
{
    dray_close_descriptor(&made->fd);
    free(made->lines);
    *made = (struct dray_made){.fd = -1};
}

/* ---- Noting ---- */

int dray_made_note(struct dray_made *made, int held, enum dray_made_what what, const char *manifest,
                   struct dray_error *error)
{
    struct dray_made_line line;
    char text[160];

    if (made->fd < 0)
        return dray_fail(error, DRAY_BUG, "it is not known where to note what was made");
    if (identify(held, &line) != 0)
        return dray_fail_errno(error, errno, "looking at a directory that was made");
    line.what = what;
    (void)snprintf(line.manifest, sizeof(line.manifest), "%s", manifest ? manifest : "");
    int length = snprintf(text, sizeof(text), "%s %" PRIu64 " %" PRIu64 "%s%s\n", words[what],
                          line.inode, line.born, manifest ? " " : "", line.manifest);
    /* Behind a line that a crash cut, the next one begins anew. */
    off_t end = lseek(made->fd, 0, SEEK_END);
    char last = '\n';
    int cut = end > 0 && pread(made->fd, &last, 1, end - 1) == 1 && last != '\n';
    if (end < 0 || (cut && dray_write_all(made->fd, "\n", 1) != 0) ||
        dray_write_all(made->fd, text, (size_t)length) != 0 || fdatasync(made->fd) != 0)
        return dray_fail_errno(error, errno,
                               "noting in the state directory which directory was made");
    if (DRAY_GROW(made->lines, made->count, made->capacity) != 0)
        return dray_fail_memory(error);
    made->lines[made->count++] = line;
    return 0;
}

const struct dray_made_line *dray_made_find(const struct dray_made *made, int held)
{
    struct dray_made_line here;

    if (identify(held, &here) != 0)
        return NULL;
    for (size_t i = made->count; i > 0; i--) {
        const struct dray_made_line *line = &made->lines[i - 1];
        if (line->inode == here.inode &&
            (line->born == here.born || line->born == 0 || here.born == 0))
            return line;
    }
    return NULL;
}

/* What stays in it by mistake names nothing that is there. */
void dray_made_forget(struct dray_made *made)
{
    if (made->fd >= 0 && ftruncate(made->fd, 0) != 0)
        return;
    made->count = 0;
}

void dray_made_drop(const char *directory, const char *request_key)
{
    dray_autofree char *path = path_of(directory, request_key);
    struct stat status;

    if (path && lstat(path, &status) == 0 && status.st_size == 0)
        (void)unlink(path);
}
