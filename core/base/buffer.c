/* SPDX-License-Identifier: MIT */
/* buffer.c - see buffer.h. */
#include "core/base/buffer.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define FIRST_CAPACITY ((size_t)64)

char *dray_buffer_reserve(struct dray_buffer *buffer, size_t length)
{
    size_t wanted;

    if (buffer->failed != 0)
        return NULL;
    assert(buffer->length <= buffer->cap);
    if (length > buffer->cap - buffer->length ||
        __builtin_add_overflow(buffer->length + length, (size_t)1, &wanted)) {
        buffer->failed = DRAY_INVALID;
        return NULL;
    }
    if (wanted > buffer->capacity) {
        size_t capacity = buffer->capacity < FIRST_CAPACITY ? FIRST_CAPACITY : buffer->capacity;
        while (capacity < wanted)
            capacity = capacity > SIZE_MAX / 2 ? wanted : 2 * capacity;
        if (capacity - 1 > buffer->cap)
            capacity = buffer->cap + 1;
        char *grown = realloc(buffer->data, capacity);
        if (grown == NULL) {
            buffer->failed = DRAY_NO_MEMORY;
            return NULL;
        }
        buffer->data = grown;
        buffer->capacity = capacity;
        buffer->data[buffer->length] = '\0';
    }
    buffer->data[buffer->length + length] = '\0';
    return buffer->data + buffer->length;
}

void dray_buffer_add(struct dray_buffer *buffer, const void *data, size_t length)
{
    char *room = dray_buffer_reserve(buffer, length);

    if (room == NULL || length == 0)
        return;
    memcpy(room, data, length);
    buffer->length += length;
}

void dray_buffer_text(struct dray_buffer *buffer, const char *text)
{
    dray_buffer_add(buffer, text, strlen(text));
}

void dray_buffer_format_va(struct dray_buffer *buffer, const char *format, va_list arguments)
{
    va_list again;

    if (buffer->failed != 0)
        return;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    char *room = length < 0 ? NULL : dray_buffer_reserve(buffer, (size_t)length);
    if (room != NULL) {
        (void)vsnprintf(room, (size_t)length + 1, format, again);
        buffer->length += (size_t)length;
    } else if (length < 0) {
        buffer->failed = DRAY_NO_MEMORY;
    }
    va_end(again);
}

void dray_buffer_format(struct dray_buffer *buffer, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    dray_buffer_format_va(buffer, format, arguments);
    va_end(arguments);
}

void dray_buffer_clear(struct dray_buffer *buffer)
{
    buffer->length = 0;
    buffer->failed = 0;
    if (buffer->data != NULL)
        buffer->data[0] = '\0';
}

void dray_buffer_free(struct dray_buffer *buffer)
{
    free(buffer->data);
    buffer->data = NULL;
    buffer->length = 0;
    buffer->capacity = 0;
    buffer->failed = 0;
}
