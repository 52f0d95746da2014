/* SPDX-License-Identifier: MIT */
/* overlap.c - whether the source of one dataset holds bytes of another one: the same place, one
 * above, or one below, by whatever path. */
#include "core/api/overlap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/memory.h"
#include "core/base/path.h"

/* Without asking servers for what is cached, and without mounting what a path leads to. */
static int look(const char *path, struct dray_inode *ret_inode)
{
    struct statx status;

    if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO, &status) != 0)
        return 0;
    *ret_inode = (struct dray_inode){status.stx_dev_major, status.stx_dev_minor, status.stx_ino};
    return 1;
}

static int is_same(const struct dray_inode *one, const struct dray_inode *other)
{
    return one->number == other->number && one->major == other->major && one->minor == other->minor;
}

/* The directories above it and itself, as far as they are there. */
static int look_above(struct dray_overlap *overlap, struct dray_error *error)
{
    dray_autofree char *path = strdup(overlap->path);
    size_t segments = 1;

    for (const char *at = overlap->path; *at; at++)
        segments += *at == '/';
    overlap->inodes = calloc(segments, sizeof(*overlap->inodes));
    if (!path || !overlap->inodes)
        return dray_fail_memory(error);
    overlap->count = (size_t)look("/", &overlap->inodes[0]);
    for (char *end = path + 1; *path && path[1]; end++) {
        const char kept = *end;
        if (kept != '/' && kept != '\0')
            continue;
        *end = '\0';
        overlap->there = look(path, &overlap->inodes[overlap->count]);
        overlap->count += (size_t)overlap->there;
        *end = kept;
        if (kept == '\0')
            return 0;
    }
    overlap->there = overlap->count > 0;
    return 0;
}

/* The part before the colon and behind it. */
static int split(const char *source, char **ret_remote, char **ret_path, struct dray_error *error)
{
    const char *colon = strchr(source, ':');
    size_t length = colon ? (size_t)(colon - source) : 0;

    *ret_remote = strndup(source, length);
    *ret_path = dray_path_fold(colon ? colon + 1 : source);
    return *ret_remote && *ret_path ? 0 : dray_fail_memory(error);
}

int dray_overlap_begin(struct dray_overlap *overlap, const char *source, struct dray_error *error)
{
    if (*source != '/')
        return split(source, &overlap->remote, &overlap->path, error);
    overlap->path = dray_path_real(source);
    return overlap->path ? look_above(overlap, error) : dray_fail_memory(error);
}

/* By their texts, which are folded. */
static int lies_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    if (length == 0)
        return *path && *path != '/';
    if (strcmp(directory, "/") == 0)
        return path[0] == '/' && path[1];
    return strncmp(path, directory, length) == 0 && path[length] == '/';
}

static enum dray_overlap_kind compare(const char *read, const char *other)
{
    if (strcmp(read, other) == 0)
        return DRAY_OVERLAP_SAME;
    if (lies_below(read, other))
        return DRAY_OVERLAP_ABOVE;
    return lies_below(other, read) ? DRAY_OVERLAP_BELOW : DRAY_OVERLAP_NONE;
}

static int judge_remote(const struct dray_overlap *overlap, const char *source,
                        enum dray_overlap_kind *ret_kind, struct dray_error *error)
{
    dray_autofree char *remote = NULL, *path = NULL;
    int result = split(source, &remote, &path, error);

    if (result == 0 && strcmp(remote, overlap->remote) == 0)
        *ret_kind = compare(overlap->path, path);
    return result;
}

/* A hard link to the same file, and a directory above that is mounted a second time, have other
 * paths. */
static enum dray_overlap_kind compare_inodes(const struct dray_overlap *overlap, const char *source)
{
    struct dray_inode inode;

    if (!look(source, &inode))
        return DRAY_OVERLAP_NONE;
    for (size_t i = overlap->count; i > 0; i--)
        if (is_same(&overlap->inodes[i - 1], &inode))
            return i == overlap->count && overlap->there ? DRAY_OVERLAP_SAME : DRAY_OVERLAP_ABOVE;
    return DRAY_OVERLAP_NONE;
}

int dray_overlap_judge(const struct dray_overlap *overlap, const char *source,
                       enum dray_overlap_kind *ret_kind, struct dray_error *error)
{
    *ret_kind = DRAY_OVERLAP_NONE;
    if ((*source != '/') != (overlap->remote != NULL))
        return 0;
    if (overlap->remote)
        return judge_remote(overlap, source, ret_kind, error);
    *ret_kind = compare_inodes(overlap, source);
    if (*ret_kind != DRAY_OVERLAP_NONE)
        return 0;
    dray_autofree char *real = dray_path_real(source);
    if (!real)
        return dray_fail_memory(error);
    *ret_kind = compare(overlap->path, real);
    return 0;
}

void dray_overlap_clear(struct dray_overlap *overlap)
{
    free(overlap->remote);
    free(overlap->path);
    free(overlap->inodes);
    *overlap = (struct dray_overlap){0};
}

const char *dray_overlap_name(enum dray_overlap_kind kind)
{
    return kind == DRAY_OVERLAP_ABOVE ? "above" : kind == DRAY_OVERLAP_BELOW ? "below" : "same";
}
