/* SPDX-License-Identifier: MIT */
/* policy_replay.c - policy replay: what other policies would have done to past jobs. */
#include <string.h>

#include "cmd/policy.h"
#include "core/base/text.h"

/* "12 entries (3.4 MiB)" */
static void print_amount(const json_t *amount)
{
    char bytes[24];

    (void)printf("%llu %s (%s)", number(amount, "entries"),
                 number(amount, "entries") == 1 ? "entry" : "entries",
                 dray_size_print(number(amount, "bytes"), bytes));
}

static void print_rule(const json_t *rule, const char *verb)
{
    const json_t *examples = json_object_get(rule, "examples");
    size_t i;
    json_t *path;

    (void)printf("    %s ", verb);
    print_amount(rule);
    (void)fputs(" by ", stdout);
    print_text(stdout, text(rule, "by"));
    json_array_foreach(examples, i, path)
    {
        (void)fputs(i ? ", " : ": ", stdout);
        print_text(stdout, json_string_value(path));
    }
    if (number(rule, "entries") > json_array_size(examples) && examples)
        (void)fputs(", …", stdout);
    (void)fputc('\n', stdout);
}

static void print_target(const json_t *target)
{
    size_t i;
    json_t *one;

    (void)fputs("  ", stdout);
    print_text(stdout, text(target, "destination"));
    (void)fputs(": ", stdout);
    print_amount(json_object_get(target, "was"));
    (void)fputs(" were kept, ", stdout);
    print_amount(json_object_get(target, "would"));
    (void)fputs(" would be", stdout);
    if (number(json_object_get(target, "undecided"), "entries") > 0) {
        (void)fputs("; not known: ", stdout);
        print_amount(json_object_get(target, "undecided"));
    }
    (void)fputc('\n', stdout);
    json_array_foreach(json_object_get(target, "dropped"), i, one) print_rule(one, "drops");
    if (number(json_object_get(target, "more"), "entries") > 0) {
        (void)fputs("    no longer drops ", stdout);
        print_amount(json_object_get(target, "more"));
        (void)fputc('\n', stdout);
    }
    json_array_foreach(json_object_get(target, "not_replayed"), i, one)
    {
        (void)fputs("    would run, not replayed (it reads the data): ", stdout);
        print_text(stdout, json_string_value(one));
        (void)fputc('\n', stdout);
    }
}

/* What a rule that only watches would have done. */
static void print_watched(const json_t *rule)
{
    int limit = strcmp(text(rule, "kind"), "limit") == 0;

    if (!limit && !json_is_true(json_object_get(rule, "not_replayed"))) {
        print_rule(rule, "would drop, but only watches,");
        return;
    }
    (void)fputs(limit ? "    would deny, but only watches: "
                      : "    would run, not replayed (it reads the data): ",
                stdout);
    print_text(stdout, text(rule, limit ? "why" : "by"));
    (void)fputc('\n', stdout);
}

static void print_replayed(const json_t *job)
{
    size_t i;
    json_t *one;

    (void)printf("%.8s  %s  %-12s  ", text(job, "job"), text(job, "created"), text(job, "outcome"));
    print_text(stdout, text(job, "dataset"));
    (void)fputs(" for ", stdout);
    print_text(stdout, text(job, "user"));
    if (text(job, "reason")[0]) {
        (void)fputs("  ", stdout);
        print_text(stdout, text(job, "reason"));
    }
    (void)fputc('\n', stdout);
    json_array_foreach(json_object_get(job, "targets"), i, one)
    {
        if (strcmp(text(job, "outcome"), "same") != 0 ||
            json_array_size(json_object_get(one, "not_replayed")) > 0)
            print_target(one);
    }
    json_array_foreach(json_object_get(job, "watched"), i, one) print_watched(one);
    json_array_foreach(json_object_get(job, "findings"), i, one)
    {
        (void)printf("    %s (%s): ", text(one, "kind"), text(one, "mode"));
        print_text(stdout, text(one, "what"));
        (void)fputc('\n', stdout);
    }
}

int policy_replay(struct work *work)
{
    const struct options *options = work->options;
    const struct dray_replay_request request = {.paths = options->arguments + 1,
                                                .path_count = (size_t)options->argument_count - 1,
                                                .dataset = options->dataset,
                                                .user = options->user,
                                                .since = options->since,
                                                .until = options->until,
                                                .limit = options->limit};
    json_t *answer = NULL, *job;
    size_t i;

    if (work_open(work) != 0 ||
        dray_api_policy_replay(work->api, &request, &work->diagnostics, &answer, &work->error) != 0)
        return work_fail(work);
    if (options->json)
        return print_json(answer);
    json_array_foreach(json_object_get(answer, "jobs"), i, job) print_replayed(job);
    const json_t *totals = json_object_get(answer, "totals");
    (void)printf("%zu job%s: %llu the same, %llu would change, %llu would be denied, %llu not "
                 "replayed\n",
                 i, i == 1 ? "" : "s", number(totals, "same"), number(totals, "changes"),
                 number(totals, "denied"), number(totals, "not_replayed"));
    if (number(answer, "left_out") > 0)
        (void)printf("%llu older left out by --limit\n", number(answer, "left_out"));
    json_decref(answer);
    return 0;
}
