/* SPDX-License-Identifier: MIT */
/* others.h - which other datasets in the target lose files to a merge that replaces them. */
#ifndef DRAY_PLUGINS_HPFS_OTHERS_H
#define DRAY_PLUGINS_HPFS_OTHERS_H

#include "probe.h"

/* Paths below the target of what is replaced. Start with `= { NULL }`. */
struct hpfs_replaced {
    char **paths;
    size_t count, capacity;
};
int hpfs_replaced_add(struct dray_ctx *ctx, struct hpfs_replaced *replaced, const char *path);
void hpfs_replaced_free(struct hpfs_replaced *replaced);

/* Warn of those whose records in `into` list what is replaced; the paths are sorted. */
int hpfs_others_look(struct dray_ctx *ctx, int into, const char *whole,
                     const struct hpfs_replaced *replaced);

#endif
