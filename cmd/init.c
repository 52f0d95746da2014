/* SPDX-License-Identifier: MIT */
/* init.c - a workflow to go on from, made of what is given and, on a terminal, of what is asked. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/command.h"

#define DEFAULT_FILE "workflow.yaml"

struct init {
    const struct options *options;
    struct dray_api *api;
    struct dray_arena answers;
    struct dray_workflow_draft draft;
    const char *file;
    int terminal; /* somebody can be asked */
    int reported; /* the exit status, once what went wrong was printed */
    struct list include, exclude;
};

static void init_free(struct init *init)
{
    dray_api_close(init->api);
    dray_arena_free(&init->answers);
}

/* ---- Asking ---- */

/* One line, without spaces around it; empty: the default. NULL: error. */
static char *ask(struct init *init, const char *question, const char *fallback,
                 struct dray_error *error)
{
    dray_autofree char *line = NULL;
    size_t size = 0;

    (void)fprintf(stderr, "%s%s%s%s: ", question, fallback ? " [" : "", fallback ? fallback : "",
                  fallback ? "]" : "");
    (void)fflush(stderr);
    ssize_t length = getline(&line, &size, stdin);
    if (length < 0) {
        (void)fputc('\n', stderr);
        (void)dray_fail(error, DRAY_INVALID, "there was no answer; nothing was written");
        return NULL;
    }
    char *start = line + strspn(line, " \t\r\n");
    while (length > start - line && strchr(" \t\r\n", line[length - 1]))
        length--;
    if (length <= start - line && fallback)
        return dray_arena_text(&init->answers, fallback, strlen(fallback));
    return dray_arena_text(&init->answers, start,
                           length > start - line ? (size_t)(length - (start - line)) : 0);
}

/* What is wrong with an answer, before it is asked for again. */
static void complain(const struct dray_error *error)
{
    (void)fputs("  ", stderr);
    print_text(stderr, error->message);
    for (const char *line = error->hint; *line; line += strspn(line, "\n")) {
        size_t length = strcspn(line, "\n");
        (void)fputs("; ", stderr);
        print_start(stderr, line, length);
        line += length;
    }
    (void)fputc('\n', stderr);
}

/* ---- What can be wrong ---- */

static int check_dataset(const char *dataset, struct dray_error *error)
{
    struct stat status;

    if (!dray_is_path(dataset)) {
        (void)dray_fail(error, DRAY_INVALID,
                        "\"%s\" is no path: a dataset begins with /, ./ or ../", dataset);
        if (dataset[0] != '\0' && lstat(dataset, &status) == 0)
            dray_hint(error, "write ./%s", dataset);
        return error->class_;
    }
    return stat(dataset, &status) == 0 ? 0 : dray_fail_errno(error, errno, "%s", dataset);
}

static int check_file(const char *file, struct dray_error *error)
{
    struct stat status;

    if (lstat(file, &status) != 0)
        return 0;
    (void)dray_fail(error, DRAY_INVALID, "%s is there already, and nothing is overwritten", file);
    dray_hint(error, "name another file: dray init FILE");
    return error->class_;
}

/* Patterns of a habit from elsewhere, where a list has commas and each is quoted: each would be one
 * that matches nothing. */
static int check_patterns(const char *const *items, size_t count, struct dray_error *error)
{
    for (size_t i = 0; i < count; i++) {
        const char *item = items[i];
        size_t length = strlen(item);
        if (length > 0 && item[length - 1] == ',') {
            (void)dray_fail(error, DRAY_INVALID, "the pattern %s ends in a comma", item);
            dray_hint(error, "write %.*s; nothing but a space stands between two", (int)length - 1,
                      item);
            return error->class_;
        }
        if (item[0] == '"' || item[0] == '\'') {
            (void)dray_fail(error, DRAY_INVALID, "the pattern %s stands in quotes", item);
            dray_hint(error, "write it without; a pattern with a space is put into the file later");
            return error->class_;
        }
    }
    return 0;
}

/* The workflow of what is known so far, checked, with its target when `all` is set; its problems
 * are printed or reported. *ret_text may be NULL: there is somebody to be asked again. */
static int check_workflow(struct init *init, int all, char **ret_text, struct dray_error *error)
{
    struct dray_diagnostics diagnostics = {0};
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 1u << 20};
    dray_autofree char *text = NULL;
    int result = dray_api_init_workflow(&init->draft, &text, error);

    if (result == 0)
        result = (all ? dray_api_try_text : dray_api_check_text)(init->api, init->file, text,
                                                                 &diagnostics, error);
    if (result != 0 && !ret_text) {
        dray_diagnostics_print(&diagnostics, use_colour(stderr), &out);
        (void)fputs(out.data ? out.data : "", stderr);
        if (!is_diagnostic(error, &diagnostics))
            complain(error);
    } else if (result != 0) {
        init->reported = report(init->options, error, &diagnostics, NULL);
    }
    dray_diagnostics_free(&diagnostics);
    if (result == 0 && ret_text)
        *ret_text = DRAY_TAKE(text);
    return result;
}

/* Is it the answer that was wrong, so that another one may do? */
static int may_ask_again(int result)
{
    return result == DRAY_INVALID || result == DRAY_NOT_FOUND || result == DRAY_CONFLICT ||
           result == DRAY_DENIED || result == DRAY_PERMANENT;
}

/* ---- The questions ---- */

static int find_dataset(struct init *init, struct dray_error *error)
{
    int result;

    if (init->draft.dataset)
        return check_dataset(init->draft.dataset, error);
    if (!init->terminal) {
        (void)dray_fail(error, DRAY_INVALID, "--dataset is missing: what is to be delivered?");
        dray_hint(error, "--dataset ./PATH, a directory, a file or an archive");
        return error->class_;
    }
    for (;;) {
        init->draft.dataset = ask(init, "What is delivered (a path: ./x, ../x or /x)", NULL, error);
        if (!init->draft.dataset)
            return error->class_ ? error->class_ : dray_fail_memory(error);
        result = check_dataset(init->draft.dataset, error);
        if (!may_ask_again(result))
            return result;
        complain(error);
    }
}

static int find_target(struct init *init, struct dray_error *error)
{
    dray_autofree char *text = NULL;
    int result;

    /* Before anything else is asked, if something is. */
    if (init->draft.to)
        return init->terminal ? check_workflow(init, 1, &text, error) : 0;
    if (!init->terminal) {
        (void)dray_fail(error, DRAY_INVALID, "--to is missing: where is it to be delivered?");
        dray_hint(error, "--to DIRECTORY is what the delivery becomes, --to DIRECTORY/ what it is "
                         "put into");
        return error->class_;
    }
    do {
        init->draft.to =
            ask(init, "Where to (DIR: it becomes DIR; DIR/: it is put into DIR)", NULL, error);
        if (!init->draft.to)
            return error->class_ ? error->class_ : dray_fail_memory(error);
        result = check_workflow(init, 1, NULL, error);
    } while (may_ask_again(result));
    return result;
}

/* Words of a line, in place; what does not fit is too much to type. */
static void split(char *line, struct list *words)
{
    char *rest = line;

    words->count = 0;
    for (char *word; words->count < MAX_LIST && (word = strsep(&rest, " \t")) != NULL;)
        if (word[0] != '\0')
            words->items[words->count++] = word;
}

static int find_patterns(struct init *init, const char *question, struct list *answer,
                         const char *const **items, size_t *count, struct dray_error *error)
{
    int result;

    if (!init->terminal || *count > 0)
        return 0;
    do {
        char *line = ask(init, question, NULL, error);
        if (!line)
            return error->class_ ? error->class_ : dray_fail_memory(error);
        split(line, answer);
        *items = answer->items;
        *count = answer->count;
        result = check_patterns(*items, *count, error);
        if (result != 0)
            complain(error);
        else if (*count > 0)
            result = check_workflow(init, 0, NULL, error);
    } while (may_ask_again(result));
    return result;
}

static int find_all(struct init *init, struct dray_error *error)
{
    int result = find_dataset(init, error);

    if (result == 0)
        result = find_target(init, error);
    if (result == 0)
        result = find_patterns(
            init,
            "Only what matches (patterns such as *.nc tables/, with spaces between, no "
            "quotes; empty: all)",
            &init->include, &init->draft.include, &init->draft.include_count, error);
    if (result == 0)
        result =
            find_patterns(init,
                          "But not what matches (patterns such as *.tmp, with spaces between, no "
                          "quotes; empty: none)",
                          &init->exclude, &init->draft.exclude, &init->draft.exclude_count, error);
    if (result == 0 && init->terminal && init->options->argument_count == 0) {
        init->file = ask(init, "File to write", DEFAULT_FILE, error);
        if (!init->file)
            return error->class_ ? error->class_ : dray_fail_memory(error);
    }
    return result == 0 ? check_file(init->file, error) : result;
}

/* ---- The command ---- */

static int print_written(const struct options *options, const char *file)
{
    if (options->json)
        return print_json(json_pack("{s:s}", "file", file));
    print_text(stdout, file);
    (void)fputs(" is written. What it would deliver, and then the delivery:\n  dray preview ",
                stdout);
    print_word(stdout, file);
    (void)fputs("\n  dray run ", stdout);
    print_word(stdout, file);
    (void)fputc('\n', stdout);
    return 0;
}

int command_init(struct options *options)
{
    struct dray_api_settings settings = api_settings(options);
    struct dray_error error = {0};
    dray_autofree char *text = NULL;
    dray_cleanup(init_free) struct init init = {
        .options = options,
        .draft = {.dataset = options->dataset,
                  .to = options->to,
                  .include = options->include.items,
                  .include_count = options->include.count,
                  .exclude = options->exclude.items,
                  .exclude_count = options->exclude.count},
        .file = options->argument_count > 0 ? options->arguments[0] : DEFAULT_FILE,
        .terminal = !options->json && isatty(STDIN_FILENO) && isatty(STDERR_FILENO)};

    int result = options->argument_count > 0 ? check_file(init.file, &error) : 0;
    if (result == 0)
        result = check_patterns(options->include.items, options->include.count, &error);
    if (result == 0)
        result = check_patterns(options->exclude.items, options->exclude.count, &error);
    if (result == 0)
        result = dray_api_open(&settings, &init.api, &error);
    if (result == 0)
        result = find_all(&init, &error);
    if (result == 0)
        result = check_workflow(&init, 1, &text, &error);
    if (result == 0)
        result = dray_api_write_new(init.file, text, &error);
    if (result != 0)
        return init.reported ? init.reported : report(options, &error, NULL, NULL);
    return print_written(options, init.file);
}
