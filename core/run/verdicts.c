/* SPDX-License-Identifier: MIT */
/* verdicts.c - telling the engine what became of every entry, on a thread beside the push. */
#include <pthread.h>
#include <string.h>

#include "core/base/text.h"
#include "core/run/verdict_list.h"
#include "core/run/verdict_walk.h"

#define RULES_CACHED 512

/* The number that a rule has in the chunk under way. */
struct numbered {
    const struct dray_step_run *filter;
    struct dray_decision decision;
    uint64_t chunk;
    int64_t number;
};

struct dray_verdict_teller {
    struct dray_step_run *push;
    struct dray_tree *input;
    pthread_t thread;
    struct dray_verdict_writer writer;
    struct numbered rules[RULES_CACHED];
    size_t rule_count, last;
    uint64_t entries;
    int result;
};

static int is_rule(const struct numbered *one, const struct dray_step_run *filter,
                   const struct dray_decision *decision)
{
    return one->filter == filter && one->decision.option == decision->option &&
           one->decision.index == decision->index;
}

static struct numbered *find_rule(struct dray_verdict_teller *teller,
                                  const struct dray_step_run *filter,
                                  const struct dray_decision *decision)
{
    if (teller->last < teller->rule_count &&
        is_rule(&teller->rules[teller->last], filter, decision))
        return &teller->rules[teller->last];
    for (size_t i = 0; i < teller->rule_count; i++) {
        if (is_rule(&teller->rules[i], filter, decision)) {
            teller->last = i;
            return &teller->rules[i];
        }
    }
    if (teller->rule_count == RULES_CACHED)
        teller->rule_count = 0; /* a filter of thousands of patterns: begin anew */
    teller->last = teller->rule_count++;
    teller->rules[teller->last] =
        (struct numbered){.filter = filter, .decision = *decision, .chunk = UINT64_MAX};
    return &teller->rules[teller->last];
}

static int64_t number_of(struct dray_verdict_teller *teller, const struct dray_step_run *filter,
                         const struct dray_decision *decision)
{
    struct numbered *rule = find_rule(teller, filter, decision);
    dray_cleanup(dray_buffer_free) struct dray_buffer by = {.cap = 4096}, why = {.cap = 8192};

    if (rule->chunk == dray_verdict_chunk(&teller->writer))
        return rule->number;
    dray_rule_print(filter->step, filter->instance->loaded, decision->option, decision->index, &by,
                    &why);
    if (by.failed || !by.data)
        return -1;
    rule->number = dray_verdict_rule(&teller->writer, by.data);
    rule->chunk = dray_verdict_chunk(&teller->writer);
    return rule->number;
}

static int sink(void *arg, const struct dray_tree_entry *entry, unsigned verdict,
                const struct dray_step_run *filter, const struct dray_decision *decision)
{
    struct dray_verdict_teller *teller = arg;
    /* As it is called in the source, where rules of policies look. A copy of a link has the link's
     * name, which is what they looked at. */
    const struct dray_verdict_row row = {
        .path = entry->from ? entry->from : entry->path,
        .path_length = entry->from ? strlen(entry->from) : entry->path_length,
        .type = entry->type == DRAY_FILE   ? 'f'
                : entry->type == DRAY_LINK ? 'l'
                                           : 'd',
        .verdict = verdict == DRAY_DROP   ? 'd'
                   : verdict == DRAY_KEEP ? 'k'
                                          : 'u',
        .bytes = entry->bytes,
        .mtime = entry->mtime,
    };
    int64_t rule = -1;

    if (filter && decision && verdict != DRAY_UNDECIDED) {
        rule = number_of(teller, filter, decision);
        if (rule < 0)
            return DRAY_NO_MEMORY;
    }
    teller->entries++;
    return dray_run_cancelled(teller->push->run) ? DRAY_CANCELLED
                                                 : dray_verdict_add(&teller->writer, &row, rule);
}

static int tell_chunk(void *arg, const void *data, size_t length, uint64_t entries)
{
    struct dray_verdict_teller *teller = arg;
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 96u << 20};

    dray_base64_add(&text, data, length);
    json_t *event = text.failed ? NULL
                                : json_pack("{s:s, s:s, s:I, s:I, s:s}", "event", "verdicts",
                                            "step", teller->push->step->id, "chunk",
                                            (json_int_t)dray_verdict_chunk(&teller->writer),
                                            "entries", (json_int_t)entries, "data", text.data);
    if (!event)
        return DRAY_NO_MEMORY;
    dray_run_tell(teller->push->run, event);
    return 0;
}

/* Without it they were cut short, and are worth nothing. */
static int tell_end(const struct dray_verdict_teller *teller)
{
    json_t *event = json_pack(
        "{s:s, s:s, s:I, s:I}", "event", "verdicts-told", "step", teller->push->step->id, "chunks",
        (json_int_t)dray_verdict_chunk(&teller->writer), "entries", (json_int_t)teller->entries);

    if (!event)
        return DRAY_NO_MEMORY;
    dray_run_tell(teller->push->run, event);
    return 0;
}

static void *tell_all(void *arg)
{
    struct dray_verdict_teller *teller = arg;

    teller->result = dray_verdicts_walk(teller->push, teller->input, sink, teller);
    if (teller->result == 0)
        teller->result = dray_verdict_flush(&teller->writer);
    if (teller->result == 0)
        teller->result = tell_end(teller);
    return NULL;
}

/* Does another push that takes the same trees tell them? The first that is run does: one that
 * stands before it may be skipped. If not, this one does from now on. */
static int is_told(struct dray_step_run *push)
{
    struct dray_run *run = push->run;
    size_t alike = dray_plan_alike(run->plan, push->index);
    int told = 0;

    pthread_mutex_lock(&run->lock);
    for (size_t i = 0; i < run->plan->step_count; i++)
        told |= run->steps[i].tells && dray_plan_alike(run->plan, i) == alike;
    push->tells = !told;
    pthread_mutex_unlock(&run->lock);
    return told;
}

static void free_teller(struct dray_verdict_teller *teller)
{
    dray_verdict_writer_free(&teller->writer);
    dray_tree_unref(teller->input);
    free(teller);
}

int dray_verdicts_tell(struct dray_step_run *push, struct dray_error *error)
{
    struct dray_verdict_teller *teller = NULL;

    if (is_told(push))
        return 0;
    teller = calloc(1, sizeof(*teller));
    if (!teller)
        return dray_fail_memory(error);
    teller->push = push;
    teller->input = dray_tree_ref(push->input);
    dray_verdict_writer_init(&teller->writer, tell_chunk, teller);
    int failed = pthread_create(&teller->thread, NULL, tell_all, teller);
    if (failed != 0) {
        free_teller(teller);
        return dray_fail_errno(error, failed, "starting a thread");
    }
    push->teller = teller;
    return 0;
}

int dray_verdicts_told(struct dray_step_run *push, struct dray_error *error)
{
    struct dray_verdict_teller *teller = DRAY_TAKE(push->teller);

    if (!teller)
        return 0;
    (void)pthread_join(teller->thread, NULL);
    int result = teller->result;
    free_teller(teller);
    if (result == DRAY_CANCELLED)
        return dray_fail(error, DRAY_CANCELLED, "cancelled");
    return result == 0 ? 0 : dray_fail_memory(error);
}
