/* SPDX-License-Identifier: MIT */
/* io.h - the one place that knows EINTR and short I/O. Descriptors are born CLOEXEC. */
#ifndef DRAY_BASE_IO_H
#define DRAY_BASE_IO_H

#include <stdint.h>
#include <sys/types.h>

#include "core/base/buffer.h"

/* All of it, or -1 with errno. */
DRAY_MUST_CHECK int dray_write_all(int fd, const void *data, size_t length);
DRAY_MUST_CHECK int dray_pwrite_all(int fd, const void *data, size_t length, uint64_t offset);
/* As many bytes as there are up to length (less only at end of file), or -1 with errno. */
DRAY_MUST_CHECK ssize_t dray_read_full(int fd, void *data, size_t length);
DRAY_MUST_CHECK ssize_t dray_pread_full(int fd, void *data, size_t length, uint64_t offset);
/* Write what the buffer holds, and empty it. `what` names it in an error. */
DRAY_MUST_CHECK int dray_flush(int fd, struct dray_buffer *buffer, const char *what,
                               struct dray_error *error);
/* Close a file that was written: 0, or -1 with errno. *fd becomes -1 either way. */
DRAY_MUST_CHECK int dray_close(int *fd);
/* A whole file behind what the buffer holds, up to its cap. */
DRAY_MUST_CHECK int dray_read_file(const char *path, struct dray_buffer *buffer,
                                   struct dray_error *error);
/* Replace a file by a new one of the same name with exactly this mode, synced, in one act. */
DRAY_MUST_CHECK int dray_write_file(const char *path, const void *data, size_t length,
                                    unsigned mode, struct dray_error *error);
/* mkdir -p with mode (less the umask) for each new one. */
DRAY_MUST_CHECK int dray_make_directories(const char *path, unsigned mode,
                                          struct dray_error *error);
/* Remove `name` in a directory, whatever it is, with all below it, however deep, never following a
 * link; a missing one is fine. Directories that we may not enter are made enterable; one that
 * something is mounted on is DRAY_CONFLICT. `name` is one name; with AT_FDCWD it may be a path, for
 * callers that trust all of it but what is at its end. */
DRAY_MUST_CHECK int dray_remove_tree(int directory, const char *name, struct dray_error *error);
/* The same of a directory that is open, which `name` must lead to: it is emptied by its descriptor,
 * whatever becomes of the name meanwhile. DRAY_CONFLICT: the name leads to something else. */
DRAY_MUST_CHECK int dray_remove_held(int directory, const char *name, int held,
                                     struct dray_error *error);
/* The path made absolute: below base when relative (NULL: below the working directory), without `.`
 * and empty segments. `..` stays, as what it means is for the kernel to say. NULL: no memory.
 * Frees: caller. */
DRAY_MUST_CHECK char *dray_path_absolute(const char *base, const char *path);

#endif
