/* SPDX-License-Identifier: MIT */
/* options.c - one table of all options; a command names by letter which it takes. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "core/base/text.h"

struct option_row {
    char letter;
    const char *name;
    int argument;
    const char *help;
};

/* The letter of what every command takes. */
#define ALWAYS '*'

static const struct option_row rows[] = {
    {'t', "to", 1, "--to TARGET          where to deliver"},
    {'i', "include", 1, "--include PATTERN    deliver only what matches (may be repeated)"},
    {'e', "exclude", 1, "--exclude PATTERN    leave out what matches (may be repeated)"},
    {'w', "print-workflow", 0,
     "--print-workflow     print the workflow that this stands for, and stop"},
    {'d', "dataset", 1, "--dataset DATASET    the dataset: a path (./x, ../x, /x), or a name"},
    {'s', "set", 1, "--set NAME=VALUE     a parameter of the workflow (may be repeated)"},
    {'p', "policies", 1, "--policies DIR       policies beside the site's (may be repeated)"},
    {'W', "for", 1, "--for USER           deliver for this user, as root"},
    {'a', "again", 0,
     "--again              deliver anew what was delivered, and bring anew what was brought, "
     "before"},
    {'n', "no-sandbox", 0,
     "--no-sandbox         run plugins unconfined (where the kernel has no Landlock)"},
    {'f', "progress-fd", 1, "--progress-fd N      write events as JSON lines to descriptor N"},
    {'k', "kept", 0, "--kept               only what is kept"},
    {'g', "dropped", 0, "--dropped            only what is dropped"},
    {'l', "all", 0, "--all                both (the default)"},
    {'l', "stage", 0, "--stage              extract what has to be extracted"},
    {'o', "listing", 1,
     "--listing FILE       a list of the dataset's entries, in its place (-: standard input)"},
    {'J', "from-catalog", 0,
     "--from-catalog       the catalog's list of the dataset's files, in its place"},
    {'c', "schema", 0, "--schema             print the JSON Schema of its options"},
    {'S', "schema", 1,
     "--schema KIND        print the JSON Schema of workflow, policy or recipe files"},
    {'x', "state", 1, "--state STATE        only jobs in this state"},
    {'y', "dataset", 1, "--dataset NAME       only jobs of the dataset of this name"},
    {'u', "user", 1, "--user USER          only jobs for this user"},
    {'q', "since", 1,
     "--since WHEN         only jobs from then on: a day, 2026-11-01, or how long ago, 7d"},
    {'N', "until", 1, "--until WHEN         only jobs before then, likewise"},
    {'m', "limit", 1, "--limit N            at most N jobs (100)"},
    {'L', "limit", 1, "--limit N            at most N jobs, the newest (all)"},
    {'D', "dataset", 1, "--dataset DATASET    of this dataset: a name, or a path (./x, ../x, /x)"},
    {'T', "target", 1, "--target TARGET      at this target: a directory, or a URL"},
    {'U', "user", 1, "--user USER          for this user (the caller)"},
    {'P', "path", 1, "--path PATH          and of this entry of the dataset (dir/ is a directory)"},
    {'z', "size", 1, "--size SIZE          which has this size"},
    {'G', "given", 1, "--given FACT=VALUE   a fact, such as dataset.tags=human (may be repeated)"},
    {'K', "key", 1, "--key FILE           the private key to sign with"},
    {'A', "type", 1, "--type TYPE          the dataset's type, such as RAW_DATA"},
    {'B', "source", 1,
     "--source PATH        where its bytes are: a directory, a file, an archive, or NAME:REMOTE"},
    {'Q', "digest", 1,
     "--digest KIND:DIGITS of the archive there, or of the one file: sha256 or md5 (may be "
     "repeated)"},
    {'V', "bundle-size", 1, "--bundle-size SIZE   how many bytes that has"},
    {'C', "tag", 1, "--tag TAG            a tag of it (may be repeated)"},
    {'E', "label", 1, "--label NAME=VALUE   a label of it (may be repeated)"},
    {'F', "owner", 1, "--owner USER         who owns it"},
    {'H', "external-id", 1, "--external-id ID     what the platform calls it that knows it, too"},
    {'I', "name", 1, "--name NAME          another name for it"},
    {'O', "record", 0, "--record             store the files that were found as its list"},
    {'r', "dry-run", 0, "--dry-run            only say what would be done"},
    {ALWAYS, "config", 1,
     "--config FILE        the configuration (/etc/dray/dray.yaml, where it is)"},
    {'j', "json", 0, "--json               print JSON"},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static int takes(const struct command *command, const struct option_row *row)
{
    return row->letter == ALWAYS || strchr(command->takes, row->letter) != NULL;
}

void print_help(const struct command *command, const char *name)
{
    const struct verb *verb = command->verbs && name ? find_verb(command->verbs, name) : NULL;

    (void)printf("%s\n\nusage: dray %s %s%s\n\n%s\n", command->summary, command->name,
                 verb ? verb->name : "", verb ? verb->usage : command->usage, command->help);
    for (size_t i = 0; i < ROWS; i++)
        if (takes(command, &rows[i]) &&
            (!verb || rows[i].letter == ALWAYS || rows[i].letter == 'j' ||
             strchr(verb->takes, rows[i].letter)))
            (void)printf("  %s\n", rows[i].help);
}

/* The first word that is no option: of a command with verbs, which one is meant. */
static const char *first_word(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (argv[i][0] != '-')
            return argv[i];
    return NULL;
}

static int wrong(const struct command *command, const struct options *options, const char *format,
                 ...) DRAY_FORMAT(3, 4);
static int wrong(const struct command *command, const struct options *options, const char *format,
                 ...)
{
    struct dray_error error = {0};
    va_list arguments;

    va_start(arguments, format);
    (void)dray_fail_va(&error, DRAY_INVALID, format, arguments);
    va_end(arguments);
    dray_hint(&error, "usage: dray %s %s", command->name, command->usage);
    return report(options, &error, NULL, NULL);
}

static int unknown_option(const struct command *command, const struct options *options,
                          const char *name)
{
    const char *names[ROWS];
    struct dray_error error = {0};
    size_t count = 0;

    for (size_t i = 0; i < ROWS; i++)
        if (takes(command, &rows[i]))
            names[count++] = rows[i].name;
    const char *near = strncmp(name, "--", 2) == 0 ? dray_nearest(name + 2, names, count) : NULL;
    if (!near)
        return wrong(command, options, "dray %s does not take %s", command->name, name);
    (void)dray_fail(&error, DRAY_INVALID, "dray %s does not take %s", command->name, name);
    dray_hint(&error, "did you mean --%s?", near);
    return report(options, &error, NULL, NULL);
}

/* Was JSON asked for? What is wrong may stand before it. */
static int asks_for_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0)
            return 1;
    return 0;
}

static const char *add(struct list *list, const char *value)
{
    if (list->count == MAX_LIST)
        return "it is given more often than 256 times";
    list->items[list->count++] = value;
    return NULL;
}

static int set_number(const char *text, int64_t low, int64_t high, int64_t *ret_number)
{
    const char *why;

    return dray_int_parse(text, strlen(text), ret_number, &why) == 0 && *ret_number >= low &&
                   *ret_number <= high
               ? 0
               : -1;
}

/* A day, or how long ago; "none" is no bound. */
static const char *set_time(const char *text, int64_t *ret_time)
{
    int64_t number = 0;
    const char *why = NULL;

    if (dray_date_parse(text, ret_time) == 0)
        return NULL;
    if (dray_duration_parse(text, strlen(text), &number, &why) != 0)
        return "it takes a day, 2026-11-01, or how long ago, 7d";
    *ret_time = number == DRAY_NONE ? 0 : dray_now() - number;
    return NULL;
}

/* What is said of a dataset; 0: the option is none of these. */
static int set_member(struct options *options, const char *name, const char *value)
{
    if (strcmp(name, "type") == 0)
        options->type = value;
    else if (strcmp(name, "source") == 0)
        options->source = value;
    else if (strcmp(name, "owner") == 0)
        options->owner = value;
    else if (strcmp(name, "external-id") == 0)
        options->external_id = value;
    else if (strcmp(name, "name") == 0)
        options->name = value;
    else if (strcmp(name, "bundle-size") == 0)
        options->bundle_size = value;
    else
        return 0;
    return 1;
}

/* Store one option; what is wrong with its value, or NULL. */
static const char *set_option(struct options *options, const char *name, const char *value)
{
    int64_t number = 0;
    const char *why;

    if (strcmp(name, "to") == 0)
        options->to = value;
    else if (strcmp(name, "include") == 0)
        return add(&options->include, value);
    else if (strcmp(name, "exclude") == 0)
        return add(&options->exclude, value);
    else if (strcmp(name, "for") == 0)
        options->for_user = value;
    else if (strcmp(name, "set") == 0)
        return strchr(value, '=') ? add(&options->sets, value) : "it takes NAME=VALUE";
    else if (strcmp(name, "policies") == 0)
        return value[0] ? add(&options->policies, value) : "it takes a directory";
    else if (strcmp(name, "given") == 0)
        return add(&options->given, value);
    else if (strcmp(name, "target") == 0)
        options->target = value;
    else if (strcmp(name, "path") == 0)
        options->path = value;
    else if (strcmp(name, "size") == 0)
        return dray_size_parse(value, strlen(value), &options->size, &why) != 0 ? why
               : options->size < 0                                              ? "it takes a size"
                                                                                : NULL;
    else if (strcmp(name, "config") == 0) {
        if (!value[0])
            return "it takes a file";
        options->config = value;
    } else if (strcmp(name, "key") == 0)
        options->key = value;
    else if (strcmp(name, "dataset") == 0)
        options->dataset = value;
    else if (strcmp(name, "digest") == 0)
        return add(&options->digests, value);
    else if (strcmp(name, "tag") == 0)
        return add(&options->tags, value);
    else if (strcmp(name, "label") == 0)
        return strchr(value, '=') && value[0] != '=' ? add(&options->labels, value)
                                                     : "it takes NAME=VALUE";
    else if (set_member(options, name, value))
        return NULL;
    else if (strcmp(name, "schema") == 0)
        options->kind = value;
    else if (strcmp(name, "listing") == 0)
        options->listing = value;
    else if (strcmp(name, "state") == 0)
        options->state = value;
    else if (strcmp(name, "user") == 0)
        options->user = value;
    else if (strcmp(name, "since") == 0)
        return set_time(value, &options->since);
    else if (strcmp(name, "until") == 0)
        return set_time(value, &options->until);
    else if (strcmp(name, "limit") == 0) {
        if (set_number(value, 1, 1000000, &number) != 0)
            return "it takes a number from 1 to 1000000";
        options->limit = (size_t)number;
    } else if (strcmp(name, "progress-fd") == 0) {
        if (set_number(value, 0, 1 << 20, &number) != 0)
            return "it takes the number of a descriptor";
        if (fcntl((int)number, F_GETFD) < 0)
            return "no such descriptor is open";
        options->progress_fd = (int)number;
    }
    return NULL;
}

static void set_flag(struct options *options, const char *name)
{
    options->json |= strcmp(name, "json") == 0;
    options->schema |= strcmp(name, "schema") == 0;
    options->from_catalog |= strcmp(name, "from-catalog") == 0;
    options->dry_run |= strcmp(name, "dry-run") == 0;
    options->record |= strcmp(name, "record") == 0;
    options->again |= strcmp(name, "again") == 0;
    options->stage |= strcmp(name, "stage") == 0;
    options->no_sandbox |= strcmp(name, "no-sandbox") == 0;
    options->print_workflow |= strcmp(name, "print-workflow") == 0;
    options->all |= strcmp(name, "all") == 0;
    options->kept |= strcmp(name, "kept") == 0;
    options->dropped |= strcmp(name, "dropped") == 0;
}

/* Remember which were given: not every verb of a command takes what the command does. */
static void note_letter(struct options *options, char letter)
{
    size_t length = strlen(options->letters);

    if (!strchr(options->letters, letter) && length + 1 < sizeof(options->letters))
        options->letters[length] = letter;
}

const char *option_refused(const struct options *options, const char *takes)
{
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].letter != ALWAYS && rows[i].letter != 'j' &&
            strchr(options->letters, rows[i].letter) && !strchr(takes, rows[i].letter))
            return rows[i].name;
    return NULL;
}

struct dray_api_settings api_settings(const struct options *options)
{
    if (options->no_sandbox)
        (void)fputs("warning: --no-sandbox: plugins run unconfined\n", stderr);
    return (struct dray_api_settings){.configuration = options->config,
                                      .policies = options->policies.items,
                                      .policy_count = options->policies.count,
                                      .user = options->for_user,
                                      .unconfined = options->no_sandbox,
                                      .interrupt_fd = -1};
}

static int check_arguments(const struct command *command, const struct options *options)
{
    if (options->argument_count < command->min_arguments && !options->kind)
        return wrong(command, options, "dray %s: an argument is missing", command->name);
    if (options->argument_count > command->max_arguments)
        return wrong(command, options, "dray %s: unexpected argument %s", command->name,
                     options->arguments[command->max_arguments]);
    return 0;
}

int options_read(const struct command *command, int argc, char **argv, struct options *options)
{
    struct option longs[ROWS + 2] = {{"help", no_argument, NULL, 0}};
    char letters[ROWS + 2] = {0};
    size_t count = 1;
    int which, index = 0;
    const char *fault;

    options->json = asks_for_json(argc, argv);
    for (size_t i = 0; i < ROWS; i++)
        if (takes(command, &rows[i])) {
            letters[count] = rows[i].letter;
            longs[count++] = (struct option){
                rows[i].name, rows[i].argument ? required_argument : no_argument, NULL, 0};
        }
    opterr = 0;
    while ((which = getopt_long(argc, argv, ":h", longs, &index)) != -1) {
        if (which == '?') {
            char letter[] = {'-', (char)optopt, '\0'};
            return unknown_option(command, options, optopt ? letter : argv[optind - 1]);
        }
        if (which == ':')
            return wrong(command, options, "dray %s: %s takes a value", command->name,
                         argv[optind - 1]);
        if (which == 'h' || index == 0) {
            print_help(command, first_word(argc, argv));
            return -1;
        }
        note_letter(options, letters[index]);
        if (longs[index].has_arg == no_argument)
            set_flag(options, longs[index].name);
        else if ((fault = set_option(options, longs[index].name, optarg)) != NULL)
            return wrong(command, options, "--%s %s: %s", longs[index].name, optarg, fault);
    }
    options->arguments = (const char *const *)(void *)(argv + optind);
    options->argument_count = argc - optind;
    return check_arguments(command, options);
}
