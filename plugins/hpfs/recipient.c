/* SPDX-License-Identifier: MIT */
/*
 * recipient.c - could whoever a delivery is for remove it? Who that is, is known when somebody else
 * delivers: the user of the job, else whoever owns the directory. It is said in the plan, of modes
 * and owners alone: where an ACL may let more, nothing is said.
 */
#include "rights.h"

#include <errno.h>
#include <grp.h>
#include <linux/posix_acl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#define LOOK_UP_ROOM ((size_t)256 << 10)
#define MOST_GROUPS  1024

struct recipient {
    char name[64];
    uint32_t uid;
    gid_t groups[MOST_GROUPS];
    int group_count;
};

/* Their primary group; (gid_t)-1: not known. */
static gid_t name_user(uint32_t uid, char name[static 64])
{
    gid_t group = (gid_t)-1;
    char *room = malloc(LOOK_UP_ROOM);
    struct passwd user, *found = NULL;

    if (room != NULL && getpwuid_r(uid, &user, room, LOOK_UP_ROOM, &found) == 0 && found != NULL)
        (void)snprintf(name, 64, "%s", found->pw_name);
    else
        (void)snprintf(name, 64, "%u", uid);
    if (found != NULL)
        group = found->pw_gid;
    free(room);
    return group;
}

/* 0: it is not known, or is who delivers, or is root, who may all. */
static int find_recipient(const char *user, const struct stat *parent, struct recipient *recipient)
{
    recipient->uid = parent->st_uid;
    if (user != NULL && hpfs_find_user(user, &recipient->uid) != DRAY_OK)
        recipient->uid = parent->st_uid;
    if (recipient->uid == geteuid())
        recipient->uid = parent->st_uid;
    if (recipient->uid == geteuid() || recipient->uid == 0)
        return 0;
    gid_t primary = name_user(recipient->uid, recipient->name);
    recipient->group_count = MOST_GROUPS;
    if (getgrouplist(recipient->name, primary, recipient->groups, &recipient->group_count) < 0)
        recipient->group_count = 0;
    return 1;
}

static int is_member(const struct recipient *recipient, gid_t group)
{
    for (int i = 0; i < recipient->group_count; i++)
        if (recipient->groups[i] == group)
            return 1;
    return 0;
}

static int has_acl(int fd, const char *kind)
{
    char path[64];

    /* The descriptor allows no look at it, its name does. */
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return getxattr(path, kind, NULL, 0) > 0;
}

/* Does what is asked for let them write in all directories of the delivery? */
static int may_write_inside(const struct hpfs *hpfs, const struct recipient *recipient, int parent,
                            const struct stat *status)
{
    uint32_t owner = hpfs->owner != NULL ? hpfs->uid : geteuid();
    gid_t group = hpfs->group != NULL                ? hpfs->gid
                  : (status->st_mode & S_ISGID) != 0 ? status->st_gid
                                                     : getegid();

    if (owner == recipient->uid || has_acl(parent, "system.posix_acl_default"))
        return 1;
    for (uint64_t i = 0; i < hpfs->acl_count; i++) {
        const struct hpfs_acl_entry *entry = &hpfs->acl_entries[i];
        if ((entry->rights & ACL_WRITE) != 0 &&
            (entry->tag == ACL_USER ? entry->id == recipient->uid
                                    : is_member(recipient, entry->id)))
            return 1;
    }
    return ((hpfs->mode & 0020) != 0 && is_member(recipient, group)) || (hpfs->mode & 0002) != 0;
}

static int may_write(const struct recipient *recipient, int directory, const struct stat *status)
{
    return status->st_uid == recipient->uid || (status->st_mode & 0002) != 0 ||
           ((status->st_mode & 0020) != 0 && is_member(recipient, status->st_gid)) ||
           has_acl(directory, "system.posix_acl_access");
}

char *hpfs_recipient_note(const struct hpfs *hpfs, struct dray_ctx *ctx,
                          const struct hpfs_place *place)
{
    const struct dray_host *host = ctx->host;
    struct recipient recipient = {.uid = 0};
    char owner[64];
    struct stat status;

    if (fstat(place->fd, &status) != 0)
        return NULL;
    uint32_t owns = hpfs->owner != NULL ? hpfs->uid : geteuid();
    (void)name_user(owns, owner);
    int sticky = (status.st_mode & S_ISVTX) != 0;
    if (!find_recipient(host->job(ctx)->user, &status, &recipient))
        return sticky ? host->format("of its users only %s could remove it: %s is sticky", owner,
                                     place->parent)
                      : NULL;
    if (!may_write_inside(hpfs, &recipient, place->fd, &status))
        return host->format("user %s could not remove it: what is in it will belong to %s "
                            "(`owner`, `acl` or `group` may change that)",
                            recipient.name, owner);
    if (!may_write(&recipient, place->fd, &status))
        return host->format("user %s could not remove it: only its owner and group may write in %s",
                            recipient.name, place->parent);
    if (sticky && owns != recipient.uid && status.st_uid != recipient.uid)
        return host->format("user %s could not remove it: it will belong to %s, and %s is sticky",
                            recipient.name, owner, place->parent);
    return NULL;
}
