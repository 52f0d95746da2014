/* SPDX-License-Identifier: MIT */
/* match.c - which rules have something to say of a delivery, and what. Everything that asks this
 * asks here: plans, tests of policies, explanations, and the look before a commit. */
#include "core/plan/draft.h"

#include <string.h>

#include "core/base/text.h"

struct dray_judgement dray_rule_judge(const struct dray_rule *rule, const json_t *facts,
                                      int64_t now)
{
    struct dray_judgement judgement = {.bearing = DRAY_BEARS, .facts = facts};
    enum dray_truth truth =
        rule->when ? dray_condition_holds(rule->when, facts, &judgement.condition) : DRAY_TRUE;

    if (truth == DRAY_FALSE) {
        judgement.bearing = DRAY_BEARS_NOT;
        return judgement;
    }
    judgement.exception = now ? dray_exception_find(rule, facts, now) : NULL;
    if (judgement.exception) {
        judgement.bearing = DRAY_BEARS_EXCEPT;
        return judgement;
    }
    if (truth == DRAY_UNKNOWN) {
        judgement.bearing = DRAY_BEARS_UNKNOWN;
        return judgement;
    }
    judgement.condition = NULL;
    if (!rule->allow)
        return judgement;
    truth = dray_condition_holds(rule->allow, facts, &judgement.condition);
    if (truth == DRAY_TRUE)
        judgement.condition = NULL;
    else
        judgement.bearing = truth == DRAY_FALSE ? DRAY_BEARS_DENIES : DRAY_BEARS_UNKNOWN;
    return judgement;
}

int dray_rule_exceeded(const struct dray_rule *rule, int64_t total_bytes, int64_t entries)
{
    const json_t *bytes_at_most = json_object_get(rule->limit, "total_bytes");
    const json_t *entries_at_most = json_object_get(rule->limit, "entries");

    return (bytes_at_most && total_bytes > json_integer_value(bytes_at_most)) ||
           (entries_at_most && entries > json_integer_value(entries_at_most));
}

static int set(json_t *facts, const char *name, const char *value)
{
    return value ? json_object_set_new(facts, name, json_string(value)) : 0;
}

/* The facts of each dataset with those of a target. NULL when memory is out. */
static json_t *facts_at(const json_t *facts, const struct dray_target_facts *target)
{
    json_t *all = json_deep_copy(facts), *one;
    size_t i;

    json_array_foreach(all, i, one) if (set(one, "target.type", target->type) ||
                                        set(one, "target.plugin", target->plugin) ||
                                        set(one, "target.host", target->host) ||
                                        set(one, "target.path", target->path) ||
                                        set(one, "target.uri", target->uri))
    {
        json_decref(all);
        return NULL;
    }
    return all;
}

/* Where a rule only puts steps there and is enforced, that it holds for one dataset is enough: they
 * are there then. What it allows must be known of each, and what it would have done too. */
static int weight(const struct dray_rule *rule, enum dray_bearing bearing)
{
    return (rule->allow || rule->mode != DRAY_MODE_ENFORCE) && bearing == DRAY_BEARS_UNKNOWN
               ? DRAY_BEARS_DENIES + 1
               : (int)bearing;
}

/* A workflow with sources of its own may call its dataset anything: a rule holds when it does for
 * the dataset's name or for that of anything that is read. */
struct dray_judgement dray_rule_weigh(const struct dray_rule *rule, const json_t *facts,
                                      int64_t now)
{
    struct dray_judgement judgement = {.bearing = DRAY_BEARS_NOT};

    for (size_t i = 0; i < json_array_size(facts); i++) {
        struct dray_judgement one = dray_rule_judge(rule, json_array_get(facts, i), now);
        if (i == 0 || weight(rule, one.bearing) > weight(rule, judgement.bearing))
            judgement = one;
    }
    return judgement;
}

/* Which row of those that overlap it is, for who is refused by what it says. */
static int set_origin(json_t *facts, const json_t *dataset)
{
    if (!json_object_get(dataset, "overlap"))
        return 0;
    json_t *origin = json_object();
    /* From here on the facts own it, whatever fails. */
    return json_object_set_new(facts, "catalog", origin) ||
           json_object_set(origin, "id", json_object_get(dataset, "id")) ||
           json_object_set(origin, "source", json_object_get(dataset, "source")) ||
           json_object_set(origin, "overlap", json_object_get(dataset, "overlap"));
}

int dray_facts_of_dataset(json_t *facts, const json_t *dataset)
{
    json_t *tags = json_object_get(dataset, "tags"), *value;
    const char *name;

    if (set(facts, "dataset.type", json_string_value(json_object_get(dataset, "type"))) ||
        set(facts, "dataset.owner", json_string_value(json_object_get(dataset, "owner"))) ||
        (tags && json_object_set(facts, "dataset.tags", tags) != 0) ||
        set_origin(facts, dataset) != 0)
        return -1;
    json_object_foreach(json_object_get(dataset, "labels"), name, value)
    {
        dray_autofree char *fact = dray_format("dataset.labels.%s", name);
        if (!fact || json_object_set(facts, fact, value) != 0)
            return -1;
    }
    return 0;
}

/* What is read may be the dataset of the catalog, also by a source of the workflow's own. */
static int is_known(const struct dray_draft *draft, size_t index)
{
    const char *reads = index == 0 ? draft->dataset_path : draft->steps[index - 1].reads;

    return draft->known && (index == 0 || (reads && draft->dataset_path &&
                                           strcmp(reads, draft->dataset_path) == 0));
}

json_t *dray_draft_facts_of(const struct dray_plan_request *request, const char *name)
{
    json_t *facts = json_pack("{s:s}", "dataset.name", name);

    if (facts && set(facts, "user.name", request->user) == 0 &&
        set(facts, "user.role", request->role ? request->role : "user") == 0 &&
        set(facts, "actor.name", request->actor) == 0)
        return facts;
    json_decref(facts);
    return NULL;
}

int dray_draft_facts(struct dray_draft *draft, const struct dray_plan_request *request)
{
    draft->facts = json_array();
    if (!draft->facts)
        return dray_fail_memory(draft->error);
    for (size_t i = 0; i <= draft->step_count; i++) {
        const char *name = i == 0 ? draft->dataset : draft->steps[i - 1].reads_name;
        if (!name)
            continue;
        json_t *facts = dray_draft_facts_of(request, name);
        /* From here on the array owns them, whatever fails. */
        if (json_array_append_new(draft->facts, facts) != 0 ||
            (is_known(draft, i) && dray_facts_of_dataset(facts, draft->known) != 0))
            return dray_fail_memory(draft->error);
    }
    return draft->catalog ? dray_draft_facts_of_sharing(draft, request) : 0;
}

/* ---- in words */

static void add_values(struct dray_buffer *out, const json_t *known)
{
    if (json_is_string(known)) {
        dray_utf8_add(out, json_string_value(known), json_string_length(known), 1);
        return;
    }
    for (size_t i = 0; i < json_array_size(known); i++) {
        dray_buffer_text(out, i ? ", " : "");
        add_values(out, json_array_get(known, i));
    }
}

static void add_wanted(struct dray_buffer *out, const struct dray_condition *condition)
{
    for (size_t i = 0; i < condition->value_count; i++) {
        dray_buffer_text(out, i == 0 ? "" : i + 1 == condition->value_count ? " or " : ", ");
        dray_utf8_add(out, condition->values[i], strlen(condition->values[i]), 1);
    }
}

static void add_known(struct dray_buffer *out, const struct dray_condition *condition,
                      const json_t *facts)
{
    const json_t *known = json_object_get(facts, condition->name);

    dray_buffer_text(out, condition->name);
    if (!known || (json_is_array(known) && json_array_size(known) == 0)) {
        dray_buffer_text(out, strncmp(condition->name, "target.", 7) == 0 ? " has no value here"
                                                                          : " is not known");
        return;
    }
    dray_buffer_text(out, " is ");
    add_values(out, known);
}

/* "target.type is hpfs, not cloud or globus"; of what must not be: "target.path is /etc/x, which
 * `not` excludes". */
static void add_condition(struct dray_buffer *out, const struct dray_condition *condition,
                          const json_t *facts)
{
    switch (condition->kind) {
    case DRAY_CONDITION_FACT:
        add_known(out, condition, facts);
        dray_buffer_text(out, ", not ");
        add_wanted(out, condition);
        break;
    case DRAY_CONDITION_ALL:
        for (size_t i = 0; i < condition->part_count; i++) {
            dray_buffer_text(out, i ? " and " : "");
            if (condition->parts[i].kind == DRAY_CONDITION_FACT)
                add_known(out, &condition->parts[i], facts);
            else
                dray_buffer_text(out, "the rest holds");
        }
        break;
    case DRAY_CONDITION_NOT:
        add_condition(out, &condition->parts[0], facts);
        dray_buffer_text(out, ", which `not` excludes");
        break;
    }
}

const char *dray_judgement_text(struct dray_draft *draft, const struct dray_judgement *judgement)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 16u << 10};

    switch (judgement->bearing) {
    case DRAY_BEARS:
        dray_buffer_text(&text, "holds");
        break;
    case DRAY_BEARS_EXCEPT:
        dray_buffer_format(&text, "an exception until %s (%s)", judgement->exception->until,
                           judgement->exception->reason);
        break;
    case DRAY_BEARS_UNKNOWN:
        dray_buffer_format(&text, "it asks for %s, which is not known", judgement->condition->name);
        break;
    case DRAY_BEARS_NOT:
    case DRAY_BEARS_DENIES:
        if (judgement->condition)
            add_condition(&text, judgement->condition, judgement->facts);
        break;
    }
    if (text.failed == DRAY_NO_MEMORY) {
        (void)dray_fail_memory(draft->error);
        return NULL;
    }
    return dray_draft_copy(draft, text.data ? text.data : "", text.data ? strlen(text.data) : 0);
}

/* ---- one target */

/* What is recorded of a rule that does not simply hold. */
static int add_finding(struct dray_draft *draft, json_t *findings, const struct dray_rule *rule,
                       const char *step, const char *kind, const char *what)
{
    json_t *finding =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "policy", rule->policy->name, "rule", rule->id,
                  "mode", dray_mode_name(rule->mode), "step", step, "kind", kind, "what", what);

    return json_array_append_new(findings, finding) == 0 ? 0 : dray_fail_memory(draft->error);
}

const char *dray_judgement_origin(struct dray_draft *draft, const struct dray_judgement *judgement)
{
    const json_t *origin = json_object_get(judgement->facts, "catalog");
    const char *overlap = json_string_value(json_object_get(origin, "overlap"));

    if (!overlap)
        return "";
    return dray_draft_format(
        draft,
        "; what counts is dataset \"%s\" (id:%lld) of the catalog: its source %s is%s what is read",
        json_string_value(json_object_get(judgement->facts, "dataset.name")),
        (long long)json_integer_value(json_object_get(origin, "id")),
        json_string_value(json_object_get(origin, "source")),
        strcmp(overlap, "above") == 0   ? " above"
        : strcmp(overlap, "below") == 0 ? " a part of"
                                        : "");
}

static const char *unknown_text(struct dray_draft *draft, const struct dray_rule *rule,
                                const struct dray_judgement *judgement)
{
    const char *origin = dray_judgement_origin(draft, judgement);

    return origin
               ? dray_draft_format(
                     draft,
                     "rule %s/%s asks for %s, which is not known of dataset "
                     "\"%s\", so it is not delivered%s",
                     rule->policy->name, rule->id, judgement->condition->name,
                     json_string_value(json_object_get(judgement->facts, "dataset.name")), origin)
               : NULL;
}

static const char *refused_text(struct dray_draft *draft, const struct dray_rule *rule,
                                const char *step, const struct dray_judgement *judgement)
{
    const char *why = dray_judgement_text(draft, judgement);
    const char *origin = why ? dray_judgement_origin(draft, judgement) : NULL;

    return origin ? dray_draft_format(draft, "rule %s/%s does not allow the target of \"%s\": %s%s",
                                      rule->policy->name, rule->id, step, why, origin)
                  : NULL;
}

static const char *hint_of(struct dray_draft *draft, const struct dray_rule *rule,
                           const struct dray_judgement *judgement)
{
    if (judgement->bearing == DRAY_BEARS_UNKNOWN)
        return dray_draft_format(draft,
                                 "what the catalog does not say is not known, and of a path only "
                                 "the name is; an admin who wants the rule to pass over "
                                 "such datasets writes `%s?:`",
                                 judgement->condition->name);
    if (rule->message)
        return rule->message;
    return rule->policy->owner
               ? dray_draft_format(draft, "ask %s, who owns the policy", rule->policy->owner)
               : "ask who owns the policy, or deliver elsewhere";
}

/* Each denial is reported at its place; the first is the error as well. */
static int deny(struct dray_draft *draft, const struct dray_rule *rule,
                const struct dray_judgement *judgement, const char *what)
{
    const struct dray_place *place = &judgement->condition->place;
    const char *hint = hint_of(draft, rule, judgement);
    struct dray_error denial = {0};

    if (!hint)
        return DRAY_NO_MEMORY;
    (void)dray_fail(&denial, DRAY_DENIED, "%s", what);
    dray_where(&denial, "%s:%u:%u", rule->policy->file, place->line, place->column);
    dray_hint(&denial, "%s", hint);
    dray_problem(draft, *place, "%s", what);
    dray_step_hint(draft, &denial);
    if (draft->error->class_ != DRAY_DENIED)
        *draft->error = denial;
    return DRAY_DENIED;
}

/* A target that a rule does not allow, in the rule's mode: enforce denies it, warn tells and
 * records it, audit records it. */
static int object(struct dray_draft *draft, const struct dray_rule *rule, const char *step,
                  json_t *findings, const struct dray_judgement *judgement)
{
    const char *what = refused_text(draft, rule, step, judgement);

    if (!what)
        return DRAY_NO_MEMORY;
    if (rule->mode == DRAY_MODE_ENFORCE)
        return deny(draft, rule, judgement, what);
    if (rule->mode == DRAY_MODE_WARN) {
        dray_diagnose(draft->diagnostics, judgement->condition->place, DRAY_SEVERITY_WARNING,
                      "%s (the rule only warns)", what);
        if (rule->message)
            dray_diagnose_hint(draft->diagnostics, "%s", rule->message);
    }
    return add_finding(draft, findings, rule, step, "allow", what);
}

/* What cannot be told is denied in every mode: what a rule would have said of it is nowhere. */
static int deny_unknown(struct dray_draft *draft, const struct dray_rule *rule,
                        const struct dray_judgement *judgement)
{
    const char *what = unknown_text(draft, rule, judgement);

    return what ? deny(draft, rule, judgement, what) : DRAY_NO_MEMORY;
}

/* The option by which a source gives its entries other paths, or NULL. */
static const struct dray_option_info *renaming_option(const struct dray_draft_step *step)
{
    for (size_t i = 0; step->plugin && i < step->plugin->option_count; i++) {
        const struct dray_option_info *option = &step->plugin->options[i];
        const char *value = json_string_value(json_object_get(step->with, option->name));
        if ((option->flags & DRAY_OPTION_RENAMES) && value &&
            (!option->fallback || strcmp(value, option->fallback) != 0))
            return option;
    }
    return NULL;
}

/* What is injected judges by the paths that an admin knows. A source that renames would take them
 * away before anything can stand in between. */
static int check_paths(struct dray_draft *draft, const struct dray_rule *rule)
{
    for (size_t i = 0;
         rule->mode == DRAY_MODE_ENFORCE && rule->inject_count && i < draft->step_count; i++) {
        const struct dray_draft_step *step = &draft->steps[i];
        const struct dray_option_info *option = renaming_option(step);
        if (!option)
            continue;
        const struct dray_node *node = dray_node_get(step->with_node, option->name);
        const struct dray_place place = node ? node->place : step->place;
        struct dray_error denial = {0};
        (void)dray_fail(&denial, DRAY_DENIED,
                        "rule %s/%s judges by the paths of the source, which `%s` of step \"%s\" "
                        "changes before it",
                        rule->policy->name, rule->id, option->name, step->id);
        dray_hint(&denial, "leave `%s` out, and change paths with transform/rename", option->name);
        dray_problem(draft, place, "%s", denial.message);
        dray_step_hint(draft, &denial);
        if (draft->error->class_ != DRAY_DENIED)
            *draft->error = denial;
        return DRAY_DENIED;
    }
    return 0;
}

static int match(struct dray_draft *draft, const struct dray_rule *rule, const json_t *facts,
                 const char *step, json_t *findings, int *ret_holds)
{
    struct dray_judgement judgement = dray_rule_weigh(rule, facts, draft->now);

    *ret_holds = 0;
    switch (judgement.bearing) {
    case DRAY_BEARS_NOT:
        return 0;
    case DRAY_BEARS_EXCEPT: {
        const char *what = dray_judgement_text(draft, &judgement);
        return what ? add_finding(draft, findings, rule, step, "exception", what) : DRAY_NO_MEMORY;
    }
    case DRAY_BEARS:
        *ret_holds = 1;
        return check_paths(draft, rule);
    case DRAY_BEARS_DENIES:
        *ret_holds = 1;
        return object(draft, rule, step, findings, &judgement);
    case DRAY_BEARS_UNKNOWN:
        return deny_unknown(draft, rule, &judgement);
    }
    return 0;
}

static int match_all(struct dray_draft *draft, const json_t *facts, const char *step,
                     json_t *findings, const struct dray_rule ***ret_rules, size_t *ret_count)
{
    size_t count = 0;
    int denied = 0;

    for (size_t i = 0; i < draft->policy_count; i++)
        count += draft->policies[i]->rule_count;
    const struct dray_rule **rules = dray_draft_array(draft, count, sizeof(struct dray_rule *));
    if (!rules)
        return DRAY_NO_MEMORY;
    count = 0;
    for (size_t i = 0; i < draft->policy_count; i++) {
        const struct dray_policy *policy = draft->policies[i];
        for (size_t k = 0; k < policy->rule_count; k++) {
            int holds = 0;
            int result = match(draft, &policy->rules[k], facts, step, findings, &holds);
            if (result == DRAY_DENIED)
                denied = 1;
            else if (result != 0)
                return result;
            if (holds)
                rules[count++] = &policy->rules[k];
        }
    }
    *ret_rules = rules;
    *ret_count = count;
    return denied ? DRAY_DENIED : 0;
}

int dray_policies_match(struct dray_draft *draft, const struct dray_target_facts *target,
                        const char *step, json_t *findings, const struct dray_rule ***ret_rules,
                        size_t *ret_count)
{
    json_t *facts = facts_at(draft->facts, target);
    int result = 0;

    if (!facts)
        return dray_fail_memory(draft->error);
    if (json_array_size(facts) == 0) /* no rule would be about it */
        result = dray_fail(draft->error, DRAY_BUG, "a delivery of no dataset");
    else
        result = match_all(draft, facts, step, findings, ret_rules, ret_count);
    json_decref(facts);
    return result;
}
