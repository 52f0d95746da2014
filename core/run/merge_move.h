/* SPDX-License-Identifier: MIT */
/*
 * merge_move.h - how a merge moves one name between a target, in which others may write, and its
 * holder, in which nobody else does. Paths are below a root; no link is followed and no mount
 * entered on the way (EXDEV). All return -1 with errno.
 */
#ifndef DRAY_RUN_MERGE_MOVE_H
#define DRAY_RUN_MERGE_MOVE_H

#include "core/run/merge.h"

/* The directory that a path lies in (O_PATH), and its name there. */
DRAY_MUST_CHECK int dray_merge_open_folder(int root, const char *path, const char **ret_name);
/* Is what the line says there? 1, or 0: nothing, or something else, or it was changed. */
DRAY_MUST_CHECK int dray_merge_is_there(int root, const char *path,
                                        const struct dray_merge_line *line);
/* From the holder to a name in the target. EEXIST: it is taken. A file or link never takes the
 * place of anything, a directory at most that of an empty one, where renames know no flags. */
DRAY_MUST_CHECK int dray_merge_move_out(int holder, const char *path, int target, const char *to);
/* From the target to a name in the holder, which is free. */
DRAY_MUST_CHECK int dray_merge_move_in(int target, const char *path, int holder, const char *to);
/* To a name in the target that is free by a look, where neither way of moving out is known, or a
 * file of somebody else may not be linked. */
DRAY_MUST_CHECK int dray_merge_move_back(int holder, const char *path, int target, const char *to);
/* A directory of the line gets this mode, if it is still that directory. */
DRAY_MUST_CHECK int dray_merge_set_mode(int root, const struct dray_merge_line *line, mode_t mode);
/* A rename that replaces nothing, of a file or link: by its flag, or by a hard link. */
DRAY_MUST_CHECK int dray_merge_rename_new(int from, const char *old, int to, const char *name,
                                          mode_t mode);

#endif
