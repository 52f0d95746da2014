/* SPDX-License-Identifier: MIT */
/*
 * destination.h - the directories that deliveries go into. Where a site has roots, nothing outside
 * of them is opened, whatever paths say and whoever swaps a part of one for a link meanwhile.
 */
#ifndef DRAY_TREE_DESTINATION_H
#define DRAY_TREE_DESTINATION_H

#include <jansson.h>

#include "core/base/error.h"

/* The directory that an absolute path leads to: its real path (the caller frees it) and a
 * descriptor to open others from (O_PATH). `roots` are the site's, [{"path", "real"}], the real
 * path having no links in it; NULL: it may be anywhere.
 * With roots the path begins with one, by either of its paths. Below it links are followed that do
 * not leave it, and such that lead, by an absolute path, to what begins with a root again:
 * DRAY_DENIED otherwise. DRAY_NOT_FOUND: it is not there; DRAY_INVALID: it is no directory, or its
 * real path is not UTF-8, which a plan could not hold. */
DRAY_MUST_CHECK int dray_destination_find(const json_t *roots, const char *path, char **ret_real,
                                          int *ret_fd, struct dray_error *error);
/* Open a directory by its real path, as it was found, for reading: a descriptor, or a class. A link
 * that has appeared in it since is not followed. */
DRAY_MUST_CHECK int dray_destination_open(const json_t *roots, const char *real,
                                          struct dray_error *error);

#endif
