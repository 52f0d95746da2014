/* SPDX-License-Identifier: MIT */
/*
 * fuzz_yaml.c - any bytes at all as a file that a stranger wrote. Beside memory errors, it looks
 * for promises that are broken: limits, places inside the file, keys that are unique, nothing on
 * the terminal that does not print.
 */
#include <assert.h>
#include <string.h>

#include "core/base/text.h"
#include "core/conf/node.h"
#include "core/conf/source.h"

/* Below this, each byte of each scalar is traced back to the file. */
enum { TRACED_BYTES = 2048 };

struct walk {
    const char *text;
    size_t length;
    size_t nodes;
    int trace;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t offset_of(const struct walk *walk, struct dray_place place)
{
    size_t at = 0;
    uint32_t line = 1;
    while (at < walk->length && line < place.line) {
        size_t bytes = dray_break_length(walk->text, walk->length, at);
        line += bytes > 0;
        at += bytes ? bytes : 1;
    }
    for (uint32_t column = 1; at < walk->length && column < place.column; column++) {
        assert(!dray_is_break(walk->text[at]));
        at += dray_utf8_length(walk->text + at, walk->length - at);
    }
    return at;
}

static int is_letter(char character)
{
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z');
}

static void check_scalar(const struct walk *walk, const struct dray_node *node)
{
    int truth;
    int64_t number;
    assert(node->text[node->length] == '\0' && strlen(node->text) == node->length);
    assert(dray_utf8_valid(node->text, node->length));
    (void)dray_node_bool(node, &truth);
    (void)dray_node_int(node, &number);
    (void)dray_node_place_at(node, node->length);
    if (!walk->trace || !node->raw || node->raw_length == 0)
        return;
    size_t start = offset_of(walk, node->place);
    assert(memcmp(walk->text + start, node->raw, node->raw_length) == 0);
    int is_block = node->raw[0] == '>' || node->raw[0] == '|';
    for (size_t i = 0; i < node->length; i++) {
        size_t at = offset_of(walk, dray_node_place_at(node, i));
        if (is_block && at == start)
            continue; /* its header, where the lines do not tell */
        assert(at >= start && at < start + node->raw_length);
        assert(!is_letter(node->text[i]) || walk->text[at] == node->text[i] ||
               walk->text[at] == '\\');
    }
}

static void check_node(struct walk *walk, const struct dray_node *node, size_t depth)
{
    assert(depth <= DRAY_YAML_MAX_DEPTH);
    assert(++walk->nodes <= DRAY_YAML_MAX_NODES);
    assert(node->place.line > 0 && node->place.column > 0 && node->place.width > 0);
    assert(dray_node_what(node)[0] != '\0');
    if (walk->trace)
        assert(offset_of(walk, node->place) <= walk->length);
    if (node->kind == DRAY_NODE_SCALAR)
        check_scalar(walk, node);
    else if (walk->trace && node->raw)
        assert(memcmp(walk->text + offset_of(walk, node->place), node->raw, node->raw_length) == 0);
    for (size_t i = 0; node->kind == DRAY_NODE_SEQUENCE && i < node->count; i++)
        check_node(walk, node->items[i], depth + 1);
    for (size_t i = 0; node->kind == DRAY_NODE_MAPPING && i < node->count; i++) {
        assert(node->pairs[i].key->kind == DRAY_NODE_SCALAR);
        if (walk->trace)
            assert(dray_node_get(node, node->pairs[i].key->text) == node->pairs[i].value);
        check_node(walk, node->pairs[i].key, depth + 1);
        check_node(walk, node->pairs[i].value, depth + 1);
    }
}

static void check_output(const struct dray_buffer *out)
{
    assert(!out->failed);
    for (size_t at = 0; at < out->length;) {
        size_t bytes = dray_utf8_length(out->data + at, out->length - at);
        assert(bytes > 0);
        uint32_t character = dray_character_at(out->data + at, bytes);
        assert(character == '\n' || character == '\t' || dray_character_prints(character));
        at += bytes;
    }
}

static void check_diagnostics(struct dray_diagnostics *diagnostics)
{
    struct dray_buffer out = {.cap = (size_t)16 << 20};
    struct dray_error error = {0};
    dray_diagnostics_sort(diagnostics);
    dray_diagnostics_print(diagnostics, 0, &out);
    check_output(&out);
    dray_buffer_free(&out);
    json_t *json = dray_diagnostics_json(diagnostics);
    assert(json && json_array_size(json) == diagnostics->count);
    json_decref(json);
    int result = dray_diagnostics_error(diagnostics, &error);
    assert((result == DRAY_INVALID) == (diagnostics->errors > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {"version", "name", "dataset", "steps"};
    struct dray_diagnostics diagnostics = {0};
    struct dray_document *document = NULL;
    struct dray_error error = {0};
    assert(dray_document_parse("fuzz.yaml", (const char *)data, size, &diagnostics, &document,
                               &error) == 0);
    const struct dray_node *root = dray_document_root(document);
    assert(root || diagnostics.errors > 0);
    struct walk walk = {.trace = size <= TRACED_BYTES};
    walk.text = dray_document_text(document, &walk.length);
    assert(walk.length == size && memcmp(walk.text, data, size) == 0);
    if (size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) {
        walk.text += 3;
        walk.length -= 3;
    }
    if (root)
        check_node(&walk, root, 0);
    dray_node_known_keys(root, "a workflow", keys, sizeof(keys) / sizeof(keys[0]), &diagnostics);
    check_diagnostics(&diagnostics);
    dray_document_free(document);
    dray_diagnostics_free(&diagnostics);
    return 0;
}
