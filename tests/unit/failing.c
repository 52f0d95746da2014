/* SPDX-License-Identifier: MIT */
/* failing.c - see failing.h. */
#include "tests/unit/failing.h"

#include <errno.h>

long failing_left = -1;
int failing_failed;
int failing_spared;

int failing_now(void)
{
    if (failing_left < 0 || --failing_left >= 0)
        return 0;
    failing_failed = 1;
    errno = ENOMEM;
    return 1;
}

static int ours_fails(void)
{
    return !failing_spared && failing_now();
}

void *__wrap_malloc(size_t size)
{
    return ours_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return ours_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return ours_fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
    return ours_fails() ? NULL : __real_aligned_alloc(align, size);
}

char *__wrap_strdup(const char *text)
{
    return ours_fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t length)
{
    return ours_fails() ? NULL : __real_strndup(text, length);
}

int __wrap_vasprintf(char **text, const char *format, va_list arguments)
{
    return ours_fails() ? -1 : __real_vasprintf(text, format, arguments);
}
