/* SPDX-License-Identifier: MIT */
/*
 * hand_down.c - which files of a source nobody will read: the filters that follow are asked before
 * the bytes are extracted. What they drop stays in the tree, so that verdicts, counts and
 * validation are the same; it only has no bytes. Where anything may want them, the answer is that
 * it does.
 */
#include <string.h>
#include <unistd.h>

#include "core/run/run.h"

/* For filters that may be entered by one thread only: several threads of a source may ask. */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static int is_wanted_of(struct dray_run *run, size_t index, const struct dray_entry *entry);

/* Does the filter drop it? What cannot be told now is told when the filter runs. */
static int is_dropped(struct dray_step_run *filter, const struct dray_entry *entry)
{
    const struct dray_loaded *loaded = filter->instance->loaded;
    int alone = !(loaded->plugin.head.caps & DRAY_CAP_REENTRANT);
    struct dray_verdict verdict = {DRAY_KEEP, 0, DRAY_NO_INDEX};
    struct dray_call call;

    dray_call_init(&call, filter);
    if (alone)
        pthread_mutex_lock(&one_at_a_time);
    struct dray_blame_note before =
        dray_blame_enter((uint32_t)filter->index, DRAY_OPERATION_DECIDE);
    dray_blame_entry(entry->path, entry->path_length);
    int result =
        loaded->operations.filter.decide(filter->instance->self, &call.ctx, entry, &verdict);
    dray_blame_leave(before);
    if (alone)
        pthread_mutex_unlock(&one_at_a_time);
    return result == 0 && verdict.verdict == DRAY_DROP;
}

/* What says that a dataset is a bag and what is in it: validation looks for that by itself. */
static int is_of_bag(const struct dray_entry *entry)
{
    static const char *const starts[] = {"bagit.txt", "bag-info.txt", "fetch.txt", "manifest-",
                                         "tagmanifest-"};
    const char *slash = strrchr(entry->path, '/');
    const char *name = slash ? slash + 1 : entry->path;

    for (size_t i = 0; i < DRAY_COUNT(starts); i++)
        if (strncmp(name, starts[i], strlen(starts[i])) == 0)
            return 1;
    return 0;
}

/* Validation reads its manifest. Of other options it is not known here what they read; with `read:
 * now` it is everything. */
static int is_read_by_validate(const struct dray_step *step, const struct dray_entry *entry)
{
    const char *option;
    json_t *value;

    if (is_of_bag(entry))
        return 1;
    json_object_foreach(step->with, option, value)
    {
        const char *manifest = json_string_value(value);
        if (strcmp(option, "manifest") != 0 || !manifest || strcmp(manifest, entry->path) == 0)
            return 1;
    }
    return 0;
}

static int is_wanted_by(struct dray_run *run, size_t index, const struct dray_entry *entry)
{
    struct dray_step_run *step = &run->steps[index];

    if (step->step->needs_count != 1)
        return 1;
    switch (step->step->role) {
    case DRAY_STEP_VALIDATE:
        return is_read_by_validate(step->step, entry) || is_wanted_of(run, index, entry);
    case DRAY_STEP_GUARD:
        return is_wanted_of(run, index, entry);
    case DRAY_STEP_FILTER:
        if (step->instance->loaded->plugin.head.caps & DRAY_CAP_CONTENT)
            return 1;
        if (step->step->mode == DRAY_MODE_ENFORCE && is_dropped(step, entry))
            return 0;
        return is_wanted_of(run, index, entry);
    case DRAY_STEP_SOURCE:
    case DRAY_STEP_TRANSFORM:
    case DRAY_STEP_PUSH:
        break;
    }
    return 1;
}

/* By any of the steps that take the output of that one. */
static int is_wanted_of(struct dray_run *run, size_t index, const struct dray_entry *entry)
{
    int taken = 0;

    for (size_t i = 0; i < run->plan->step_count; i++) {
        const struct dray_step *step = &run->plan->steps[i];
        for (size_t k = 0; k < step->needs_count; k++) {
            taken |= step->needs[k] == index;
            if (step->needs[k] == index && is_wanted_by(run, i, entry))
                return 1;
        }
    }
    return !taken;
}

int dray_is_wanted(struct dray_step_run *source, const struct dray_entry *entry)
{
    return source->all_wanted || entry->type != DRAY_FILE ||
           is_wanted_of(source->run, source->index, entry);
}

/* ---- Hard links ---- */

/* A link that is kept, to a file that was not brought because it is dropped: they share their
 * bytes, and the archive may have told of the link last. */
static int lacks_bytes(struct dray_step_run *source, size_t index)
{
    const struct dray_tree_entry *entry = source->output->entries[index];
    struct dray_entry view;

    if (entry->type != DRAY_FILE || entry->root != DRAY_NO_ROOT || entry->link_group == 0)
        return 0;
    dray_entry_view(source->output, index, &view);
    return dray_is_wanted(source, &view);
}

int dray_hand_down_failed(struct dray_step_run *source)
{
    int lacks = 0;

    /* A preview that reads nothing lacks nothing. */
    for (size_t i = 0; !lacks && source->run->scratch && i < source->output->count; i++)
        lacks = lacks_bytes(source, i);
    if (!lacks)
        return 0;
    for (size_t i = 0; i < source->output->count; i++) {
        const struct dray_tree_entry *entry = source->output->entries[i];
        if (entry->flags & DRAY_ENTRY_OURS && entry->link_group == 0)
            (void)unlinkat(source->run->scratch_fd, entry->at, 0);
    }
    dray_tree_unref(source->output);
    source->output = NULL;
    source->all_wanted = 1;
    __atomic_store_n(&source->entries_done, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&source->bytes_done, 0, __ATOMIC_RELAXED);
    return 1;
}
