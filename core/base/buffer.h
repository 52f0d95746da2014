/* SPDX-License-Identifier: MIT */
/* buffer.h - the one growable buffer, with a cap that input cannot push past. */
#ifndef DRAY_BASE_BUFFER_H
#define DRAY_BASE_BUFFER_H

#include <stdarg.h>
#include <stddef.h>

#include "core/base/error.h"

/* Start with `= { .cap = N }`. `data` is NULL or ends with a NUL that `length` does not count.
 * After a failed call the buffer is as it was, `failed` stays set and later appends do nothing,
 * until dray_buffer_clear: a run of appends needs one check at its end. */
struct dray_buffer {
    char *data;
    size_t length;
    size_t capacity;
    size_t cap; /* largest length */
    int failed; /* 0, DRAY_NO_MEMORY or DRAY_INVALID (past the cap) */
};

void dray_buffer_add(struct dray_buffer *buffer, const void *data, size_t length);
void dray_buffer_text(struct dray_buffer *buffer, const char *text);
void dray_buffer_format(struct dray_buffer *buffer, const char *format, ...) DRAY_FORMAT(2, 3);
void dray_buffer_format_va(struct dray_buffer *buffer, const char *format, va_list arguments)
    DRAY_FORMAT(2, 0);
/* Room for `length` more bytes, with a NUL behind them; returns where they go, or NULL. The caller
 * adds to `length`, and sets the NUL where it adds less. */
char *dray_buffer_reserve(struct dray_buffer *buffer, size_t length);
void dray_buffer_clear(struct dray_buffer *buffer);
void dray_buffer_free(struct dray_buffer *buffer);

#endif
