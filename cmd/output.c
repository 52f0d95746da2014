/* SPDX-License-Identifier: MIT */
/* output.c - what commands print: errors, jobs and progress, for people and as JSON. */
#include <string.h>
#include <unistd.h>

#include "cmd/command.h"
#include "core/base/io.h"
#include "core/base/text.h"

int use_colour(FILE *stream)
{
    const char *never = getenv("NO_COLOR");

    return isatty(fileno(stream)) && !(never && never[0]);
}

void print_text(FILE *stream, const char *text)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer clean = {.cap = 1u << 20};

    dray_utf8_add(&clean, text, strlen(text), 1);
    (void)fputs(clean.data ? clean.data : "", stream);
}

void print_word(FILE *stream, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-+=:,./@%";
    dray_cleanup(dray_buffer_free) struct dray_buffer quoted = {.cap = 1u << 20};

    if (text[strspn(text, plain)] == '\0') {
        (void)fputs(text, stream);
        return;
    }
    for (const char *at = text; *at; at++)
        dray_buffer_add(&quoted, *at == '\'' ? "'\\''" : at, *at == '\'' ? 4 : 1);
    (void)fputc('\'', stream);
    print_text(stream, quoted.data ? quoted.data : "");
    (void)fputc('\'', stream);
}

void print_start(FILE *stream, const char *text, size_t bytes)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer clean = {.cap = 1u << 10};

    dray_utf8_add(&clean, text, strnlen(text, bytes), 1);
    (void)fputs(clean.data ? clean.data : "", stream);
}

/* Whether what was printed arrived is judged once, when the command has ended. */
int print_buffer(const struct dray_buffer *buffer)
{
    if (buffer->failed)
        return 1;
    if (buffer->data)
        (void)fwrite(buffer->data, 1, buffer->length, stdout);
    (void)fflush(stdout);
    return 0;
}

int print_json(json_t *json)
{
    int failed =
        !json || (json_dumpf(json, stdout,
                             JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9)) != 0 &&
                  !ferror(stdout));

    json_decref(json);
    (void)fputc('\n', stdout);
    (void)fflush(stdout);
    return failed;
}

/* ---- Errors ---- */

/* Lines of a hint stand below each other. */
static void print_hint(const char *hint)
{
    (void)fputs(" hint: ", stderr);
    for (const char *line = hint; *line;) {
        size_t length = strcspn(line, "\n");
        dray_autofree char *one = strndup(line, length);
        if (one)
            print_text(stderr, one);
        (void)fputc('\n', stderr);
        line += length;
        if (*line == '\n') {
            line++;
            (void)fputs("       ", stderr);
        }
    }
}

static int exit_of(const struct dray_error *error, const json_t *job)
{
    int status = dray_class_exit(error->class_);

    /* A command that could not begin says so by what was wrong; a delivery that began has failed.
     */
    if (error->class_ == DRAY_CANCELLED)
        return job && strcmp(text(job, "state"), "cancelled") == 0 ? status : 130;
    return job && (status == 2 || status == 4) ? 1 : status;
}

static int report_json(const struct options *options, const struct dray_error *error,
                       const struct dray_diagnostics *diagnostics, json_t *job)
{
    json_t *object = job ? json_incref(job) : json_object();

    (void)options;
    (void)json_object_set_new(object, "error", dray_error_to_json(error));
    if (diagnostics && diagnostics->count > 0)
        (void)json_object_set_new(object, "diagnostics", dray_diagnostics_json(diagnostics));
    (void)print_json(object);
    return exit_of(error, job);
}

int is_diagnostic(const struct dray_error *error, const struct dray_diagnostics *diagnostics)
{
    return diagnostics->errors > 0 && error->class_ == DRAY_INVALID && error->where[0] != '\0';
}

/* Is the error a denial by rules, of which each is among the diagnostics? */
static int is_denial(const struct dray_error *error, const struct dray_diagnostics *diagnostics)
{
    for (size_t i = 0; error->class_ == DRAY_DENIED && i < diagnostics->count; i++)
        if (diagnostics->items[i].severity == DRAY_SEVERITY_ERROR &&
            strcmp(diagnostics->items[i].message, error->message) == 0)
            return 1;
    return 0;
}

int report(const struct options *options, const struct dray_error *error,
           const struct dray_diagnostics *diagnostics, json_t *job)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 16u << 20};

    if (options->json)
        return report_json(options, error, diagnostics, job);
    if (diagnostics && diagnostics->count > 0) {
        dray_diagnostics_print(diagnostics, use_colour(stderr), &out);
        (void)fputs(out.data ? out.data : "", stderr);
    }
    if (diagnostics && is_diagnostic(error, diagnostics))
        return exit_of(error, job);
    if (diagnostics && is_denial(error, diagnostics)) {
        (void)fprintf(stderr, "error: policies deny this, for %zu reason%s\n", diagnostics->errors,
                      diagnostics->errors == 1 ? "" : "s");
        return exit_of(error, job);
    }
    (void)fputs("error: ", stderr);
    if (error->where[0] != '\0') {
        print_text(stderr, error->where);
        (void)fputs(": ", stderr);
    }
    print_text(stderr, error->message);
    if (error->side == DRAY_SIDE_SOURCE)
        (void)fprintf(stderr, " (%s, source side)", dray_class_name(error->class_));
    (void)fputc('\n', stderr);
    if (error->hint[0] != '\0')
        print_hint(error->hint);
    return exit_of(error, job);
}

void print_warnings(const struct options *options, const struct dray_diagnostics *diagnostics)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 16u << 20};

    if (options->json || diagnostics->count == 0)
        return;
    dray_diagnostics_print(diagnostics, use_colour(stderr), &out);
    (void)fputs(out.data ? out.data : "", stderr);
}

/* ---- Jobs ---- */

const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : "";
}

unsigned long long number(const json_t *object, const char *key)
{
    return (unsigned long long)json_integer_value(json_object_get(object, key));
}

static void print_step_line(FILE *stream, const char *id, const char *uses, const char *outcome,
                            const json_t *counts, double seconds)
{
    char bytes[24], time[24];

    (void)fprintf(stream, "  %-24s %-16s %-9s", id, uses, outcome);
    if (strcmp(outcome, "done") == 0)
        (void)fprintf(stream, " %8llu %-7s %10s %8s", number(counts, "entries_out"),
                      number(counts, "entries_out") == 1 ? "entry" : "entries",
                      dray_size_print(number(counts, "bytes_out"), bytes),
                      dray_seconds_print(seconds, time));
    (void)fputc('\n', stream);
}

static void print_rule(FILE *stream, const json_t *rule)
{
    char bytes[24];

    (void)fprintf(stream, "      %s %llu (%s) by ",
                  json_is_true(json_object_get(rule, "shadow")) ? "would leave out" : "left out",
                  number(rule, "entries"), dray_size_print(number(rule, "bytes"), bytes));
    print_text(stream, text(rule, "by"));
    (void)fputs("  ", stream);
    print_text(stream, text(rule, "why"));
    (void)fputc('\n', stream);
}

/* Is the user told? What is only audited is recorded; a limit was told when it was met. */
static int is_told(const json_t *rule)
{
    return strcmp(text(rule, "mode"), "audit") != 0 && strcmp(text(rule, "kind"), "limit") != 0;
}

static void print_rules(FILE *stream, const json_t *rules)
{
    size_t i;
    json_t *rule;

    json_array_foreach(rules, i, rule)
    {
        if (is_told(rule))
            print_rule(stream, rule);
    }
}

void print_shadows(FILE *stream, const json_t *rules)
{
    size_t i;
    json_t *rule;

    json_array_foreach(rules, i, rule)
    {
        if (is_told(rule) && json_is_true(json_object_get(rule, "shadow")))
            print_rule(stream, rule);
    }
}

void print_log(FILE *stream, const json_t *event)
{
    const char *message =
        json_string_value(json_object_get(json_object_get(event, "fields"), "message"));

    if (number(event, "level") < DRAY_LOG_WARN)
        return;
    (void)fprintf(stream, *text(event, "step") ? "  %s: " : "warning: %s", text(event, "step"));
    print_text(stream, text(event, "what"));
    if (message) {
        (void)fputs(": ", stream);
        print_text(stream, message);
    }
    (void)fputc('\n', stream);
}

static void print_attempt(const json_t *attempt)
{
    size_t i;
    json_t *step;

    (void)printf("attempt %llu: %s%s%s\n", number(attempt, "number"), text(attempt, "outcome"),
                 text(attempt, "started")[0] ? ", " : "", text(attempt, "started"));
    json_array_foreach(json_object_get(attempt, "steps"), i, step)
    {
        print_step_line(stdout, text(step, "id"), text(step, "uses"), text(step, "outcome"), step,
                        json_real_value(json_object_get(step, "seconds")));
        print_rules(stdout, json_object_get(step, "rules"));
        if (text(step, "reason")[0]) {
            (void)fputs("      ", stdout);
            print_text(stdout, text(step, "reason"));
            (void)fputc('\n', stdout);
        }
    }
}

static void print_adopted(FILE *stream, unsigned long long files, unsigned long long bytes)
{
    char size[24];

    (void)fprintf(stream, "%llu %s, %s", files, files == 1 ? "file" : "files",
                  dray_size_print(bytes, size));
}

/* What a delivery took over from an attempt that was killed. */
static void print_taken_over(const json_t *target)
{
    const json_t *said = json_object_get(target, "confirmation");

    if (text(said, "adopted_files")[0] == '\0')
        return;
    (void)fputs(" (", stdout);
    print_adopted(stdout, strtoull(text(said, "adopted_files"), NULL, 10),
                  strtoull(text(said, "adopted_bytes"), NULL, 10));
    (void)fputs(" copied by an earlier attempt)", stdout);
}

void print_job(const json_t *job)
{
    size_t i;
    json_t *one;
    char bytes[24];

    (void)printf("job %s: ", text(job, "job"));
    print_text(stdout, text(job, "dataset"));
    (void)printf(", %s\n", text(job, "state"));
    (void)printf("  for %s, created %s\n", text(job, "user"), text(job, "created"));
    if (text(job, "reason")[0]) {
        (void)fputs("  reason: ", stdout);
        print_text(stdout, text(job, "reason"));
        (void)fputc('\n', stdout);
    }
    if (text(job, "hint")[0]) {
        (void)fputs("  hint: ", stdout);
        print_text(stdout, text(job, "hint"));
        (void)fputc('\n', stdout);
    }
    json_array_foreach(json_object_get(job, "targets"), i, one)
    {
        (void)printf("target %s %s ", text(one, "step"), text(one, "push"));
        print_text(stdout, text(one, "destination"));
        (void)printf(": %s", text(one, "state"));
        if (strcmp(text(one, "state"), "delivered") == 0)
            (void)printf(", %llu %s, %s", number(one, "entries"),
                         number(one, "entries") == 1 ? "entry" : "entries",
                         dray_size_print(number(one, "bytes"), bytes));
        print_taken_over(one);
        (void)fputc('\n', stdout);
    }
    json_array_foreach(json_object_get(job, "attempts"), i, one) print_attempt(one);
}

void print_delivered(const json_t *job)
{
    int already = json_is_true(json_object_get(job, "already_delivered"));
    size_t i;
    json_t *target;
    char bytes[24];

    json_array_foreach(json_object_get(job, "targets"), i, target)
    {
        if (strcmp(text(target, "state"), "delivered") != 0)
            continue;
        const char *other = text(target, "job"); /* it was there before this job */
        if (already || other[0] != '\0') {
            /* Both may come from what lies at the target. */
            (void)fputs("already delivered ", stdout);
            print_start(stdout, text(target, "delivered"), 10);
            (void)fputs(" by job ", stdout);
            print_start(stdout, other[0] != '\0' ? other : text(job, "job"), 8);
            (void)fputs(": ", stdout);
            print_text(stdout, text(target, "destination"));
            (void)printf("%s\n", json_is_true(json_object_get(target, "gone"))
                                     ? " (it is no longer there; --again delivers it anew)"
                                     : "");
            continue;
        }
        print_text(stdout, text(job, "dataset"));
        (void)fputs(" is at ", stdout);
        print_text(stdout, text(target, "destination"));
        (void)printf(": %llu %s, %s; to check it: dray verify ", number(target, "entries"),
                     number(target, "entries") == 1 ? "entry" : "entries",
                     dray_size_print(number(target, "bytes"), bytes));
        print_word(stdout, text(target, "destination"));
        (void)fputc('\n', stdout);
    }
    (void)fflush(stdout);
}

void print_count(const json_t *job)
{
    const json_t *targets = json_object_get(job, "targets");
    size_t delivered = 0, i;
    json_t *target;

    json_array_foreach(targets, i, target)
    {
        delivered += strcmp(text(target, "state"), "delivered") == 0;
    }
    if (json_array_size(targets) > 1)
        (void)fprintf(stderr, "%zu of %zu delivered\n", delivered, json_array_size(targets));
}

void print_emptied(const json_t *job)
{
    size_t i;
    json_t *target;

    json_array_foreach(json_object_get(job, "targets"), i, target)
    {
        const json_t *step = json_object_get(target, "emptied_by");
        if (!step)
            continue;
        (void)fputs("warning: nothing was delivered to ", stderr);
        print_text(stderr, text(target, "destination"));
        (void)fprintf(stderr, ": step %s, %s, left nothing of %llu %s\n", text(step, "step"),
                      text(step, "uses"), number(step, "entries"),
                      number(step, "entries") == 1 ? "entry" : "entries");
    }
}

/* ---- Progress ---- */

static void clear_line(struct progress *progress)
{
    if (progress->line_open)
        (void)fputs("\r\033[K", stderr);
    progress->line_open = 0;
}

static void show_progress(struct progress *progress, const json_t *event)
{
    unsigned long long done = number(event, "bytes"), all = number(event, "of_bytes");
    double seconds = (double)number(event, "nanoseconds") / 1e9;
    double rate = seconds > 0 ? (double)done / seconds : 0;
    char have[24], total[24], speed[24], left[24];

    if (!progress->terminal)
        return;
    clear_line(progress);
    (void)fprintf(stderr, "  %-24s %llu of %llu entries, %s", text(event, "step"),
                  number(event, "entries"), number(event, "of_entries"),
                  dray_size_print(done, have));
    if (all > 0)
        (void)fprintf(stderr, " of %s (%llu %%)", dray_size_print(all, total),
                      done >= all ? 100 : done * 100 / all);
    if (rate >= 1)
        (void)fprintf(stderr, ", %s/s", dray_size_print((uint64_t)rate, speed));
    if (rate >= 1 && all > done)
        (void)fprintf(stderr, ", %s left", dray_seconds_print((double)(all - done) / rate, left));
    (void)fflush(stderr);
    progress->line_open = 1;
}

/* What is waited for. */
static void show_waiting(const json_t *event)
{
    char bytes[24];

    (void)fputs("waiting: ", stderr);
    if (json_object_get(event, "source")) {
        (void)fprintf(stderr, "the source %s serves %llu at a time\n", text(event, "source"),
                      number(event, "concurrency"));
    } else if (json_object_get(event, "staging")) {
        (void)fputs("another process brings ", stderr);
        print_text(stderr, text(event, "staging"));
        (void)fputs(", or uses it\n", stderr);
    } else if (json_object_get(event, "scratch")) {
        (void)fprintf(stderr, "room in scratch, where %s are free: ",
                      dray_size_print(number(event, "free"), bytes));
        print_text(stderr, text(event, "scratch"));
        (void)fputc('\n', stderr);
    } else if (json_object_get(event, "later")) {
        print_text(stderr, text(event, "message"));
        (void)fprintf(stderr, "; %s asks again in %.1f s\n", text(event, "later"),
                      (double)number(event, "milliseconds") / 1000);
    } else {
        (void)fputs("another delivery to ", stderr);
        print_text(stderr, text(event, "for"));
        (void)fprintf(stderr, " is under way, job %.8s\n", text(event, "job"));
    }
}

static void show_event(struct progress *progress, const json_t *event)
{
    const char *name = text(event, "event");

    if (strcmp(name, "progress") == 0) {
        show_progress(progress, event);
        return;
    }
    clear_line(progress);
    if (strcmp(name, "step-ended") == 0) {
        print_step_line(stderr, text(event, "step"), text(event, "uses"), text(event, "outcome"),
                        event, (double)number(event, "nanoseconds") / 1e9);
        print_rules(stderr, json_object_get(event, "rules"));
    } else if (strcmp(name, "waiting") == 0) {
        show_waiting(event);
    } else if (strcmp(name, "retrying") == 0) {
        (void)fprintf(stderr, "  %s failed for now: ", text(event, "step"));
        print_text(stderr, text(event, "message"));
        (void)fprintf(stderr, "; try %llu of %llu in %.1f s\n", number(event, "try"),
                      number(event, "tries"), (double)number(event, "milliseconds") / 1000);
    } else if (strcmp(name, "reused") == 0) {
        (void)fprintf(stderr, "  %s: what was brought at %s is used again\n", text(event, "step"),
                      text(event, "brought"));
    } else if (strcmp(name, "adopted") == 0) {
        (void)fprintf(stderr, "  %s goes on where it was stopped: ", text(event, "step"));
        print_adopted(stderr, number(event, "entries"), number(event, "bytes"));
        (void)fputs(" there already\n", stderr);
    } else if (strcmp(name, "log") == 0) {
        print_log(stderr, event);
    }
}

void progress_event(void *arg, const json_t *event)
{
    struct progress *progress = arg;

    if (progress->options->progress_fd >= 0) {
        dray_autofree char *line = json_dumps(event, JSON_COMPACT | JSON_PRESERVE_ORDER);
        if (line && dprintf(progress->options->progress_fd, "%s\n", line) < 0)
            return; /* who watched has gone away */
    }
    if (!progress->options->json)
        show_event(progress, event);
}

void progress_end(struct progress *progress)
{
    clear_line(progress);
    (void)fflush(stderr);
}
