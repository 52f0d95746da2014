/* SPDX-License-Identifier: MIT */
/* bag.c - see bag.h. */
#include "core/tree/bag.h"

#include <string.h>

#include "core/base/text.h"
#include "core/tree/internal.h"

/* A text being read, a line at a time. */
struct lines {
    const char *next, *end;
    uint64_t number; /* of the line in hand, from 1 */
};

/* LF, CR LF or CR ends a line, as the RFC allows. 1, or 0 at the end. */
static int next_line(struct lines *lines, const char **ret_line, size_t *ret_length)
{
    const char *stop = lines->next;

    if (lines->next == lines->end)
        return 0;
    while (stop < lines->end && *stop != '\n' && *stop != '\r')
        stop++;
    *ret_line = lines->next;
    *ret_length = (size_t)(stop - lines->next);
    lines->next = stop;
    if (stop < lines->end)
        lines->next += stop + 1 < lines->end && stop[0] == '\r' && stop[1] == '\n' ? 2 : 1;
    lines->number++;
    return 1;
}

static int at_line(const char *name, const struct lines *lines, struct dray_error *error)
{
    dray_where(error, "%.400s:%llu", name, (unsigned long long)lines->number);
    return error->class_;
}

/* The value behind "LABEL:" and blanks, its length; NULL when the line has another label. */
static const char *value_of(const char *label, const char *line, size_t length, size_t *ret_length)
{
    size_t size = strlen(label);

    if (length <= size || strncasecmp(line, label, size) != 0 || line[size] != ':')
        return NULL;
    line += size + 1;
    length -= size + 1;
    while (length > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        length--;
    }
    while (length > 0 && (line[length - 1] == ' ' || line[length - 1] == '\t'))
        length--;
    *ret_length = length;
    return line;
}

/* Digits up to `stop`, which is one of the bytes, or to the end. 0, or -1. */
static int take_number(const char **text, size_t *length, char stop, uint64_t *ret_number)
{
    uint64_t number = 0;
    size_t digits = 0;

    for (; digits < *length && (*text)[digits] != stop; digits++) {
        unsigned digit = (unsigned)(unsigned char)(*text)[digits] - '0';
        if (digit > 9 || __builtin_mul_overflow(number, (uint64_t)10, &number) ||
            __builtin_add_overflow(number, (uint64_t)digit, &number))
            return -1;
    }
    if (digits == 0 || (stop != '\0') != (digits < *length))
        return -1;
    *text += digits + (stop != '\0');
    *length -= digits + (stop != '\0');
    *ret_number = number;
    return 0;
}

/* ---- bagit.txt ---- */

int dray_bag_declaration(const char *name, const char *text, size_t length, int *ret_major,
                         struct dray_error *error)
{
    struct lines lines = {.next = text, .end = text + length};
    const char *line = "", *value;
    size_t size = 0, taken = 0;
    uint64_t major, minor;

    (void)next_line(&lines, &line, &size);
    value = value_of("BagIt-Version", line, size, &taken);
    if (!value || take_number(&value, &taken, '.', &major) != 0 ||
        take_number(&value, &taken, '\0', &minor) != 0) {
        dray_fail(error, DRAY_INVALID, "%.400s does not begin with `BagIt-Version: M.N`", name);
        return at_line(name, &lines, error);
    }
    if (major > 1) {
        dray_fail(error, DRAY_UNSUPPORTED, "%.400s: version %llu of BagIt is not known here", name,
                  (unsigned long long)major);
        return at_line(name, &lines, error);
    }
    size = 0;
    (void)next_line(&lines, &line, &size);
    value = value_of("Tag-File-Character-Encoding", line, size, &taken);
    if (!value) {
        dray_fail(error, DRAY_INVALID, "%.400s has no `Tag-File-Character-Encoding`", name);
        return at_line(name, &lines, error);
    }
    if (taken != 5 || strncasecmp(value, "UTF-8", 5) != 0) {
        dray_fail(error, DRAY_UNSUPPORTED, "%.400s: names are encoded as %.*s, not as UTF-8", name,
                  (int)(taken < 40 ? taken : 40), value);
        return at_line(name, &lines, error);
    }
    *ret_major = (int)major;
    return 0;
}

/* ---- bag-info.txt ---- */

int dray_bag_info(const char *name, const char *text, size_t length, struct dray_bag_oxum *ret_oxum,
                  struct dray_error *error)
{
    struct lines lines = {.next = text, .end = text + length};
    const char *line;
    size_t size, taken;

    *ret_oxum = (struct dray_bag_oxum){0};
    while (next_line(&lines, &line, &size)) {
        const char *value = value_of("Payload-Oxum", line, size, &taken);
        if (!value)
            continue;
        if (ret_oxum->known || take_number(&value, &taken, '.', &ret_oxum->bytes) != 0 ||
            take_number(&value, &taken, '\0', &ret_oxum->files) != 0) {
            dray_fail(error, DRAY_INVALID,
                      "%.400s: `Payload-Oxum` stands there once, as BYTES.FILES", name);
            return at_line(name, &lines, error);
        }
        ret_oxum->known = 1;
    }
    return 0;
}

/* ---- Manifests ---- */

/* "%0A" and its kin: the byte, or 0 where it stands for itself. */
static char decoded(const char *text, size_t left, int percent)
{
    if (left < 3 || text[0] != '%')
        return 0;
    if (text[1] == '0' && (text[2] == 'A' || text[2] == 'a'))
        return '\n';
    if (text[1] == '0' && (text[2] == 'D' || text[2] == 'd'))
        return '\r';
    return (char)(percent && text[1] == '2' && text[2] == '5' ? '%' : 0);
}

/* The base and the name into `room`, which has space for both: the length. */
static size_t put_path(const char *base, int percent, const char *name, size_t length, char *room)
{
    size_t used = strlen(base);

    memcpy(room, base, used);
    while (length >= 2 && name[0] == '.' && name[1] == '/') {
        name += 2;
        length -= 2;
    }
    for (size_t i = 0; i < length; i++) {
        char byte = decoded(name + i, length - i, percent);
        room[used++] = byte ? byte : name[i];
        i += byte ? 2 : 0;
    }
    return used;
}

static int is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* Of an algorithm that is not compared any word will do. How many bytes, or 0: there is none. */
static size_t take_digest(const struct dray_bag_manifest *manifest, const char *line, size_t length,
                          struct dray_recorded *recorded)
{
    size_t digits = 2 * manifest->digest_bytes;
    int sha256 = manifest->digest_bytes == DRAY_SHA256_BYTES;

    if (digits == 0) {
        while (digits < length && !is_blank(line[digits]))
            digits++;
        return digits;
    }
    if (length < digits ||
        dray_unhex(line, manifest->digest_bytes, sha256 ? recorded->sha256 : recorded->md5) != 0)
        return 0;
    recorded->has = sha256 ? DRAY_RECORDED_SHA256 : DRAY_RECORDED_MD5;
    return digits;
}

/* The digest, blanks, perhaps the mark of md5sum, the name. The name's length, or 0. */
static size_t split(const struct dray_bag_manifest *manifest, const char *line, size_t length,
                    struct dray_recorded *ret_recorded, const char **ret_name)
{
    size_t digits = take_digest(manifest, line, length, ret_recorded), at = digits;

    if (digits == 0)
        return 0;
    while (at < length && is_blank(line[at]))
        at++;
    if (at == digits)
        return 0;
    if (at == digits + 1 && at < length && line[at] == '*')
        at++;
    *ret_name = line + at;
    return length - at;
}

static int fail_line(const struct dray_bag_manifest *manifest, struct dray_error *error)
{
    if (manifest->digest_bytes == 0) {
        dray_fail(error, DRAY_INVALID, "this is no line of a BagIt manifest");
        dray_hint(error, "a line is a digest, blanks and a path");
        return error->class_;
    }
    dray_fail(error, DRAY_INVALID, "this is no line of a BagIt manifest of %s",
              manifest->digest_bytes == DRAY_SHA256_BYTES ? "SHA-256" : "MD5");
    dray_hint(error, "a line is a digest of %zu digits, blanks and a path",
              2 * manifest->digest_bytes);
    return error->class_;
}

static int take_line(const struct dray_bag_manifest *manifest, const char *line, size_t length,
                     char *room, struct dray_recorded_list *list, struct dray_error *error)
{
    struct dray_recorded recorded = {0};
    size_t base = strlen(manifest->base);
    const char *name = NULL;
    size_t size = split(manifest, line, length, &recorded, &name);

    if (size == 0)
        return fail_line(manifest, error);
    size = put_path(manifest->base, manifest->percent, name, size, room);
    int below = size - base > 5 && memcmp(room + base, "data/", 5) == 0;
    recorded.path = room;
    recorded.path_length = size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
    int result = dray_recorded_add(list, &recorded, error);
    if (result == 0 && below != manifest->payload)
        result = dray_fail(error, DRAY_INVALID, "\"%.*s\" is %s data/", DRAY_SHOWN(room, size),
                           below ? "below" : "not below");
    return result;
}

int dray_bag_read(const struct dray_bag_manifest *manifest, const char *text, size_t length,
                  struct dray_recorded_list *list, struct dray_error *error)
{
    struct lines lines = {.next = text, .end = text + length};
    dray_autofree char *room = malloc(strlen(manifest->base) + length + 1);
    const char *line;
    size_t size;

    if (!room)
        return dray_fail_memory(error);
    while (next_line(&lines, &line, &size)) {
        int result = size > 0 ? take_line(manifest, line, size, room, list, error) : 0;
        if (result == DRAY_INVALID)
            return at_line(manifest->name, &lines, error);
        if (result != 0)
            return result;
    }
    return 0;
}

/* ---- fetch.txt ---- */

/* One word and the blanks behind it. Its length, or 0: there is none, or nothing comes after it. */
static size_t take_word(const char **line, size_t *length)
{
    size_t word = 0, next;

    while (word < *length && !is_blank((*line)[word]))
        word++;
    for (next = word; next < *length && is_blank((*line)[next]);)
        next++;
    if (next == *length)
        return 0;
    *line += next;
    *length -= next;
    return word;
}

/* "URL LENGTH PATH", where a length that is not known is a hyphen. */
static int take_fetched(const char *base, int percent, const char *line, size_t length, char *room,
                        struct dray_recorded_list *list, struct dray_error *error)
{
    struct dray_recorded recorded = {.path = room};
    size_t front = strlen(base);
    int good = take_word(&line, &length) > 0;
    const char *number = line;
    size_t digits = good ? take_word(&line, &length) : 0, left = digits;

    if (digits > 0 && !(digits == 1 && *number == '-')) {
        digits = take_number(&number, &left, '\0', &recorded.bytes) == 0 ? digits : 0;
        recorded.has = DRAY_RECORDED_BYTES;
    }
    if (digits == 0)
        return dray_fail(error, DRAY_INVALID,
                         "this is no line of a fetch.txt: a URL, how many "
                         "bytes or a hyphen, and a path");
    size_t size = put_path(base, percent, line, length, room);
    recorded.path_length = size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
    int result = dray_recorded_add(list, &recorded, error);
    if (result == 0 && (size - front <= 5 || memcmp(room + front, "data/", 5) != 0))
        result =
            dray_fail(error, DRAY_INVALID, "\"%.*s\" is not below data/", DRAY_SHOWN(room, size));
    return result;
}

int dray_bag_fetch(const char *name, const char *base, int percent, const char *text, size_t length,
                   struct dray_recorded_list *list, struct dray_error *error)
{
    struct lines lines = {.next = text, .end = text + length};
    dray_autofree char *room = malloc(strlen(base) + length + 1);
    const char *line;
    size_t size;

    if (!room)
        return dray_fail_memory(error);
    while (next_line(&lines, &line, &size)) {
        int result = size > 0 ? take_fetched(base, percent, line, size, room, list, error) : 0;
        if (result == DRAY_INVALID)
            return at_line(name, &lines, error);
        if (result != 0)
            return result;
    }
    return 0;
}
