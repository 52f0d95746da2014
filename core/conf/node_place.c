/* SPDX-License-Identifier: MIT */
/*
 * node_place.c - from a byte of a scalar's value back to where it is written. The text in the file
 * is read once more, step by step: each step takes some bytes of the file and yields some bytes of
 * the value.
 */
#include "core/conf/node.h"

#include <string.h>

#include "core/base/text.h"
#include "core/conf/source.h"

struct walk {
    const char *raw;
    size_t length;
    size_t at;      /* next byte of the file */
    size_t yielded; /* bytes of the value so far */
    uint32_t line, column;
};

static char peek(const struct walk *walk, size_t ahead)
{
    return walk->at + ahead < walk->length ? walk->raw[walk->at + ahead] : '\0';
}

/* Past one character or line break; its bytes. */
static size_t skip(struct walk *walk)
{
    size_t bytes = dray_break_length(walk->raw, walk->length, walk->at);
    if (bytes) {
        walk->line++;
        walk->column = 1;
    } else {
        bytes = dray_utf8_length(walk->raw + walk->at, walk->length - walk->at);
        bytes = bytes ? bytes : 1;
        walk->column++;
    }
    walk->at += bytes;
    return bytes;
}

static void skip_blanks(struct walk *walk)
{
    while (dray_is_blank(peek(walk, 0)))
        (void)skip(walk);
}

/* Past line breaks and the blanks around them; how many breaks. */
static size_t skip_breaks(struct walk *walk)
{
    size_t breaks = 0;
    skip_blanks(walk);
    while (dray_is_break(peek(walk, 0))) {
        (void)skip(walk);
        skip_blanks(walk);
        breaks++;
    }
    return breaks;
}

/* A run of blanks is itself, unless a line ends behind it: a single break is a space, more are one
 * newline less. */
static void step_blanks(struct walk *walk)
{
    struct walk ahead = *walk;
    size_t breaks = skip_breaks(&ahead);
    if (breaks == 0) {
        walk->yielded += skip(walk);
        return;
    }
    ahead.yielded += breaks > 1 ? breaks - 1 : 1;
    *walk = ahead;
}

static unsigned hexadecimal_digits(char letter)
{
    return letter == 'x' ? 2 : letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
}

static uint32_t hexadecimal_value(const struct walk *walk, unsigned digits)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < digits; i++) {
        char digit = peek(walk, 2 + i);
        unsigned nibble = digit >= '0' && digit <= '9' ? (unsigned)digit - '0'
                                                       : ((unsigned)digit | 0x20u) - 'a' + 10;
        value = value << 4 | (nibble & 0xfu);
    }
    return value;
}

static size_t utf8_bytes(uint32_t character)
{
    return character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
}

/* A backslash in double quotes (YAML 1.2.2, 5.7). */
static void step_escape(struct walk *walk)
{
    char letter = peek(walk, 1);
    if (dray_is_break(letter)) {
        (void)skip(walk);
        size_t breaks = skip_breaks(walk);
        walk->yielded += breaks > 1 ? breaks - 1 : 0;
        return;
    }
    unsigned digits = hexadecimal_digits(letter);
    if (digits)
        walk->yielded += utf8_bytes(hexadecimal_value(walk, digits));
    else if (letter == 'N' || letter == '_')
        walk->yielded += 2; /* U+0085, U+00A0 */
    else if (letter == 'L' || letter == 'P')
        walk->yielded += 3; /* U+2028, U+2029 */
    else
        walk->yielded += 1;
    for (unsigned i = 0; i < 2 + digits; i++)
        (void)skip(walk);
}

static void step(struct walk *walk, char quote)
{
    char here = peek(walk, 0);
    if (quote == '"' && here == '\\') {
        step_escape(walk);
    } else if (quote == '\'' && here == '\'') {
        walk->yielded++;
        (void)skip(walk);
        (void)skip(walk);
    } else if (dray_is_blank(here) || dray_is_break(here)) {
        step_blanks(walk);
    } else {
        walk->yielded += skip(walk);
    }
}

/* `|` keeps its lines: the value's nth line is the nth below the header, without its indentation.
 */
static int find_in_literal(const struct dray_node *node, size_t offset, struct walk *walk)
{
    uint32_t line = 0;
    size_t start = 0; /* of the line in the value */
    for (size_t i = 0; i < offset; i++) {
        if (node->text[i] == '\n') {
            line++;
            start = i + 1;
        }
    }
    size_t length = 0;
    while (start + length < node->length && node->text[start + length] != '\n')
        length++;
    while (walk->at < walk->length && walk->line <= node->place.line + line)
        (void)skip(walk);
    size_t end = walk->at;
    while (end < walk->length && !dray_is_break(walk->raw[end]))
        end++;
    /* What is more than the value's line is the indentation. */
    if (walk->line != node->place.line + line + 1 || end - walk->at < length)
        return 0;
    for (size_t indentation = end - walk->at - length; indentation > 0; indentation--)
        (void)skip(walk);
    size_t wanted = walk->at + (offset - start);
    while (walk->at < wanted && walk->at < end)
        (void)skip(walk);
    return 1;
}

/* `>` joins lines: libyaml's own steps (YAML 1.2.2, 8.1.3), for lines that are indented so far. 0
 * when that does not yield the value. */
static int find_in_folded(const struct dray_node *node, size_t offset, size_t indentation,
                          struct walk *walk)
{
    size_t empty = 0;   /* lines before this one */
    int first = 1;      /* no line has been read */
    int was_deeper = 0; /* the line before begins with a blank */
    while (walk->at < walk->length) {
        size_t end = walk->at;
        size_t spaces = 0;
        while (end < walk->length && !dray_is_break(walk->raw[end]))
            end++;
        while (spaces < indentation && peek(walk, spaces) == ' ')
            spaces++;
        if (walk->at + spaces == end) {
            empty++;
        } else if (spaces < indentation) {
            return 0;
        } else {
            int deeper = dray_is_blank(peek(walk, spaces));
            int joins = !first && !deeper && !was_deeper;
            walk->yielded += empty + (first || (joins && empty > 0) ? 0 : 1);
            size_t length = end - walk->at - spaces;
            if (walk->yielded + length > node->length ||
                memcmp(node->text + walk->yielded, walk->raw + walk->at + spaces, length) != 0)
                return 0;
            for (; spaces > 0; spaces--)
                (void)skip(walk);
            if (offset < walk->yielded + length) {
                while (walk->yielded < offset)
                    walk->yielded += skip(walk);
                return 1;
            }
            walk->yielded += length;
            was_deeper = deeper;
            first = 0;
            empty = 0;
        }
        while (walk->at <= end && walk->at < walk->length)
            (void)skip(walk);
    }
    return 0;
}

/* How far its lines are indented stands nowhere: the first that is not empty says at most how far.
 */
static int find_folded(const struct dray_node *node, size_t offset, struct walk *walk)
{
    size_t most = 0;
    while (walk->at < walk->length && walk->line == node->place.line)
        (void)skip(walk);
    for (size_t at = walk->at; at < walk->length; at++) {
        if (dray_is_break(walk->raw[at]))
            most = 0;
        else if (walk->raw[at] != ' ')
            break;
        else
            most++;
    }
    for (size_t indentation = most; indentation > 0; indentation--) {
        struct walk attempt = *walk;
        if (find_in_folded(node, offset, indentation, &attempt)) {
            *walk = attempt;
            return 1;
        }
    }
    return 0;
}

struct dray_place dray_node_place_at(const struct dray_node *node, size_t offset)
{
    struct dray_place place = node->place;
    if (node->kind != DRAY_NODE_SCALAR || !node->raw || node->raw_length == 0 ||
        offset > node->length)
        return place;
    struct walk walk = {
        .raw = node->raw, .length = node->raw_length, .line = place.line, .column = place.column};
    char first = node->raw[0];
    if (first == '|') {
        if (!find_in_literal(node, offset, &walk))
            return place;
    } else if (first == '>') {
        if (!find_folded(node, offset, &walk))
            return place;
    } else {
        char quote = first == '"' || first == '\'' ? first : '\0';
        size_t end = walk.length;
        if (quote) {
            (void)skip(&walk);
            end--;
        }
        /* An escape or a fold is one step: stop at the one that yields this byte. */
        while (walk.at < end) {
            struct walk before = walk;
            step(&walk, quote);
            if (walk.yielded > offset) {
                walk = before;
                break;
            }
        }
    }
    place.line = walk.line;
    place.column = walk.column;
    place.width = 1;
    return place;
}
