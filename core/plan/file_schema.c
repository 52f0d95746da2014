/* SPDX-License-Identifier: MIT */
/*
 * file_schema.c - JSON Schema (2020-12) of whole files, for editors: made from the keys of keys.c,
 * the facts of condition.c and the option tables of all plugins that were found. It accepts what
 * Dray accepts, but for keys that are left without a value; what depends on more than one place
 * (who needs whom, duplicate ids) or on what a plugin says (patterns, targets) only Dray can tell.
 */
#include <string.h>

#include "core/plan/condition.h"
#include "core/plan/draft.h"
#include "core/plan/keys.h"
#include "core/plugin/value.h"

/* What a step of a mapping may use. */
enum uses { USES_NONE, USES_ALL, USES_TREE };

/* Definitions that are written down, with ' for ". YAML's other plain scalars are taken as text
 * where text is wanted. */
#define TEXT      "'type': ['string', 'number', 'boolean']"
#define PARAMETER "{'$ref': '#/$defs/parameter'}"
#define ID        "[a-z0-9][a-z0-9_-]{0,63}"
static const struct {
    const char *name, *schema;
} definitions[] = {
    {"version", "{'const': 1}"},
    {"boolean", "{'type': 'boolean'}"},
    {"text", "{" TEXT "}"},
    {"filled", "{" TEXT ", 'minLength': 1}"},
    {"id", "{'type': ['string', 'integer', 'boolean'], 'pattern': '^" ID "$', 'minimum': 0}"},
    {"needs", "{'type': 'array', 'items': {'$ref': '#/$defs/id'}, 'minItems': 1, "
              "'uniqueItems': true}"},
    {"duration",
     "{'anyOf': [{'type': 'string', 'pattern': '^" DRAY_DURATION_PATTERN "$'}, " PARAMETER "]}"},
    {"tries", "{'type': 'integer', 'minimum': 1, 'maximum': 100}"},
    {"revision", "{'type': 'integer', 'minimum': 1}"},
    {"count", "{'type': 'integer', 'minimum': 0}"},
    {"bytes", "{'anyOf': [{'type': 'integer', 'minimum': 0}, {'type': 'string', 'pattern': "
              "'^(" DRAY_SIZE_PATTERN ")$'}]}"},
    {"date", "{'type': 'string', 'pattern': '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'}"},
    {"entry-path", "{" TEXT ", 'minLength': 1, 'pattern': '^[^/]'}"},
    {"symlinks", "{'anyOf': [{'enum': ['keep', 'skip', 'copy', 'fail']}, " PARAMETER "]}"},
    {"parameter-type", "{'enum': ['string', 'int', 'bool']}"},
    {"mode", "{'enum': ['audit', 'warn', 'enforce']}"},
    {"verdict", "{'enum': ['keep', 'drop', 'deny']}"},
    {"with", "{'type': 'object'}"},
    {"steps",
     "{'type': 'array', 'items': {'$ref': '#/$defs/step'}, 'minItems': 1, 'maxItems': 500}"},
    {"recipe-steps",
     "{'type': 'array', 'items': {'$ref': '#/$defs/recipe-step'}, 'minItems': 1, 'maxItems': 500}"},
    {"rules", "{'type': 'array', 'items': {'$ref': '#/$defs/rule'}}"},
    {"inject", "{'type': 'array', 'items': {'$ref': '#/$defs/injected'}, 'minItems': 1, "
               "'maxItems': 500}"},
    {"parameters",
     "{'type': 'object', 'propertyNames': {'pattern': '^[A-Za-z_][A-Za-z0-9_-]{0,63}$'}, "
     "'additionalProperties': {'$ref': '#/$defs/parameter-of-file'}}"},
};

/* Mappings by the names that keys.c has for them, and what holds for them beside their keys. */
static const struct {
    const char *name;
    enum dray_mapping mapping;
    enum uses uses;
    const char *more; /* NULL: nothing */
} named[] = {
    {"workflow", DRAY_MAPPING_WORKFLOW, USES_NONE, NULL},
    {"parameter-of-file", DRAY_MAPPING_PARAMETER, USES_NONE,
     "{'allOf': ["
     "{'if': {'properties': {'type': {'const': 'int'}}, 'required': ['type']}, 'then': "
     "{'properties': {'default': {'type': ['integer', 'string'], 'pattern': '^[+-]?[0-9]+$'}}}}, "
     "{'if': {'properties': {'type': {'const': 'bool'}}, 'required': ['type']}, 'then': "
     "{'properties': {'default': {'enum': [true, false, 'true', 'false']}}}}]}"},
    {"tree", DRAY_MAPPING_TREE, USES_NONE, NULL},
    {"step", DRAY_MAPPING_STEP, USES_ALL, NULL},
    {"retry", DRAY_MAPPING_RETRY, USES_NONE, NULL},
    {"policy", DRAY_MAPPING_POLICY, USES_NONE, NULL},
    {"rule", DRAY_MAPPING_RULE, USES_NONE,
     "{'anyOf': [{'required': ['inject']}, {'required': ['allow']}, {'required': ['limit']}], "
     "'if': {'properties': {'mode': {'enum': ['audit', 'warn']}}, 'required': ['mode']}, 'then': "
     "{'properties': {'inject': {'items': {'properties': {'uses': {'not': {'pattern': "
     "'^transform/'}}}}}}}}"},
    {"injected", DRAY_MAPPING_INJECTED, USES_TREE, NULL},
    {"limit", DRAY_MAPPING_LIMIT, USES_NONE, "{'minProperties': 1}"},
    {"exception", DRAY_MAPPING_EXCEPTION, USES_NONE,
     "{'anyOf': [{'required': ['user']}, {'required': ['dataset']}]}"},
    {"test", DRAY_MAPPING_TEST, USES_NONE, NULL},
    {"expect", DRAY_MAPPING_EXPECT, USES_NONE, NULL},
    {"recipe", DRAY_MAPPING_RECIPE, USES_NONE, NULL},
    {"recipe-step", DRAY_MAPPING_RECIPE_STEP, USES_TREE, NULL},
    {"condition", DRAY_MAPPING_CONDITION, USES_NONE, "{'minProperties': 1}"},
    {"given", DRAY_MAPPING_GIVEN, USES_NONE, NULL},
};

/* The kinds of files there are; each is the mapping of that name. */
static const struct {
    const char *kind, *title;
    int parameters; /* ${NAME} stands for something */
} files[] = {
    {"workflow", "A workflow of Dray: what is delivered, what is left out and where it goes", 1},
    {"policy", "A policy of Dray: what holds for every delivery", 0},
    {"recipe", "A recipe of Dray: filters and transforms that workflows share", 1},
};

struct maker {
    json_t *defs;
    const struct dray_plugin_info *const *plugins;
    size_t plugin_count;
    const struct dray_plugin_info *validate;
};

/* JSON written with ' for ", and with backslashes as they are. NULL when memory is out. */
static json_t *written(const char *text)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer json = {.cap = 1u << 16};

    for (const char *at = text; *at; at++) {
        const char *escaped = *at == '\'' ? "\"" : *at == '\\' ? "\\\\" : NULL;
        dray_buffer_add(&json, escaped ? escaped : at, escaped ? strlen(escaped) : 1);
    }
    return json.failed ? NULL : json_loads(json.data, 0, NULL);
}

static int set_text(json_t *object, const char *key, const char *text)
{
    return json_object_set_new(object, key, json_string(text));
}

/* The names under which plugins stand in $defs and in `uses`; what is built in has one name. */
static char *name_of(const struct dray_plugin_info *plugin, const char *between)
{
    const char *kind = dray_kind_name(plugin->kind);

    return kind ? dray_format("%s%s%s", kind, between, plugin->name) : strdup(plugin->name);
}

/* ---- uses and with */

/* A plugin's schema as a definition; `parameter` is one for the whole file. */
static int define_plugin(struct maker *maker, const struct dray_plugin_info *plugin,
                         const char *name)
{
    if (json_object_get(maker->defs, name))
        return 0;
    json_t *schema = dray_plugin_schema(plugin);
    if (!schema)
        return -1;
    (void)json_object_del(schema, "$schema");
    (void)json_object_del(schema, "$defs");
    (void)json_object_del(schema, "description"); /* editors would show it for any `with` */
    return json_object_set_new(maker->defs, name, schema);
}

static int has_required(const struct dray_plugin_info *plugin)
{
    for (size_t i = 0; i < plugin->option_count; i++)
        if (plugin->options[i].flags & DRAY_OPTION_REQUIRED)
            return 1;
    return 0;
}

/* One more that `uses` may name, and what stands in `with` then. */
static int add_plugin(struct maker *maker, const struct dray_plugin_info *plugin, json_t *choices,
                      json_t *rules)
{
    dray_autofree char *uses = name_of(plugin, "/");
    dray_autofree char *name = name_of(plugin, ".");
    dray_autofree char *ref = name ? dray_format("#/$defs/%s", name) : NULL;

    if (!uses || !ref || define_plugin(maker, plugin, name) != 0)
        return -1;
    json_t *then = json_pack("{s:{s:{s:s}}}", "properties", "with", "$ref", ref);
    if (!then || (has_required(plugin) &&
                  json_object_set_new(then, "required", json_pack("[s]", "with")) != 0)) {
        json_decref(then);
        return -1;
    }
    if (json_array_append_new(rules,
                              json_pack("{s:{s:{s:{s:s}}, s:[s]}, s:o}", "if", "properties", "uses",
                                        "const", uses, "required", "uses", "then", then)) != 0)
        return -1;
    return json_array_append_new(
        choices, json_pack("{s:s, s:s}", "const", uses, "description", plugin->summary));
}

static int is_usable(const struct dray_plugin_info *plugin, enum uses uses)
{
    if (plugin->refused.class_ != 0)
        return 0;
    switch (plugin->kind) {
    case DRAY_KIND_FILTER:
    case DRAY_KIND_TRANSFORM:
        return 1;
    case DRAY_KIND_SOURCE:
    case DRAY_KIND_PUSH:
        return uses == USES_ALL;
    default:
        return 0;
    }
}

static int add_plugins(struct maker *maker, enum uses uses, json_t *choices, json_t *rules)
{
    int result = uses == USES_ALL ? add_plugin(maker, maker->validate, choices, rules) : 0;

    for (size_t i = 0; result == 0 && i < maker->plugin_count; i++)
        if (is_usable(maker->plugins[i], uses))
            result = add_plugin(maker, maker->plugins[i], choices, rules);
    if (result == 0 && uses == USES_ALL)
        result = json_array_append_new(
            choices, written("{'type': 'string', 'pattern': '^recipe/" ID "(@[1-9][0-9]*)?$', "
                             "'description': 'A saved recipe, recipe/NAME or recipe/NAME@VERSION: "
                             "its steps stand here'}"));
    return result;
}

/* `uses` of a step, and an `allOf` that says for each plugin what stands in `with`. */
static int add_uses(struct maker *maker, enum uses uses, json_t *schema)
{
    json_t *choices = json_array(), *rules = json_array();
    json_t *property =
        json_object_get(json_object_get(schema, "properties"), "uses"); /* has its description */
    int result = choices && rules ? add_plugins(maker, uses, choices, rules) : -1;

    if (result == 0)
        result = json_object_set(property, "oneOf", choices);
    if (result == 0 && json_array_size(rules) > 0)
        result = json_object_set(schema, "allOf", rules);
    json_decref(choices);
    json_decref(rules);
    return result;
}

/* ---- mappings */

static json_t *reference(struct maker *maker, const char *type);

/* What a key takes, with what is said of it. */
static json_t *key_schema(struct maker *maker, const struct dray_file_key *key)
{
    size_t length = strlen(key->type);
    json_t *schema;

    if (strcmp(key->type, "uses") == 0) {
        schema = json_object();
    } else if (key->type[0] == '[') {
        dray_autofree char *type = strndup(key->type + 1, length - 2);
        schema =
            type ? json_pack("{s:s, s:o}", "type", "array", "items", reference(maker, type)) : NULL;
    } else {
        schema = reference(maker, key->type);
    }
    if (schema && set_text(schema, "description", key->help) != 0) {
        json_decref(schema);
        return NULL;
    }
    return schema;
}

/* What the value of a fact looks like. */
static json_t *value_schema(const char *name, int glob, const char *const *choices)
{
    json_t *values;

    if (strcmp(name, "target.path") == 0)
        return written("{" TEXT ", 'minLength': 1, 'pattern': '^[/*]'}");
    if (strcmp(name, "target.plugin") == 0 || strcmp(name, "dataset.name") == 0)
        return written("{" TEXT ", 'minLength': 1, 'pattern': '^[^/*]+$'}");
    if (!choices[0])
        return written(glob ? "{" TEXT ", 'minLength': 1}"
                            : "{" TEXT ", 'minLength': 1, 'pattern': '^[^*]+$'}");
    values = json_array();
    for (size_t i = 0; choices[i]; i++)
        if (json_array_append_new(values, json_string(choices[i])) != 0) {
            json_decref(values);
            return NULL;
        }
    return json_pack("{s:o}", "enum", values);
}

/* Of a condition: one value or several; of a test: what a delivery has. */
static json_t *fact_schema(const char *name, json_t *value, int listed)
{
    json_t *schema = listed ? json_pack("{s:[O, {s:s, s:O, s:i}]}", "anyOf", value, "type", "array",
                                        "items", value, "minItems", 1)
                            : json_deep_copy(value);

    json_decref(value);
    if (schema && set_text(schema, "description", dray_fact_help(name)) != 0) {
        json_decref(schema);
        return NULL;
    }
    return schema;
}

/* A fact by its name, in a condition also with `?`; a label by any name. */
static int add_fact(json_t *properties, json_t *patterns, const char *name, int conditions,
                    json_t *schema)
{
    static const char labels[] = "dataset.labels.";
    dray_autofree char *optional = dray_format("%s?", name);
    int result = schema && optional ? 0 : -1;

    if (result == 0 && strncmp(name, labels, strlen(labels)) == 0)
        result = json_object_set(patterns, "^dataset\\.labels\\.(?!\\?$).+$", schema);
    else if (result == 0)
        result = json_object_set(properties, name, schema);
    if (result == 0 && conditions && strncmp(name, labels, strlen(labels)) != 0)
        result = json_object_set(properties, optional, schema);
    json_decref(schema);
    return result;
}

static int add_facts(json_t *schema, int conditions)
{
    json_t *properties = json_object_get(schema, "properties"), *patterns = json_object();
    const char *name, *const *choices;
    int glob, result = patterns ? 0 : -1;

    for (size_t i = 0; result == 0 && dray_fact_at(i, &name, &glob, &choices) == 0; i++) {
        json_t *value = value_schema(name, conditions && glob, choices);
        int listed = conditions || strcmp(name, "dataset.tags") == 0;
        result = value ? add_fact(properties, patterns, name, conditions,
                                  fact_schema(name, value, listed))
                       : -1;
    }
    if (result == 0)
        result = json_object_set(schema, "patternProperties", patterns);
    json_decref(patterns);
    return result;
}

static int add_keys(struct maker *maker, enum dray_mapping mapping, json_t *properties,
                    json_t *required)
{
    size_t count;
    const struct dray_file_key *keys = dray_keys(mapping, &count);

    for (size_t i = 0; i < count; i++)
        if (json_object_set_new(properties, keys[i].name, key_schema(maker, &keys[i])) != 0 ||
            (keys[i].required && json_array_append_new(required, json_string(keys[i].name)) != 0))
            return -1;
    return 0;
}

/* What keys, facts, `uses` and the rest say of a mapping, put into its schema. */
static int fill(struct maker *maker, size_t which, json_t *schema)
{
    enum dray_mapping mapping = named[which].mapping;
    json_t *more = named[which].more ? written(named[which].more) : json_object();
    int result = more && json_object_update(schema, more) == 0
                     ? add_keys(maker, mapping, json_object_get(schema, "properties"),
                                json_object_get(schema, "required"))
                     : -1;

    json_decref(more);
    if (result == 0 && (mapping == DRAY_MAPPING_CONDITION || mapping == DRAY_MAPPING_GIVEN))
        result = add_facts(schema, mapping == DRAY_MAPPING_CONDITION);
    if (result == 0 && named[which].uses != USES_NONE)
        result = add_uses(maker, named[which].uses, schema);
    return result;
}

/* Borrowed by $defs before it is filled: a condition has conditions in it. */
static int define_mapping(struct maker *maker, size_t which)
{
    json_t *schema = json_pack("{s:s, s:{}, s:[], s:b}", "type", "object", "properties", "required",
                               "additionalProperties", 0);

    if (!schema || json_object_set(maker->defs, named[which].name, schema) != 0) {
        json_decref(schema);
        return -1;
    }
    int result = fill(maker, which, schema);
    json_decref(schema);
    return result;
}

/* Definitions that a written one speaks of. */
static int define_others(struct maker *maker, const char *schema)
{
    static const char mark[] = "#/$defs/";

    for (const char *at = schema; (at = strstr(at, mark)) != NULL;) {
        at += strlen(mark);
        dray_autofree char *name = strndup(at, strcspn(at, "'"));
        json_t *other = name ? reference(maker, name) : NULL;
        json_decref(other);
        if (!other)
            return -1;
    }
    return 0;
}

static int define(struct maker *maker, const char *name)
{
    if (json_object_get(maker->defs, name))
        return 0;
    for (size_t i = 0; i < DRAY_COUNT(definitions); i++)
        if (strcmp(definitions[i].name, name) == 0)
            return json_object_set_new(maker->defs, name, written(definitions[i].schema)) == 0
                       ? define_others(maker, definitions[i].schema)
                       : -1;
    for (size_t i = 0; i < DRAY_COUNT(named); i++)
        if (strcmp(named[i].name, name) == 0)
            return define_mapping(maker, i);
    return -1;
}

/* A reference to a definition, which is made now if it was not. */
static json_t *reference(struct maker *maker, const char *type)
{
    dray_autofree char *ref = dray_format("#/$defs/%s", type);

    return ref && define(maker, type) == 0 ? json_pack("{s:s}", "$ref", ref) : NULL;
}

/* ---- the file */

static json_t *make(struct maker *maker, size_t file)
{
    json_t *schema =
        json_pack("{s:s, s:s, s:s}", "$schema", "https://json-schema.org/draft/2020-12/schema",
                  "title", files[file].title, "description",
                  "Made by dray check --schema from the plugins that were found");
    /* In a policy nothing stands for anything else. Language servers know no schema `false`. */
    json_t *parameter = files[file].parameters ? json_pack("{s:s, s:s}", "type", "string",
                                                           "pattern", DRAY_PARAMETER_PATTERN)
                                               : json_pack("{s:{}}", "not");
    json_t *ref = NULL;

    maker->defs = json_object();
    if (json_object_set_new(maker->defs, "parameter", parameter) == 0)
        ref = reference(maker, files[file].kind);
    /* The file is the definition of its name, which nothing else speaks of. */
    json_t *root = json_object_get(maker->defs, files[file].kind);
    int result = ref && schema ? json_object_update(schema, root) : -1;
    if (result == 0)
        result = json_object_del(maker->defs, files[file].kind);
    if (result == 0)
        result = json_object_set(schema, "$defs", maker->defs);
    json_decref(ref);
    json_decref(maker->defs);
    if (result == 0)
        return schema;
    json_decref(schema);
    return NULL;
}

int dray_file_schema(const char *kind, struct dray_registry *registry, json_t **ret_schema,
                     struct dray_error *error)
{
    struct dray_arena arena = {0};
    struct maker maker = {.validate = dray_validate_table(&arena)};
    size_t file = 0;

    while (file < DRAY_COUNT(files) && strcmp(files[file].kind, kind) != 0)
        file++;
    int result = 0;
    if (file == DRAY_COUNT(files)) {
        result = dray_fail(error, DRAY_INVALID, "there is no kind of file \"%s\"", kind);
        dray_hint(error, "workflow, policy or recipe");
    } else if (!maker.validate) {
        result = dray_fail_memory(error);
    } else {
        result = dray_registry_all(registry, &maker.plugins, &maker.plugin_count, error);
    }
    *ret_schema = result == 0 ? make(&maker, file) : NULL;
    if (result == 0 && !*ret_schema)
        result = dray_fail_memory(error);
    dray_arena_free(&arena);
    return result;
}
