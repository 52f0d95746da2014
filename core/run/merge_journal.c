/* SPDX-License-Identifier: MIT */
/* merge_journal.c - the text of a merge's journal: what is renamed, in which order. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/digest.h"
#include "core/run/merge.h"

#define FIRST_LINE "dray-merge 1\n"
/* Of each act, as it is written. */
static const char *const acts[] = {"put", "has", "aside"};

void dray_merge_journal_free(struct dray_merge_journal *journal)
{
    for (size_t i = 0; i < journal->count; i++)
        free(journal->lines[i].path);
    free(journal->lines);
    *journal = (struct dray_merge_journal){0};
}

int dray_merge_journal_add(struct dray_merge_journal *journal, enum dray_merge_act act, mode_t type,
                           uint64_t inode, uint64_t bytes, const char *path,
                           struct dray_error *error)
{
    dray_autofree char *copy = strdup(path);

    if (!copy || DRAY_GROW(journal->lines, journal->count, journal->capacity) != 0)
        return dray_fail_memory(error);
    journal->lines[journal->count++] =
        (struct dray_merge_line){act, type, inode, bytes, DRAY_TAKE(copy)};
    return 0;
}

/* ---- Writing ---- */

static char letter_of(mode_t type)
{
    return S_ISDIR(type) ? 'd' : S_ISLNK(type) ? 'l' : 'f';
}

/* Line ends and `%` as %XX, all else as it is. */
static void print_path(struct dray_buffer *out, const char *path)
{
    for (const char *at = path; *at != '\0'; at++) {
        if (*at == '\n' || *at == '%')
            dray_buffer_format(out, "%%%02X", (unsigned)*at);
        else
            dray_buffer_add(out, at, 1);
    }
}

void dray_merge_journal_print(const struct dray_merge_journal *journal, struct dray_buffer *out)
{
    uint8_t digest[DRAY_SHA256_BYTES];
    char hex[DRAY_SHA256_HEX];

    dray_buffer_text(out, FIRST_LINE);
    for (size_t i = 0; i < journal->count; i++) {
        const struct dray_merge_line *line = &journal->lines[i];
        dray_buffer_format(out, "%s %c %" PRIu64 " %" PRIu64 " ", acts[line->act],
                           letter_of(line->type), line->inode, line->bytes);
        print_path(out, line->path);
        dray_buffer_text(out, "\n");
    }
    if (out->failed == 0 && dray_sha256(out->data, out->length, digest) != 0)
        out->failed = DRAY_BUG;
    if (out->failed == 0)
        dray_buffer_format(out, "end %zu %s\n", journal->count,
                           dray_hex(digest, sizeof(digest), hex));
}

/* ---- Reading ---- */

/* One that stays below where it begins. */
static int is_path(const char *path)
{
    for (const char *name = path;;) {
        size_t length = strcspn(name, "/");
        if (length == 0 || (length == 1 && name[0] == '.') ||
            (length == 2 && name[0] == '.' && name[1] == '.'))
            return 0;
        if (name[length] == '\0')
            return 1;
        name += length + 1;
    }
}

static int read_path(char *path)
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
    return is_path(path) ? 0 : -1;
}

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

static int read_act(char **at, enum dray_merge_act *ret_act)
{
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
        size_t length = strlen(acts[i]);
        if (strncmp(*at, acts[i], length) != 0 || (*at)[length] != ' ')
            continue;
        *at += length + 1;
        *ret_act = (enum dray_merge_act)i;
        return 0;
    }
    return -1;
}

static int read_line(struct dray_merge_journal *journal, char *line, struct dray_error *error)
{
    enum dray_merge_act act = DRAY_MERGE_PUT;
    uint64_t inode = 0, bytes = 0;
    char *at = line;

    if (read_act(&at, &act) != 0 || (*at != 'f' && *at != 'd' && *at != 'l') || at[1] != ' ')
        return dray_fail(error, DRAY_INTEGRITY, "it has a line that is not valid");
    mode_t type = *at == 'd' ? S_IFDIR : *at == 'l' ? S_IFLNK : S_IFREG;
    at += 2;
    if (read_number(&at, &inode) != 0 || read_number(&at, &bytes) != 0 || read_path(at) != 0)
        return dray_fail(error, DRAY_INTEGRITY, "it has a line that is not valid");
    return dray_merge_journal_add(journal, act, type, inode, bytes, at, error);
}

/* The last line, of the text up to it. */
static int is_end(const struct dray_merge_journal *journal, const char *text, size_t length,
                  const char *line)
{
    uint8_t digest[DRAY_SHA256_BYTES];
    char hex[DRAY_SHA256_HEX];

    /* No other begins so, and hashing all before each line would take for ever. */
    if (strncmp(line, "end ", 4) != 0 || dray_sha256(text, length, digest) != 0)
        return 0;
    dray_autofree char *wanted =
        dray_format("end %zu %s", journal->count, dray_hex(digest, sizeof(digest), hex));
    return wanted && strcmp(wanted, line) == 0;
}

static int read_state(struct dray_merge_journal *journal, const char *line,
                      struct dray_error *error)
{
    if (strcmp(line, "undo") == 0)
        journal->undo = 1;
    else if (strcmp(line, "done") == 0)
        journal->done = 1;
    else
        return dray_fail(error, DRAY_INTEGRITY, "it has a line behind its end that is not valid");
    return 0;
}

int dray_merge_journal_read(const char *text, size_t length, struct dray_merge_journal *ret_journal,
                            struct dray_error *error)
{
    size_t at = strlen(FIRST_LINE);
    int result = 0;

    *ret_journal = (struct dray_merge_journal){0};
    if (length < at)
        return 0;
    if (memcmp(text, FIRST_LINE, at) != 0)
        return dray_fail(error, DRAY_INTEGRITY, "it does not begin as one");
    while (result == 0 && at < length) {
        const char *end = memchr(text + at, '\n', length - at);
        if (!end)
            break; /* cut */
        size_t bytes = (size_t)(end - (text + at));
        dray_autofree char *line = strndup(text + at, bytes);
        if (!line)
            result = dray_fail_memory(error);
        else if (strlen(line) != bytes)
            result = dray_fail(error, DRAY_INTEGRITY, "it has a line that is not valid");
        else if (ret_journal->complete)
            result = read_state(ret_journal, line, error);
        else if (is_end(ret_journal, text, at, line))
            ret_journal->complete = 1;
        else
            result = read_line(ret_journal, line, error);
        at += bytes + 1;
    }
    if (result != 0)
        dray_merge_journal_free(ret_journal);
    return result;
}
