/* SPDX-License-Identifier: MIT */
#include "core/conf/builder.h"

#include <stdlib.h>
#include <string.h>

static struct dray_place mark_place(const struct dray_builder *builder, const yaml_mark_t *mark,
                                    size_t offset, size_t end)
{
    return (struct dray_place){
        .source = builder->source.number,
        .line = (uint32_t)mark->line + 1,
        .column = (uint32_t)mark->column + 1,
        .width = dray_source_width(&builder->source, offset, end),
    };
}

struct dray_place dray_build_event_place(const struct dray_builder *builder,
                                         const yaml_event_t *event)
{
    return mark_place(builder, &event->start_mark,
                      dray_source_offset(&builder->source, event->start_mark.index),
                      dray_source_offset(&builder->source, event->end_mark.index));
}

static int is_anchor_character(char character)
{
    return (character >= '0' && character <= '9') || (character >= 'a' && character <= 'z') ||
           (character >= 'A' && character <= 'Z') || character == '_' || character == '-';
}

/* Past an anchor, a tag, a comment, blanks or one line break; 0 when none of these is there. */
static size_t property_length(const char *text, size_t offset, size_t end)
{
    size_t at = offset;
    switch (text[offset]) {
    case '&':
        do
            at++;
        while (at < end && is_anchor_character(text[at]));
        break;
    case '!':
        while (at < end && !dray_is_blank(text[at]) && !dray_is_break(text[at]))
            at++;
        break;
    case '#':
        while (at < end && !dray_is_break(text[at]))
            at++;
        break;
    default:
        while (at < end && dray_is_blank(text[at]))
            at++;
        if (at == offset)
            at += dray_break_length(text, end, at);
        break;
    }
    return at - offset;
}

/* Past `&anchor` and `!tag` to the value itself, which may be lines below. */
static size_t skip_properties(const struct dray_builder *builder, size_t offset, size_t end,
                              yaml_mark_t *mark)
{
    const char *text = builder->source.text;
    size_t length;
    for (; offset < end && (length = property_length(text, offset, end)) > 0; offset += length) {
        if (dray_is_break(text[offset])) {
            mark->line++;
            mark->column = 0;
            continue;
        }
        for (size_t i = 0; i < length; i++)
            mark->column += ((unsigned char)text[offset + i] & 0xc0) != 0x80;
    }
    return offset;
}

size_t dray_build_start(const struct dray_builder *builder, const yaml_event_t *event, size_t end,
                        struct dray_place *ret_place)
{
    yaml_mark_t mark = event->start_mark;
    size_t start = dray_source_offset(&builder->source, mark.index);
    start = skip_properties(builder, start, end, &mark);
    *ret_place = mark_place(builder, &mark, start, start + 1);
    return start;
}

enum dray_outcome dray_build_count(struct dray_builder *builder, const yaml_event_t *event,
                                   size_t nodes, size_t bytes)
{
    builder->nodes += nodes;
    builder->bytes += bytes;
    if (builder->nodes > DRAY_YAML_MAX_NODES) {
        dray_diagnose(builder->diagnostics, dray_build_event_place(builder, event),
                      DRAY_SEVERITY_ERROR,
                      "here the file has more than %d values, counting what aliases stand for",
                      DRAY_YAML_MAX_NODES);
        return DRAY_STOPPED;
    }
    if (builder->bytes > DRAY_YAML_MAX_TEXT) {
        dray_diagnose(builder->diagnostics, dray_build_event_place(builder, event),
                      DRAY_SEVERITY_ERROR,
                      "here the file has more than %u MiB of text, counting what aliases stand for",
                      DRAY_YAML_MAX_TEXT >> 20);
        return DRAY_STOPPED;
    }
    return DRAY_GO_ON;
}

enum dray_outcome dray_build_check_depth(const struct dray_builder *builder,
                                         const yaml_event_t *event, size_t height)
{
    if (builder->depth + height <= DRAY_YAML_MAX_DEPTH)
        return DRAY_GO_ON;
    dray_diagnose(builder->diagnostics, dray_build_event_place(builder, event), DRAY_SEVERITY_ERROR,
                  "lists and mappings are nested more than %d deep here", DRAY_YAML_MAX_DEPTH);
    return DRAY_STOPPED;
}

/* Is the node that comes next a mapping's key? */
int dray_build_at_key(const struct dray_builder *builder)
{
    if (builder->depth == 0)
        return 0;
    const struct dray_frame *frame = &builder->frames[builder->depth - 1];
    return frame->node->kind == DRAY_NODE_MAPPING && (builder->count - frame->first) % 2 == 0;
}

struct dray_node *dray_build_node(struct dray_builder *builder, enum dray_node_kind kind)
{
    struct dray_node *node =
        dray_arena_alloc(builder->arena, sizeof(*node), _Alignof(struct dray_node));
    if (node) {
        memset(node, 0, sizeof(*node));
        node->kind = kind;
    }
    return node;
}

/* Hand a finished node to the collection it is in. */
enum dray_outcome dray_build_add(struct dray_builder *builder, const struct dray_node *node,
                                 size_t height)
{
    if (builder->depth == 0) {
        builder->root = node;
        return DRAY_GO_ON;
    }
    struct dray_frame *frame = &builder->frames[builder->depth - 1];
    if (frame->height < height)
        frame->height = height;
    if (DRAY_GROW(builder->stack, builder->count, builder->capacity))
        return DRAY_OUT_OF_MEMORY;
    builder->stack[builder->count++] = node;
    return DRAY_GO_ON;
}

enum dray_outcome dray_build_open_anchor(struct dray_builder *builder, const yaml_event_t *event,
                                         const yaml_char_t *name, size_t *ret_anchor)
{
    size_t index = 0;
    *ret_anchor = 0;
    if (!name)
        return DRAY_GO_ON;
    const char *text = (const char *)name;
    while (index < builder->anchor_count && strcmp(builder->anchors[index].name, text) != 0)
        index++;
    if (index == DRAY_YAML_MAX_ANCHORS) {
        dray_diagnose(builder->diagnostics, dray_build_event_place(builder, event),
                      DRAY_SEVERITY_ERROR, "the file has more than %d anchors",
                      DRAY_YAML_MAX_ANCHORS);
        return DRAY_STOPPED;
    }
    char *copy = dray_arena_text(builder->arena, text, strlen(text));
    if (!copy)
        return DRAY_OUT_OF_MEMORY;
    /* A name may be anchored anew: aliases below then mean the later node. */
    builder->anchors[index] = (struct dray_anchor){.name = copy};
    if (index == builder->anchor_count)
        builder->anchor_count++;
    *ret_anchor = index + 1;
    return DRAY_GO_ON;
}

void dray_build_close_anchor(struct dray_builder *builder, size_t anchor,
                             const struct dray_anchor *named)
{
    if (anchor == 0)
        return;
    const char *name = builder->anchors[anchor - 1].name;
    builder->anchors[anchor - 1] = *named;
    builder->anchors[anchor - 1].name = name;
}

enum dray_outcome dray_build_open(struct dray_builder *builder, const yaml_event_t *event)
{
    int is_list = event->type == YAML_SEQUENCE_START_EVENT;
    const yaml_char_t *name =
        is_list ? event->data.sequence_start.anchor : event->data.mapping_start.anchor;
    const yaml_char_t *tag =
        is_list ? event->data.sequence_start.tag : event->data.mapping_start.tag;
    enum dray_outcome outcome = dray_build_check_depth(builder, event, 1);
    if (outcome == DRAY_GO_ON)
        outcome = dray_build_count(builder, event, 1, 0);
    if (outcome != DRAY_GO_ON)
        return outcome;
    struct dray_node *node =
        dray_build_node(builder, is_list ? DRAY_NODE_SEQUENCE : DRAY_NODE_MAPPING);
    if (!node)
        return DRAY_OUT_OF_MEMORY;
    dray_build_collection_tag(builder, event, tag, is_list ? "seq" : "map");
    (void)dray_build_start(builder, event, tag || name ? builder->source.length : 0, &node->place);
    struct dray_frame frame = {
        .node = node,
        .first = builder->count,
        .nodes_before = builder->nodes - 1,
        .bytes_before = builder->bytes,
        .flow = is_list ? event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE
                        : event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE,
        .key = dray_build_at_key(builder),
    };
    if (frame.key)
        dray_diagnose(builder->diagnostics, node->place, DRAY_SEVERITY_ERROR,
                      "a key must be a string, not %s", dray_node_what(node));
    outcome = dray_build_open_anchor(builder, event, name, &frame.anchor);
    builder->frames[builder->depth++] = frame;
    return outcome;
}

static int compare_keys(const void *left, const void *right)
{
    const struct dray_node *a = ((const struct dray_pair *)left)->key;
    const struct dray_node *b = ((const struct dray_pair *)right)->key;
    size_t shorter = a->length < b->length ? a->length : b->length;
    int order = memcmp(a->text, b->text, shorter);
    if (order == 0)
        order = (a->length > b->length) - (a->length < b->length);
    if (order == 0)
        order = (a->place.line > b->place.line) - (a->place.line < b->place.line);
    if (order == 0)
        order = (a->place.column > b->place.column) - (a->place.column < b->place.column);
    return order;
}

static int compare_pair_places(const void *left, const void *right)
{
    const struct dray_place *a = &((const struct dray_pair *)left)->key->place;
    const struct dray_place *b = &((const struct dray_pair *)right)->key->place;
    int order = (a->line > b->line) - (a->line < b->line);
    return order ? order : (a->column > b->column) - (a->column < b->column);
}

/* Diagnose keys that are there twice and drop their pairs. Sorting finds them: a mapping may have
 * very many. */
static size_t drop_duplicates(const struct dray_builder *builder, struct dray_pair *pairs,
                              size_t count)
{
    if (count < 2)
        return count;
    qsort(pairs, count, sizeof(*pairs), compare_keys);
    size_t kept = 1;
    for (size_t i = 1; i < count; i++) {
        const struct dray_node *first = pairs[kept - 1].key;
        const struct dray_node *key = pairs[i].key;
        if (first->length == key->length && memcmp(first->text, key->text, key->length) == 0) {
            dray_diagnose(builder->diagnostics, key->place, DRAY_SEVERITY_ERROR,
                          "the key \"%.*s\" is given twice, first on line %u",
                          dray_clip(key->text, key->length, 60), key->text, first->place.line);
        } else {
            pairs[kept++] = pairs[i];
        }
    }
    qsort(pairs, kept, sizeof(*pairs), compare_pair_places);
    return kept;
}

static int set_pairs(struct dray_builder *builder, const struct dray_frame *frame)
{
    size_t count = (builder->count - frame->first) / 2;
    struct dray_node *node = frame->node;
    if (count == 0)
        return 0;
    const struct dray_node *const *children = builder->stack + frame->first;
    struct dray_pair *pairs =
        dray_arena_alloc(builder->arena, count * sizeof(*pairs), _Alignof(struct dray_pair));
    if (!pairs)
        return -1;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (children[2 * i])
            pairs[kept++] = (struct dray_pair){children[2 * i], children[2 * i + 1]};
    }
    node->incomplete = kept < count;
    if (!frame->flow && kept)
        node->place.width =
            pairs[0].key->place.line == node->place.line ? pairs[0].key->place.width : 1;
    node->pairs = pairs;
    node->count = drop_duplicates(builder, pairs, kept);
    return 0;
}

static int set_items(struct dray_builder *builder, const struct dray_frame *frame)
{
    size_t count = builder->count - frame->first;
    if (count == 0)
        return 0;
    const struct dray_node **items =
        dray_arena_alloc(builder->arena, count * sizeof(*items), _Alignof(struct dray_node *));
    if (!items)
        return -1;
    memcpy(items, builder->stack + frame->first, count * sizeof(*items));
    frame->node->items = items;
    frame->node->count = count;
    return 0;
}

/* A collection in brackets on one line. */
static void set_written(const struct dray_builder *builder, const yaml_event_t *event,
                        struct dray_node *node)
{
    size_t width = event->end_mark.column + 1 - node->place.column;
    size_t start = dray_source_offset(&builder->source, event->end_mark.index - width);

    node->place.width = (uint32_t)width;
    node->raw = builder->source.text + start;
    node->raw_length = dray_source_offset(&builder->source, event->end_mark.index) - start;
}

enum dray_outcome dray_build_close(struct dray_builder *builder, const yaml_event_t *event)
{
    struct dray_frame *frame = &builder->frames[--builder->depth];
    struct dray_node *node = frame->node;
    int failed =
        node->kind == DRAY_NODE_MAPPING ? set_pairs(builder, frame) : set_items(builder, frame);
    if (failed)
        return DRAY_OUT_OF_MEMORY;
    if (frame->flow && event->end_mark.line + 1 == node->place.line &&
        event->end_mark.column + 1 > node->place.column)
        set_written(builder, event, node);
    builder->count = frame->first;
    dray_build_close_anchor(builder, frame->anchor,
                            &(struct dray_anchor){
                                .node = node,
                                .nodes = builder->nodes - frame->nodes_before,
                                .bytes = builder->bytes - frame->bytes_before,
                                .height = frame->height + 1,
                            });
    return dray_build_add(builder, frame->key ? NULL : node, frame->height + 1);
}
