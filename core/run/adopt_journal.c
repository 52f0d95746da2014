/* SPDX-License-Identifier: MIT */
/* adopt_journal.c - the text of the journal of files that are finished. It may have been cut, or be
 * anybody's: each line proves itself, and the first that does not ends it. */
#include "core/run/adopt.h"

#include <inttypes.h>
#include <string.h>

#define FIRST_LINE "dray-adopt 1 "
/* Digits of the SHA-256 of a line that it begins with. */
#define CHECK_BYTES  8
#define CHECK_DIGITS ((size_t)2 * CHECK_BYTES)

/* ---- Writing ---- */

void dray_adopt_print_first(struct dray_buffer *out, const char *request_key)
{
    dray_buffer_format(out, FIRST_LINE "%s\n", request_key);
}

/* Line ends and `%` as %XX, all else as it is. */
static void print_path(struct dray_buffer *out, const char *path, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (path[i] == '\n' || path[i] == '%')
            dray_buffer_format(out, "%%%02X", (unsigned)path[i]);
        else
            dray_buffer_add(out, &path[i], 1);
    }
}

/* The digits that a line begins with, of what follows them and a space. */
static int check_of(const char *text, size_t length, char ret_check[static CHECK_DIGITS + 1])
{
    uint8_t digest[DRAY_SHA256_BYTES];

    if (dray_sha256(text, length, digest) != 0)
        return -1;
    dray_hex(digest, CHECK_BYTES, ret_check);
    return 0;
}

void dray_adopt_print(struct dray_buffer *out, const struct dray_adopt_line *line)
{
    const struct dray_source_identity *source = &line->source;
    size_t start = out->length;
    char sha256[DRAY_SHA256_HEX], md5[2 * DRAY_MD5_BYTES + 1] = "-", check[CHECK_DIGITS + 1];

    if (line->has_md5)
        dray_hex(line->md5, DRAY_MD5_BYTES, md5);
    dray_buffer_format(out, "%0*d ", (int)CHECK_DIGITS, 0);
    dray_buffer_format(out, "%" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 " %s %s ", line->inode,
                       line->bytes, line->mtime, line->ctime,
                       dray_hex(line->sha256, DRAY_SHA256_BYTES, sha256), md5);
    dray_buffer_format(
        out, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 " ",
        source->device, source->inode, source->bytes, source->offset, source->mtime, source->ctime);
    print_path(out, line->path, line->path_length);
    if (out->failed == 0) {
        const char *text = out->data + start + CHECK_DIGITS + 1;
        if (check_of(text, (size_t)(out->data + out->length - text), check) != 0)
            out->failed = DRAY_BUG;
        else
            memcpy(out->data + start, check, CHECK_DIGITS);
    }
    dray_buffer_text(out, "\n");
}

/* ---- Reading ---- */

/* A number and the space behind it. */
static int read_number(char **at, uint64_t *ret_number)
{
    size_t digits = strspn(*at, "0123456789");
    uint64_t number = 0;

    if (digits == 0 || (*at)[digits] != ' ')
        return -1;
    for (size_t i = 0; i < digits; i++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)((*at)[i] - '0'), &number))
            return -1;
    *at += digits + 1;
    *ret_number = number;
    return 0;
}

static int read_time(char **at, int64_t *ret_time)
{
    int negative = **at == '-';
    uint64_t number = 0;

    *at += negative;
    if (read_number(at, &number) != 0 || number > (uint64_t)INT64_MAX)
        return -1;
    *ret_time = negative ? -(int64_t)number : (int64_t)number;
    return 0;
}

/* `count` bytes in hexadecimal and the space behind them. */
static int read_hex(char **at, size_t count, uint8_t *ret_bytes)
{
    if (strlen(*at) <= 2 * count || (*at)[2 * count] != ' ' ||
        dray_unhex(*at, count, ret_bytes) != 0)
        return -1;
    *at += 2 * count + 1;
    return 0;
}

static int read_path(char *path, struct dray_adopt_line *line)
{
    char *to = path;

    for (const char *from = path; *from != '\0'; from++) {
        uint8_t byte = (uint8_t)*from;
        if (*from == '%') {
            if (strlen(from) < 3 || dray_unhex(from + 1, 1, &byte) != 0 || byte == 0)
                return -1;
            from += 2;
        }
        *to++ = (char)byte;
    }
    *to = '\0';
    line->path = path;
    line->path_length = (size_t)(to - path);
    return dray_path_fault(path, line->path_length) == NULL ? 0 : -1;
}

static int read_line(char *text, size_t length, struct dray_adopt_line *line)
{
    char check[CHECK_DIGITS + 1], *at = text + CHECK_DIGITS + 1;

    if (strlen(text) != length || length <= CHECK_DIGITS || text[CHECK_DIGITS] != ' ' ||
        check_of(at, length - CHECK_DIGITS - 1, check) != 0 ||
        memcmp(text, check, CHECK_DIGITS) != 0)
        return -1;
    if (read_number(&at, &line->inode) != 0 || read_number(&at, &line->bytes) != 0 ||
        read_time(&at, &line->mtime) != 0 || read_time(&at, &line->ctime) != 0 ||
        read_hex(&at, DRAY_SHA256_BYTES, line->sha256) != 0)
        return -1;
    if (strncmp(at, "- ", 2) == 0)
        at += 2;
    else if (read_hex(&at, DRAY_MD5_BYTES, line->md5) == 0)
        line->has_md5 = 1;
    else
        return -1;
    if (read_number(&at, &line->source.device) != 0 || read_number(&at, &line->source.inode) != 0 ||
        read_number(&at, &line->source.bytes) != 0 || read_number(&at, &line->source.offset) != 0 ||
        read_time(&at, &line->source.mtime) != 0 || read_time(&at, &line->source.ctime) != 0)
        return -1;
    return read_path(at, line);
}

static int read_first(const struct dray_adopt_reader *reader, size_t text_length)
{
    size_t length = strlen(FIRST_LINE);

    return strlen(reader->text) == text_length && strncmp(reader->text, FIRST_LINE, length) == 0 &&
                   strcmp(reader->text + length, reader->request_key) == 0
               ? 0
               : -1;
}

/* What was collected is a line. */
static int take_line(struct dray_adopt_reader *reader)
{
    struct dray_adopt_line line = {0};
    size_t length = reader->length;

    reader->text[length] = '\0';
    reader->length = 0;
    if (reader->begun)
        return read_line(reader->text, length, &line) == 0 ? reader->fn(reader->arg, &line) : 1;
    reader->begun = 1;
    return read_first(reader, length) == 0 ? 0 : 1;
}

int dray_adopt_feed(struct dray_adopt_reader *reader, const char *data, size_t length)
{
    int result = 0;

    while (result == 0 && length > 0) {
        const char *end = memchr(data, '\n', length);
        size_t part = end ? (size_t)(end - data) : length;
        if (part > DRAY_ADOPT_LONGEST - reader->length)
            return 1;
        memcpy(reader->text + reader->length, data, part);
        reader->length += part;
        if (!end)
            return 0;
        data += part + 1;
        length -= part + 1;
        result = take_line(reader);
    }
    return result;
}
