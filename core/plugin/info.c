/* SPDX-License-Identifier: MIT */
/* info.c - see info.h. */
#include "core/plugin/info.h"

#include <string.h>

#include "core/plugin/descriptor.h"
#include "core/plugin/value.h"

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789"

static int is_made_of(const char *name, const char *letters)
{
    size_t length = strspn(name, letters);

    return length > 0 && length <= DRAY_LONGEST_NAME && name[length] == '\0';
}

int dray_plugin_name_valid(const char *name)
{
    return is_made_of(name, NAME_LETTERS "-");
}

int dray_option_name_valid(const char *name)
{
    return is_made_of(name, NAME_LETTERS "_");
}

int dray_plugin_file_parse(const char *file, uint32_t *ret_kind, const char **ret_name,
                           size_t *ret_length)
{
    const char *slash = strrchr(file, '/');
    const char *base = slash == NULL ? file : slash + 1;
    const char *name = strchr(base, '-');
    uint32_t kind = name == NULL ? 0 : dray_kind_of_name(base, (size_t)(name - base));
    size_t length;

    if (kind == 0)
        return 0;
    name++;
    length = strspn(name, NAME_LETTERS "-");
    if (length == 0 || length > DRAY_LONGEST_NAME || strcmp(name + length, ".so") != 0)
        return 0;
    *ret_kind = kind;
    *ret_name = name;
    *ret_length = length;
    return 1;
}

static json_t *pack_option(const struct dray_option *option)
{
    return json_pack("{s:s, s:s, s:s*, s:s*, s:I, s:I, s:I, s:I}", "name", option->name, "help",
                     option->help, "default", option->fallback, "choices", option->choices, "min",
                     (json_int_t)option->min, "max", (json_int_t)option->max, "type",
                     (json_int_t)option->type, "flags", (json_int_t)option->flags);
}

json_t *dray_info_pack(const struct dray_plugin *plugin, uint32_t target_type)
{
    json_t *options = json_array();

    for (uint32_t i = 0; i < plugin->option_count; i++) {
        struct dray_option option = dray_descriptor_option(plugin, i);
        if (json_array_append_new(options, pack_option(&option)) != 0) {
            json_decref(options);
            return NULL;
        }
    }
    /* "o" takes the reference, also when packing fails. */
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "name", plugin->name,
                     "version", plugin->version, "summary", plugin->summary, "kind",
                     (json_int_t)plugin->head.kind, "major", (json_int_t)plugin->head.major,
                     "minor", (json_int_t)plugin->head.minor, "caps", (json_int_t)plugin->head.caps,
                     "target_type", (json_int_t)target_type, "options", options);
}

static int get_text(const json_t *json, const char *key, int optional, char **ret_text)
{
    const json_t *value = json_object_get(json, key);

    if (value == NULL && optional)
        return 0;
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
        return DRAY_INVALID;
    *ret_text = strdup(json_string_value(value));
    return *ret_text == NULL ? DRAY_NO_MEMORY : 0;
}

static int get_int(const json_t *json, const char *key, int64_t *ret_value)
{
    const json_t *value = json_object_get(json, key);

    if (!json_is_integer(value))
        return DRAY_INVALID;
    *ret_value = json_integer_value(value);
    return 0;
}

static int get_uint32(const json_t *json, const char *key, uint32_t *ret_value)
{
    int64_t value;
    int result = get_int(json, key, &value);

    if (result != 0 || value < 0 || value > UINT32_MAX)
        return DRAY_INVALID;
    *ret_value = (uint32_t)value;
    return 0;
}

static int first_failure(const int *results, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (results[i] != 0)
            return results[i];
    return 0;
}

static int unpack_option(struct dray_option_info *option, const json_t *json)
{
    const int results[] = {
        get_text(json, "name", 0, &option->name),
        get_text(json, "help", 0, &option->help),
        get_text(json, "default", 1, &option->fallback),
        get_text(json, "choices", 1, &option->choices),
        get_int(json, "min", &option->min),
        get_int(json, "max", &option->max),
        get_uint32(json, "type", &option->type),
        get_uint32(json, "flags", &option->flags),
    };
    int result = first_failure(results, DRAY_COUNT(results));

    if (result == 0 && dray_type_size(option->type) == 0)
        result = DRAY_INVALID;
    if (result == 0 && option->type == DRAY_TYPE_CHOICE && option->choices == NULL)
        result = DRAY_INVALID;
    return result;
}

static int unpack_options(struct dray_plugin_info *info, const json_t *json)
{
    size_t count = json_array_size(json);

    if (!json_is_array(json) || count > DRAY_MOST_OPTIONS)
        return DRAY_INVALID;
    info->options = calloc(count == 0 ? 1 : count, sizeof *info->options);
    if (info->options == NULL)
        return DRAY_NO_MEMORY;
    for (; info->option_count < count; info->option_count++) {
        /* Counted even when it fails, so that what it got is freed. */
        int result = unpack_option(&info->options[info->option_count],
                                   json_array_get(json, info->option_count));
        if (result != 0) {
            info->option_count++;
            return result;
        }
    }
    return 0;
}

int dray_info_unpack(struct dray_plugin_info *info, const json_t *json)
{
    int64_t caps = 0;
    const int results[] = {
        get_text(json, "name", 0, &info->name),
        get_text(json, "version", 0, &info->version),
        get_text(json, "summary", 0, &info->summary),
        get_uint32(json, "kind", &info->kind),
        get_uint32(json, "major", &info->major),
        get_uint32(json, "minor", &info->minor),
        get_int(json, "caps", &caps),
        get_uint32(json, "target_type", &info->target_type),
    };
    int result = first_failure(results, DRAY_COUNT(results));

    if (result != 0)
        return result;
    info->caps = (uint64_t)caps;
    if (dray_kind_name(info->kind) == NULL || !dray_plugin_name_valid(info->name))
        return DRAY_INVALID;
    return unpack_options(info, json_object_get(json, "options"));
}

void dray_info_free(struct dray_plugin_info *info)
{
    if (info == NULL)
        return;
    for (size_t i = 0; i < info->option_count; i++) {
        free(info->options[i].name);
        free(info->options[i].help);
        free(info->options[i].fallback);
        free(info->options[i].choices);
    }
    free(info->options);
    free(info->file);
    free(info->digest);
    free(info->name);
    free(info->version);
    free(info->summary);
    free(info);
}

void dray_info_freep(struct dray_plugin_info **info)
{
    dray_info_free(*info);
}
