/* SPDX-License-Identifier: MIT */
/*
 * plugins/hpfs - push/hpfs: a delivery becomes a new directory on a file system. Everything is put
 * together in a staging directory beside it, made durable, and renamed into place in one act.
 *
 * hpfs.c   options, operations and the order of a push
 * place.c  where it delivers
 * probe.c  what is there already; compare.c  is it whole?
 * space.c  is there room?
 * write.c  the tree's entries into staging
 * rights.c modes, owners and groups as asked for; acl.c  ACLs
 * recipient.c could whoever it is for remove it?
 * merge.c  what is in the way of a merge; others.c  whose files it replaces
 * old.c    the delivery that another one replaces
 * xattrs.c extended attributes
 * commit.c records, durability and the rename
 */
#ifndef DRAY_PLUGINS_HPFS_H
#define DRAY_PLUGINS_HPFS_H

#include <dray/plugin.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* How much of a path a message shows. */
#define HPFS_SHOWN 400

enum { HPFS_SYNCFS, HPFS_FSYNC };             /* choices of `durability` */
enum { HPFS_FAIL, HPFS_MERGE, HPFS_REPLACE }; /* choices of `existing` */
/* Choices of `conflicts`: what the host calls them. */
enum {
    HPFS_CONFLICTS_FAIL = DRAY_CONFLICTS_FAIL,
    HPFS_CONFLICTS_SKIP_SAME = DRAY_CONFLICTS_SKIP_SAME,
    HPFS_CONFLICTS_REPLACE = DRAY_CONFLICTS_REPLACE
};
enum { HPFS_XATTRS_NONE, HPFS_XATTRS_USER }; /* choices of `xattrs` */

/* More entries than an ACL may be asked to have. */
#define HPFS_ACL_MAX 64

/* An entry of `acl`: sorted by tag, then id, which is the order that the kernel wants. */
struct hpfs_acl_entry {
    uint16_t tag; /* ACL_USER or ACL_GROUP of linux/posix_acl.h */
    uint16_t rights;
    uint32_t id;
    int x_where_useful; /* X: execute for directories, and for files that their owner may execute */
};

struct hpfs {
    const char *path; /* of path and into, one is not NULL */
    const char *into;
    int64_t durability;
    const char *permissions; /* NULL: the entries' own, as with "keep" */
    const char *group;
    const char *owner;
    struct dray_strings acl;
    int64_t xattrs;
    /* What prepare makes of them. */
    uint32_t mode; /* of directories; 0: the entries' own */
    uint32_t gid;  /* where group is not NULL, else UINT32_MAX */
    uint32_t uid;  /* likewise, of owner */
    uint64_t acl_count;
    struct hpfs_acl_entry acl_entries[HPFS_ACL_MAX];
    int64_t existing;
    int64_t conflicts;
    int64_t sync_every; /* bytes */
};

/* Where a delivery goes. Strings are made with host->format. */
struct hpfs_place {
    char *parent; /* real path of the directory that holds it */
    char *name;   /* its name there */
    char *whole;  /* both */
    int fd;       /* of that directory, O_PATH; -1: it is not there */
};

/* Find it without touching anything: the parent must be there, the name must be one. With
 * DRAY_NOT_FOUND it is filled too, by what is written. Free it in any case. */
int hpfs_place_find(const struct hpfs *hpfs, struct dray_ctx *ctx, struct hpfs_place *ret_place);
void hpfs_place_free(const struct dray_host *host, struct hpfs_place *place);
/* Where everybody may rename what is another's, nothing can be made that is what was delivered:
 * DRAY_DENIED. */
int hpfs_check_mode(struct dray_ctx *ctx, const char *real, const struct stat *status);
/* Is the parent that the host holds still where the plan says? If it was moved meanwhile, the
 * delivery would appear elsewhere: DRAY_CONFLICT. */
int hpfs_check_parent(struct dray_ctx *ctx, const struct dray_staging *staging,
                      const struct hpfs_place *place);
/* How many names the directory holds, or -1 with errno. */
int64_t hpfs_count_names(int parent, const char *name);

/* What whoever it is for should know of removing the delivery, made with host->format; NULL:
 * nothing that is known. */
char *hpfs_recipient_note(const struct hpfs *hpfs, struct dray_ctx *ctx,
                          const struct hpfs_place *place);

int hpfs_probe(void *self, struct dray_ctx *ctx, struct dray_presence *ret_presence);

/* DRAY_NO_SPACE when the input cannot fit where staging is. `adopted`: NULL, or by entry what is
 * there by now, as all directories then are. */
int hpfs_check_space(struct dray_ctx *ctx, const struct dray_staging *staging,
                     const struct hpfs_place *place, const uint8_t *adopted);

/* ---- Rights ---- */

/* The options that ask for them, checked. */
int hpfs_rights_prepare(struct hpfs *hpfs, struct dray_ctx *ctx);
/* Do they ask for other than the entries' own modes? */
int hpfs_rights_asked(const struct hpfs *hpfs);
/* The mode of an entry whose own is `own`. */
uint32_t hpfs_rights_mode(const struct hpfs *hpfs, int directory, uint32_t own);
/* Set group, mode and ACL of what was asked for, and see that they are kept. `path` is for
 * messages. */
int hpfs_rights_set(const struct hpfs *hpfs, struct dray_ctx *ctx, int fd, int directory,
                    uint32_t mode, const char *path);
/* Tell the host the modes that entries got, for the records. */
int hpfs_rights_tell(const struct hpfs *hpfs, struct dray_ctx *ctx);
/* A symbolic link has a group only. */
int hpfs_rights_set_link(const struct hpfs *hpfs, struct dray_ctx *ctx, int directory,
                         const char *name, const char *path);
/* The records in staging, and the directories that they lie in. */
int hpfs_rights_records(const struct hpfs *hpfs, struct dray_ctx *ctx,
                        const struct dray_staging *staging);
/* Mode, group and ACL of the root, last before it is renamed. */
int hpfs_rights_root(const struct hpfs *hpfs, struct dray_ctx *ctx,
                     const struct dray_staging *staging);
/* Does the file system of staging know ACLs, where they are asked for? */
int hpfs_acl_check(const struct hpfs *hpfs, struct dray_ctx *ctx,
                   const struct dray_staging *staging);

/* Give the file or directory the attributes that the entry has at the source, and see that they are
 * kept. It must be open to us. */
int hpfs_xattrs_keep(struct dray_ctx *ctx, const struct dray_entry *entry, int fd);
/* Take all of them from a file that is ours, which is open to us alone then. */
int hpfs_xattrs_clear(struct dray_ctx *ctx, const struct dray_entry *entry, int fd);

/* ---- Bytes ---- */

/* The delivery that another one takes the place of, as it was looked at. Strings are made with
 * host->format. */
struct hpfs_old {
    dev_t device;
    ino_t inode;
    char *job, *request_key, *manifest_sha256;
};

/* Look at what is at the target: it must be the directory that the host holds and a whole delivery
 * of this dataset, in which nothing was changed, and names must be such that they can be exchanged.
 * DRAY_CONFLICT says what is wrong. Free it in any case. */
int hpfs_old_look(struct dray_ctx *ctx, const struct dray_staging *staging,
                  const struct hpfs_place *place, struct hpfs_old *ret_old);
/* Is it still just that? */
int hpfs_old_check(struct dray_ctx *ctx, const struct dray_staging *staging,
                   const struct hpfs_place *place, const struct hpfs_old *old);
/* The same of the directory that is held, once the name is another's. */
int hpfs_old_check_held(struct dray_ctx *ctx, const struct dray_staging *staging,
                        const struct hpfs_place *place, const struct hpfs_old *old);
/* When a delivery is settled that nobody was left to tell of: the one that it took the place of is
 * held, and must be whole and as it was. The host is told which it is, or it fails. */
int hpfs_old_settle(struct dray_ctx *ctx, const struct dray_staging *staging);
void hpfs_old_free(const struct dray_host *host, struct hpfs_old *old);

/* All entries of the input into staging, with their modes and times. Where an earlier attempt left
 * something there, this is also where space is checked. */
int hpfs_write_tree(const struct hpfs *hpfs, struct dray_ctx *ctx,
                    const struct dray_staging *staging, const struct hpfs_place *place);

/* DRAY_CONFLICT when something has the delivery's name. */
int hpfs_check_free(const struct hpfs *hpfs, struct dray_ctx *ctx,
                    const struct dray_staging *staging, const struct hpfs_place *place);
int hpfs_write_records(const struct hpfs *hpfs, struct dray_ctx *ctx,
                       const struct dray_staging *staging);
/* Make all of it durable, then visible, in the place of `old` unless that is NULL, which has the
 * name of the staging directory then. */
int hpfs_commit(const struct hpfs *hpfs, struct dray_ctx *ctx, const struct dray_staging *staging,
                const struct hpfs_place *place, const struct hpfs_old *old);

/* ---- A merge ---- */

/* Is anything in the way in the directory that the delivery is added to? DRAY_CONFLICT names it.
 * For each entry, what stays as it is there is noted, for hpfs_merge_tell; free it in any case. */
int hpfs_merge_look(const struct hpfs *hpfs, struct dray_ctx *ctx,
                    const struct dray_staging *staging, const struct hpfs_place *place,
                    uint32_t **ret_stay);
/* The same for a preview: there is no staging, and no bytes are compared. */
int hpfs_merge_preview(const struct hpfs *hpfs, struct dray_ctx *ctx,
                       const struct hpfs_place *place);
/* Tell the host the modes of what stays, for the records. */
int hpfs_merge_tell(struct dray_ctx *ctx, const uint32_t *stay);
/* Make all of it durable, then part of that directory. */
int hpfs_merge_commit(const struct hpfs *hpfs, struct dray_ctx *ctx,
                      const struct dray_staging *staging, const struct hpfs_place *place);

/* ---- Small things that all of them use ---- */

static inline void hpfs_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}
#define HPFS_FD __attribute__((cleanup(hpfs_close))) int

/* Access time as it is, modification time `mtime`: for futimens and utimensat. */
static inline void hpfs_times(int64_t mtime, struct timespec times[2])
{
    int64_t seconds = mtime / 1000000000, rest = mtime % 1000000000;

    if (rest < 0) { /* before 1970 */
        seconds--;
        rest += 1000000000;
    }
    times[0] = (struct timespec){.tv_nsec = UTIME_OMIT};
    times[1] = (struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = (long)rest};
}

#endif
