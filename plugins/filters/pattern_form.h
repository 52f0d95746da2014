/* SPDX-License-Identifier: MIT */
/*
 * pattern_form.h - a compiled pattern, between pattern_compile.c, which makes it, and
 * pattern_match.c, which reads it.
 *
 * Braces are expanded: a pattern is a list of alternatives, an alternative a run of segments, one
 * for each name that it asks for. `**` is not a segment but a mark on the next one, "any number of
 * directories may stand before this"; a pattern without a leading `/` has the mark on its first. At
 * the end `**` asks for one name more, whatever it is: what lies deeper is covered by that name. So
 * no alternative has to reach the end of a path, and the leftmost place of each run of unmarked
 * segments is always the best one: nothing is ever tried twice.
 */
#ifndef DRAY_FILTERS_PATTERN_FORM_H
#define DRAY_FILTERS_PATTERN_FORM_H

#include <stddef.h>
#include <stdint.h>

#include "pattern.h"

/* Every segment is `prefix middle suffix`, where prefix and suffix are plain text. */
enum middle {
    MIDDLE_NONE, /* the name is the prefix */
    MIDDLE_STAR, /* a single `*` */
    MIDDLE_STEPS /* anything else, as steps */
};

struct segment {
    uint32_t prefix; /* offset in literals */
    uint32_t prefix_length;
    uint32_t suffix;
    uint32_t suffix_length;
    uint32_t minimum; /* bytes of the shortest name that can match */
    uint32_t steps;   /* MIDDLE_STEPS: the first, and how many */
    uint32_t step_count;
    uint32_t run;   /* on the first segment and on every marked one: segments up to the next mark */
    uint8_t marked; /* any number of directories may stand before it */
    uint8_t middle; /* enum middle */
};

enum step_kind { STEP_TEXT, STEP_ONE, STEP_BRACKET, STEP_STAR };

struct step {
    uint32_t kind;
    uint32_t value;  /* STEP_TEXT: offset in literals; STEP_BRACKET: which */
    uint32_t length; /* STEP_TEXT */
};

struct range {
    uint32_t first;
    uint32_t last;
};

/* `[...]` */
struct bracket {
    uint64_t ascii[2]; /* the answer for each ASCII character, case and negation included */
    uint32_t ranges;   /* of the others: first and how many */
    uint32_t range_count;
    uint32_t negated;
};

struct alternative {
    uint32_t segments; /* first, and how many */
    uint32_t segment_count;
    uint32_t directories; /* only a directory will do: a trailing `/` */
    /* Some name of a matching path begins, and some name ends, with a byte of these sets, which are
     * like those of struct dray_pattern_path: most paths are turned down by these alone. */
    uint64_t first;
    uint64_t last;
};

struct dray_pattern {
    uint32_t flags;
    uint32_t alternative_count;
    struct alternative *alternatives;
    struct segment *segments;
    struct step *steps;
    struct bracket *brackets;
    struct range *ranges;
    unsigned char *literals; /* UTF-8; folded where case is ignored */
};

/* Two characters are the same but for their case if and only if this gives the same for both. It
 * never changes how many bytes a character takes. */
uint32_t dray_pattern_fold(uint32_t character);

/* The `number`th character, from 0, that folds to `folded` and is not ASCII; 0 when there are no
 * more. */
uint32_t dray_pattern_unfold(uint32_t folded, size_t number);

/* Decode one character of strict UTF-8 (RFC 3629). Bytes taken, or 0 if there is none here. */
size_t dray_pattern_decode(const unsigned char *bytes, size_t length, uint32_t *ret_character);

/* Write one character; returns how many of the 4 bytes were needed. */
size_t dray_pattern_encode(uint32_t character, unsigned char ret_bytes[4]);

#endif
