/* SPDX-License-Identifier: MIT */
/* init.c - a new file, where there was none. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/api/api.h"
#include "core/base/io.h"

int dray_api_write_new(const char *file, const char *text, struct dray_error *error)
{
    dray_autoclose int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

    if (fd < 0 && errno == EEXIST) {
        (void)dray_fail(error, DRAY_INVALID, "%s is there already, and nothing is overwritten",
                        file);
        dray_hint(error, "name another file, or remove this one");
        return error->class_;
    }
    if (fd < 0)
        return dray_fail_errno(error, errno, "writing %s", file);
    if (dray_write_all(fd, text, strlen(text)) == 0 && dray_close(&fd) == 0)
        return 0;
    int problem = errno;
    (void)unlink(file); /* half a workflow is none */
    return dray_fail_errno(error, problem, "writing %s", file);
}
