/* SPDX-License-Identifier: MIT */
/*
 * recipe_cut.c - a recipe out of a workflow: its filters and transforms in their own words, without
 * `needs`. What is cut is found by the places of nodes; whether it was cut right is not taken on
 * trust but seen by reading the result (dray_recipe_is_cut).
 */
#include "core/plan/draft.h"

#include <string.h>

/* ---- which steps */

static int is_taken(const struct dray_draft_step *step)
{
    return step->node && !step->use &&
           (step->role == DRAY_STEP_FILTER || step->role == DRAY_STEP_TRANSFORM);
}

static const struct dray_node *steps_of(const struct dray_document *document)
{
    return dray_node_get(dray_document_root(document), "steps");
}

static void check_chain(struct dray_draft *draft)
{
    size_t last = SIZE_MAX;

    for (size_t i = 0; i < draft->step_count; i++) {
        const struct dray_draft_step *step = &draft->steps[i];
        if (step->use && dray_step_written(draft, i)) {
            dray_problem(draft, step->use->uses_place,
                         "\"%s\" is a recipe itself, and a recipe uses no other", step->use->id);
            dray_diagnose_hint(draft->diagnostics, "write its steps here: dray recipe show %s",
                               step->use->recipe->label);
        }
        if (!is_taken(step))
            continue;
        if (last != SIZE_MAX && (step->needs_count != 1 || step->needs[0] != last)) {
            dray_problem(draft, step->place, "\"%s\" does not take the tree of \"%s\" alone",
                         step->id, draft->steps[last].id);
            dray_diagnose_hint(draft->diagnostics,
                               "a recipe's steps form a chain, in the order of the file");
        }
        last = i;
    }
    if (last == SIZE_MAX && draft->diagnostics->errors == draft->errors_before) {
        dray_problem(draft, steps_of(draft->document)->place,
                     "the workflow has no filter or transform that a recipe could hold");
        dray_diagnose_hint(draft->diagnostics, "only these become a recipe");
    }
}

/* ---- which parameters */

static int text_uses(const char *text, const char *reference)
{
    for (const char *at = text; (at = strstr(at, reference)) != NULL; at++)
        if (at == text || at[-1] != '$')
            return 1;
    return 0;
}

static int node_uses(const struct dray_node *node, const char *reference)
{
    if (node->kind == DRAY_NODE_SCALAR)
        return text_uses(node->text, reference);
    for (size_t i = 0; node->kind == DRAY_NODE_SEQUENCE && i < node->count; i++)
        if (node_uses(node->items[i], reference))
            return 1;
    for (size_t i = 0; node->kind == DRAY_NODE_MAPPING && i < node->count; i++)
        if (node_uses(node->pairs[i].value, reference))
            return 1;
    return 0;
}

static int is_used(const struct dray_draft *draft, const char *reference)
{
    for (size_t i = 0; i < draft->step_count; i++)
        if (is_taken(&draft->steps[i]) && node_uses(draft->steps[i].node, reference))
            return 1;
    return 0;
}

/* JSON's strings are YAML's. */
static int add_parameter(const struct dray_parameter *parameter, struct dray_buffer *out)
{
    static const char *const types[] = {"string", "int", "bool"};

    dray_buffer_format(out, "  %s: { type: %s", parameter->name, types[parameter->type]);
    if (parameter->value && parameter->type == DRAY_PARAMETER_STRING) {
        dray_buffer_text(out, ", default: ");
        dray_quote_add(out, parameter->value);
    } else if (parameter->value) {
        dray_buffer_format(out, ", default: %s", parameter->value);
    }
    dray_buffer_text(out, " }\n");
    return 0;
}

static int add_parameters(const struct dray_draft *draft, struct dray_buffer *out)
{
    size_t count = 0;

    for (size_t i = 0; i < draft->parameters.count; i++) {
        const struct dray_parameter *parameter = &draft->parameters.items[i];
        dray_autofree char *reference = dray_format("${%s}", parameter->name);
        if (!reference)
            return -1;
        if (!is_used(draft, reference))
            continue;
        dray_buffer_text(out, count++ ? "" : "parameters:\n");
        if (add_parameter(parameter, out) != 0)
            return -1;
    }
    return 0;
}

/* ---- their text */

struct text {
    const char *bytes;
    size_t length;
};

/* Columns count characters. */
static size_t offset_of(const struct text *text, struct dray_place place)
{
    size_t at = 0;

    for (uint32_t line = 1; line < place.line && at < text->length; line++) {
        const char *end = memchr(text->bytes + at, '\n', text->length - at);
        at = end ? (size_t)(end + 1 - text->bytes) : text->length;
    }
    for (uint32_t column = 1; column < place.column && at < text->length; column++) {
        at++;
        while (at < text->length && ((unsigned char)text->bytes[at] & 0xc0) == 0x80)
            at++;
    }
    return at;
}

static size_t line_start(const struct text *text, size_t at)
{
    while (at > 0 && text->bytes[at - 1] != '\n')
        at--;
    return at;
}

/* Behind a quoted scalar that begins at `at`. */
static size_t quoted_end(const struct text *text, size_t at)
{
    char quote = text->bytes[at++];

    while (at < text->length) {
        int doubled = quote == '\'' && at + 1 < text->length && text->bytes[at + 1] == quote;
        if (text->bytes[at] == quote && !doubled)
            return at + 1;
        at += text->bytes[at] == '\\' && quote == '"' ? 2 : text->bytes[at] == quote ? 2 : 1;
    }
    return text->length;
}

/* Behind a flow collection, { } or [ ], that begins at `at`. */
static size_t flow_end(const struct text *text, size_t at)
{
    size_t depth = 0;

    while (at < text->length) {
        char c = text->bytes[at];
        int begins = at > 0 && strchr(" \t\n,[{:", text->bytes[at - 1]) != NULL;
        if (begins && (c == '"' || c == '\'')) {
            at = quoted_end(text, at);
            continue;
        }
        if (c == '#' && at > 0 && strchr(" \t\n", text->bytes[at - 1])) {
            const char *end = memchr(text->bytes + at, '\n', text->length - at);
            at = end ? (size_t)(end - text->bytes) : text->length;
            continue;
        }
        depth += c == '{' || c == '[' ? 1 : 0;
        depth -= c == '}' || c == ']' ? 1 : 0;
        at++;
        if (depth == 0)
            break;
    }
    return at;
}

/* What lies between is left out: of a mapping the pair `needs`. Nothing: both are `end`. */
static void find_needs(const struct text *text, const struct dray_node *step, size_t end,
                       size_t *ret_from, size_t *ret_to)
{
    int flow = text->bytes[offset_of(text, step->place)] == '{';
    size_t i = 0;

    *ret_from = *ret_to = end;
    while (i < step->count && strcmp(step->pairs[i].key->text, "needs") != 0)
        i++;
    if (i == step->count)
        return;
    *ret_from = offset_of(text, step->pairs[i].key->place);
    if (i + 1 < step->count) {
        *ret_to = offset_of(text, step->pairs[i + 1].key->place);
    } else if (!flow) {
        *ret_from = line_start(text, *ret_from);
    } else {
        *ret_to = flow_end(text, offset_of(text, step->pairs[i].value->place));
        while (*ret_from > 0 && text->bytes[*ret_from] != ',')
            --*ret_from;
    }
}

static void add_cut(const struct text *text, const struct dray_node *step, size_t from, size_t end,
                    struct dray_buffer *out)
{
    size_t gap, behind;

    find_needs(text, step, end, &gap, &behind);
    if (gap < from || behind < gap || behind > end)
        return; /* an alias may stand anywhere; dray_recipe_is_cut then finds it missing */
    dray_buffer_add(out, text->bytes + from, gap - from);
    dray_buffer_add(out, text->bytes + behind, end - behind);
    if (out->length && out->data[out->length - 1] != '\n')
        dray_buffer_text(out, "\n");
}

static int is_remark(const struct text *text, size_t line)
{
    while (line < text->length && (text->bytes[line] == ' ' || text->bytes[line] == '\t'))
        line++;
    return line >= text->length || strchr("#\r\n", text->bytes[line]) != NULL;
}

/* The start of the line `line` or of the highest of the remarks right above it. */
static size_t above_remarks(const struct text *text, size_t line, size_t lowest)
{
    while (line > lowest && is_remark(text, line_start(text, line - 1)))
        line = line_start(text, line - 1);
    return line;
}

/* Where the lines of item `index` of a block sequence begin, remarks above it included; behind the
 * last item, where the sequence ends. */
static size_t item_start(const struct dray_draft *draft, const struct text *text, size_t index)
{
    const struct dray_node *root = dray_document_root(draft->document);
    const struct dray_node *steps = steps_of(draft->document);
    size_t lowest = offset_of(text, dray_node_pair(root, "steps")->key->place);
    const char *end = memchr(text->bytes + lowest, '\n', text->length - lowest);

    lowest = end ? (size_t)(end + 1 - text->bytes) : text->length;
    if (index < steps->count)
        return above_remarks(text, line_start(text, offset_of(text, steps->items[index]->place)),
                             lowest);
    for (size_t i = 0; i + 1 < root->count; i++)
        if (root->pairs[i].value == steps)
            return above_remarks(
                text, line_start(text, offset_of(text, root->pairs[i + 1].key->place)), lowest);
    return text->length;
}

static void add_steps(const struct dray_draft *draft, struct dray_buffer *out)
{
    const struct dray_node *steps = steps_of(draft->document);
    struct text text = {0};

    text.bytes = dray_document_text(draft->document, &text.length);
    int flow = text.bytes[offset_of(&text, steps->place)] == '[';
    dray_buffer_text(out, "steps:\n");
    for (size_t i = 0; i < draft->step_count; i++) {
        const struct dray_draft_step *step = &draft->steps[i];
        size_t index = 0;
        if (!is_taken(step))
            continue;
        while (index < steps->count && steps->items[index] != step->node)
            index++;
        size_t from = offset_of(&text, step->node->place);
        if (flow) {
            dray_buffer_text(out, "  - ");
            add_cut(&text, step->node, from, flow_end(&text, from), out);
        } else {
            add_cut(&text, step->node, item_start(draft, &text, index),
                    item_start(draft, &text, index + 1), out);
        }
    }
}

int dray_recipe_cut(struct dray_draft *draft, const char *name, char **ret_text)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = DRAY_YAML_MAX_BYTES};

    check_chain(draft);
    if (draft->diagnostics->errors > draft->errors_before)
        return 0;
    dray_buffer_format(&out, "version: 1\nrecipe: %s\n", name);
    if (add_parameters(draft, &out) != 0)
        return dray_fail_memory(draft->error);
    add_steps(draft, &out);
    if (out.failed || !out.data)
        return dray_fail_memory(draft->error);
    *ret_text = DRAY_TAKE(out.data);
    return 0;
}

/* ---- was it cut right? */

static int same_nodes(const struct dray_node *a, const struct dray_node *b)
{
    if (a->kind != b->kind || a->count != b->count)
        return 0;
    if (a->kind == DRAY_NODE_SCALAR)
        return strcmp(a->text, b->text) == 0 &&
               (a->style == DRAY_STYLE_PLAIN) == (b->style == DRAY_STYLE_PLAIN);
    for (size_t i = 0; i < a->count; i++) {
        if (a->kind == DRAY_NODE_SEQUENCE ? !same_nodes(a->items[i], b->items[i])
                                          : strcmp(a->pairs[i].key->text, b->pairs[i].key->text) ||
                                                !same_nodes(a->pairs[i].value, b->pairs[i].value))
            return 0;
    }
    return 1;
}

/* All pairs but `needs`. */
static int same_steps(const struct dray_node *whole, const struct dray_node *cut)
{
    size_t at = 0;

    if (cut->kind != DRAY_NODE_MAPPING)
        return 0;
    for (size_t i = 0; i < whole->count; i++) {
        const struct dray_pair *pair = &whole->pairs[i];
        if (strcmp(pair->key->text, "needs") == 0)
            continue;
        if (at == cut->count || strcmp(pair->key->text, cut->pairs[at].key->text) != 0 ||
            !same_nodes(pair->value, cut->pairs[at].value))
            return 0;
        at++;
    }
    return at == cut->count;
}

int dray_recipe_is_cut(const struct dray_draft *draft, const struct dray_document *recipe)
{
    const struct dray_node *steps = steps_of(recipe);
    size_t at = 0;

    if (!steps || steps->kind != DRAY_NODE_SEQUENCE)
        return 0;
    for (size_t i = 0; i < draft->step_count; i++) {
        if (!is_taken(&draft->steps[i]))
            continue;
        if (at == steps->count || !same_steps(draft->steps[i].node, steps->items[at]))
            return 0;
        at++;
    }
    return at == steps->count;
}
