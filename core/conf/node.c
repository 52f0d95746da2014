/* SPDX-License-Identifier: MIT */
/* node.c - asking a document's nodes: keys, values of the core schema, places within a scalar. */
#include "core/conf/node.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/base/text.h"
#include "core/conf/schema.h"
#include "core/conf/source.h"

const struct dray_pair *dray_node_pair(const struct dray_node *node, const char *key)
{
    size_t length = strlen(key);
    if (!node || node->kind != DRAY_NODE_MAPPING)
        return NULL;
    for (size_t i = 0; i < node->count; i++) {
        const struct dray_node *name = node->pairs[i].key;
        if (name->length == length && memcmp(name->text, key, length) == 0)
            return &node->pairs[i];
    }
    return NULL;
}

const struct dray_node *dray_node_get(const struct dray_node *node, const char *key)
{
    const struct dray_pair *pair = dray_node_pair(node, key);
    return pair ? pair->value : NULL;
}

static int is_plain(const struct dray_node *node)
{
    return node && node->kind == DRAY_NODE_SCALAR && node->style == DRAY_STYLE_PLAIN;
}

int dray_node_is_null(const struct dray_node *node)
{
    return node && node->kind == DRAY_NODE_NULL;
}

int dray_node_bool(const struct dray_node *node, int *ret_value)
{
    return is_plain(node) && dray_schema_bool(node->text, ret_value);
}

int dray_node_int(const struct dray_node *node, int64_t *ret_value)
{
    return is_plain(node) && dray_schema_int(node->text, ret_value) == 1;
}

const char *dray_node_what(const struct dray_node *node)
{
    int truth;
    int64_t number;
    if (!node)
        return "nothing";
    switch (node->kind) {
    case DRAY_NODE_NULL:
        return "nothing";
    case DRAY_NODE_SEQUENCE:
        return "a list";
    case DRAY_NODE_MAPPING:
        return "a mapping";
    case DRAY_NODE_SCALAR:
        break;
    }
    if (node->style != DRAY_STYLE_PLAIN)
        return "a string";
    if (dray_schema_bool(node->text, &truth))
        return "true/false";
    if (dray_schema_int(node->text, &number) || dray_schema_is_float(node->text))
        return "a number";
    return "a string";
}

const char *dray_node_shown(const struct dray_node *node)
{
    return is_plain(node) ? node->text : dray_node_what(node);
}

/* Control characters, what ends a line in YAML, byte order marks and what is no character. */
static int is_escaped(uint32_t character)
{
    return character < 0x20 || (character >= 0x7f && character < 0xa0) || character == 0x2028 ||
           character == 0x2029 || character == 0xfeff || (character & 0xfffe) == 0xfffe;
}

void dray_quote_add(struct dray_buffer *out, const char *text)
{
    dray_buffer_text(out, "\"");
    for (size_t i = 0, length = strlen(text); i < length;) {
        size_t bytes = dray_utf8_length(text + i, length - i);
        uint32_t character = (unsigned char)text[i];
        if (bytes > 1)
            character &= 0xffu >> (bytes + 1);
        for (size_t k = 1; k < bytes; k++)
            character = character << 6 | ((unsigned char)text[i + k] & 0x3fu);
        if (bytes == 0)
            bytes = 1; /* it was not UTF-8 */
        if (character == '"' || character == '\\')
            dray_buffer_format(out, "\\%c", (int)character);
        else if (is_escaped(character))
            dray_buffer_format(out, character < 0x100 ? "\\x%02X" : "\\U%08X", character);
        else
            dray_buffer_add(out, text + i, bytes);
        i += bytes;
    }
    dray_buffer_text(out, "\"");
}

const char *dray_node_old_bool(const struct dray_node *node)
{
    static const char *const words[] = {"no", "yes", "off", "on", "n", "y"};
    for (size_t i = 0; is_plain(node) && i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(node->text, words[i]) == 0)
            return i % 2 ? "true" : "false";
    }
    return NULL;
}

/* "known keys: version, name, steps", where that is short enough to stand behind a caret. */
static void hint_keys(const char *const *keys, size_t count, struct dray_diagnostics *diagnostics)
{
    struct dray_buffer list = {.cap = 100};
    for (size_t i = 0; i < count; i++)
        dray_buffer_format(&list, "%s%s", i ? ", " : "", keys[i]);
    if (!list.failed && list.length)
        dray_diagnose_hint(diagnostics, "known keys: %s", list.data);
    dray_buffer_free(&list);
}

static int is_one_of(const char *word, const char *const *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(keys[i], word) == 0)
            return 1;
    }
    return 0;
}

int dray_node_meant(const struct dray_node *node, const char *key, const char *const *keys,
                    size_t count)
{
    if (!node || node->kind != DRAY_NODE_MAPPING)
        return 0;
    for (size_t i = 0; i < node->count; i++) {
        const char *word = node->pairs[i].key->text;
        const char *nearest = is_one_of(word, keys, count) ? NULL : dray_nearest(word, keys, count);
        if (nearest && strcmp(nearest, key) == 0)
            return 1;
    }
    return node->incomplete;
}

void dray_node_known_keys(const struct dray_node *node, const char *what, const char *const *keys,
                          size_t count, struct dray_diagnostics *diagnostics)
{
    if (!node || node->kind != DRAY_NODE_MAPPING)
        return;
    for (size_t i = 0; i < node->count; i++) {
        const struct dray_node *key = node->pairs[i].key;
        if (is_one_of(key->text, keys, count))
            continue;
        dray_diagnose(diagnostics, key->place, DRAY_SEVERITY_ERROR, "unknown key \"%.*s\" in %s",
                      dray_clip(key->text, key->length, 60), key->text, what);
        hint_keys(keys, count, diagnostics);
        dray_diagnose_nearest(diagnostics, key->text, keys, count);
    }
}
