/* SPDX-License-Identifier: MIT */
/* listing.c - see listing.h. A list has millions of lines: it is read in pieces, and a line is
 * looked at where it lies. */
#include "core/tree/listing.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <string.h>

#include "core/base/text.h"
#include "core/tree/internal.h"

/* How much is read at once. A line longer than that is no entry's. */
#define PIECE ((size_t)1 << 20)
/* What its form is told by: no first record is longer. */
#define BEGINNING ((size_t)DRAY_PATH_LONGEST + 64)
/* How often a list that does not come is asked about, ms. */
#define PATIENCE 200

/* The command whose list is what a walk would find. */
#define FIND "find . -type d -printf '%%s\\t%%P/\\n' -o -printf '%%s\\t%%P\\n'"

enum form { FORM_UNKNOWN, FORM_LINES, FORM_RECORDS, FORM_JSON };

struct reading {
    const struct dray_listing *listing;
    struct dray_tree_builder *builder;
    struct dray_error *error;
    enum form form;
    uint64_t line;    /* number of the one in hand, from 1 */
    uint64_t entries; /* listed so far */
    int sized;        /* one of them had its size */
    char *piece;      /* PIECE bytes */
    size_t length;    /* of these are read */
    int ended;
};

/* Whatever is wrong with a line, it is the list that is wrong. */
static int at_line(const struct reading *reading, uint64_t line)
{
    if (reading->error->class_ == DRAY_CONFLICT)
        reading->error->class_ = DRAY_INVALID;
    dray_where(reading->error, "%s:%llu", reading->listing->name, (unsigned long long)line);
    return reading->error->class_;
}

static int refuse(const struct reading *reading, const char *what)
{
    (void)dray_fail(reading->error, DRAY_INVALID, "%s", what);
    return at_line(reading, reading->line);
}

/* ---- One entry ---- */

/* The line's number goes where a walk notes when a file changed: an entry that is found to clash
 * later is told by it. */
static int add(struct reading *reading, struct dray_tree_entry *entry)
{
    entry->ctime = (int64_t)reading->line;
    int result = dray_tree_builder_add(reading->builder, entry, reading->error);
    if (result == DRAY_INVALID && reading->form != FORM_JSON)
        dray_hint(reading->error,
                  "paths begin at the dataset's root, in which this lists them:\n" FIND);
    if (result != 0)
        return at_line(reading, reading->line);
    reading->entries++;
    return 0;
}

/* Digits alone. 0, or -1. */
static int read_size(const char *text, size_t length, uint64_t *ret_size)
{
    uint64_t size = 0;

    for (size_t i = 0; i < length; i++) {
        unsigned digit = (unsigned)(unsigned char)text[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(size, (uint64_t)10, &size) ||
            __builtin_add_overflow(size, (uint64_t)digit, &size))
            return -1;
    }
    *ret_size = size;
    return length > 0 ? 0 : -1;
}

static int take_size(struct reading *reading, const char *text, size_t length, int directory,
                     uint64_t *ret_size)
{
    if (read_size(text, length, ret_size) == 0)
        return 0;
    /* What rclone says of a directory. */
    if (directory && length == 2 && memcmp(text, "-1", 2) == 0)
        return 0;
    (void)dray_fail(reading->error, DRAY_INVALID,
                    "\"%.*s\" before the tab is no size: it is a number of bytes",
                    (int)(length < 40 ? length : 40), text);
    dray_hint(reading->error, "in the dataset's root this lists it:\n" FIND);
    return at_line(reading, reading->line);
}

/* `find` lists its starting point too: "." or, by %P, nothing behind the tab. */
static int is_root(const char *path, size_t length, int sized)
{
    return (length == 1 && path[0] == '.') || (length == 2 && memcmp(path, "./", 2) == 0) ||
           (sized && (length == 0 || (length == 1 && path[0] == '/')));
}

static int take_text(struct reading *reading, const char *line, size_t length)
{
    struct dray_tree_entry entry = {.type = DRAY_FILE, .mode = 0644};

    if (reading->form == FORM_LINES && length > 0 && line[length - 1] == '\r')
        length--;
    const char *tab = memchr(line, '\t', length);
    const char *path = tab ? tab + 1 : line;
    size_t left = length - (size_t)(path - line);
    int directory = left > 0 && path[left - 1] == '/';
    if (tab && take_size(reading, line, (size_t)(tab - line), directory, &entry.bytes) != 0)
        return reading->error->class_;
    reading->sized |= tab != NULL;
    if (is_root(path, left, tab != NULL))
        return 0;
    if (left > 2 && memcmp(path, "./", 2) == 0) {
        path += 2;
        left -= 2;
    }
    if (directory) {
        entry.type = DRAY_DIRECTORY;
        entry.mode = 0755;
        left--;
    }
    if (left > DRAY_PATH_LONGEST)
        return refuse(reading, "its path is longer than 4000 bytes");
    entry.path = path;
    entry.path_length = (uint32_t)left;
    return add(reading, &entry);
}

/* ---- tree.jsonl ---- */

/* A path or a link's target: the bytes that KEY_b64 holds, else the text. 0 with *ret_owned to be
 * freed where it is not NULL. */
static int json_path(struct reading *reading, const json_t *json, const char *key,
                     const char *key_b64, const char **ret_path, size_t *ret_length,
                     char **ret_owned)
{
    const json_t *text = json_object_get(json, key), *coded = json_object_get(json, key_b64);

    if (coded) {
        *ret_owned =
            json_is_string(coded) ? dray_base64_decode(json_string_value(coded), ret_length) : NULL;
        *ret_path = *ret_owned;
        return *ret_owned ? 0 : refuse(reading, "a key that ends in _b64 holds no base64");
    }
    if (!json_is_string(text)) {
        (void)dray_fail(reading->error, DRAY_INVALID, "it has no text \"%s\"", key);
        return at_line(reading, reading->line);
    }
    *ret_path = json_string_value(text);
    *ret_length = json_string_length(text);
    return 0;
}

static int json_mode(struct reading *reading, const json_t *json, struct dray_tree_entry *entry)
{
    const char *text = json_string_value(json_object_get(json, "mode"));
    unsigned mode = 0;

    entry->mode = entry->type == DRAY_DIRECTORY ? 0755 : 0644;
    if (!json_object_get(json, "mode"))
        return 0;
    size_t length = text ? strlen(text) : 0;
    if (length == 0 || length > 5 || strspn(text, "01234567") != length)
        return refuse(reading, "its \"mode\" is no text of octal digits");
    for (size_t i = 0; i < length; i++)
        mode = mode * 8 + (unsigned)(text[i] - '0');
    entry->mode = (uint16_t)(mode & 07777);
    return 0;
}

static int json_facts(struct reading *reading, const json_t *json, struct dray_tree_entry *entry)
{
    static const char *const types[] = {"file", "directory", "link"};
    const char *type = json_string_value(json_object_get(json, "type"));
    const json_t *size = json_object_get(json, "size"), *mtime = json_object_get(json, "mtime");

    for (uint8_t i = 0; type && i < 3; i++)
        if (strcmp(type, types[i]) == 0)
            entry->type = (uint8_t)(i + DRAY_FILE);
    if (entry->type == 0)
        return refuse(reading, "its \"type\" is neither file nor directory nor link");
    if (entry->type == DRAY_FILE && (!json_is_integer(size) || json_integer_value(size) < 0))
        return refuse(reading, "its \"size\" is no number of bytes");
    if (mtime && !json_is_integer(mtime))
        return refuse(reading, "its \"mtime\" is no number of nanoseconds");
    entry->bytes = entry->type == DRAY_FILE ? (uint64_t)json_integer_value(size) : 0;
    entry->mtime = json_integer_value(mtime);
    return json_mode(reading, json, entry);
}

static int add_json(struct reading *reading, const json_t *json)
{
    dray_autofree char *path = NULL;
    dray_autofree char *target = NULL;
    struct dray_tree_entry entry = {.type = 0};
    size_t length = 0, target_length = 0;

    int result = json_path(reading, json, "path", "path_b64", &entry.path, &length, &path);
    if (result == 0 && length > DRAY_PATH_LONGEST)
        result = refuse(reading, "its path is longer than 4000 bytes");
    entry.path_length = (uint32_t)length;
    if (result == 0)
        result = json_facts(reading, json, &entry);
    if (result == 0 && entry.type == DRAY_LINK)
        result = json_path(reading, json, "link", "link_b64", &entry.at, &target_length, &target);
    if (result == 0 && entry.at && strlen(entry.at) != target_length)
        result = refuse(reading, "its \"link\" holds a NUL byte");
    return result == 0 ? add(reading, &entry) : result;
}

static int take_json(struct reading *reading, const char *line, size_t length)
{
    json_error_t fault;
    json_t *json = json_loadb(line, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &fault);

    if (!json_is_object(json)) {
        (void)dray_fail(reading->error, DRAY_INVALID, "it is no JSON object%s%s", json ? "" : ": ",
                        json ? "" : fault.text);
        json_decref(json);
        return at_line(reading, reading->line);
    }
    int result = add_json(reading, json);
    json_decref(json);
    return result;
}

/* ---- The list ---- */

/* What the beginning says of the whole: a NUL is in no path, so the first of them ends the first
 * record. */
static enum form form_of(const char *piece, size_t length)
{
    if (length > 0 && piece[0] == '{')
        return FORM_JSON;
    return memchr(piece, '\0', length < BEGINNING ? length : BEGINNING) ? FORM_RECORDS : FORM_LINES;
}

static int take_line(struct reading *reading, const char *line, size_t length)
{
    reading->line++;
    return reading->form == FORM_JSON ? take_json(reading, line, length)
                                      : take_text(reading, line, length);
}

/* All whole lines of the piece; what is left of it moves to its start. */
static int take_piece(struct reading *reading)
{
    int end_byte = reading->form == FORM_RECORDS ? '\0' : '\n';
    const char *at = reading->piece, *end = reading->piece + reading->length;
    int result = 0;

    while (result == 0 && at < end) {
        const char *stop = memchr(at, end_byte, (size_t)(end - at));
        if (!stop && !reading->ended)
            break;
        result = take_line(reading, at, (size_t)((stop ? stop : end) - at));
        at = stop ? stop + 1 : end;
    }
    reading->length = (size_t)(end - at);
    memmove(reading->piece, at, reading->length);
    if (result == 0 && reading->length == PIECE) {
        reading->line++;
        result = refuse(reading, "the line is longer than any path");
    }
    return result;
}

static int cancelled(const struct reading *reading)
{
    const struct dray_listing *listing = reading->listing;

    return listing->reached && listing->reached(listing->arg, reading->entries)
               ? dray_fail(reading->error, DRAY_CANCELLED, "cancelled")
               : 0;
}

/* Some more of the list, or its end. */
static int read_more(struct reading *reading)
{
    struct pollfd ready = {.fd = reading->listing->fd, .events = POLLIN};

    while (poll(&ready, 1, PATIENCE) == 0) {
        int result = cancelled(reading);
        if (result != 0)
            return result;
    }
    ssize_t got =
        read(reading->listing->fd, reading->piece + reading->length, PIECE - reading->length);
    if (got < 0 && errno != EINTR && errno != EAGAIN)
        return dray_fail_errno(reading->error, errno, "reading the list %s",
                               reading->listing->name);
    reading->ended = got == 0;
    reading->length += got > 0 ? (size_t)got : 0;
    return cancelled(reading);
}

static int read_all(struct reading *reading)
{
    int result = 0;

    while (result == 0 && !reading->ended) {
        result = read_more(reading);
        if (result == 0 && reading->form == FORM_UNKNOWN &&
            (reading->ended || reading->length >= BEGINNING))
            reading->form = form_of(reading->piece, reading->length);
        if (result == 0 && reading->form != FORM_UNKNOWN)
            result = take_piece(reading);
    }
    return result;
}

static int finish(struct reading *reading, struct dray_tree **ret_tree)
{
    int result = dray_tree_builder_finish(reading->builder, ret_tree, reading->error);

    if (result != DRAY_CONFLICT)
        return result;
    dray_hint(reading->error,
              "each path is listed once, and a directory's ends with a slash:\n" FIND);
    return at_line(reading, (uint64_t)dray_tree_builder_clash(reading->builder));
}

int dray_listing_read(const struct dray_listing *listing, struct dray_tree **ret_tree,
                      struct dray_listed *ret_listed, struct dray_error *error)
{
    dray_cleanup(dray_tree_builder_freep) struct dray_tree_builder *builder =
        dray_tree_builder_new();
    dray_autofree char *piece = malloc(PIECE);
    struct reading reading = {
        .listing = listing, .builder = builder, .error = error, .piece = piece};

    if (!builder || !piece)
        return dray_fail_memory(error);
    int result = read_all(&reading);
    if (result == 0)
        result = finish(&reading, ret_tree);
    if (result == 0)
        *ret_listed = (struct dray_listed){.entries = reading.entries,
                                           .bare = reading.entries > 0 && !reading.sized &&
                                                   reading.form != FORM_JSON};
    return result;
}
