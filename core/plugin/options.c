/* SPDX-License-Identifier: MIT */
/* options.c - see options.h. Every problem is reported, each at its place; one wrong option hides
 * none of the others. */
#include "core/plugin/options.h"

#include <string.h>

#include "core/base/text.h"
#include "core/plugin/value.h"

/* What one check works with. */
struct check {
    const struct dray_plugin_info *plugin;
    const char *what; /* "filter/glob" */
    const char *base;
    char *(*expand)(void *arg, const struct dray_node *scalar);
    void *arg;
    struct dray_diagnostics *diagnostics;
    int no_memory;
};

/* A value that could not be kept; the whole check then fails. */
static json_t *no_memory(struct check *check)
{
    check->no_memory = 1;
    return NULL;
}

static json_t *kept(struct check *check, json_t *json)
{
    return json == NULL ? no_memory(check) : json;
}

/* "takes a list of strings, not a number" */
static json_t *wrong_kind(struct check *check, const struct dray_option *option,
                          const struct dray_node *node)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer takes = {.cap = 8192};

    dray_value_takes(option, &takes);
    if (takes.failed == DRAY_NO_MEMORY || takes.data == NULL)
        return no_memory(check);
    dray_diagnose(check->diagnostics, node->place, DRAY_SEVERITY_ERROR,
                  "option \"%s\" of %s %s, not %s", option->name, check->what, takes.data,
                  dray_node_what(node));
    if (node->kind == DRAY_NODE_SEQUENCE && node->count == 1 &&
        node->items[0]->kind == DRAY_NODE_SCALAR && option->type != DRAY_TYPE_MAP &&
        option->type != DRAY_TYPE_SECRET)
        dray_diagnose_hint(check->diagnostics, "write %s: %.60s", option->name,
                           node->items[0]->text);
    return NULL;
}

/* Could it be a pattern that YAML reads as a collection: `{a,b}`, `[ab]`? */
static int is_eaten(const struct dray_node *node)
{
    if (node->raw == NULL || node->count == 0 || node->raw_length > DRAY_QUOTED ||
        memchr(node->raw, '"', node->raw_length) != NULL ||
        memchr(node->raw, '\\', node->raw_length) != NULL)
        return 0;
    for (size_t i = 0; i < node->count; i++)
        if (node->kind == DRAY_NODE_MAPPING ? !dray_node_is_null(node->pairs[i].value)
                                            : node->items[i]->kind != DRAY_NODE_SCALAR)
            return 0;
    return 1;
}

/* Shows how to quote what YAML read as a list, a mapping or a comment. */
static void hint_eaten(struct check *check, const struct dray_node *node)
{
    const char *raw = node->raw;

    if (node->kind == DRAY_NODE_SEQUENCE || node->kind == DRAY_NODE_MAPPING) {
        if (is_eaten(node))
            dray_diagnose_hint(check->diagnostics, "quote patterns: \"%.*s\"",
                               (int)node->raw_length, raw);
    } else if (raw != NULL && raw[strspn(raw, " \t")] == '#') {
        dray_diagnose_hint(check->diagnostics, "\"#\" begins a comment: quote the value");
    }
}

/* A value's own fault, as value.h words it: "takes at least 1, not "0"". */
static json_t *wrong_value(struct check *check, const struct dray_option *option,
                           const struct dray_node *node, const struct dray_buffer *why)
{
    if (why->failed == DRAY_NO_MEMORY || why->data == NULL)
        return no_memory(check);
    dray_diagnose(check->diagnostics, node->place, DRAY_SEVERITY_ERROR, "option \"%s\" of %s %s",
                  option->name, check->what, why->data);
    return NULL;
}

/* The text of a scalar with its parameters replaced. NULL: reported. The caller frees it. */
static char *expanded(struct check *check, const struct dray_option *option,
                      const struct dray_node *node)
{
    dray_autofree char *text = NULL;

    if (check->expand == NULL) {
        text = strndup(node->text, node->length);
        if (text == NULL)
            (void)no_memory(check);
        return DRAY_TAKE(text);
    }
    text = check->expand(check->arg, node);
    if (text != NULL && !dray_utf8_valid(text, strlen(text))) {
        dray_diagnose(check->diagnostics, node->place, DRAY_SEVERITY_ERROR,
                      "option \"%s\" of %s got a parameter that is not UTF-8", option->name,
                      check->what);
        return NULL;
    }
    return DRAY_TAKE(text);
}

static int is_unchanged(const struct dray_node *node, const char *text)
{
    return strlen(text) == node->length && memcmp(text, node->text, node->length) == 0;
}

/* "true" and "5" are strings in YAML; what a parameter put there has no quotes to go by. */
static int is_quoted_number(const struct dray_option *option, const struct dray_node *node,
                            const char *text)
{
    return (option->type == DRAY_TYPE_BOOL || option->type == DRAY_TYPE_INT) &&
           node->style != DRAY_STYLE_PLAIN && is_unchanged(node, text);
}

/* What text means as a number, given that YAML has its own spellings of integers. */
static int read_number(const struct dray_option *option, const struct dray_node *node,
                       const char *text, int64_t *ret_number, struct dray_buffer *why)
{
    char decimal[24];
    int64_t number;

    if (option->type == DRAY_TYPE_INT && is_unchanged(node, text)) {
        if (dray_node_int(node, &number)) {
            (void)snprintf(decimal, sizeof decimal, "%lld", (long long)number);
            text = decimal;
        } else if (text[0] == '0' && text[1] != '\0') {
            dray_buffer_text(why, "takes a whole number, not ");
            dray_quote(why, text, strlen(text));
            dray_buffer_text(why, ": in YAML a number has no leading zeros");
            return DRAY_INVALID;
        }
    }
    return dray_value_number(option, text, strlen(text), ret_number, why);
}

static json_t *number_json(const struct dray_option *option, int64_t number)
{
    const char *choice;
    size_t length;

    if (option->type == DRAY_TYPE_BOOL)
        return json_boolean(number != 0);
    if (option->type == DRAY_TYPE_CHOICE) {
        choice = dray_choice_at(option->choices, (size_t)number, &length);
        return json_stringn(choice, length);
    }
    if ((option->type == DRAY_TYPE_SIZE || option->type == DRAY_TYPE_DURATION) &&
        number == DRAY_NONE)
        return json_string("none");
    return json_integer(number);
}

/* "did you mean "merge"?" */
static void suggest_choice(struct check *check, const struct dray_option *option, const char *text)
{
    dray_autofree char *copy = strdup(option->choices);
    dray_autofree const char **names = calloc(strlen(option->choices) + 1, sizeof *names);
    char *rest = copy;
    char *name;
    size_t count = 0;

    if (copy == NULL || names == NULL) {
        (void)no_memory(check);
        return;
    }
    while ((name = strsep(&rest, "|")) != NULL)
        names[count++] = name;
    dray_diagnose_nearest(check->diagnostics, text, names, count);
}

static json_t *check_number(struct check *check, const struct dray_option *option,
                            const struct dray_node *node)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer why = {.cap = 8192};
    dray_autofree char *text = NULL;
    int64_t number = 0;

    if (node->kind != DRAY_NODE_SCALAR)
        return wrong_kind(check, option, node);
    text = expanded(check, option, node);
    if (text == NULL)
        return NULL;
    if (is_quoted_number(option, node, text)) {
        (void)wrong_kind(check, option, node);
        dray_diagnose_hint(check->diagnostics, "leave the quotes out");
        return NULL;
    }
    if (read_number(option, node, text, &number, &why) == 0)
        return kept(check, number_json(option, number));
    (void)wrong_value(check, option, node, &why);
    if (option->type == DRAY_TYPE_CHOICE)
        suggest_choice(check, option, text);
    else if (option->type == DRAY_TYPE_BOOL && dray_node_old_bool(node))
        dray_diagnose_hint(check->diagnostics, "write %s", dray_node_old_bool(node));
    return NULL;
}

static json_t *check_path(struct check *check, const struct dray_option *option,
                          const struct dray_node *node, const char *text)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer why = {.cap = 8192};
    dray_autofree char *path = NULL;
    int result = dray_value_path(check->base, text, &path, &why);

    if (result == DRAY_NO_MEMORY)
        return no_memory(check);
    if (result != 0) {
        (void)wrong_value(check, option, node, &why);
        if (text[0] == '~')
            dray_diagnose_hint(check->diagnostics, "write the whole path");
        else if (check->base == NULL && text[0] != '\0')
            dray_diagnose_hint(check->diagnostics,
                               "a recipe is used from anywhere: it has no directory to start from");
        return NULL;
    }
    if (!dray_utf8_valid(path, strlen(path))) {
        dray_diagnose(check->diagnostics, node->place, DRAY_SEVERITY_ERROR,
                      "option \"%s\" of %s starts at a directory whose name is not UTF-8",
                      option->name, check->what);
        return NULL;
    }
    return kept(check, json_string(path));
}

/* The value may be the secret itself: it is not repeated. */
static json_t *check_secret(struct check *check, const struct dray_option *option,
                            const struct dray_node *node, const char *text)
{
    if (text != NULL && dray_value_is_secret_name(text, strlen(text)))
        return kept(check, json_string(text));
    dray_diagnose(check->diagnostics, node->place, DRAY_SEVERITY_ERROR,
                  "option \"%s\" of %s takes the name of a secret (a-z, 0-9 and ._-), never the "
                  "secret itself",
                  option->name, check->what);
    dray_diagnose_hint(check->diagnostics,
                       "hand it over with \"dray secret put NAME\" and write %s: NAME",
                       option->name);
    dray_diagnose_secret(check->diagnostics);
    return NULL;
}

static json_t *check_text(struct check *check, const struct dray_option *option,
                          const struct dray_node *node)
{
    dray_autofree char *text = NULL;

    if (node->kind != DRAY_NODE_SCALAR)
        return option->type == DRAY_TYPE_SECRET ? check_secret(check, option, node, NULL)
                                                : wrong_kind(check, option, node);
    text = expanded(check, option, node);
    if (text == NULL)
        return NULL;
    if (option->type == DRAY_TYPE_PATH)
        return check_path(check, option, node, text);
    if (option->type == DRAY_TYPE_SECRET)
        return check_secret(check, option, node, text);
    return kept(check, json_string(text));
}

/* One string of a list or a mapping; `of` says which: element 2, key "a". */
static json_t *check_element(struct check *check, const struct dray_option *option,
                             const struct dray_node *node, const char *of)
{
    dray_autofree char *text = NULL;

    if (of == NULL)
        return no_memory(check);
    if (node->kind != DRAY_NODE_SCALAR) {
        dray_diagnose(check->diagnostics, node->place, DRAY_SEVERITY_ERROR,
                      "option \"%s\" of %s takes %s, %s is %s", option->name, check->what,
                      dray_type_takes(option->type), of, dray_node_what(node));
        if (option->type == DRAY_TYPE_STRINGS)
            hint_eaten(check, node);
        return NULL;
    }
    text = expanded(check, option, node);
    return text == NULL ? NULL : kept(check, json_string(text));
}

/* `include: *.nc` is one string where a list is wanted: show it as the list that was meant. */
static json_t *wrong_list(struct check *check, const struct dray_option *option,
                          const struct dray_node *node)
{
    int shown = node->kind == DRAY_NODE_SCALAR && node->length > 0 && node->length <= 40;

    (void)wrong_kind(check, option, node);
    for (size_t i = 0; shown && i < node->length; i++)
        shown = (unsigned char)node->text[i] >= 0x20 && strchr("\"\\", node->text[i]) == NULL;
    if (node->kind == DRAY_NODE_SCALAR)
        dray_diagnose_hint(check->diagnostics, "write [\"%s\"]", shown ? node->text : "...");
    else
        hint_eaten(check, node);
    return NULL;
}

static json_t *check_strings(struct check *check, const struct dray_option *option,
                             const struct dray_node *node)
{
    json_t *list;
    int wrong = 0;

    if (node->kind == DRAY_NODE_SCALAR && (option->flags & DRAY_OPTION_OR_ONE)) {
        dray_autofree char *text = expanded(check, option, node);
        return text == NULL ? NULL : kept(check, json_string(text));
    }
    if (node->kind != DRAY_NODE_SEQUENCE)
        return wrong_list(check, option, node);
    list = kept(check, json_array());
    for (size_t i = 0; list != NULL && i < node->count; i++) {
        dray_autofree char *of = dray_format("element %zu", i + 1);
        json_t *text = check_element(check, option, node->items[i], of);
        if (text == NULL)
            wrong = 1;
        else if (json_array_append_new(list, text) != 0)
            (void)no_memory(check);
    }
    if (wrong) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static json_t *check_map(struct check *check, const struct dray_option *option,
                         const struct dray_node *node)
{
    json_t *map;
    int wrong = 0;

    if (node->kind != DRAY_NODE_MAPPING)
        return wrong_kind(check, option, node);
    map = kept(check, json_object());
    for (size_t i = 0; map != NULL && i < node->count; i++) {
        const char *key = node->pairs[i].key->text;
        dray_autofree char *of = dray_format("key \"%s\"", key);
        json_t *text = check_element(check, option, node->pairs[i].value, of);
        if (text == NULL)
            wrong = 1;
        else if (json_object_set_new(map, key, text) != 0)
            (void)no_memory(check);
    }
    if (wrong) {
        json_decref(map);
        return NULL;
    }
    return map;
}

/* The value as JSON; NULL: reported. */
static json_t *check_value(struct check *check, const struct dray_option *option,
                           const struct dray_node *node)
{
    if (dray_node_is_null(node)) {
        dray_diagnose(check->diagnostics, node->place, DRAY_SEVERITY_ERROR,
                      "option \"%s\" of %s has no value", option->name, check->what);
        if ((option->flags & DRAY_OPTION_REQUIRED) == 0)
            dray_diagnose_hint(check->diagnostics, "write %s, or leave the option out",
                               dray_type_takes(option->type));
        return NULL;
    }
    if (dray_type_is_number(option->type))
        return check_number(check, option, node);
    if (option->type == DRAY_TYPE_STRINGS)
        return check_strings(check, option, node);
    if (option->type == DRAY_TYPE_MAP)
        return check_map(check, option, node);
    return check_text(check, option, node);
}

/* A default was checked when the plugin was probed. */
static json_t *fallback_value(struct check *check, const struct dray_option *option,
                              struct dray_place place)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer why = {.cap = 8192};
    dray_autofree char *path = NULL;
    int64_t number = 0;
    int result = 0;

    if (option->type == DRAY_TYPE_STRING)
        return kept(check, json_string(option->fallback));
    if (option->type == DRAY_TYPE_PATH) {
        result = dray_value_path(check->base, option->fallback, &path, &why);
        if (result == DRAY_INVALID) {
            dray_diagnose(
                check->diagnostics, place, DRAY_SEVERITY_ERROR,
                "option \"%s\" of %s has to be given here: its default is a relative path",
                option->name, check->what);
            return NULL;
        }
        return result == 0 ? kept(check, json_string(path)) : no_memory(check);
    }
    result = dray_value_number(option, option->fallback, strlen(option->fallback), &number, &why);
    return result == 0 ? kept(check, number_json(option, number)) : no_memory(check);
}

/* Says what an unknown option may have been: the nearest, or all when they are few. */
static void suggest_option(struct check *check, const char *word)
{
    size_t count = check->plugin->option_count;
    dray_autofree const char **names = calloc(count + 1, sizeof *names);
    dray_cleanup(dray_buffer_free) struct dray_buffer all = {.cap = 100};

    if (names == NULL) {
        (void)no_memory(check);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        names[i] = check->plugin->options[i].name;
        dray_buffer_format(&all, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
    if (count == 0)
        dray_diagnose_hint(check->diagnostics, "it has none");
    else if (all.failed == 0)
        dray_diagnose_hint(check->diagnostics, "it has: %s", all.data);
    dray_diagnose_nearest(check->diagnostics, word, names, count);
}

static void check_names(struct check *check, const struct dray_node *with)
{
    for (size_t i = 0; i < with->count; i++) {
        const struct dray_node *key = with->pairs[i].key;
        size_t known = 0;
        while (known < check->plugin->option_count &&
               strcmp(check->plugin->options[known].name, key->text) != 0)
            known++;
        if (known < check->plugin->option_count)
            continue;
        dray_diagnose(check->diagnostics, key->place, DRAY_SEVERITY_ERROR,
                      "%s has no option \"%.80s\"", check->what, key->text);
        suggest_option(check, key->text);
    }
}

/* Was the option, which is missing, meant by a name that it does not have? */
static int is_meant(const struct check *check, const struct dray_node *with, const char *name)
{
    const size_t count = check->plugin->option_count;
    dray_autofree const char **names = calloc(count + 1, sizeof *names);

    if (names == NULL) {
        check->diagnostics->no_memory = 1;
        return 0;
    }
    for (size_t i = 0; i < count; i++)
        names[i] = check->plugin->options[i].name;
    return dray_node_meant(with, name, names, count);
}

static json_t *check_option(struct check *check, const struct dray_option *option,
                            const struct dray_node *with, struct dray_place place)
{
    const struct dray_pair *pair = dray_node_pair(with, option->name);

    if (pair == NULL && option->fallback != NULL)
        return fallback_value(check, option, place);
    if (pair == NULL && (option->flags & DRAY_OPTION_REQUIRED) != 0) {
        dray_diagnose(check->diagnostics, place, DRAY_SEVERITY_ERROR,
                      "%s is missing its option \"%s\"", check->what, option->name);
        dray_diagnose_hint(check->diagnostics, "%s: %s", option->name, option->help);
        if (is_meant(check, with, option->name))
            dray_diagnose_follows(check->diagnostics);
    }
    if (pair == NULL)
        return NULL;
    if ((option->flags & DRAY_OPTION_DEPRECATED) != 0) {
        dray_diagnose(check->diagnostics, pair->key->place, DRAY_SEVERITY_WARNING,
                      "option \"%s\" of %s is deprecated", option->name, check->what);
        dray_diagnose_hint(check->diagnostics, "%s", option->help);
    }
    return check_value(check, option, pair->value);
}

int dray_options_check(const struct dray_plugin_info *plugin, const char *what,
                       const struct dray_node *with, struct dray_place place, const char *base,
                       char *(*expand)(void *arg, const struct dray_node *scalar), void *arg,
                       struct dray_diagnostics *diagnostics, json_t **ret_with,
                       struct dray_error *error)
{
    struct check check = {plugin, what, base, expand, arg, diagnostics, 0};
    json_t *values = json_object();

    if (values == NULL)
        return dray_fail_memory(error);
    if (with != NULL && with->kind != DRAY_NODE_NULL && with->kind != DRAY_NODE_MAPPING) {
        dray_diagnose(diagnostics, with->place, DRAY_SEVERITY_ERROR,
                      "\"with\" of %s takes a mapping of options, not %s", what,
                      dray_node_what(with));
        *ret_with = values;
        return 0;
    }
    if (with != NULL)
        check_names(&check, with);
    for (size_t i = 0; i < plugin->option_count && !check.no_memory; i++) {
        struct dray_option option = dray_option_row(&plugin->options[i]);
        json_t *value = check_option(&check, &option, with, place);
        /* Of a wrong one the default stands in, for who wants to know what else is wrong. */
        if (value == NULL && !check.no_memory && option.fallback != NULL &&
            option.type != DRAY_TYPE_PATH)
            value = fallback_value(&check, &option, place);
        if (value != NULL && json_object_set_new(values, option.name, value) != 0)
            check.no_memory = 1;
    }
    if (check.no_memory) {
        json_decref(values);
        return dray_fail_memory(error);
    }
    *ret_with = values;
    return 0;
}
