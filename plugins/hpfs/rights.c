/* SPDX-License-Identifier: MIT */
/*
 * rights.c - who may do what with a delivery, where `permissions`, `group` or `acl` ask for other
 * than the entries' own modes. Everything that is set is looked at afterwards: there are file
 * systems that take a mode and keep another.
 */
#include "rights.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

/* What one look-up in the user database may need. */
#define LOOK_UP_ROOM ((size_t)256 << 10)

/* ---- Users and groups ---- */

static int is_number(const char *name, uint32_t *ret_id)
{
    char *end;

    if (name[0] < '0' || name[0] > '9')
        return 0;
    errno = 0;
    unsigned long id = strtoul(name, &end, 10);
    if (*end != '\0' || errno != 0 || id >= UINT32_MAX) /* the last one means "none" */
        return 0;
    *ret_id = (uint32_t)id;
    return 1;
}

int hpfs_find_user(const char *name, uint32_t *ret_id)
{
    char *room = malloc(LOOK_UP_ROOM);
    struct passwd user, *found = NULL;

    if (is_number(name, ret_id)) {
        free(room);
        return DRAY_OK;
    }
    if (room != NULL && getpwnam_r(name, &user, room, LOOK_UP_ROOM, &found) == 0 && found != NULL)
        *ret_id = found->pw_uid;
    int result = room == NULL ? DRAY_NO_MEMORY : found == NULL ? DRAY_NOT_FOUND : DRAY_OK;
    free(room);
    return result;
}

int hpfs_find_group(const char *name, uint32_t *ret_id)
{
    char *room = malloc(LOOK_UP_ROOM);
    struct group group, *found = NULL;

    if (is_number(name, ret_id)) {
        free(room);
        return DRAY_OK;
    }
    if (room != NULL && getgrnam_r(name, &group, room, LOOK_UP_ROOM, &found) == 0 && found != NULL)
        *ret_id = found->gr_gid;
    int result = room == NULL ? DRAY_NO_MEMORY : found == NULL ? DRAY_NOT_FOUND : DRAY_OK;
    free(room);
    return result;
}

static int may_change_owners(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

    return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & (1u << CAP_CHOWN)) != 0;
}

static int is_ours(gid_t group)
{
    int count = getgroups(0, NULL);
    gid_t *groups = count > 0 ? calloc((size_t)count, sizeof(*groups)) : NULL;
    int ours = group == getegid();

    count = groups != NULL ? getgroups(count, groups) : 0;
    for (int i = 0; !ours && i < count; i++)
        ours = groups[i] == group;
    free(groups);
    return ours;
}

/* ---- Options ---- */

static int prepare_permissions(struct hpfs *hpfs, struct dray_ctx *ctx)
{
    static const struct {
        const char *name;
        uint32_t mode;
    } presets[] = {{"private", 0700}, {"group", 02770}, {"public", 0755}};
    const char *text = hpfs->permissions;

    if (text == NULL || strcmp(text, "keep") == 0)
        return DRAY_OK;
    for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++)
        if (strcmp(text, presets[i].name) == 0)
            hpfs->mode = presets[i].mode;
    size_t length = strlen(text);
    if (hpfs->mode == 0 && (length == 3 || length == 4) && strspn(text, "01234567") == length)
        hpfs->mode = (uint32_t)strtoul(text, NULL, 8);
    if (hpfs->mode == 0)
        return ctx->host->fail_option(ctx, "permissions", DRAY_NO_INDEX, 0,
                                      "write `keep`, `private`, `group`, `public`, or the mode of "
                                      "directories in octal, for example \"2770\"");
    if ((hpfs->mode & 04000) != 0)
        return ctx->host->fail_option(ctx, "permissions", DRAY_NO_INDEX, 0,
                                      "the set-user-ID bit is never set");
    if ((hpfs->mode & 0500) != 0500)
        return ctx->host->fail_option(
            ctx, "permissions", DRAY_NO_INDEX, 0,
            "their owner could not look into directories of this mode: it needs at least 0500");
    return DRAY_OK;
}

static int prepare_group(struct hpfs *hpfs, struct dray_ctx *ctx)
{
    const struct dray_host *host = ctx->host;

    hpfs->gid = UINT32_MAX;
    if (hpfs->group == NULL)
        return DRAY_OK;
    int result = hpfs_find_group(hpfs->group, &hpfs->gid);
    if (result == DRAY_NO_MEMORY)
        return host->fail(ctx, result, "looking for the group: out of memory");
    if (result != DRAY_OK)
        return host->fail_option(ctx, "group", DRAY_NO_INDEX, 0,
                                 "there is no group of this name here; a number is taken too");
    if (!is_ours(hpfs->gid) && !may_change_owners())
        return host->fail_option(ctx, "group", DRAY_NO_INDEX, 0,
                                 "who delivers is not a member of this group, so may not give it "
                                 "anything; `id` lists the groups that may be named");
    return DRAY_OK;
}

static int prepare_owner(struct hpfs *hpfs, struct dray_ctx *ctx)
{
    const struct dray_host *host = ctx->host;

    hpfs->uid = UINT32_MAX;
    if (hpfs->owner == NULL)
        return DRAY_OK;
    int result = hpfs_find_user(hpfs->owner, &hpfs->uid);
    if (result == DRAY_NO_MEMORY)
        return host->fail(ctx, result, "looking for the owner: out of memory");
    if (result != DRAY_OK)
        return host->fail_option(ctx, "owner", DRAY_NO_INDEX, 0,
                                 "there is no user of this name here; a number is taken too");
    if (hpfs->uid != geteuid() && !may_change_owners())
        return host->fail_option(ctx, "owner", DRAY_NO_INDEX, 0,
                                 "who delivers may not give files to others (CAP_CHOWN): leave it "
                                 "out, and let `acl` say what this user may");
    return DRAY_OK;
}

int hpfs_rights_prepare(struct hpfs *hpfs, struct dray_ctx *ctx)
{
    int result = prepare_permissions(hpfs, ctx);

    if (result == DRAY_OK)
        result = prepare_group(hpfs, ctx);
    if (result == DRAY_OK)
        result = prepare_owner(hpfs, ctx);
    if (result == DRAY_OK)
        result = hpfs_acl_prepare(hpfs, ctx);
    return result;
}

/* ---- Entries ---- */

int hpfs_rights_asked(const struct hpfs *hpfs)
{
    return hpfs->mode != 0 || hpfs->group != NULL || hpfs->owner != NULL || hpfs->acl_count > 0;
}

uint32_t hpfs_rights_mode(const struct hpfs *hpfs, int directory, uint32_t own)
{
    if (hpfs->mode == 0)
        return own & 01777;
    if (directory)
        return hpfs->mode;
    return (own & 0100) != 0 ? hpfs->mode & 0777 : hpfs->mode & 0666;
}

/* As fstat shows it: with an ACL, the group's bits are its mask. */
static uint32_t shown_mode(const struct hpfs *hpfs, int directory, uint32_t mode)
{
    return hpfs->acl_count > 0 ? hpfs_acl_mode(hpfs, directory, mode) : mode;
}

static int check(const struct hpfs *hpfs, struct dray_ctx *ctx, int fd, uint32_t mode,
                 const char *path)
{
    const struct dray_host *host = ctx->host;
    struct stat status;

    if (fstat(fd, &status) != 0)
        return host->fail_errno(ctx, errno, "looking at \"%.*s\" of the delivery", HPFS_SHOWN,
                                path);
    if ((status.st_mode & 07777) != mode)
        return host->fail(ctx, DRAY_UNSUPPORTED,
                          "\"%.*s\" of the delivery was given mode %04o, but the file system there "
                          "keeps %04o",
                          HPFS_SHOWN, path, mode, (unsigned)status.st_mode & 07777);
    if (hpfs->group != NULL && status.st_gid != hpfs->gid)
        return host->fail(ctx, DRAY_UNSUPPORTED,
                          "\"%.*s\" of the delivery was given group %u, but the file system there "
                          "keeps %u",
                          HPFS_SHOWN, path, hpfs->gid, (unsigned)status.st_gid);
    if (hpfs->owner != NULL && status.st_uid != hpfs->uid)
        return host->fail(
            ctx, DRAY_UNSUPPORTED,
            "\"%.*s\" of the delivery was given to user %u, but the file system there "
            "keeps %u",
            HPFS_SHOWN, path, hpfs->uid, (unsigned)status.st_uid);
    return DRAY_OK;
}

static int fail_chown(const struct hpfs *hpfs, struct dray_ctx *ctx, const char *path)
{
    const char *owner = hpfs->owner, *group = hpfs->group;

    return ctx->host->fail_errno(ctx, errno, "giving \"%.*s\" of the delivery%s%s%s%s", HPFS_SHOWN,
                                 path, owner != NULL ? " the owner " : "",
                                 owner != NULL ? owner : "", group != NULL ? " the group " : "",
                                 group != NULL ? group : "");
}

int hpfs_rights_set(const struct hpfs *hpfs, struct dray_ctx *ctx, int fd, int directory,
                    uint32_t mode, const char *path)
{
    /* A change of owner or group takes bits off the mode; what is not asked for is the highest
     * number, which changes nothing. An ACL brings its own, but for setgid and sticky: it comes
     * before the mode, which would open what an inherited ACL has to say. So at no moment may
     * anybody do what is not asked for. */
    if ((hpfs->group != NULL || hpfs->owner != NULL) && fchown(fd, hpfs->uid, hpfs->gid) != 0)
        return fail_chown(hpfs, ctx, path);
    int result = hpfs->acl_count > 0 ? hpfs_acl_set(hpfs, ctx, fd, directory, mode, path) : DRAY_OK;
    if (result == DRAY_OK && fchmod(fd, shown_mode(hpfs, directory, mode)) != 0)
        result = ctx->host->fail_errno(ctx, errno, "setting the mode of \"%.*s\" of the delivery",
                                       HPFS_SHOWN, path);
    return result == DRAY_OK ? check(hpfs, ctx, fd, shown_mode(hpfs, directory, mode), path)
                             : result;
}

int hpfs_rights_tell(const struct hpfs *hpfs, struct dray_ctx *ctx)
{
    uint64_t count = hpfs_rights_asked(hpfs) ? ctx->host->count(ctx) : 0;
    struct dray_entry entry;
    int result = DRAY_OK;

    for (uint64_t id = 0; result == DRAY_OK && id < count; id++) {
        result = ctx->host->entry(ctx, id, &entry);
        if (result != DRAY_OK || entry.type == DRAY_LINK)
            continue;
        int directory = entry.type == DRAY_DIRECTORY;
        uint32_t mode = hpfs_rights_mode(hpfs, directory, entry.mode);
        result = ctx->host->set_mode(ctx, id, shown_mode(hpfs, directory, mode));
    }
    return result;
}

int hpfs_rights_set_link(const struct hpfs *hpfs, struct dray_ctx *ctx, int directory,
                         const char *name, const char *path)
{
    if ((hpfs->group == NULL && hpfs->owner == NULL) ||
        fchownat(directory, name, hpfs->uid, hpfs->gid, AT_SYMLINK_NOFOLLOW) == 0)
        return DRAY_OK;
    return fail_chown(hpfs, ctx, path);
}

/* ---- Records and root ---- */

static int set_at(const struct hpfs *hpfs, struct dray_ctx *ctx, int root, const char *path,
                  int directory)
{
    HPFS_FD fd = openat(root, path,
                        O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (directory ? O_DIRECTORY : O_NONBLOCK));

    if (fd < 0)
        return ctx->host->fail_errno(ctx, errno, "opening %s of the delivery", path);
    int result = hpfs_rights_set(hpfs, ctx, fd, directory,
                                 hpfs_rights_mode(hpfs, directory, directory ? 0755 : 0644), path);
    if (result == DRAY_OK && hpfs->durability == HPFS_FSYNC && fsync(fd) != 0)
        result = ctx->host->fail_errno(ctx, errno, "making durable %s of the delivery", path);
    return result;
}

/* The record, then the directories that it lies in. */
static int set_record(const struct hpfs *hpfs, struct dray_ctx *ctx, int root, const char *path)
{
    char *copy = strdup(path);
    int result = copy == NULL
                     ? ctx->host->fail(ctx, DRAY_NO_MEMORY, "setting rights: out of memory")
                     : set_at(hpfs, ctx, root, copy, 0);

    for (char *slash; result == DRAY_OK && (slash = strrchr(copy, '/')) != NULL;) {
        *slash = '\0';
        result = set_at(hpfs, ctx, root, copy, 1);
    }
    free(copy);
    return result;
}

int hpfs_rights_records(const struct hpfs *hpfs, struct dray_ctx *ctx,
                        const struct dray_staging *staging)
{
    const struct dray_record *records;
    uint64_t count;

    if (!hpfs_rights_asked(hpfs))
        return DRAY_OK;
    int result = ctx->host->record_list(ctx, &records, &count);
    for (uint64_t i = 0; result == DRAY_OK && i < count; i++)
        result = set_record(hpfs, ctx, staging->directory, records[i].path);
    return result;
}

int hpfs_rights_root(const struct hpfs *hpfs, struct dray_ctx *ctx,
                     const struct dray_staging *staging)
{
    if (hpfs_rights_asked(hpfs))
        return hpfs_rights_set(hpfs, ctx, staging->directory, 1,
                               hpfs_rights_mode(hpfs, 1, staging->mode), ".");
    return fchmod(staging->directory, staging->mode & 01777) == 0
               ? DRAY_OK
               : ctx->host->fail_errno(ctx, errno, "setting the mode of the delivery's root");
}
