/* SPDX-License-Identifier: MIT */
/* preview.c - every entry with its verdict and the rule that decided it, from the same run that
 * would have pushed. */
#include <errno.h>
#include <string.h>

#include "core/base/io.h"
#include "core/base/text.h"
#include "core/run/run.h"

#define FLUSH_AT    (256u << 10)
#define MAX_FILTERS 256

/* One filter that a target's tree came through, and how far its input was walked. */
struct passed {
    const struct dray_step_run *filter;
    size_t drops, keeps; /* positions in its input */
};

struct preview {
    struct dray_run *run;
    const struct dray_preview_format *format;
    int fd, failed;
    struct dray_buffer out;
    const char *target; /* named when targets get different trees, else NULL */
    struct passed filters[MAX_FILTERS];
    size_t filter_count;
    uint64_t kept, kept_bytes, dropped, dropped_bytes;
};

static void flush(struct preview *preview)
{
    if (preview->failed == 0 && preview->out.length > 0 &&
        dray_write_all(preview->fd, preview->out.data, preview->out.length) != 0)
        preview->failed = errno;
    dray_buffer_clear(&preview->out);
}

static void add_json_text(struct dray_buffer *out, const char *text, size_t length)
{
    dray_buffer_add(out, "\"", 1);
    for (size_t i = 0; i < length;) {
        unsigned char c = (unsigned char)text[i];
        size_t step = c < 0x80 ? 1 : dray_utf8_length(text + i, length - i);
        if (c == '"' || c == '\\')
            dray_buffer_format(out, "\\%c", c);
        else if (c < 0x20)
            dray_buffer_format(out, "\\u%04x", c);
        else if (step == 0)
            dray_buffer_text(out, "\xef\xbf\xbd");
        else
            dray_buffer_add(out, text + i, step);
        i += step ? step : 1;
    }
    dray_buffer_add(out, "\"", 1);
}

static void add_reason(struct preview *preview, const struct dray_step_run *filter,
                       const struct dray_decision *decision)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer by = {.cap = 4096}, why = {.cap = 8192};
    struct dray_buffer *out = &preview->out;

    dray_rule_print(filter->step, filter->instance->loaded, decision->option, decision->index, &by,
                    &why);
    const char *by_text = by.data ? by.data : "", *why_text = why.data ? why.data : "";
    if (preview->format->json) {
        dray_buffer_text(out, ", \"by\": ");
        add_json_text(out, by_text, strlen(by_text));
        dray_buffer_text(out, ", \"why\": ");
        add_json_text(out, why_text, strlen(why_text));
    } else {
        dray_buffer_format(out, "  %s  %s", by_text, why_text);
    }
}

static void write_one(struct preview *preview, const struct dray_tree_entry *entry, int keep,
                      const struct dray_step_run *filter, const struct dray_decision *decision)
{
    struct dray_buffer *out = &preview->out;
    char size[24];

    if (keep ? !preview->format->kept : !preview->format->dropped)
        return;
    if (preview->format->json) {
        dray_buffer_text(out, "{\"path\": ");
        add_json_text(out, entry->path, entry->path_length);
        if (!dray_utf8_valid(entry->path, entry->path_length)) {
            dray_buffer_text(out, ", \"path_b64\": \"");
            dray_base64_add(out, entry->path, entry->path_length);
            dray_buffer_text(out, "\"");
        }
        dray_buffer_format(out, ", \"size\": %llu", (unsigned long long)entry->bytes);
        if (preview->target) {
            dray_buffer_text(out, ", \"target\": ");
            add_json_text(out, preview->target, strlen(preview->target));
        }
        dray_buffer_format(out, ", \"verdict\": \"%s\"", keep ? "keep" : "drop");
        if (keep && entry->at && entry->type == DRAY_FILE && !(entry->flags & DRAY_ENTRY_OURS)) {
            dray_buffer_text(out, ", \"from\": ");
            add_json_text(out, entry->at, strlen(entry->at));
        }
    } else {
        dray_buffer_format(out, "%s %10s  ", keep ? "keep" : "drop",
                           entry->type == DRAY_FILE   ? dray_size_print(entry->bytes, size)
                           : entry->type == DRAY_LINK ? "link"
                                                      : "dir");
        dray_utf8_add(out, entry->path, entry->path_length, 1);
    }
    if (filter)
        add_reason(preview, filter, decision);
    dray_buffer_text(out, preview->format->json ? "}\n" : "\n");
    if (out->length >= FLUSH_AT)
        flush(preview);
}

/* The next entry that a filter dropped, or NULL. */
static const struct dray_tree_entry *next_drop(struct passed *passed)
{
    const struct dray_step_run *filter = passed->filter;

    for (; passed->drops < filter->input->count; passed->drops++) {
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
        if (entry &&
            (!first || dray_path_compare(entry->path, entry->path_length, (*ret_entry)->path,
                                         (*ret_entry)->path_length) < 0)) {
            first = &preview->filters[i];
            *ret_entry = entry;
        }
    }
    return first;
}

/* Why an entry was kept: the last filter in which one pattern of its own did it. */
static void write_kept(struct preview *preview, const struct dray_tree_entry *entry)
{
    const struct dray_step_run *filter = NULL;
    const struct dray_decision *decision = NULL;

    preview->kept++;
    preview->kept_bytes += entry->bytes;
    for (size_t i = 0; i < preview->filter_count; i++) {
        struct passed *passed = &preview->filters[i];
        const struct dray_tree *input = passed->filter->input;
        while (passed->keeps < input->count &&
               dray_path_compare(input->entries[passed->keeps]->path,
                                 input->entries[passed->keeps]->path_length, entry->path,
                                 entry->path_length) < 0)
            passed->keeps++;
        if (passed->keeps < input->count && input->entries[passed->keeps] == entry &&
            passed->filter->decisions[passed->keeps].index != DRAY_NO_INDEX) {
            filter = passed->filter;
            decision = &filter->decisions[passed->keeps];
        }
    }
    write_one(preview, entry, 1, filter, decision);
}

static void write_dropped(struct preview *preview, struct passed *passed,
                          const struct dray_tree_entry *entry)
{
    const struct dray_decision *decision = &passed->filter->decisions[passed->drops];

    preview->dropped++;
    preview->dropped_bytes += entry->bytes;
    write_one(preview, entry, 0, passed->filter, decision);
    passed->drops++;
}

static int compare(const struct dray_tree_entry *a, const struct dray_tree_entry *b)
{
    return dray_path_compare(a->path, a->path_length, b->path, b->path_length);
}

static void write_target(struct preview *preview, const struct dray_step_run *push)
{
    const struct dray_plan *plan = preview->run->plan;

    preview->filter_count = 0;
    for (size_t i = 0; i < plan->step_count && preview->filter_count < MAX_FILTERS; i++) {
        const struct dray_step_run *step = &preview->run->steps[i];
        if (step->decisions && step->step->mode == DRAY_MODE_ENFORCE &&
            dray_plan_depends(plan, push->index, i))
            preview->filters[preview->filter_count++] = (struct passed){step, 0, 0};
    }
    for (size_t i = 0; i <= push->input->count && preview->failed == 0; i++) {
        const struct dray_tree_entry *kept =
            i < push->input->count ? push->input->entries[i] : NULL;
        const struct dray_tree_entry *dropped = NULL;
        struct passed *passed = first_drop(preview, &dropped);
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

static void write_summary(struct preview *preview)
{
    char kept[24], dropped[24];

    if (preview->format->json)
        dray_buffer_format(
            &preview->out,
            "{\"summary\": {\"kept\": {\"entries\": %llu, \"bytes\": %llu}, "
            "\"dropped\": {\"entries\": %llu, \"bytes\": %llu}}}\n",
            (unsigned long long)preview->kept, (unsigned long long)preview->kept_bytes,
            (unsigned long long)preview->dropped, (unsigned long long)preview->dropped_bytes);
    else
        dray_buffer_format(
            &preview->out, "%llu kept (%s), %llu dropped (%s); nothing was pushed\n",
            (unsigned long long)preview->kept, dray_size_print(preview->kept_bytes, kept),
            (unsigned long long)preview->dropped, dray_size_print(preview->dropped_bytes, dropped));
    flush(preview);
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

int dray_preview_write(struct dray_run *run, int fd, const struct dray_preview_format *format,
                       struct dray_error *error)
{
    struct preview preview = {.run = run, .format = format, .fd = fd, .out = {.cap = 4u << 20}};
    int alike = all_targets_alike(run);

    for (size_t i = 0; i < run->plan->target_count && !(alike && i > 0); i++) {
        const struct dray_step_run *push = &run->steps[run->plan->targets[i].step];
        if (!push->input)
            continue;
        preview.target = alike ? NULL : run->plan->targets[i].uri;
        if (preview.target && !format->json)
            dray_buffer_format(&preview.out, "%sto %s:\n", i > 0 ? "\n" : "", preview.target);
        write_target(&preview, push);
    }
    write_summary(&preview);
    dray_buffer_free(&preview.out);
    /* A reader that has seen enough (head) is no failure. */
    if (preview.failed != 0 && preview.failed != EPIPE)
        return dray_fail_errno(error, preview.failed, "writing the preview");
    return 0;
}
