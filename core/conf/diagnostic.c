/* SPDX-License-Identifier: MIT */
/* diagnostic.c - collecting, ordering and handing over the problems of files; diagnostic_print.c
 * shows them. */
#include "core/conf/diagnostic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"
#include "core/conf/source.h"

enum { MESSAGE_BYTES = 4096, MESSAGE_CHARACTERS = 1000 };

uint32_t dray_diagnostics_source(struct dray_diagnostics *diagnostics, const char *name,
                                 const char *text, size_t length)
{
    struct dray_source_text source = {0};
    if (DRAY_GROW(diagnostics->sources, diagnostics->source_count, diagnostics->source_capacity)) {
        diagnostics->no_memory = 1;
        return 0;
    }
    source.name = strdup(name);
    source.text = text ? malloc(length + 1) : NULL;
    if (!source.name || (text && !source.text)) {
        free(source.name);
        free(source.text);
        diagnostics->no_memory = 1;
        return 0;
    }
    if (text) {
        memcpy(source.text, text, length);
        source.text[length] = '\0';
        source.length = length;
    }
    diagnostics->sources[diagnostics->source_count] = source;
    return (uint32_t)diagnostics->source_count++;
}

/* Text for one line of a terminal: what does not print is escaped, and a very long text is cut. */
static char *printable(const char *text, size_t length)
{
    struct dray_buffer buffer = {.cap = (size_t)MESSAGE_CHARACTERS * 12};
    size_t at = 0;
    for (size_t characters = 0; at < length && characters < MESSAGE_CHARACTERS; characters++) {
        size_t bytes = dray_utf8_length(text + at, length - at);
        if (bytes == 0) {
            dray_buffer_text(&buffer, "\xef\xbf\xbd");
            at++;
            continue;
        }
        uint32_t character = dray_character_at(text + at, bytes);
        if (character == '\n')
            dray_buffer_text(&buffer, "\\n");
        else if (character == '\t')
            dray_buffer_text(&buffer, "\\t");
        else if (dray_character_prints(character))
            dray_buffer_add(&buffer, text + at, bytes);
        else
            dray_buffer_format(&buffer, character < 0x100 ? "\\x%02x" : "\\u%04x", character);
        at += bytes;
    }
    if (at < length)
        dray_buffer_text(&buffer, "\xe2\x80\xa6");
    if (buffer.failed)
        dray_buffer_free(&buffer);
    else if (!buffer.data)
        return strdup("");
    return buffer.data;
}

static char *printable_format(const char *format, va_list arguments) DRAY_FORMAT(1, 0);
static char *printable_format(const char *format, va_list arguments)
{
    char text[MESSAGE_BYTES];
    int wanted = vsnprintf(text, sizeof(text), format, arguments);
    if (wanted < 0)
        return NULL;
    return printable(text, strlen(text));
}

void dray_diagnose(struct dray_diagnostics *diagnostics, struct dray_place place,
                   enum dray_severity severity, const char *format, ...)
{
    if (severity == DRAY_SEVERITY_ERROR)
        diagnostics->errors++;
    diagnostics->last_dropped = diagnostics->count >= DRAY_DIAGNOSTICS_MAX;
    if (diagnostics->last_dropped) {
        diagnostics->dropped++;
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    char *message = printable_format(format, arguments);
    va_end(arguments);
    if (!message || DRAY_GROW(diagnostics->items, diagnostics->count, diagnostics->capacity)) {
        free(message);
        diagnostics->no_memory = 1;
        diagnostics->last_dropped = 1;
        return;
    }
    if (place.width == 0)
        place.width = 1;
    diagnostics->items[diagnostics->count++] = (struct dray_diagnostic){
        .place = place,
        .severity = severity,
        .message = message,
    };
}

static void set_hint(struct dray_diagnostics *diagnostics, char *hint)
{
    if (!hint) {
        diagnostics->no_memory = 1;
        return;
    }
    struct dray_diagnostic *item = &diagnostics->items[diagnostics->count - 1];
    free(item->hint);
    item->hint = hint;
}

void dray_diagnose_hint(struct dray_diagnostics *diagnostics, const char *format, ...)
{
    if (diagnostics->last_dropped || diagnostics->count == 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    set_hint(diagnostics, printable_format(format, arguments));
    va_end(arguments);
}

void dray_diagnose_nearest(struct dray_diagnostics *diagnostics, const char *word,
                           const char *const *candidates, size_t count)
{
    if (diagnostics->last_dropped || diagnostics->count == 0)
        return;
    const char *nearest = dray_nearest(word, candidates, count);
    if (nearest)
        dray_diagnose_hint(diagnostics, "did you mean \"%s\"?", nearest);
}

void dray_diagnose_follows(struct dray_diagnostics *diagnostics)
{
    if (!diagnostics->last_dropped && diagnostics->count > 0)
        diagnostics->items[diagnostics->count - 1].follows = 1;
}

void dray_diagnose_alone(struct dray_diagnostics *diagnostics)
{
    if (!diagnostics->last_dropped && diagnostics->count > 0)
        diagnostics->items[diagnostics->count - 1].alone = 1;
}

void dray_diagnose_secret(struct dray_diagnostics *diagnostics)
{
    if (!diagnostics->last_dropped && diagnostics->count > 0)
        diagnostics->items[diagnostics->count - 1].secret = 1;
}

static int compare_numbers(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

static int compare_places(const struct dray_place *a, const struct dray_place *b)
{
    int order = compare_numbers(a->source, b->source);
    if (order == 0)
        order = compare_numbers(a->line, b->line);
    if (order == 0)
        order = compare_numbers(a->column, b->column);
    return order;
}

/* A total order, so that the outcome does not hang on the order in which problems were found. */
static int compare_items(const void *left, const void *right)
{
    const struct dray_diagnostic *a = left;
    const struct dray_diagnostic *b = right;
    int order = compare_places(&a->place, &b->place);
    if (order == 0)
        order = compare_numbers(a->severity, b->severity);
    if (order == 0)
        order = strcmp(a->message, b->message);
    if (order == 0)
        order = !a->hint - !b->hint;
    if (order == 0 && a->hint && b->hint)
        order = strcmp(a->hint, b->hint);
    if (order == 0)
        order = compare_numbers(b->place.width, a->place.width);
    return order;
}

static void clear_item(struct dray_diagnostic *item)
{
    free(item->message);
    free(item->hint);
    item->message = NULL;
    item->hint = NULL;
}

/* Is an error that stands alone at the place of this one, which is another? Items of one place are
 * neighbours. */
static int is_overruled(const struct dray_diagnostics *diagnostics, size_t index)
{
    const struct dray_diagnostic *items = diagnostics->items;
    const struct dray_place *place = &items[index].place;
    size_t first = index;

    while (first > 0 && compare_places(&items[first - 1].place, place) == 0)
        first--;
    for (size_t i = first; i < diagnostics->count; i++) {
        if (compare_places(&items[i].place, place) != 0)
            break;
        if (items[i].alone)
            return !items[index].alone;
    }
    return 0;
}

/* Drop errors that only follow from others. */
static void drop_followers(struct dray_diagnostics *diagnostics)
{
    struct dray_diagnostic *items = diagnostics->items;
    size_t causes = 0;
    size_t kept = 0;

    for (size_t i = 0; i < diagnostics->count; i++) {
        items[i].follows |= is_overruled(diagnostics, i);
        causes += items[i].severity == DRAY_SEVERITY_ERROR && !items[i].follows;
    }
    for (size_t i = 0; causes > 0 && i < diagnostics->count; i++) {
        if (items[i].severity == DRAY_SEVERITY_ERROR && items[i].follows) {
            diagnostics->errors--;
            clear_item(&items[i]);
        } else {
            items[kept++] = items[i];
        }
    }
    if (causes > 0)
        diagnostics->count = kept;
}

void dray_diagnostics_sort(struct dray_diagnostics *diagnostics)
{
    if (diagnostics->count < 2)
        return;
    struct dray_diagnostic *items = diagnostics->items;
    qsort(items, diagnostics->count, sizeof(*items), compare_items);
    size_t kept = 1;
    for (size_t i = 1; i < diagnostics->count; i++) {
        const struct dray_diagnostic *last = &items[kept - 1];
        if (compare_places(&last->place, &items[i].place) == 0 &&
            last->severity == items[i].severity && strcmp(last->message, items[i].message) == 0) {
            if (items[i].severity == DRAY_SEVERITY_ERROR)
                diagnostics->errors--;
            clear_item(&items[i]);
        } else {
            items[kept++] = items[i];
        }
    }
    diagnostics->count = kept;
    drop_followers(diagnostics);
}

const char *dray_place_file(const struct dray_diagnostics *diagnostics, struct dray_place place)
{
    if (place.source >= diagnostics->source_count)
        return "";
    return diagnostics->sources[place.source].name;
}

const char *dray_severity_name(enum dray_severity severity)
{
    switch (severity) {
    case DRAY_SEVERITY_ERROR:
        return "error";
    case DRAY_SEVERITY_WARNING:
        return "warning";
    case DRAY_SEVERITY_NOTE:
        return "note";
    }
    return "error";
}

static json_t *item_json(const struct dray_diagnostics *diagnostics,
                         const struct dray_diagnostic *item)
{
    json_t *object = json_object();
    const char *file = dray_place_file(diagnostics, item->place);
    if (!object || dray_json_set_path(object, "file", file, strlen(file)) ||
        json_object_set_new(object, "line", json_integer(item->place.line)) ||
        json_object_set_new(object, "column", json_integer(item->place.column)) ||
        json_object_set_new(object, "severity", json_string(dray_severity_name(item->severity))) ||
        json_object_set_new(object, "message", json_string(item->message)) ||
        json_object_set_new(object, "hint", item->hint ? json_string(item->hint) : json_null())) {
        json_decref(object);
        return NULL;
    }
    return object;
}

json_t *dray_diagnostics_json(const struct dray_diagnostics *diagnostics)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < diagnostics->count; i++) {
        if (json_array_append_new(list, item_json(diagnostics, &diagnostics->items[i]))) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

int dray_diagnostics_error(const struct dray_diagnostics *diagnostics, struct dray_error *error)
{
    const struct dray_diagnostic *first = NULL;
    if (diagnostics->no_memory)
        return dray_fail_memory(error);
    for (size_t i = 0; i < diagnostics->count; i++) {
        const struct dray_diagnostic *item = &diagnostics->items[i];
        if (item->severity == DRAY_SEVERITY_ERROR && (!first || compare_items(item, first) < 0))
            first = item;
    }
    if (!first)
        return 0;
    if (diagnostics->errors > 1)
        (void)dray_fail(error, DRAY_INVALID, "%s (and %zu more)", first->message,
                        diagnostics->errors - 1);
    else
        (void)dray_fail(error, DRAY_INVALID, "%s", first->message);
    if (first->hint)
        dray_hint(error, "%s", first->hint);
    const char *file = dray_place_file(diagnostics, first->place);
    if (first->place.line)
        dray_where(error, "%s:%u:%u", file, first->place.line, first->place.column);
    else
        dray_where(error, "%s", file);
    return DRAY_INVALID;
}

void dray_diagnostics_free(struct dray_diagnostics *diagnostics)
{
    for (size_t i = 0; i < diagnostics->count; i++)
        clear_item(&diagnostics->items[i]);
    for (size_t i = 0; i < diagnostics->source_count; i++) {
        free(diagnostics->sources[i].name);
        free(diagnostics->sources[i].text);
    }
    free(diagnostics->items);
    free(diagnostics->sources);
    *diagnostics = (struct dray_diagnostics){0};
}
