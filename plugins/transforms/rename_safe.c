/* SPDX-License-Identifier: MIT */
/* rename_safe.c - names that Windows, or any object store, takes as they are. */
#include "rename.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <utf8proc.h>

/* Windows' own limit on a whole path is 260 with the drive and the folder that it is put into. */
#define WINDOWS_LONGEST 240
/* Amazon's and Google's limit on a key, in bytes. */
#define STORE_LONGEST 1024

static int is_reserved(int64_t safe, unsigned char byte)
{
    return byte < 0x20 || byte == 0x7f ||
           strchr(safe == SAFE_WINDOWS ? "<>:\"\\|?*" : "\\{}^%`[]\"<>~#|*?", byte) != NULL;
}

/* Is the part before the first dot a device of Windows? */
static int is_device(const char *segment, size_t length)
{
    static const char *const names[] = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"};
    const char *dot = memchr(segment, '.', length);
    size_t stem = dot != NULL ? (size_t)(dot - segment) : length;

    while (stem > 0 && segment[stem - 1] == ' ')
        stem--;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (stem == strlen(names[i]) && strncasecmp(segment, names[i], stem) == 0)
            return 1;
    if (stem < 4 || (strncasecmp(segment, "COM", 3) != 0 && strncasecmp(segment, "LPT", 3) != 0))
        return 0;
    /* digits, and the raised 1, 2 and 3 of Latin-1 */
    return (stem == 4 && segment[3] >= '0' && segment[3] <= '9') ||
           (stem == 5 &&
            (memcmp(segment + 3, "\xc2\xb9", 2) == 0 || memcmp(segment + 3, "\xc2\xb2", 2) == 0 ||
             memcmp(segment + 3, "\xc2\xb3", 2) == 0));
}

/* Bytes that are no UTF-8 and characters of control become `_`. */
static void make_characters(int64_t safe, struct rename_path *path)
{
    size_t out = 0;

    for (size_t i = 0; i < path->length;) {
        utf8proc_int32_t point = 0;
        utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)path->bytes + i,
                                                 (utf8proc_ssize_t)(path->length - i), &point);
        int bad = step <= 0 || (point >= 0x80 && point < 0xa0) ||
                  (point < 0x80 && is_reserved(safe, (unsigned char)point));
        size_t bytes = step > 0 ? (size_t)step : 1;
        if (bad)
            path->bytes[out++] = '_';
        else
            memmove(path->bytes + out, path->bytes + i, bytes);
        out += bad ? 0 : bytes;
        i += bytes;
    }
    path->bytes[out] = '\0';
    path->length = out;
}

static int make_segment(int64_t safe, const char *segment, size_t length, struct rename_path *path,
                        size_t *at)
{
    int device = safe == SAFE_WINDOWS && is_device(segment, length);

    if (*at + length + 2 >= sizeof(path->spare))
        return -1;
    if (device)
        path->spare[(*at)++] = '_';
    memcpy(path->spare + *at, segment, length);
    *at += length;
    for (size_t i = *at; i > *at - length; i--) {
        char last = path->spare[i - 1];
        if (last != '.' && !(last == ' ' && safe == SAFE_WINDOWS))
            break;
        path->spare[i - 1] = '_';
    }
    return 0;
}

int rename_safe_apply(int64_t safe, struct rename_path *path)
{
    size_t at = 0;

    if (safe == SAFE_NONE || path->length == 0)
        return 0;
    make_characters(safe, path);
    for (const char *segment = path->bytes, *end = segment + path->length;;) {
        const char *slash = memchr(segment, '/', (size_t)(end - segment));
        size_t length = (size_t)((slash != NULL ? slash : end) - segment);
        if (make_segment(safe, segment, length, path, &at) != 0)
            return -1;
        if (slash == NULL)
            break;
        path->spare[at++] = '/';
        segment = slash + 1;
    }
    memcpy(path->bytes, path->spare, at);
    path->bytes[at] = '\0';
    path->length = at;
    return 0;
}

const char *rename_safe_fault(int64_t safe, const char *path, size_t length)
{
    size_t units = 0;

    if (safe == SAFE_OBJECT_STORE && length > STORE_LONGEST)
        return "is longer than the 1024 bytes that object stores take";
    for (size_t i = 0; i < length; i++) /* of four bytes Windows makes two units, else one */
        units +=
            ((unsigned char)path[i] & 0xc0) != 0x80 ? 1u + ((unsigned char)path[i] >= 0xf0) : 0;
    if (safe == SAFE_WINDOWS && units > WINDOWS_LONGEST)
        return "is longer than the 240 characters that fit below a folder on Windows";
    return NULL;
}

char *rename_safe_fold(const char *path, size_t length, size_t *ret_length)
{
    utf8proc_uint8_t *folded = NULL;
    utf8proc_ssize_t got =
        utf8proc_map((const utf8proc_uint8_t *)path, (utf8proc_ssize_t)length, &folded,
                     UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD);

    if (got < 0)
        return NULL;
    *ret_length = (size_t)got;
    return (char *)folded;
}
