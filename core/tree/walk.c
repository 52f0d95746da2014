/* SPDX-License-Identifier: MIT */
/*
 * walk.c - everything below a directory as entries.
 *
 * A folder is listed at once and sorted, and what is below it follows before the next name: entries
 * come in the order of a tree. A folder that waits holds memory but no descriptor; however deep the
 * tree is, one is open at a time. A folder is opened by its path below the root and must be the one
 * that its parent's listing saw.
 */
#include "core/tree/walk.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "core/tree/internal.h"

/* One name of a folder, as statx saw it. */
struct listed {
    const char *name;
    const char *link; /* a link's target */
    struct dray_file_identity identity;
    uint32_t name_length;
    uint32_t links; /* how many names the file has */
    uint16_t mode;
    uint8_t type;
};

/* A folder whose names are being passed on. */
struct folder {
    struct dray_arena arena; /* names and link targets */
    struct listed *names;
    size_t count;
    size_t capacity;
    size_t next;        /* the name that comes next */
    size_t path_length; /* of the folder below the root */
};

/* Files with several names, by device and inode: open addressing, a free slot has group 0. */
struct linked {
    uint64_t device;
    uint64_t inode;
    uint32_t group;
};
struct linked_set {
    struct linked *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

struct walk {
    struct dray_tree_builder *builder;
    struct dray_roots *roots;
    const struct dray_root *root;
    uint32_t root_number;
    int (*cancelled)(void *arg);
    void *arg;
    struct dray_error *error;
    struct folder *folders; /* from the root down to the one being walked */
    size_t depth;
    size_t depth_capacity;
    struct linked_set linked;
    unsigned asked;
    char path[DRAY_PATH_LONGEST + 1]; /* of the folder or name at hand, below the root */
};

static void folder_free(struct folder *folder)
{
    dray_arena_free(&folder->arena);
    free(folder->names);
}

static void walk_end(struct walk *walk)
{
    while (walk->depth > 0)
        folder_free(&walk->folders[--walk->depth]);
    free(walk->folders);
    free(walk->linked.slots);
}

/* "/data/x" or "/data/x/a/b" for messages. */
static const char *slash_before(const char *below)
{
    return below[0] == '\0' ? "" : "/";
}

static int fail_reading(struct walk *walk, int errnum, const char *below)
{
    return dray_fail_errno(walk->error, errnum, "listing %s%s%.400s", walk->root->path,
                           slash_before(below), below);
}

static int fail_changed(struct walk *walk, const char *what)
{
    return dray_fail(walk->error, DRAY_CHANGED, "listing %s%s%.400s: it %s", walk->root->path,
                     slash_before(walk->path), walk->path, what);
}

/* An answer that only a change since the name was read can explain. */
static int is_gone(int errnum)
{
    return errnum == ENOENT || errnum == ENOTDIR || errnum == ELOOP;
}

static int check_cancelled(struct walk *walk)
{
    if (walk->cancelled == NULL || walk->asked++ % 256 != 0 || !walk->cancelled(walk->arg))
        return 0;
    return dray_fail(walk->error, DRAY_CANCELLED, "listing %s: cancelled", walk->root->path);
}

/* ---- The path at hand ---------------------------------------------------------------------- */

static int enter_name(struct walk *walk, size_t folder_length, const struct listed *listed)
{
    size_t start = folder_length == 0 ? 0 : folder_length + 1;

    if (start + listed->name_length > DRAY_PATH_LONGEST) {
        walk->path[folder_length] = '\0';
        return dray_fail(walk->error, DRAY_INVALID,
                         "listing %s/%.400s: a path below it is longer than %d bytes",
                         walk->root->path, walk->path, DRAY_PATH_LONGEST);
    }
    if (start > 0)
        walk->path[start - 1] = '/';
    memcpy(walk->path + start, listed->name, listed->name_length + (size_t)1);
    return 0;
}

/* ---- Listing one folder -------------------------------------------------------------------- */

static const char *special_name(unsigned mode)
{
    switch (mode & S_IFMT) {
    case S_IFIFO:
        return "a fifo";
    case S_IFSOCK:
        return "a socket";
    case S_IFBLK:
    case S_IFCHR:
        return "a device";
    default:
        return "of a type that no file system of ours knows";
    }
}

static int fail_special(struct walk *walk, const char *name, unsigned mode)
{
    int result = dray_fail(
        walk->error, DRAY_PERMANENT, "listing %s%s%.400s: \"%s\" is %s, which cannot be delivered",
        walk->root->path, slash_before(walk->path), walk->path, name, special_name(mode));

    dray_hint(walk->error, "remove it from the dataset's directory");
    return result;
}

static int read_target(struct walk *walk, struct folder *folder, int fd, struct listed *listed)
{
    char target[DRAY_LINK_LONGEST + 1];
    ssize_t length = readlinkat(fd, listed->name, target, sizeof target);

    if (length < 0 && errno == EINVAL)
        return fail_changed(walk, "changed while it was listed");
    if (length < 0)
        return is_gone(errno) ? fail_changed(walk, "changed while it was listed")
                              : fail_reading(walk, errno, walk->path);
    if ((size_t)length >= sizeof target)
        return dray_fail(walk->error, DRAY_INVALID,
                         "listing %s%s%.400s: the target of the symbolic link \"%s\" is too long",
                         walk->root->path, slash_before(walk->path), walk->path, listed->name);
    listed->link = dray_arena_text(&folder->arena, target, (size_t)length);
    return listed->link == NULL ? dray_fail_memory(walk->error) : 0;
}

static int set_type(struct walk *walk, struct folder *folder, int fd, unsigned mode,
                    struct listed *listed)
{
    if (S_ISREG(mode))
        listed->type = DRAY_FILE;
    else if (S_ISDIR(mode))
        listed->type = DRAY_DIRECTORY;
    else if (S_ISLNK(mode))
        listed->type = DRAY_LINK;
    else
        return fail_special(walk, listed->name, mode);
    return listed->type == DRAY_LINK ? read_target(walk, folder, fd, listed) : 0;
}

static int list_name(struct walk *walk, struct folder *folder, int fd, const char *name)
{
    struct statx seen;
    struct listed listed = {.name_length = (uint32_t)strlen(name)};

    if (statx(fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &seen) != 0) {
        if (is_gone(errno))
            return fail_changed(walk, "changed while it was listed");
        return dray_fail_errno(walk->error, errno, "listing %s%s%.400s: looking at \"%s\"",
                               walk->root->path, slash_before(walk->path), walk->path, name);
    }
    listed.name = dray_arena_text(&folder->arena, name, listed.name_length);
    if (listed.name == NULL || DRAY_GROW(folder->names, folder->count, folder->capacity) != 0)
        return dray_fail_memory(walk->error);
    listed.identity = dray_file_identity_of(&seen);
    listed.links = seen.stx_nlink;
    listed.mode = seen.stx_mode & 07777;
    int result = set_type(walk, folder, fd, seen.stx_mode, &listed);
    if (result == 0)
        folder->names[folder->count++] = listed;
    return result;
}

static int compare_names(const void *a, const void *b)
{
    const struct listed *left = a;
    const struct listed *right = b;

    return strcmp(left->name, right->name);
}

static int list_folder(struct walk *walk, struct folder *folder, DIR *stream)
{
    for (;;) {
        errno = 0;
        const struct dirent *found = readdir(stream);
        if (found == NULL && errno != 0)
            return fail_reading(walk, errno, walk->path);
        if (found == NULL)
            break;
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
            continue;
        int result = list_name(walk, folder, dirfd(stream), found->d_name);
        if (result == 0)
            result = check_cancelled(walk);
        if (result != 0)
            return result;
    }
    if (folder->count > 1)
        qsort(folder->names, folder->count, sizeof *folder->names, compare_names);
    return 0;
}

static void close_stream(DIR **stream)
{
    if (*stream != NULL)
        (void)closedir(*stream);
}

/* Is the open folder the one that was listed? A rename could have put another in its place. */
static int check_folder(struct walk *walk, int fd, const struct listed *expected)
{
    struct statx status;

    if (dray_status_of(fd, &status) != 0)
        return fail_reading(walk, errno, walk->path);
    struct dray_file_identity identity = dray_file_identity_of(&status);
    if (identity.device != expected->identity.device || identity.inode != expected->identity.inode)
        return fail_changed(walk, "was replaced by another while it was listed");
    return 0;
}

/* Open and list the folder at walk->path; `expected` is what its parent's listing says, NULL for
 * the root. */
static int enter_folder(struct walk *walk, const struct listed *expected)
{
    dray_autoclose int fd = -1;
    dray_cleanup(close_stream) DIR *stream = NULL;

    if (expected == NULL)
        fd = openat(walk->root->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    else
        fd = dray_roots_open_below(walk->roots, walk->root->fd, walk->path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return is_gone(errno) ? fail_changed(walk, "changed while it was listed")
                              : fail_reading(walk, errno, walk->path);
    int result = expected == NULL ? 0 : check_folder(walk, fd, expected);
    if (result != 0)
        return result;
    if (DRAY_GROW(walk->folders, walk->depth, walk->depth_capacity) != 0)
        return dray_fail_memory(walk->error);
    struct folder *folder = &walk->folders[walk->depth++];
    *folder = (struct folder){.path_length = strlen(walk->path)};
    stream = fdopendir(fd);
    if (stream == NULL)
        return fail_reading(walk, errno, walk->path);
    fd = -1; /* the stream's */
    return list_folder(walk, folder, stream);
}

/* ---- Hard links ---------------------------------------------------------------------------- */

static struct linked *find_linked(struct linked_set *set, uint64_t device, uint64_t inode)
{
    uint64_t hash = (inode ^ (device << 32 | device >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
    size_t slot = (size_t)(hash >> 20) & (set->capacity - 1);

    while (set->slots[slot].group != 0 &&
           (set->slots[slot].device != device || set->slots[slot].inode != inode))
        slot = (slot + 1) & (set->capacity - 1);
    return &set->slots[slot];
}

static int grow_linked(struct linked_set *set)
{
    struct linked_set larger = {.capacity = set->capacity == 0 ? 64 : 2 * set->capacity,
                                .count = set->count};

    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (larger.slots == NULL)
        return -1;
    for (size_t i = 0; i < set->capacity; i++)
        if (set->slots[i].group != 0)
            *find_linked(&larger, set->slots[i].device, set->slots[i].inode) = set->slots[i];
    free(set->slots);
    *set = larger;
    return 0;
}

static int link_group(struct walk *walk, const struct listed *listed, uint32_t *ret_group)
{
    *ret_group = 0;
    if (listed->type != DRAY_FILE || listed->links < 2)
        return 0;
    if (2 * walk->linked.count >= walk->linked.capacity && grow_linked(&walk->linked) != 0)
        return dray_fail_memory(walk->error);
    struct linked *linked =
        find_linked(&walk->linked, listed->identity.device, listed->identity.inode);
    if (linked->group == 0) {
        *linked = (struct linked){.device = listed->identity.device,
                                  .inode = listed->identity.inode,
                                  .group = dray_roots_link_group(walk->roots)};
        walk->linked.count += linked->group != 0;
    }
    *ret_group = linked->group;
    return 0;
}

/* ---- The walk ------------------------------------------------------------------------------ */

static int add_name(struct walk *walk, const struct listed *listed)
{
    struct dray_tree_entry entry = {
        .path = walk->path,
        .path_length = (uint32_t)strlen(walk->path),
        .at = listed->link,
        .bytes = listed->identity.bytes,
        .mtime = listed->identity.mtime,
        .ctime = listed->identity.ctime,
        .device = listed->identity.device,
        .inode = listed->identity.inode,
        .root = walk->root_number,
        .mode = listed->mode,
        .type = listed->type,
    };
    int result = link_group(walk, listed, &entry.link_group);

    return result != 0 ? result : dray_tree_builder_add(walk->builder, &entry, walk->error);
}

static int walk_directory(struct walk *walk)
{
    int result = enter_folder(walk, NULL);

    while (result == 0 && walk->depth > 0) {
        struct folder *folder = &walk->folders[walk->depth - 1];
        if (folder->next == folder->count) {
            folder_free(folder);
            walk->depth--;
            continue;
        }
        const struct listed *listed = &folder->names[folder->next++];
        result = check_cancelled(walk);
        if (result == 0)
            result = enter_name(walk, folder->path_length, listed);
        if (result == 0)
            result = add_name(walk, listed);
        /* `listed` stays where it is: folders may move, their names do not. */
        if (result == 0 && listed->type == DRAY_DIRECTORY)
            result = enter_folder(walk, listed);
    }
    return result;
}

/* One file is a tree of one entry, with the file itself as root. */
static int add_file(struct walk *walk)
{
    const struct dray_file_identity *identity = &walk->root->identity;
    const char *slash = strrchr(walk->root->path, '/');
    const char *name = slash == NULL ? walk->root->path : slash + 1;
    struct dray_tree_entry entry = {
        .path = name,
        .path_length = (uint32_t)strlen(name),
        .bytes = identity->bytes,
        .mtime = identity->mtime,
        .ctime = identity->ctime,
        .device = identity->device,
        .inode = identity->inode,
        .root = walk->root_number,
        .mode = walk->root->mode,
        .type = DRAY_FILE,
    };

    dray_tree_builder_root(walk->builder, 0755, identity->mtime);
    return dray_tree_builder_add(walk->builder, &entry, walk->error);
}

int dray_walk(struct dray_tree_builder *builder, struct dray_roots *roots, const char *path,
              int (*cancelled)(void *arg), void *arg, struct dray_error *error)
{
    struct walk walk = {
        .builder = builder, .roots = roots, .cancelled = cancelled, .arg = arg, .error = error};
    int result = dray_roots_add(roots, path, &walk.root_number, error);

    if (result != 0)
        return result;
    walk.root = dray_roots_get(roots, walk.root_number);
    assert(walk.root != NULL);
    if (walk.root->directory) {
        dray_tree_builder_root(builder, walk.root->mode, walk.root->identity.mtime);
        result = walk_directory(&walk);
    } else {
        result = add_file(&walk);
    }
    walk_end(&walk);
    if (result != 0 && result != DRAY_CANCELLED && result != DRAY_NO_MEMORY)
        error->side = DRAY_SIDE_SOURCE;
    return result;
}
