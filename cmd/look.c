/* SPDX-License-Identifier: MIT */
/* look.c - jobs, show, verify and plugin: commands that change nothing. */
#include <string.h>

#include "cmd/command.h"

static void print_row(const json_t *job)
{
    const json_t *targets = json_object_get(job, "targets");

    (void)printf("%.8s  %-10s %s  %-12s ", text(job, "job"), text(job, "state"),
                 text(job, "created"), text(job, "user"));
    print_text(stdout, text(job, "dataset"));
    (void)fputs(" -> ", stdout);
    print_text(stdout, text(json_array_get(targets, 0), "destination"));
    if (json_array_size(targets) > 1)
        (void)printf(" and %zu more", json_array_size(targets) - 1);
    if (text(job, "reason")[0]) {
        (void)fputs("  (", stdout);
        print_text(stdout, text(job, "reason"));
        (void)fputc(')', stdout);
    }
    (void)fputc('\n', stdout);
}

int command_jobs(struct options *options)
{
    dray_cleanup(dray_api_closep) struct dray_api *api = NULL;
    struct dray_api_settings settings = api_settings(options);
    struct dray_jobs_request request = {.state = options->state,
                                        .dataset = options->dataset,
                                        .user = options->user,
                                        .since = options->since,
                                        .limit = options->limit ? options->limit : 100};
    struct dray_error error = {0};
    json_t *jobs = NULL, *job;
    size_t i;

    int result = dray_api_open(&settings, &api, &error);
    if (result == 0)
        result = dray_api_jobs(api, &request, &jobs, &error);
    if (result != 0)
        return report(options, &error, NULL, NULL);
    if (options->json)
        return print_json(jobs);
    json_array_foreach(jobs, i, job) print_row(job);
    if (json_array_size(jobs) == 0)
        (void)puts("no jobs");
    json_decref(jobs);
    return 0;
}

int command_show(struct options *options)
{
    dray_cleanup(dray_api_closep) struct dray_api *api = NULL;
    struct dray_api_settings settings = api_settings(options);
    struct dray_error error = {0};
    json_t *job = NULL;

    int result = dray_api_open(&settings, &api, &error);
    if (result == 0)
        result = dray_api_show(api, options->arguments[0], &job, &error);
    if (result != 0)
        return report(options, &error, NULL, NULL);
    if (options->json)
        return print_json(job);
    print_job(job);
    json_decref(job);
    return 0;
}

/* Time and job are what the delivery says of itself. */
static void print_intact(const json_t *dataset, json_int_t entries)
{
    (void)printf(" is intact (unsigned): %lld %s, delivered ", (long long)entries,
                 entries == 1 ? "entry" : "entries");
    print_text(stdout, text(dataset, "time"));
    (void)fputs(" by job ", stdout);
    print_start(stdout, text(dataset, "job"), 8);
    (void)fputc('\n', stdout);
}

static void print_dataset(const json_t *dataset, const json_t *verdict)
{
    const json_t *problems = json_object_get(dataset, "problems");
    json_int_t count = json_integer_value(json_object_get(dataset, "problem_count"));
    json_int_t entries = json_integer_value(json_object_get(dataset, "entries"));
    json_t *problem;
    size_t i;

    print_text(stdout, text(verdict, "directory"));
    (void)fputs(": ", stdout);
    print_text(stdout, text(dataset, "dataset"));
    if (count == 0)
        print_intact(dataset, entries);
    else
        (void)printf(" is damaged, %lld problem%s:\n", (long long)count, count == 1 ? "" : "s");
    json_array_foreach(problems, i, problem)
    {
        (void)fputs("  ", stdout);
        print_text(stdout, text(problem, "path"));
        (void)fputs(" ", stdout);
        print_text(stdout, text(problem, "problem"));
        (void)fputc('\n', stdout);
    }
    if (count > (json_int_t)json_array_size(problems))
        (void)printf("  and %lld more\n", (long long)count - (long long)json_array_size(problems));
}

int command_verify(struct options *options)
{
    struct dray_error error = {0};
    json_t *verdict = NULL, *dataset;
    size_t i;

    int result = dray_api_verify(options->arguments[0], &verdict, &error);
    if (!verdict)
        return report(options, &error, NULL, NULL);
    if (options->json) {
        int status = print_json(verdict);
        return status != 0 || result != 0;
    }
    json_array_foreach(json_object_get(verdict, "datasets"), i, dataset)
        print_dataset(dataset, verdict);
    json_decref(verdict);
    return result != 0;
}

/* ---- Plugins ---- */

static int list_plugins(struct work *work)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 16u << 20};
    const struct dray_plugin_info *const *plugins = NULL;
    size_t count = 0;

    if (work_open(work) != 0 ||
        dray_registry_all(dray_api_plugins(work->api), &plugins, &count, &work->error) != 0)
        return work_fail(work);
    if (!work->options->json) {
        dray_plugins_print(plugins, count, &out);
        return print_buffer(&out);
    }
    json_t *list = json_array();
    for (size_t i = 0; list && i < count; i++)
        (void)json_array_append_new(list, dray_plugin_json(plugins[i]));
    return print_json(list);
}

static int show_plugin(struct work *work)
{
    const struct options *options = work->options;
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 16u << 20};
    const struct dray_plugin_info *plugin = NULL;
    const char *name = options->arguments[1], *slash = strchr(name, '/');
    uint32_t kind = slash ? dray_kind_of_name(name, (size_t)(slash - name)) : 0;

    if (kind == 0) {
        (void)dray_fail(&work->error, DRAY_INVALID, "\"%s\" does not name a plugin", name);
        dray_hint(&work->error,
                  "write its kind and name, as in filter/glob; dray plugin list names all");
        return work_fail(work);
    }
    if (work_open(work) != 0 || dray_registry_find(dray_api_plugins(work->api), kind, slash + 1,
                                                   &plugin, &work->error) != 0)
        return work_fail(work);
    if (options->schema)
        return print_json(dray_plugin_schema(plugin));
    if (options->json)
        return print_json(dray_plugin_json(plugin));
    dray_plugin_print(plugin, &out);
    return print_buffer(&out);
}

static int print_manual(struct work *work)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 16u << 20};

    if (work_open(work) != 0 || dray_api_manual(work->api, &out, &work->error) != 0)
        return work_fail(work);
    return work->options->json ? print_json(json_pack("{s:s}", "manual", out.data))
                               : print_buffer(&out);
}

static const struct verb verbs[] = {
    {"list", "", "", 0, 0, list_plugins},
    {"show", " KIND/NAME [--schema]", "c", 1, 1, show_plugin},
    {"manual", "", "", 0, 0, print_manual},
};
const struct verbs plugin_verbs = {verbs, DRAY_COUNT(verbs)};

int command_plugin(struct options *options)
{
    return run_verb(options, "plugin", &plugin_verbs);
}
