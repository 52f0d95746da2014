/* SPDX-License-Identifier: MIT */
/*
 * The matcher against a slow one that follows the rules of docs/filters.md word by word: braces are
 * expanded as text, every directory above an entry is tried from every place where a pattern may
 * start, and `*` and `**` try everything. Both judge the same random patterns and paths.
 *
 * DRAY_SEED=N repeats a run, DRAY_ROUNDS=N makes it longer.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "plugins/filters/pattern.h"

#define TEXT_SIZE 512
#define PIECES    64

/* ---- Chance -------------------------------------------------------------------------------- */

struct chance {
    uint64_t state;
};

static uint32_t draw(struct chance *chance, uint32_t below)
{
    chance->state = chance->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(((chance->state >> 33) * below) >> 31);
}

struct text {
    char bytes[TEXT_SIZE];
    size_t length;
};

static void put(struct text *text, const char *piece)
{
    size_t length = strlen(piece);
    assert_true(text->length + length < TEXT_SIZE);
    memcpy(text->bytes + text->length, piece, length + 1);
    text->length += length;
}

/* ---- Case, by a list of the letters that the test uses ------------------------------------- */

static const uint32_t letters[][3] = {
    {'a', 'A', 0}, {'b', 'B', 0}, {0xe9, 0xc9, 0}, {0x3c3, 0x3a3, 0x3c2}, {0x44f, 0x42f, 0}};

static uint32_t lower(uint32_t character)
{
    for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
        if (character == letters[i][1] || (character != 0 && character == letters[i][2]))
            return letters[i][0];
    }
    return character;
}

/* ---- Characters: a byte that is no character counts from NO_CHARACTER on -------------------- */

#define NO_CHARACTER UINT32_C(0x110000)

struct characters {
    uint32_t items[TEXT_SIZE];
    size_t count;
};

/* The random texts hold only these beyond ASCII, so no decoder is needed. */
static const struct {
    const char *bytes;
    uint32_t character;
} known[] = {{"\xc3\x80", 0xc0},           {"\xc3\xa9", 0xe9},  {"\xc3\x89", 0xc9},
             {"\xcf\x83", 0x3c3},          {"\xce\xa3", 0x3a3}, {"\xcf\x82", 0x3c2},
             {"\xd1\x8f", 0x44f},          {"\xd0\xaf", 0x42f}, {"\xe4\xb8\xad", 0x4e2d},
             {"\xf0\x9f\x90\x9f", 0x1f41f}};

static size_t known_at(const char *bytes, uint32_t *ret_character)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t length = strlen(known[i].bytes);
        if (strncmp(bytes, known[i].bytes, length) == 0) {
            *ret_character = known[i].character;
            return length;
        }
    }
    return 0;
}

static void add_bytes(struct characters *out, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        out->items[out->count++] = byte < 0x80 ? byte : NO_CHARACTER + byte;
    }
}

/* Add a character as itself, or as its bytes. */
static void add_character(struct characters *out, uint32_t character, int by_byte)
{
    if (!by_byte || character < 0x80) {
        out->items[out->count++] = character;
        return;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].character == character)
            add_bytes(out, known[i].bytes, strlen(known[i].bytes));
    }
}

/* Where the name that begins here ends. */
static size_t name_length(const char *path)
{
    return strcspn(path, "/");
}

static int all_known(const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        uint32_t character;
        size_t size = (unsigned char)text[at] < 0x80 ? 1 : known_at(text + at, &character);
        if (size == 0)
            return 0;
        at += size;
    }
    return 1;
}

/* Letters that are the same but for their case become the same, also as bytes. */
static void read_name(struct characters *out, const char *name, size_t length, int ignore_case)
{
    int by_byte = !all_known(name, length);
    for (size_t at = 0; at < length;) {
        uint32_t character = (unsigned char)name[at];
        size_t size = character < 0x80 ? 1 : known_at(name + at, &character);
        if (size > 0)
            add_character(out, ignore_case ? lower(character) : character, by_byte);
        else
            add_bytes(out, name + at, 1);
        at += size > 0 ? size : 1;
    }
}

/* ---- The slow one: brackets and braces as text ---------------------------------------------- */

/* One character of a pattern, with the `\` before it: its length, 0 if there is none. */
static size_t one(const char *text, uint32_t *ret_character)
{
    size_t start = text[0] == '\\';
    uint32_t character = (unsigned char)text[start];
    size_t length = character < 0x80 ? character != 0 : known_at(text + start, &character);
    *ret_character = character;
    return length == 0 ? 0 : start + length;
}

static int in_class(const char *name, size_t length, uint32_t character, int *ret_found)
{
    if (length == 5 && memcmp(name, "alpha", 5) == 0)
        *ret_found |=
            (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z');
    else if (length == 5 && memcmp(name, "digit", 5) == 0)
        *ret_found |= character >= '0' && character <= '9';
    else if (length == 5 && memcmp(name, "upper", 5) == 0)
        *ret_found |= character >= 'A' && character <= 'Z';
    else
        return 0;
    return 1;
}

/* POSIX's [.x.], which is refused: a bracket, a dot, text, a dot and the next bracket. */
static int is_collating(const char *text)
{
    if (text[0] != '[' || text[1] != '.')
        return 0;
    size_t length = strcspn(text + 2, "]");
    return text[2 + length] == ']' && length >= 2 && text[1 + length] == '.';
}

/* The length of the bracket that begins here, 0 if it is bad. *ret_found: whether the character
 * stands in it, whatever `!` makes of that. */
static size_t bracket(const char *text, uint32_t character, int *ret_found)
{
    size_t at = text[1] == '!' || text[1] == '^' ? 2 : 1;
    *ret_found = 0;
    for (int first = 1; first || text[at] != ']'; first = 0) {
        if (text[at] == '[' && text[at + 1] == ':') {
            const char *close = strstr(text + at + 2, ":]");
            if (close == NULL ||
                !in_class(text + at + 2, (size_t)(close - text) - at - 2, character, ret_found))
                return 0;
            at = (size_t)(close - text) + 2;
            if (text[at] == '-' && text[at + 1] != ']')
                return 0;
            continue;
        }
        uint32_t from;
        size_t length = is_collating(text + at) ? 0 : one(text + at, &from);
        if (length == 0)
            return 0;
        uint32_t to = from;
        at += length;
        if (text[at] == '-' && text[at + 1] != ']') {
            const char *end = text + at + 1;
            int class = (end[0] == '[' && end[1] == ':') || is_collating(end);
            length = class ? 0 : one(end, &to);
            if (length == 0 || to < from)
                return 0;
            at += 1 + length;
        }
        *ret_found |= character >= from && character <= to;
    }
    return at + 1;
}

/* The length of an escape, a bracket or a plain character; 0 if it is bad. */
static size_t unit(const char *text)
{
    int found;
    uint32_t character;
    return text[0] == '[' ? bracket(text, 0, &found) : one(text, &character);
}

/* Cut the group that begins here into its branches: its length, 0 if it does not end. cuts holds
 * the places of its commas and of its end. */
static size_t cut_group(const char *text, size_t cuts[PIECES], size_t *ret_count)
{
    size_t depth = 0;
    *ret_count = 0;
    for (size_t at = 0; text[at] != '\0';) {
        depth += text[at] == '{';
        if ((text[at] == ',' || text[at] == '}') && depth == 1)
            cuts[(*ret_count)++] = at;
        if (text[at] == '}' && --depth == 0)
            return at + 1;
        size_t length = unit(text + at);
        if (length == 0)
            return 0;
        at += length;
    }
    return 0;
}

/* Call visit with each pattern that the text stands for until one call gives not 0; -1 if it is
 * bad. */
static int each_alternative(const char *text, int (*visit)(const char *text, void *arg), void *arg)
{
    size_t at = 0;
    while (text[at] != '\0' && text[at] != '{') {
        size_t length = unit(text + at);
        if (length == 0 || text[at] == '}')
            return -1;
        at += length;
    }
    if (text[at] == '\0')
        return visit(text, arg);
    size_t cuts[PIECES];
    size_t count;
    size_t length = cut_group(text + at, cuts, &count);
    if (length == 0)
        return -1;
    size_t from = 1;
    for (size_t i = 0; i < count; i++) {
        char next[TEXT_SIZE];
        (void)snprintf(next, sizeof(next), "%.*s%.*s%s", (int)at, text, (int)(cuts[i] - from),
                       text + at + from, text + at + length);
        int result = each_alternative(next, visit, arg);
        if (result != 0)
            return result;
        from = cuts[i] + 1;
    }
    return 0;
}

/* ---- The slow one: names -------------------------------------------------------------------- */

/* A pattern without braces. */
struct item {
    char kind;           /* c: a character; ? * [ / */
    uint32_t character;  /* c */
    const char *bracket; /* [ */
};

struct slow {
    struct item items[TEXT_SIZE];
    size_t count;
    size_t starts[PIECES]; /* of names in items */
    size_t ends[PIECES];
    size_t names;
    int anchored;
    int directory;
};

static int read_items(struct slow *slow, const char *text, int by_byte, int ignore_case)
{
    slow->count = 0;
    for (size_t at = 0; text[at] != '\0'; at += unit(text + at)) {
        uint32_t character = 0;
        (void)one(text + at, &character);
        if (character != '/' && (text[at] == '*' || text[at] == '?' || text[at] == '[')) {
            slow->items[slow->count++] = (struct item){text[at], 0, text + at};
        } else if (character == '/') {
            slow->items[slow->count++] = (struct item){'/', 0, NULL};
        } else {
            struct characters bytes = {.count = 0};
            add_character(&bytes, ignore_case ? lower(character) : character, by_byte);
            for (size_t i = 0; i < bytes.count; i++)
                slow->items[slow->count++] = (struct item){'c', bytes.items[i], NULL};
        }
    }
    return slow->count > 0;
}

static int name_is_good(const struct item *items, size_t count)
{
    size_t dots = 0;
    size_t stars = 0;
    for (size_t i = 0; i < count; i++) {
        dots += items[i].kind == 'c' && items[i].character == '.';
        stars += i > 0 && items[i].kind == '*' && items[i - 1].kind == '*';
    }
    return count > 0 && !(dots == count && count <= 2) && !(stars > 0 && count > 2);
}

/* Tell names apart; 0 if the pattern is bad. */
static int read_names(struct slow *slow)
{
    size_t end = slow->count;
    slow->anchored = slow->items[0].kind == '/';
    slow->directory = end > 1 && slow->items[end - 1].kind == '/';
    end -= slow->directory ? 1 : 0;
    slow->names = 0;
    for (size_t start = slow->anchored ? 1 : 0; start <= end;) {
        size_t at = start;
        while (at < end && slow->items[at].kind != '/')
            at++;
        if (!name_is_good(slow->items + start, at - start))
            return 0;
        slow->starts[slow->names] = start;
        slow->ends[slow->names++] = at;
        start = at + 1;
    }
    return slow->names > 0;
}

static int bracket_takes(const char *text, uint32_t character, int ignore_case)
{
    int found = 0;
    int any = 0;
    if (character < NO_CHARACTER)
        (void)bracket(text, character, &any);
    for (size_t i = 0; ignore_case && i < sizeof(letters) / sizeof(letters[0]); i++) {
        for (size_t j = 0; lower(character) == letters[i][0] && j < 3; j++) {
            if (letters[i][j] != 0)
                (void)bracket(text, letters[i][j], &found);
            any |= found;
        }
    }
    return any != (text[1] == '!' || text[1] == '^');
}

static int name_matches(const struct item *items, size_t count, const uint32_t *name, size_t length,
                        int ignore_case)
{
    if (count == 0)
        return length == 0;
    if (items->kind == '*') {
        for (size_t i = 0; i <= length; i++) {
            if (name_matches(items + 1, count - 1, name + i, length - i, ignore_case))
                return 1;
        }
        return 0;
    }
    return length > 0 &&
           (items->kind == '?' || (items->kind == 'c' && items->character == *name) ||
            (items->kind == '[' && bracket_takes(items->bracket, *name, ignore_case))) &&
           name_matches(items + 1, count - 1, name + 1, length - 1, ignore_case);
}

/* ---- The slow one: paths -------------------------------------------------------------------- */

struct question {
    int directory;
    int ignore_case;
    struct characters characters;
    size_t starts[PIECES];
    size_t ends[PIECES];
    int by_byte[PIECES];
    size_t names;
    int matched;
};

/* The pattern is read twice: [0] for names that are characters, [1] for those that are bytes. */
static int names_match(const struct slow slow[2], size_t number, const struct question *question,
                       size_t from, size_t end)
{
    if (number == slow[0].names)
        return from == end;
    const struct item *items = slow[0].items + slow[0].starts[number];
    if (slow[0].ends[number] - slow[0].starts[number] == 2 && items[0].kind == '*' &&
        items[1].kind == '*') {
        if (number + 1 == slow[0].names)
            return from < end;
        for (size_t i = from; i <= end; i++) {
            if (names_match(slow, number + 1, question, i, end))
                return 1;
        }
        return 0;
    }
    if (from == end)
        return 0;
    const struct slow *as = &slow[question->by_byte[from]];
    return name_matches(as->items + as->starts[number], as->ends[number] - as->starts[number],
                        question->characters.items + question->starts[from],
                        question->ends[from] - question->starts[from], question->ignore_case) &&
           names_match(slow, number + 1, question, from + 1, end);
}

static int ask_alternative(const char *text, void *arg)
{
    struct question *question = arg;
    struct slow slow[2];
    for (int i = 0; i < 2; i++) {
        if (!read_items(&slow[i], text, i, question->ignore_case) || !read_names(&slow[i]))
            return -1;
    }
    for (size_t end = 1; end <= question->names; end++) {
        if (slow[0].directory && end == question->names && !question->directory)
            continue;
        for (size_t from = 0; from <= (slow[0].anchored ? 0 : end); from++)
            question->matched |= names_match(slow, 0, question, from, end);
    }
    return 0;
}

/* 1, 0, or -1 for a bad pattern. */
static int slow_matches(const char *pattern, const char *path, int directory, int ignore_case)
{
    struct question question = {.directory = directory, .ignore_case = ignore_case};
    for (const char *name = path;; name++) {
        size_t length = name_length(name);
        question.by_byte[question.names] = !all_known(name, length);
        question.starts[question.names] = question.characters.count;
        read_name(&question.characters, name, length, ignore_case);
        question.ends[question.names++] = question.characters.count;
        name += length;
        if (*name == '\0')
            break;
    }
    int result = each_alternative(pattern, ask_alternative, &question);
    return result != 0 ? result : question.matched;
}

/* ---- Random patterns and paths -------------------------------------------------------------- */

#define PICK(CHANCE, LIST) ((LIST)[draw(CHANCE, (uint32_t)(sizeof(LIST) / sizeof((LIST)[0])))])

/* Anything: mostly bad patterns, which both must refuse. */
static void random_soup(struct chance *chance, struct text *out)
{
    static const char *const pieces[] = {
        "a", "b", "A", "*",  "?", "/",  "/",  "**",  "[",   "]",         "[!",          "-",
        "{", "}", ",", "\\", ".", "..", "[a", "b-a", "a-b", "[:alpha:]", "[[:digit:]]", "\xc3\xa9"};
    for (uint32_t i = 0, count = 1 + draw(chance, 9); i < count; i++)
        put(out, PICK(chance, pieces));
}

static void random_name(struct chance *chance, struct text *out, int depth)
{
    static const char *const pieces[] = {"a",
                                         "b",
                                         "a",
                                         "*",
                                         "*",
                                         "?",
                                         "A",
                                         "[ab]",
                                         "[!a]",
                                         "[^b-z]",
                                         "[]a]",
                                         ".",
                                         "ab",
                                         "\xc3\xa9",
                                         "\xc3\x89",
                                         "\xe4\xb8\xad",
                                         "\xcf\x83",
                                         "[\xcf\x82]",
                                         "[!\xc3\xa9]",
                                         "[\xc3\x80-\xe4\xb8\xad]",
                                         "[[:upper:]b]",
                                         "\xd0\xaf",
                                         "\\*",
                                         "\xf0\x9f\x90\x9f"};
    for (uint32_t i = 0, count = 1 + draw(chance, 4); i < count; i++) {
        if (depth < 2 && draw(chance, 12) == 0) {
            put(out, "{");
            for (uint32_t j = 0, branches = 1 + draw(chance, 3); j < branches; j++) {
                if (j > 0)
                    put(out, ",");
                if (draw(chance, 4) > 0)
                    random_name(chance, out, depth + 1);
                if (draw(chance, 8) == 0)
                    put(out, "/");
            }
            put(out, "}");
        } else {
            put(out, PICK(chance, pieces));
        }
    }
}

static void random_pattern(struct chance *chance, struct text *out)
{
    *out = (struct text){.length = 0};
    if (draw(chance, 3) == 0) {
        random_soup(chance, out);
        return;
    }
    if (draw(chance, 2) == 0)
        put(out, "/");
    for (uint32_t i = 0, count = 1 + draw(chance, 4); i < count; i++) {
        if (i > 0)
            put(out, "/");
        if (draw(chance, 3) == 0)
            put(out, "**");
        else if (draw(chance, 6) == 0)
            put(out, "*");
        else
            random_name(chance, out, 0);
    }
    if (draw(chance, 6) == 0)
        put(out, "/");
}

static void random_path(struct chance *chance, struct text *out)
{
    static const char *const plain[] = {"a", "b", "a", "b", "A", ".", "*", "B"};
    static const char *const wide[] = {"a",        "b",        "\xc3\xa9",        "\xc3\x89",
                                       "\xcf\x83", "\xce\xa3", "\xcf\x82",        "\xe4\xb8\xad",
                                       "\xd1\x8f", "\xd0\xaf", "\xf0\x9f\x90\x9f"};
    static const char *const wild[] = {"a", "b", "\xc3\xa9", "\xff", "\xc3", "\xa9", "\xc3\x89"};
    *out = (struct text){.length = 0};
    for (uint32_t i = 0, count = 1 + draw(chance, 5); i < count; i++) {
        if (i > 0)
            put(out, "/");
        uint32_t kind = draw(chance, 4);
        for (uint32_t j = 0, length = 1 + draw(chance, 4); j < length; j++)
            put(out, kind < 2    ? PICK(chance, plain)
                     : kind == 2 ? PICK(chance, wide)
                                 : PICK(chance, wild));
    }
}

/* ---- The test ------------------------------------------------------------------------------- */

static uint64_t number_from(const char *variable, uint64_t fallback)
{
    const char *text = getenv(variable);
    return text == NULL ? fallback : strtoull(text, NULL, 10);
}

struct tally {
    uint64_t bad;
    uint64_t matched;
    uint64_t unmatched;
};

static void compare(struct chance *chance, struct tally *tally)
{
    struct text text;
    random_pattern(chance, &text);
    int ignore_case = draw(chance, 3) == 0;
    struct dray_pattern *pattern = NULL;
    struct dray_pattern_fault fault;
    int compiled =
        dray_pattern_compile(text.bytes, text.length, ignore_case ? 1 : 0, &pattern, &fault);
    for (int i = 0; i < 6; i++) {
        struct text path;
        random_path(chance, &path);
        int directory = draw(chance, 2) == 0;
        int expected = slow_matches(text.bytes, path.bytes, directory, ignore_case);
        int found = -1;
        if (compiled == DRAY_PATTERN_OK) {
            struct dray_pattern_path prepared;
            dray_pattern_path_init(&prepared, path.bytes, path.length, directory);
            found = dray_pattern_matches(pattern, &prepared);
        } else {
            assert_int_equal(compiled, DRAY_PATTERN_FAULTY);
            assert_true(fault.offset <= text.length);
            assert_int_not_equal(fault.reason[0], '\0');
        }
        if (found != expected)
            fail_msg("pattern %s, path %s (a %s)%s: %d, should be %d (-1: bad) %s", text.bytes,
                     path.bytes, directory ? "directory" : "file",
                     ignore_case ? " without regard to case" : "", found, expected,
                     compiled == DRAY_PATTERN_FAULTY ? fault.reason : "");
        tally->bad += expected < 0;
        tally->matched += expected > 0;
        tally->unmatched += expected == 0;
    }
    dray_pattern_free(pattern);
}

static void it_agrees_with_a_slow_matcher_that_follows_the_rules(void **state)
{
    (void)state;
    uint64_t seed = number_from("DRAY_SEED", (uint64_t)time(NULL));
    uint64_t rounds = number_from("DRAY_ROUNDS", 60000);
    struct chance chance = {.state = seed};
    struct tally tally = {0, 0, 0};
    print_message("DRAY_SEED=%" PRIu64 "\n", seed);
    for (uint64_t i = 0; i < rounds; i++)
        compare(&chance, &tally);
    print_message("%" PRIu64 " matched, %" PRIu64 " did not, %" PRIu64 " with bad patterns\n",
                  tally.matched, tally.unmatched, tally.bad);
    /* All three must be common, or the comparison says little. */
    uint64_t least = rounds * 6 / 10;
    assert_true(tally.matched > least && tally.unmatched > least && tally.bad > least);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_agrees_with_a_slow_matcher_that_follows_the_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
