/* SPDX-License-Identifier: MIT */
/* recipes.c - saved recipes: what the commands do with them, and what the planner sees of them. */
#include <string.h>

#include "core/api/internal.h"
#include "core/base/text.h"

/* ---- for the planner */

static int find(void *arg, const char *name, int64_t version, char **ret_text, int64_t *ret_version,
                struct dray_error *error)
{
    struct dray_api *api = arg;
    struct dray_recipe_row *row = NULL;
    int result = dray_api_store_read(api, error);

    if (result != 0)
        return result;
    if (version > UINT32_MAX)
        return dray_fail(error, DRAY_NOT_FOUND, "there is no such version");
    result = dray_store_recipe(api->engine.store, name, (uint32_t)version, &row, error);
    if (result != 0)
        return result;
    *ret_text = DRAY_TAKE(row->text);
    *ret_version = row->version;
    dray_recipe_rows_free(row, 1);
    return 0;
}

/* One item a name; the rows of a name follow each other. */
static json_t *names_json(const struct dray_recipe_row *rows, size_t count)
{
    json_t *list = json_array(), *versions = NULL;

    for (size_t i = 0; list && i < count; i++) {
        if (i == 0 || strcmp(rows[i].name, rows[i - 1].name) != 0) {
            json_t *item = json_pack("{s:s, s:[]}", "name", rows[i].name, "versions");
            versions = json_object_get(item, "versions");
            if (json_array_append_new(list, item) != 0)
                break;
        }
        if (json_array_append_new(versions, json_integer(rows[i].version)) != 0)
            break;
        if (i + 1 == count)
            return list;
    }
    if (list && count == 0)
        return list;
    json_decref(list);
    return NULL;
}

static int list(void *arg, json_t **ret_list, struct dray_error *error)
{
    struct dray_api *api = arg;
    struct dray_recipe_row *rows = NULL;
    size_t count = 0;
    int result = dray_api_store_read(api, error);

    if (result == 0)
        result = dray_store_recipes(api->engine.store, &rows, &count, error);
    if (result != 0)
        return result;
    *ret_list = names_json(rows, count);
    dray_recipe_rows_free(rows, count);
    return *ret_list ? 0 : dray_fail_memory(error);
}

struct dray_recipes dray_api_saved(struct dray_api *api)
{
    return (struct dray_recipes){find, list, api};
}

/* ---- the operations */

/* NAME or NAME@VERSION of a command line; version 0: none is named. */
static int read_reference(const char *text, char **ret_name, uint32_t *ret_version,
                          struct dray_error *error)
{
    const char *at = strchr(text, '@'), *why = NULL;
    dray_autofree char *name = at ? strndup(text, (size_t)(at - text)) : strdup(text);
    int64_t version = 0;

    if (!name)
        return dray_fail_memory(error);
    if (!dray_is_recipe_name(name)) {
        (void)dray_fail(error, DRAY_INVALID, "\"%s\" cannot be the name of a recipe", name);
        dray_hint(error, "a to z, 0 to 9, `-` and `_`, beginning with a letter or digit, at most "
                         "64; write NAME or NAME@VERSION");
        return DRAY_INVALID;
    }
    if (at && (dray_int_parse(at + 1, strlen(at + 1), &version, &why) != 0 || version < 1 ||
               version > UINT32_MAX)) {
        (void)dray_fail(error, DRAY_INVALID, "\"%s\" is no version of a recipe", at + 1);
        dray_hint(error, "a number from 1 on, as in %s@1; dray recipe list names all", name);
        return DRAY_INVALID;
    }
    *ret_name = DRAY_TAKE(name);
    *ret_version = (uint32_t)version;
    return 0;
}

/* Say which name may have been meant. */
static void suggest(struct dray_api *api, const char *name, struct dray_error *error)
{
    struct dray_error ignored = {0};
    json_t *known = NULL;

    if (list(api, &known, &ignored) != 0)
        return;
    size_t count = json_array_size(known);
    dray_autofree const char **names = calloc(count + 1, sizeof(*names));
    for (size_t i = 0; names && i < count; i++)
        names[i] = json_string_value(json_object_get(json_array_get(known, i), "name"));
    const char *near = names ? dray_nearest(name, names, count) : NULL;
    if (near && strcmp(near, name) != 0)
        dray_hint(error, "did you mean \"%s\"?", near);
    json_decref(known);
}

int dray_api_recipe_save(struct dray_api *api, const char *name, const char *file,
                         struct dray_diagnostics *diagnostics, json_t **ret_saved,
                         struct dray_error *error)
{
    struct dray_asker asker = {dray_engine_ask, &api->engine};
    struct dray_recipes saved = dray_api_saved(api);
    dray_autofree char *own = NULL, *text = NULL;
    uint32_t version = 0;
    int is_new = 0;
    int result = read_reference(name, &own, &version, error);

    if (result == 0 && version != 0) {
        result = dray_fail(error, DRAY_INVALID, "\"%s\" names a version", name);
        dray_hint(error, "Dray gives the numbers: dray recipe save %s %s", own, file);
    }
    if (result == 0)
        result =
            dray_recipe_text(file, own, api->registry, &asker, &saved, diagnostics, &text, error);
    if (result == DRAY_CONFLICT)
        result = dray_fail(error, DRAY_INVALID, "%s is a directory; a recipe is a YAML file", file);
    if (result == 0)
        result = dray_api_store(api, error);
    if (result == 0)
        result = dray_store_recipe_save(api->engine.store, own, text, api->user, &version, &is_new,
                                        error);
    if (result != 0)
        return result;
    *ret_saved =
        json_pack("{s:s, s:I, s:b}", "recipe", own, "version", (json_int_t)version, "new", is_new);
    return *ret_saved ? 0 : dray_fail_memory(error);
}

/* What the recipe's file says it is for; NULL where it does not. The caller frees it. */
static char *summary_of(const struct dray_recipe_row *row)
{
    dray_cleanup(dray_document_freep) struct dray_document *document = NULL;
    struct dray_diagnostics diagnostics = {0};
    char *summary = NULL;

    if (dray_document_parse(row->name, row->text, strlen(row->text), &diagnostics, &document,
                            NULL) == 0) {
        const struct dray_node *node = dray_node_get(dray_document_root(document), "summary");
        if (node && node->kind == DRAY_NODE_SCALAR)
            summary = strdup(node->text);
    }
    dray_diagnostics_free(&diagnostics);
    return summary;
}

static json_t *row_json(const struct dray_recipe_row *row)
{
    char time[24];
    dray_autofree char *summary = summary_of(row);
    json_t *json = json_pack("{s:s, s:I, s:s, s:s, s:s}", "recipe", row->name, "version",
                             (json_int_t)row->version, "digest", row->digest, "saved",
                             dray_time_print(row->saved_at, time), "by", row->saved_by);

    if (json && summary && json_object_set_new(json, "summary", json_string(summary)) != 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

int dray_api_recipe_list(struct dray_api *api, json_t **ret_list, struct dray_error *error)
{
    struct dray_recipe_row *rows = NULL;
    size_t count = 0;
    int result = dray_api_store_read(api, error);

    if (result == 0)
        result = dray_store_recipes(api->engine.store, &rows, &count, error);
    if (result != 0)
        return result;
    json_t *all = json_array();
    for (size_t i = 0; all && i < count; i++) {
        if (json_array_append_new(all, row_json(&rows[i])) != 0) {
            json_decref(all);
            all = NULL;
        }
    }
    dray_recipe_rows_free(rows, count);
    *ret_list = all;
    return all ? 0 : dray_fail_memory(error);
}

int dray_api_recipe_show(struct dray_api *api, const char *reference, json_t **ret_recipe,
                         struct dray_error *error)
{
    dray_autofree char *name = NULL;
    struct dray_recipe_row *row = NULL;
    uint32_t version = 0;
    int result = read_reference(reference, &name, &version, error);

    if (result == 0)
        result = dray_api_store_read(api, error);
    if (result == 0)
        result = dray_store_recipe(api->engine.store, name, version, &row, error);
    if (result == DRAY_NOT_FOUND)
        suggest(api, name, error);
    if (result != 0)
        return result;
    json_t *json = row_json(row);
    if (json && json_object_set_new(json, "text", json_string(row->text)) != 0) {
        json_decref(json);
        json = NULL;
    }
    dray_recipe_rows_free(row, 1);
    *ret_recipe = json;
    return json ? 0 : dray_fail_memory(error);
}

int dray_api_recipe_delete(struct dray_api *api, const char *reference, json_t **ret_deleted,
                           struct dray_error *error)
{
    dray_autofree char *name = NULL;
    uint32_t version = 0, count = 0;
    int result = read_reference(reference, &name, &version, error);

    if (result == 0)
        result = dray_api_store(api, error);
    if (result == 0)
        result = dray_store_recipe_delete(api->engine.store, name, version, &count, error);
    if (result == DRAY_NOT_FOUND)
        suggest(api, name, error);
    if (result != 0)
        return result;
    *ret_deleted = json_pack("{s:s, s:I}", "recipe", name, "deleted", (json_int_t)count);
    if (*ret_deleted && version &&
        json_object_set_new(*ret_deleted, "version", json_integer(version)) != 0) {
        json_decref(*ret_deleted);
        *ret_deleted = NULL;
    }
    return *ret_deleted ? 0 : dray_fail_memory(error);
}
