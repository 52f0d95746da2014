/* SPDX-License-Identifier: MIT */
/* path.c - what paths come to. */
#include "core/base/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/base/text.h"

/* Where the last segment begins. */
static size_t last_segment(const char *text, size_t length, size_t root)
{
    while (length > root && text[length - 1] != '/')
        length--;
    return length;
}

static int is_up(const char *segment, size_t length)
{
    return length == 2 && segment[0] == '.' && segment[1] == '.';
}

/* Returns the new length. */
static size_t add_segment(char *text, size_t length, size_t root, const char *segment, size_t size)
{
    size_t last = last_segment(text, length, root);

    if (is_up(segment, size) && length > root && !is_up(text + last, length - last))
        return last > root ? last - 1 : root;
    if (is_up(segment, size) && root)
        return root;
    if (length > root)
        text[length++] = '/';
    memcpy(text + length, segment, size);
    return length + size;
}

char *dray_path_fold(const char *path)
{
    const size_t root = *path == '/';
    size_t length = root;
    char *text = malloc(strlen(path) + 2);

    if (!text)
        return NULL;
    text[0] = '/';
    while (*path) {
        size_t size = strcspn(path, "/");
        if (size > 1 || (size == 1 && *path != '.'))
            length = add_segment(text, length, root, path, size);
        path += size;
        path += strspn(path, "/");
    }
    text[length] = '\0';
    return text;
}

char *dray_path_real(const char *path)
{
    dray_autofree char *head = strdup(path);

    while (head) {
        dray_autofree char *real = realpath(head, NULL);
        if (!real && errno == ENOMEM)
            return NULL;
        char *slash = strrchr(head, '/');
        if (real || !slash || slash == head) {
            dray_autofree char *whole =
                real ? dray_format("%s/%s", real, path + strlen(head)) : strdup(path);
            return whole ? dray_path_fold(whole) : NULL;
        }
        *slash = '\0';
    }
    return NULL;
}
