/* SPDX-License-Identifier: MIT */
/* preview.c - every entry with its verdict and the rule that decided it, from the same run that
 * would have pushed. */
#include "core/run/preview.h"

#include <errno.h>
#include <string.h>

#include "core/base/io.h"
#include "core/base/text.h"
#include "core/run/verdict_walk.h"

#define FLUSH_AT (256u << 10)

struct totals {
    uint64_t entries, bytes;
};

struct counts {
    struct totals kept, dropped, undecided;
};

struct preview {
    struct dray_run *run;
    const struct dray_preview_format *format;
    int fd, failed;
    struct dray_buffer out;
    const char *target;           /* named when targets get different trees, else NULL */
    struct dray_reasons *reasons; /* of each step of the plan; empty of what is no filter */
    struct counts all, *targets;  /* by target; empty where it has the tree of the first */
    struct counts *counts;        /* of the target at hand */
};

static void flush(struct preview *preview)
{
    if (preview->failed == 0 && preview->out.failed != 0)
        preview->failed = ENOMEM;
    if (preview->failed == 0 && preview->out.length > 0 &&
        dray_write_all(preview->fd, preview->out.data, preview->out.length) != 0)
        preview->failed = errno;
    dray_buffer_clear(&preview->out);
}

/* ---- Verdicts ---- */

static int write_verdict(void *arg, const struct dray_tree_entry *entry, unsigned verdict,
                         const struct dray_step_run *filter, const struct dray_decision *decision)
{
    struct preview *preview = arg;
    const struct dray_buffer *reason = NULL;
    struct counts *counts = preview->counts;
    struct totals *totals = verdict == DRAY_DROP   ? &counts->dropped
                            : verdict == DRAY_KEEP ? &counts->kept
                                                   : &counts->undecided;

    totals->entries++;
    totals->bytes += entry->bytes;
    if ((verdict == DRAY_KEEP && !preview->format->kept) ||
        (verdict == DRAY_DROP && !preview->format->dropped))
        return preview->failed;
    if (filter) {
        struct dray_reasons *reasons = &preview->reasons[filter->index];
        if (!reasons->filter && dray_reasons_init(reasons, filter, preview->format) != 0)
            return ENOMEM;
        reason = dray_reasons_get(reasons, decision);
    }
    dray_preview_line(&preview->out, preview->format, entry, verdict, preview->target, reason);
    if (preview->out.length >= FLUSH_AT)
        flush(preview);
    return preview->failed;
}

/* ---- Lints and totals ---- */

static void write_lint(void *arg, json_t *lint)
{
    struct preview *preview = arg;
    json_t *line = json_pack("{s:o}", "lint", lint);
    dray_autofree char *text = line ? json_dumps(line, JSON_PRESERVE_ORDER) : NULL;

    json_decref(line);
    if (text)
        dray_buffer_format(&preview->out, "%s\n", text);
    if (preview->out.length >= FLUSH_AT)
        flush(preview);
}

/* Verdicts alone stand on standard output; what the engine is told, people read beside them. */
static void tell_lint(void *arg, json_t *lint)
{
    const struct preview *preview = arg;

    (void)json_object_set_new(lint, "event", json_string("lint"));
    dray_run_tell(preview->run, lint);
}

static void add_totals_json(struct dray_buffer *out, const char *name, const struct totals *totals)
{
    dray_buffer_format(out, "\"%s\": {\"entries\": %llu, \"bytes\": %llu}", name,
                       (unsigned long long)totals->entries, (unsigned long long)totals->bytes);
}

static void add_counts_json(struct dray_buffer *out, const struct counts *counts)
{
    add_totals_json(out, "kept", &counts->kept);
    dray_buffer_text(out, ", ");
    add_totals_json(out, "dropped", &counts->dropped);
    if (counts->undecided.entries > 0) {
        dray_buffer_text(out, ", ");
        add_totals_json(out, "undecided", &counts->undecided);
    }
}

static void add_targets_json(const struct preview *preview, struct dray_buffer *out)
{
    const struct dray_plan *plan = preview->run->plan;

    dray_buffer_text(out, ", \"targets\": [");
    for (size_t i = 0; i < plan->target_count; i++) {
        json_t *uri = json_string(plan->targets[i].uri);
        dray_autofree char *text = uri ? json_dumps(uri, JSON_ENCODE_ANY) : NULL;
        json_decref(uri);
        dray_buffer_format(out, "%s{\"target\": %s, ", i > 0 ? ", " : "", text ? text : "null");
        add_counts_json(out, &preview->targets[i]);
        dray_buffer_text(out, "}");
    }
    dray_buffer_text(out, "]");
}

static void add_summary_json(struct preview *preview)
{
    struct dray_run *run = preview->run;
    struct dray_buffer *out = &preview->out;

    dray_buffer_text(out, "{\"summary\": {");
    add_counts_json(out, &preview->all);
    if (preview->target)
        add_targets_json(preview, out);
    dray_preview_targets(run, preview->format, out);
    if (run->listing) {
        json_t *listing = json_object();
        if (listing && dray_json_set_path(listing, "file", run->listing, strlen(run->listing)) == 0)
            (void)json_object_set_new(listing, "entries", json_integer((json_int_t)run->listed));
        dray_autofree char *text = json_dumps(listing, JSON_PRESERVE_ORDER);
        json_decref(listing);
        dray_buffer_format(out, ", \"listing\": %s", text ? text : "{}");
    }
    dray_buffer_text(out, "}}\n");
}

static void add_counts_text(struct dray_buffer *out, const struct counts *counts)
{
    char kept[24], dropped[24], undecided[24];

    dray_buffer_format(
        out, "%llu kept (%s), %llu dropped (%s)", (unsigned long long)counts->kept.entries,
        dray_size_print(counts->kept.bytes, kept), (unsigned long long)counts->dropped.entries,
        dray_size_print(counts->dropped.bytes, dropped));
    if (counts->undecided.entries > 0)
        dray_buffer_format(out, ", %llu undecided (%s)",
                           (unsigned long long)counts->undecided.entries,
                           dray_size_print(counts->undecided.bytes, undecided));
}

static void add_summary_text(struct preview *preview)
{
    struct dray_run *run = preview->run;
    struct dray_buffer *out = &preview->out;

    /* A sum over targets would count an entry several times. */
    if (preview->target)
        dray_buffer_format(out, "\n%zu targets", run->plan->target_count);
    else
        add_counts_text(out, &preview->all);
    if (run->listing) {
        dray_buffer_text(out, "; from ");
        dray_utf8_add(out, run->listing, strlen(run->listing), 1);
        dray_buffer_format(out, ", %llu entries listed", (unsigned long long)run->listed);
    }
    dray_buffer_text(out, "; nothing was pushed\n");
    dray_preview_targets(run, preview->format, out);
}

static int all_targets_alike(const struct dray_run *run)
{
    const struct dray_tree *first = NULL;

    for (size_t i = 0; i < run->plan->target_count; i++) {
        const struct dray_tree *input = run->steps[run->plan->targets[i].step].input;
        if (first && input != first)
            return 0;
        first = input;
    }
    return 1;
}

static void add_totals(struct totals *to, const struct totals *from)
{
    to->entries += from->entries;
    to->bytes += from->bytes;
}

static void add_counts(struct counts *to, const struct counts *from)
{
    add_totals(&to->kept, &from->kept);
    add_totals(&to->dropped, &from->dropped);
    add_totals(&to->undecided, &from->undecided);
}

static void write_targets(struct preview *preview)
{
    const struct dray_run *run = preview->run;
    int alike = all_targets_alike(run);

    for (size_t i = 0; i < run->plan->target_count && !(alike && i > 0); i++) {
        const struct dray_step_run *push = &run->steps[run->plan->targets[i].step];
        if (!push->input)
            continue;
        preview->target = alike ? NULL : run->plan->targets[i].uri;
        preview->counts = &preview->targets[i];
        if (preview->target && !preview->format->json)
            dray_buffer_format(&preview->out, "%sto %s:\n", i > 0 ? "\n" : "", preview->target);
        int result = dray_verdicts_walk(push, push->input, write_verdict, preview);
        if (result != 0 && preview->failed == 0)
            preview->failed = ENOMEM;
        if (preview->target && !preview->format->json) {
            add_counts_text(&preview->out, preview->counts);
            dray_buffer_text(&preview->out, "\n");
        }
        add_counts(&preview->all, preview->counts);
    }
}

int dray_preview_write(struct dray_run *run, int fd, const struct dray_preview_format *format,
                       struct dray_error *error)
{
    struct preview preview = {.run = run, .format = format, .fd = fd, .out = {.cap = 4u << 20}};

    dray_autofree struct counts *targets = calloc(run->plan->target_count + 1, sizeof(*targets));
    preview.reasons = calloc(run->plan->step_count + 1, sizeof(*preview.reasons));
    preview.targets = targets;
    if (!preview.reasons || !targets) {
        free(preview.reasons);
        return dray_fail_memory(error);
    }
    write_targets(&preview);
    if (format->json && !format->quiet && preview.failed == 0)
        dray_lint_run(run, write_lint, &preview);
    if (format->json)
        add_summary_json(&preview);
    else
        add_summary_text(&preview);
    flush(&preview);
    if (!format->json && !format->quiet && preview.failed == 0)
        dray_lint_run(run, tell_lint, &preview);
    for (size_t i = 0; i < run->plan->step_count; i++)
        if (preview.reasons[i].filter)
            dray_reasons_free(&preview.reasons[i]);
    free(preview.reasons);
    dray_buffer_free(&preview.out);
    /* A reader that has seen enough (head) is no failure. */
    if (preview.failed != 0 && preview.failed != EPIPE)
        return dray_fail_errno(error, preview.failed, "writing the preview");
    return 0;
}
