/* SPDX-License-Identifier: MIT */
/* rights.h - what rights.c and acl.c share. */
#ifndef DRAY_PLUGINS_HPFS_RIGHTS_H
#define DRAY_PLUGINS_HPFS_RIGHTS_H

#include "hpfs.h"

int hpfs_acl_prepare(struct hpfs *hpfs, struct dray_ctx *ctx);
/* The mode that a file or directory of this mode shows once it has the ACL. */
uint32_t hpfs_acl_mode(const struct hpfs *hpfs, int directory, uint32_t mode);
/* Give the file or directory the ACL beside its mode, and see that it has it. `path` is for
 * messages. The mode is set: what it gives the group is what the mask lets through. */
int hpfs_acl_set(const struct hpfs *hpfs, struct dray_ctx *ctx, int fd, int directory,
                 uint32_t mode, const char *path);
/* The id of a user or a group by number or name; DRAY_NOT_FOUND without a message. */
int hpfs_find_user(const char *name, uint32_t *ret_id);
int hpfs_find_group(const char *name, uint32_t *ret_id);

#endif
