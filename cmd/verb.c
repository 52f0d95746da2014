/* SPDX-License-Identifier: MIT */
/* verb.c - commands that have verbs: which one it is, and what it takes. */
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "cmd/command.h"
#include "core/base/text.h"

int interrupts_watch(void)
{
    sigset_t signals;

    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0)
        return -1;
    return signalfd(-1, &signals, SFD_CLOEXEC);
}

int work_open(struct work *work)
{
    work->settings = api_settings(work->options);
    work->settings.interrupt_fd = work->interruptible ? interrupts_watch() : -1;
    return dray_api_open(&work->settings, &work->api, &work->error);
}

int work_fail(struct work *work)
{
    return report(work->options, &work->error, &work->diagnostics, NULL);
}

static void work_end(struct work *work)
{
    dray_api_close(work->api);
    dray_close_descriptor(&work->settings.interrupt_fd);
    dray_diagnostics_free(&work->diagnostics);
}

static int wrong_verb(struct work *work, const char *command, const struct verbs *verbs)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer usage = {.cap = 2048};
    const char *names[16];

    for (size_t i = 0; i < verbs->count; i++) {
        names[i] = verbs->items[i].name;
        dray_buffer_format(&usage, "%s dray %s %s%s", i == 0 ? "usage:" : "\n      ", command,
                           names[i], verbs->items[i].usage);
    }
    const char *near = dray_nearest(work->options->arguments[0], names, verbs->count);
    (void)dray_fail(&work->error, DRAY_INVALID, "dray %s has no \"%s\"%s%s%s", command,
                    work->options->arguments[0], near ? ": did you mean \"" : "", near ? near : "",
                    near ? "\"?" : "");
    dray_hint(&work->error, "%s", usage.data ? usage.data : "--help says more");
    return work_fail(work);
}

static int wrong_use(struct work *work, const char *command, const struct verb *verb,
                     const char *option)
{
    int count = work->options->argument_count - 1;

    if (option)
        (void)dray_fail(&work->error, DRAY_INVALID, "dray %s %s does not take --%s", command,
                        verb->name, option);
    else if (count < verb->min_arguments)
        (void)dray_fail(&work->error, DRAY_INVALID, "dray %s %s: an argument is missing", command,
                        verb->name);
    else
        (void)dray_fail(&work->error, DRAY_INVALID, "dray %s %s: unexpected argument %s", command,
                        verb->name, work->options->arguments[verb->max_arguments + 1]);
    dray_hint(&work->error, "usage: dray %s %s%s", command, verb->name, verb->usage);
    return work_fail(work);
}

const struct verb *find_verb(const struct verbs *verbs, const char *name)
{
    for (size_t i = 0; i < verbs->count; i++)
        if (strcmp(name, verbs->items[i].name) == 0)
            return &verbs->items[i];
    return NULL;
}

int run_verb(const struct options *options, const char *command, const struct verbs *verbs)
{
    dray_cleanup(work_end) struct work work = {.options = options,
                                               .settings = {.interrupt_fd = -1}};
    int arguments = options->argument_count - 1;
    const struct verb *verb = find_verb(verbs, options->arguments[0]);

    if (!verb)
        return wrong_verb(&work, command, verbs);
    const char *refused = option_refused(options, verb->takes);
    if (refused || arguments < verb->min_arguments || arguments > verb->max_arguments)
        return wrong_use(&work, command, verb, refused);
    return verb->run(&work);
}
