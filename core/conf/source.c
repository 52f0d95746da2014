/* SPDX-License-Identifier: MIT */
#include "core/conf/source.h"

#include <string.h>

#include "core/base/text.h"

enum { MILESTONE = 64 };

uint32_t dray_character_at(const char *text, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)text;
    if (bytes < 2)
        return at[0];
    uint32_t character = at[0] & (0xffu >> (bytes + 1));
    for (size_t i = 1; i < bytes; i++)
        character = character << 6 | (at[i] & 0x3fu);
    return character;
}

int dray_clip(const char *text, size_t length, size_t characters)
{
    size_t at = 0;
    for (; at < length && characters > 0; characters--) {
        size_t bytes = dray_utf8_length(text + at, length - at);
        at += bytes ? bytes : 1;
    }
    return (int)at;
}

struct range {
    uint32_t first, last;
};

static int is_in(uint32_t character, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (character >= ranges[i].first && character <= ranges[i].last)
            return 1;
    }
    return 0;
}

int dray_character_prints(uint32_t character)
{
    /* Controls, then format characters: invisible ones, and those that turn the direction of text.
     */
    static const struct range unprintable[] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},       {0x61c, 0x61c},
        {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e},   {0x2060, 0x206f},
        {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff},
    };
    return !is_in(character, unprintable, sizeof(unprintable) / sizeof(unprintable[0]));
}

unsigned dray_character_columns(uint32_t character)
{
    /* The larger blocks of combining marks (UAX 44), and of East Asian Width W and F (UAX 11):
     * enough for a caret. */
    static const struct range none[] = {
        {0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},   {0x610, 0x61a},   {0x64b, 0x65f},
        {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f},
    };
    static const struct range two[] = {
        {0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0x33ff},   {0x3400, 0x4dbf},
        {0x4e00, 0x9fff},   {0xa000, 0xa4cf},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},
        {0xfe30, 0xfe6f},   {0xff01, 0xff60},   {0xffe0, 0xffe6},   {0x1f300, 0x1f64f},
        {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd},
    };
    if (character < 0x300)
        return 1;
    if (is_in(character, none, sizeof(none) / sizeof(none[0])))
        return 0;
    return is_in(character, two, sizeof(two) / sizeof(two[0])) ? 2 : 1;
}

size_t dray_break_length(const char *text, size_t length, size_t offset)
{
    if (offset >= length || !dray_is_break(text[offset]))
        return 0;
    return text[offset] == '\r' && offset + 1 < length && text[offset + 1] == '\n' ? 2 : 1;
}

struct dray_place dray_source_place(const struct dray_source *source, size_t offset, size_t end)
{
    struct dray_place place = {.source = source->number, .line = 1, .column = 1};
    size_t at = 0;
    while (at < offset && at < source->length) {
        size_t bytes = dray_break_length(source->text, source->length, at);
        if (bytes) {
            place.line++;
            place.column = 1;
        } else {
            bytes = dray_utf8_length(source->text + at, source->length - at);
            bytes = bytes ? bytes : 1;
            place.column++;
        }
        at += bytes;
    }
    place.width = dray_source_width(source, offset, end);
    return place;
}

uint32_t dray_source_width(const struct dray_source *source, size_t offset, size_t end)
{
    uint32_t width = 0;
    while (offset < end && offset < source->length && !dray_is_break(source->text[offset])) {
        size_t bytes = dray_utf8_length(source->text + offset, source->length - offset);
        offset += bytes ? bytes : 1;
        width++;
    }
    return width ? width : 1;
}

/* The characters that YAML 1.2 allows in a file (c-printable), but for its three odd spaces: some
 * parsers end a line at them and some do not, so what such a file means would depend on who reads
 * it. */
static int is_allowed(uint32_t character)
{
    if (character < 0x20)
        return character == '\t' || character == '\n' || character == '\r';
    if (character == 0x2028 || character == 0x2029 || character == 0xfeff)
        return 0;
    return character < 0x7f || (character >= 0xa0 && character != 0xfffe && character != 0xffff);
}

static void diagnose_character(const struct dray_source *source, size_t offset, size_t bytes,
                               struct dray_diagnostics *diagnostics)
{
    struct dray_place place = dray_source_place(source, offset, offset + 1);
    if (bytes == 0) {
        dray_diagnose(diagnostics, place, DRAY_SEVERITY_ERROR,
                      "byte 0x%02X is not UTF-8, the encoding of YAML files",
                      (unsigned char)source->text[offset]);
        dray_diagnose_hint(diagnostics, "save the file as UTF-8");
        return;
    }
    uint32_t character = dray_character_at(source->text + offset, bytes);
    if (character == 0xfeff) {
        dray_diagnose(diagnostics, place, DRAY_SEVERITY_ERROR,
                      "a byte order mark (U+FEFF) stands inside the text");
        dray_diagnose_hint(diagnostics, "remove this invisible character");
        return;
    }
    dray_diagnose(diagnostics, place, DRAY_SEVERITY_ERROR,
                  "the character U+%04X may not stand in a YAML file", character);
    if (character)
        dray_diagnose_hint(diagnostics, "remove it, or write \"\\u%04X\" in double quotes",
                           character);
}

static int is_utf16(const struct dray_source *source)
{
    const char *text = source->text;
    if (source->length < 2)
        return 0;
    return memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0 ||
           (text[0] == '\0' && text[1] != '\0') || (text[0] != '\0' && text[1] == '\0');
}

int dray_source_check(const struct dray_source *source, struct dray_diagnostics *diagnostics)
{
    if (is_utf16(source)) {
        dray_diagnose(diagnostics, (struct dray_place){.source = source->number},
                      DRAY_SEVERITY_ERROR, "the file is UTF-16 and not UTF-8");
        dray_diagnose_hint(diagnostics, "save the file as UTF-8");
        return 0;
    }
    for (size_t at = 0; at < source->length;) {
        size_t bytes = dray_utf8_length(source->text + at, source->length - at);
        if (bytes == 0 || !is_allowed(dray_character_at(source->text + at, bytes))) {
            diagnose_character(source, at, bytes, diagnostics);
            return 0;
        }
        at += bytes;
    }
    return 1;
}

int dray_source_map(struct dray_source *source, struct dray_arena *arena)
{
    size_t characters = 0;
    for (size_t i = 0; i < source->length; i++)
        characters += ((unsigned char)source->text[i] & 0xc0) != 0x80;
    if (characters == source->length)
        return 0;
    size_t count = characters / MILESTONE + 1;
    uint32_t *milestones = dray_arena_alloc(arena, count * sizeof(*milestones), _Alignof(uint32_t));
    if (!milestones)
        return -1;
    size_t seen = 0;
    for (size_t i = 0; i < source->length; i++) {
        if (((unsigned char)source->text[i] & 0xc0) == 0x80)
            continue;
        if (seen % MILESTONE == 0)
            milestones[seen / MILESTONE] = (uint32_t)i;
        seen++;
    }
    if (seen % MILESTONE == 0)
        milestones[seen / MILESTONE] = (uint32_t)source->length;
    source->milestones = milestones;
    source->milestone_count = count;
    return 0;
}

size_t dray_source_offset(const struct dray_source *source, size_t character)
{
    if (!source->milestones)
        return character < source->length ? character : source->length;
    if (character / MILESTONE >= source->milestone_count)
        return source->length;
    size_t offset = source->milestones[character / MILESTONE];
    for (size_t i = character % MILESTONE; i > 0 && offset < source->length; i--) {
        offset++;
        while (offset < source->length && ((unsigned char)source->text[offset] & 0xc0) == 0x80)
            offset++;
    }
    return offset;
}
