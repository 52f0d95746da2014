/* SPDX-License-Identifier: MIT */
/* push.h - the directory that push/mock delivers to. A delivery is put together beside its place,
 * under a name made of its request key, and renamed. */
#ifndef MOCK_PUSH_H
#define MOCK_PUSH_H

#include <stdio.h>

#include "plugins/mock/mock.h"

struct push {
    struct mock mock;
    const char *path, *host;
    int64_t short_write;
};

int push_look(const struct push *push, struct dray_ctx *ctx, struct dray_presence *ret_presence);
int push_begin(const struct push *push, struct dray_ctx *ctx);
int push_write(const struct push *push, struct dray_ctx *ctx, uint64_t id);
int push_records(const struct push *push, struct dray_ctx *ctx);
int push_commit(const struct push *push, struct dray_ctx *ctx);
int push_remove(const struct push *push, struct dray_ctx *ctx);

#endif
