/* SPDX-License-Identifier: MIT */
/* dray - the command line. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cmd/command.h"
#include "core/base/text.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

const struct command dray_commands[] = {
    {"push", "DATASET --to TARGET [--include P]... [--exclude P]...",
     "Deliver without writing a workflow",
     "DATASET is a path: ./x, ../x or /x, a directory, a file or an archive; or a catalog's name.\n"
     "TARGET is a directory: what the delivery becomes, or, with a final slash, what it is put "
     "into.\n"
     "\n"
     "  dray push ./run-0042 --to /hpfs/smith/incoming/ --exclude '*.tmp'\n",
     "tiewpnajfW", 1, 1, command_push, NULL},
    {"run", "WORKFLOW [--dataset D] [--set NAME=VALUE]... [--again]",
     "Plan and deliver now, in the foreground",
     "The same request again is answered by the earlier delivery; an interrupted one is taken up.\n"
     "\n"
     "  dray run ocean.yaml --set lab=smith\n",
     "dspnajfW", 1, 1, command_run, NULL},
    {"plan", "WORKFLOW [--dataset D] [--set NAME=VALUE]... [--listing FILE]",
     "Print the steps that would run, each with its origin",
     "Nothing is staged and nothing is written. The same file gives the same plan. What is known "
     "of\n"
     "its cost stands at the end: entries, bytes, time (from earlier deliveries), free space. "
     "With\n"
     "--listing neither dataset nor target need be there.\n"
     "\n"
     "  dray plan ocean.yaml --policies ./policies\n",
     "dspnjoW", 1, 1, command_plan, NULL},
    {"preview", "WORKFLOW [--all|--dropped|--kept] [--stage|--listing FILE|--from-catalog]",
     "Every entry with its verdict and the rule that decided it",
     "Nothing is pushed. --stage also extracts what has to be extracted, so that manifests are "
     "read.\n"
     "With --listing neither dataset nor target need be there: FILE says what is in the dataset, "
     "a\n"
     "line an entry, SIZE, a tab and PATH, with a final slash for directories; or it is the\n"
     "tree.jsonl of a delivery. Rules that decided nothing are named on standard error.\n"
     "\n"
     "  dray preview ocean.yaml --dropped\n"
     "  rclone lsf -R --format sp --separator \"$(printf '\\t')\" remote:ocean |\n"
     "      dray preview ocean.yaml --listing -\n",
     "dspnjkgloJW", 1, 1, command_preview, NULL},
    {"check", "FILE... | --schema KIND", "Diagnose workflows, policies, recipes and configurations",
     "Each problem is shown with its place and what to do; nothing is staged. With --schema it "
     "prints\n"
     "what such files may hold, for editors: KIND is workflow, policy or recipe.\n"
     "\n"
     "  dray check ocean.yaml policies/*.yaml\n",
     "Sjn", 1, MAX_LIST, command_check, NULL},
    {"init", "[FILE] [--dataset D] [--to T] [--include P]... [--exclude P]...",
     "Write a workflow to go on from, with comments",
     "What is not given is asked for on a terminal, and an error elsewhere. FILE is "
     "workflow.yaml;\n"
     "a file that is there is never overwritten.\n"
     "\n"
     "  dray init --dataset ./run-0042 --to /hpfs/smith/incoming/ --exclude '*.tmp' "
     "run-0042.yaml\n",
     "dtienj", 0, 1, command_init, NULL},
    {"jobs", "[--state S] [--user U] [--dataset D] [--since WHEN] [--limit N]",
     "List jobs, newest first",
     "S is queued, running, waiting, delivered, failed or cancelled.\n"
     "\n"
     "  dray jobs --state failed --since 7d\n",
     "xuyqmj", 0, 0, command_jobs, NULL},
    {"show", "JOB", "One job: targets, attempts, steps, reasons",
     "JOB is its id or the beginning of it.\n"
     "\n"
     "  dray show 3f2a91c0\n",
     "j", 1, 1, command_show, NULL},
    {"cancel", "JOB...", "End jobs before they deliver, and undo what they began",
     "Also one that another process has in hand: it is asked to stop, and waited for. The run "
     "that\n"
     "is cancelled exits with 5. What is delivered already stays.\n"
     "\n"
     "  dray cancel 3f2a91c0\n",
     "jn", 1, MAX_LIST, command_cancel, NULL},
    {"verify", "DIRECTORY", "Check a delivery against its own records, as its recipient",
     "Needs no account and no state. Exit 1 says that it is damaged, and lists where.\n"
     "\n"
     "  dray verify /hpfs/smith/incoming/run-0042\n",
     "j", 1, 1, command_verify, NULL},
    {"plugin", "list | show KIND/NAME [--schema] | manual",
     "Plugins: versions, files, options, and why one was refused",
     "manual prints a manual page of all their options: dray plugin manual | man -l -\n\n"
     "  dray plugin show filter/glob\n",
     "jc", 1, 2, command_plugin, &plugin_verbs},
    {"policy", "list | test [PATH]... | explain | replay PATH... | sign DIR --key FILE | key FILE",
     "Policies: which are in force and what they say; signing them",
     "list     shows the policies that hold here, who signed them and since when they rule\n"
     "test     judges the tests in files or directories, or in the policies that hold here\n"
     "explain  says which rules hold for a case, which do not and why, and what becomes of a "
     "path;\n"
     "         --dataset, --target, --user, --path, --size and --given say what the case is\n"
     "replay   says what the policies of files or directories would have done to past jobs;\n"
     "         --dataset, --user, --since, --until and --limit say which\n"
     "sign     checks the policies of a directory, and writes policies.sha256 and its signature "
     "there\n"
     "key      makes a pair of keys: FILE, to sign with, and FILE.pub, for the configuration\n"
     "\n"
     "  dray policy explain --policies ./policies --dataset ./run-0042 --target ./lab/ --path "
     "raw/a.fastq\n",
     "pjnDTUPzGqNLK", 1, MAX_LIST, command_policy, &policy_verbs},
    {"recipe", "save NAME FILE | list | show NAME[@VERSION] | delete NAME[@VERSION]",
     "Saved filter and transform steps, for `uses: recipe/NAME`",
     "FILE is a recipe's file, or a workflow: then its filters and transforms are saved. Each save "
     "of\n"
     "another text is a new version. Workflows use the newest, or with recipe/NAME@2 the second.\n"
     "\n"
     "  dray recipe save ocean ocean.yaml\n",
     "jn", 1, 3, command_recipe, &recipe_verbs},
    {"dataset", "add NAME | set DATASET | import FILE | list | show | verify | delete DATASET",
     "The catalog: names for datasets, with what is known of them",
     "DATASET is a name, TYPE/NAME where several have it, or id:N. FILE holds JSON lines, a "
     "dataset\n"
     "each (-: standard input); all of it is stored, or nothing. set changes what is named: --tag "
     "the\n"
     "tags together, --label one label; with an empty value it removes. Another source drops what "
     "the\n"
     "catalog has of the files and of the digests of the one before.\n"
     "verify reads all of a dataset and compares it with the list that the catalog has, or makes "
     "one.\n"
     "\n"
     "  dray dataset add ocean --source ./run-0042 --type RAW_DATA --tag human\n",
     "jnABCEFHIOQV", 1, 2, command_dataset, &dataset_verbs},
    {"admin", "gc [--dry-run]", "Keep an installation in order",
     "gc removes what nobody needs any more of scratch: what sources brought and no job waits for, "
     "what\n"
     "processes that are dead left there, and their locks. It says what it removed, and what stays "
     "and\n"
     "why; what is in use it leaves alone. Each delivery does so, too.\n"
     "\n"
     "  dray admin gc --dry-run\n",
     "jr", 1, 1, command_admin, &admin_verbs},
    {"target", "claim DIRECTORY --for USER",
     "Whether a directory may be delivered into for another user",
     "Root may write everywhere, so what root delivers for a user (--for of push, run and plan) "
     "goes\n"
     "only where the user could write: what they own, what a group or an ACL lets them write in, "
     "or\n"
     "what all may write in and they have claimed, by making a file there whose name this tells.\n"
     "And they have to be let search all that is above it. Exit 6: not claimed yet.\n"
     "\n"
     "  dray target claim /hpfs/smith/incoming --for smith\n",
     "Wjn", 1, 2, command_target, &target_verbs},
};
const size_t dray_command_count = sizeof(dray_commands) / sizeof(dray_commands[0]);

static void print_overview(FILE *stream)
{
    (void)fprintf(stream, "Dray delivers datasets: it stages, validates and filters one and pushes "
                          "it to where a\n"
                          "researcher wants it; once, whole, with proof of what was delivered and "
                          "what was left out.\n"
                          "\n"
                          "usage: dray COMMAND [ARGUMENT...] [OPTION...]\n"
                          "\n");
    for (size_t i = 0; i < dray_command_count; i++)
        (void)fprintf(stream, "  %-9s %s\n", dray_commands[i].name, dray_commands[i].summary);
    (void)fprintf(
        stream,
        "\n"
        "`dray COMMAND --help` says more. Every command takes --json and "
        "--config.\n"
        "Exit: 0 done, 1 delivery failed, 2 wrong input, 3 denied, 4 not found, 5 cancelled,\n"
        "6 waits for a person, 75 try again, 130 interrupted.\n");
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < dray_command_count; i++)
        if (strcmp(dray_commands[i].name, name) == 0)
            return &dray_commands[i];
    return NULL;
}

static int unknown_command(const struct options *options, const char *name)
{
    const char *names[MAX_LIST];
    struct dray_error error = {0};

    for (size_t i = 0; i < dray_command_count; i++)
        names[i] = dray_commands[i].name;
    const char *near = dray_nearest(name, names, dray_command_count);
    (void)dray_fail(&error, DRAY_INVALID, "dray has no command \"%s\"", name);
    if (near)
        dray_hint(&error, "did you mean \"%s\"?", near);
    else
        dray_hint(&error, "dray --help lists the commands");
    return report(options, &error, NULL, NULL);
}

/* `dray help COMMAND [VERB]`: the same as `dray COMMAND [VERB] --help`. */
static int help_of(int argc, char **argv)
{
    struct options options = {.progress_fd = -1};
    const struct command *command = find_command(argv[0]);

    if (!command)
        return unknown_command(&options, argv[0]);
    print_help(command, argc > 1 ? argv[1] : NULL);
    return 0;
}

/* A configuration that is named has to be there, also where a command has no use for it. */
static int check_config(const struct options *options)
{
    struct dray_error error = {0};

    if (!options->config || access(options->config, F_OK) == 0)
        return 0;
    (void)dray_fail_errno(&error, errno, "looking for the configuration %s", options->config);
    return report(options, &error, NULL, NULL);
}

/* A program may be started without standard input, output and error. What it opens would then take
 * their numbers, and what it prints would end up in there. */
static int hold_standard_descriptors(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return -1;
    return 0;
}

/* Asked of the descriptor: which write failed, and with what errno, may be long past. */
static int reader_has_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};

    return poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLHUP));
}

/* The status, or 1 where the output did not arrive. A reader that has seen enough (head) is no
 * failure. */
static int flush_output(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    if (errno == EPIPE || reader_has_gone())
        return status;
    (void)fprintf(stderr, "error: writing standard output: %s\n", strerror(errno));
    return status != 0 ? status : 1;
}

int main(int argc, char **argv)
{
    struct options options = {.progress_fd = -1};

    if (hold_standard_descriptors() != 0)
        return 1;
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        print_overview(stderr);
        return 2;
    }
    if (strcmp(argv[1], "help") == 0 && argc > 2)
        return flush_output(help_of(argc - 2, argv + 2));
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_overview(stdout);
        return flush_output(0);
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("dray %s, plugin ABI %d.%d\n", PACKAGE_VERSION, DRAY_ABI_MAJOR,
                     DRAY_ABI_MINOR);
        return flush_output(0);
    }
    const struct command *command = find_command(argv[1]);
    if (!command) {
        options.json = strcmp(argv[argc - 1], "--json") == 0;
        return unknown_command(&options, argv[1]);
    }
    int status = options_read(command, argc - 1, argv + 1, &options);
    if (status == 0)
        status = check_config(&options);
    if (status != 0)
        return flush_output(status < 0 ? 0 : status);
    return flush_output(command->run(&options));
}
