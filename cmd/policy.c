/* SPDX-License-Identifier: MIT */
/* policy.c - dray policy: its verbs, each with what it takes. */
#include <string.h>

#include "cmd/policy.h"

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

/* "    except no-raw for asmith, until 2027-01-31: RC-88" */
static void print_exception(const json_t *exception)
{
    const char *user = text(exception, "user"), *dataset = text(exception, "dataset");

    (void)printf("    except %s for ", text(exception, "rule"));
    print_text(stdout, user);
    (void)fputs(*user && *dataset ? " with dataset " : *dataset ? "dataset " : "", stdout);
    print_text(stdout, dataset);
    (void)printf(
        ", %s %s: ", json_is_true(json_object_get(exception, "ended")) ? "ended on" : "until",
        text(exception, "until"));
    print_text(stdout, text(exception, "reason"));
    (void)fputc('\n', stdout);
}

static void print_policy(const json_t *policy)
{
    json_t *exception;
    size_t i;

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
    json_array_foreach(json_object_get(policy, "exceptions"), i, exception)
        print_exception(exception);
}

static int list(struct work *work)
{
    json_t *set = NULL, *policy;
    size_t i;

    if (work_open(work) != 0 ||
        dray_api_policy_list(work->api, &work->diagnostics, &set, &work->error) != 0)
        return work_fail(work);
    print_warnings(work->options, &work->diagnostics);
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
        result = work_open(work);
    if (result == 0)
        result = dray_api_policy_sign(work->api, work->options->arguments[1], work->options->key,
                                      &work->diagnostics, &done, &work->error);
    if (result != 0)
        return work_fail(work);
    print_warnings(work->options, &work->diagnostics);
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

    if (dray_api_policy_key(work->options->arguments[1], &made, &work->error) != 0)
        return work_fail(work);
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

static const struct verb verbs[] = {
    {"list", "", "pn", 0, 0, list},
    {"test", " [FILE|DIRECTORY]...", "pn", 0, MAX_LIST, policy_test},
    {"explain", " --dataset D --target T [--user U] [--path P] [--size N] [--given F=V]...",
     "pnDTUPzG", 0, 0, policy_explain},
    {"replay",
     " FILE|DIRECTORY... [--dataset D] [--user U] [--since WHEN] [--until WHEN] [--limit N]",
     "nDUqNL", 1, MAX_LIST, policy_replay},
    {"sign", " DIRECTORY --key FILE", "nK", 1, 1, sign},
    {"key", " FILE", "", 1, 1, make_key},
};
const struct verbs policy_verbs = {verbs, DRAY_COUNT(verbs)};

int command_policy(struct options *options)
{
    return run_verb(options, "policy", &policy_verbs);
}
