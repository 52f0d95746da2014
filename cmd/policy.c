/* SPDX-License-Identifier: MIT */
/* policy.c - `dray policy VERB`: which verbs there are. */
#include <string.h>

#include "cmd/command.h"
#include "cmd/policy.h"

static const struct verb {
    const char *name;
    int most; /* arguments behind it */
    int (*run)(struct options *options);
} verbs[] = {
    {"explain", 0, policy_explain},
    {"test", MAX_LIST, policy_test},
};
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

int command_policy(struct options *options)
{
    const char *name = options->arguments[0];
    struct dray_error error = {0};

    for (size_t i = 0; i < VERBS; i++) {
        if (strcmp(verbs[i].name, name) != 0)
            continue;
        options->arguments++;
        options->argument_count--;
        if (options->argument_count <= verbs[i].most)
            return verbs[i].run(options);
        (void)dray_fail(&error, DRAY_INVALID, "dray policy %s: unexpected argument %s", name,
                        options->arguments[verbs[i].most]);
        dray_hint(&error, "dray policy --help");
        return report(options, &error, NULL, NULL);
    }
    (void)dray_fail(&error, DRAY_INVALID, "dray policy has no verb \"%s\"", name);
    dray_hint(&error, "dray policy --help lists them");
    return report(options, &error, NULL, NULL);
}
