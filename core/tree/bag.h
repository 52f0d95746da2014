/* SPDX-License-Identifier: MIT */
/* bag.h - the texts of a BagIt bag (RFC 8493, and the drafts before it). */
#ifndef DRAY_TREE_BAG_H
#define DRAY_TREE_BAG_H

#include "core/tree/recorded.h"

/* bagit.txt: the major version, 0 or 1. From 1 on a percent sign in names is written as %25, and
 * each manifest lists the whole payload. Another version, and another encoding than UTF-8, are
 * DRAY_UNSUPPORTED. */
DRAY_MUST_CHECK int dray_bag_declaration(const char *name, const char *text, size_t length,
                                         int *ret_major, struct dray_error *error);

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
    size_t digest_bytes; /* of ALG: DRAY_SHA256_BYTES, DRAY_MD5_BYTES, or 0: names alone are read */
    int payload;         /* all of it is below data/; else nothing is */
    int percent;         /* as the declaration has it */
};
/* A line that is none is DRAY_INVALID with its place. */
DRAY_MUST_CHECK int dray_bag_read(const struct dray_bag_manifest *manifest, const char *text,
                                  size_t length, struct dray_recorded_list *list,
                                  struct dray_error *error);

/* fetch.txt: what of the payload is to be fetched, with the size where one is said. Paths get
 * `base` in front. A line that is none is DRAY_INVALID with its place. */
DRAY_MUST_CHECK int dray_bag_fetch(const char *name, const char *base, int percent,
                                   const char *text, size_t length, struct dray_recorded_list *list,
                                   struct dray_error *error);

#endif
