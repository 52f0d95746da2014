/* SPDX-License-Identifier: MIT */
/* verb.c - a command's verb that it has not, or one that takes something else. */
#include <string.h>

#include "cmd/command.h"
#include "core/base/text.h"

int wrong_verb(const struct options *options, const char *command, const char *const *names,
               size_t count, const char *usage)
{
    const char *verb = options->arguments[0];
    const char *near = dray_nearest(verb, names, count);
    struct dray_error error = {0};

    for (size_t i = 0; i < count; i++) {
        if (strcmp(verb, names[i]) != 0)
            continue;
        (void)dray_fail(&error, DRAY_INVALID, "dray %s %s: wrong arguments", command, verb);
        dray_hint(&error, "%s", usage);
        return report(options, &error, NULL, NULL);
    }
    if (near)
        (void)dray_fail(&error, DRAY_INVALID, "dray %s has no \"%s\": did you mean \"%s\"?",
                        command, verb, near);
    else
        (void)dray_fail(&error, DRAY_INVALID, "dray %s has no \"%s\"", command, verb);
    dray_hint(&error, "%s", usage);
    return report(options, &error, NULL, NULL);
}
