/* SPDX-License-Identifier: MIT */
/* explain.c - the policies in force: what they say of a case, and whether their tests hold. */
#include <string.h>

#include "core/api/internal.h"
#include "core/base/io.h"
#include "core/base/path.h"
#include "core/base/text.h"

/* ---- explain: the facts of a case that somebody describes */

/* A name that ends like an archive is that of what is in it; what is no path is a name. */
static char *dataset_name(const struct dray_api *api, const char *text)
{
    if (!dray_is_path(text))
        return strdup(text);
    dray_autofree char *path = dray_path_absolute(api->here, text);
    dray_autofree char *real = path ? dray_path_real(path) : NULL;
    /* What a link leads to may be called anything; such a dataset is not delivered. */
    const char *known = real && dray_utf8_valid(real, strlen(real)) ? real : path;
    return known ? dray_dataset_name(known) : NULL;
}

static int set(json_t *facts, const char *name, const char *value)
{
    return json_object_set_new(facts, name, json_string(value));
}

/* What a directory as target is known by. */
static int set_directory(const struct dray_api *api, const char *target, json_t *facts)
{
    size_t length = strlen(target);
    const char *dataset = json_string_value(json_object_get(facts, "dataset.name"));
    dray_autofree char *path = dray_path_absolute(api->here, target);
    dray_autofree char *real = path ? dray_path_real(path) : NULL;
    dray_autofree char *whole =
        real && length && target[length - 1] == '/' && dataset
            ? dray_format("%s/%s", strcmp(real, "/") == 0 ? "" : real, dataset)
            : NULL;
    const char *canonical = whole ? whole : real;

    return !canonical || set(facts, "target.type", "hpfs") || set(facts, "target.plugin", "hpfs") ||
           set(facts, "target.path", canonical) || set(facts, "target.uri", canonical);
}

static int set_target(const struct dray_api *api, const char *target, json_t *facts,
                      struct dray_error *error)
{
    static const struct {
        const char *scheme, *type;
    } schemes[] = {{"s3", "cloud"},
                   {"gs", "cloud"},
                   {"az", "cloud"},
                   {"https", "cloud"},
                   {"globus", "globus"}};
    const char *colon = strstr(target, "://");
    const char *type = NULL;

    if (!colon)
        return set_directory(api, target, facts) == 0 ? 0 : dray_fail_memory(error);
    for (size_t i = 0; i < DRAY_COUNT(schemes); i++)
        if (strlen(schemes[i].scheme) == (size_t)(colon - target) &&
            strncmp(target, schemes[i].scheme, strlen(schemes[i].scheme)) == 0)
            type = schemes[i].type;
    if (!type) {
        (void)dray_fail(error, DRAY_INVALID, "it is not known what kind of target %.*s:// is",
                        (int)(colon - target), target);
        dray_hint(error, "say it with --given: --given target.type=other --given target.uri=%s",
                  target);
        return error->class_;
    }
    const char *host = colon + 3;
    dray_autofree char *name = strndup(host, strcspn(host, "/"));
    /* Of a bucket's address only the provider's plugin knows the host. */
    int is_host = strncmp(target, "https", 5) == 0;
    return !name || set(facts, "target.type", type) || set(facts, "target.uri", target) ||
                   (is_host && (set(facts, "target.host", name) ||
                                set(facts, "target.path", host + strlen(name))))
               ? dray_fail_memory(error)
               : 0;
}

/* What a case has to say: without a dataset or a target its facts would be taken for ones that are
 * not there. */
static int check_given(const json_t *facts, struct dray_error *error)
{
    int dataset = json_object_get(facts, "dataset.name") != NULL;

    if (dataset && json_object_get(facts, "target.type"))
        return 0;
    (void)dray_fail(error, DRAY_INVALID, "%s is missing: rules ask for it",
                    dataset ? "--target" : "--dataset");
    dray_hint(error, dataset
                         ? "--target DIRECTORY, --target DIRECTORY/ for what is put into it, or "
                           "--given target.type=cloud and so on"
                         : "--dataset NAME or ./PATH, or --given dataset.name=NAME");
    return error->class_;
}

/* How much is to be delivered, which is no fact but what limits are about. 1: it is that. */
static int take_amount(const char *given, struct dray_policy_case *of, int *ret_result,
                       struct dray_error *error)
{
    const char *value = strchr(given, '=') ? strchr(given, '=') + 1 : "";
    const char *why = NULL;

    if (strncmp(given, "total_bytes=", strlen("total_bytes=")) == 0) {
        *ret_result = dray_size_parse(value, strlen(value), &of->total_bytes, &why) == 0
                          ? 0
                          : dray_fail(error, DRAY_INVALID, "--given %s: %s", given, why);
        return 1;
    }
    if (strncmp(given, "entries=", strlen("entries=")) == 0) {
        *ret_result = dray_int_parse(value, strlen(value), &of->entries, &why) == 0
                          ? 0
                          : dray_fail(error, DRAY_INVALID, "--given %s: %s", given, why);
        return 1;
    }
    return 0;
}

/* Facts are texts, and so is the answer. */
static int check_text(const char *what, const char *text, struct dray_error *error)
{
    if (!text || (text[0] && dray_utf8_valid(text, strlen(text))))
        return 0;
    if (!text[0])
        return dray_fail(error, DRAY_INVALID, "the %s is empty", what);
    (void)dray_fail(error, DRAY_INVALID, "the %s is not UTF-8, and a policy can hold nothing else",
                    what);
    return error->class_;
}

static int check_words(const struct dray_explain_request *request, struct dray_error *error)
{
    int result = check_text("dataset", request->dataset, error);

    if (result == 0)
        result = check_text("target", request->target, error);
    if (result == 0)
        result = check_text("user", request->user, error);
    if (result == 0)
        result = check_text("path", request->path, error);
    for (size_t i = 0; result == 0 && i < request->given_count; i++)
        result = check_text("fact", request->given[i], error);
    return result;
}

/* What the catalog says of a dataset that is named; one that it does not have has only its name.
 * *ret_source is where its bytes are, as far as that can be told, and *ret_id its number; the
 * caller frees the source. */
static int set_known(struct dray_api *api, const char *reference, json_t *facts, char **ret_source,
                     json_int_t *ret_id, struct dray_error *error)
{
    const struct dray_catalog catalog = dray_api_catalog(api);
    json_t *dataset = NULL;
    struct dray_error missing = {0};

    if (dray_is_path(reference)) {
        *ret_source = dray_path_absolute(api->here, reference);
        return *ret_source ? 0 : dray_fail_memory(error);
    }
    int result = catalog.find(catalog.arg, reference, &dataset, &missing);
    if (result == DRAY_NOT_FOUND) {
        *ret_source = dray_is_remote(reference) ? strdup(reference) : NULL;
        return dray_is_remote(reference) && !*ret_source ? dray_fail_memory(error) : 0;
    }
    const char *source = json_string_value(json_object_get(dataset, "source"));
    *ret_source = source ? strdup(source) : NULL;
    *ret_id = json_integer_value(json_object_get(dataset, "id"));
    if (result != 0)
        *error = missing;
    else if ((source && !*ret_source) ||
             set(facts, "dataset.name", json_string_value(json_object_get(dataset, "name"))) ||
             dray_facts_of_dataset(facts, dataset) != 0)
        result = dray_fail_memory(error);
    json_decref(dataset);
    return result;
}

/* The facts of the case, with those of another dataset in place of its own. NULL: no memory. */
static json_t *facts_of_other(const json_t *facts, const json_t *dataset)
{
    json_t *other = json_deep_copy(facts), *value;
    const char *name;
    void *next;

    json_object_foreach_safe(other, next, name, value)
    {
        if (strncmp(name, "dataset.", strlen("dataset.")) == 0)
            (void)json_object_del(other, name);
    }
    if (other &&
        set(other, "dataset.name", json_string_value(json_object_get(dataset, "name"))) == 0 &&
        dray_facts_of_dataset(other, dataset) == 0)
        return other;
    json_decref(other);
    return NULL;
}

/* What else the catalog says of the same bytes: plans weigh it, too. */
static int add_others(struct dray_api *api, const char *source, json_int_t known,
                      const struct dray_policy_case *of, struct dray_error *error)
{
    const struct dray_catalog catalog = dray_api_catalog(api);
    json_t *rows = NULL, *row;
    size_t i;
    int result = catalog.sharing(catalog.arg, source, &rows, error);

    json_array_foreach(rows, i, row)
    {
        if (result == 0 && json_integer_value(json_object_get(row, "id")) != known &&
            json_array_append_new(of->others, facts_of_other(of->facts, row)) != 0)
            result = dray_fail_memory(error);
    }
    json_decref(rows);
    return result;
}

static int collect_facts(struct dray_api *api, const struct dray_explain_request *request,
                         json_t *facts, struct dray_policy_case *of, struct dray_error *error)
{
    dray_autofree char *source = NULL;
    json_int_t known = 0;
    dray_autofree char *name = request->dataset ? dataset_name(api, request->dataset) : NULL;
    json_t *given = json_object();
    int result = 0;

    if (!given || (request->dataset && !name) || (name && set(facts, "dataset.name", name)) ||
        set(facts, "user.name", request->user ? request->user : api->user) ||
        set(facts, "user.role", "user") || set(facts, "actor.name", api->actor))
        result = dray_fail_memory(error);
    if (result == 0 && request->dataset)
        result = set_known(api, request->dataset, facts, &source, &known, error);
    if (result == 0 && request->target)
        result = set_target(api, request->target, facts, error);
    for (size_t i = 0; result == 0 && i < request->given_count; i++)
        if (!take_amount(request->given[i], of, &result, error))
            result = dray_facts_set(given, request->given[i], error);
    if (result == 0 && json_object_update(facts, given) != 0)
        result = dray_fail_memory(error);
    json_decref(given);
    if (result == 0)
        result = check_given(facts, error);
    return result == 0 && source ? add_others(api, source, known, of, error) : result;
}

int dray_api_policy_explain(struct dray_api *api, const struct dray_explain_request *request,
                            struct dray_diagnostics *diagnostics, json_t **ret_answer,
                            struct dray_error *error)
{
    struct dray_plan_request plan;
    json_t *facts = json_object();
    struct dray_policy_case of = {.facts = facts,
                                  .others = json_array(),
                                  .path = request->path,
                                  .size = request->size,
                                  .total_bytes = -1,
                                  .entries = -1};
    int result = facts && of.others ? check_words(request, error) : dray_fail_memory(error);

    if (result == 0)
        result = collect_facts(api, request, facts, &of, error);
    if (result == 0)
        result = dray_api_plan_request(api, &plan, diagnostics, error);
    if (result == 0)
        result = dray_policy_explain(&plan, &of, diagnostics, ret_answer, error);
    json_decref(facts);
    json_decref(of.others);
    return result;
}

/* ---- test */

int dray_api_policy_test(struct dray_api *api, const char *const *paths, size_t count,
                         struct dray_diagnostics *diagnostics, json_t **ret_answer,
                         struct dray_error *error)
{
    dray_cleanup(dray_policy_paths_free) struct dray_policy_paths set = {0};
    struct dray_plan_request plan;
    int result = dray_api_plan_request(api, &plan, diagnostics, error);

    if (result == 0 && count > 0)
        result = dray_policy_paths(paths, count, &set, &plan, error);
    return result == 0 ? dray_policy_test(&plan, diagnostics, ret_answer, error) : result;
}
