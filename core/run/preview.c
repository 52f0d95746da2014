/* SPDX-License-Identifier: MIT */
/* preview.c - every entry with its verdict and the rule that decided it, from the same run that
 * would have pushed. */
#include "core/run/preview.h"

#include <errno.h>
#include <string.h>

#include "core/base/io.h"
#include "core/base/text.h"

#define FLUSH_AT    (256u << 10)
#define MAX_FILTERS 256

/* One filter that a target's tree came through, and how far its input was walked. */
struct passed {
    const struct dray_step_run *filter;
    struct dray_reasons *reasons;
    size_t drops, keeps; /* positions in its input */
};

struct totals {
    uint64_t entries, bytes;
};

struct preview {
    struct dray_run *run;
    const struct dray_preview_format *format;
    int fd, failed;
    struct dray_buffer out;
    const char *target; /* named when targets get different trees, else NULL */
    struct passed filters[MAX_FILTERS];
    size_t filter_count;
    struct dray_reasons *reasons; /* of each step of the plan; empty of what is no filter */
    struct totals kept, dropped, undecided;
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

static void write_one(struct preview *preview, const struct dray_tree_entry *entry,
                      unsigned verdict, const struct passed *passed,
                      const struct dray_decision *decision)
{
    if ((verdict == DRAY_KEEP && !preview->format->kept) ||
        (verdict == DRAY_DROP && !preview->format->dropped))
        return;
    dray_preview_line(&preview->out, preview->format, entry, verdict, preview->target,
                      passed ? dray_reasons_get(passed->reasons, decision) : NULL);
    if (preview->out.length >= FLUSH_AT)
        flush(preview);
}

static void count(struct totals *totals, const struct dray_tree_entry *entry)
{
    totals->entries++;
    totals->bytes += entry->bytes;
}

/* ---- In order ---- */

static int compare(const struct dray_tree_entry *a, const struct dray_tree_entry *b)
{
    return dray_path_compare(a->path, a->path_length, b->path, b->path_length);
}

/* The next entry that a filter dropped, or NULL. */
static const struct dray_tree_entry *next_drop(struct passed *passed)
{
    const struct dray_step_run *filter = passed->filter;

    for (; filter->decisions && passed->drops < filter->input->count; passed->drops++) {
        const struct dray_decision *decision = &filter->decisions[passed->drops];
        if (decision->asked && decision->verdict == DRAY_DROP)
            return filter->input->entries[passed->drops];
    }
    return NULL;
}

/* Of all filters the one whose next dropped entry comes first. */
static struct passed *first_drop(struct preview *preview, const struct dray_tree_entry **ret_entry)
{
    struct passed *first = NULL;

    for (size_t i = 0; i < preview->filter_count; i++) {
        const struct dray_tree_entry *entry = next_drop(&preview->filters[i]);
        if (entry && (!first || compare(entry, *ret_entry) < 0)) {
            first = &preview->filters[i];
            *ret_entry = entry;
        }
    }
    return first;
}

/* Where the entry is in the filter's input, or NULL: it came another way. */
static const struct dray_decision *decision_on(struct passed *passed,
                                               const struct dray_tree_entry *entry)
{
    static const struct dray_decision undecided = {DRAY_NO_INDEX, 0, DRAY_UNDECIDED, 1};
    const struct dray_tree *input = passed->filter->input;

    while (passed->keeps < input->count && input->entries[passed->keeps] != entry &&
           compare(input->entries[passed->keeps], entry) < 0)
        passed->keeps++;
    if (passed->keeps >= input->count || input->entries[passed->keeps] != entry)
        return NULL;
    return passed->filter->undecided ? &undecided : &passed->filter->decisions[passed->keeps];
}

/* Why an entry was kept: the last filter in which one pattern of its own did it. One that a filter
 * could not be asked about is undecided whatever others say. */
static void write_kept(struct preview *preview, const struct dray_tree_entry *entry)
{
    const struct dray_decision *decision = NULL;
    struct passed *decided_by = NULL;
    unsigned verdict = DRAY_KEEP;

    for (size_t i = 0; i < preview->filter_count; i++) {
        struct passed *passed = &preview->filters[i];
        const struct dray_decision *one = decision_on(passed, entry);
        if (!one || verdict == DRAY_UNDECIDED)
            continue;
        if (one->verdict == DRAY_UNDECIDED)
            verdict = DRAY_UNDECIDED;
        else if (one->index == DRAY_NO_INDEX)
            continue;
        decided_by = passed;
        decision = one;
    }
    count(verdict == DRAY_KEEP ? &preview->kept : &preview->undecided, entry);
    write_one(preview, entry, verdict, decided_by, decision);
}

static void write_dropped(struct preview *preview, struct passed *passed,
                          const struct dray_tree_entry *entry)
{
    count(&preview->dropped, entry);
    write_one(preview, entry, DRAY_DROP, passed, &passed->filter->decisions[passed->drops]);
    passed->drops++;
}

static int collect_filters(struct preview *preview, const struct dray_step_run *push)
{
    const struct dray_plan *plan = preview->run->plan;

    preview->filter_count = 0;
    for (size_t i = 0; i < plan->step_count && preview->filter_count < MAX_FILTERS; i++) {
        const struct dray_step_run *step = &preview->run->steps[i];
        if ((!step->decisions && !step->undecided) || step->step->mode != DRAY_MODE_ENFORCE ||
            !dray_plan_depends(plan, push->index, i))
            continue;
        struct dray_reasons *reasons = &preview->reasons[i];
        if (!reasons->filter && dray_reasons_init(reasons, step, preview->format) != 0)
            return -1;
        preview->filters[preview->filter_count++] =
            (struct passed){.filter = step, .reasons = reasons};
    }
    return 0;
}

static void write_target(struct preview *preview, const struct dray_step_run *push)
{
    const struct dray_tree_entry *dropped = NULL;

    if (collect_filters(preview, push) != 0) {
        preview->failed = ENOMEM;
        return;
    }
    struct passed *passed = first_drop(preview, &dropped);
    for (size_t i = 0; i <= push->input->count && preview->failed == 0; i++) {
        const struct dray_tree_entry *kept =
            i < push->input->count ? push->input->entries[i] : NULL;
        const struct dray_tree_entry *last = NULL;
        while (passed && (!kept || compare(dropped, kept) <= 0)) {
            /* Of branches that join, one may keep what another drops, or both may drop it. */
            if ((kept && compare(dropped, kept) == 0) || (last && compare(dropped, last) == 0))
                passed->drops++;
            else
                write_dropped(preview, passed, dropped);
            last = dropped;
            passed = first_drop(preview, &dropped);
        }
        if (kept && !(kept->type == DRAY_DIRECTORY && dray_tree_is_parent(push->input, i)))
            write_kept(preview, kept);
    }
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

static void add_summary_json(struct preview *preview)
{
    const struct dray_run *run = preview->run;
    struct dray_buffer *out = &preview->out;

    dray_buffer_text(out, "{\"summary\": {");
    add_totals_json(out, "kept", &preview->kept);
    dray_buffer_text(out, ", ");
    add_totals_json(out, "dropped", &preview->dropped);
    if (preview->undecided.entries > 0) {
        dray_buffer_text(out, ", ");
        add_totals_json(out, "undecided", &preview->undecided);
    }
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

static void add_summary_text(struct preview *preview)
{
    const struct dray_run *run = preview->run;
    struct dray_buffer *out = &preview->out;
    char kept[24], dropped[24], undecided[24];

    dray_buffer_format(
        out, "%llu kept (%s), %llu dropped (%s)", (unsigned long long)preview->kept.entries,
        dray_size_print(preview->kept.bytes, kept), (unsigned long long)preview->dropped.entries,
        dray_size_print(preview->dropped.bytes, dropped));
    if (preview->undecided.entries > 0)
        dray_buffer_format(out, ", %llu undecided (%s)",
                           (unsigned long long)preview->undecided.entries,
                           dray_size_print(preview->undecided.bytes, undecided));
    if (run->listing) {
        dray_buffer_text(out, "; from ");
        dray_utf8_add(out, run->listing, strlen(run->listing), 1);
        dray_buffer_format(out, ", %llu entries listed", (unsigned long long)run->listed);
    }
    dray_buffer_text(out, "; nothing was pushed\n");
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

static void write_targets(struct preview *preview)
{
    const struct dray_run *run = preview->run;
    int alike = all_targets_alike(run);

    for (size_t i = 0; i < run->plan->target_count && !(alike && i > 0); i++) {
        const struct dray_step_run *push = &run->steps[run->plan->targets[i].step];
        if (!push->input)
            continue;
        preview->target = alike ? NULL : run->plan->targets[i].uri;
        if (preview->target && !preview->format->json)
            dray_buffer_format(&preview->out, "%sto %s:\n", i > 0 ? "\n" : "", preview->target);
        write_target(preview, push);
    }
}

int dray_preview_write(struct dray_run *run, int fd, const struct dray_preview_format *format,
                       struct dray_error *error)
{
    struct preview preview = {.run = run, .format = format, .fd = fd, .out = {.cap = 4u << 20}};

    preview.reasons = calloc(run->plan->step_count + 1, sizeof(*preview.reasons));
    if (!preview.reasons)
        return dray_fail_memory(error);
    write_targets(&preview);
    if (format->json && preview.failed == 0)
        dray_lint_run(run, write_lint, &preview);
    if (format->json)
        add_summary_json(&preview);
    else
        add_summary_text(&preview);
    flush(&preview);
    if (!format->json && preview.failed == 0)
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
