/* SPDX-License-Identifier: MIT */
/* describe.c - what is known of plugins, in words, as tables for people and as JSON. */
#include <stdio.h>
#include <string.h>

#include "core/base/text.h"
#include "core/plugin/plugin.h"

static const char *const kinds[] = {
    [DRAY_KIND_SOURCE] = "source",       [DRAY_KIND_FILTER] = "filter",
    [DRAY_KIND_TRANSFORM] = "transform", [DRAY_KIND_PUSH] = "push",
    [DRAY_KIND_NOTIFY] = "notify",
};

static const char *const target_types[] = {
    [DRAY_TARGET_HPFS] = "hpfs",
    [DRAY_TARGET_CLOUD] = "cloud",
    [DRAY_TARGET_GLOBUS] = "globus",
    [DRAY_TARGET_OTHER] = "other",
};

const char *dray_kind_name(uint32_t kind)
{
    return kind < DRAY_COUNT(kinds) ? kinds[kind] : NULL;
}

uint32_t dray_kind_of_name(const char *name, size_t length)
{
    for (uint32_t i = 0; i < DRAY_COUNT(kinds); i++)
        if (kinds[i] != NULL && strlen(kinds[i]) == length && memcmp(kinds[i], name, length) == 0)
            return i;
    return 0;
}

const char *dray_target_type_name(uint32_t target_type)
{
    return target_type < DRAY_COUNT(target_types) ? target_types[target_type] : NULL;
}

/* Choices as a list of strings; NULL also when there are none. */
static json_t *choices_json(const char *choices)
{
    json_t *list = choices == NULL ? NULL : json_array();
    const char *at = choices;

    while (list != NULL) {
        size_t length = strcspn(at, "|");
        if (json_array_append_new(list, json_stringn(at, length)) != 0) {
            json_decref(list);
            return NULL;
        }
        if (at[length] == '\0')
            break;
        at += length + 1;
    }
    return list;
}

static int is_ranged(const struct dray_option_info *option)
{
    return option->type == DRAY_TYPE_INT || option->type == DRAY_TYPE_SIZE ||
           option->type == DRAY_TYPE_DURATION;
}

static json_t *option_json(const struct dray_option_info *option)
{
    json_t *json = json_pack("{s:s, s:s, s:b, s:s}", "name", option->name, "type",
                             dray_type_name(option->type), "required",
                             (option->flags & DRAY_OPTION_REQUIRED) != 0, "help", option->help);
    int failed = json == NULL;

    if (!failed && option->fallback != NULL)
        failed = json_object_set_new(json, "default", json_string(option->fallback));
    if (!failed && option->type == DRAY_TYPE_CHOICE)
        failed = json_object_set_new(json, "choices", choices_json(option->choices));
    if (!failed && is_ranged(option) && option->min != INT64_MIN)
        failed = json_object_set_new(json, "min", json_integer(option->min));
    if (!failed && is_ranged(option) && option->max != INT64_MAX)
        failed = json_object_set_new(json, "max", json_integer(option->max));
    if (!failed && (option->flags & DRAY_OPTION_DEPRECATED) != 0)
        failed = json_object_set_new(json, "deprecated", json_true());
    if (failed) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static json_t *options_json(const struct dray_plugin_info *plugin)
{
    json_t *options = json_array();

    for (size_t i = 0; options != NULL && i < plugin->option_count; i++)
        if (json_array_append_new(options, option_json(&plugin->options[i])) != 0) {
            json_decref(options);
            options = NULL;
        }
    return options;
}

/* What a plugin that is no use has: the names, where its file has them, and the reason. */
static json_t *refused_json(const struct dray_plugin_info *plugin)
{
    json_t *json = json_object();

    if (json == NULL || dray_json_set_path(json, "file", plugin->file, strlen(plugin->file)) != 0 ||
        json_object_set_new(json, "refused", dray_error_to_json(&plugin->refused)) != 0 ||
        (plugin->name != NULL &&
         (json_object_set_new(json, "name", json_string(plugin->name)) != 0 ||
          json_object_set_new(json, "kind", json_string(dray_kind_name(plugin->kind))) != 0))) {
        json_decref(json);
        return NULL;
    }
    return json;
}

json_t *dray_plugin_json(const struct dray_plugin_info *plugin)
{
    dray_autofree char *abi = dray_format("%u.%u", plugin->major, plugin->minor);
    const char *target_type = dray_target_type_name(plugin->target_type);
    json_t *json;

    if (plugin->refused.class_ != 0)
        return refused_json(plugin);
    if (abi == NULL)
        return NULL;
    json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s*}", "name", plugin->name, "kind",
                     dray_kind_name(plugin->kind), "version", plugin->version, "summary",
                     plugin->summary, "abi", abi, "digest", plugin->digest, "target_type",
                     target_type);
    if (json == NULL || dray_json_set_path(json, "file", plugin->file, strlen(plugin->file)) != 0 ||
        json_object_set_new(json, "options", options_json(plugin)) != 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

/* Columns that text takes, counting each character as one. */
static size_t columns(const char *text)
{
    size_t count = 0;

    for (; *text != '\0'; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

static void add_cell(struct dray_buffer *out, const char *text, size_t width)
{
    size_t taken = columns(text);

    dray_buffer_text(out, text);
    dray_buffer_format(out, "%*s", (int)(width > taken ? width - taken : 0) + 2, "");
}

static size_t widest(size_t width, const char *text)
{
    size_t taken = columns(text);

    return taken > width ? taken : width;
}

/* A hint's lines, indented below what they are about. */
static void add_hint(struct dray_buffer *out, const char *hint)
{
    while (*hint != '\0') {
        size_t length = strcspn(hint, "\n");
        dray_buffer_text(out, "    ");
        dray_buffer_add(out, hint, length);
        dray_buffer_text(out, "\n");
        hint += length + (hint[length] == '\n');
    }
}

static void print_refused(const struct dray_plugin_info *plugin, struct dray_buffer *out)
{
    dray_buffer_format(out, "  %s\n", plugin->refused.message);
    add_hint(out, plugin->refused.hint);
}

/* "size, required" */
static const char *type_text(const struct dray_option_info *option, char text[static 48])
{
    (void)snprintf(text, 48, "%s%s%s", dray_type_name(option->type),
                   (option->flags & DRAY_OPTION_REQUIRED) != 0 ? ", required" : "",
                   (option->flags & DRAY_OPTION_DEPRECATED) != 0 ? ", deprecated" : "");
    return text;
}

static const char *fallback_text(const struct dray_option_info *option)
{
    return option->fallback == NULL ? "-" : option->fallback;
}

static void print_options(const struct dray_plugin_info *plugin, struct dray_buffer *out)
{
    size_t name_width = columns("OPTION");
    size_t type_width = columns("TYPE");
    size_t fallback_width = columns("DEFAULT");
    char type[48];

    for (size_t i = 0; i < plugin->option_count; i++) {
        const struct dray_option_info *option = &plugin->options[i];
        name_width = widest(name_width, option->name);
        type_width = widest(type_width, type_text(option, type));
        fallback_width = widest(fallback_width, fallback_text(option));
    }
    add_cell(out, "OPTION", name_width);
    add_cell(out, "TYPE", type_width);
    add_cell(out, "DEFAULT", fallback_width);
    dray_buffer_text(out, "MEANING\n");
    for (size_t i = 0; i < plugin->option_count; i++) {
        const struct dray_option_info *option = &plugin->options[i];
        add_cell(out, option->name, name_width);
        add_cell(out, type_text(option, type), type_width);
        add_cell(out, fallback_text(option), fallback_width);
        dray_buffer_text(out, option->help);
        if (option->type == DRAY_TYPE_CHOICE)
            dray_buffer_format(out, " (%s)", option->choices);
        dray_buffer_text(out, "\n");
    }
}

void dray_plugin_print(const struct dray_plugin_info *plugin, struct dray_buffer *out)
{
    if (plugin->refused.class_ != 0) {
        if (plugin->name != NULL)
            dray_buffer_format(out, "%s/%s ", dray_kind_name(plugin->kind), plugin->name);
        dray_buffer_text(out, "is refused:\n");
        print_refused(plugin, out);
        return;
    }
    dray_buffer_format(out, "%s/%s  %s\n\n", dray_kind_name(plugin->kind), plugin->name,
                       plugin->summary);
    dray_buffer_format(out, "version  %s\n", plugin->version);
    dray_buffer_format(out, "ABI      %u.%u\n", plugin->major, plugin->minor);
    if (plugin->kind == DRAY_KIND_PUSH)
        dray_buffer_format(out, "target   %s\n", dray_target_type_name(plugin->target_type));
    dray_buffer_format(out, "file     %s\n", plugin->file);
    dray_buffer_format(out, "sha256   %s\n\n", plugin->digest);
    if (plugin->option_count == 0)
        dray_buffer_text(out, "It has no options.\n");
    else
        print_options(plugin, out);
}

/* "filter/glob" */
static const char *full_name(const struct dray_plugin_info *plugin, char text[static 96])
{
    (void)snprintf(text, 96, "%s/%s", dray_kind_name(plugin->kind), plugin->name);
    return text;
}

/* The table of those that are good; returns how many are not. */
static size_t print_good(const struct dray_plugin_info *const *plugins, size_t count,
                         struct dray_buffer *out)
{
    size_t name_width = columns("PLUGIN");
    size_t version_width = columns("VERSION");
    size_t summary_width = columns("SUMMARY");
    size_t refused = 0;
    char name[96];

    for (size_t i = 0; i < count; i++) {
        if (plugins[i]->refused.class_ != 0) {
            refused++;
            continue;
        }
        name_width = widest(name_width, full_name(plugins[i], name));
        version_width = widest(version_width, plugins[i]->version);
        summary_width = widest(summary_width, plugins[i]->summary);
    }
    if (refused == count)
        return refused;
    add_cell(out, "PLUGIN", name_width);
    add_cell(out, "VERSION", version_width);
    add_cell(out, "ABI", 3);
    add_cell(out, "SUMMARY", summary_width);
    dray_buffer_text(out, "FILE\n");
    for (size_t i = 0; i < count; i++) {
        if (plugins[i]->refused.class_ != 0)
            continue;
        add_cell(out, full_name(plugins[i], name), name_width);
        add_cell(out, plugins[i]->version, version_width);
        dray_buffer_format(out, "%u.%u  ", plugins[i]->major, plugins[i]->minor);
        add_cell(out, plugins[i]->summary, summary_width);
        dray_buffer_format(out, "%s\n", plugins[i]->file);
    }
    return refused;
}

void dray_plugins_print(const struct dray_plugin_info *const *plugins, size_t count,
                        struct dray_buffer *out)
{
    size_t refused = print_good(plugins, count, out);

    if (refused > 0)
        dray_buffer_format(out, "%srefused:\n", refused < count ? "\n" : "");
    for (size_t i = 0; i < count; i++)
        if (plugins[i]->refused.class_ != 0)
            print_refused(plugins[i], out);
}
