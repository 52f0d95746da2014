/* SPDX-License-Identifier: MIT */
/* filter.c - asking a filter about every entry, and counting what each of its rules did. */
#include <string.h>

#include "core/base/text.h"
#include "core/run/run.h"

/* Entries that one task asks about. */
#define CHUNK 2048u
/* How far ahead an entry is fetched from memory: deciding takes about as long as that. */
#define AHEAD 12u

struct asking {
    struct dray_step_run *step;
    struct dray_error *error;
    pthread_mutex_t lock; /* guards *error */
};

static int ask_about(struct dray_call *call, struct dray_step_run *step, size_t index)
{
    const struct dray_loaded *loaded = step->instance->loaded;
    struct dray_verdict verdict = {0, 0, DRAY_NO_INDEX};
    struct dray_entry view;

    dray_entry_view(step->input, index, &view);
    if (view.parent && !step->run->plan->keep_empty_dirs)
        return 0;
    dray_blame_entry(view.path, view.path_length);
    int result =
        loaded->operations.filter.decide(step->instance->self, &call->ctx, &view, &verdict);
    if (result != 0)
        return result;
    if ((verdict.verdict != DRAY_KEEP && verdict.verdict != DRAY_DROP) ||
        verdict.option >= loaded->plugin.option_count || verdict.index < DRAY_NO_INDEX ||
        verdict.index > INT32_MAX)
        return dray_fail(&call->error, DRAY_BUG, "plugin %s gave no valid verdict on %s",
                         step->step->uses, view.path);
    /* A directory emptied by a filter stays under keep_empty_dirs unless a rule names it. */
    if (view.parent && verdict.index == DRAY_NO_INDEX)
        verdict.verdict = DRAY_KEEP;
    step->decisions[index] = (struct dray_decision){
        (int32_t)verdict.index, (uint16_t)verdict.option, (uint8_t)verdict.verdict, !view.parent};
    return 0;
}

static int ask_chunk(void *arg, uint64_t chunk)
{
    struct asking *asking = arg;
    struct dray_step_run *step = asking->step;
    size_t end =
        (chunk + 1) * CHUNK < step->input->count ? (chunk + 1) * CHUNK : step->input->count;
    struct dray_call call;
    int result = 0;

    dray_call_init(&call, step);
    if (dray_run_cancelled(step->run))
        result = dray_fail(&call.error, DRAY_CANCELLED, "cancelled");
    struct dray_blame_note before = dray_blame_enter((uint32_t)step->index, DRAY_OPERATION_DECIDE);
    for (size_t i = chunk * CHUNK; result == 0 && i < end; i++) {
        dray_tree_fetch(step->input, i + AHEAD);
        result = ask_about(&call, step, i);
    }
    dray_blame_leave(before);
    dray_service_progress(&call.ctx, end - chunk * CHUNK, 0);
    if (result != 0) {
        pthread_mutex_lock(&asking->lock);
        if (asking->error->class_ == 0)
            result = dray_call_result(&call, result, DRAY_OPERATION_DECIDE, asking->error);
        pthread_mutex_unlock(&asking->lock);
    }
    return result;
}

static int ask_all(struct dray_step_run *step, struct dray_error *error)
{
    struct asking asking = {step, error, PTHREAD_MUTEX_INITIALIZER};
    uint64_t chunks = (step->input->count + CHUNK - 1) / CHUNK;
    int result = 0;

    error->class_ = 0;
    if (step->instance->loaded->plugin.head.caps & DRAY_CAP_REENTRANT)
        return dray_pool_run(step->run->pool, chunks, ask_chunk, &asking);
    for (uint64_t i = 0; result == 0 && i < chunks; i++)
        result = ask_chunk(&asking, i);
    return result;
}

static int count_rule(struct dray_step_run *step, size_t *capacity,
                      const struct dray_decision *decision, uint64_t bytes)
{
    for (size_t i = 0; i < step->rule_count; i++) {
        struct dray_rule_count *rule = &step->rules[i];
        if (rule->option == decision->option && rule->index == decision->index) {
            rule->entries++;
            rule->bytes += bytes;
            return 0;
        }
    }
    if (DRAY_GROW(step->rules, step->rule_count, *capacity) != 0)
        return DRAY_NO_MEMORY;
    step->rules[step->rule_count++] =
        (struct dray_rule_count){decision->option, decision->index, 1, bytes};
    return 0;
}

/* Are there entries without their bytes in a preview? */
static int is_unread(const struct dray_step_run *step)
{
    const struct dray_run *run = step->run;

    for (size_t i = 0; i < run->plan->step_count; i++)
        if (run->plan->steps[i].role == DRAY_STEP_TRANSFORM &&
            __atomic_load_n(&run->steps[i].unread, __ATOMIC_RELAXED) &&
            dray_plan_depends(run->plan, step->index, i))
            return 1;
    return __atomic_load_n(&run->unread, __ATOMIC_RELAXED);
}

int dray_filter_execute(struct dray_step_run *step, struct dray_error *error)
{
    size_t count = step->input->count, capacity = 0;

    if ((step->instance->loaded->plugin.head.caps & DRAY_CAP_CONTENT) && is_unread(step)) {
        step->undecided = 1;
        step->output = dray_tree_ref(step->input);
        return 0;
    }
    step->decisions = calloc(count + 1, sizeof(*step->decisions));
    dray_autofree uint8_t *keep = malloc(count + 1);
    if (!step->decisions || !keep)
        return dray_fail_memory(error);
    int result = ask_all(step, error);
    if (result != 0)
        return result;
    for (size_t i = 0; i < count; i++) {
        const struct dray_decision *decision = &step->decisions[i];
        keep[i] = decision->verdict != DRAY_DROP;
        if (decision->asked && !keep[i] &&
            count_rule(step, &capacity, decision, step->input->entries[i]->bytes) != 0)
            return dray_fail_memory(error);
    }
    if (step->step->mode == DRAY_MODE_ENFORCE)
        return dray_tree_select(step->input, keep, step->run->plan->keep_empty_dirs, &step->output,
                                error);
    /* audit and warn: a shadow, which says what it would have dropped */
    step->output = dray_tree_ref(step->input);
    return 0;
}

/* ---- What a rule is called ---- */

/* A size or duration in the largest unit that it is a whole number of, as it may have been written.
 */
static void print_number(uint32_t type, int64_t value, struct dray_buffer *out)
{
    static const struct {
        uint32_t type;
        int64_t count;
        const char *name;
    } units[] = {
        {DRAY_TYPE_SIZE, INT64_C(1) << 40, " TiB"},
        {DRAY_TYPE_SIZE, INT64_C(1) << 30, " GiB"},
        {DRAY_TYPE_SIZE, INT64_C(1) << 20, " MiB"},
        {DRAY_TYPE_SIZE, INT64_C(1) << 10, " KiB"},
        {DRAY_TYPE_SIZE, INT64_C(1000000000), " GB"},
        {DRAY_TYPE_SIZE, INT64_C(1000000), " MB"},
        {DRAY_TYPE_SIZE, INT64_C(1000), " KB"},
        {DRAY_TYPE_DURATION, INT64_C(86400000000000), "d"},
        {DRAY_TYPE_DURATION, INT64_C(3600000000000), "h"},
        {DRAY_TYPE_DURATION, INT64_C(60000000000), "m"},
        {DRAY_TYPE_DURATION, INT64_C(1000000000), "s"},
        {DRAY_TYPE_DURATION, INT64_C(1000000), "ms"},
    };

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (units[i].type != type || value <= 0 || value % units[i].count != 0)
            continue;
        dray_buffer_format(out, "%lld%s", (long long)(value / units[i].count), units[i].name);
        return;
    }
    dray_buffer_format(out, "%lld", (long long)value);
}

static void print_value(const json_t *value, uint32_t type, struct dray_buffer *out)
{
    if (json_is_string(value)) {
        dray_buffer_text(out, "\"");
        dray_utf8_add(out, json_string_value(value), json_string_length(value), 1);
        dray_buffer_text(out, "\"");
    } else if (json_is_integer(value)) {
        print_number(type, json_integer_value(value), out);
    } else if (json_is_boolean(value)) {
        dray_buffer_text(out, json_is_true(value) ? "true" : "false");
    }
}

void dray_rule_print(const struct dray_step *step, const struct dray_loaded *loaded,
                     uint16_t option, int32_t index, struct dray_buffer *by,
                     struct dray_buffer *why)
{
    const char *name = loaded->plugin.options[option].name;
    uint32_t type = loaded->plugin.options[option].type;
    const json_t *value = json_object_get(step->with, name);

    if (step->origin.policy)
        dray_buffer_format(by, "policy:%s/%s", step->origin.policy, step->origin.rule);
    else
        dray_buffer_format(by, "%s.%s", step->id, name);
    if (index >= 0 && !step->origin.policy)
        dray_buffer_format(by, "[%d]", index);
    if (json_is_array(value) || !value) {
        const json_t *element = index >= 0 ? json_array_get(value, (size_t)index) : NULL;
        if (element)
            print_value(element, type, why);
        else
            dray_buffer_text(why, "no pattern matched");
    } else {
        dray_buffer_format(why, "%s ", name);
        print_value(value, type, why);
    }
    if (step->origin.message)
        dray_buffer_format(why, " (%s)", step->origin.message);
}

json_t *dray_rules_json(const struct dray_step_run *step)
{
    json_t *rules = json_array();

    if (rules && step->exceeded && json_array_append(rules, step->exceeded) != 0) {
        json_decref(rules);
        return NULL;
    }
    for (size_t i = 0; rules && i < step->rule_count; i++) {
        const struct dray_rule_count *rule = &step->rules[i];
        dray_cleanup(dray_buffer_free) struct dray_buffer by = {.cap = 4096}, why = {.cap = 8192};
        dray_rule_print(step->step, step->instance->loaded, rule->option, rule->index, &by, &why);
        json_t *one = json_pack("{s:s, s:s, s:I, s:I}", "by", by.data ? by.data : "", "why",
                                why.data ? why.data : "", "entries", (json_int_t)rule->entries,
                                "bytes", (json_int_t)rule->bytes);
        /* audit and warn: it would have, and did not */
        if (one && step->step->mode != DRAY_MODE_ENFORCE) {
            (void)json_object_set_new(one, "shadow", json_true());
            (void)json_object_set_new(
                one, "mode", json_string(step->step->mode == DRAY_MODE_WARN ? "warn" : "audit"));
        }
        if (!one || json_array_append_new(rules, one) != 0) {
            json_decref(rules);
            return NULL;
        }
    }
    return rules;
}

static int depends(const struct dray_plan *plan, size_t from, size_t index, uint8_t *seen)
{
    if (from == index)
        return 1;
    if (seen[from])
        return 0;
    seen[from] = 1;
    for (size_t i = 0; i < plan->steps[from].needs_count; i++)
        if (depends(plan, plan->steps[from].needs[i], index, seen))
            return 1;
    return 0;
}

int dray_plan_depends(const struct dray_plan *plan, size_t push, size_t index)
{
    dray_autofree uint8_t *seen = calloc(plan->step_count, 1);

    /* Without memory the answer that shows more is given. */
    return !seen || depends(plan, push, index, seen);
}
