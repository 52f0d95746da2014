/* SPDX-License-Identifier: MIT */
/* policy.c - dray policy: its verbs, each with what it takes. */
#include <signal.h>
#include <string.h>

#include "cmd/policy.h"

/* What a verb works with. */
struct work {
    const struct options *options;
    const char *argument; /* the first behind the verb; NULL: there is none */
    struct dray_api_settings settings;
    struct dray_api *api;
    struct dray_diagnostics diagnostics;
    struct dray_error error;
};

static void work_end(struct work *work)
{
    dray_api_close(work->api);
    dray_diagnostics_free(&work->diagnostics);
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : "";
}

static int open_api(struct work *work)
{
    const struct options *options = work->options;

    work->settings = (struct dray_api_settings){.configuration = options->config,
                                                .policies = options->policies.items,
                                                .policy_count = options->policies.count,
                                                .unconfined = options->no_sandbox,
                                                .interrupt_fd = -1};
    return dray_api_open(&work->settings, &work->api, &work->error);
}

static int fail(struct work *work)
{
    return report(work->options, &work->error, &work->diagnostics, NULL);
}

/* Warnings of what was good all the same. */
static void print_warnings(const struct work *work)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 16u << 20};

    if (work->options->json || work->diagnostics.count == 0)
        return;
    dray_diagnostics_print(&work->diagnostics, use_colour(stderr), &out);
    (void)fputs(out.data ? out.data : "", stderr);
}

/* ---- list ---- */

static void print_rules(const json_t *rules)
{
    const char *before = "  ";
    const char *mode;
    json_t *count;

    json_object_foreach((json_t *)(uintptr_t)rules, mode, count)
    {
        if (json_integer_value(count) == 0)
            continue;
        (void)printf("%s%lld %s", before, (long long)json_integer_value(count), mode);
        before = ", ";
    }
    if (before[0] == ' ')
        (void)fputs("  no rules", stdout);
}

static void print_policy(const json_t *policy)
{
    (void)printf("%-20s revision %-4lld %.12s", text(policy, "policy"),
                 (long long)json_integer_value(json_object_get(policy, "revision")),
                 text(policy, "digest"));
    print_rules(json_object_get(policy, "rules"));
    if (text(policy, "first_ruled")[0])
        (void)printf("  rules since %.10s", text(policy, "first_ruled"));
    (void)fputs("\n    ", stdout);
    print_text(stdout, text(policy, "file"));
    if (text(policy, "owner")[0]) {
        (void)fputs("  owner ", stdout);
        print_text(stdout, text(policy, "owner"));
    }
    (void)fputc('\n', stdout);
}

static int list(struct work *work)
{
    json_t *set = NULL, *policy;
    size_t i;

    if (open_api(work) != 0 ||
        dray_api_policy_list(work->api, &work->diagnostics, &set, &work->error) != 0)
        return fail(work);
    print_warnings(work);
    if (work->options->json)
        return print_json(set);
    json_array_foreach(json_object_get(set, "policies"), i, policy) print_policy(policy);
    if (i == 0)
        (void)puts("no policies");
    if (text(set, "signed_by")[0])
        (void)printf("signed by key %s\n", text(set, "signed_by"));
    json_decref(set);
    return 0;
}

/* ---- sign, key ---- */

static int sign(struct work *work)
{
    json_t *done = NULL;
    int result = 0;

    if (!work->options->key) {
        result = dray_fail(&work->error, DRAY_INVALID, "--key is missing: who signs?");
        dray_hint(&work->error, "--key FILE names a private key; dray policy key FILE makes one");
    }
    if (result == 0)
        result = open_api(work);
    if (result == 0)
        result = dray_api_policy_sign(work->api, work->argument, work->options->key,
                                      &work->diagnostics, &done, &work->error);
    if (result != 0)
        return fail(work);
    print_warnings(work);
    if (work->options->json)
        return print_json(done);
    long long count = json_integer_value(json_object_get(done, "policies"));
    (void)printf("%lld polic%s of ", count, count == 1 ? "y" : "ies");
    print_text(stdout, text(done, "directory"));
    (void)printf(" signed by key %s\n", text(done, "signed_by"));
    json_decref(done);
    return 0;
}

static int make_key(struct work *work)
{
    json_t *made = NULL;

    if (dray_api_policy_key(work->argument, &made, &work->error) != 0)
        return fail(work);
    if (work->options->json)
        return print_json(made);
    (void)printf("key %s\n  private  ", text(made, "key"));
    print_text(stdout, text(made, "private"));
    (void)fputs("  to sign with; keep it where only signers can read it\n  public   ", stdout);
    print_text(stdout, text(made, "public"));
    (void)fputs("  for `policies: { verify_key: ... }` of the configuration\n", stdout);
    json_decref(made);
    return 0;
}

/* ---- All of them ---- */

static int test(struct work *work)
{
    return policy_test(work->options);
}

static int explain(struct work *work)
{
    return policy_explain(work->options);
}

static int replay(struct work *work)
{
    return policy_replay(work->options);
}

static const struct verb {
    const char *name;
    const char *usage; /* what follows it */
    int min_arguments, max_arguments;
    int (*run)(struct work *work);
} verbs[] = {
    {"list", "", 0, 0, list},
    {"test", " [FILE|DIRECTORY]...", 0, MAX_LIST, test},
    {"explain", " [--dataset D] [--target T] [--user U] [--path P] [--given F=V]...", 0, 0,
     explain},
    {"replay", " FILE|DIRECTORY... [--since WHEN] [--until WHEN]", 1, MAX_LIST, replay},
    {"sign", " DIRECTORY --key FILE", 1, 1, sign},
    {"key", " FILE", 1, 1, make_key},
};
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

int command_policy(struct options *options)
{
    dray_cleanup(work_end) struct work work = {.options = options};
    dray_cleanup(dray_buffer_free) struct dray_buffer usage = {.cap = 1024};
    const char *names[VERBS];
    int count = options->argument_count - 1;

    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < VERBS; i++) {
        dray_buffer_format(&usage, "%s dray policy %s%s", i == 0 ? "usage:" : "\n      ",
                           verbs[i].name, verbs[i].usage);
        names[i] = verbs[i].name;
        if (strcmp(options->arguments[0], verbs[i].name) != 0 || count < verbs[i].min_arguments ||
            count > verbs[i].max_arguments)
            continue;
        work.argument = count > 0 ? options->arguments[1] : NULL;
        return verbs[i].run(&work);
    }
    return wrong_verb(options, "policy", names, VERBS,
                      usage.data ? usage.data : "dray policy --help");
}
