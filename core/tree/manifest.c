/* SPDX-License-Identifier: MIT */
/* manifest.c - see manifest.h. */
#include "core/tree/manifest.h"

#include <string.h>

#include "core/base/text.h"
#include "core/tree/internal.h"

/* ---- Writing a manifest -------------------------------------------------------------------- */

/* The letter that stands for a byte behind a backslash, or 0 for a byte that stands for itself. */
static char escape_of(char byte)
{
    switch (byte) {
    case '\\':
        return '\\';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    default:
        return 0;
    }
}

static size_t count_escapes(const char *path, size_t length)
{
    size_t count = 0;

    for (size_t i = 0; i < length; i++)
        count += escape_of(path[i]) != 0;
    return count;
}

void dray_manifest_add(struct dray_buffer *out, const uint8_t *digest, size_t digest_bytes,
                       const char *path, size_t length)
{
    size_t escapes = count_escapes(path, length);
    size_t size = (escapes > 0) + 2 * digest_bytes + 2 + length + escapes + 1;
    char *room = dray_buffer_reserve(out, size);

    if (room == NULL)
        return;
    /* A backslash in front says that the name is escaped. */
    if (escapes > 0)
        *room++ = '\\';
    dray_hex(digest, digest_bytes, room);
    room += 2 * digest_bytes;
    *room++ = ' ';
    *room++ = ' ';
    for (size_t i = 0; i < length; i++) {
        char escape = escape_of(path[i]);
        if (escape != 0)
            *room++ = '\\';
        *room++ = escape != 0 ? escape : path[i];
    }
    *room = '\n';
    out->length += size;
}

/* ---- Reading one --------------------------------------------------------------------------- */

struct manifest_line {
    uint8_t digest[DRAY_SHA256_BYTES];
    size_t digest_bytes;
    char *path; /* in the reader's room */
    size_t path_length;
    const char *foreign; /* what kind its digest is of, if none that is compared */
};

/* Names are unescaped into `room`, which is as large as the line. 0, or -1 for a wrong escape. */
static int unescape(const char *name, size_t length, char *room, size_t *ret_length)
{
    size_t used = 0;

    for (size_t i = 0; i < length; i++) {
        char byte = name[i];
        if (byte == '\\') {
            if (++i == length)
                return -1;
            if (name[i] != '\\' && name[i] != 'n' && name[i] != 'r')
                return -1;
            byte = (char)(name[i] == 'n' ? '\n' : name[i] == 'r' ? '\r' : '\\');
        }
        room[used++] = byte;
    }
    *ret_length = used;
    return 0;
}

static size_t count_digits(const char *text, size_t length)
{
    size_t count = 0;

    while (count < length && memchr("0123456789abcdefABCDEF", text[count], 22) != NULL)
        count++;
    return count;
}

/* The name of a line, without escapes and without `./` in front, which `sha256sum` is given by
 * `find`. 0, or -1. */
static int take_name(const char *name, size_t length, int escaped, char *room,
                     struct manifest_line *ret_line)
{
    if (memchr(name, '\0', length) != NULL)
        return -1;
    if (escaped) {
        if (unescape(name, length, room, &length) != 0)
            return -1;
    } else {
        memcpy(room, name, length);
    }
    while (length >= 2 && room[0] == '.' && room[1] == '/') {
        room += 2;
        length -= 2;
        while (length > 0 && room[0] == '/') {
            room++;
            length--;
        }
    }
    ret_line->path = room;
    ret_line->path_length = length;
    room[length] = '\0';
    return length > 0 ? 0 : -1;
}

/* Digests that others write and nobody here compares. */
static const char *foreign_of(size_t digits)
{
    switch (digits) {
    case 40:
        return "SHA-1";
    case 56:
        return "SHA-224";
    case 96:
        return "SHA-384";
    case 128:
        return "SHA-512";
    default:
        return NULL;
    }
}

/* 0; 1 for a digest that nobody here compares; or -1. */
static int take_digest(const char *text, size_t digits, struct manifest_line *ret_line)
{
    ret_line->foreign = foreign_of(digits);
    if (ret_line->foreign != NULL)
        return 1;
    if (digits != 2 * DRAY_SHA256_BYTES && digits != 2 * DRAY_MD5_BYTES)
        return -1;
    ret_line->digest_bytes = digits / 2;
    return dray_unhex(text, ret_line->digest_bytes, ret_line->digest) == 0 ? 0 : -1;
}

/* "SHA256 (NAME) = DIGEST", as `sha256sum --tag` and BSD write it. */
static int parse_tagged(const char *text, size_t length, int escaped, char *room,
                        struct manifest_line *ret_line)
{
    const char *open = memmem(text, length, " (", 2);
    size_t digits = 0;

    while (digits < length && count_digits(text + length - digits - 1, 1) == 1)
        digits++;
    if (open == NULL || digits == 0 || length < digits + 4 ||
        memcmp(text + length - digits - 4, ") = ", 4) != 0)
        return -1;
    const char *name = open + 2;
    const char *stop = text + length - digits - 4;
    int result = take_digest(text + length - digits, digits, ret_line);
    if (stop < name || result < 0)
        return -1;
    size_t tag = (size_t)(open - text);
    if (result == 0 &&
        !(ret_line->digest_bytes == DRAY_SHA256_BYTES ? tag == 6 && memcmp(text, "SHA256", 6) == 0
                                                      : tag == 3 && memcmp(text, "MD5", 3) == 0)) {
        /* Of the same length, and another one: BLAKE2b-256, SHA3-256. */
        ret_line->foreign = "another kind";
        result = 1;
    }
    return result != 0 ? result : take_name(name, (size_t)(stop - name), escaped, room, ret_line);
}

/* "DIGEST", a space, a space or `*`, the name; or with a tag. 0; 1 for a digest that nobody here
 * compares; or -1 when it is anything else. */
static int parse_line(const char *text, size_t length, char *room, struct manifest_line *ret_line)
{
    int escaped = length > 0 && text[0] == '\\';

    text += escaped;
    length -= (size_t)escaped;
    size_t digits = count_digits(text, length);
    if (length < digits + 3 || text[digits] != ' ' ||
        (text[digits + 1] != ' ' && text[digits + 1] != '*'))
        return parse_tagged(text, length, escaped, room, ret_line);
    int result = take_digest(text, digits, ret_line);
    return result != 0 ? result
                       : take_name(text + digits + 2, length - digits - 2, escaped, room, ret_line);
}

static int fail_line(const char *name, uint64_t number, const char *foreign,
                     struct dray_error *error)
{
    int result;

    if (foreign != NULL) {
        result = dray_fail(error, DRAY_UNSUPPORTED,
                           "reading the manifest %.400s: line %llu has a digest of %s, and only "
                           "SHA-256 and MD5 are compared",
                           name, (unsigned long long)number, foreign);
        dray_hint(error, "name a manifest that sha256sum wrote");
    } else {
        result = dray_fail(error, DRAY_INVALID,
                           "reading the manifest %.400s: line %llu is no line of sha256sum or "
                           "md5sum",
                           name, (unsigned long long)number);
        dray_hint(error,
                  "a line is a digest of 64 (SHA-256) or 32 (MD5) digits, two spaces and a path");
    }
    dray_where(error, "%.400s:%llu", name, (unsigned long long)number);
    return result;
}

int dray_manifest_read(const char *name, const char *text, size_t length,
                       int (*line)(void *arg, const uint8_t *digest, size_t digest_bytes,
                                   const char *path, size_t path_length, struct dray_error *error),
                       void *arg, struct dray_error *error)
{
    const char *end = text + length;
    dray_autofree char *room = malloc(length + 1);
    uint64_t number = 0;

    if (room == NULL)
        return dray_fail_memory(error);
    for (const char *next = text; next < end;) {
        const char *newline = memchr(next, '\n', (size_t)(end - next));
        const char *start = next;
        size_t bytes = (size_t)((newline == NULL ? end : newline) - next);
        struct manifest_line parsed;

        next += bytes + (newline != NULL);
        number++;
        if (bytes > 0 && start[bytes - 1] == '\r')
            bytes--;
        /* Like sha256sum: empty lines and comments say nothing. */
        if (bytes == 0 || start[0] == '#')
            continue;
        int result = parse_line(start, bytes, room, &parsed);
        if (result != 0)
            return fail_line(name, number, result > 0 ? parsed.foreign : NULL, error);
        result =
            line(arg, parsed.digest, parsed.digest_bytes, parsed.path, parsed.path_length, error);
        if (result == DRAY_INVALID && error->where[0] == '\0')
            dray_where(error, "%.400s:%llu", name, (unsigned long long)number);
        if (result != 0)
            return result;
    }
    return 0;
}

/* ---- tree.jsonl ---------------------------------------------------------------------------- */

/* Is this byte itself in a JSON string? Bytes of other characters are looked at as UTF-8. */
static int is_plain(unsigned char byte)
{
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

static void add_escaped(struct dray_buffer *out, unsigned char byte)
{
    if (byte == '"' || byte == '\\')
        dray_buffer_format(out, "\\%c", byte);
    else
        dray_buffer_format(out, "\\u%04x", byte);
}

/* A JSON string; bytes that are no UTF-8 become U+FFFD. Returns whether there were any. */
static int add_string(struct dray_buffer *out, const char *text, size_t length)
{
    int replaced = 0;

    dray_buffer_add(out, "\"", 1);
    for (size_t i = 0; i < length;) {
        size_t plain = i;
        while (plain < length && is_plain((unsigned char)text[plain]))
            plain++;
        dray_buffer_add(out, text + i, plain - i);
        i = plain;
        if (i == length)
            break;
        size_t character = dray_utf8_length(text + i, length - i);
        if (character == 1)
            add_escaped(out, (unsigned char)text[i]);
        else if (character > 1)
            dray_buffer_add(out, text + i, character);
        else
            dray_buffer_text(out, "\xef\xbf\xbd");
        replaced |= character == 0;
        i += character == 0 ? 1 : character;
    }
    dray_buffer_add(out, "\"", 1);
    return replaced;
}

/* "KEY":"text", and its bytes as "KEY_b64" where it is not UTF-8. */
static void add_text(struct dray_buffer *out, const char *key, const char *text, size_t length)
{
    dray_buffer_add(out, "\"", 1);
    dray_buffer_text(out, key);
    dray_buffer_add(out, "\":", 2);
    if (add_string(out, text, length)) {
        dray_buffer_format(out, ",\"%s_b64\":\"", key);
        dray_base64_add(out, text, length);
        dray_buffer_add(out, "\"", 1);
    }
}

static const char *type_of(const struct dray_tree_entry *entry)
{
    switch (entry->type) {
    case DRAY_DIRECTORY:
        return "directory";
    case DRAY_LINK:
        return "link";
    default:
        return "file";
    }
}

/* Millions of lines are written, and printf would be most of the work. */
static void add_number(struct dray_buffer *out, const char *key, uint64_t number)
{
    char digits[24];
    size_t first = sizeof digits;

    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    dray_buffer_text(out, key);
    dray_buffer_add(out, digits + first, sizeof digits - first);
}

static void add_mode(struct dray_buffer *out, unsigned mode)
{
    char text[] = ",\"mode\":\"0000\"";
    size_t last = sizeof text - 3;

    for (size_t i = 0; i < 4; i++)
        text[last - i] = (char)('0' + (mode >> (3 * i) & 7));
    dray_buffer_add(out, text, sizeof text - 1);
}

static void add_digest(struct dray_buffer *out, const uint8_t *sha256)
{
    char hex[DRAY_SHA256_HEX];

    dray_buffer_text(out, ",\"sha256\":\"");
    dray_buffer_add(out, dray_hex(sha256, DRAY_SHA256_BYTES, hex), DRAY_SHA256_HEX - 1);
    dray_buffer_add(out, "\"", 1);
}

int dray_tree_line(struct dray_buffer *out, const struct dray_tree_entry *entry,
                   const uint8_t *sha256, const struct dray_tree_entry *same_as)
{
    dray_buffer_add(out, "{", 1);
    add_text(out, "path", entry->path, entry->path_length);
    dray_buffer_text(out, ",\"type\":\"");
    dray_buffer_text(out, type_of(entry));
    dray_buffer_text(out, "\"");
    if (entry->type == DRAY_FILE)
        add_number(out, ",\"size\":", entry->bytes);
    add_mode(out, entry->mode);
    if (entry->mtime < 0)
        add_number(out, ",\"mtime\":-", 0 - (uint64_t)entry->mtime);
    else
        add_number(out, ",\"mtime\":", (uint64_t)entry->mtime);
    if (sha256 != NULL)
        add_digest(out, sha256);
    if (entry->type == DRAY_LINK) {
        dray_buffer_add(out, ",", 1);
        add_text(out, "link", entry->at, strlen(entry->at));
    }
    if (same_as != NULL) {
        dray_buffer_add(out, ",", 1);
        add_text(out, "same_as", same_as->path, same_as->path_length);
    }
    dray_buffer_add(out, "}\n", 2);
    return out->failed;
}
