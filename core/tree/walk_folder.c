/* SPDX-License-Identifier: MIT */
/* walk_folder.c - see walk_folder.h. A folder is opened by its path below the root and must be the
 * one that its parent's listing saw. */
#include "core/tree/walk_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* How often it is asked whether to go on: after so many names. */
#define ASKED 256
/* As much as opendir takes. */
#define NAMES_ROOM ((size_t)32 << 10)

struct listing {
    const struct dray_folder_place *place;
    struct dray_folder *folder;
    struct dray_error *error;
    int fd;
    unsigned asked;
};

void dray_folder_free(struct dray_folder *folder)
{
    dray_arena_free(&folder->arena);
    free(folder->names);
    *folder = (struct dray_folder){0};
}

const char *dray_slash_before(const char *below)
{
    return below[0] == '\0' ? "" : "/";
}

static int fail_reading(struct listing *listing, int errnum)
{
    const struct dray_folder_place *place = listing->place;

    return dray_fail_errno(listing->error, errnum, "listing %s%s%.400s", place->root->path,
                           dray_slash_before(place->path), place->path);
}

static int fail_changed(struct listing *listing, const char *what)
{
    const struct dray_folder_place *place = listing->place;

    return dray_fail(listing->error, DRAY_CHANGED, "listing %s%s%.400s: it %s", place->root->path,
                     dray_slash_before(place->path), place->path, what);
}

/* An answer that only a change since the name was read can explain. */
static int is_gone(int errnum)
{
    return errnum == ENOENT || errnum == ENOTDIR || errnum == ELOOP;
}

static int check_cancelled(struct listing *listing)
{
    const struct dray_folder_place *place = listing->place;

    if (place->cancelled == NULL || listing->asked++ % ASKED != 0 || !place->cancelled(place->arg))
        return 0;
    return dray_fail(listing->error, DRAY_CANCELLED, "listing %s: cancelled", place->root->path);
}

/* ---- Names --------------------------------------------------------------------------------- */

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

static int fail_special(struct listing *listing, const char *name, unsigned mode)
{
    const struct dray_folder_place *place = listing->place;
    int result =
        dray_fail(listing->error, DRAY_PERMANENT,
                  "listing %s%s%.400s: \"%s\" is %s, which cannot be delivered", place->root->path,
                  dray_slash_before(place->path), place->path, name, special_name(mode));

    dray_hint(listing->error, "remove it from the dataset's directory");
    return result;
}

static int read_target(struct listing *listing, struct dray_listed_name *listed)
{
    const struct dray_folder_place *place = listing->place;
    char target[DRAY_LINK_LONGEST + 1];
    ssize_t length = readlinkat(listing->fd, listed->name, target, sizeof target);

    if (length < 0 && errno == EINVAL)
        return fail_changed(listing, "changed while it was listed");
    if (length < 0)
        return is_gone(errno) ? fail_changed(listing, "changed while it was listed")
                              : fail_reading(listing, errno);
    if ((size_t)length >= sizeof target)
        return dray_fail(listing->error, DRAY_INVALID,
                         "listing %s%s%.400s: the target of the symbolic link \"%s\" is too long",
                         place->root->path, dray_slash_before(place->path), place->path,
                         listed->name);
    listed->link = dray_arena_text(&listing->folder->arena, target, (size_t)length);
    return listed->link == NULL ? dray_fail_memory(listing->error) : 0;
}

static int set_type(struct listing *listing, unsigned mode, struct dray_listed_name *listed)
{
    if (S_ISREG(mode))
        listed->type = DRAY_FILE;
    else if (S_ISDIR(mode))
        listed->type = DRAY_DIRECTORY;
    else if (S_ISLNK(mode))
        listed->type = DRAY_LINK;
    else
        return fail_special(listing, listed->name, mode);
    return listed->type == DRAY_LINK ? read_target(listing, listed) : 0;
}

static int list_name(struct listing *listing, const char *name)
{
    const struct dray_folder_place *place = listing->place;
    struct dray_folder *folder = listing->folder;
    struct statx seen;
    struct dray_listed_name listed = {.name_length = (uint32_t)strlen(name)};

    if (statx(listing->fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &seen) !=
        0) {
        if (is_gone(errno))
            return fail_changed(listing, "changed while it was listed");
        return dray_fail_errno(listing->error, errno, "listing %s%s%.400s: looking at \"%s\"",
                               place->root->path, dray_slash_before(place->path), place->path,
                               name);
    }
    listed.name = dray_arena_text(&folder->arena, name, listed.name_length);
    if (listed.name == NULL || DRAY_GROW(folder->names, folder->count, folder->capacity) != 0)
        return dray_fail_memory(listing->error);
    listed.identity = dray_file_identity_of(&seen);
    listed.links = seen.stx_nlink;
    listed.mode = seen.stx_mode & 07777;
    int result = set_type(listing, seen.stx_mode, &listed);
    if (result == 0)
        folder->names[folder->count++] = listed;
    return result;
}

static int compare_names(const void *a, const void *b)
{
    const struct dray_listed_name *left = a;
    const struct dray_listed_name *right = b;

    return strcmp(left->name, right->name);
}

/* Room for some hundred names; aligned for what the kernel puts there. */
struct names {
    _Alignas(struct dirent64) char room[NAMES_ROOM];
};

static int list_piece(struct listing *listing, const struct names *names, size_t length)
{
    int result = 0;

    for (size_t at = 0; result == 0 && at < length;) {
        const struct dirent64 *found = (const void *)(names->room + at);
        at += found->d_reclen;
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
            continue;
        result = list_name(listing, found->d_name);
        if (result == 0)
            result = check_cancelled(listing);
    }
    return result;
}

/* Without opendir, which looks at a descriptor three times before it reads. */
static int list_names(struct listing *listing)
{
    struct dray_folder *folder = listing->folder;
    struct names names;
    ssize_t got;
    int result = 0;

    while (result == 0 && (got = getdents64(listing->fd, names.room, sizeof names.room)) != 0) {
        if (got >= 0)
            result = list_piece(listing, &names, (size_t)got);
        else
            result = is_gone(errno) ? fail_changed(listing, "was removed while it was listed")
                                    : fail_reading(listing, errno);
    }
    if (folder->count > 1)
        qsort(folder->names, folder->count, sizeof *folder->names, compare_names);
    return result;
}

/* ---- The folder ---------------------------------------------------------------------------- */

/* Is the open folder the one that was listed? A rename could have put another in its place. */
static int check_folder(struct listing *listing, const struct dray_listed_name *expected)
{
    struct statx status;

    if (dray_status_of(listing->fd, &status) != 0)
        return fail_reading(listing, errno);
    struct dray_file_identity identity = dray_file_identity_of(&status);
    if (identity.device != expected->identity.device || identity.inode != expected->identity.inode)
        return fail_changed(listing, "was replaced by another while it was listed");
    return 0;
}

int dray_folder_list(const struct dray_folder_place *place, struct dray_folder *ret_folder,
                     struct dray_error *error)
{
    struct listing listing = {.place = place, .folder = ret_folder, .error = error};
    dray_autoclose int fd = -1;

    *ret_folder = (struct dray_folder){.path_length = strlen(place->path)};
    if (place->expected == NULL)
        fd = openat(place->root->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    else
        fd = dray_roots_open_below(place->roots, place->root->fd, place->path,
                                   O_RDONLY | O_DIRECTORY);
    listing.fd = fd;
    if (fd < 0)
        return is_gone(errno) ? fail_changed(&listing, "changed while it was listed")
                              : fail_reading(&listing, errno);
    int result = place->expected == NULL ? 0 : check_folder(&listing, place->expected);
    return result != 0 ? result : list_names(&listing);
}
