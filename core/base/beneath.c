/* SPDX-License-Identifier: MIT */
#include "core/base/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/io.h"

static int open_at(int directory, const char *path, int flags)
{
    int fd;

    do
        fd = openat(directory, path, flags | O_NOFOLLOW | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* What openat2 does in one call, a segment at a time. */
static int open_stepwise(int directory, const char *path, int flags)
{
    dray_autoclose int held = -1;
    char name[NAME_MAX + 1];

    for (const char *segment = path;;) {
        size_t length = strcspn(segment, "/");
        if (length == 0 || length > NAME_MAX) {
            errno = length == 0 ? EINVAL : ENAMETOOLONG;
            return -1;
        }
        memcpy(name, segment, length);
        name[length] = '\0';
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
            errno = EXDEV;
            return -1;
        }
        int from = held >= 0 ? held : directory;
        if (segment[length] == '\0')
            return open_at(from, name, flags);
        int next = open_at(from, name, O_PATH | O_DIRECTORY);
        if (next < 0)
            return -1;
        dray_close_descriptor(&held);
        held = next;
        segment += length + 1;
    }
}

int dray_open_beneath(int directory, const char *path, int flags, int *no_openat2)
{
    struct open_how how = {
        .flags = (unsigned)(flags | O_NOFOLLOW | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd = -1;

    if (!__atomic_load_n(no_openat2, __ATOMIC_RELAXED)) {
        /* EAGAIN: something was renamed meanwhile, so that it could not be proved to lie beneath.
         */
        for (int tries = 0; tries < 100; tries++) {
            fd = syscall(SYS_openat2, directory, path, &how, sizeof how);
            if (fd >= 0 || (errno != EINTR && errno != EAGAIN))
                break;
        }
        /* A sandbox older than the call answers EPERM. */
        if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
            return (int)fd;
        if (errno == ENOSYS)
            __atomic_store_n(no_openat2, 1, __ATOMIC_RELAXED);
    }
    return open_stepwise(directory, path, flags);
}
