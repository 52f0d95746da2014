/* SPDX-License-Identifier: MIT */
/* reference.c - what can be written in files, made from what is there: schemas and the manual page
 * of plugins. */
#include "core/api/internal.h"

int dray_api_schema(struct dray_api *api, const char *kind, json_t **ret_schema,
                    struct dray_error *error)
{
    return dray_file_schema(kind, api->registry, ret_schema, error);
}

int dray_api_manual(struct dray_api *api, struct dray_buffer *out, struct dray_error *error)
{
    struct dray_arena arena = {0};
    const struct dray_plugin_info *const *plugins = NULL;
    size_t count = 0;
    int result = dray_registry_all(api->registry, &plugins, &count, error);

    if (result != 0)
        return result;
    dray_autofree const struct dray_plugin_info **all = calloc(count + 1, sizeof(*all));
    const struct dray_plugin_info *validate = dray_validate_table(&arena);
    if (all && validate) {
        all[0] = validate;
        for (size_t i = 0; i < count; i++)
            all[i + 1] = plugins[i];
        dray_plugins_manual(all, count + 1, out);
    }
    dray_arena_free(&arena);
    return all && validate && !out->failed ? 0 : dray_fail_memory(error);
}
