/* SPDX-License-Identifier: MIT */
/* archive_open.c - opening an archive, and what libarchive's failures mean. */
#include "archive.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_BYTES      ((size_t)128 << 10)
#define TAR_BLOCK        512
#define BLOCKS_LOOKED_AT 1000

/* Compressions and formats that libarchive may know but that are not read here. */
static const struct {
    const char *magic;
    size_t length;
    const char *name;
} known[] = {
    {"Rar!\032\007", 6, "a RAR archive"},
    {"\211LZO\0\r\n\032\n", 9, "compressed by lzop"},
    {"LRZI", 4, "compressed by lrzip"},
    {"MSCF", 4, "a cabinet archive"},
    {"xar!", 4, "a XAR archive"},
    {"070707", 6, "a cpio archive"},
    {"070701", 6, "a cpio archive"},
    {"!<arch>\n", 8, "an ar archive"},
    {"\211HDF\r\n\032\n", 8, "an HDF5 file"},
};

/* ---- The file ------------------------------------------------------------------------------ */

int archive_open_file(struct reading *reading)
{
    const struct dray_host *host = reading->ctx->host;
    const char *path = reading->options->path;

    /* Not blocked by a fifo that somebody put there. */
    do
        reading->fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    while (reading->fd < 0 && errno == EINTR);
    if (reading->fd < 0 || fstat(reading->fd, &reading->before) != 0)
        return host->fail_errno(reading->ctx, errno, "opening the archive %s", path);
    if (S_ISREG(reading->before.st_mode))
        return DRAY_OK;
    int result =
        host->fail(reading->ctx, DRAY_INVALID, "%s is not a file, so it is no archive", path);
    if (S_ISDIR(reading->before.st_mode))
        host->hint(reading->ctx, "for a directory:  uses: source/directory");
    archive_close(reading);
    return result;
}

void archive_close(struct reading *reading)
{
    /* Nothing was written, so closing has nothing to say. */
    (void)archive_read_free(reading->archive);
    reading->archive = NULL;
    archive_stream_close(reading);
    if (reading->fd >= 0)
        (void)close(reading->fd);
    reading->fd = -1;
}

/* ---- The formats --------------------------------------------------------------------------- */

static int support_formats(struct reading *reading)
{
    struct archive *archive = reading->archive;

    if (archive_read_support_format_tar(archive) != ARCHIVE_OK)
        return -1;
    /* These have their table of contents at the end: they cannot be read as a stream. */
    return !reading->compressed && (archive_read_support_format_zip(archive) != ARCHIVE_OK ||
                                    archive_read_support_format_7zip(archive) != ARCHIVE_OK)
               ? -1
               : 0;
}

int archive_open(struct reading *reading)
{
    const struct dray_host *host = reading->ctx->host;
    int result = host->root(reading->ctx, reading->options->path, &reading->root);

    if (result == DRAY_OK)
        result = archive_open_file(reading);
    if (result != DRAY_OK)
        return result;
    (void)posix_fadvise(reading->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    result = archive_stream_open(reading);
    if (result != DRAY_OK)
        return result;
    reading->archive = archive_read_new();
    if (reading->archive == NULL || support_formats(reading) != 0)
        return archive_failed(reading);
    int status = reading->compressed
                     ? archive_read_open(reading->archive, reading, NULL, archive_stream_read, NULL)
                     : archive_read_open_fd(reading->archive, reading->fd, BLOCK_BYTES);
    return status == ARCHIVE_OK ? DRAY_OK : archive_failed(reading);
}

int archive_look_at_format(struct reading *reading)
{
    int format = archive_format(reading->archive) & ARCHIVE_FORMAT_BASE_MASK;

    reading->plain = !reading->compressed && format == ARCHIVE_FORMAT_TAR;
    return format == ARCHIVE_FORMAT_ZIP ? archive_check_zip(reading) : DRAY_OK;
}

void archive_reach(struct reading *reading, const char *name)
{
    size_t length = name == NULL ? 0 : strnlen(name, ARCHIVE_SHOWN);

    if (length > 0)
        memcpy(reading->reached, name, length);
    reading->reached[length] = '\0';
}

/* ---- Failures ------------------------------------------------------------------------------ */

/* The tar's reader, or while there is none yet that of the stream. */
static struct archive *reader_of(struct reading *reading)
{
    return reading->archive != NULL ? reading->archive : reading->filters;
}

static int errno_of(struct reading *reading)
{
    return reading->stream_reason[0] != '\0' ? reading->stream_errno
                                             : archive_errno(reader_of(reading));
}

static const char *reason_of(struct reading *reading)
{
    const char *reason = archive_error_string(reader_of(reading));

    if (reading->stream_reason[0] != '\0')
        return reading->stream_reason;
    return reason != NULL ? reason : "libarchive gives no reason";
}

int archive_is_only_charset(struct reading *reading, int status)
{
    return status == ARCHIVE_WARN && strstr(reason_of(reading), "converted from") != NULL;
}

static int fail_no_archive(struct reading *reading)
{
    const struct dray_host *host = reading->ctx->host;
    const char *path = reading->options->path;
    char start[16] = "";
    ssize_t got = pread(reading->fd, start, sizeof(start), 0);

    for (size_t i = 0; i < DRAY_COUNT(known); i++)
        if (got >= (ssize_t)known[i].length && memcmp(start, known[i].magic, known[i].length) == 0)
            return host->fail(reading->ctx, DRAY_UNSUPPORTED, "%s is %s, which is not read here",
                              path, known[i].name);
    int result =
        host->fail(reading->ctx, DRAY_INVALID, "%s is no archive that can be read: %s", path,
                   got == 0 ? "it is empty" : "it is neither tar, also compressed, nor zip nor 7z");
    host->hint(reading->ctx, "to deliver the file as it is:  uses: source/directory");
    return result;
}

/* What expands to no tar may have been one: some compressions give the bytes out before they
 * compare a checksum. */
static int is_damaged(struct reading *reading)
{
    const void *data;

    for (int i = 0; reading->compressed && i < BLOCKS_LOOKED_AT; i++) {
        ssize_t length = archive_stream_read(reading->archive, reading, &data);
        if (length <= 0)
            return length < 0;
    }
    return 0;
}

static int is_about(const char *reason, const char *const *words)
{
    for (size_t i = 0; words[i] != NULL; i++)
        if (strstr(reason, words[i]) != NULL)
            return 1;
    return 0;
}

int archive_failed(struct reading *reading)
{
    static const char *const encryption[] = {"ncrypt", "assphrase", "ecrypt", "Crypto", NULL};
    static const char *const missing[] = {"nsupported", "not supported", NULL};
    const struct dray_host *host = reading->ctx->host;
    struct archive *archive = reader_of(reading);
    const char *path = reading->options->path;

    if (reading->cancelled)
        return host->fail(reading->ctx, DRAY_CANCELLED, "cancelled");
    if (archive == NULL || errno_of(reading) == ENOMEM)
        return host->fail(reading->ctx, DRAY_NO_MEMORY, "reading %s: out of memory", path);
    const char *reason = reason_of(reading);
    if (strncmp(reason, "Error reading fd", 16) == 0)
        return host->fail_errno(reading->ctx, errno_of(reading), "reading %s", path);
    if (strcmp(reason, "Unrecognized archive format") == 0) {
        int damaged = is_damaged(reading);
        if (reading->cancelled)
            return host->fail(reading->ctx, DRAY_CANCELLED, "cancelled");
        if (!damaged)
            return fail_no_archive(reading);
        reason = reason_of(reading);
    }
    /* libarchive looks at what is not there when it is asked before it chose a format. */
    int encrypted =
        archive_format(archive) != 0 && archive_read_has_encrypted_entries(archive) == 1;
    if (encrypted || is_about(reason, encryption)) {
        int result =
            host->fail(reading->ctx, DRAY_UNSUPPORTED, "%s is encrypted: %s", path, reason);
        host->hint(reading->ctx,
                   "deliver an archive that is not encrypted, or the files themselves");
        return result;
    }
    int class_ = is_about(reason, missing) ? DRAY_UNSUPPORTED : DRAY_INTEGRITY;
    if (reading->entries == 0)
        return host->fail(reading->ctx, class_, "reading %s, before its first entry: %s", path,
                          reason);
    return host->fail(reading->ctx, class_, "reading %s, at or after its entry \"%.*s\": %s", path,
                      ARCHIVE_SHOWN, reading->reached, reason);
}

/* ---- The end ------------------------------------------------------------------------------- */

static int fail_cut_off(struct reading *reading)
{
    const struct dray_host *host = reading->ctx->host;
    int result = host->fail(
        reading->ctx, DRAY_INTEGRITY,
        "%s is cut off: it ends after its entry \"%.*s\" without the mark of a tar's end",
        reading->options->path, ARCHIVE_SHOWN, reading->reached);

    host->hint(reading->ctx,
               "fetch it again; if it is whole after all, extract it and deliver the directory");
    return result;
}

static int fail_more(struct reading *reading)
{
    const struct dray_host *host = reading->ctx->host;
    int result = host->fail(reading->ctx, DRAY_INVALID,
                            "%s goes on behind the mark of its end, after its entry \"%.*s\"",
                            reading->options->path, ARCHIVE_SHOWN, reading->reached);

    host->hint(reading->ctx, "if these are several archives in one file, deliver each by itself");
    return result;
}

/* What stands behind a place of the file: how many bytes, and are they all 0? */
static int look_behind(struct reading *reading, int64_t place, int64_t *ret_bytes, int *ret_zeros)
{
    const struct dray_host *host = reading->ctx->host;
    char block[4096];
    ssize_t got;

    *ret_bytes = 0;
    *ret_zeros = 1;
    while (*ret_zeros) {
        got = pread(reading->fd, block, sizeof(block), place + *ret_bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return host->fail_errno(reading->ctx, errno, "reading %s", reading->options->path);
        if (got == 0)
            break;
        for (ssize_t i = 0; i < got; i++)
            *ret_zeros &= block[i] == 0;
        *ret_bytes += got;
        host->progress(reading->ctx, 0, 0);
        if (host->cancelled(reading->ctx))
            return host->fail(reading->ctx, DRAY_CANCELLED, "cancelled");
    }
    return DRAY_OK;
}

/* A tar ends with blocks of zeros. One that was cut off between two entries has none, and nothing
 * else tells. What is not 0 behind them would be left out in silence. */
int archive_check_end(struct reading *reading)
{
    int64_t bytes = 0, place = archive_read_header_position(reading->archive);
    int zeros = 1, result = DRAY_OK;

    if (reading->compressed) {
        result = archive_stream_drain(reading);
        bytes = reading->expanded - place;
        zeros = reading->last_byte <= place;
    } else if (reading->plain) {
        result = look_behind(reading, place, &bytes, &zeros);
    } else {
        return DRAY_OK;
    }
    if (result != DRAY_OK)
        return result;
    if (bytes < TAR_BLOCK)
        return fail_cut_off(reading);
    return zeros ? DRAY_OK : fail_more(reading);
}

int archive_check_unchanged(struct reading *reading)
{
    const struct dray_host *host = reading->ctx->host;
    const struct stat *before = &reading->before;
    struct stat after;

    if (fstat(reading->fd, &after) != 0)
        return host->fail_errno(reading->ctx, errno, "reading %s", reading->options->path);
    if (after.st_size == before->st_size && after.st_mtim.tv_sec == before->st_mtim.tv_sec &&
        after.st_mtim.tv_nsec == before->st_mtim.tv_nsec &&
        after.st_ctim.tv_sec == before->st_ctim.tv_sec &&
        after.st_ctim.tv_nsec == before->st_ctim.tv_nsec)
        return DRAY_OK;
    return host->fail(reading->ctx, DRAY_CHANGED, "%s changed while it was read",
                      reading->options->path);
}
