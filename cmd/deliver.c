/* SPDX-License-Identifier: MIT */
/* deliver.c - push, run, plan, preview and check. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cmd/command.h"

/* One command's work: the operations, and what it printed so far. */
struct session {
    struct dray_api_settings settings;
    struct progress progress;
    struct dray_api *api;
    struct dray_diagnostics diagnostics;
};

static void session_close(struct session *session)
{
    progress_end(&session->progress);
    dray_api_close(session->api);
    dray_diagnostics_free(&session->diagnostics);
    dray_close_descriptor(&session->settings.interrupt_fd);
}

static int session_open(const struct options *options, struct session *session,
                        void (*on_event)(void *arg, const json_t *event), struct dray_error *error)
{
    *session = (struct session){.progress = {.options = options,
                                             .diagnostics = &session->diagnostics,
                                             .terminal = !options->json && isatty(2)}};
    session->settings = api_settings(options);
    session->settings.interrupt_fd = interrupts_watch();
    session->settings.on_event = on_event;
    session->settings.arg = &session->progress;
    return dray_api_open(&session->settings, &session->api, error);
}

static struct dray_workflow_request request_of(const struct options *options)
{
    return (struct dray_workflow_request){.file = options->arguments[0],
                                          .dataset = options->dataset,
                                          .sets = options->sets.items,
                                          .set_count = options->sets.count,
                                          .listing = options->listing,
                                          .from_catalog = options->from_catalog};
}

/* What of the command line of `dray push` a line of its workflow stands for, or NULL. */
static const char *option_of(const char *text, uint32_t line)
{
    static const struct {
        const char *begin, *option;
    } lines[] = {{"dataset:", "the dataset"},
                 {"with: { into:", "--to"},
                 {"with: { path:", "--to"},
                 {"include:", "--include"},
                 {"exclude:", "--exclude"}};

    for (uint32_t at = 1; at < line && text; at++) {
        text = strchr(text, '\n');
        text += text ? 1 : 0;
    }
    for (size_t i = 0; text && i < DRAY_COUNT(lines); i++)
        if (strncmp(text + strspn(text, " "), lines[i].begin, strlen(lines[i].begin)) == 0)
            return lines[i].option;
    return NULL;
}

/* `dray push` reads a workflow that its user never wrote: what its lines with problems are. */
static void explain_lines(const char *text, const struct dray_diagnostics *diagnostics)
{
    uint32_t last = 0;

    for (size_t i = 0; i < diagnostics->count; i++) {
        const struct dray_diagnostic *one = &diagnostics->items[i];
        const char *source = diagnostics->sources[one->place.source].text;
        const char *option = one->place.line != last && source && strcmp(source, text) == 0
                                 ? option_of(text, one->place.line)
                                 : NULL;
        if (!option)
            continue;
        last = one->place.line;
        (void)fprintf(stderr, " hint: line %u is what %s stands for\n", last, option);
    }
}

static int deliver(struct options *options, const struct dray_workflow_request *request)
{
    dray_cleanup(session_close) struct session session;
    struct dray_error error = {0};
    json_t *job = NULL;
    int status = 0;

    int result = session_open(options, &session, progress_event, &error);
    if (result == 0)
        result =
            dray_api_run(session.api, request, options->again, &session.diagnostics, &job, &error);
    progress_end(&session.progress);
    if (result != 0)
        status = report(options, &error, &session.diagnostics, job);
    else
        print_warnings(options, &session.diagnostics);
    if (result != 0 && request->text && !options->json)
        explain_lines(request->text, &session.diagnostics);
    if (result == 0 && options->json)
        status = print_json(json_incref(job));
    else if (!options->json && job) {
        print_delivered(job);
        print_emptied(job);
    }
    if (result != 0 && job && !options->json)
        print_count(job);
    if (result != 0 && job && !options->json)
        (void)fprintf(stderr, " hint: dray show %.8s says more\n",
                      json_string_value(json_object_get(job, "job")));
    json_decref(job);
    return status;
}

int command_run(struct options *options)
{
    struct dray_workflow_request request = request_of(options);

    return deliver(options, &request);
}

int command_push(struct options *options)
{
    struct dray_workflow_draft draft = {.dataset = options->arguments[0],
                                        .to = options->to,
                                        .include = options->include.items,
                                        .include_count = options->include.count,
                                        .exclude = options->exclude.items,
                                        .exclude_count = options->exclude.count};
    dray_autofree char *text = NULL;
    struct dray_error error = {0};

    int result = options->to ? dray_api_push_workflow(&draft, &text, &error)
                             : dray_fail(&error, DRAY_INVALID,
                                         "--to is missing: where is %s to be delivered?",
                                         options->arguments[0]);
    if (!options->to)
        dray_hint(&error, "--to DIRECTORY is what the delivery becomes, --to DIRECTORY/ what it is "
                          "put into");
    if (result != 0)
        return report(options, &error, NULL, NULL);
    if (options->print_workflow) {
        (void)fputs(text, stdout);
        return 0;
    }
    struct dray_workflow_request request = {.text = text, .dataset = options->arguments[0]};
    return deliver(options, &request);
}

int command_plan(struct options *options)
{
    dray_cleanup(session_close) struct session session;
    dray_cleanup(dray_plan_freep) struct dray_plan *plan = NULL;
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 64u << 20};
    struct dray_workflow_request request = request_of(options);
    struct dray_error error = {0};
    json_t *json = NULL;

    request.advise = 1;
    int result = session_open(options, &session, progress_event, &error);
    if (result == 0)
        result = dray_api_plan(session.api, &request, &session.diagnostics, &plan, &error);
    if (result == 0)
        result = dray_api_plan_json(session.api, plan, &json, &error);
    if (result != 0)
        return report(options, &error, &session.diagnostics, NULL);
    print_warnings(options, &session.diagnostics);
    if (options->json)
        return print_json(json);
    cost_warn(json);
    dray_plan_print(plan, &out);
    cost_add(&out, json);
    json_decref(json);
    return print_buffer(&out);
}

/* What rules that only warn would do: filters in the end of their step, limits in its log. */
static void print_watched(const json_t *event)
{
    const char *name = json_string_value(json_object_get(event, "event"));

    if (name && strcmp(name, "step-ended") == 0)
        print_shadows(stderr, json_object_get(event, "rules"));
    else if (name && strcmp(name, "log") == 0)
        print_log(stderr, event);
}

/* With the line and a caret, of a file that was read for the plan. 0, or -1 where that is not
 * known.
 */
static int print_quoted(const struct dray_diagnostics *read, const json_t *lint)
{
    dray_cleanup(dray_diagnostics_free) struct dray_diagnostics one = {0};
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 16u << 20};
    const char *file = json_string_value(json_object_get(lint, "file"));
    const json_t *column = json_object_get(lint, "column");
    size_t source = 0;

    while (file && source < read->source_count && strcmp(read->sources[source].name, file) != 0)
        source++;
    if (!file || !column || source == read->source_count)
        return -1;
    struct dray_place place = {
        .source = dray_diagnostics_source(&one, file, read->sources[source].text,
                                          read->sources[source].length),
        .line = (uint32_t)json_integer_value(json_object_get(lint, "line")),
        .column = (uint32_t)json_integer_value(column),
        .width = (uint32_t)json_integer_value(json_object_get(lint, "width"))};
    dray_diagnose(&one, place, DRAY_SEVERITY_NOTE, "%s",
                  json_string_value(json_object_get(lint, "message")));
    if (one.no_memory)
        return -1;
    dray_diagnostics_print(&one, use_colour(stderr), &out);
    (void)fputs(out.data ? out.data : "", stderr);
    return 0;
}

/* What the runner has to say beside the verdicts. */
static void print_lint(void *arg, const json_t *event)
{
    const char *name = json_string_value(json_object_get(event, "event"));
    const char *file = json_string_value(json_object_get(event, "file"));
    const char *message = json_string_value(json_object_get(event, "message"));
    const struct progress *progress = arg;

    if (!progress->options->json)
        print_watched(event);
    if (!name || strcmp(name, "lint") != 0 || !message ||
        print_quoted(progress->diagnostics, event) == 0)
        return;
    if (file) {
        print_text(stderr, file);
        (void)fprintf(stderr,
                      ":%lld: ", (long long)json_integer_value(json_object_get(event, "line")));
    }
    (void)fputs("note: ", stderr);
    print_text(stderr, message);
    (void)fputc('\n', stderr);
}

int command_preview(struct options *options)
{
    dray_cleanup(session_close) struct session session;
    struct dray_workflow_request request = request_of(options);
    int one = !options->all && options->kept != options->dropped;
    struct dray_preview_request preview = {.json = options->json,
                                           .kept = one ? options->kept : 1,
                                           .dropped = one ? options->dropped : 1,
                                           .stage = options->stage};
    struct dray_error error = {0};

    /* The verdicts are all there is to see. */
    int result = session_open(options, &session, print_lint, &error);
    if (result == 0 && options->listing && options->stage)
        result = dray_fail(&error, DRAY_INVALID,
                           "--stage extracts what is in the dataset, which is not looked at with "
                           "--listing: give one of them");
    if (result == 0 && options->from_catalog && (options->listing || options->stage))
        result = dray_fail(&error, DRAY_INVALID,
                           "--from-catalog takes the catalog's list of the dataset: give neither "
                           "--listing nor --stage with it");
    if (result == 0)
        result = dray_api_preview(session.api, &request, &preview, STDOUT_FILENO,
                                  &session.diagnostics, &error);
    if (result != 0)
        return report(options, &error, &session.diagnostics, NULL);
    print_warnings(options, &session.diagnostics);
    return 0;
}

/* `check --schema KIND` */
static int print_schema(struct options *options)
{
    dray_cleanup(session_close) struct session session;
    struct dray_error error = {0};
    json_t *schema = NULL;

    int result = session_open(options, &session, 0, &error);
    if (result == 0 && options->argument_count > 0) {
        result = dray_fail(&error, DRAY_INVALID, "--schema prints a schema, and checks no file");
        dray_hint(&error, "dray check --schema %s > %s.schema.json", options->kind, options->kind);
    }
    if (result == 0)
        result = dray_api_schema(session.api, options->kind, &schema, &error);
    return result != 0 ? report(options, &error, NULL, NULL) : print_json(schema);
}

int command_check(struct options *options)
{
    if (options->kind)
        return print_schema(options);
    dray_cleanup(session_close) struct session session;
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 64u << 20};
    struct dray_error error = {0};

    int result = session_open(options, &session, progress_event, &error);
    if (result == 0)
        result = dray_api_check(session.api, options->arguments, (size_t)options->argument_count,
                                &session.diagnostics, &error);
    if (result != 0 && !is_diagnostic(&error, &session.diagnostics))
        return report(options, &error, &session.diagnostics, NULL);
    if (options->json) {
        int status = print_json(dray_diagnostics_json(&session.diagnostics));
        return status != 0 ? status : result != 0 ? 2 : 0;
    }
    dray_diagnostics_print(&session.diagnostics, use_colour(stdout), &out);
    if (result == 0)
        dray_buffer_format(&out, "%d file%s checked, no errors\n", options->argument_count,
                           options->argument_count == 1 ? "" : "s");
    return print_buffer(&out) != 0 ? 1 : result != 0 ? 2 : 0;
}
