/* SPDX-License-Identifier: MIT */
/*
 * archive.c - the entries of a tar, zip or 7z file, for source/archive and source/command.
 *
 * An uncompressed tar is listed and its files are read where they lie in it. Of anything else, and
 * of sparse files, the bytes are extracted into scratch. Archives come from strangers: what an
 * entry may be called and what it may be is decided here, not by libarchive, which only reads.
 */
#include "archive.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

/* Expanding up to here is never too much: small data of great regularity compress beyond any ratio.
 */
#define RATIO_FLOOR (INT64_C(1) << 30)
#define TAR_BLOCK   512

/* ---- Reasons ------------------------------------------------------------------------------- */

static int refuse(struct reading *reading, const char *what)
{
    const struct dray_host *host = reading->ctx->host;
    int result = host->fail(reading->ctx, DRAY_INVALID, "the entry \"%.*s\" of %s %s",
                            ARCHIVE_SHOWN, reading->reached, reading->options->path, what);

    host->hint(reading->ctx, "extract what is wanted of it by hand, and deliver the directory");
    return result;
}

/* ---- Limits -------------------------------------------------------------------------------- */

static int exceeds(struct reading *reading, const char *option, const char *what)
{
    const struct dray_host *host = reading->ctx->host;
    int result = host->fail(reading->ctx, DRAY_PERMANENT, "%s %s, as found at its entry \"%.*s\"",
                            reading->options->path, what, ARCHIVE_SHOWN, reading->reached);

    host->hint(reading->ctx, "if it is to be trusted, raise %s of source/archive", option);
    return result;
}

int archive_check_limits(struct reading *reading, uint64_t more)
{
    const struct archive_source *limits = reading->options;
    uint64_t bytes, grown = (uint64_t)reading->expanded;
    int64_t most;

    if (reading->entries > (uint64_t)limits->max_entries)
        return exceeds(reading, "max_entries", "has more entries than max_entries allows");
    if (__builtin_add_overflow(reading->bytes, more, &bytes) ||
        (limits->max_bytes != DRAY_NONE && bytes > (uint64_t)limits->max_bytes))
        return exceeds(reading, "max_bytes", "holds more bytes than max_bytes allows");
    if (__builtin_mul_overflow(reading->before.st_size, limits->max_ratio, &most))
        return DRAY_OK;
    if (reading->extracted + more > grown)
        grown = reading->extracted + more;
    if (grown > RATIO_FLOOR && grown > (uint64_t)most)
        return exceeds(reading, "max_ratio",
                       "expands to more times its size than max_ratio allows");
    return DRAY_OK;
}

/* ---- Bytes --------------------------------------------------------------------------------- */

/* Without a writer nobody wants them. What is compressed has to be expanded to get past it, which
 * can take as long as extracting it, and what is wrong with it is told all the same. */
static int write_bytes(struct reading *reading, struct dray_writer *writer, const void *data,
                       uint64_t size)
{
    const struct dray_host *host = reading->ctx->host;

    reading->bytes += size;
    reading->extracted += size;
    int result = archive_check_limits(reading, 0);
    if (result != DRAY_OK)
        return result;
    if (writer != NULL)
        return host->write(reading->ctx, writer, data, size);
    host->progress(reading->ctx, 0, 0);
    return host->cancelled(reading->ctx) ? host->fail(reading->ctx, DRAY_CANCELLED, "cancelled")
                                         : DRAY_OK;
}

/* What an archive leaves out of a sparse file. */
static int write_zeros(struct reading *reading, struct dray_writer *writer, uint64_t size)
{
    static const char zeros[65536];
    int result = DRAY_OK;

    while (result == DRAY_OK && size > 0) {
        uint64_t part = size < sizeof(zeros) ? size : sizeof(zeros);
        result = write_bytes(reading, writer, zeros, part);
        size -= part;
    }
    return result;
}

static int fail_size(struct reading *reading, const char *what, int64_t size)
{
    return reading->ctx->host->fail(
        reading->ctx, DRAY_INTEGRITY, "the entry \"%.*s\" of %s is damaged: %s %" PRId64 " bytes",
        ARCHIVE_SHOWN, reading->reached, reading->options->path, what, size);
}

static int extract_bytes(struct reading *reading, struct archive_entry *entry,
                         struct dray_writer *writer)
{
    int64_t position = 0, offset;
    int64_t size = archive_entry_size_is_set(entry) ? archive_entry_size(entry) : INT64_MAX;
    int sparse = archive_entry_sparse_count(entry) > 0;
    const void *data;
    size_t length;
    int status;

    while ((status = archive_read_data_block(reading->archive, &data, &length, &offset)) ==
           ARCHIVE_OK) {
        if (offset < position || (offset > position && !sparse))
            return refuse(reading, "has bytes that do not follow each other");
        /* Before they fill the disk: what an entry says of its size was held against the limits. */
        if (offset > size || length > (uint64_t)(size - offset))
            return fail_size(reading, "it has more than the stated", size);
        int result = write_zeros(reading, writer, (uint64_t)(offset - position));
        if (result == DRAY_OK)
            result = write_bytes(reading, writer, data, length);
        if (result != DRAY_OK)
            return result;
        position = offset + (int64_t)length;
    }
    if (status != ARCHIVE_EOF)
        return archive_failed(reading);
    if (size == INT64_MAX || position == size)
        return DRAY_OK;
    if (sparse)
        return write_zeros(reading, writer, (uint64_t)(size - position));
    return fail_size(reading, "it ends before the stated", size);
}

static int extract(struct reading *reading, struct archive_entry *entry,
                   const struct dray_item *item)
{
    const struct dray_host *host = reading->ctx->host;
    struct dray_writer writer = {.size = sizeof(writer)};
    int result = host->create(reading->ctx, item, &writer);

    if (result == DRAY_OK)
        result = extract_bytes(reading, entry, &writer);
    return result == DRAY_OK ? host->finish(reading->ctx, &writer) : result;
}

/* A sparse file whose pieces all lie beyond its size counts as one without holes. Where its first
 * bytes belong tells. */
static int check_start(struct reading *reading, uint64_t size)
{
    const void *data;
    size_t length;
    int64_t offset = 0;
    int status =
        size > 0 ? archive_read_data_block(reading->archive, &data, &length, &offset) : ARCHIVE_OK;

    if (status != ARCHIVE_OK && status != ARCHIVE_EOF)
        return archive_failed(reading);
    return status == ARCHIVE_OK && offset == 0
               ? DRAY_OK
               : refuse(reading, "has bytes that lie elsewhere than its size says");
}

/* The tar's own file holds the bytes, right behind the header that was just read. Where the next
 * header must begin is noted, and compared when it is read: the proof that this is so. */
static int add_in_place(struct reading *reading, struct dray_item *item)
{
    const struct dray_host *host = reading->ctx->host;
    int64_t start = archive_filter_bytes(reading->archive, 0), end;

    if (start < 0 || __builtin_add_overflow(start, (int64_t)item->bytes, &end) ||
        end > reading->before.st_size)
        return host->fail(reading->ctx, DRAY_INTEGRITY, "%s is cut off within its entry \"%.*s\"",
                          reading->options->path, ARCHIVE_SHOWN, reading->reached);
    reading->next_header = (end + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
    item->root = reading->root;
    item->offset = (uint64_t)start;
    reading->bytes += item->bytes;
    int result = archive_check_limits(reading, 0);
    if (result == DRAY_OK)
        result = check_start(reading, item->bytes);
    return result != DRAY_OK ? result : host->add(reading->ctx, item);
}

static int check_position(struct reading *reading)
{
    int64_t expected = reading->next_header;

    reading->next_header = 0;
    if (expected == 0 || archive_read_header_position(reading->archive) == expected)
        return DRAY_OK;
    return reading->ctx->host->fail(
        reading->ctx, DRAY_UNSUPPORTED,
        "the entry \"%.*s\" of %s does not lie in it as a tar's files do", ARCHIVE_SHOWN,
        reading->reached, reading->options->path);
}

/* ---- Entries ------------------------------------------------------------------------------- */

static int64_t mtime_of(struct archive_entry *entry)
{
    int64_t seconds = archive_entry_mtime(entry), time;

    if (__builtin_mul_overflow(seconds, INT64_C(1000000000), &time) ||
        __builtin_add_overflow(time, (int64_t)archive_entry_mtime_nsec(entry), &time))
        return seconds < 0 ? INT64_MIN : INT64_MAX;
    return time;
}

static int take_file(struct reading *reading, struct archive_entry *entry, struct dray_item *item)
{
    const struct dray_host *host = reading->ctx->host;
    int64_t size = archive_entry_size(entry);

    if (size < 0)
        return refuse(reading, "has a size below 0");
    item->bytes = (uint64_t)size;
    if (archive_entry_is_encrypted(entry)) {
        int result =
            host->fail(reading->ctx, DRAY_UNSUPPORTED, "the entry \"%.*s\" of %s is encrypted",
                       ARCHIVE_SHOWN, reading->reached, reading->options->path);
        host->hint(reading->ctx,
                   "deliver an archive that is not encrypted, or the files themselves");
        return result;
    }
    if (reading->plain && archive_entry_sparse_count(entry) == 0)
        return add_in_place(reading, item);
    int result = archive_check_limits(reading, item->bytes);
    if (result != DRAY_OK)
        return result;
    if (host->wanted(reading->ctx, item))
        return extract(reading, entry, item);
    item->root = DRAY_NO_ROOT;
    result = host->add(reading->ctx, item);
    return result == DRAY_OK ? extract_bytes(reading, entry, NULL) : result;
}

static int take_hard_link(struct reading *reading, const char *target, struct dray_item *item)
{
    char path[ARCHIVE_PATH_ROOM];
    size_t length;
    const char *fault = archive_clean_path(target, path, &length);

    if (fault != NULL || length == 0)
        return refuse(reading, "is a hard link to a path outside of it");
    item->type = DRAY_FILE;
    item->same_as = archive_strip(reading, path);
    if (item->same_as == NULL)
        return refuse(reading, "is a hard link to a path that strip takes off");
    item->same_as_length = strlen(item->same_as);
    return reading->ctx->host->add(reading->ctx, item);
}

static int take_by_type(struct reading *reading, struct archive_entry *entry,
                        struct dray_item *item)
{
    switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
        item->type = DRAY_FILE;
        return take_file(reading, entry, item);
    case AE_IFDIR:
        item->type = DRAY_DIRECTORY;
        return reading->ctx->host->add(reading->ctx, item);
    case AE_IFLNK:
        item->type = DRAY_LINK;
        item->link = archive_entry_symlink(entry);
        if (item->link == NULL || item->link[0] == '\0')
            return refuse(reading, "is a symbolic link to nothing");
        item->link_length = strlen(item->link);
        return reading->ctx->host->add(reading->ctx, item);
    case AE_IFCHR:
    case AE_IFBLK:
        return refuse(reading, "is a device, which cannot be delivered");
    case AE_IFIFO:
        return refuse(reading, "is a fifo, which cannot be delivered");
    case AE_IFSOCK:
        return refuse(reading, "is a socket, which cannot be delivered");
    default:
        return refuse(reading, "is neither a file nor a directory nor a link");
    }
}

/* Nothing is left of its path. Of directories that is in order. */
static int take_off(struct reading *reading, struct archive_entry *entry, struct dray_item *item)
{
    int root;

    if (archive_entry_filetype(entry) != AE_IFDIR)
        return archive_fail_vanishing(reading);
    int result = archive_note_taken_off(reading, item->path, &root);
    if (result != DRAY_OK || !root)
        return result;
    item->type = DRAY_DIRECTORY;
    item->path = "";
    item->path_length = 0;
    return reading->ctx->host->add(reading->ctx, item);
}

static int fail_path(struct reading *reading, const char *fault)
{
    const struct dray_host *host = reading->ctx->host;
    int result = host->fail(reading->ctx, DRAY_INVALID, "the path of the entry \"%.*s\" of %s %s",
                            ARCHIVE_SHOWN, reading->reached, reading->options->path, fault);

    host->hint(reading->ctx, "extract what is wanted of it by hand, and deliver the directory");
    return result;
}

static int take_entry(struct reading *reading, struct archive_entry *entry)
{
    const char *raw = archive_entry_pathname(entry), *target = archive_entry_hardlink(entry);
    char path[ARCHIVE_PATH_ROOM];
    struct dray_item item = {.size = sizeof(item), .path = path};
    size_t length;
    const char *fault = archive_clean_path(raw, path, &length);

    archive_reach(reading, raw);
    reading->entries++;
    int result = archive_check_limits(reading, 0);
    if (result != DRAY_OK)
        return result;
    if (fault != NULL)
        return fail_path(reading, fault);
    if (length == 0 && archive_entry_filetype(entry) != AE_IFDIR)
        return refuse(reading, "has the path of the archive's root, but is no directory");
    item.mode = archive_entry_perm(entry) & 07777;
    item.mtime = mtime_of(entry);
    const char *left = archive_strip(reading, path);
    if (left == NULL)
        return take_off(reading, entry, &item);
    item.path = left;
    item.path_length = strlen(left);
    result = archive_note_left(reading, path, left);
    if (result != DRAY_OK)
        return result;
    return target != NULL ? take_hard_link(reading, target, &item)
                          : take_by_type(reading, entry, &item);
}

/* ---- The archive --------------------------------------------------------------------------- */

static int fail_header(struct reading *reading, struct archive_entry *entry, int status)
{
    /* What is wrong with a zip's table is said better by who compares it. */
    int result = reading->entries == 0 ? archive_look_at_format(reading) : DRAY_OK;

    if (result != DRAY_OK)
        return result;
    if (status == ARCHIVE_WARN) { /* it is about this entry, which has a name */
        archive_reach(reading, archive_entry_pathname(entry));
        reading->entries++;
    }
    return archive_failed(reading);
}

static int take_all(struct reading *reading)
{
    const struct dray_host *host = reading->ctx->host;
    struct archive_entry *entry;
    int result = DRAY_OK;

    while (result == DRAY_OK) {
        int status = archive_read_next_header(reading->archive, &entry);
        if (status != ARCHIVE_OK && status != ARCHIVE_EOF &&
            !archive_is_only_charset(reading, status))
            return fail_header(reading, entry, status);
        result = check_position(reading);
        if (result != DRAY_OK || status == ARCHIVE_EOF)
            break;
        if (reading->entries == 0)
            result = archive_look_at_format(reading);
        if (result != DRAY_OK)
            break;
        result = host->cancelled(reading->ctx)
                     ? host->fail(reading->ctx, DRAY_CANCELLED, "cancelled")
                     : take_entry(reading, entry);
    }
    return result == DRAY_OK ? archive_check_end(reading) : result;
}

static int read_archive(struct reading *reading)
{
    int result = archive_find_strip(reading);

    if (result == DRAY_OK)
        result = archive_digest_open(reading);
    if (result == DRAY_OK)
        result = archive_open(reading);
    if (result == DRAY_OK)
        result = archive_check_size(reading);
    if (result == DRAY_OK && !reading->compressed)
        result = archive_digest_pass(reading);
    if (result == DRAY_OK)
        result = take_all(reading);
    if (result == DRAY_OK)
        result = archive_digest_check(reading);
    if (result == DRAY_OK)
        result = archive_check_taken_off(reading);
    if (result == DRAY_OK)
        result = archive_check_unchanged(reading);
    archive_digest_close(reading);
    archive_close(reading);
    archive_free_names(&reading->gone);
    archive_free_names(&reading->fronts);
    return result;
}

int archive_stage(const struct archive_source *options, struct dray_ctx *ctx)
{
    struct reading reading = {.ctx = ctx, .options = options, .fd = -1};
    /* libarchive turns names into the character set of the thread's locale: it has to be UTF-8,
     * whatever the process' is. */
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);

    if (utf8 == (locale_t)0)
        return ctx->host->fail_errno(ctx, errno, "reading %s: the locale C.UTF-8 is needed",
                                     reading.options->path);
    locale_t before = uselocale(utf8);
    int result = read_archive(&reading);
    (void)uselocale(before);
    freelocale(utf8);
    return result;
}
