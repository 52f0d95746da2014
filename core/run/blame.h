/* SPDX-License-Identifier: MIT */
/*
 * blame.h - who was at work when a runner died. Each thread notes in a page that it shares with the
 * engine which step and operation it is about to enter; a handler of fatal signals marks the thread
 * that was hit; a plugin that calls exit() leaves its note behind. The engine reads the page once
 * the process is gone.
 */
#ifndef DRAY_RUN_BLAME_H
#define DRAY_RUN_BLAME_H

#include <stdint.h>

#include "core/base/error.h"

/* The descriptor at which a runner finds the page. */
#define DRAY_BLAME_FD    3
#define DRAY_BLAME_SLOTS 256

enum dray_operation {
    DRAY_OPERATION_NONE,
    DRAY_OPERATION_LOAD,
    DRAY_OPERATION_PREPARE,
    DRAY_OPERATION_IDENTIFY,
    DRAY_OPERATION_STAGE,
    DRAY_OPERATION_DECIDE,
    DRAY_OPERATION_APPLY,
    DRAY_OPERATION_DESCRIBE,
    DRAY_OPERATION_PROBE,
    DRAY_OPERATION_PUSH,
    DRAY_OPERATION_DISCARD,
    DRAY_OPERATION_DESTROY,
    DRAY_OPERATION_BRING,
};
const char *dray_operation_name(enum dray_operation operation);

struct dray_blame_slot {
    uint32_t step;      /* number in the plan */
    uint32_t operation; /* DRAY_OPERATION_NONE: in no plugin */
    int32_t signal;     /* not 0: hit by it */
    uint32_t taken;     /* by a thread */
    uint32_t exited;    /* not 0: it called exit() */
    char entry[236];    /* path that was worked on, cut; empty: none */
};
struct dray_blame_page {
    struct dray_blame_slot slots[DRAY_BLAME_SLOTS];
};

/* The engine's side: a new page and the descriptor to hand to the runner. */
DRAY_MUST_CHECK int dray_blame_create(struct dray_blame_page **ret_page, int *ret_fd,
                                      struct dray_error *error);
void dray_blame_free(struct dray_blame_page *page);
/* The slot to blame: one hit by a signal, else one left inside a plugin, else NULL. */
const struct dray_blame_slot *dray_blame_find(const struct dray_blame_page *page);

/* The runner's side. Map the page at DRAY_BLAME_FD (without one, a private page serves) and install
 * the handler. */
DRAY_MUST_CHECK int dray_blame_attach(struct dray_error *error);
/* Once on each thread that may enter plugins: takes a slot, sets up the alternate stack. */
void dray_blame_thread(void *unused);
/* At the end of a thread that gave its slot back. */
void dray_blame_thread_end(void);
/* Before and after a call of a plugin. They nest: leave restores what enter returned. */
struct dray_blame_note {
    uint32_t step, operation;
};
struct dray_blame_note dray_blame_enter(uint32_t step, enum dray_operation operation);
void dray_blame_leave(struct dray_blame_note before);
/* Which entry the plugin is about to get. */
void dray_blame_entry(const char *path, size_t length);

#endif
