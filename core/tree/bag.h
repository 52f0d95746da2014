/* SPDX-License-Identifier: MIT */
/* bag.h - the texts of a BagIt bag (RFC 8493, and the drafts before it). */
#ifndef DRAY_TREE_BAG_H
#define DRAY_TREE_BAG_H

#include "core/tree/recorded.h"

/* bagit.txt: *ret_percent is 1 where a percent sign in names is written as %25 (from version 1.0
 * on). Another major version than 0 and 1, and another encoding than UTF-8, are DRAY_UNSUPPORTED.
 */
DRAY_MUST_CHECK int dray_bag_declaration(const char *name, const char *text, size_t length,
                                         int *ret_percent, struct dray_error *error);

/* What bag-info.txt says of the payload. */
struct dray_bag_oxum {
    int known;
    uint64_t bytes, files;
};
DRAY_MUST_CHECK int dray_bag_info(const char *name, const char *text, size_t length,
                                  struct dray_bag_oxum *ret_oxum, struct dray_error *error);

/* manifest-ALG.txt or tagmanifest-ALG.txt. */
struct dray_bag_manifest {
    const char *name;    /* for messages */
    const char *base;    /* what paths get in front: "", or the bag's folder with its slash */
    size_t digest_bytes; /* of ALG: DRAY_SHA256_BYTES or DRAY_MD5_BYTES */
    int payload;         /* all of it is below data/; else nothing is */
    int percent;         /* of the declaration */
};
/* A line that is none is DRAY_INVALID with its place. */
DRAY_MUST_CHECK int dray_bag_read(const struct dray_bag_manifest *manifest, const char *text,
                                  size_t length, struct dray_recorded_list *list,
                                  struct dray_error *error);

#endif
