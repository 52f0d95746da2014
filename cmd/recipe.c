/* SPDX-License-Identifier: MIT */
/* recipe.c - dray recipe: saved filter and transform steps. */
#include <string.h>

#include "cmd/command.h"
#include "core/base/text.h"

static int save(struct work *work)
{
    const char *const *arguments = work->options->arguments;
    json_t *saved = NULL;

    if (work_open(work) != 0 || dray_api_recipe_save(work->api, arguments[1], arguments[2],
                                                     &work->diagnostics, &saved, &work->error) != 0)
        return work_fail(work);
    if (work->options->json)
        return print_json(saved);
    (void)printf("%s@%llu %s\n", text(saved, "recipe"), number(saved, "version"),
                 json_is_true(json_object_get(saved, "new")) ? "saved" : "is this text already");
    json_decref(saved);
    return 0;
}

static void print_line(const json_t *recipe)
{
    dray_autofree char *name =
        dray_format("%s@%llu", text(recipe, "recipe"), number(recipe, "version"));

    (void)printf("%-20s  %s  %-12s  ", name ? name : "", text(recipe, "saved"), text(recipe, "by"));
    print_text(stdout, text(recipe, "summary"));
    (void)fputc('\n', stdout);
}

static int list(struct work *work)
{
    json_t *recipes = NULL, *recipe;
    size_t i;

    if (work_open(work) != 0 || dray_api_recipe_list(work->api, &recipes, &work->error) != 0)
        return work_fail(work);
    if (work->options->json)
        return print_json(recipes);
    json_array_foreach(recipes, i, recipe) print_line(recipe);
    if (json_array_size(recipes) == 0)
        (void)puts("no recipes");
    json_decref(recipes);
    return 0;
}

static int show(struct work *work)
{
    json_t *recipe = NULL;

    if (work_open(work) != 0 ||
        dray_api_recipe_show(work->api, work->options->arguments[1], &recipe, &work->error) != 0)
        return work_fail(work);
    if (work->options->json)
        return print_json(recipe);
    (void)fputs(text(recipe, "text"), stdout); /* as it is, so that it can be a file again */
    json_decref(recipe);
    return 0;
}

static int delete (struct work *work)
{
    json_t *deleted = NULL;

    if (work_open(work) != 0 ||
        dray_api_recipe_delete(work->api, work->options->arguments[1], &deleted, &work->error) != 0)
        return work_fail(work);
    if (work->options->json)
        return print_json(deleted);
    unsigned long long version = number(deleted, "version"), count = number(deleted, "deleted");
    (void)printf("%s", text(deleted, "recipe"));
    if (version)
        (void)printf("@%llu deleted\n", version);
    else
        (void)printf(" deleted, %llu version%s\n", count, count == 1 ? "" : "s");
    json_decref(deleted);
    return 0;
}

static const struct verb verbs[] = {
    {"save", " NAME FILE", "n", 2, 2, save},
    {"list", "", "n", 0, 0, list},
    {"show", " NAME[@VERSION]", "n", 1, 1, show},
    {"delete", " NAME[@VERSION]", "n", 1, 1, delete},
};
const struct verbs recipe_verbs = {verbs, DRAY_COUNT(verbs)};

int command_recipe(struct options *options)
{
    return run_verb(options, "recipe", &recipe_verbs);
}
