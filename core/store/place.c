/* SPDX-License-Identifier: MIT */
/* place.c - the directory and the file of the store: who may reach them, and what they lie on. */
#include "core/store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* f_type of file systems that several machines may have mounted, where the shared memory that WAL
 * needs is not shared. From linux/magic.h and the file systems' own sources; the kernel has the
 * value in a signed long on some machines, so 32 bits are compared. */
static const uint32_t networks[] = {
    0x00006969, /* NFS */
    0x0bd00bd0, /* Lustre */
    0xff534d42, /* CIFS */
    0x0000517b, /* SMB */
    0xfe534d42, /* SMB2 */
    0x65735546, /* FUSE: sshfs, GlusterFS and the like; cannot be told from local ones */
    0x47504653, /* GPFS */
    0x00c36400, /* CephFS */
    0x19830326, /* BeeGFS */
    0x5346414f, /* AFS */
    0x6b414653, /* kAFS */
    0x01021997, /* 9P */
    0x7461636f, /* OCFS2 */
    0x01161970, /* GFS2 */
    0x20030528, /* OrangeFS */
    0x73757245, /* Coda */
    0xaad7aaea, /* PanFS */
    0x786f4256, /* VirtualBox shared folders */
};

int dray_store_is_network(long type)
{
    for (size_t i = 0; i < DRAY_COUNT(networks); i++)
        if (networks[i] == (uint32_t)type)
            return 1;
    return 0;
}

/* The file says which plugins a resumed job loads: nobody else may write it or swap it. */
static int check_owner(struct dray_store *store, const struct stat *status, const char *name,
                       struct dray_error *error)
{
    const char *slash = name[0] == '\0' ? "" : "/";

    if (status->st_uid != geteuid() && status->st_uid != 0) {
        (void)dray_store_fail(store, error, DRAY_DENIED, "%s%s%s belongs to another user",
                              store->directory, slash, name);
        dray_hint(error, "let DRAY_STATE name a directory of your own");
        return DRAY_DENIED;
    }
    if ((status->st_mode & (S_IWGRP | S_IWOTH)) == 0)
        return 0;
    (void)dray_store_fail(store, error, DRAY_DENIED, "%s%s%s can be written by other users",
                          store->directory, slash, name);
    dray_hint(error, "chmod go-w '%s%s%s'", store->directory, slash, name);
    return DRAY_DENIED;
}

/* Born with its mode, and without a descriptor: closing one would drop the locks that another
 * handle of this process has on the file. */
static int prepare_file(struct dray_store *store, struct dray_error *error)
{
    struct stat status;

    if (!store->reading && mknodat(store->directory_fd, DRAY_STORE_FILE, S_IFREG | 0600, 0) != 0 &&
        errno != EEXIST)
        return dray_sql_fail_errno(store, error, errno, "making " DRAY_STORE_FILE);
    if (fstatat(store->directory_fd, DRAY_STORE_FILE, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return dray_sql_fail_errno(store, error, errno, "looking at " DRAY_STORE_FILE);
    if (!S_ISREG(status.st_mode))
        return dray_store_fail(store, error, DRAY_DENIED, "%s/%s is not a regular file",
                               store->directory, DRAY_STORE_FILE);
    return check_owner(store, &status, DRAY_STORE_FILE, error);
}

int dray_store_prepare(struct dray_store *store, struct dray_error *error)
{
    struct statfs system;
    struct stat status;

    store->directory_fd = open(store->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->directory_fd < 0 || fstat(store->directory_fd, &status) != 0 ||
        fstatfs(store->directory_fd, &system) != 0)
        return dray_sql_fail_errno(store, error, errno, store->directory);
    int result = check_owner(store, &status, "", error);
    if (result == 0)
        result = prepare_file(store, error);
    store->wal = !dray_store_is_network((long)system.f_type);
    return result;
}
