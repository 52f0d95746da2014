/* SPDX-License-Identifier: MIT */
/*
 * core/conf - files that people write: YAML to nodes that remember where they stand, and
 * diagnostics that teach. It knows nothing of plugins, workflows or policies.
 *
 * node.h - a YAML 1.2 document (core schema) as a tree of nodes, read with libyaml under limits:
 * the text is from strangers.
 */
#ifndef DRAY_CONF_NODE_H
#define DRAY_CONF_NODE_H

#include <stdint.h>

#include "core/base/error.h"
#include "core/conf/diagnostic.h"

enum dray_node_kind { DRAY_NODE_NULL, DRAY_NODE_SCALAR, DRAY_NODE_SEQUENCE, DRAY_NODE_MAPPING };
enum dray_node_style { DRAY_STYLE_PLAIN, DRAY_STYLE_SINGLE, DRAY_STYLE_DOUBLE, DRAY_STYLE_BLOCK };

struct dray_node;
struct dray_pair {
    const struct dray_node *key; /* always a scalar */
    const struct dray_node *value;
};

/* Nodes belong to their document. An alias is the anchored node itself, at the anchor's place. */
struct dray_node {
    enum dray_node_kind kind;
    enum dray_node_style style; /* of a scalar */
    struct dray_place place;    /* first character of the node (a quoted scalar: the quote) */
    const char *text;           /* scalar: the value, ends with NUL and holds none */
    size_t length;              /* scalar: bytes of text */
    size_t count;               /* sequence: items; mapping: pairs */
    const struct dray_node *const *items;
    const struct dray_pair *pairs; /* in the file's order, keys unique */
    const char *raw;               /* as written; NULL: unknown, and of what is not in brackets */
    size_t raw_length;
    int incomplete; /* mapping: keys were refused, so one that is missing may be there */
};

/* Limits on a document; all are errors with a place. */
#define DRAY_YAML_MAX_BYTES   (4u << 20)
#define DRAY_YAML_MAX_DEPTH   64
#define DRAY_YAML_MAX_NODES   200000 /* after alias expansion, so that aliases cannot multiply */
#define DRAY_YAML_MAX_SCALAR  (1u << 20)  /* bytes of one scalar */
#define DRAY_YAML_MAX_TEXT    (16u << 20) /* bytes of all scalars, after alias expansion */
#define DRAY_YAML_MAX_ANCHORS 256

struct dray_document; /* owns its text, source and nodes */

/* Parse text. `name` is what diagnostics call it. Problems (syntax, limits, foreign tags, duplicate
 * or complex keys, several documents, invalid UTF-8; the hint for unquoted patterns such as [*.nc],
 * [!x], *x) go to `diagnostics` with their place. *ret_document is always set when 0 is returned;
 * its root is NULL when it could not be read at all. Returns 0, or a class when memory is out. The
 * source registered in diagnostics stays valid as long as both live. */
DRAY_MUST_CHECK int dray_document_parse(const char *name, const char *text, size_t length,
                                        struct dray_diagnostics *diagnostics,
                                        struct dray_document **ret_document,
                                        struct dray_error *error);
/* The same from a file; one that cannot be read, or is larger than DRAY_YAML_MAX_BYTES, is an
 * error, not a diagnostic. */
DRAY_MUST_CHECK int dray_document_load(const char *path, struct dray_diagnostics *diagnostics,
                                       struct dray_document **ret_document,
                                       struct dray_error *error);
void dray_document_free(struct dray_document *document);
void dray_document_freep(struct dray_document **document);
const struct dray_node *dray_document_root(const struct dray_document *document);
/* The text as it was read, for digests and for keeping with a job. */
const char *dray_document_text(const struct dray_document *document, size_t *ret_length);

/* The value of a key, or NULL (also when node is NULL or no mapping). */
const struct dray_node *dray_node_get(const struct dray_node *node, const char *key);
const struct dray_pair *dray_node_pair(const struct dray_node *node, const char *key);
/* Plain scalars of the core schema: 1 and *ret set, or 0 when the node is something else. A quoted
 * scalar is a string. */
int dray_node_is_null(const struct dray_node *node);
int dray_node_bool(const struct dray_node *node, int *ret_value);
int dray_node_int(const struct dray_node *node, int64_t *ret_value);
/* "a list", "a mapping", "a number", "a string", "true/false", "nothing": for messages. */
const char *dray_node_what(const struct dray_node *node);
/* The same for a message that says which value it was instead: plain scalars as they are written.
 */
const char *dray_node_shown(const struct dray_node *node);
/* UTF-8 text as a scalar in double quotes that is read as the same text again, on one line: what
 * YAML does not take, or takes for the end of a line, is an escape. */
void dray_quote_add(struct dray_buffer *out, const char *text);
/* What a word meant before YAML 1.2 (yes, off, ...): "true", "false"; NULL: nothing. */
const char *dray_node_old_bool(const struct dray_node *node);
/* The place of byte `offset` of a scalar's value, as well as its style lets it be known. */
struct dray_place dray_node_place_at(const struct dray_node *node, size_t offset);

/* Report every key of a mapping that is not in `keys`, with a suggestion: "unknown key "stpes"",
 * `what` says where ("a workflow", "step pick"). */
void dray_node_known_keys(const struct dray_node *node, const char *what, const char *const *keys,
                          size_t count, struct dray_diagnostics *diagnostics);
/* Was that key, which is missing, meant by one that is not known, or lost with one that was
 * refused? Then a problem is reported already. */
int dray_node_meant(const struct dray_node *node, const char *key, const char *const *keys,
                    size_t count);

#endif
