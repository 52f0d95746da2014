/* SPDX-License-Identifier: MIT */
/* sweep.h - what attempts that died left beside a target: removed where it is known to be theirs,
 * else named. */
#ifndef DRAY_RUN_SWEEP_H
#define DRAY_RUN_SWEEP_H

#include "core/plan/plan.h"
#include "core/run/made.h"

/* Hears of what is left alone: a line that says which, why, and how it is removed. */
struct dray_teller {
    void (*tell)(void *arg, const char *message);
    void *arg;
};

/* A delivery that another one has taken the place of, and that nobody has removed yet. */
struct dray_superseded {
    int fd; /* -1: none */
    unsigned mode;
    char *name; /* in the target's parent */
    char manifest[DRAY_SHA256_HEX];
};
void dray_superseded_free(struct dray_superseded *superseded);

struct dray_staging_place;

/* ".dray-" and the first 16 digits of the request key, and a dot. NULL: no memory. */
char *dray_sweep_prefix(const struct dray_plan_target *target);
/* All in the parent that has a name with this prefix. `made`: what is known to be ours; NULL: it is
 * only named. `adopter` (may be NULL): keeps what it can use. `ret_superseded` NULL: a delivery
 * that was to be replaced is left alone; else the target has its new one: it is held, and closed to
 * others (start with fd -1). *ret_left (may be NULL): how many stay. What cannot be removed is
 * told, and no failure. */
DRAY_MUST_CHECK int dray_sweep(const struct dray_plan_target *target, int parent,
                               const struct dray_made *made, struct dray_staging_place *adopter,
                               const struct dray_teller *teller,
                               struct dray_superseded *ret_superseded, uint64_t *ret_left,
                               struct dray_error *error);
/* Remove what is held and has this name. Its name goes first: should the attempt that made it live
 * after all, it can no longer rename it into place. *name becomes the one that it has then. */
DRAY_MUST_CHECK int dray_sweep_remove(const struct dray_plan_target *target, int parent,
                                      char **name, int held, struct dray_error *error);
/* Tell that a name in this directory was left alone. */
void dray_sweep_tell(const struct dray_teller *teller, const char *directory, const char *name,
                     const char *why);

#endif
