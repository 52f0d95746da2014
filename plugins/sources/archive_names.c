/* SPDX-License-Identifier: MIT */
/* archive_names.c - what entries are called in the dataset: paths made clean, and what `strip`
 * takes off their front. */
#include "archive.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Of `strip: auto`. */
#define STRIP_AUTO (-1)
/* No path has more segments. */
#define STRIP_MOST (ARCHIVE_PATH_ROOM / 2)
/* What names may take before they are sorted out; what the allocator adds to each. */
#define NAMES_MOST    ((size_t)128 << 20)
#define NAME_OVERHEAD 24

const char *archive_clean_path(const char *raw, char *path, size_t *ret_length)
{
    size_t used = 0;

    if (raw == NULL || raw[0] == '\0')
        return "is empty, or not in the character set that the archive says";
    if (raw[0] == '/')
        return "is absolute";
    for (const char *segment = raw; *segment != '\0';) {
        size_t length = strcspn(segment, "/");
        if (length == 2 && segment[0] == '.' && segment[1] == '.')
            return "has a segment \"..\"";
        if (length > 1 || (length == 1 && segment[0] != '.')) {
            if (used + length + 2 > ARCHIVE_PATH_ROOM)
                return "is too long";
            if (used > 0)
                path[used++] = '/';
            memcpy(path + used, segment, length);
            used += length;
        }
        segment += length + (segment[length] == '/');
    }
    path[used] = '\0';
    *ret_length = used;
    return NULL;
}

/* ---- The option ---------------------------------------------------------------------------- */

int archive_prepare_strip(void *self, struct dray_ctx *ctx)
{
    struct archive_source *options = self;
    const char *text = options->strip;
    char *end = NULL;

    if (strcmp(text, "auto") == 0) {
        options->segments = STRIP_AUTO;
        return DRAY_OK;
    }
    long segments = text[0] >= '0' && text[0] <= '9' ? strtol(text, &end, 10) : -1;
    if (end == NULL || *end != '\0' || segments > STRIP_MOST)
        return ctx->host->fail_option(ctx, "strip", DRAY_NO_INDEX, 0,
                                      "strip takes auto, or a number of segments up to %d",
                                      STRIP_MOST);
    options->segments = segments;
    return DRAY_OK;
}

/* ---- Taking off ---------------------------------------------------------------------------- */

/* What is left of a path behind so many segments, or NULL where it has no more than these; then
 * *ret_all says whether it had as many. */
static const char *behind(const char *path, int64_t segments, int *ret_all)
{
    *ret_all = 0;
    for (int64_t i = 0; i < segments; i++) {
        size_t length = strcspn(path, "/");
        if (path[length] == '\0') {
            *ret_all = i + 1 == segments && length > 0;
            return NULL;
        }
        path += length + 1;
    }
    return path;
}

const char *archive_strip(const struct reading *reading, const char *path)
{
    int all;

    return behind(path, reading->segments, &all);
}

static int compare(const void *one, const void *other)
{
    return strcmp(*(char *const *)one, *(char *const *)other);
}

static size_t size_of(const char *name)
{
    return strlen(name) + 1 + NAME_OVERHEAD;
}

/* In order, and each once. */
static void sort(struct archive_names *names)
{
    size_t kept = 0;

    if (names->count > 0)
        qsort(names->items, names->count, sizeof(*names->items), compare);
    for (size_t i = 0; i < names->count; i++) {
        if (kept == 0 || strcmp(names->items[kept - 1], names->items[i]) != 0) {
            names->items[kept++] = names->items[i];
            continue;
        }
        names->bytes -= size_of(names->items[i]);
        free(names->items[i]);
    }
    names->count = kept;
}

/* A stranger's archive may have a new directory for each entry. */
static int check_room(struct reading *reading, struct archive_names *names)
{
    const struct dray_host *host = reading->ctx->host;

    if (names->bytes <= NAMES_MOST)
        return DRAY_OK;
    sort(names);
    /* Half of it, so that it is not sorted again at once. */
    if (names->bytes <= NAMES_MOST / 2)
        return DRAY_OK;
    int result = host->fail(reading->ctx, DRAY_PERMANENT,
                            "%s has so many directories that strip takes off that their names take "
                            "more than %u MiB, as found at its entry \"%.*s\"",
                            reading->options->path, (unsigned)(NAMES_MOST >> 21), ARCHIVE_SHOWN,
                            reading->reached);
    host->hint(reading->ctx, "strip fewer segments, or none");
    return result;
}

static int keep_name(struct reading *reading, struct archive_names *names, const char *name,
                     size_t length)
{
    const struct dray_host *host = reading->ctx->host;

    if (names->count == names->room) {
        size_t room = names->room == 0 ? 16 : names->room * 2;
        char **grown = reallocarray(names->items, room, sizeof(*grown));
        if (grown == NULL)
            return host->fail(reading->ctx, DRAY_NO_MEMORY, "reading %s: out of memory",
                              reading->options->path);
        names->items = grown;
        names->room = room;
    }
    names->items[names->count] = strndup(name, length);
    if (names->items[names->count] == NULL)
        return host->fail(reading->ctx, DRAY_NO_MEMORY, "reading %s: out of memory",
                          reading->options->path);
    names->bytes += size_of(names->items[names->count++]);
    return check_room(reading, names);
}

int archive_note_taken_off(struct reading *reading, const char *path, int *ret_root)
{
    (void)behind(path, reading->segments, ret_root);
    return path[0] == '\0' ? DRAY_OK : keep_name(reading, &reading->gone, path, strlen(path));
}

int archive_note_left(struct reading *reading, const char *path, const char *left)
{
    struct archive_names *fronts = &reading->fronts;
    size_t length = left == path ? 0 : (size_t)(left - path) - 1;
    const char *last = fronts->count > 0 ? fronts->items[fronts->count - 1] : "";

    /* Mostly the same as before. */
    if (length == 0 || (strlen(last) == length && memcmp(last, path, length) == 0))
        return DRAY_OK;
    return keep_name(reading, fronts, path, length);
}

/* Is it one of the fronts, or above one? They are sorted. */
static int has_below(const struct archive_names *fronts, const char *gone)
{
    size_t length = strlen(gone), low = 0, high = fronts->count;

    if (high > 0 && bsearch(&gone, fronts->items, fronts->count, sizeof(gone), compare) != NULL)
        return 1;
    /* The first one that is not before `gone` with a slash behind it. */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strncmp(fronts->items[middle], gone, length);
        if (order < 0 ||
            (order == 0 && (unsigned char)fronts->items[middle][length] < (unsigned char)'/'))
            low = middle + 1;
        else
            high = middle;
    }
    return low < fronts->count && strncmp(fronts->items[low], gone, length) == 0 &&
           fronts->items[low][length] == '/';
}

int archive_check_taken_off(struct reading *reading)
{
    const struct archive_names *gone = &reading->gone;

    sort(&reading->fronts);
    for (size_t i = 0; i < gone->count; i++)
        if (!has_below(&reading->fronts, gone->items[i])) {
            archive_reach(reading, gone->items[i]);
            return archive_fail_vanishing(reading);
        }
    return DRAY_OK;
}

int archive_fail_vanishing(struct reading *reading)
{
    const struct dray_host *host = reading->ctx->host;
    int result =
        host->fail(reading->ctx, DRAY_INVALID,
                   "the entry \"%.*s\" of %s would vanish: strip takes off all of its path",
                   ARCHIVE_SHOWN, reading->reached, reading->options->path);

    host->hint(reading->ctx, "strip fewer segments than %" PRId64 ", or none", reading->segments);
    return result;
}

void archive_free_names(struct archive_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct archive_names){0};
}

/* ---- The common top ------------------------------------------------------------------------ */

/* Is the entry in the top directory of those before it, or is it that? */
static int is_common(const char *path, size_t length, int directory, char *top, int *below)
{
    size_t first = strcspn(path, "/");

    if (length == 0) /* the root itself */
        return directory;
    if (first == length && !directory)
        return 0;
    *below |= first < length;
    if (top[0] == '\0')
        memcpy(top, path, first);
    return strlen(top) == first && memcmp(top, path, first) == 0;
}

/* Read the names, until two lie in different directories. */
static int look_for_top(struct reading *reading, int64_t *ret_segments)
{
    const struct dray_host *host = reading->ctx->host;
    char path[ARCHIVE_PATH_ROOM], top[ARCHIVE_PATH_ROOM] = "";
    struct archive_entry *entry;
    size_t length;
    int below = 0, status;

    *ret_segments = 0;
    while ((status = archive_read_next_header(reading->archive, &entry)) == ARCHIVE_OK ||
           archive_is_only_charset(reading, status)) {
        archive_reach(reading, archive_entry_pathname(entry));
        reading->entries++;
        int64_t size = archive_entry_size(entry);
        int result = archive_check_limits(reading, size > 0 ? (uint64_t)size : 0);
        if (result != DRAY_OK)
            return result;
        host->progress(reading->ctx, 0, 0);
        if (host->cancelled(reading->ctx))
            return host->fail(reading->ctx, DRAY_CANCELLED, "cancelled");
        /* What is wrong with a name is said by the second reading. */
        if (archive_clean_path(archive_entry_pathname(entry), path, &length) != NULL ||
            !is_common(path, length, archive_entry_filetype(entry) == AE_IFDIR, top, &below))
            return DRAY_OK;
    }
    *ret_segments = below;
    return status == ARCHIVE_EOF ? DRAY_OK : archive_failed(reading);
}

int archive_find_strip(struct reading *reading)
{
    struct reading first = {.ctx = reading->ctx, .options = reading->options, .fd = -1};

    reading->segments = reading->options->segments;
    if (reading->segments != STRIP_AUTO)
        return DRAY_OK;
    int result = archive_open(&first);
    if (result == DRAY_OK)
        result = look_for_top(&first, &reading->segments);
    archive_close(&first);
    return result;
}
