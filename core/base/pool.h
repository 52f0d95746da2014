/* SPDX-License-Identifier: MIT */
/* pool.h - threads that share loops. Several loops may run at once; the caller of one works in it
 * too. */
#ifndef DRAY_BASE_POOL_H
#define DRAY_BASE_POOL_H

#include <stdint.h>

#include "core/base/error.h"

struct dray_pool;
/* `threads` beside the callers; 0 is fine. `enter` (may be NULL) is called once on each new thread.
 */
DRAY_MUST_CHECK struct dray_pool *dray_pool_new(unsigned threads, void (*enter)(void *arg),
                                                void *arg);
/* Waits for the threads; no loop may be running. */
void dray_pool_free(struct dray_pool *pool);
/* fn(arg, index) for 0 <= index < count; 0 or the first failure, after which no new index starts.
 * Indexes are taken in order, in chunks. fn may be entered on several threads. */
DRAY_MUST_CHECK int dray_pool_run(struct dray_pool *pool, uint64_t count,
                                  int (*fn)(void *arg, uint64_t index), void *arg);

#endif
