/* SPDX-License-Identifier: MIT */
/* builder_scalar.c - values, and what tags and aliases make of them. */
#include "core/conf/builder.h"

#include <string.h>

#include "core/conf/schema.h"

static const char core_prefix[] = "tag:yaml.org,2002:";

/* "str" of !!str; "" for the non-specific tag "!"; NULL for any that is not of the core schema. */
static const char *core_tag(const char *tag)
{
    static const char *const names[] = {"str", "int", "bool", "null", "float", "seq", "map"};
    if (strcmp(tag, "!") == 0)
        return "";
    if (strncmp(tag, core_prefix, sizeof(core_prefix) - 1) != 0)
        return NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(tag + sizeof(core_prefix) - 1, names[i]) == 0)
            return names[i];
    }
    return NULL;
}

static int in_flow(const struct dray_builder *builder)
{
    return builder->depth > 0 && builder->frames[builder->depth - 1].flow;
}

static void diagnose_tag(const struct dray_builder *builder, const yaml_event_t *event,
                         const char *tag)
{
    struct dray_diagnostics *diagnostics = builder->diagnostics;
    struct dray_place place = dray_build_event_place(builder, event);
    if (core_tag(tag)) {
        dray_diagnose(diagnostics, place, DRAY_SEVERITY_ERROR,
                      "this value does not fit its tag \"!!%s\"", core_tag(tag));
        return;
    }
    int is_yaml = strncmp(tag, core_prefix, sizeof(core_prefix) - 1) == 0;
    const char *name = is_yaml ? tag + sizeof(core_prefix) - 1 : tag;
    dray_diagnose(diagnostics, place, DRAY_SEVERITY_ERROR,
                  "\"!\" begins a YAML tag, and \"%s%.*s\" is not one of the core schema's "
                  "(!!str, !!int, …)",
                  is_yaml ? "!!" : "", dray_clip(name, strlen(name), 60), name);
    size_t at = dray_source_offset(&builder->source, event->start_mark.index);
    if (!is_yaml && builder->source.text[at] == '!' && !diagnostics->last_dropped)
        dray_syntax_hint_quote(&builder->source,
                               dray_syntax_value(&builder->source, at, in_flow(builder)),
                               diagnostics);
}

void dray_build_collection_tag(const struct dray_builder *builder, const yaml_event_t *event,
                               const yaml_char_t *tag, const char *expected)
{
    const char *name = tag ? core_tag((const char *)tag) : "";
    if (!name || (*name && strcmp(name, expected) != 0))
        diagnose_tag(builder, event, (const char *)tag);
}

/* Can this scalar be a key? What cannot is diagnosed. */
static int check_key(const struct dray_builder *builder, const struct dray_node *node)
{
    struct dray_diagnostics *diagnostics = builder->diagnostics;
    if (node->kind == DRAY_NODE_NULL) {
        dray_diagnose(diagnostics, node->place, DRAY_SEVERITY_ERROR,
                      node->length ? "\"%s\" is YAML's word for nothing, and cannot be a key"
                                   : "a key is missing%s",
                      node->text);
        if (node->length)
            dray_diagnose_hint(diagnostics, "quote it: \"%s\"", node->text);
        return 0;
    }
    if (node->style == DRAY_STYLE_PLAIN && strcmp(node->text, "<<") == 0) {
        dray_diagnose(diagnostics, node->place, DRAY_SEVERITY_ERROR,
                      "merge keys (\"<<\") are not part of YAML 1.2");
        dray_diagnose_hint(diagnostics, "write the keys here themselves");
        return 0;
    }
    return 1;
}

/* `- &old`: an anchor of nothing is a pattern that YAML ate. */
static void check_anchored(const struct dray_builder *builder, const yaml_event_t *event,
                           struct dray_node *node)
{
    size_t at = dray_source_offset(&builder->source, event->start_mark.index);
    int is_item =
        builder->depth > 0 && builder->frames[builder->depth - 1].node->kind == DRAY_NODE_SEQUENCE;

    if (!is_item || !event->data.scalar.anchor || node->kind != DRAY_NODE_NULL || node->length > 0)
        return;
    node->place = dray_build_event_place(builder, event);
    dray_diagnose(builder->diagnostics, node->place, DRAY_SEVERITY_ERROR,
                  "\"&\" begins a YAML anchor, and nothing stands behind \"&%.60s\"",
                  (const char *)event->data.scalar.anchor);
    dray_diagnose_alone(builder->diagnostics);
    if (!builder->diagnostics->last_dropped)
        dray_syntax_hint_quote(&builder->source,
                               dray_syntax_value(&builder->source, at, in_flow(builder)),
                               builder->diagnostics);
}

static enum dray_node_style node_style(yaml_scalar_style_t style)
{
    switch (style) {
    case YAML_SINGLE_QUOTED_SCALAR_STYLE:
        return DRAY_STYLE_SINGLE;
    case YAML_DOUBLE_QUOTED_SCALAR_STYLE:
        return DRAY_STYLE_DOUBLE;
    case YAML_LITERAL_SCALAR_STYLE:
    case YAML_FOLDED_SCALAR_STYLE:
        return DRAY_STYLE_BLOCK;
    case YAML_ANY_SCALAR_STYLE:
    case YAML_PLAIN_SCALAR_STYLE:
        break;
    }
    return DRAY_STYLE_PLAIN;
}

/* Kind and style say how the value is to be read: a tag overrides the way it is written. */
static void apply_scalar_tag(const struct dray_builder *builder, const yaml_event_t *event,
                             const char *tag, struct dray_node *node)
{
    const char *name = tag ? core_tag(tag) : NULL;
    int truth;
    int64_t number;
    int fits = 1;
    if (!tag) {
        if (node->style == DRAY_STYLE_PLAIN && dray_schema_is_null(node->text))
            node->kind = DRAY_NODE_NULL;
        return;
    }
    if (!name) {
        fits = 0;
    } else if (*name == '\0' || strcmp(name, "str") == 0) {
        if (node->style == DRAY_STYLE_PLAIN)
            node->style = DRAY_STYLE_SINGLE;
        return;
    } else if (strcmp(name, "null") == 0) {
        fits = dray_schema_is_null(node->text);
        node->kind = DRAY_NODE_NULL;
    } else if (strcmp(name, "bool") == 0) {
        fits = dray_schema_bool(node->text, &truth);
    } else if (strcmp(name, "int") == 0) {
        fits = dray_schema_int(node->text, &number) != 0;
    } else if (strcmp(name, "float") == 0) {
        fits = dray_schema_is_float(node->text);
    } else {
        fits = 0;
    }
    node->style = DRAY_STYLE_PLAIN;
    if (fits)
        return;
    diagnose_tag(builder, event, tag);
    if (node->length == 0) { /* `!x` took all of it: what is wrong with nothing follows */
        node->place = dray_build_event_place(builder, event);
        dray_diagnose_alone(builder->diagnostics);
    }
}

/* Text of a scalar: copied, without the NUL characters that an escape can bring in. */
static int set_text(struct dray_builder *builder, const yaml_event_t *event, struct dray_node *node)
{
    const char *value = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    const char *nul = length ? memchr(value, '\0', length) : NULL;
    node->length = nul ? (size_t)(nul - value) : length;
    node->text = dray_arena_text(builder->arena, value, node->length);
    if (!node->text)
        return -1;
    if (nul) {
        dray_diagnose(builder->diagnostics, dray_node_place_at(node, node->length),
                      DRAY_SEVERITY_ERROR, "a string cannot hold the character NUL (\\0)");
    }
    return 0;
}

/* Where it stands and how it is written; the widths and bytes are those of the value, not of its
 * properties. */
static void set_place(struct dray_builder *builder, const yaml_event_t *event,
                      struct dray_node *node)
{
    size_t end = dray_source_offset(&builder->source, event->end_mark.index);
    int has_properties = event->data.scalar.tag || event->data.scalar.anchor;
    size_t start = dray_build_start(builder, event, has_properties ? end : 0, &node->place);
    node->place.width = dray_source_width(&builder->source, start, end);
    node->raw = builder->source.text + start;
    node->raw_length = end - start;
    node->style = node_style(event->data.scalar.style);
    if (node->style == DRAY_STYLE_SINGLE || node->style == DRAY_STYLE_DOUBLE)
        builder->quoted = (struct dray_span){start, end};
}

enum dray_outcome dray_build_scalar(struct dray_builder *builder, const yaml_event_t *event)
{
    size_t anchor = 0;
    enum dray_outcome outcome = dray_build_count(builder, event, 1, event->data.scalar.length);
    if (outcome != DRAY_GO_ON)
        return outcome;
    if (event->data.scalar.length > DRAY_YAML_MAX_SCALAR) {
        dray_diagnose(builder->diagnostics, dray_build_event_place(builder, event),
                      DRAY_SEVERITY_ERROR, "this string is longer than %u KiB",
                      DRAY_YAML_MAX_SCALAR >> 10);
        return DRAY_STOPPED;
    }
    struct dray_node *node = dray_build_node(builder, DRAY_NODE_SCALAR);
    if (!node)
        return DRAY_OUT_OF_MEMORY;
    set_place(builder, event, node);
    if (set_text(builder, event, node))
        return DRAY_OUT_OF_MEMORY;
    apply_scalar_tag(builder, event, (const char *)event->data.scalar.tag, node);
    check_anchored(builder, event, node);
    outcome = dray_build_open_anchor(builder, event, event->data.scalar.anchor, &anchor);
    if (outcome != DRAY_GO_ON)
        return outcome;
    dray_build_close_anchor(builder, anchor,
                            &(struct dray_anchor){.node = node, .nodes = 1, .bytes = node->length});
    if (dray_build_at_key(builder) && !check_key(builder, node))
        node = NULL;
    return dray_build_add(builder, node, 0);
}

static const struct dray_anchor *find_anchor(const struct dray_builder *builder, const char *name)
{
    for (size_t i = 0; i < builder->anchor_count; i++) {
        if (strcmp(builder->anchors[i].name, name) == 0)
            return &builder->anchors[i];
    }
    return NULL;
}

/* The anchor that an alias may stand for here, or NULL with the reason diagnosed. */
static const struct dray_anchor *resolve_alias(const struct dray_builder *builder,
                                               const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    const struct dray_anchor *anchor = find_anchor(builder, name);
    struct dray_place place = dray_build_event_place(builder, event);
    if (!anchor) {
        size_t at = dray_source_offset(&builder->source, event->start_mark.index);
        dray_diagnose(builder->diagnostics, place, DRAY_SEVERITY_ERROR,
                      "\"*\" begins a YAML alias, and nothing is anchored as \"&%.60s\" above",
                      name);
        dray_diagnose_alone(builder->diagnostics);
        if (!builder->diagnostics->last_dropped)
            dray_syntax_hint_quote(&builder->source,
                                   dray_syntax_value(&builder->source, at, in_flow(builder)),
                                   builder->diagnostics);
        return NULL;
    }
    if (!anchor->node) {
        dray_diagnose(builder->diagnostics, place, DRAY_SEVERITY_ERROR,
                      "the alias \"*%.60s\" stands inside what it stands for", name);
        dray_diagnose_alone(builder->diagnostics);
        return NULL;
    }
    if (dray_build_at_key(builder)) {
        dray_diagnose(builder->diagnostics, place, DRAY_SEVERITY_ERROR, "a key cannot be an alias");
        return NULL;
    }
    return anchor;
}

enum dray_outcome dray_build_alias(struct dray_builder *builder, const yaml_event_t *event)
{
    const struct dray_anchor *anchor = resolve_alias(builder, event);
    if (anchor) {
        enum dray_outcome outcome = dray_build_count(builder, event, anchor->nodes, anchor->bytes);
        if (outcome == DRAY_GO_ON)
            outcome = dray_build_check_depth(builder, event, anchor->height);
        return outcome == DRAY_GO_ON ? dray_build_add(builder, anchor->node, anchor->height)
                                     : outcome;
    }
    /* Diagnosed: nothing stands in for it, so that the rest can be read. */
    struct dray_node *node = dray_build_node(builder, DRAY_NODE_NULL);
    if (!node)
        return DRAY_OUT_OF_MEMORY;
    node->place = dray_build_event_place(builder, event);
    node->text = "";
    enum dray_outcome outcome = dray_build_count(builder, event, 1, 0);
    if (outcome != DRAY_GO_ON)
        return outcome;
    return dray_build_add(builder, dray_build_at_key(builder) ? NULL : node, 0);
}
