/* SPDX-License-Identifier: MIT */
/* instance.c - a plugin's own struct, made and filled by the host from checked options. */
#include <stdalign.h>
#include <string.h>

#include "core/plugin/descriptor.h"
#include "core/plugin/load.h"
#include "core/plugin/value.h"

/* The options were checked when the plan was made: what does not fit now was lost between
 * processes. */
static int mismatch(const struct dray_loaded *loaded, const char *option, const char *problem,
                    struct dray_error *error)
{
    return dray_fail(error, DRAY_BUG, "option \"%.80s\" of %s/%s %s", option,
                     dray_kind_name(loaded->plugin.head.kind), loaded->plugin.name, problem);
}

/* A text in the instance's own memory; NULL: out of memory. */
static const char *keep_text(struct dray_arena *values, const json_t *json)
{
    return dray_arena_text(values, json_string_value(json), json_string_length(json));
}

static const char **keep_array(struct dray_arena *values, size_t count)
{
    return dray_arena_alloc(values, (count == 0 ? 1 : count) * sizeof(char *), alignof(char *));
}

static int fill_number(const struct dray_option *option, const json_t *json, void *member)
{
    int measure = option->type == DRAY_TYPE_SIZE || option->type == DRAY_TYPE_DURATION;
    int64_t number = 0;

    if (measure && json_is_string(json) && strcmp(json_string_value(json), "none") == 0)
        number = DRAY_NONE;
    else if (option->type == DRAY_TYPE_BOOL && json_is_boolean(json))
        number = json_is_true(json);
    else if (option->type == DRAY_TYPE_CHOICE && json_is_string(json))
        number =
            dray_choice_find(option->choices, json_string_value(json), json_string_length(json));
    else if (option->type != DRAY_TYPE_BOOL && option->type != DRAY_TYPE_CHOICE &&
             json_is_integer(json))
        number = json_integer_value(json);
    else
        return DRAY_BUG;
    if (option->type == DRAY_TYPE_CHOICE && number < 0)
        return DRAY_BUG;
    if (measure && number < 0)
        return DRAY_BUG;
    memcpy(member, &number, sizeof number);
    return 0;
}

static int fill_text(struct dray_arena *values, const json_t *json, void *member)
{
    const char *text;

    if (!json_is_string(json))
        return DRAY_BUG;
    text = keep_text(values, json);
    if (text == NULL)
        return DRAY_NO_MEMORY;
    memcpy(member, &text, sizeof text);
    return 0;
}

static int fill_strings(struct dray_arena *values, const json_t *json, void *member)
{
    struct dray_strings strings = {.count = json_array_size(json)};
    const char **items = keep_array(values, json_array_size(json));

    if (!json_is_array(json))
        return DRAY_BUG;
    if (items == NULL)
        return DRAY_NO_MEMORY;
    for (size_t i = 0; i < strings.count; i++) {
        const json_t *item = json_array_get(json, i);
        if (!json_is_string(item))
            return DRAY_BUG;
        items[i] = keep_text(values, item);
        if (items[i] == NULL)
            return DRAY_NO_MEMORY;
    }
    strings.items = items;
    memcpy(member, &strings, sizeof strings);
    return 0;
}

/* Jansson keeps the order in which keys were added, and reading JSON adds them as they stand. */
static int fill_map(struct dray_arena *values, json_t *json, void *member)
{
    size_t count = json_object_size(json);
    const char **keys = keep_array(values, count);
    const char **texts = keep_array(values, count);
    struct dray_map map = {.count = 0};
    const char *key;
    json_t *value;

    if (!json_is_object(json))
        return DRAY_BUG;
    if (keys == NULL || texts == NULL)
        return DRAY_NO_MEMORY;
    json_object_foreach(json, key, value)
    {
        if (!json_is_string(value))
            return DRAY_BUG;
        keys[map.count] = dray_arena_text(values, key, strlen(key));
        texts[map.count] = keep_text(values, value);
        if (keys[map.count] == NULL || texts[map.count] == NULL)
            return DRAY_NO_MEMORY;
        map.count++;
    }
    map.keys = keys;
    map.values = texts;
    memcpy(member, &map, sizeof map);
    return 0;
}

static int fill_option(struct dray_instance *instance, uint32_t index,
                       const struct dray_option *option, json_t *json)
{
    void *member = (char *)instance->self + option->offset;
    struct dray_secret secret = {(uint64_t)index + 1};

    switch (option->type) {
    case DRAY_TYPE_STRING:
    case DRAY_TYPE_PATH:
        return fill_text(&instance->values, json, member);
    case DRAY_TYPE_STRINGS:
        return fill_strings(&instance->values, json, member);
    case DRAY_TYPE_MAP:
        return fill_map(&instance->values, json, member);
    case DRAY_TYPE_SECRET:
        if (!json_is_string(json))
            return DRAY_BUG;
        memcpy(member, &secret, sizeof secret);
        return 0;
    default:
        return fill_number(option, json, member);
    }
}

static int fill(struct dray_instance *instance, const json_t *with, struct dray_error *error)
{
    const struct dray_plugin *plugin = &instance->loaded->plugin;
    size_t found = 0;

    for (uint32_t i = 0; i < plugin->option_count; i++) {
        struct dray_option option = dray_descriptor_option(plugin, i);
        json_t *json = json_object_get(with, option.name);
        int result = 0;
        if (json != NULL)
            result = fill_option(instance, i, &option, json);
        else if ((option.flags & DRAY_OPTION_REQUIRED) != 0)
            return mismatch(instance->loaded, option.name, "is required and missing", error);
        if (result == DRAY_NO_MEMORY)
            return dray_fail_memory(error);
        if (result != 0)
            return mismatch(instance->loaded, option.name, "got a value of another type", error);
        found += json != NULL;
    }
    /* One that no option takes would be lost without a word. */
    if (found != json_object_size(with))
        return dray_fail(error, DRAY_BUG, "%s/%s got %zu options that it does not have",
                         dray_kind_name(plugin->head.kind), plugin->name,
                         json_object_size(with) - found);
    return 0;
}

static void instance_freep(struct dray_instance **instance)
{
    dray_instance_free(*instance);
}

int dray_instance_new(const struct dray_loaded *loaded, const json_t *with,
                      struct dray_instance **ret_instance, struct dray_error *error)
{
    dray_cleanup(instance_freep) struct dray_instance *instance = calloc(1, sizeof *instance);
    uint64_t size = loaded->plugin.instance_size;
    int result;

    if (instance == NULL)
        return dray_fail_memory(error);
    instance->loaded = loaded;
    /* malloc's memory is aligned to max_align_t. */
    instance->self = size > SIZE_MAX ? NULL : calloc(1, size == 0 ? 1 : (size_t)size);
    if (instance->self == NULL)
        return dray_fail_memory(error);
    result = fill(instance, with, error);
    if (result != 0)
        return result;
    *ret_instance = DRAY_TAKE(instance);
    return 0;
}

void dray_instance_free(struct dray_instance *instance)
{
    if (instance == NULL)
        return;
    if (instance->prepared && instance->loaded->plugin.destroy != NULL)
        instance->loaded->plugin.destroy(instance->self);
    free(instance->self);
    dray_arena_free(&instance->values);
    free(instance);
}
