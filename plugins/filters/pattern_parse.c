/* SPDX-License-Identifier: MIT */
/* From the text of a pattern to tokens: escapes, brackets and the nesting of braces. */
#include "pattern_parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *dray_pattern_grow(void *array, uint32_t *capacity, uint32_t count, size_t element)
{
    if (count < *capacity)
        return array;
    uint32_t wanted = *capacity == 0 ? 8 : *capacity * 2;
    void *grown = realloc(array, wanted * element);
    if (grown != NULL)
        *capacity = wanted;
    return grown;
}

int dray_pattern_fail(struct pattern_text *text, size_t offset, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text->fault.offset = offset;
    (void)vsnprintf(text->fault.reason, sizeof(text->fault.reason), format, arguments);
    va_end(arguments);
    return DRAY_PATTERN_FAULTY;
}

static int append(struct pattern_text *text, enum token_kind kind, uint32_t offset, uint32_t value)
{
    struct token *token = DRAY_PATTERN_APPEND(&text->tokens);
    if (token == NULL)
        return DRAY_PATTERN_NO_MEMORY;
    *token = (struct token){.kind = kind, .offset = offset, .value = value};
    return DRAY_PATTERN_OK;
}

/* Decode the character at *at and step over it. */
static int take_character(struct pattern_text *text, uint32_t *at, uint32_t *ret_character)
{
    uint32_t character = 0;
    size_t size = dray_pattern_decode(text->bytes + *at, text->length - *at, &character);
    if (size == 0)
        return dray_pattern_fail(text, *at,
                                 "this is not UTF-8; to match names that are not UTF-8 "
                                 "write `?` for each such byte");
    if (character == 0)
        return dray_pattern_fail(text, *at, "no path holds a NUL byte");
    *at += (uint32_t)size;
    *ret_character = character;
    return DRAY_PATTERN_OK;
}

/* The same, where `\` takes the character after it as it is. */
static int take_escaped(struct pattern_text *text, uint32_t *at, uint32_t *ret_character)
{
    uint32_t start = *at;
    int result = take_character(text, at, ret_character);
    if (result != DRAY_PATTERN_OK || *ret_character != '\\')
        return result;
    if (*at == text->length)
        return dray_pattern_fail(text, start,
                                 "nothing follows this `\\`; write `\\\\` for a backslash");
    return take_character(text, at, ret_character);
}

/* ---- Brackets ------------------------------------------------------------------------------ */

/* The named classes, as pairs of first and last character. They are ASCII, like their namesakes in
 * the POSIX locale, so that a pattern means the same everywhere. */
static const struct named_class {
    const char *name;
    const char *pairs;
} named_classes[] = {
    {"alnum", "09AZaz"},   {"alpha", "AZaz"},   {"blank", "\t\t  "}, {"cntrl", "\x01\x1f\x7f\x7f"},
    {"digit", "09"},       {"graph", "!~"},     {"lower", "az"},     {"print", " ~"},
    {"punct", "!/:@[`{~"}, {"space", "\t\r  "}, {"upper", "AZ"},     {"xdigit", "09AFaf"},
};

static int peek(const struct pattern_text *text, uint32_t at, char wanted)
{
    return at < text->length && text->bytes[at] == (unsigned char)wanted;
}

static int add_range(struct pattern_text *text, struct bracket *bracket, uint32_t first,
                     uint32_t last)
{
    for (uint32_t i = first; i <= last && i < 0x80; i++)
        bracket->ascii[i / 64] |= UINT64_C(1) << (i % 64);
    if (last < 0x80)
        return DRAY_PATTERN_OK;
    struct range *range = DRAY_PATTERN_APPEND(&text->ranges);
    if (range == NULL)
        return DRAY_PATTERN_NO_MEMORY;
    *range = (struct range){first < 0x80 ? 0x80 : first, last};
    bracket->range_count++;
    return DRAY_PATTERN_OK;
}

/* Name a class that does not exist, unless that is nothing to show to people. */
static int fail_unknown_class(struct pattern_text *text, uint32_t start, const char *name,
                              size_t length)
{
    size_t plain = 0;
    while (plain < length && name[plain] >= 'a' && name[plain] <= 'z')
        plain++;
    int shown = plain == length && length <= 16;
    return dray_pattern_fail(text, start,
                             "there is no class %s%.*s%s; known are alnum, alpha, blank, cntrl, "
                             "digit, graph, lower, print, punct, space, upper and xdigit",
                             shown ? "`[:" : "of that name", shown ? (int)length : 0, name,
                             shown ? ":]`" : "");
}

/* `[:name:]`, with *at on its bracket. */
static int take_named_class(struct pattern_text *text, uint32_t *at, struct bracket *bracket)
{
    uint32_t start = *at;
    const char *name = (const char *)text->bytes + start + 2;
    const char *end = memmem(name, text->length - start - 2, ":]", 2);
    if (end == NULL)
        return dray_pattern_fail(text, start, "`[:` has no `:]`; write `\\[` for the character");
    size_t length = (size_t)(end - name);
    *at = start + 2 + (uint32_t)length + 2;
    for (size_t i = 0; i < sizeof(named_classes) / sizeof(named_classes[0]); i++) {
        const struct named_class *known = &named_classes[i];
        if (strlen(known->name) != length || memcmp(known->name, name, length) != 0)
            continue;
        if (peek(text, *at, '-') && !peek(text, *at + 1, ']'))
            return dray_pattern_fail(text, start,
                                     "a range begins with a character, not with a class");
        for (const char *pair = known->pairs; *pair != '\0'; pair += 2)
            (void)add_range(text, bracket, (unsigned char)pair[0], (unsigned char)pair[1]);
        return DRAY_PATTERN_OK;
    }
    return fail_unknown_class(text, start, name, length);
}

/* POSIX's `[.x.]` and `[=x=]` depend on a locale: refused where that is what stands here. */
static int is_collating(const struct pattern_text *text, uint32_t at)
{
    if (!peek(text, at + 1, '.') && !peek(text, at + 1, '='))
        return 0;
    uint32_t inner = at + 2;
    const unsigned char *close = memchr(text->bytes + inner, ']', text->length - inner);
    return close != NULL && close > text->bytes + inner + 1 && close[-1] == text->bytes[at + 1];
}

/* One character or one range of a bracket. */
static int take_range(struct pattern_text *text, uint32_t *at, struct bracket *bracket)
{
    uint32_t start = *at;
    uint32_t first = 0;
    int result = take_escaped(text, at, &first);
    uint32_t last = first;
    if (result == DRAY_PATTERN_OK && peek(text, *at, '-') && *at + 1 < text->length &&
        !peek(text, *at + 1, ']')) {
        *at += 1;
        if (peek(text, *at, '[') && (peek(text, *at + 1, ':') || is_collating(text, *at)))
            return dray_pattern_fail(text, *at, "a range ends with a character, not with a class");
        result = take_escaped(text, at, &last);
    }
    if (result != DRAY_PATTERN_OK)
        return result;
    if (last < first)
        return dray_pattern_fail(text, start,
                                 "this range runs backwards; to match a `-` itself put "
                                 "it first or last, or write `\\-`");
    return add_range(text, bracket, first, last);
}

/* Make the table of ASCII characters the whole answer for them. */
static void finish_bracket(const struct pattern_text *text, struct bracket *bracket)
{
    if ((text->flags & DRAY_PATTERN_IGNORE_CASE) != 0) {
        /* Both cases of a letter lie in the second half, 32 apart. */
        uint64_t letters = UINT64_C(0x07fffffe);
        uint64_t given = bracket->ascii[1];
        uint64_t either = (given | given >> 32) & letters;
        bracket->ascii[1] = given | either | either << 32;
    }
    if (bracket->negated) {
        bracket->ascii[0] = ~bracket->ascii[0];
        bracket->ascii[1] = ~bracket->ascii[1];
    }
}

/* `[...]`, with *at on its bracket. */
static int take_bracket(struct pattern_text *text, uint32_t *at)
{
    uint32_t start = (*at)++;
    struct bracket bracket = {.ranges = text->ranges.count};
    if (peek(text, *at, '!') || peek(text, *at, '^')) {
        bracket.negated = 1;
        *at += 1;
    }
    for (int first = 1; first || !peek(text, *at, ']'); first = 0) {
        int result;
        if (*at >= text->length)
            return dray_pattern_fail(text, start, "`[` has no `]`; write `\\[` for the character");
        if (peek(text, *at, '[') && peek(text, *at + 1, ':'))
            result = take_named_class(text, at, &bracket);
        else if (peek(text, *at, '[') && is_collating(text, *at))
            result = dray_pattern_fail(text, *at,
                                       "`[.x.]` and `[=x=]` are not supported; write "
                                       "`\\[` for the character");
        else
            result = take_range(text, at, &bracket);
        if (result != DRAY_PATTERN_OK)
            return result;
    }
    *at += 1;
    finish_bracket(text, &bracket);
    struct bracket *place = DRAY_PATTERN_APPEND(&text->brackets);
    if (place == NULL)
        return DRAY_PATTERN_NO_MEMORY;
    *place = bracket;
    return append(text, TOKEN_BRACKET, start, text->brackets.count - 1);
}

/* ---- Braces -------------------------------------------------------------------------------- */

/* Open groups, from the outermost. How many patterns a group stands for is the sum over its
 * branches of the products of the groups in each. */
struct nesting {
    uint32_t depth;
    struct group {
        uint32_t open;   /* token */
        uint32_t branch; /* token at which the current branch begins */
        uint32_t done;   /* patterns of the branches before it */
    } groups[DRAY_PATTERN_MAX_DEPTH];
    uint32_t product[DRAY_PATTERN_MAX_DEPTH + 1]; /* of the current branch, at each depth */
};

static int open_group(struct pattern_text *text, struct nesting *nesting, uint32_t offset)
{
    if (nesting->depth == DRAY_PATTERN_MAX_DEPTH)
        return dray_pattern_fail(text, offset, "braces nest deeper than %u levels",
                                 DRAY_PATTERN_MAX_DEPTH);
    uint32_t token = text->tokens.count;
    nesting->groups[nesting->depth++] = (struct group){token, token, 0};
    nesting->product[nesting->depth] = 1;
    return append(text, TOKEN_OPEN, offset, 0);
}

/* A `,` or a `}` ends a branch. */
static int end_branch(struct pattern_text *text, struct nesting *nesting, enum token_kind kind,
                      uint32_t offset)
{
    struct group *group = &nesting->groups[nesting->depth - 1];
    struct token *branch = &text->tokens.items[group->branch];
    branch->next = text->tokens.count;
    branch->branch = nesting->product[nesting->depth];
    group->done += branch->branch;
    group->branch = text->tokens.count;
    struct token *open = &text->tokens.items[group->open];
    uint64_t total = group->done;
    if (kind == TOKEN_CLOSE) {
        open->value = group->done;
        open->close = text->tokens.count;
        nesting->depth--;
        total *= nesting->product[nesting->depth];
    }
    if (total > DRAY_PATTERN_MAX_ALTERNATIVES)
        return dray_pattern_fail(text, open->offset,
                                 "the braces up to this group stand for more than %u patterns; "
                                 "write several patterns",
                                 DRAY_PATTERN_MAX_ALTERNATIVES);
    nesting->product[nesting->depth] = kind == TOKEN_CLOSE ? (uint32_t)total : 1;
    return append(text, kind, offset, 0);
}

/* ---- Tokens -------------------------------------------------------------------------------- */

static int take_token(struct pattern_text *text, struct nesting *nesting, uint32_t *at)
{
    uint32_t start = *at;
    uint32_t character = 0;
    if (peek(text, start, '['))
        return take_bracket(text, at);
    int escaped = peek(text, start, '\\');
    int result = take_escaped(text, at, &character);
    if (result != DRAY_PATTERN_OK)
        return result;
    /* No name holds a slash, so an escaped one can only be the one between names. */
    if (character == '/')
        return append(text, TOKEN_SLASH, start, 0);
    if (escaped)
        return append(text, TOKEN_CHARACTER, start, character);
    if (character == '*')
        return append(text, TOKEN_STAR, start, 0);
    if (character == '?')
        return append(text, TOKEN_ONE, start, 0);
    if (character == '{')
        return open_group(text, nesting, start);
    if (character == ',' && nesting->depth > 0)
        return end_branch(text, nesting, TOKEN_COMMA, start);
    if (character == '}' && nesting->depth > 0)
        return end_branch(text, nesting, TOKEN_CLOSE, start);
    if (character == '}')
        return dray_pattern_fail(text, start, "`}` has no `{`; write `\\}` for the character");
    return append(text, TOKEN_CHARACTER, start, character);
}

int dray_pattern_parse(struct pattern_text *text)
{
    struct nesting nesting = {.depth = 0, .product = {1}};
    for (uint32_t at = 0; at < text->length;) {
        int result = take_token(text, &nesting, &at);
        if (result != DRAY_PATTERN_OK)
            return result;
    }
    if (nesting.depth > 0) {
        const struct token *open = &text->tokens.items[nesting.groups[nesting.depth - 1].open];
        return dray_pattern_fail(text, open->offset,
                                 "`{` has no `}`; write `\\{` for the character");
    }
    text->alternatives = nesting.product[0];
    return DRAY_PATTERN_OK;
}
