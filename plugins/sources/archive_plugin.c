/* SPDX-License-Identifier: MIT */
/* source/archive: the entries of a tar, zip or 7z file. */
#include <inttypes.h>

#include "archive.h"

static const struct dray_option options[] = {
    DRAY_OPTION_PATH(
        struct archive_source, path, DRAY_OPTION_REQUIRED | DRAY_OPTION_READS, NULL,
        "The archive: tar, also compressed by gzip, bzip2, xz, lzma, lzip, lz4, zstd or "
        "compress; zip; 7z"),
    DRAY_OPTION_SIZE(struct archive_source, max_bytes, "none",
                     "Refuse an archive whose files have more bytes than this together"),
    DRAY_OPTION_INT(
        struct archive_source, max_ratio, "1000", 1, INT64_MAX,
        "Refuse an archive that expands to more than so many times its size; less than 1 GiB "
        "is never too much"),
    DRAY_OPTION_INT(struct archive_source, max_entries, "20000000", 1, INT64_MAX,
                    "Refuse an archive with more entries than this"),
    DRAY_OPTION_STRING(
        struct archive_source, strip, DRAY_OPTION_RENAMES, "0",
        "Take so many segments off the front of every path; auto: the directory that "
        "all entries lie in, if there is one"),
    DRAY_OPTION_STRING(struct archive_source, bundle_sha256, 0, NULL,
                       "What is recorded of the archive's file: its SHA-256"),
    DRAY_OPTION_STRING(struct archive_source, bundle_md5, 0, NULL,
                       "What is recorded of the archive's file: its MD5"),
    DRAY_OPTION_SIZE(struct archive_source, bundle_size, "none",
                     "What is recorded of the archive's file: how many bytes it has"),
};

static int prepare(void *self, struct dray_ctx *ctx)
{
    const struct archive_source *source = self;
    int result = archive_prepare_strip(self, ctx);
    int other = archive_prepare_digest(source->bundle_sha256, source->bundle_md5, ctx);

    return result != DRAY_OK ? result : other;
}

static int stage(void *self, struct dray_ctx *ctx)
{
    return archive_stage(self, ctx);
}

static int identify(void *self, struct dray_ctx *ctx, char **ret_revision)
{
    struct reading reading = {.ctx = ctx, .options = self, .fd = -1};
    int result = archive_open_file(&reading);

    if (result != DRAY_OK)
        return result;
    const struct stat *status = &reading.before;
    *ret_revision = ctx->host->format("size %" PRId64 ", mtime %" PRId64 ".%09ld, inode %" PRIu64,
                                      (int64_t)status->st_size, (int64_t)status->st_mtim.tv_sec,
                                      status->st_mtim.tv_nsec, (uint64_t)status->st_ino);
    archive_close(&reading);
    return *ret_revision != NULL
               ? DRAY_OK
               : ctx->host->fail(ctx, DRAY_NO_MEMORY, "looking at %s: out of memory",
                                 reading.options->path);
}

static const struct dray_source_operations operations = {
    .size = sizeof(operations),
    .identify = identify,
    .stage = stage,
};

DRAY_PLUGIN(DRAY_KIND_SOURCE, 0, "archive", "1.0.0", "Bring the entries of a tar, zip or 7z file",
            struct archive_source, options, &operations, .prepare = prepare);
