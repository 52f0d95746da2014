/* SPDX-License-Identifier: MIT */
/* recipe.c - dray recipe: saved filter and transform steps. */
#include <string.h>

#include "cmd/command.h"
#include "core/base/text.h"

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : "";
}

static long long number(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static int save(struct options *options, struct dray_api *api, json_t **ret_json,
                struct dray_error *error)
{
    struct dray_diagnostics diagnostics = {0};
    int status = -1;

    if (dray_api_recipe_save(api, options->arguments[1], options->arguments[2], &diagnostics,
                             ret_json, error) != 0)
        status = report(options, error, &diagnostics, NULL);
    else if (!options->json)
        (void)printf("%s@%lld %s\n", text(*ret_json, "recipe"), number(*ret_json, "version"),
                     json_is_true(json_object_get(*ret_json, "new")) ? "saved"
                                                                     : "is this text already");
    dray_diagnostics_free(&diagnostics);
    return status;
}

static void print_line(const json_t *recipe)
{
    dray_autofree char *name =
        dray_format("%s@%lld", text(recipe, "recipe"), number(recipe, "version"));

    (void)printf("%-20s  %s  %-12s  ", name ? name : "", text(recipe, "saved"), text(recipe, "by"));
    print_text(stdout, text(recipe, "summary"));
    (void)fputc('\n', stdout);
}

static int list(struct options *options, struct dray_api *api, json_t **ret_json,
                struct dray_error *error)
{
    json_t *recipe;
    size_t i;

    if (dray_api_recipe_list(api, ret_json, error) != 0)
        return report(options, error, NULL, NULL);
    if (options->json)
        return -1;
    json_array_foreach(*ret_json, i, recipe) print_line(recipe);
    if (json_array_size(*ret_json) == 0)
        (void)puts("no recipes");
    return -1;
}

static int show(struct options *options, struct dray_api *api, json_t **ret_json,
                struct dray_error *error)
{
    if (dray_api_recipe_show(api, options->arguments[1], ret_json, error) != 0)
        return report(options, error, NULL, NULL);
    if (!options->json) /* as it is, so that it can be a file again */
        (void)fputs(text(*ret_json, "text"), stdout);
    return -1;
}

static int delete (struct options *options, struct dray_api *api, json_t **ret_json,
                   struct dray_error *error)
{
    if (dray_api_recipe_delete(api, options->arguments[1], ret_json, error) != 0)
        return report(options, error, NULL, NULL);
    if (options->json)
        return -1;
    long long version = number(*ret_json, "version"), count = number(*ret_json, "deleted");
    (void)printf("%s", text(*ret_json, "recipe"));
    if (version)
        (void)printf("@%lld deleted\n", version);
    else
        (void)printf(" deleted, %lld version%s\n", count, count == 1 ? "" : "s");
    return -1;
}

static const struct verb {
    const char *name;
    int arguments;
    /* an exit status; -1: all is well, and the JSON is to be printed where it is asked for */
    int (*run)(struct options *options, struct dray_api *api, json_t **ret_json,
               struct dray_error *error);
} verbs[] = {{"save", 3, save}, {"list", 1, list}, {"show", 2, show}, {"delete", 2, delete}};

static int wrong_arguments(const struct options *options)
{
    const char *names[DRAY_COUNT(verbs)];

    for (size_t i = 0; i < DRAY_COUNT(verbs); i++)
        names[i] = verbs[i].name;
    return wrong_verb(options, "recipe", names, DRAY_COUNT(verbs),
                      "usage: dray recipe save NAME FILE\n"
                      "       dray recipe list\n"
                      "       dray recipe show NAME[@VERSION]\n"
                      "       dray recipe delete NAME[@VERSION]");
}

int command_recipe(struct options *options)
{
    struct dray_api_settings settings = {.interrupt_fd = -1, .unconfined = options->no_sandbox};
    dray_cleanup(dray_api_closep) struct dray_api *api = NULL;
    struct dray_error error = {0};
    json_t *json = NULL;
    size_t i = 0;

    while (i < DRAY_COUNT(verbs) && (strcmp(verbs[i].name, options->arguments[0]) != 0 ||
                                     verbs[i].arguments != options->argument_count))
        i++;
    if (i == DRAY_COUNT(verbs))
        return wrong_arguments(options);
    if (options->no_sandbox)
        (void)fputs("warning: --no-sandbox: plugins run unconfined\n", stderr);
    if (dray_api_open(&settings, &api, &error) != 0)
        return report(options, &error, NULL, NULL);
    int status = verbs[i].run(options, api, &json, &error);
    if (status == -1)
        status = options->json ? print_json(json_incref(json)) : 0;
    json_decref(json);
    return status;
}
