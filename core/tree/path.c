/* SPDX-License-Identifier: MIT */
/* path.c - the order of paths, and which of them an entry may have. */
#include <string.h>

#include "core/tree/internal.h"

#define SEGMENT_LONGEST 255

/* `/` comes before every other byte. Paths hold no NUL, so 0 is free for it. */
static unsigned rank(char byte)
{
    return byte == '/' ? 0 : (unsigned char)byte;
}

/* How many bytes at the start are the same in both. */
static size_t common(const char *a, const char *b, size_t length)
{
    size_t i = 0;

    for (; i + sizeof(uint64_t) <= length; i += sizeof(uint64_t)) {
        uint64_t left;
        uint64_t right;
        memcpy(&left, a + i, sizeof left);
        memcpy(&right, b + i, sizeof right);
        if (left != right)
            break;
    }
    while (i < length && a[i] == b[i])
        i++;
    return i;
}

int dray_path_compare(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t shorter = a_length < b_length ? a_length : b_length;
    size_t same = common(a, b, shorter);

    if (same < shorter)
        return rank(a[same]) < rank(b[same]) ? -1 : 1;
    return (a_length > b_length) - (a_length < b_length);
}

int dray_path_is_below(const char *path, size_t length, const char *folder, size_t folder_length)
{
    return length > folder_length && path[folder_length] == '/' &&
           memcmp(path, folder, folder_length) == 0;
}

static const char *segment_fault(const char *segment, size_t length)
{
    if (length == 0)
        return "holds an empty segment";
    if (length == 1 && segment[0] == '.')
        return "holds the segment \".\"";
    if (length == 2 && segment[0] == '.' && segment[1] == '.')
        return "holds the segment \"..\"";
    if (length > SEGMENT_LONGEST)
        return "holds a segment longer than 255 bytes";
    return NULL;
}

const char *dray_path_fault(const char *path, size_t length)
{
    const char *end = path + length;

    if (length == 0)
        return "is empty";
    if (path[0] == '/')
        return "is absolute";
    if (length > DRAY_PATH_LONGEST)
        return "is longer than 4000 bytes";
    if (memchr(path, '\0', length) != NULL)
        return "holds a NUL byte";
    for (const char *segment = path;;) {
        const char *slash = memchr(segment, '/', (size_t)(end - segment));
        const char *fault =
            segment_fault(segment, (size_t)((slash == NULL ? end : slash) - segment));
        if (fault != NULL || slash == NULL)
            return fault;
        segment = slash + 1;
    }
}

int64_t dray_tree_time(int64_t seconds, int64_t nanoseconds)
{
    int64_t time;

    if (__builtin_mul_overflow(seconds, INT64_C(1000000000), &time) ||
        __builtin_add_overflow(time, nanoseconds, &time))
        return seconds < 0 ? INT64_MIN : INT64_MAX;
    return time;
}

const char *dray_tree_type_name(uint8_t type)
{
    switch (type) {
    case DRAY_FILE:
        return "a file";
    case DRAY_DIRECTORY:
        return "a directory";
    case DRAY_LINK:
        return "a symbolic link";
    default:
        return "an entry of unknown type";
    }
}
