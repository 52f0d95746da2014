/* SPDX-License-Identifier: MIT */
/*
 * cmd - the programs: thin mains over core/api.
 *
 * command.h - what the commands of `dray` share: options that all take, output for people and as
 * JSON, exit codes.
 */
#ifndef DRAY_CMD_COMMAND_H
#define DRAY_CMD_COMMAND_H

#include <getopt.h>
#include <stdio.h>

#include "core/api/api.h"

#define MAX_LIST 256

struct list {
    const char *items[MAX_LIST];
    size_t count;
};

/* The command line as it was read; each command uses its part. */
struct options {
    int json, again, stage, no_sandbox, from_catalog, schema, print_workflow, all, kept, dropped;
    int record, dry_run;
    const char *dataset, *to, *state, *user, *listing;
    const char *config; /* NULL: the system's, where there is one */
    const char *key;
    const char *kind; /* of file, whose schema is to be printed */
    int64_t since, until;
    size_t limit;
    int progress_fd; /* -1: none */
    struct list policies, sets, include, exclude, given;
    char letters[64];          /* of the options that were given (options.c) */
    const char *target, *path; /* of policy explain */
    const char *for_user;      /* for whom is delivered; NULL: for the caller */
    int64_t size;
    const char *type, *source, *owner, *external_id, *name; /* of dataset; NULL: not said */
    const char *bundle_size;
    struct list tags, labels, digests;
    const char *const *arguments;
    int argument_count;
};

struct command {
    const char *name;
    const char *usage;   /* what follows "dray NAME" */
    const char *summary; /* one line */
    const char *help;    /* options and an example */
    const char *takes;   /* letters of the options that it takes (options.c) */
    int min_arguments, max_arguments;
    int (*run)(struct options *options);
    const struct verbs *verbs; /* NULL: it has none */
};
extern const struct command dray_commands[];
extern const size_t dray_command_count;

/* Read a command line: 0, or an exit status after the problem or the help was printed; -1: help was
 * printed, exit 0. */
int options_read(const struct command *command, int argc, char **argv, struct options *options);

/* The help of a command; where `verb` is one of it, of that alone. NULL: of all. */
void print_help(const struct command *command, const char *verb);

/* The name of an option that was given and is not among these letters; NULL: none. */
const char *option_refused(const struct options *options, const char *takes);

/* What the options say of the api; warns where plugins are not confined. */
struct dray_api_settings api_settings(const struct options *options);

/* What a verb, as `list` of `dray policy list`, works with. */
struct work {
    const struct options *options; /* the verb is the first argument */
    struct dray_api_settings settings;
    struct dray_api *api; /* NULL until work_open */
    int interruptible;    /* work_open is to watch for interrupts */
    struct dray_diagnostics diagnostics;
    struct dray_error error;
};
struct verb {
    const char *name;
    const char *usage;                /* what follows it */
    const char *takes;                /* as of the command, beside --json and --config */
    int min_arguments, max_arguments; /* behind the verb */
    int (*run)(struct work *work);    /* an exit status */
};
struct verbs {
    const struct verb *items;
    size_t count;
};
extern const struct verbs admin_verbs, dataset_verbs, plugin_verbs, policy_verbs, recipe_verbs,
    target_verbs;
/* The verb of that name, or NULL. */
const struct verb *find_verb(const struct verbs *verbs, const char *name);
/* Run the verb that the first argument names; returns the exit status. */
int run_verb(const struct options *options, const char *command, const struct verbs *verbs);
int work_open(struct work *work);
/* Interrupts arrive through this descriptor from now on, so that what is under way can be undone
 * first; -1: that cannot be. */
int interrupts_watch(void);
/* Report what went wrong; returns the exit status. */
int work_fail(struct work *work);

/* Commands by file. */
int command_push(struct options *options);
int command_run(struct options *options);
int command_plan(struct options *options);
int command_preview(struct options *options);
int command_check(struct options *options);
int command_jobs(struct options *options);
int command_show(struct options *options);
int command_cancel(struct options *options);
int command_verify(struct options *options);
int command_plugin(struct options *options);
int command_policy(struct options *options);
int command_recipe(struct options *options);
int command_dataset(struct options *options);
int command_init(struct options *options);
int command_admin(struct options *options);
int command_target(struct options *options);

/* Does the error only stand for the diagnostics? Then it is one of them, with its place. */
int is_diagnostic(const struct dray_error *error, const struct dray_diagnostics *diagnostics);
/* Print an error (and the diagnostics, where it stands for them); returns the exit status.
 * diagnostics may be NULL. `job` (may be NULL) is printed with it under --json. */
int report(const struct options *options, const struct dray_error *error,
           const struct dray_diagnostics *diagnostics, json_t *job);
/* Print JSON on standard output, one line; takes the reference. 0, or an exit status where memory
 * was out; whether it arrived main() judges. */
int print_json(json_t *json);
/* Print a buffer on standard output, likewise. */
int print_buffer(const struct dray_buffer *buffer);
/* Where colour may be used. */
int use_colour(FILE *stream);
/* Warnings of what was good all the same. */
void print_warnings(const struct options *options, const struct dray_diagnostics *diagnostics);
/* A text of an object, "" where there is none; a number, 0. */
const char *text(const json_t *object, const char *key);
unsigned long long number(const json_t *object, const char *key);
/* A job for people: steps, targets, reasons. */
void print_job(const json_t *job);
/* What rules that only warn would have left out, of `rules` of a step that ended. */
void print_shadows(FILE *stream, const json_t *rules);
/* A log event, where it is a warning. */
void print_log(FILE *stream, const json_t *event);
/* The line to hand to a recipient, for each delivered target. */
void print_delivered(const json_t *job);
/* On standard error, how many of several targets have been delivered. */
void print_count(const json_t *job);
/* On standard error, each target that got nothing of a dataset that has something, with the step
 * that left nothing. */
void print_emptied(const json_t *job);
/* What a plan (the shape of `plan --json`) will cost, where something of that is known; and on
 * standard error, each target that the dataset may not fit into. */
void cost_add(struct dray_buffer *out, const json_t *plan);
void cost_warn(const json_t *plan);
/* Text from data: control characters and what is no UTF-8 are not passed on to a terminal. */
void print_text(FILE *stream, const char *text);
/* A word of a command line that is to be copied: quoted where a shell would take it apart. */
void print_word(FILE *stream, const char *text);
/* Of text the first `bytes`. */
void print_start(FILE *stream, const char *text, size_t bytes);

/* What happens, shown while it happens. */
struct progress {
    const struct options *options;
    const struct dray_diagnostics *diagnostics; /* the files that were read; NULL: none */
    int terminal;                               /* a line that is written over */
    int line_open;
};
void progress_event(void *arg, const json_t *event);
void progress_end(struct progress *progress);

#endif
