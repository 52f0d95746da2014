/* SPDX-License-Identifier: MIT */
/* diagnostic_print.c - a problem as people read it: its place, the line it is on and a caret below.
 */
#include "core/conf/diagnostic.h"

#include <stdio.h>
#include <string.h>

#include "core/base/text.h"
#include "core/conf/source.h"

enum {
    WINDOW = 200,        /* characters of a line that are shown */
    WINDOW_BEFORE = 100, /* of these before the caret, once the line's start does not fit */
    GUTTER = 5,
};

static const char ellipsis[] = "\xe2\x80\xa6";
static const char replacement[] = "\xef\xbf\xbd";
static const char colour_bold[] = "\033[1m";
static const char colour_caret[] = "\033[1;32m";
static const char colour_off[] = "\033[0m";

/* Where in a source the last problem was: problems are sorted, so the next is sought from there on
 * and a file is read through once. */
struct cursor {
    uint32_t source;
    uint32_t line;
    uint32_t column; /* of the character at offset */
    size_t offset;
};

static const char *severity_colour(enum dray_severity severity)
{
    switch (severity) {
    case DRAY_SEVERITY_ERROR:
        return "\033[1;31m";
    case DRAY_SEVERITY_WARNING:
        return "\033[1;35m";
    case DRAY_SEVERITY_NOTE:
        return "\033[1;36m";
    }
    return colour_bold;
}

/* One character of a line; what does not print becomes U+FFFD, a tab stays one. */
struct glyph {
    const char *text;
    size_t length;
    size_t bytes; /* in the source */
    unsigned columns;
};

static struct glyph glyph_at(const struct dray_source_text *source, size_t offset)
{
    const char *text = source->text + offset;
    size_t bytes = dray_utf8_length(text, source->length - offset);
    struct glyph glyph = {text, bytes, bytes ? bytes : 1, 1};
    uint32_t character = bytes ? dray_character_at(text, bytes) : 0;
    if (character != '\t' && !dray_character_prints(character)) {
        glyph.text = replacement;
        glyph.length = sizeof(replacement) - 1;
    } else {
        glyph.columns = dray_character_columns(character);
    }
    return glyph;
}

static int is_line_end(const struct dray_source_text *source, size_t offset)
{
    return offset >= source->length || dray_is_break(source->text[offset]);
}

/* Move to a column of a line, or to that line's end. 0 when the source has no such line. */
static int seek(struct cursor *cursor, const struct dray_source_text *source, uint32_t number,
                uint32_t line, uint32_t column)
{
    if (cursor->source != number || cursor->line > line ||
        (cursor->line == line && cursor->column > column) || cursor->line == 0)
        *cursor = (struct cursor){.source = number, .line = 1, .column = 1};
    while (cursor->line < line || cursor->column < column) {
        size_t bytes = dray_break_length(source->text, source->length, cursor->offset);
        if (cursor->line == line && is_line_end(source, cursor->offset))
            break;
        if (cursor->offset >= source->length)
            return 0;
        if (bytes) {
            cursor->line++;
            cursor->column = 1;
        } else {
            bytes = glyph_at(source, cursor->offset).bytes;
            cursor->column++;
        }
        cursor->offset += bytes;
    }
    return 1;
}

/* The piece of a line that is shown. */
struct window {
    const struct dray_source_text *source;
    size_t start, end;     /* bytes */
    uint32_t first_column; /* of the character at start */
    int cut_end;
};

static void print_line(const struct window *window, struct dray_buffer *out)
{
    if (window->first_column > 1)
        dray_buffer_text(out, ellipsis);
    for (size_t at = window->start; at < window->end;) {
        struct glyph glyph = glyph_at(window->source, at);
        dray_buffer_add(out, glyph.text, glyph.length);
        at += glyph.bytes;
    }
    if (window->cut_end)
        dray_buffer_text(out, ellipsis);
    dray_buffer_text(out, "\n");
}

static void print_caret(const struct window *window, const struct dray_place *place,
                        struct dray_buffer *out)
{
    uint32_t column = window->first_column;
    size_t at = window->start;
    if (window->first_column > 1)
        dray_buffer_text(out, " ");
    for (; column < place->column && at < window->end; column++) {
        struct glyph glyph = glyph_at(window->source, at);
        if (*glyph.text == '\t')
            dray_buffer_text(out, "\t");
        else
            dray_buffer_add(out, "  ", glyph.columns);
        at += glyph.bytes;
    }
    dray_buffer_text(out, "^");
    for (uint32_t i = 0; i < place->width && at < window->end; i++) {
        struct glyph glyph = glyph_at(window->source, at);
        unsigned taken = i == 0 ? 1 : 0; /* by the caret */
        if (glyph.columns > taken)
            dray_buffer_add(out, "~~", glyph.columns - taken);
        at += glyph.bytes;
    }
}

static void print_quote(const struct dray_diagnostics *diagnostics,
                        const struct dray_diagnostic *item, struct cursor *cursor, int colour,
                        struct dray_buffer *out)
{
    const struct dray_place *place = &item->place;
    uint32_t column = place->column ? place->column : 1;
    struct window window = {.source = &diagnostics->sources[place->source]};
    uint32_t first = column > WINDOW_BEFORE + WINDOW / 4 ? column - WINDOW_BEFORE : 1;
    if (!seek(cursor, window.source, place->source, place->line, first))
        return;
    window.start = window.end = cursor->offset;
    window.first_column = cursor->column;
    for (int i = 0; i < WINDOW && !is_line_end(window.source, window.end); i++)
        window.end += glyph_at(window.source, window.end).bytes;
    window.cut_end = !is_line_end(window.source, window.end);

    char number[16];
    int digits = snprintf(number, sizeof(number), "%*u", GUTTER, place->line);
    dray_buffer_format(out, "%s | ", number);
    print_line(&window, out);
    dray_buffer_format(out, "%*s | %s", digits, "", colour ? colour_caret : "");
    print_caret(&window, place, out);
    if (item->hint)
        dray_buffer_format(out, " %s", item->hint);
    dray_buffer_format(out, "%s\n", colour ? colour_off : "");
}

static void print_name(const char *name, struct dray_buffer *out)
{
    struct dray_source_text text = {.length = strlen(name)};
    text.text = (char *)(uintptr_t)name;
    for (size_t at = 0; at < text.length;) {
        struct glyph glyph = glyph_at(&text, at);
        dray_buffer_add(out, *glyph.text == '\t' ? replacement : glyph.text,
                        *glyph.text == '\t' ? sizeof(replacement) - 1 : glyph.length);
        at += glyph.bytes;
    }
}

/* Whatever else is wrong on a line that may hold a secret, it is not shown. */
static int is_shown(const struct dray_diagnostics *diagnostics, const struct dray_place *place)
{
    if (place->line == 0 || place->source >= diagnostics->source_count ||
        !diagnostics->sources[place->source].text)
        return 0;
    for (size_t i = 0; i < diagnostics->count; i++) {
        const struct dray_diagnostic *item = &diagnostics->items[i];
        if (item->secret && item->place.source == place->source && item->place.line == place->line)
            return 0;
    }
    return 1;
}

static void print_item(const struct dray_diagnostics *diagnostics,
                       const struct dray_diagnostic *item, struct cursor *cursor, int colour,
                       struct dray_buffer *out)
{
    const struct dray_place *place = &item->place;
    const char *name = dray_place_file(diagnostics, *place);
    const char *off = colour ? colour_off : "";
    const char *bold = colour ? colour_bold : "";
    dray_buffer_text(out, bold);
    if (*name) {
        print_name(name, out);
        dray_buffer_text(out, ":");
        if (place->line)
            dray_buffer_format(out, "%u:%u:", place->line, place->column);
        dray_buffer_format(out, "%s ", off);
    }
    dray_buffer_format(out, "%s%s:%s %s%s%s\n", colour ? severity_colour(item->severity) : "",
                       dray_severity_name(item->severity), off, bold, item->message, off);
    size_t before = out->length;
    if (is_shown(diagnostics, place))
        print_quote(diagnostics, item, cursor, colour, out);
    if (out->length == before && item->hint)
        dray_buffer_format(out, "%*s | %s\n", GUTTER, "", item->hint);
}

void dray_diagnostics_print(const struct dray_diagnostics *diagnostics, int colour,
                            struct dray_buffer *out)
{
    struct cursor cursor = {0};
    for (size_t i = 0; i < diagnostics->count; i++)
        print_item(diagnostics, &diagnostics->items[i], &cursor, colour, out);
    if (diagnostics->dropped)
        dray_buffer_format(out, "%zu more problems are not shown\n", diagnostics->dropped);
}
