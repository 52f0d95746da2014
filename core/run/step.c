/* SPDX-License-Identifier: MIT */
/* step.c - one step from its input tree to its output tree. */
#include <string.h>

#include "core/base/text.h"
#include "core/run/run.h"
#include "core/run/verdict_walk.h"
#include "core/run/runner.h"
#include "core/tree/listing.h"

/* Call an operation of a step's plugin, noted for blame. */
#define CALL(STEP, CALL_, OPERATION, EXPRESSION)                                                   \
    __extension__({                                                                                \
        struct dray_blame_note before_ = dray_blame_enter((uint32_t)(STEP)->index, OPERATION);     \
        int result_ = (EXPRESSION);                                                                \
        dray_blame_leave(before_);                                                                 \
        dray_call_result(CALL_, result_, OPERATION, error);                                        \
    })

/* Does the dataset still have the revision that the plan was made for? */
static int check_revision(struct dray_step_run *step, struct dray_call *call,
                          struct dray_error *error)
{
    const char *planned = step->step->revision;
    const struct dray_source_operations *source = &step->instance->loaded->operations.source;
    dray_autofree char *now = dray_tree_revision(step->output);
    dray_autofree char *identified = NULL;

    if (!now)
        return dray_fail_memory(error);
    if (!planned || strcmp(now, planned) == 0)
        return 0;
    /* The source's own idea of a revision may be another than a digest over the walk. */
    step->builder = dray_tree_builder_new();
    if (!step->builder)
        return dray_fail_memory(error);
    int result = CALL(step, call, DRAY_OPERATION_IDENTIFY,
                      source->identify(step->instance->self, &call->ctx, &identified));
    dray_tree_builder_freep(&step->builder);
    step->builder = NULL;
    if (result != 0)
        return result;
    if (identified && strcmp(identified, planned) == 0)
        return 0;
    dray_fail(error, DRAY_CHANGED, "the dataset %s changed after it was planned",
              step->run->plan->dataset);
    dray_hint(error, "run the command again once nobody writes to it");
    error->side = DRAY_SIDE_SOURCE;
    return error->class_;
}

static enum dray_symlinks symlinks_of(const struct dray_plan *plan)
{
    if (strcmp(plan->symlinks, "skip") == 0)
        return DRAY_SYMLINKS_SKIP;
    if (strcmp(plan->symlinks, "copy") == 0)
        return DRAY_SYMLINKS_COPY;
    return strcmp(plan->symlinks, "fail") == 0 ? DRAY_SYMLINKS_FAIL : DRAY_SYMLINKS_KEEP;
}

/* Links that are skipped or forbidden are so where they come in. What a kept or copied one names is
 * looked for in what is left of the tree before a push: a copy must not bring back what a filter
 * dropped.
 */
static int apply_symlinks(struct dray_tree **tree, enum dray_symlinks what,
                          struct dray_error *error)
{
    struct dray_tree *settled = NULL;
    int result = dray_tree_symlinks(*tree, what, &settled, error);

    if (result != 0)
        return result;
    dray_tree_unref(*tree);
    *tree = settled;
    return 0;
}

/* Progress, for a list that comes slowly. */
static int listing_reached(void *arg, uint64_t entries)
{
    struct dray_call *call = arg;
    struct dray_step_run *step = call->step;
    uint64_t before = __atomic_load_n(&step->entries_done, __ATOMIC_RELAXED);

    if (entries > before)
        dray_service_progress(&call->ctx, entries - before, 0);
    return dray_run_cancelled(step->run);
}

/* So that what `ls -l` prints is not taken for names without a word. */
static void tell_bare(const struct dray_step_run *step)
{
    static const char message[] =
        "each whole line is taken for the path of a file of 0 bytes; with sizes a line is SIZE, a "
        "tab and PATH, with a slash behind a directory's";

    dray_run_tell(step->run,
                  json_pack("{s:s, s:s, s:i, s:s, s:{s:s}}", "event", "log", "step", step->step->id,
                            "level", DRAY_LOG_WARN, "what", "no line of the list has a tab",
                            "fields", "message", message));
}

/* A list stands for what the source would bring. */
static int read_listing(struct dray_step_run *step, struct dray_error *error)
{
    struct dray_call call;
    struct dray_listing listing = {.fd = DRAY_LISTING_FD,
                                   .name = step->run->listing,
                                   .reached = listing_reached,
                                   .arg = &call};
    struct dray_listed listed = {0};

    dray_call_init(&call, step);
    int result = dray_listing_read(&listing, &step->output, &listed, error);
    step->run->listed = listed.entries;
    if (result == 0 && listed.bare)
        tell_bare(step);
    return result;
}

static int stage_once(struct dray_step_run *step, struct dray_error *error)
{
    const struct dray_source_operations *source = &step->instance->loaded->operations.source;
    struct dray_call call;

    dray_call_init(&call, step);
    step->builder = dray_tree_builder_new();
    if (!step->builder)
        return dray_fail_memory(error);
    int result =
        CALL(step, &call, DRAY_OPERATION_STAGE, source->stage(step->instance->self, &call.ctx));
    dray_writers_drop(step);
    if (result == 0)
        result = dray_builder_take(step, &step->output, error);
    dray_tree_builder_freep(&step->builder);
    step->builder = NULL;
    return result;
}

static int stage(struct dray_step_run *step, struct dray_error *error)
{
    struct dray_call call;
    int result = stage_once(step, error);

    if (result == 0 && dray_hand_down_failed(step))
        result = stage_once(step, error);
    dray_call_init(&call, step);
    if (result == 0 && step->step->revision)
        result = check_revision(step, &call, error);
    return result;
}

/* Only what stage reads later. */
static int bring(struct dray_step_run *step, struct dray_error *error)
{
    const struct dray_source_operations *source = &step->instance->loaded->operations.source;
    struct dray_call call;

    if (!source->bring)
        return dray_fail(error, DRAY_BUG, "plugin %s has no operation bring", step->step->uses);
    dray_call_init(&call, step);
    int result =
        CALL(step, &call, DRAY_OPERATION_BRING, source->bring(step->instance->self, &call.ctx));
    int is_ours = result == DRAY_CANCELLED || result == DRAY_BUG || result == DRAY_NO_MEMORY ||
                  result == DRAY_NO_SPACE || result == DRAY_INVALID;
    if (result != 0 && !is_ours && error->side == DRAY_SIDE_NONE)
        error->side = DRAY_SIDE_SOURCE;
    return result;
}

static int source_execute(struct dray_step_run *step, struct dray_error *error)
{
    enum dray_symlinks symlinks = symlinks_of(step->run->plan);
    int result = step->run->listing ? read_listing(step, error) : stage(step, error);

    if (result == 0 && (symlinks == DRAY_SYMLINKS_SKIP || symlinks == DRAY_SYMLINKS_FAIL))
        result = apply_symlinks(&step->output, symlinks, error);
    return result;
}

static int transform_execute(struct dray_step_run *step, struct dray_error *error)
{
    const struct dray_transform_operations *transform =
        &step->instance->loaded->operations.transform;
    struct dray_call call;

    dray_call_init(&call, step);
    step->builder = dray_tree_builder_new();
    if (!step->builder)
        return dray_fail_memory(error);
    dray_tree_builder_root(step->builder, step->input->root_mode, step->input->root_mtime);
    int result =
        CALL(step, &call, DRAY_OPERATION_APPLY, transform->apply(step->instance->self, &call.ctx));
    dray_writers_drop(step);
    if (result == 0)
        result = dray_builder_take(step, &step->output, error);
    dray_tree_builder_freep(&step->builder);
    step->builder = NULL;
    return result;
}

/* Links and empty directories that a target cannot hold are refused before the first byte. */
static int check_target_holds(const struct dray_step_run *step, struct dray_error *error)
{
    const struct dray_tree *input = step->input;

    if (step->instance->loaded->plugin.head.caps & DRAY_CAP_LINKS)
        return 0;
    for (size_t i = 0; i < input->count; i++) {
        const struct dray_tree_entry *entry = input->entries[i];
        if (entry->type == DRAY_FILE ||
            (entry->type == DRAY_DIRECTORY && dray_tree_is_parent(input, i)))
            continue;
        dray_fail(error, DRAY_UNSUPPORTED, "%s cannot hold %s %s", step->step->uses,
                  entry->type == DRAY_LINK ? "the symbolic link" : "the empty directory",
                  entry->path);
        dray_hint(error, "%s",
                  entry->type == DRAY_LINK ? "leave links out:  tree: { symlinks: skip }"
                                           : "leave it out with an `exclude` of filter/glob");
        return error->class_;
    }
    return 0;
}

int dray_push_settle(struct dray_step_run *step, struct dray_error *error)
{
    enum dray_symlinks symlinks = symlinks_of(step->run->plan);
    int result = 0;

    if (symlinks == DRAY_SYMLINKS_KEEP || symlinks == DRAY_SYMLINKS_COPY)
        result = apply_symlinks(&step->input, symlinks, error);
    return result == 0 ? check_target_holds(step, error) : result;
}

/* A push that did not succeed leaves nothing. What failed first is what is reported. */
static void push_undo(struct dray_step_run *step, struct dray_error *error)
{
    const struct dray_push_operations *push = &step->instance->loaded->operations.push;
    struct dray_error first = *error;
    struct dray_call call;

    dray_call_init(&call, step);
    int result =
        CALL(step, &call, DRAY_OPERATION_DISCARD, push->discard(step->instance->self, &call.ctx));
    if (result == 0)
        result = dray_staging_remove(step, error);
    if (result != 0) {
        dray_autofree char *also =
            dray_format("%s; also, not all could be removed: %s", first.message, error->message);
        if (also)
            dray_fail(&first, first.class_, "%s", also);
    }
    *error = first;
}

/* A push that writes by itself may have lost bytes without noticing. What goes to staging was
 * written by the host, or is looked at before it is renamed; of any other target its own probe is
 * asked. One that cannot say what is there is believed. */
static int check_delivered(struct dray_step_run *step, struct dray_error *error)
{
    const struct dray_push_operations *push = &step->instance->loaded->operations.push;
    struct dray_presence presence = {.size = sizeof(presence), .free_bytes = DRAY_NOT_KNOWN};
    struct dray_call call;

    if (push->target_type == DRAY_TARGET_HPFS)
        return 0;
    dray_call_init(&call, step);
    struct dray_blame_note before = dray_blame_enter((uint32_t)step->index, DRAY_OPERATION_PROBE);
    int result = push->probe(step->instance->self, &call.ctx, &presence);
    dray_blame_leave(before);
    if (result == DRAY_OK && presence.state == DRAY_OCCUPIED) {
        result = dray_fail(error, DRAY_INTEGRITY, "plugin %s says it delivered, but %s holds %s",
                           step->step->uses, step->target->uri,
                           presence.what ? presence.what : "something else");
        dray_hint(error, "remove it before you run the same command again");
    } else {
        result = 0;
    }
    free(presence.request_key);
    free(presence.job);
    free(presence.time);
    free(presence.what);
    free(presence.note);
    return result;
}

static int push_execute(struct dray_step_run *step, struct dray_error *error)
{
    const struct dray_push_operations *push = &step->instance->loaded->operations.push;
    size_t count = step->input->count;
    struct dray_call call;
    char bytes[24];

    step->digests = calloc(count + 1, sizeof(*step->digests));
    step->digested = calloc(count + 1, 1);
    int result = step->digests && step->digested ? 0 : dray_fail_memory(error);
    if (result == 0)
        result = dray_verdicts_tell(step, error);
    if (result == 0) {
        dray_call_init(&call, step);
        result =
            CALL(step, &call, DRAY_OPERATION_PUSH, push->push(step->instance->self, &call.ctx));
        if (result == 0 && !step->committed)
            result = dray_fail(error, DRAY_BUG,
                               "plugin %s says it delivered but never asked whether it may commit",
                               step->step->uses);
        if (result == 0)
            result = check_delivered(step, error);
    }
    /* What did not come as far as asking for leave. */
    struct dray_error ignored = {0};
    if (dray_verdicts_told(step, &ignored) != 0 && result == 0)
        result = dray_fail(error, ignored.class_, "%s", ignored.message);
    if (result != 0 && result != DRAY_LATER) {
        if (error->side == DRAY_SIDE_NONE && result != DRAY_CHANGED && result != DRAY_INTEGRITY)
            error->side = DRAY_SIDE_TARGET;
        if (result == DRAY_NO_SPACE && error->hint[0] == '\0')
            dray_hint(error, "make room for %s at %s, then run the same command again",
                      dray_size_print(step->input->bytes, bytes),
                      step->target && step->target->uri ? step->target->uri : "the target");
        push_undo(step, error);
        return error->class_;
    }
    /* From here on it is delivered, whatever cannot be removed. */
    if (result == 0)
        dray_staging_delivered(step);
    return result;
}

/* What a limit says of a tree. */
static int check_limit(const struct dray_step *guard, const struct dray_tree *tree,
                       struct dray_error *error)
{
    const json_t *bytes = json_object_get(guard->with, "total_bytes");
    const json_t *entries = json_object_get(guard->with, "entries");
    const struct dray_origin *origin = &guard->origin;
    char have[24], allowed[24];

    if (bytes && tree->bytes > (uint64_t)json_integer_value(bytes))
        dray_fail(error, DRAY_DENIED,
                  "%s are to be delivered, %s at most are allowed by policy %s, rule %s",
                  dray_size_print(tree->bytes, have),
                  dray_size_print((uint64_t)json_integer_value(bytes), allowed), origin->policy,
                  origin->rule);
    else if (entries && tree->listed > (uint64_t)json_integer_value(entries))
        dray_fail(
            error, DRAY_DENIED,
            "%llu entries are to be delivered, %llu at most are allowed by policy %s, rule %s",
            (unsigned long long)tree->listed, (unsigned long long)json_integer_value(entries),
            origin->policy, origin->rule);
    else
        return 0;
    if (origin->message)
        dray_hint(error, "%s", origin->message);
    return error->class_;
}

/* A limit that is only watched: warn tells the user, audit records. */
static int note_exceeded(struct dray_step_run *step, const struct dray_tree *tree,
                         struct dray_error *error)
{
    int warns = step->step->mode == DRAY_MODE_WARN;
    dray_autofree char *by =
        dray_format("policy:%s/%s", step->step->origin.policy, step->step->origin.rule);

    step->exceeded =
        by ? json_pack("{s:s, s:s, s:s, s:I, s:I, s:b, s:s}", "by", by, "kind", "limit", "why",
                       error->message, "entries", (json_int_t)tree->listed, "bytes",
                       (json_int_t)tree->bytes, "shadow", 1, "mode", warns ? "warn" : "audit")
           : NULL;
    dray_run_tell(step->run,
                  json_pack("{s:s, s:s, s:i, s:s, s:{s:s}}", "event", "log", "step", step->step->id,
                            "level", warns ? DRAY_LOG_WARN : DRAY_LOG_INFO, "what",
                            "limit exceeded", "fields", "message", error->message));
    *error = (struct dray_error){0};
    return step->exceeded ? 0 : dray_fail_memory(error);
}

/* Was a filter on the way not asked? Then nobody knows what is to be delivered. */
static int is_undecided(const struct dray_step_run *step)
{
    for (size_t i = 0; i < step->run->plan->step_count; i++)
        if (step->run->steps[i].undecided && step->run->plan->steps[i].mode == DRAY_MODE_ENFORCE &&
            dray_plan_depends(step->run->plan, step->index, i))
            return 1;
    return 0;
}

int dray_guard_execute(struct dray_step_run *step, struct dray_error *error)
{
    dray_cleanup(dray_tree_unrefp) struct dray_tree *tree = dray_tree_ref(step->input);
    int result = 0;

    /* Copies of what links name count too. */
    if (symlinks_of(step->run->plan) == DRAY_SYMLINKS_COPY)
        result = apply_symlinks(&tree, DRAY_SYMLINKS_COPY, error);
    if (result != 0)
        return result;
    step->undecided = is_undecided(step);
    result = step->undecided ? 0 : check_limit(step->step, tree, error);
    if (result == DRAY_DENIED && step->step->mode != DRAY_MODE_ENFORCE) {
        result = note_exceeded(step, tree, error);
    } else if (result == DRAY_DENIED && step->run->preview) {
        step->denial = *error; /* what there is too much of is what a preview is asked for */
        *error = (struct dray_error){0};
        result = 0;
    }
    if (result == 0)
        step->output = DRAY_TAKE(tree);
    return result;
}

int dray_step_execute(struct dray_step_run *step, struct dray_error *error)
{
    int result = DRAY_BUG;

    switch (step->step->role) {
    case DRAY_STEP_SOURCE:
        result = step->run->bringing ? bring(step, error) : source_execute(step, error);
        break;
    case DRAY_STEP_VALIDATE:
        result = dray_validate_execute(step, error);
        break;
    case DRAY_STEP_FILTER:
        result = dray_filter_execute(step, error);
        break;
    case DRAY_STEP_TRANSFORM:
        result = transform_execute(step, error);
        break;
    case DRAY_STEP_GUARD:
        result = dray_guard_execute(step, error);
        break;
    case DRAY_STEP_PUSH:
        result = push_execute(step, error);
        break;
    }
    const struct dray_tree *counted =
        step->step->role == DRAY_STEP_PUSH ? step->input : step->output;
    if (result == 0 && counted) {
        step->out_entries = counted->listed;
        step->out_bytes = counted->bytes;
    }
    return result;
}
