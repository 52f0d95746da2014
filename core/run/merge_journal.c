/* SPDX-License-Identifier: MIT */
/* merge_journal.c - the text of a merge's journal, what is renamed and in which order, and its
 * file.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/digest.h"
#include "core/base/io.h"
#include "core/run/merge_move.h"

#define FIRST_WORDS "dray-merge 2 "
#define JOURNAL_CAP ((size_t)1 << 30)
/* More than all that is ever noted behind its end. */
#define NOTES_ROOM 256
/* Of each act, as it is written. */
static const char *const acts[] = {"put", "has", "aside"};

void dray_merge_journal_free(struct dray_merge_journal *journal)
{
    for (size_t i = 0; i < journal->count; i++)
        free(journal->lines[i].path);
    free(journal->lines);
    *journal = (struct dray_merge_journal){0};
}

static int add_line(struct dray_merge_journal *journal, const struct dray_merge_line *line,
                    struct dray_error *error)
{
    dray_autofree char *copy = strdup(line->path);

    if (!copy || DRAY_GROW(journal->lines, journal->count, journal->capacity) != 0)
        return dray_fail_memory(error);
    journal->lines[journal->count] = *line;
    journal->lines[journal->count++].path = DRAY_TAKE(copy);
    return 0;
}

int dray_merge_journal_add(struct dray_merge_journal *journal, enum dray_merge_act act,
                           const struct stat *status, const char *path, struct dray_error *error)
{
    const struct timespec *time = &status->st_mtim;
    const struct dray_merge_line line = {
        .act = act,
        .mode = status->st_mode,
        .inode = status->st_ino,
        .bytes = S_ISREG(status->st_mode) ? (uint64_t)status->st_size : 0,
        .mtime = S_ISDIR(status->st_mode) ? 0 : (int64_t)time->tv_sec * 1000000000 + time->tv_nsec,
        .path = (char *)(uintptr_t)path,
    };

    return add_line(journal, &line, error);
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

    dray_buffer_format(out, FIRST_WORDS "%" PRIu64 "\n", journal->holder);
    for (size_t i = 0; i < journal->count; i++) {
        const struct dray_merge_line *line = &journal->lines[i];
        dray_buffer_format(out, "%s %c %04o %" PRIu64 " %" PRIu64 " %" PRId64 " ", acts[line->act],
                           letter_of(line->mode), (unsigned)(line->mode & 07777), line->inode,
                           line->bytes, line->mtime);
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

/* Digits with a blank behind them. */
static int read_number(char **at, unsigned base, uint64_t *ret_number)
{
    size_t digits = strspn(*at, base == 8 ? "01234567" : "0123456789");
    uint64_t number = 0;

    if (digits == 0 || (*at)[digits] != ' ')
        return -1;
    for (size_t i = 0; i < digits; i++)
        if (__builtin_mul_overflow(number, base, &number) ||
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
    if (read_number(at, 10, &number) != 0 || number > INT64_MAX)
        return -1;
    *ret_time = negative ? -(int64_t)number : (int64_t)number;
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

static int read_fields(struct dray_merge_line *line, char *at)
{
    uint64_t mode = 0;

    if (read_act(&at, &line->act) != 0 || (*at != 'f' && *at != 'd' && *at != 'l') || at[1] != ' ')
        return -1;
    mode_t type = *at == 'd' ? S_IFDIR : *at == 'l' ? S_IFLNK : S_IFREG;
    at += 2;
    if (read_number(&at, 8, &mode) != 0 || mode > 07777 ||
        read_number(&at, 10, &line->inode) != 0 || read_number(&at, 10, &line->bytes) != 0 ||
        read_time(&at, &line->mtime) != 0 || read_path(at) != 0)
        return -1;
    line->mode = type | (mode_t)mode;
    line->path = at;
    return 0;
}

static int read_line(struct dray_merge_journal *journal, char *text, struct dray_error *error)
{
    struct dray_merge_line line = {0};

    return read_fields(&line, text) == 0
               ? add_line(journal, &line, error)
               : dray_fail(error, DRAY_INTEGRITY, "it has a line that is not valid");
}

/* The last line, of the text up to it. */
static int is_end(const struct dray_merge_journal *journal, const char *text, size_t length,
                  const char *line)
{
    uint8_t digest[DRAY_SHA256_BYTES];
    char hex[DRAY_SHA256_HEX];

    if (strncmp(line, "end ", 4) != 0 || dray_sha256(text, length, digest) != 0)
        return 0;
    dray_autofree char *wanted =
        dray_format("end %zu %s", journal->count, dray_hex(digest, sizeof(digest), hex));
    return wanted && strcmp(wanted, line) == 0;
}

/* A word that a full disk cut says nothing: what was noted is noted again behind it. */
static void read_state(struct dray_merge_journal *journal, const char *line)
{
    if (strcmp(line, "undo") == 0)
        journal->undo = 1;
    else if (strcmp(line, "done") == 0)
        journal->done = 1;
}

/* How long it is with its line end; 0: it was cut, -1: it is none. */
static ssize_t read_first(struct dray_merge_journal *journal, const char *text, size_t length)
{
    size_t words = strlen(FIRST_WORDS);
    const char *end = memchr(text, '\n', length);
    char line[64];

    if (memcmp(text, FIRST_WORDS, length < words ? length : words) != 0)
        return -1;
    if (!end)
        return 0;
    if ((size_t)(end - text) >= sizeof(line))
        return -1;
    (void)snprintf(line, sizeof(line), "%.*s ", (int)(end - text), text);
    char *at = line + words;
    return read_number(&at, 10, &journal->holder) == 0 && *at == '\0' ? end - text + 1 : -1;
}

int dray_merge_journal_read(const char *text, size_t length, struct dray_merge_journal *ret_journal,
                            struct dray_error *error)
{
    int result = 0;

    *ret_journal = (struct dray_merge_journal){0};
    ssize_t first = read_first(ret_journal, text, length);
    if (first < 0)
        return dray_fail(error, DRAY_INTEGRITY, "it does not begin as one");
    for (size_t at = first > 0 ? (size_t)first : length; result == 0 && at < length;) {
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
            read_state(ret_journal, line);
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

/* ---- Its file ---- */

/* Nothing of one that could not be made durable may be found later. */
static int give_up(int holder, int reason, struct dray_error *error)
{
    if ((unlinkat(holder, "journal", 0) != 0 && errno != ENOENT) ||
        (unlinkat(holder, "journal.new", 0) != 0 && errno != ENOENT))
        reason = errno;
    return dray_fail_errno(error, reason, "writing the journal of the delivery");
}

/* It gets its name in the way that names are moved to the target: where that cannot be, nothing has
 * been moved yet. */
static int name_it(int holder, struct dray_error *error)
{
    if (dray_merge_rename_new(holder, "journal.new", holder, "journal", S_IFREG) == 0)
        return fsync(holder) == 0 ? 0 : give_up(holder, errno, error);
    if (errno != EPERM && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
        return give_up(holder, errno, error);
    dray_fail(error, DRAY_UNSUPPORTED,
              "the file system of the target can neither rename without replacing nor make hard "
              "links, so nothing can be added to what others may change");
    dray_hint(error, "deliver to a new directory");
    if (unlinkat(holder, "journal.new", 0) != 0)
        dray_hint(error, "also, journal.new could not be removed: %s", strerror(errno));
    return error->class_;
}

int dray_merge_journal_write(int holder, const struct dray_merge_journal *journal,
                             struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = JOURNAL_CAP};

    dray_merge_journal_print(journal, &text);
    if (text.failed != 0)
        return text.failed == DRAY_NO_MEMORY
                   ? dray_fail_memory(error)
                   : dray_fail(error, DRAY_UNSUPPORTED, "the journal of the delivery is too long");
    dray_autoclose int fd =
        openat(holder, "journal.new", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || dray_write_all(fd, text.data, text.length) != 0)
        return give_up(holder, errno, error);
    /* What is noted later needs no room then; not every file system can promise that. */
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)text.length, NOTES_ROOM) != 0 &&
        (errno == ENOSPC || errno == EDQUOT))
        return give_up(holder, errno, error);
    if (fsync(fd) != 0 || dray_close(&fd) != 0)
        return give_up(holder, errno, error);
    return name_it(holder, error);
}

int dray_merge_journal_load(int holder, struct dray_merge_journal *ret_journal,
                            struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = JOURNAL_CAP};
    dray_autoclose int fd =
        openat(holder, "journal", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status;

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &status) != 0)
        return dray_fail_errno(error, errno, "opening its journal");
    if (!S_ISREG(status.st_mode) || status.st_size < 0 || (uint64_t)status.st_size > JOURNAL_CAP)
        return dray_fail(error, DRAY_INTEGRITY, "its journal is none");
    char *room = dray_buffer_reserve(&text, (size_t)status.st_size + 1);
    if (!room)
        return dray_fail_memory(error);
    ssize_t got = dray_read_full(fd, room, (size_t)status.st_size);
    if (got < 0)
        return dray_fail_errno(error, errno, "reading its journal");
    int result = dray_merge_journal_read(room, (size_t)got, ret_journal, error);
    return result == 0 ? 1 : result;
}

/* On a line of its own, whatever stands before it. */
int dray_merge_journal_note(int holder, const char *word, struct dray_error *error)
{
    dray_autoclose int fd = openat(holder, "journal", O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
    dray_autofree char *line = dray_format("\n%s\n", word);

    if (!line)
        return dray_fail_memory(error);
    if (fd < 0 || dray_write_all(fd, line, strlen(line)) != 0 || fsync(fd) != 0 ||
        dray_close(&fd) != 0)
        return dray_fail_errno(error, errno, "writing the journal of the delivery");
    return 0;
}
