/* SPDX-License-Identifier: MIT */
/* archive_open.c - opening an archive, and what libarchive's failures mean. */
#include "archive.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_BYTES ((size_t)128 << 10)
#define TAR_BLOCK   512

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
    if (reading->fd >= 0)
        (void)close(reading->fd);
    reading->fd = -1;
}

/* ---- The formats --------------------------------------------------------------------------- */

/* Only compressions that libarchive has built in: for others it would start programs. */
static int support(struct archive *archive)
{
    int failed = archive_read_support_format_tar(archive) != ARCHIVE_OK ||
                 archive_read_support_format_zip(archive) != ARCHIVE_OK ||
                 archive_read_support_format_7zip(archive) != ARCHIVE_OK ||
                 archive_read_support_filter_compress(archive) != ARCHIVE_OK;

    if (archive_zlib_version() != NULL)
        failed |= archive_read_support_filter_gzip(archive) != ARCHIVE_OK;
    if (archive_bzlib_version() != NULL)
        failed |= archive_read_support_filter_bzip2(archive) != ARCHIVE_OK;
    if (archive_liblzma_version() != NULL)
        failed |= archive_read_support_filter_xz(archive) != ARCHIVE_OK ||
                  archive_read_support_filter_lzma(archive) != ARCHIVE_OK ||
                  archive_read_support_filter_lzip(archive) != ARCHIVE_OK;
    if (archive_liblz4_version() != NULL)
        failed |= archive_read_support_filter_lz4(archive) != ARCHIVE_OK;
    if (archive_libzstd_version() != NULL)
        failed |= archive_read_support_filter_zstd(archive) != ARCHIVE_OK;
    return failed;
}

int archive_open(struct reading *reading)
{
    const struct dray_host *host = reading->ctx->host;
    int result = host->root(reading->ctx, reading->options->path, &reading->root);

    if (result == DRAY_OK)
        result = archive_open_file(reading);
    if (result != DRAY_OK)
        return result;
    reading->archive = archive_read_new();
    if (reading->archive == NULL)
        return host->fail(reading->ctx, DRAY_NO_MEMORY, "reading %s: out of memory",
                          reading->options->path);
    if (support(reading->archive))
        return host->fail(reading->ctx, DRAY_UNSUPPORTED,
                          "reading %s: libarchive lacks a format that it should know: %s",
                          reading->options->path, archive_error_string(reading->archive));
    (void)posix_fadvise(reading->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return archive_read_open_fd(reading->archive, reading->fd, BLOCK_BYTES) == ARCHIVE_OK
               ? DRAY_OK
               : archive_failed(reading);
}

void archive_look_at_format(struct reading *reading)
{
    reading->plain =
        archive_filter_count(reading->archive) == 1 &&
        (archive_format(reading->archive) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_TAR;
}

void archive_reach(struct reading *reading, const char *name)
{
    size_t length = name == NULL ? 0 : strnlen(name, ARCHIVE_SHOWN);

    if (length > 0)
        memcpy(reading->reached, name, length);
    reading->reached[length] = '\0';
}

/* ---- Failures ------------------------------------------------------------------------------ */

static const char *reason_of(struct reading *reading)
{
    const char *reason = archive_error_string(reading->archive);

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
    const char *reason = reason_of(reading), *path = reading->options->path;
    int number = archive_errno(reading->archive);

    if (number == ENOMEM)
        return host->fail(reading->ctx, DRAY_NO_MEMORY, "reading %s: out of memory", path);
    if (strncmp(reason, "Error reading fd", 16) == 0)
        return host->fail_errno(reading->ctx, number, "reading %s", path);
    if (strcmp(reason, "Unrecognized archive format") == 0)
        return fail_no_archive(reading);
    if (archive_read_has_encrypted_entries(reading->archive) == 1 || is_about(reason, encryption)) {
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

/* A tar ends with blocks of zeros. One that was cut off between two entries has none, and nothing
 * else tells: compressions have an end of their own. */
int archive_check_end(struct reading *reading)
{
    static const char zeros[TAR_BLOCK];
    const struct dray_host *host = reading->ctx->host;
    char block[TAR_BLOCK];

    if (!reading->plain)
        return DRAY_OK;
    int64_t position = archive_read_header_position(reading->archive);
    ssize_t got = pread(reading->fd, block, sizeof(block), position);
    if (got < 0)
        return host->fail_errno(reading->ctx, errno, "reading %s", reading->options->path);
    if (got == TAR_BLOCK && memcmp(block, zeros, sizeof(block)) == 0)
        return DRAY_OK;
    int result = host->fail(
        reading->ctx, DRAY_INTEGRITY,
        "%s is cut off: it ends after its entry \"%.*s\" without the mark of a tar's end",
        reading->options->path, ARCHIVE_SHOWN, reading->reached);
    host->hint(reading->ctx,
               "fetch it again; if it is whole after all, extract it and deliver the directory");
    return result;
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
