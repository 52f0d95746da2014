/* SPDX-License-Identifier: MIT */
/*
 * schema.c - JSON Schema (2020-12) of a plugin's options, for editors and forms. It accepts what
 * dray_options_check accepts, also a ${parameter} where a number will stand.
 */
#include <string.h>

#include "core/plugin/plugin.h"
#include "core/plugin/value.h"

#define SECRET_PATTERN "^[a-z0-9][a-z0-9._-]{0,63}$"

/* Text: YAML's other plain scalars are taken as they are written. */
static json_t *text_schema(void)
{
    return json_pack("{s:[s, s, s]}", "type", "string", "number", "boolean");
}

static int set_bounds(json_t *schema, const struct dray_option_info *option)
{
    if (option->min != INT64_MIN &&
        json_object_set_new(schema, "minimum", json_integer(option->min)) != 0)
        return -1;
    if (option->max != INT64_MAX &&
        json_object_set_new(schema, "maximum", json_integer(option->max)) != 0)
        return -1;
    return 0;
}

static json_t *bounded_integer(const struct dray_option_info *option)
{
    json_t *schema = json_pack("{s:s}", "type", "integer");

    if (schema != NULL && set_bounds(schema, option) != 0) {
        json_decref(schema);
        return NULL;
    }
    return schema;
}

static json_t *pattern_schema(const char *pattern)
{
    return json_pack("{s:s, s:s}", "type", "string", "pattern", pattern);
}

static json_t *choice_schema(const struct dray_option_info *option)
{
    json_t *names = json_array();
    const char *choice;
    size_t length;

    for (size_t i = 0; (choice = dray_choice_at(option->choices, i, &length)) != NULL; i++)
        if (json_array_append_new(names, json_stringn(choice, length)) != 0) {
            json_decref(names);
            return NULL;
        }
    return json_pack("{s:o}", "enum", names);
}

/* What the option takes when no parameter stands in it. */
static json_t *value_schema(const struct dray_option_info *option)
{
    switch (option->type) {
    case DRAY_TYPE_BOOL:
        return json_pack("{s:s}", "type", "boolean");
    case DRAY_TYPE_INT:
        return bounded_integer(option);
    case DRAY_TYPE_SIZE:
        return json_pack("{s:[o, o]}", "anyOf", bounded_integer(option),
                         pattern_schema("^(none|" DRAY_SIZE_PATTERN ")$"));
    case DRAY_TYPE_DURATION:
        return pattern_schema("^(none|" DRAY_DURATION_PATTERN ")$");
    case DRAY_TYPE_STRING:
    case DRAY_TYPE_PATH:
        return text_schema();
    case DRAY_TYPE_CHOICE:
        return choice_schema(option);
    case DRAY_TYPE_STRINGS:
        if (option->flags & DRAY_OPTION_OR_ONE)
            return json_pack("{s:[o, {s:s, s:o}]}", "anyOf", text_schema(), "type", "array",
                             "items", text_schema());
        return json_pack("{s:s, s:o}", "type", "array", "items", text_schema());
    case DRAY_TYPE_MAP:
        return json_pack("{s:s, s:o}", "type", "object", "additionalProperties", text_schema());
    case DRAY_TYPE_SECRET:
        return pattern_schema(SECRET_PATTERN);
    }
    return NULL;
}

/* The default as a value of its type. */
static json_t *default_value(const struct dray_option_info *info)
{
    struct dray_option option = dray_option_row(info);
    dray_cleanup(dray_buffer_free) struct dray_buffer why = {.cap = 2048};
    int64_t number;

    if (option.type != DRAY_TYPE_BOOL && option.type != DRAY_TYPE_INT)
        return json_string(option.fallback);
    if (dray_value_number(&option, option.fallback, strlen(option.fallback), &number, &why) != 0)
        return NULL;
    return option.type == DRAY_TYPE_BOOL ? json_boolean(number != 0) : json_integer(number);
}

static json_t *option_schema(const struct dray_option_info *option)
{
    json_t *value = value_schema(option);
    json_t *schema = value;
    int failed;

    /* A string already admits a parameter, in lists and mappings too; anything else gets it as an
     * alternative. */
    if (dray_type_is_number(option->type) || option->type == DRAY_TYPE_SECRET)
        schema = json_pack("{s:[o, {s:s}]}", "anyOf", value, "$ref", "#/$defs/parameter");
    failed = schema == NULL ||
             json_object_set_new(schema, "description", json_string(option->help)) != 0;
    if (!failed && option->fallback != NULL)
        failed = json_object_set_new(schema, "default", default_value(option));
    if (!failed && (option->flags & DRAY_OPTION_DEPRECATED) != 0)
        failed = json_object_set_new(schema, "deprecated", json_true());
    if (failed) {
        json_decref(schema);
        return NULL;
    }
    return schema;
}

static int add_options(const struct dray_plugin_info *plugin, json_t *properties, json_t *required)
{
    for (size_t i = 0; i < plugin->option_count; i++) {
        const struct dray_option_info *option = &plugin->options[i];
        if (json_object_set_new(properties, option->name, option_schema(option)) != 0)
            return -1;
        if ((option->flags & DRAY_OPTION_REQUIRED) != 0 &&
            json_array_append_new(required, json_string(option->name)) != 0)
            return -1;
    }
    return 0;
}

json_t *dray_plugin_schema(const struct dray_plugin_info *plugin)
{
    const char *kind = dray_kind_name(plugin->kind);
    dray_autofree char *title =
        dray_format("%s%s%s", kind ? kind : "", kind ? "/" : "", plugin->name);
    json_t *properties = json_object();
    json_t *required = json_array();

    if (title == NULL || add_options(plugin, properties, required) != 0) {
        json_decref(properties);
        json_decref(required);
        return NULL;
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:b, s:{s:{s:s, s:s}}}", "$schema",
                     "https://json-schema.org/draft/2020-12/schema", "title", title, "description",
                     plugin->summary, "type", "object", "properties", properties, "required",
                     required, "additionalProperties", 0, "$defs", "parameter", "type", "string",
                     "pattern", DRAY_PARAMETER_PATTERN);
}
