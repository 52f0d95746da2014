/* SPDX-License-Identifier: MIT */
/*
 * proof.h - may a directory be written for a user, where Dray runs as another one, whom the kernel
 * lets write more? What shows it: they own it, its modes or its POSIX ACL let them or a group of
 * theirs write, by name, or all may write there and a file of theirs stands in it whose name was
 * told to them for that (`dray target claim`). And they may search all directories above it.
 */
#ifndef DRAY_TREE_PROOF_H
#define DRAY_TREE_PROOF_H

#include <jansson.h>

#include "core/base/error.h"

/* The name of a claim: ".dray-claim-" and 32 digits. */
#define DRAY_CLAIM_BYTES 45

/* Of all below `whom` is {"user", "uid", "groups": [gid], "key"?: 64 hexadecimal digits that claims
 * are made from}, and `real` the directory's real path; fd may be O_PATH. */

/* What shows it: "owner", "group", "acl" or "claim"; NULL: nothing does. `real` NULL: no claim
 * counts, as below what was claimed. */
const char *dray_proof_of(const json_t *whom, int fd, const char *real);
/* DRAY_DENIED, with what would show it, where nothing does. `whom` NULL: the kernel decides. */
DRAY_MUST_CHECK int dray_proof_check(const json_t *whom, int fd, const char *real,
                                     struct dray_error *error);
/* May what has this name be taken from the directory, where the other right is shown: has it no
 * sticky bit, or does it or what has the name belong to the user? Always, with `whom` NULL. */
int dray_proof_lets_go(const json_t *whom, int fd, const char *name);
/* Likewise of a delivery that another one goes over: DRAY_DENIED. */
DRAY_MUST_CHECK int dray_proof_check_over(const json_t *whom, int parent, int old,
                                          const char *whole, struct dray_error *error);
/* Would a claim of theirs count? All may write there, and they can come to it. */
int dray_proof_claimable(const json_t *whom, int fd);
/* The name of the file that claims the directory. It says user, path and inode, so it is of no use
 * for another one. DRAY_NOT_FOUND: there is no key. */
DRAY_MUST_CHECK int dray_claim_name(const json_t *whom, int fd, const char *real,
                                    char ret_name[static DRAY_CLAIM_BYTES]);

#endif
