/* SPDX-License-Identifier: MIT */
/*
 * syntax_value.c - patterns such as *.nc, [ab]*.nc and {a,b}.nc begin with characters that YAML
 * takes for its own. This finds the whole value again that its writer had in mind, so that the hint
 * can show it in quotes.
 */
#include "core/conf/syntax.h"

#include <string.h>

#include "core/base/buffer.h"

enum {
    REACH = 4096, /* how far from the problem a line is looked at */
    SHOWN = 60,   /* bytes of a value that a hint repeats */
    DEPTH = 64,
};

/* One line, read as lists and mappings in brackets with texts between. */
struct scan {
    const char *text;
    size_t end;
    size_t position;
    size_t item;         /* where the item begins that is being read */
    int fresh;           /* nothing of that item has been read yet */
    int flow;            /* brackets were opened on an earlier line */
    size_t outer[DEPTH]; /* items that the open brackets are in, or begin */
    size_t depth;
};

static int at_blank(const struct scan *scan, size_t position)
{
    return position >= scan->end || dray_is_blank(scan->text[position]);
}

/* Past `- `, `? ` and `key: ` to the value of a line outside brackets, but not past `limit`. */
static size_t skip_block_prefix(const struct scan *scan, size_t position, size_t limit)
{
    const char *text = scan->text;
    while (position < limit &&
           (dray_is_blank(text[position]) ||
            ((text[position] == '-' || text[position] == '?') && at_blank(scan, position + 1))))
        position++;
    if (position < limit && strchr("[{*&!@`", text[position]))
        return position;
    for (size_t at = position; at < limit; at++) {
        if (text[at] != ':' || !at_blank(scan, at + 1))
            continue;
        at++;
        while (at < limit && dray_is_blank(text[at]))
            at++;
        return at;
    }
    return position;
}

static size_t skip_quoted(const struct scan *scan, size_t position)
{
    char quote = scan->text[position++];
    while (position < scan->end && scan->text[position] != quote)
        position += quote == '"' && scan->text[position] == '\\' ? 2 : 1;
    return position < scan->end ? position + 1 : scan->end;
}

static void begin_item(struct scan *scan, size_t position)
{
    scan->item = position;
    scan->fresh = 1;
}

/* Read one thing; 0 when a comment or the line's end stops it. */
static int scan_step(struct scan *scan)
{
    if (scan->position >= scan->end)
        return 0;
    char here = scan->text[scan->position];
    int bracketed = scan->flow || scan->depth > 0;
    if (dray_is_blank(here)) {
        scan->position++;
        if (scan->fresh)
            scan->item = scan->position;
        return 1;
    }
    if (here == '#' && scan->position > 0 && dray_is_blank(scan->text[scan->position - 1]))
        return 0;
    if (scan->fresh && (here == '"' || here == '\'')) {
        scan->position = skip_quoted(scan, scan->position);
        scan->fresh = 0;
    } else if ((here == '[' || here == '{') && scan->depth < DEPTH && (bracketed || scan->fresh)) {
        scan->outer[scan->depth++] = scan->item;
        begin_item(scan, ++scan->position);
    } else if ((here == ']' || here == '}') && scan->depth > 0) {
        scan->item = scan->outer[--scan->depth];
        scan->fresh = 0;
        scan->position++;
    } else if (bracketed && (here == ',' || (here == ':' && at_blank(scan, scan->position + 1)))) {
        begin_item(scan, ++scan->position);
    } else {
        scan->fresh = 0;
        scan->position++;
    }
    return 1;
}

/* Does the item that is being read, at this depth, end here? */
static int ends_item(const struct scan *scan, size_t depth)
{
    if (scan->position >= scan->end || scan->depth != depth)
        return 0;
    if (scan->text[scan->position] == ':' && at_blank(scan, scan->position + 1))
        return 1;
    if (depth == 0 && !scan->flow)
        return 0;
    return strchr(",]}", scan->text[scan->position]) != NULL;
}

/* Read on to the end of the item at this depth. */
static void finish_item(struct scan *scan, size_t depth)
{
    scan->fresh = 0;
    while (!ends_item(scan, depth)) {
        size_t before = scan->position;
        if (!scan_step(scan)) {
            scan->end = before;
            return;
        }
    }
}

static struct dray_span find_value(struct scan *scan, size_t at)
{
    while (scan->position < at && scan_step(scan))
        ;
    size_t depth = scan->depth;
    struct dray_span value = {scan->item, 0};
    finish_item(scan, depth);
    value.end = scan->position;
    /* `[!x]*.nc`: the brackets belong to the pattern when text is stuck to them. */
    while (depth > 0 && scan->position < scan->end && strchr("]}", scan->text[scan->position])) {
        size_t behind = scan->position + 1;
        if (at_blank(scan, behind) || strchr(",]}:#", scan->text[behind]))
            break;
        value.start = scan->outer[--depth];
        (void)scan_step(scan);
        finish_item(scan, depth);
        value.end = scan->position;
    }
    while (value.end > value.start && dray_is_blank(scan->text[value.end - 1]))
        value.end--;
    return value;
}

struct dray_span dray_syntax_value(const struct dray_source *source, size_t at, int flow)
{
    const struct dray_span none = {at, at};
    size_t start = at;
    size_t end = at;
    while (start > 0 && !dray_is_break(source->text[start - 1]) && at - start < REACH)
        start--;
    while (end < source->length && !dray_is_break(source->text[end]) && end - at < REACH)
        end++;
    if (at - start == REACH || end - at == REACH)
        return none;
    struct scan scan = {.text = source->text, .end = end, .fresh = 1};
    scan.position = scan.item = skip_block_prefix(&scan, start, at);
    struct scan outside = scan;
    struct dray_span value = find_value(&scan, at);
    size_t opened = 0;
    while (outside.position < at && scan_step(&outside))
        opened |= outside.depth;
    if (flow && !opened) {
        scan = (struct scan){
            .text = source->text, .end = end, .position = start, .item = start, .flow = 1};
        scan.fresh = 1;
        value = find_value(&scan, at);
    }
    return value.start <= at && value.end > at ? value : none;
}

void dray_syntax_hint_quote(const struct dray_source *source, struct dray_span value,
                            struct dray_diagnostics *diagnostics)
{
    struct dray_buffer quoted = {.cap = (size_t)4 * SHOWN};
    const char *text = source->text + value.start;
    size_t length = value.end - value.start;
    if (length == 0 || length > SHOWN) {
        dray_diagnose_hint(diagnostics, "put the value between quotes");
        return;
    }
    int is_pattern = 0;
    int awkward = 0; /* between double quotes */
    for (size_t i = 0; i < length; i++) {
        is_pattern |= strchr("*?[]{}!", text[i]) != NULL;
        is_pattern |= text[i] == '$' ? 2 : 0;
        awkward |= text[i] == '"' || text[i] == '\\';
    }
    char quote = awkward ? '\'' : '"';
    dray_buffer_add(&quoted, &quote, 1);
    for (size_t i = 0; i < length; i++)
        dray_buffer_add(&quoted, text[i] == '\'' && awkward ? "''" : &text[i],
                        text[i] == '\'' && awkward ? 2 : 1);
    dray_buffer_add(&quoted, &quote, 1);
    if (!quoted.failed)
        dray_diagnose_hint(diagnostics, "%s: %s", is_pattern == 1 ? "quote patterns" : "quote it",
                           quoted.data);
    dray_buffer_free(&quoted);
}
