/* SPDX-License-Identifier: MIT */
/*
 * log.h - events with typed fields. A record is built from fields, never from a format string, so
 * that it can be printed for people or as a JSON line from the same data, and so that a secret has
 * no way in.
 */
#ifndef DRAY_BASE_LOG_H
#define DRAY_BASE_LOG_H

#include <stdint.h>

#include "core/base/error.h"

enum dray_field_type { DRAY_FIELD_TEXT, DRAY_FIELD_INT, DRAY_FIELD_SIZE };
struct dray_log_field {
    const char *key;
    enum dray_field_type type;
    const char *text;
    int64_t number;
};
#define DRAY_TEXT(KEY, VALUE) ((struct dray_log_field){KEY, DRAY_FIELD_TEXT, VALUE, 0})
#define DRAY_INT(KEY, VALUE)  ((struct dray_log_field){KEY, DRAY_FIELD_INT, NULL, (int64_t)(VALUE)})
#define DRAY_SIZE(KEY, VALUE)                                                                      \
    ((struct dray_log_field){KEY, DRAY_FIELD_SIZE, NULL, (int64_t)(VALUE)})

/* Where records go. Lines are written whole, so threads and processes may share the descriptor. */
struct dray_log {
    int fd;
    int json;
    uint32_t level;  /* DRAY_LOG_DEBUG, ...: lower ones are left out */
    const char *job; /* put on every record; NULL: none */
    int64_t attempt; /* 0: none */
};
void dray_log_write(const struct dray_log *log, uint32_t level, const char *step, const char *event,
                    const struct dray_log_field *fields, size_t count);

#endif
