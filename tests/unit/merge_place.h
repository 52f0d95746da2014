/* SPDX-License-Identifier: MIT */
/* merge_place.h - a target with a holder, as tests of a merge's journal need one. */
#ifndef DRAY_TESTS_MERGE_PLACE_H
#define DRAY_TESTS_MERGE_PLACE_H

#include "core/run/merge.h"

#define HOLDER ".dray-0123456789abcdef.1-01234567"

/* A target with the files of others `mine` and `e/other`, and a holder whose journal takes `a` and
 * the directory `d` into it, and `mine` in the place of `mine`. */
struct place {
    char path[64];
    int target, holder, lock; /* of the holder, which is locked */
    struct dray_merge_journal journal;
};

/* Setup and teardown of a test. */
int place_make(void **state);
int place_remove(void **state);

void place_write(int root, const char *name, const char *text);
int place_holds(struct place *place, const char *name, const char *text);
int place_has(struct place *place, const char *name);
void place_write_journal(struct place *place);
/* Do the first steps only, as a process that is killed does. */
void place_do_steps(struct place *place, size_t steps);
/* Settle as the next process does: whoever made the holder is gone. */
int place_try_to_settle(struct place *place, struct dray_error *error);
/* As whoever made it does. */
int place_settle_own(struct place *place, struct dray_error *error);
/* As the next process does; it must succeed. */
void place_settle(struct place *place);
void place_assert_merged(struct place *place);
void place_assert_as_before(struct place *place);

#endif
