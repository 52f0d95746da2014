/* SPDX-License-Identifier: MIT */
/* policy_look.c - policy explain and policy test: verbs that change nothing. */
#include <string.h>

#include "cmd/policy.h"
#include "core/base/text.h"

/* ---- explain */

static void print_facts(const json_t *facts)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)facts, name, value)
    {
        size_t i;
        json_t *one;
        (void)printf("  %-16s ", name);
        if (json_is_string(value))
            print_text(stdout, json_string_value(value));
        json_array_foreach(value, i, one)
        {
            (void)fputs(i ? ", " : "", stdout);
            print_text(stdout, json_string_value(one));
        }
        (void)fputc('\n', stdout);
    }
}

static void print_does(const json_t *does)
{
    size_t i;
    json_t *one;
    char size[24];

    json_array_foreach(does, i, one)
    {
        const json_t *limit = json_object_get(one, "limit");
        if (json_object_get(one, "inject")) {
            (void)printf("      injects %s ", text(one, "inject"));
            dray_autofree char *with =
                json_dumps(json_object_get(one, "with"), JSON_COMPACT | JSON_PRESERVE_ORDER);
            print_start(stdout, with ? with : "", 200);
            (void)fputc('\n', stdout);
        }
        if (json_object_get(limit, "total_bytes"))
            (void)printf(
                "      limits a delivery to %s\n",
                dray_size_print((uint64_t)json_integer_value(json_object_get(limit, "total_bytes")),
                                size));
        if (json_object_get(limit, "entries"))
            (void)printf("      limits a delivery to %lld %s\n",
                         (long long)json_integer_value(json_object_get(limit, "entries")),
                         json_integer_value(json_object_get(limit, "entries")) == 1 ? "entry"
                                                                                    : "entries");
    }
}

static void print_rule(const json_t *rule)
{
    const char *bearing = text(rule, "bearing"), *file = text(rule, "file");
    const char *slash = strrchr(file, '/');
    int says = strcmp(bearing, "holds") == 0 || strcmp(bearing, "denies") == 0;

    (void)printf("  %-9s  %s/%s (%s)  ", bearing, text(rule, "policy"), text(rule, "rule"),
                 text(rule, "mode"));
    if (strcmp(text(rule, "why"), "holds") != 0) {
        print_text(stdout, text(rule, "why"));
        (void)fputs("  ", stdout);
    }
    print_text(stdout, slash ? slash + 1 : file);
    (void)printf(":%lld\n", (long long)json_integer_value(json_object_get(rule, "line")));
    if (says)
        print_does(json_object_get(rule, "does"));
    if (strcmp(text(rule, "verdict"), "undecided") == 0) {
        (void)puts("      reads the data, so what becomes of the path is not known here");
    } else if (json_object_get(rule, "verdict")) {
        (void)printf("      drops the path: ");
        print_text(stdout, text(rule, "by"));
        (void)fputc('\n', stdout);
    }
}

static void print_verdict(const json_t *answer)
{
    const char *verdict = text(answer, "verdict"), *path = text(answer, "path");
    int denied = strcmp(verdict, "deny") == 0;

    (void)fputs("=> ", stdout);
    if (denied || !*path) {
        (void)fputs(denied ? "denied" : "not denied", stdout);
    } else {
        print_text(stdout, path);
        (void)fputs(strcmp(verdict, "drop") == 0 ? " is dropped" : " is kept", stdout);
    }
    if (json_object_get(answer, "rule"))
        (void)printf(" by %s/%s", text(answer, "policy"), text(answer, "rule"));
    if (json_object_get(answer, "message")) {
        (void)fputs(": ", stdout);
        print_text(stdout, text(answer, "message"));
    }
    (void)fputc('\n', stdout);
}

int policy_explain(struct work *work)
{
    const struct options *options = work->options;
    struct dray_explain_request request = {.dataset = options->dataset,
                                           .target = options->target,
                                           .user = options->user,
                                           .path = options->path,
                                           .size = options->size,
                                           .given = options->given.items,
                                           .given_count = options->given.count};
    json_t *answer = NULL, *rule;
    size_t i;

    if (work_open(work) != 0 || dray_api_policy_explain(work->api, &request, &work->diagnostics,
                                                        &answer, &work->error) != 0)
        return work_fail(work);
    if (options->json)
        return print_json(answer);
    (void)puts("facts");
    print_facts(json_object_get(answer, "facts"));
    (void)puts("rules");
    json_array_foreach(json_object_get(answer, "rules"), i, rule) print_rule(rule);
    if (json_array_size(json_object_get(answer, "rules")) == 0)
        (void)puts("  none: no policy is in force");
    print_verdict(answer);
    json_decref(answer);
    return 0;
}

/* ---- test */

static void print_tests(const json_t *policies)
{
    size_t i, k;
    json_t *policy, *test;
    size_t passed = 0, failed = 0, unjudged = 0;

    json_array_foreach(policies, i, policy)
    {
        if (!json_object_get(policy, "policy"))
            continue; /* a file that is none has no tests; what is wrong is said below */
        print_text(stdout, text(policy, "policy"));
        (void)fputs("  ", stdout);
        print_text(stdout, text(policy, "file"));
        (void)fputc('\n', stdout);
        if (json_array_size(json_object_get(policy, "tests")) == 0)
            (void)puts("  no tests");
        json_array_foreach(json_object_get(policy, "tests"), k, test)
        {
            int good = json_is_true(json_object_get(test, "passed"));
            int judged = json_object_get(test, "seen") != NULL;
            passed += good ? 1 : 0;
            unjudged += judged ? 0 : 1;
            failed += judged && !good ? 1 : 0;
            (void)printf("  %-10s ", good ? "passed" : judged ? "FAILED" : "not judged");
            print_text(stdout, text(test, "name"));
            (void)fputs(": ", stdout);
            print_text(stdout, text(test, "expected"));
            if (judged && !good) {
                (void)fputs(", and the policy says ", stdout);
                print_text(stdout, text(test, "seen"));
            }
            (void)fputc('\n', stdout);
        }
    }
    (void)printf("%zu passed, %zu failed", passed, failed);
    if (unjudged)
        (void)printf(", %zu not judged", unjudged);
    (void)fputc('\n', stdout);
}

int policy_test(struct work *work)
{
    const struct options *options = work->options;
    json_t *answer = NULL;
    int result = work_open(work);

    if (result == 0)
        result = dray_api_policy_test(work->api, options->arguments + 1,
                                      (size_t)options->argument_count - 1, &work->diagnostics,
                                      &answer, &work->error);
    if (answer && options->json && result == 0)
        return print_json(answer);
    if (answer && !options->json) {
        print_tests(answer);
        (void)fflush(stdout);
    }
    /* Which tests hold is wanted too where one does not. */
    json_t *tests = answer && options->json ? json_pack("{s:O}", "policies", answer) : NULL;
    int status = result != 0 ? report(options, &work->error, &work->diagnostics, tests) : 0;
    if (tests)
        status = dray_class_exit(work->error.class_); /* no job has failed */
    json_decref(tests);
    json_decref(answer);
    return status;
}
