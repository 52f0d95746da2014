/* SPDX-License-Identifier: MIT */
/* roots.c - the directories and container files that bytes lie in, and opening what is below them.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "core/base/beneath.h"
#include "core/tree/internal.h"

/* Roots lie in blocks that never move, so that readers need no lock. */
#define BLOCK_ROOTS 64
#define BLOCKS      1024

struct dray_roots {
    pthread_mutex_t lock; /* guards adding: blocks and count */
    uint32_t count;       /* read without the lock, by atomic load */
    uint32_t link_groups; /* given so far; atomic */
    int no_openat2;       /* this kernel has none; atomic */
    struct dray_root *blocks[BLOCKS];
};

static struct dray_root *root_at(struct dray_roots *roots, uint32_t root)
{
    return &roots->blocks[root / BLOCK_ROOTS][root % BLOCK_ROOTS];
}

struct dray_roots *dray_roots_new(void)
{
    struct dray_roots *roots = calloc(1, sizeof *roots);

    if (roots == NULL)
        return NULL;
    if (pthread_mutex_init(&roots->lock, NULL) != 0) {
        free(roots);
        return NULL;
    }
    return roots;
}

void dray_roots_free(struct dray_roots *roots)
{
    if (roots == NULL)
        return;
    for (uint32_t i = 0; i < roots->count; i++) {
        (void)close(root_at(roots, i)->fd);
        free(root_at(roots, i)->path);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        free(roots->blocks[i]);
    (void)pthread_mutex_destroy(&roots->lock);
    free(roots);
}

const struct dray_root *dray_roots_get(struct dray_roots *roots, uint32_t root)
{
    if (root >= __atomic_load_n(&roots->count, __ATOMIC_ACQUIRE))
        return NULL;
    return root_at(roots, root);
}

uint32_t dray_roots_link_group(struct dray_roots *roots)
{
    uint32_t given = __atomic_load_n(&roots->link_groups, __ATOMIC_RELAXED);

    /* Files of group 0 are linked to nothing: when numbers run out, links become copies. */
    while (given < UINT32_MAX &&
           !__atomic_compare_exchange_n(&roots->link_groups, &given, given + 1, 1, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
        ;
    return given < UINT32_MAX ? given + 1 : 0;
}

int dray_status_of(int fd, struct statx *ret_status)
{
    /* Cheaper than fstat, which becomes newfstatat and a conversion. */
    return statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, ret_status);
}

struct dray_file_identity dray_file_identity_of(const struct statx *status)
{
    return (struct dray_file_identity){
        .device = makedev(status->stx_dev_major, status->stx_dev_minor),
        .inode = status->stx_ino,
        .bytes = status->stx_size,
        .mtime = dray_tree_time(status->stx_mtime.tv_sec, status->stx_mtime.tv_nsec),
        .ctime = dray_tree_time(status->stx_ctime.tv_sec, status->stx_ctime.tv_nsec),
    };
}

/* ---- Adding -------------------------------------------------------------------------------- */

/* Looked at before it is opened: opening a device can do things, opening a fifo waits. */
static int check_type(const char *path, unsigned mode, struct dray_error *error)
{
    if (S_ISDIR(mode) || S_ISREG(mode))
        return 0;
    if (S_ISLNK(mode)) {
        int result = dray_fail(error, DRAY_PERMANENT, "opening %s: it is a symbolic link", path);
        dray_hint(error, "name what it points to");
        return result;
    }
    return dray_fail(error, DRAY_PERMANENT, "opening %s: it is neither a directory nor a file",
                     path);
}

static int open_root(struct dray_root *root, struct dray_error *error)
{
    struct statx before;
    struct statx status;
    dray_autoclose int fd = -1;

    if (statx(AT_FDCWD, root->path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &before) != 0)
        return dray_fail_errno(error, errno, "opening %s", root->path);
    int result = check_type(root->path, before.stx_mode, error);
    if (result != 0)
        return result;
    do
        fd = open(root->path, O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0 || dray_status_of(fd, &status) != 0)
        return dray_fail_errno(error, errno, "opening %s", root->path);
    struct dray_file_identity identity = dray_file_identity_of(&status);
    struct dray_file_identity expected = dray_file_identity_of(&before);
    if (identity.device != expected.device || identity.inode != expected.inode)
        return dray_fail(error, DRAY_CHANGED,
                         "opening %s: it was replaced by another while it was opened", root->path);
    root->fd = DRAY_TAKE_FD(fd);
    root->directory = S_ISDIR(status.stx_mode);
    root->mode = status.stx_mode & 07777;
    root->identity = identity;
    return 0;
}

/* A trailing `/` would have the last part followed when it is a link. */
static char *without_slashes(const char *path)
{
    size_t length = strlen(path);

    while (length > 1 && path[length - 1] == '/')
        length--;
    return strndup(path, length);
}

static int add_locked(struct dray_roots *roots, char **path, uint32_t *ret_root,
                      struct dray_error *error)
{
    for (uint32_t i = 0; i < roots->count; i++)
        if (strcmp(root_at(roots, i)->path, *path) == 0) {
            *ret_root = i;
            return 0;
        }
    if (roots->count == BLOCKS * BLOCK_ROOTS)
        return dray_fail(error, DRAY_UNSUPPORTED,
                         "opening %s: a job reads from at most %d directories and containers",
                         *path, BLOCKS * BLOCK_ROOTS);
    struct dray_root **block = &roots->blocks[roots->count / BLOCK_ROOTS];
    if (*block == NULL)
        *block = calloc(BLOCK_ROOTS, sizeof **block);
    if (*block == NULL)
        return dray_fail_memory(error);
    struct dray_root *root = root_at(roots, roots->count);
    *root = (struct dray_root){.path = *path, .fd = -1};
    int result = open_root(root, error);
    if (result != 0)
        return result;
    *path = NULL;
    *ret_root = roots->count;
    __atomic_store_n(&roots->count, roots->count + 1, __ATOMIC_RELEASE);
    return 0;
}

int dray_roots_add(struct dray_roots *roots, const char *path, uint32_t *ret_root,
                   struct dray_error *error)
{
    dray_autofree char *clean = without_slashes(path);

    if (clean == NULL)
        return dray_fail_memory(error);
    int failed = pthread_mutex_lock(&roots->lock);
    assert(failed == 0);
    int result = add_locked(roots, &clean, ret_root, error);
    failed = pthread_mutex_unlock(&roots->lock);
    assert(failed == 0);
    if (result != 0 && result != DRAY_NO_MEMORY)
        error->side = DRAY_SIDE_SOURCE;
    return result;
}

int dray_roots_open_below(struct dray_roots *roots, int directory, const char *path, int flags)
{
    return dray_open_beneath(directory, path, flags, &roots->no_openat2);
}
