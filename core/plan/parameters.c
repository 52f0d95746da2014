/* SPDX-License-Identifier: MIT */
/* parameters.c - `parameters:`, --set, and ${name}. Nothing else is ever expanded. */
#include "core/plan/draft.h"

#include <string.h>

#include "core/base/text.h"
#include "core/plan/keys.h"

/* A short file must not become a large one. */
#define VALUE_MAX    4096u
#define EXPANDED_MAX (64u << 10)
#define TOTAL_MAX    (16u << 20)

static const char *const type_names[] = {"string", "int", "bool"};
static const char *const type_texts[] = {"a string", "a whole number", "true or false"};

static int is_name(const char *text, size_t length)
{
    if (length == 0 || length > DRAY_ID_MAX)
        return 0;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        int letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || ((c < '0' || c > '9') && c != '-')))
            return 0;
    }
    return 1;
}

/* 010 is eight to some, ten to others, and no number to YAML 1.2. */
static int is_octal(const char *text)
{
    text += *text == '-' || *text == '+';
    return text[0] == '0' && text[1] >= '0' && text[1] <= '9';
}

/* Why text is no value of the parameter; NULL: it is one. */
static const char *refusal(const struct dray_parameter *parameter, const char *text, size_t length)
{
    const char *why = NULL;
    int64_t number;

    if (length > VALUE_MAX)
        return "a value has at most 4096 bytes";
    if (!dray_utf8_valid(text, length))
        return "it is not UTF-8";
    switch (parameter->type) {
    case DRAY_PARAMETER_STRING:
        return NULL;
    case DRAY_PARAMETER_INT:
        if (is_octal(text))
            return "in YAML a number has no leading zeros";
        return dray_int_parse(text, length, &number, &why) == 0 ? NULL : why;
    case DRAY_PARAMETER_BOOL:
        return strcmp(text, "true") == 0 || strcmp(text, "false") == 0 ? NULL
                                                                       : "it is true or false";
    }
    return NULL;
}

static void read_type(struct dray_draft *draft, struct dray_parameter *parameter,
                      const struct dray_node *node)
{
    if (node->kind != DRAY_NODE_SCALAR) {
        dray_problem(draft, node->place, "a parameter's type is a name, not %s",
                     dray_node_what(node));
        return;
    }
    for (size_t i = 0; i < DRAY_COUNT(type_names); i++) {
        if (strcmp(node->text, type_names[i]) == 0) {
            parameter->type = (__typeof__(parameter->type))i;
            return;
        }
    }
    dray_problem(draft, node->place, "there is no type of parameter \"%s\"", node->text);
    dray_diagnose_hint(draft->diagnostics, "string, int or bool");
    dray_diagnose_nearest(draft->diagnostics, node->text, type_names, DRAY_COUNT(type_names));
}

static void read_parameter(struct dray_draft *draft, struct dray_parameter *parameter,
                           const struct dray_pair *pair)
{
    const struct dray_node *node = pair->value;

    parameter->name = pair->key->text;
    parameter->place = pair->key->place;
    if (!is_name(pair->key->text, pair->key->length)) {
        dray_problem(draft, pair->key->place, "\"%s\" cannot be the name of a parameter",
                     pair->key->text);
        dray_diagnose_hint(draft->diagnostics,
                           "letters, digits, `_` and `-`, beginning with a letter");
    }
    if (node->kind != DRAY_NODE_MAPPING) {
        dray_problem(draft, node->place, "parameter \"%s\" is described by a mapping, not %s",
                     parameter->name, dray_node_what(node));
        dray_diagnose_hint(draft->diagnostics, "write { type: string, default: … }");
        return;
    }
    dray_keys_check(node, "a parameter", DRAY_MAPPING_PARAMETER, draft->diagnostics);
    const struct dray_node *type = dray_node_get(node, "type");
    if (type)
        read_type(draft, parameter, type);
    const struct dray_node *value = dray_node_get(node, "default");
    if (!value)
        return;
    if (value->kind != DRAY_NODE_SCALAR) {
        dray_problem(draft, value->place, "the default of parameter \"%s\" is %s, not %s",
                     parameter->name, type_texts[parameter->type], dray_node_what(value));
        return;
    }
    const char *why = refusal(parameter, value->text, value->length);
    if (!why) {
        parameter->value = value->text;
        return;
    }
    dray_problem(draft, value->place, "\"%s\" is no %s for parameter \"%s\": %s", value->text,
                 type_names[parameter->type], parameter->name, why);
    if (parameter->type == DRAY_PARAMETER_BOOL && dray_node_old_bool(value))
        dray_diagnose_hint(draft->diagnostics, "write %s", dray_node_old_bool(value));
}

int dray_parameters_declared(struct dray_draft *draft, const struct dray_node *node,
                             struct dray_parameters *parameters)
{
    if (!node)
        return 0;
    if (node->kind != DRAY_NODE_MAPPING) {
        dray_problem(draft, node->place, "`parameters` is a mapping of names, not %s",
                     dray_node_what(node));
        draft->parameters_lost = 1;
        return 0;
    }
    parameters->items = dray_draft_array(draft, node->count, sizeof(*parameters->items));
    if (!parameters->items)
        return DRAY_NO_MEMORY;
    for (size_t i = 0; i < node->count; i++)
        read_parameter(draft, &parameters->items[i], &node->pairs[i]);
    parameters->count = node->count;
    return 0;
}

static struct dray_parameter *find(const struct dray_parameters *parameters, const char *name,
                                   size_t length)
{
    for (size_t i = 0; i < parameters->count; i++) {
        struct dray_parameter *parameter = &parameters->items[i];
        if (strlen(parameter->name) == length && memcmp(parameter->name, name, length) == 0)
            return parameter;
    }
    return NULL;
}

/* Suggest the nearest parameter for the problem reported last. */
static void suggest(struct dray_draft *draft, const struct dray_parameters *parameters,
                    const char *name)
{
    dray_autofree const char **names = calloc(parameters->count + 1, sizeof(*names));

    if (!names)
        return; /* a suggestion is not worth a failure */
    for (size_t i = 0; i < parameters->count; i++)
        names[i] = parameters->items[i].name;
    dray_diagnose_nearest(draft->diagnostics, name, names, parameters->count);
}

/* The command line is quoted like a file, so that its problems are shown with those of the
 * workflow. */
static struct dray_place quote(struct dray_draft *draft, const char *set, size_t before,
                               size_t width)
{
    struct dray_place place = {.line = 1, .column = (uint32_t)(sizeof("--set ") + before)};
    dray_autofree char *text = dray_format("--set %s", set);

    if (!text) {
        draft->diagnostics->no_memory = 1;
        return place;
    }
    place.source = dray_diagnostics_source(draft->diagnostics, "command line", text, strlen(text));
    place.width = (uint32_t)(width ? width : 1);
    return place;
}

static int apply_set(struct dray_draft *draft, const char *set)
{
    const char *equals = strchr(set, '=');
    size_t length = equals ? (size_t)(equals - set) : strlen(set);

    if (!equals) {
        dray_problem(draft, quote(draft, set, 0, length), "--set takes NAME=VALUE");
        return 0;
    }
    const char *name = dray_draft_copy(draft, set, length);
    if (!name)
        return DRAY_NO_MEMORY;
    struct dray_parameter *parameter = find(&draft->parameters, set, length);
    if (!parameter) {
        dray_problem(draft, quote(draft, set, 0, length), "the workflow has no parameter \"%s\"",
                     name);
        suggest(draft, &draft->parameters, name);
        return 0;
    }
    if (parameter->set) {
        dray_problem(draft, quote(draft, set, 0, length), "parameter \"%s\" is set twice", name);
        return 0;
    }
    const char *why = refusal(parameter, equals + 1, strlen(equals + 1));
    if (why)
        dray_problem(draft, quote(draft, set, length + 1, strlen(equals + 1)),
                     "\"%s\" is no %s for parameter \"%s\": %s", equals + 1,
                     type_names[parameter->type], name, why);
    parameter->value = why ? NULL : equals + 1; /* what takes it is not wrong as well */
    parameter->set = 1;
    return 0;
}

int dray_parameters_read(struct dray_draft *draft, const char *const *sets, size_t set_count)
{
    const struct dray_node *node = dray_node_get(dray_document_root(draft->document), "parameters");
    int result = dray_parameters_declared(draft, node, &draft->parameters);

    for (size_t i = 0; result == 0 && i < set_count; i++)
        result = apply_set(draft, sets[i]);
    for (size_t i = 0; result == 0 && !draft->checking && i < draft->parameters.count; i++) {
        const struct dray_parameter *parameter = &draft->parameters.items[i];
        const struct dray_node *key = node->pairs[i].key;
        const struct dray_node *described = node->pairs[i].value;
        /* what is wrong in another way was said */
        if (parameter->value || parameter->set || dray_node_get(described, "default") ||
            described->kind != DRAY_NODE_MAPPING || !is_name(key->text, key->length))
            continue;
        dray_problem(draft, parameter->place, "parameter \"%s\" has no value", parameter->name);
        dray_diagnose_hint(draft->diagnostics, "give --set %s=VALUE, or a default",
                           parameter->name);
    }
    return result;
}

/* ---- the parameters of a recipe, from the step that uses it */

/* What may be set; nothing when there is a nearest one to suggest. */
static void list_parameters(struct dray_draft *draft, const struct dray_parameters *parameters,
                            const char *name)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer names = {.cap = 1u << 10};

    for (size_t i = 0; i < parameters->count && i < 8; i++)
        dray_buffer_format(&names, i ? ", %s" : "it has %s", parameters->items[i].name);
    if (parameters->count > 8)
        dray_buffer_format(&names, " and %zu more", parameters->count - 8);
    dray_diagnose_hint(draft->diagnostics, "%s", names.data ? names.data : "it has none");
    suggest(draft, parameters, name);
}

static void give(struct dray_draft *draft, const char *recipe, const struct dray_pair *pair,
                 const struct dray_parameters *parameters)
{
    const struct dray_node *node = pair->value;
    struct dray_parameter *parameter = find(parameters, pair->key->text, pair->key->length);

    if (!parameter) {
        dray_problem(draft, pair->key->place, "%s has no parameter \"%s\"", recipe,
                     pair->key->text);
        list_parameters(draft, parameters, pair->key->text);
        return;
    }
    parameter->set = 1;
    parameter->value = NULL;
    if (node->kind != DRAY_NODE_SCALAR) {
        dray_problem(draft, node->place, "parameter \"%s\" of %s takes one value (%s), not %s",
                     parameter->name, recipe, type_names[parameter->type], dray_node_what(node));
        return;
    }
    const char *text = dray_draft_expand(draft, node);
    const char *why = text ? refusal(parameter, text, strlen(text)) : NULL;
    if (why)
        dray_problem(draft, node->place, "\"%s\" is no %s for parameter \"%s\" of %s: %s", text,
                     type_names[parameter->type], parameter->name, recipe, why);
    parameter->value = why ? NULL : text;
}

int dray_parameters_give(struct dray_draft *draft, const char *recipe, const struct dray_node *with,
                         struct dray_place place, const struct dray_parameters *parameters)
{
    if (with && with->kind != DRAY_NODE_MAPPING && with->kind != DRAY_NODE_NULL) {
        dray_problem(draft, with->place, "`with` is a mapping of the parameters of %s, not %s",
                     recipe, dray_node_what(with));
        return draft->error->class_;
    }
    for (size_t i = 0; with && i < with->count; i++)
        give(draft, recipe, &with->pairs[i], parameters);
    for (size_t i = 0; i < parameters->count; i++) {
        const struct dray_parameter *parameter = &parameters->items[i];
        if (parameter->set || parameter->value)
            continue;
        dray_problem(draft, with ? with->place : place, "%s needs a value for its parameter \"%s\"",
                     recipe, parameter->name);
        dray_diagnose_hint(draft->diagnostics, "with: { %s: … }", parameter->name);
    }
    return draft->error->class_;
}

/* The value that `${` at `at` stands for; its end in *ret_end. NULL after a problem. */
static const char *value_at(struct dray_draft *draft, const struct dray_node *scalar, size_t at,
                            size_t *ret_end)
{
    const char *name = scalar->text + at + 2;
    const char *end = memchr(name, '}', scalar->length - at - 2);

    if (!end || !is_name(name, (size_t)(end - name))) {
        dray_problem(draft, dray_node_place_at(scalar, at), "`${` names no parameter");
        dray_diagnose_hint(draft->diagnostics, "write ${NAME}, or $${ for a literal ${");
        return NULL;
    }
    *ret_end = (size_t)(end + 1 - scalar->text);
    const struct dray_parameter *parameter = find(&draft->parameters, name, (size_t)(end - name));
    if (parameter) {
        draft->unresolved |= !parameter->value;
        return parameter->value;
    }
    const char *copy = dray_draft_copy(draft, name, (size_t)(end - name));
    if (copy) {
        dray_problem(draft, dray_node_place_at(scalar, at), "there is no parameter \"%s\"", copy);
        dray_diagnose_hint(draft->diagnostics,
                           "declare it under `parameters:`; the environment is not read");
        if (draft->parameters_lost)
            dray_diagnose_follows(draft->diagnostics);
        suggest(draft, &draft->parameters, copy);
    }
    return NULL;
}

static void expand(struct dray_draft *draft, const struct dray_node *scalar,
                   struct dray_buffer *out, int *ret_good)
{
    const char *text = scalar->text;

    for (size_t i = 0; i < scalar->length;) {
        if (strncmp(text + i, "$${", 3) == 0) {
            dray_buffer_text(out, "${");
            i += 3;
        } else if (strncmp(text + i, "${", 2) == 0) {
            size_t end = i + 2;
            const char *value = value_at(draft, scalar, i, &end);
            *ret_good &= value != NULL;
            if (value)
                dray_buffer_text(out, value);
            i = end;
        } else {
            const char *next = memchr(text + i + 1, '$', scalar->length - i - 1);
            size_t length = next ? (size_t)(next - text) - i : scalar->length - i;
            dray_buffer_add(out, text + i, length);
            i += length;
        }
    }
}

char *dray_parameters_expand(void *argument, const struct dray_node *scalar)
{
    struct dray_draft *draft = argument;
    struct dray_buffer out = {.cap = EXPANDED_MAX};
    int good = 1;

    if (!strstr(scalar->text, "${")) {
        char *copy = strdup(scalar->text);
        if (!copy)
            (void)dray_fail_memory(draft->error);
        return copy;
    }
    dray_buffer_text(&out, "");
    expand(draft, scalar, &out, &good);
    draft->expanded += out.length;
    if (out.failed == DRAY_NO_MEMORY)
        (void)dray_fail_memory(draft->error);
    else if (out.failed || draft->expanded > TOTAL_MAX)
        dray_problem(draft, scalar->place, "this becomes too long once its parameters stand in it");
    if (out.failed || draft->expanded > TOTAL_MAX || !good) {
        dray_buffer_free(&out);
        return NULL;
    }
    return out.data ? out.data : strdup("");
}

const char *dray_draft_expand(struct dray_draft *draft, const struct dray_node *scalar)
{
    dray_autofree char *text = dray_parameters_expand(draft, scalar);

    return text ? dray_draft_copy(draft, text, strlen(text)) : NULL;
}
