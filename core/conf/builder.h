/* SPDX-License-Identifier: MIT */
/*
 * builder.h - nodes from the events of libyaml's parser. Limits are checked as the events come, so
 * that no text makes us build more than they allow; an alias counts as much as what it stands for.
 * Used within core/conf only.
 */
#ifndef DRAY_CONF_BUILDER_H
#define DRAY_CONF_BUILDER_H

#include <yaml.h>

#include "core/conf/node.h"
#include "core/conf/source.h"
#include "core/conf/syntax.h"

struct dray_anchor {
    const char *name;
    const struct dray_node *node; /* NULL: still being read */
    size_t nodes, bytes, height;  /* of its subtree, aliases counted in full */
};

/* A sequence or mapping being read. */
struct dray_frame {
    struct dray_node *node;
    size_t first; /* of its children on the builder's stack */
    size_t nodes_before, bytes_before;
    size_t height; /* of its highest child */
    size_t anchor; /* index + 1; 0: none */
    int flow;
    int key; /* a complex key, diagnosed already */
};

struct dray_builder {
    struct dray_arena *arena; /* of the document */
    struct dray_source source;
    struct dray_diagnostics *diagnostics;
    struct dray_frame frames[DRAY_YAML_MAX_DEPTH];
    size_t depth;
    const struct dray_node *
        *stack; /* children of all frames; NULL: one that was refused as a key */
    size_t count, capacity;
    struct dray_anchor anchors[DRAY_YAML_MAX_ANCHORS];
    size_t anchor_count;
    size_t nodes, bytes;
    struct dray_span quoted; /* the quoted scalar read last */
    size_t documents;
    const struct dray_node *root;
};

/* What handling an event comes to; STOPPED: diagnosed, no sense in reading on. */
enum dray_outcome { DRAY_GO_ON, DRAY_STOPPED, DRAY_OUT_OF_MEMORY };

/* builder.c: collections, anchors, limits. */
enum dray_outcome dray_build_open(struct dray_builder *builder, const yaml_event_t *event);
enum dray_outcome dray_build_close(struct dray_builder *builder, const yaml_event_t *event);
struct dray_place dray_build_event_place(const struct dray_builder *builder,
                                         const yaml_event_t *event);
/* Where the node of an event begins behind its `&anchor` and `!tag`, looked for up to `end`;
 * *ret_place is one wide. */
size_t dray_build_start(const struct dray_builder *builder, const yaml_event_t *event, size_t end,
                        struct dray_place *ret_place);
/* A zeroed node, NULL when memory is out. */
struct dray_node *dray_build_node(struct dray_builder *builder, enum dray_node_kind kind);
/* Hand a finished node to the collection it is in. NULL: a key that was refused. */
enum dray_outcome dray_build_add(struct dray_builder *builder, const struct dray_node *node,
                                 size_t height);
enum dray_outcome dray_build_count(struct dray_builder *builder, const yaml_event_t *event,
                                   size_t nodes, size_t bytes);
enum dray_outcome dray_build_check_depth(const struct dray_builder *builder,
                                         const yaml_event_t *event, size_t height);
/* Reserve an anchor (*ret_anchor: its index + 1, 0 without a name), and give it its node. */
enum dray_outcome dray_build_open_anchor(struct dray_builder *builder, const yaml_event_t *event,
                                         const yaml_char_t *name, size_t *ret_anchor);
void dray_build_close_anchor(struct dray_builder *builder, size_t anchor,
                             const struct dray_anchor *named);
/* Is the node that comes next a mapping's key? */
int dray_build_at_key(const struct dray_builder *builder);

/* builder_scalar.c: scalars, aliases, tags. */
enum dray_outcome dray_build_scalar(struct dray_builder *builder, const yaml_event_t *event);
enum dray_outcome dray_build_alias(struct dray_builder *builder, const yaml_event_t *event);
void dray_build_collection_tag(const struct dray_builder *builder, const yaml_event_t *event,
                               const yaml_char_t *tag, const char *expected);

#endif
