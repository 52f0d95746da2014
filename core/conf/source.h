/* SPDX-License-Identifier: MIT */
/* source.h - a file's text by byte, character, line and column. Used within core/conf only. */
#ifndef DRAY_CONF_SOURCE_H
#define DRAY_CONF_SOURCE_H

#include "core/conf/diagnostic.h"

/* Lines end at LF, CR LF or CR; text is valid UTF-8 once dray_source_check has passed it. */
struct dray_source {
    const char *text;
    size_t length;
    uint32_t number;            /* among the diagnostics' sources */
    const uint32_t *milestones; /* the byte where every 64th character begins; NULL: all ASCII */
    size_t milestone_count;
};

/* Is this text that YAML may be made of? 1, or 0 with the first problem diagnosed. */
DRAY_MUST_CHECK int dray_source_check(const struct dray_source *source,
                                      struct dray_diagnostics *diagnostics);
/* Make dray_source_offset fast; the milestones come from the arena. */
DRAY_MUST_CHECK int dray_source_map(struct dray_source *source, struct dray_arena *arena);
/* The byte where a character begins, counting characters from 0; the length when it is past the
 * end. */
size_t dray_source_offset(const struct dray_source *source, size_t character);
/* The place of the bytes from offset to end, or to the end of that line. Counts from the file's
 * first byte: for rare use. */
struct dray_place dray_source_place(const struct dray_source *source, size_t offset, size_t end);
/* Characters in the bytes from offset to end that are on the first of their lines, at least 1. */
uint32_t dray_source_width(const struct dray_source *source, size_t offset, size_t end);

/* The code point of a valid sequence of so many bytes. */
uint32_t dray_character_at(const char *text, size_t bytes);
/* Bytes of the first so many characters of a text, for "%.*s". */
int dray_clip(const char *text, size_t length, size_t characters);
/* Can it be put on a terminal as it is: no control character, nothing invisible or that reorders
 * text? */
int dray_character_prints(uint32_t character);
/* Columns it takes on a terminal: 0, 1 or 2. */
unsigned dray_character_columns(uint32_t character);
static inline int dray_is_break(char character)
{
    return character == '\n' || character == '\r';
}
static inline int dray_is_blank(char character)
{
    return character == ' ' || character == '\t';
}
/* Bytes of the line break at offset (1 or 2), 0 where there is none. */
size_t dray_break_length(const char *text, size_t length, size_t offset);

const char *dray_severity_name(enum dray_severity severity);

#endif
