/* SPDX-License-Identifier: MIT */
/* From tokens to the form that is matched: braces expanded, names told apart, text laid out. */
#include "pattern_parse.h"

#include <stdlib.h>
#include <string.h>

DRAY_PATTERN_LIST(alternative_list, struct alternative);
DRAY_PATTERN_LIST(segment_list, struct segment);
DRAY_PATTERN_LIST(step_list, struct step);
DRAY_PATTERN_LIST(literal_list, unsigned char);

struct compiler {
    struct pattern_text text;
    struct token_list expanded; /* the alternative that is worked on, without braces */
    uint32_t expanded_total;    /* characters of all alternatives so far */
    struct alternative_list alternatives;
    struct segment_list segments;
    struct step_list steps;
    struct literal_list literals;
};

static void compiler_free(struct compiler *compiler)
{
    free(compiler->text.tokens.items);
    free(compiler->text.brackets.items);
    free(compiler->text.ranges.items);
    free(compiler->expanded.items);
    free(compiler->alternatives.items);
    free(compiler->segments.items);
    free(compiler->steps.items);
    free(compiler->literals.items);
}

/* ---- Braces -------------------------------------------------------------------------------- */

/* Append to compiler->expanded what the tokens [first, end) stand for when the braces among them
 * make their `choice`th choice. The recursion is as deep as braces nest. */
static int expand(struct compiler *compiler, uint32_t first, uint32_t end, uint32_t choice)
{
    const struct token *tokens = compiler->text.tokens.items;
    for (uint32_t i = first; i < end; i++) {
        if (tokens[i].kind != TOKEN_OPEN) {
            struct token *token = DRAY_PATTERN_APPEND(&compiler->expanded);
            if (token == NULL)
                return DRAY_PATTERN_NO_MEMORY;
            *token = tokens[i];
            continue;
        }
        uint32_t inner = choice % tokens[i].value;
        choice /= tokens[i].value;
        uint32_t branch = i;
        while (inner >= tokens[branch].branch) {
            inner -= tokens[branch].branch;
            branch = tokens[branch].next;
        }
        int result = expand(compiler, branch + 1, tokens[branch].next, inner);
        if (result != DRAY_PATTERN_OK)
            return result;
        i = tokens[i].close;
    }
    return DRAY_PATTERN_OK;
}

/* ---- One name ------------------------------------------------------------------------------ */

/* Append plain text; *ret_offset and *ret_length say where it lies. */
static int add_literal(struct compiler *compiler, const struct token *tokens, uint32_t count,
                       uint32_t *ret_offset, uint32_t *ret_length)
{
    *ret_offset = compiler->literals.count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t character = tokens[i].value;
        if ((compiler->text.flags & DRAY_PATTERN_IGNORE_CASE) != 0)
            character = dray_pattern_fold(character);
        unsigned char bytes[4];
        size_t size = dray_pattern_encode(character, bytes);
        for (size_t j = 0; j < size; j++) {
            unsigned char *place = DRAY_PATTERN_APPEND(&compiler->literals);
            if (place == NULL)
                return DRAY_PATTERN_NO_MEMORY;
            *place = bytes[j];
        }
    }
    *ret_length = compiler->literals.count - *ret_offset;
    return DRAY_PATTERN_OK;
}

static uint32_t text_run(const struct token *tokens, uint32_t count)
{
    uint32_t length = 0;
    while (length < count && tokens[length].kind == TOKEN_CHARACTER)
        length++;
    return length;
}

/* The middle of a name, which begins and ends with something that is not plain text. */
static int add_steps(struct compiler *compiler, struct segment *segment, const struct token *tokens,
                     uint32_t count)
{
    segment->middle = MIDDLE_STEPS;
    segment->steps = compiler->steps.count;
    for (uint32_t i = 0; i < count;) {
        struct step *step = DRAY_PATTERN_APPEND(&compiler->steps);
        if (step == NULL)
            return DRAY_PATTERN_NO_MEMORY;
        uint32_t run = text_run(tokens + i, count - i);
        if (run > 0) {
            *step = (struct step){.kind = STEP_TEXT};
            if (add_literal(compiler, tokens + i, run, &step->value, &step->length) !=
                DRAY_PATTERN_OK)
                return DRAY_PATTERN_NO_MEMORY;
            segment->minimum += step->length;
            i += run;
            continue;
        }
        step->kind = tokens[i].kind == TOKEN_STAR  ? STEP_STAR
                     : tokens[i].kind == TOKEN_ONE ? STEP_ONE
                                                   : STEP_BRACKET;
        step->value = tokens[i].value;
        step->length = 0;
        segment->minimum += step->kind != STEP_STAR;
        i++;
    }
    segment->step_count = compiler->steps.count - segment->steps;
    return DRAY_PATTERN_OK;
}

/* Names that no path holds, and `**` within a name. */
static int check_name(struct compiler *compiler, const struct token *tokens, uint32_t count)
{
    if (count <= 2 && text_run(tokens, count) == count && tokens[0].value == '.' &&
        tokens[count - 1].value == '.')
        return dray_pattern_fail(&compiler->text, tokens[0].offset,
                                 "no path holds the name `.` or `..`; a leading `/` stands for "
                                 "the dataset's root");
    for (uint32_t i = 0; i + 1 < count; i++) {
        if (tokens[i].kind != TOKEN_STAR || tokens[i + 1].kind != TOKEN_STAR)
            continue;
        if (i + 2 < count && tokens[i + 2].kind == TOKEN_STAR)
            return dray_pattern_fail(&compiler->text, tokens[i].offset,
                                     "there is no `***`; write `*` within a name, or `**` between "
                                     "slashes for directories");
        return dray_pattern_fail(&compiler->text, tokens[i].offset,
                                 "`**` stands only alone between slashes; write `*` within a name");
    }
    return DRAY_PATTERN_OK;
}

static int add_segment(struct compiler *compiler, const struct token *tokens, uint32_t count,
                       int marked)
{
    int result = check_name(compiler, tokens, count);
    if (result != DRAY_PATTERN_OK)
        return result;
    struct segment segment = {.marked = (uint8_t)marked, .middle = MIDDLE_NONE};
    uint32_t head = text_run(tokens, count);
    uint32_t tail = count;
    while (tail > head && tokens[tail - 1].kind == TOKEN_CHARACTER)
        tail--;
    result = add_literal(compiler, tokens, head, &segment.prefix, &segment.prefix_length);
    if (result == DRAY_PATTERN_OK)
        result = add_literal(compiler, tokens + tail, count - tail, &segment.suffix,
                             &segment.suffix_length);
    segment.minimum = segment.prefix_length + segment.suffix_length;
    if (tail - head == 1 && tokens[head].kind == TOKEN_STAR)
        segment.middle = MIDDLE_STAR;
    else if (tail > head && result == DRAY_PATTERN_OK)
        result = add_steps(compiler, &segment, tokens + head, tail - head);
    if (result != DRAY_PATTERN_OK)
        return result;
    struct segment *place = DRAY_PATTERN_APPEND(&compiler->segments);
    if (place == NULL)
        return DRAY_PATTERN_NO_MEMORY;
    *place = segment;
    return DRAY_PATTERN_OK;
}

/* ---- One alternative ----------------------------------------------------------------------- */

static uint64_t byte_set(const struct compiler *compiler, uint32_t literal)
{
    unsigned char byte = compiler->literals.items[literal];
    if ((compiler->text.flags & DRAY_PATTERN_IGNORE_CASE) == 0)
        return UINT64_C(1) << (byte & 63);
    if (byte >= 0x80) /* another case may have other bytes */
        return ~UINT64_C(0);
    uint64_t set = UINT64_C(1) << (byte & 63);
    if (byte >= 'a' && byte <= 'z')
        set |= UINT64_C(1) << ((byte - 32) & 63);
    return set;
}

/* Fill in what is known once all segments are there. */
static void finish_alternative(struct compiler *compiler, struct alternative *alternative)
{
    struct segment *segments = compiler->segments.items + alternative->segments;
    struct segment *start = segments;
    alternative->first = ~UINT64_C(0);
    alternative->last = ~UINT64_C(0);
    for (uint32_t i = 0; i < alternative->segment_count; i++) {
        struct segment *segment = &segments[i];
        if (segment->marked)
            start = segment;
        start->run++;
        if (segment->prefix_length > 0)
            alternative->first = byte_set(compiler, segment->prefix);
        if (segment->suffix_length > 0)
            alternative->last = byte_set(compiler, segment->suffix + segment->suffix_length - 1);
        else if (segment->middle == MIDDLE_NONE)
            alternative->last = byte_set(compiler, segment->prefix + segment->prefix_length - 1);
    }
}

static int is_double_star(const struct token *tokens, uint32_t count)
{
    return count == 2 && tokens[0].kind == TOKEN_STAR && tokens[1].kind == TOKEN_STAR;
}

/* Split at slashes. `count` is not 0. */
static int add_segments(struct compiler *compiler, struct alternative *alternative,
                        const struct token *tokens, uint32_t count)
{
    uint32_t start = tokens[0].kind == TOKEN_SLASH;
    int marked = start == 0;
    if (start == count)
        return dray_pattern_fail(&compiler->text, tokens[0].offset,
                                 "`/` alone names no entry; write `**` for everything");
    while (start < count) {
        uint32_t end = start;
        while (end < count && tokens[end].kind != TOKEN_SLASH)
            end++;
        if (end == start)
            return dray_pattern_fail(&compiler->text, tokens[start].offset,
                                     "nothing stands between two slashes");
        int last = end + 1 >= count;
        alternative->directories = last && end < count;
        int double_star = is_double_star(tokens + start, end - start);
        if (double_star && !last) {
            marked = 1;
        } else {
            /* At the end `**` is one name more, and so is a `*`. */
            uint32_t length = double_star ? 1 : end - start;
            int result = add_segment(compiler, tokens + start, length, marked);
            if (result != DRAY_PATTERN_OK)
                return result;
            marked = 0;
        }
        start = end + 1;
    }
    return DRAY_PATTERN_OK;
}

static int add_alternative(struct compiler *compiler, uint32_t choice)
{
    compiler->expanded.count = 0;
    int result = expand(compiler, 0, compiler->text.tokens.count, choice);
    if (result != DRAY_PATTERN_OK)
        return result;
    uint32_t count = compiler->expanded.count;
    compiler->expanded_total += count;
    if (compiler->expanded_total > DRAY_PATTERN_MAX_EXPANDED)
        return dray_pattern_fail(&compiler->text, 0,
                                 "the patterns that the braces stand for are longer than %u "
                                 "characters together; write several patterns",
                                 DRAY_PATTERN_MAX_EXPANDED);
    if (count == 0)
        return dray_pattern_fail(&compiler->text, 0,
                                 "one choice of the braces leaves an empty pattern");
    struct alternative alternative = {.segments = compiler->segments.count};
    result = add_segments(compiler, &alternative, compiler->expanded.items, count);
    if (result != DRAY_PATTERN_OK)
        return result;
    alternative.segment_count = compiler->segments.count - alternative.segments;
    finish_alternative(compiler, &alternative);
    struct alternative *place = DRAY_PATTERN_APPEND(&compiler->alternatives);
    if (place == NULL)
        return DRAY_PATTERN_NO_MEMORY;
    *place = alternative;
    return DRAY_PATTERN_OK;
}

/* ---- The pattern --------------------------------------------------------------------------- */

static int compile(struct compiler *compiler)
{
    int result = dray_pattern_parse(&compiler->text);
    for (uint32_t i = 0; result == DRAY_PATTERN_OK && i < compiler->text.alternatives; i++)
        result = add_alternative(compiler, i);
    return result;
}

/* Move a list's array out of the compiler. */
#define TAKE_ITEMS(LIST)                                                                           \
    __extension__({                                                                                \
        __typeof__((LIST).items) items_ = (LIST).items;                                            \
        (LIST).items = NULL;                                                                       \
        items_;                                                                                    \
    })

static struct dray_pattern *make_pattern(struct compiler *compiler)
{
    struct dray_pattern *pattern = malloc(sizeof(*pattern));
    if (pattern == NULL)
        return NULL;
    pattern->flags = compiler->text.flags;
    pattern->alternative_count = compiler->alternatives.count;
    pattern->alternatives = TAKE_ITEMS(compiler->alternatives);
    pattern->segments = TAKE_ITEMS(compiler->segments);
    pattern->steps = TAKE_ITEMS(compiler->steps);
    pattern->brackets = TAKE_ITEMS(compiler->text.brackets);
    pattern->ranges = TAKE_ITEMS(compiler->text.ranges);
    pattern->literals = TAKE_ITEMS(compiler->literals);
    return pattern;
}

int dray_pattern_compile(const char *text, size_t length, uint32_t flags,
                         struct dray_pattern **ret_pattern, struct dray_pattern_fault *ret_fault)
{
    __attribute__((cleanup(compiler_free))) struct compiler compiler = {
        .text = {.bytes = (const unsigned char *)text, .flags = flags}};
    int result;
    if (length == 0) {
        result = dray_pattern_fail(&compiler.text, 0, "the pattern is empty");
    } else if (length > DRAY_PATTERN_MAX_LENGTH) {
        result = dray_pattern_fail(&compiler.text, DRAY_PATTERN_MAX_LENGTH,
                                   "the pattern is longer than %u bytes; write several patterns",
                                   DRAY_PATTERN_MAX_LENGTH);
    } else {
        compiler.text.length = (uint32_t)length;
        result = compile(&compiler);
    }
    if (result == DRAY_PATTERN_FAULTY)
        *ret_fault = compiler.text.fault;
    if (result != DRAY_PATTERN_OK)
        return result;
    struct dray_pattern *pattern = make_pattern(&compiler);
    if (pattern == NULL)
        return DRAY_PATTERN_NO_MEMORY;
    *ret_pattern = pattern;
    return DRAY_PATTERN_OK;
}

void dray_pattern_free(struct dray_pattern *pattern)
{
    if (pattern == NULL)
        return;
    free(pattern->alternatives);
    free(pattern->segments);
    free(pattern->steps);
    free(pattern->brackets);
    free(pattern->ranges);
    free(pattern->literals);
    free(pattern);
}
