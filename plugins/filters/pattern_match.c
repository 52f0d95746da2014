/* SPDX-License-Identifier: MIT */
/* Matching. Runs for every entry of a tree times every pattern, on many threads: nothing here
 * allocates, writes to a pattern, or goes back further than one `*`. */
#include "pattern_form.h"

#include <string.h>

/* ---- Paths --------------------------------------------------------------------------------- */

static int is_utf8(const unsigned char *bytes, size_t length)
{
    size_t at = 0;
    while (at < length) {
        uint32_t character;
        size_t size = dray_pattern_decode(bytes + at, length - at, &character);
        if (size == 0)
            return 0;
        at += size;
    }
    return 1;
}

static void add_name(struct dray_pattern_path *path, size_t start, size_t end)
{
    if (path->names < DRAY_PATTERN_PATH_ENDS)
        path->ends[path->names] = end;
    path->names++;
    if (end > start) {
        path->first |= UINT64_C(1) << (path->bytes[start] & 63);
        path->last |= UINT64_C(1) << (path->bytes[end - 1] & 63);
    }
}

void dray_pattern_path_init(struct dray_pattern_path *ret_path, const char *path, size_t length,
                            int directory)
{
    ret_path->bytes = (const unsigned char *)path;
    ret_path->length = length;
    ret_path->names = 0;
    ret_path->directory = directory != 0;
    ret_path->first = 0;
    ret_path->last = 0;
    unsigned char seen = 0;
    size_t start = 0;
    for (size_t i = 0; i < length; i++) {
        seen |= ret_path->bytes[i];
        if (ret_path->bytes[i] == '/') {
            add_name(ret_path, start, i);
            start = i + 1;
        }
    }
    if (length > 0)
        add_name(ret_path, start, length);
    ret_path->text = seen < 0x80                        ? DRAY_PATTERN_ASCII
                     : is_utf8(ret_path->bytes, length) ? DRAY_PATTERN_UTF8
                                                        : DRAY_PATTERN_MIXED;
}

/* A name of a path: its number and where it begins. */
struct place {
    size_t number;
    size_t start;
};

static size_t end_of(const struct dray_pattern_path *path, struct place place)
{
    if (place.number < DRAY_PATTERN_PATH_ENDS)
        return path->ends[place.number];
    const unsigned char *slash = memchr(path->bytes + place.start, '/', path->length - place.start);
    return slash == NULL ? path->length : (size_t)(slash - path->bytes);
}

/* ---- One name ------------------------------------------------------------------------------ */

/* What the matching of one name works on. */
struct name {
    const struct dray_pattern *pattern;
    const unsigned char *end;
    int characters;  /* it is UTF-8 beyond ASCII, so matched by code point */
    int ignore_case; /* literals are folded */
};

static inline unsigned char fold_ascii(unsigned char byte)
{
    return (unsigned char)(byte | ((unsigned char)(byte - 'A') < 26) << 5);
}

/* Whether the bytes are the literal, which is folded and whole characters. Bytes that fold together
 * come in pairs, told by the first, so this is right for text that is not UTF-8, and from any byte
 * on. */
static int equal_folded(const unsigned char *bytes, const unsigned char *literal, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char folded[4] = {fold_ascii(bytes[i])};
        size_t size = 1;
        uint32_t character;
        if (bytes[i] >= 0x80 && length - i >= 2 &&
            dray_pattern_decode(bytes + i, 2, &character) == 2)
            size = dray_pattern_encode(dray_pattern_fold(character), folded);
        if (folded[0] != literal[i] || (size == 2 && folded[1] != literal[i + 1]))
            return 0;
        i += size - 1;
    }
    return 1;
}

static inline int equal(const struct name *name, const unsigned char *bytes, uint32_t literal,
                        uint32_t length)
{
    if (length == 0)
        return 1;
    const unsigned char *text = name->pattern->literals + literal;
    if (name->ignore_case)
        return equal_folded(bytes, text, length);
    return bytes[0] == text[0] && memcmp(bytes, text, length) == 0;
}

static int in_ranges(const struct name *name, const struct bracket *bracket, uint32_t character)
{
    for (uint32_t i = 0; i < bracket->range_count; i++) {
        const struct range *range = &name->pattern->ranges[bracket->ranges + i];
        if (character >= range->first && character <= range->last)
            return 1;
    }
    return 0;
}

static int in_bracket(const struct name *name, const struct bracket *bracket, uint32_t character)
{
    if (character < 0x80)
        return (bracket->ascii[character / 64] >> (character % 64) & 1) != 0;
    int found = in_ranges(name, bracket, character);
    if (!found && name->ignore_case && bracket->range_count > 0) {
        uint32_t folded = dray_pattern_fold(character);
        uint32_t other = folded;
        for (size_t i = 0; !found && other != 0; i++) {
            found = in_ranges(name, bracket, other);
            other = dray_pattern_unfold(folded, i);
        }
    }
    return found != (int)bracket->negated;
}

/* The character here, and how many bytes it takes. A byte that is matched as a byte is a character
 * if it is ASCII, and otherwise one that no bracket names. */
static inline size_t take(const struct name *name, const unsigned char *bytes,
                          uint32_t *ret_character)
{
    if (name->characters)
        return dray_pattern_decode(bytes, (size_t)(name->end - bytes), ret_character);
    *ret_character = *bytes < 0x80 ? *bytes : UINT32_MAX;
    return 1;
}

/* Bytes that a step other than a star takes here, or 0 if it does not match. */
static size_t take_step(const struct name *name, const struct step *step,
                        const unsigned char *bytes)
{
    size_t left = (size_t)(name->end - bytes);
    if (step->kind == STEP_TEXT)
        return left >= step->length && equal(name, bytes, step->value, step->length) ? step->length
                                                                                     : 0;
    if (left == 0)
        return 0;
    uint32_t character = 0;
    size_t size = take(name, bytes, &character);
    if (step->kind == STEP_BRACKET &&
        !in_bracket(name, &name->pattern->brackets[step->value], character))
        return 0;
    return size;
}

/* After a `*` that is followed by `next`: the first place from here on where `next` may match, or
 * NULL if there is none. */
static const unsigned char *skip(const struct name *name, const struct step *next,
                                 const unsigned char *bytes)
{
    if (next->kind != STEP_TEXT)
        return bytes;
    unsigned char first = name->pattern->literals[next->value];
    if (!name->ignore_case)
        return memchr(bytes, first, (size_t)(name->end - bytes));
    if (first >= 0x80)
        return bytes;
    while (bytes < name->end && fold_ascii(*bytes) != first)
        bytes++;
    return bytes < name->end ? bytes : NULL;
}

/* The leftmost place for what stands between two stars is as good as any other, so only the last
 * star is ever gone back to. */
static int steps_match(const struct name *name, const struct segment *segment,
                       const unsigned char *bytes)
{
    const struct step *step = name->pattern->steps + segment->steps;
    const struct step *end = step + segment->step_count;
    const struct step *after_star = NULL;
    const unsigned char *tried = NULL;
    for (;;) {
        if (step < end && step->kind == STEP_STAR) {
            after_star = ++step;
            if (step == end)
                return 1;
            tried = skip(name, step, bytes);
            if (tried == NULL)
                return 0;
            bytes = tried;
        }
        if (step == end && bytes == name->end)
            return 1;
        size_t taken = step < end ? take_step(name, step, bytes) : 0;
        if (taken > 0) {
            bytes += taken;
            step++;
            continue;
        }
        if (after_star == NULL || tried == name->end)
            return 0;
        uint32_t character;
        tried = skip(name, after_star, tried + take(name, tried, &character));
        if (tried == NULL)
            return 0;
        bytes = tried;
        step = after_star;
    }
}

static inline int segment_matches(const struct dray_pattern *pattern, const struct segment *segment,
                                  const struct dray_pattern_path *path, size_t start, size_t end)
{
    size_t length = end - start;
    if (length < segment->minimum || (segment->middle == MIDDLE_NONE && length > segment->minimum))
        return 0;
    size_t suffix = end - segment->suffix_length;
    const unsigned char *bytes = path->bytes;
    struct name name = {pattern, bytes + suffix, 0,
                        (pattern->flags & DRAY_PATTERN_IGNORE_CASE) != 0};
    if (!equal(&name, bytes + suffix, segment->suffix, segment->suffix_length) ||
        !equal(&name, bytes + start, segment->prefix, segment->prefix_length))
        return 0;
    if (segment->middle != MIDDLE_STEPS)
        return 1;
    name.characters = path->text == DRAY_PATTERN_UTF8 ||
                      (path->text == DRAY_PATTERN_MIXED && is_utf8(bytes + start, length));
    return steps_match(&name, segment, bytes + start + segment->prefix_length);
}

/* ---- Paths --------------------------------------------------------------------------------- */

/* Whether the names from `place` on match a run of segments; *ret_after is the name behind them. */
static int run_matches(const struct dray_pattern *pattern, const struct segment *run,
                       const struct dray_pattern_path *path, struct place place,
                       struct place *ret_after)
{
    for (uint32_t i = 0; i < run->run; i++) {
        size_t end = end_of(path, place);
        if (!segment_matches(pattern, &run[i], path, place.start, end))
            return 0;
        place.number++;
        place.start = end + 1;
    }
    *ret_after = place;
    return 1;
}

static int alternative_matches(const struct dray_pattern *pattern,
                               const struct alternative *alternative,
                               const struct dray_pattern_path *path)
{
    /* The names that may take part: the last only if it is what the pattern asks for. */
    size_t names = path->names;
    if (names > 0 && alternative->directories && !path->directory)
        names--;
    const struct segment *run = pattern->segments + alternative->segments;
    const struct segment *end = run + alternative->segment_count;
    struct place place = {0, 0};
    for (; run < end; run += run->run) {
        for (;;) {
            if (names - place.number < run->run)
                return 0;
            if (run_matches(pattern, run, path, place, &place))
                break;
            if (!run->marked)
                return 0;
            place.start = end_of(path, place) + 1;
            place.number++;
        }
    }
    return 1;
}

int dray_pattern_matches(const struct dray_pattern *pattern, const struct dray_pattern_path *path)
{
    for (uint32_t i = 0; i < pattern->alternative_count; i++) {
        const struct alternative *alternative = &pattern->alternatives[i];
        if ((alternative->first & path->first) != 0 && (alternative->last & path->last) != 0 &&
            alternative_matches(pattern, alternative, path))
            return 1;
    }
    return 0;
}
