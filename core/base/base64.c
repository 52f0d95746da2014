/* SPDX-License-Identifier: MIT */
/* base64.c - the base64 of text.h: RFC 4648, section 4. Decoding is strict, since what it reads may
 * come from anybody: of all spellings of the same bytes it takes the one that encoding gives. */
#include <string.h>

#include "core/base/text.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void dray_base64_add(struct dray_buffer *buffer, const void *data, size_t length)
{
    const unsigned char *bytes = data;
    size_t size;

    if (__builtin_mul_overflow(length / 3 + (length % 3 != 0), (size_t)4, &size))
        size = SIZE_MAX; /* past every cap */
    char *out = dray_buffer_reserve(buffer, size);
    if (out == NULL)
        return;
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        uint32_t group = (uint32_t)bytes[i] << 16;
        if (left > 1)
            group |= (uint32_t)bytes[i + 1] << 8;
        if (left > 2)
            group |= bytes[i + 2];
        *out++ = alphabet[group >> 18];
        *out++ = alphabet[group >> 12 & 63];
        *out++ = left > 1 ? alphabet[group >> 6 & 63] : '=';
        *out++ = left > 2 ? alphabet[group & 63] : '=';
    }
    buffer->length += size;
}

/* `count` digits, those that are missing being zero: 0, or -1 where one is no digit. */
static int read_group(const char *digits, size_t count, uint32_t *ret_group)
{
    uint32_t group = 0;

    for (size_t i = 0; i < 4; i++) {
        const char *digit = i < count ? memchr(alphabet, digits[i], sizeof alphabet - 1) : alphabet;
        if (digit == NULL)
            return -1;
        group = group << 6 | (uint32_t)(digit - alphabet);
    }
    *ret_group = group;
    return 0;
}

char *dray_base64_decode(const char *text, size_t *ret_length)
{
    size_t length = strlen(text);
    size_t padding = 0;

    if (length % 4 != 0)
        return NULL;
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
        padding++;
    size_t size = length / 4 * 3 - padding;
    dray_autofree char *bytes = malloc(size + 1);
    if (bytes == NULL)
        return NULL;
    for (size_t i = 0, done = 0; i < length; i += 4) {
        size_t missing = i + 4 == length ? padding : 0;
        uint32_t group;
        if (read_group(text + i, 4 - missing, &group) != 0)
            return NULL;
        /* Bits that belong to no byte: another spelling of the same bytes. */
        if ((group & ((UINT32_C(1) << 8 * missing) - 1)) != 0)
            return NULL;
        for (size_t byte = 0; byte < 3 - missing; byte++)
            bytes[done++] = (char)(group >> (16 - 8 * byte) & 255);
    }
    bytes[size] = '\0';
    *ret_length = size;
    return DRAY_TAKE(bytes);
}
