/* SPDX-License-Identifier: MIT */
/* listing.h - a tree out of a list of its entries, as other programs print it: no bytes of the
 * dataset are there, and none are looked for. */
#ifndef DRAY_TREE_LISTING_H
#define DRAY_TREE_LISTING_H

#include "core/tree/tree.h"

struct dray_listing {
    int fd;           /* read from where it stands to its end */
    const char *name; /* what messages call it */
    /* Called now and then with how many entries there are; not 0: stop with DRAY_CANCELLED. May be
     * NULL. */
    int (*reached)(void *arg, uint64_t entries);
    void *arg;
};

struct dray_listed {
    uint64_t entries; /* how many were listed */
    int bare;         /* there are some, and none of them with a size: it may be no list at all */
};

/* The format stands in docs/formats.md: lines or NUL-terminated records of `SIZE<TAB>PATH` or of
 * `PATH`, or a delivery's tree.jsonl. Parents that are not listed are added. A bad line is refused
 * with the list's name and the line's number as the error's place. */
DRAY_MUST_CHECK int dray_listing_read(const struct dray_listing *listing,
                                      struct dray_tree **ret_tree, struct dray_listed *ret_listed,
                                      struct dray_error *error);

#endif
