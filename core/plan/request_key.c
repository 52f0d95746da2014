/* SPDX-License-Identifier: MIT */
/*
 * request_key.c - what makes two requests the same, and what makes two plans the same. Both are
 * digests of one canonical text: JSON with sorted keys and nothing between the words, so that no
 * two values share a text.
 */
#include "core/plan/draft.h"

#include <string.h>

/* A digest, and whether a part of the text did not get into it. */
struct hashing {
    struct dray_digest *digest;
    int failed;
};

static int hash(const char *text, size_t length, void *arg)
{
    struct hashing *hashing = arg;

    if (dray_digest_add(hashing->digest, text, length) != 0)
        hashing->failed = 1;
    return hashing->failed ? -1 : 0;
}

/* Text, or else JSON as text. */
static int digest_of(const char *text, size_t length, const json_t *json,
                     char ret_hex[static DRAY_SHA256_HEX], struct dray_error *error)
{
    dray_cleanup(dray_digest_freep) struct dray_digest *digest = dray_digest_new(DRAY_SHA256);
    struct hashing hashing = {.digest = digest};
    uint8_t bytes[DRAY_SHA256_BYTES];

    if (!digest) /* no library refuses SHA-256 */
        return dray_fail_memory(error);
    hashing.failed = dray_digest_start(digest) != 0;
    /* Not by json_dumps, which without memory may leave out a part of the text and not say so. */
    if (!json)
        (void)hash(text, length, &hashing);
    else if (json_dump_callback(json, hash, &hashing,
                                JSON_SORT_KEYS | JSON_COMPACT | JSON_ENSURE_ASCII |
                                    JSON_ENCODE_ANY) != 0 &&
             !hashing.failed)
        return dray_fail_memory(error);
    if (hashing.failed || dray_digest_end(digest, bytes) != 0)
        return dray_fail(error, DRAY_BUG, "a SHA-256 digest cannot be computed");
    (void)dray_hex(bytes, sizeof(bytes), ret_hex);
    return 0;
}

int dray_text_digest(const char *text, size_t length, char ret_hex[static DRAY_SHA256_HEX],
                     struct dray_error *error)
{
    return digest_of(text, length, NULL, ret_hex, error);
}

int dray_json_digest(const json_t *json, char ret_hex[static DRAY_SHA256_HEX],
                     struct dray_error *error)
{
    return digest_of(NULL, 0, json, ret_hex, error);
}

/* A guard and a filter that is only watched decide whether something is said or stopped, never what
 * is delivered: what was delivered without them is the same delivery. */
static int counts(const struct dray_step *step)
{
    return step->role != DRAY_STEP_GUARD &&
           (step->role != DRAY_STEP_FILTER || step->mode == DRAY_MODE_ENFORCE);
}

/* What one target depends on. Steps that do not count are passed through: who needs one needs what
 * that needs. */
struct ancestry {
    const struct dray_plan *plan;
    size_t push;
    unsigned char *needed; /* of each step: does the push take its tree by some way? */
    size_t *number;        /* of each step that is needed and counts, its place among these */
    unsigned char *mark;   /* of each step, while one list of needs is made */
};

static void free_ancestry(struct ancestry *ancestry)
{
    free(ancestry->needed);
    free(ancestry->number);
    free(ancestry->mark);
}

static int find_ancestry(const struct dray_plan *plan, size_t push, struct ancestry *ancestry)
{
    size_t number = 0;

    *ancestry = (struct ancestry){
        .plan = plan,
        .push = push,
        .needed = calloc(plan->step_count, 1),
        .number = calloc(plan->step_count, sizeof(size_t)),
        .mark = calloc(plan->step_count, 1),
    };
    if (!ancestry->needed || !ancestry->number || !ancestry->mark)
        return -1;
    ancestry->needed[push] = 1;
    for (size_t i = push + 1; i-- > 0;)
        for (size_t k = 0; ancestry->needed[i] && k < plan->steps[i].needs_count; k++)
            ancestry->needed[plan->steps[i].needs[k]] = 1;
    for (size_t i = 0; i <= push; i++)
        if (ancestry->needed[i] && counts(&plan->steps[i]))
            ancestry->number[i] = number++;
    return 0;
}

static json_t *needs_json(const struct ancestry *ancestry, size_t step)
{
    const struct dray_plan *plan = ancestry->plan;
    json_t *list = json_array();

    memset(ancestry->mark, 0, plan->step_count);
    ancestry->mark[step] = 1;
    for (size_t i = step + 1; i-- > 0;) {
        const struct dray_step *at = &plan->steps[i];
        if (!ancestry->mark[i] || (i != step && counts(at)))
            continue;
        for (size_t k = 0; k < at->needs_count; k++)
            ancestry->mark[at->needs[k]] = 1;
    }
    for (size_t i = 0; list && i < step; i++) {
        if (ancestry->mark[i] && counts(&plan->steps[i]) &&
            json_array_append_new(list, json_integer((json_int_t)ancestry->number[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

/* By which words a program brings the bytes is not what they are, nor is what they are compared
 * with. */
static int is_way(const struct dray_step *step, const char *name)
{
    int command = strcmp(step->uses, "source/command") == 0;

    if ((command || strcmp(step->uses, "source/archive") == 0) && strncmp(name, "bundle_", 7) == 0)
        return 1;
    return command && (strcmp(name, "argv") == 0 || strcmp(name, "exits") == 0 ||
                       strcmp(name, "later_exits") == 0 || strcmp(name, "timeout") == 0);
}

/* Nor is it how and when the bytes were made durable, which a site may change. */
static int is_push_way(const struct dray_step *step, const char *name)
{
    return strcmp(step->uses, "push/hpfs") == 0 &&
           (strcmp(name, "durability") == 0 || strcmp(name, "sync_every") == 0);
}

/* Is it said already by what stands elsewhere in the key: the dataset's id, or the canonical
 * target? */
static int is_address(const struct dray_plan *plan, const struct dray_step *step,
                      const struct dray_plugin_info *plugin, const char *name)
{
    const char *value = json_string_value(json_object_get(step->with, name));
    uint32_t flags = 0;

    for (size_t i = 0; plugin && i < plugin->option_count; i++)
        if (strcmp(plugin->options[i].name, name) == 0)
            flags = plugin->options[i].flags;
    if (step->role == DRAY_STEP_SOURCE)
        return (flags & DRAY_OPTION_READS) && value && strcmp(value, plan->dataset_id) == 0;
    return step->role == DRAY_STEP_PUSH &&
           ((flags & DRAY_OPTION_DELIVERS) || strcmp(name, "existing") == 0 ||
            strcmp(name, "conflicts") == 0 || is_push_way(step, name));
}

/* (json_copy would leave out what it has no memory for.) */
static json_t *with_json(const struct dray_plan *plan, const struct dray_step *step,
                         const struct dray_plugin_info *plugin)
{
    json_t *with = json_object();
    const char *name;
    json_t *value;

    json_object_foreach(step->with, name, value)
    {
        if (!with || is_way(step, name) || is_address(plan, step, plugin, name))
            continue;
        if (json_object_set(with, name, value) != 0) {
            json_decref(with);
            with = NULL;
        }
    }
    return with;
}

static json_t *step_json(const struct ancestry *ancestry, size_t index,
                         const struct dray_plugin_info *plugin)
{
    const struct dray_step *step = &ancestry->plan->steps[index];
    json_t *json =
        json_pack("{s:s, s:s?, s:o, s:o}", "uses", step->uses, "version", step->version, "with",
                  with_json(ancestry->plan, step, plugin), "needs", needs_json(ancestry, index));

    return dray_json_with(json, "revision", step->revision);
}

static json_t *key_json(const struct ancestry *ancestry, const char *uri,
                        const struct dray_plugin_info *const *plugins)
{
    const struct dray_plan *plan = ancestry->plan;
    json_t *key =
        json_pack("{s:s, s:{s:s, s:b}, s:s, s:[]}", "dataset", plan->dataset_id, "tree", "symlinks",
                  plan->symlinks, "keep_empty_dirs", plan->keep_empty_dirs, "target", uri, "steps");
    json_t *steps = json_object_get(key, "steps");

    for (size_t i = 0; key && i <= ancestry->push; i++) {
        if (!ancestry->needed[i] || !counts(&plan->steps[i]))
            continue;
        if (json_array_append_new(steps, step_json(ancestry, i, plugins[i])) != 0) {
            json_decref(key);
            return NULL;
        }
    }
    return key;
}

int dray_plan_keys(struct dray_plan *plan, const struct dray_plugin_info *const *plugins,
                   struct dray_error *error)
{
    for (size_t i = 0; i < plan->target_count; i++) {
        dray_cleanup(free_ancestry) struct ancestry ancestry = {0};
        struct dray_plan_target *target = &plan->targets[i];
        if (find_ancestry(plan, target->step, &ancestry) != 0)
            return dray_fail_memory(error);
        json_t *key = key_json(&ancestry, target->uri, plugins);
        int result =
            key ? dray_json_digest(key, target->request_key, error) : dray_fail_memory(error);
        json_decref(key);
        if (result != 0)
            return result;
    }
    return 0;
}

/* ---- digests of a plan */

int dray_plan_policy_set(struct dray_plan *plan, struct dray_error *error)
{
    json_t *set = json_array();
    int result = set ? 0 : dray_fail_memory(error);

    for (size_t i = 0; result == 0 && i < plan->policy_count; i++) {
        const struct dray_plan_policy *policy = &plan->policies[i];
        if (json_array_append_new(set, json_pack("{s:s, s:I, s:s}", "policy", policy->policy,
                                                 "revision", (json_int_t)policy->revision, "digest",
                                                 policy->digest)) != 0)
            result = dray_fail_memory(error);
    }
    if (result == 0)
        result = dray_json_digest(set, plan->policy_set_digest, error);
    json_decref(set);
    return result;
}

/* Where things are written down, who answers for the policies, and what happens to be at the target
 * today. */
static void remove_places(json_t *json)
{
    json_t *item;
    size_t index;

    (void)json_object_del(json, "digest");
    (void)json_object_del(json, "facts");
    (void)json_object_del(json, "findings");
    (void)json_object_del(json, "policy_signer");
    json_array_foreach(json_object_get(json, "steps"), index, item)
    {
        (void)json_object_del(item, "origin");
        (void)json_object_del(item, "rank");
        (void)json_object_del(json_object_get(item, "plugin"), "file");
    }
    json_array_foreach(json_object_get(json, "targets"), index, item)(void)
        json_object_del(item, "presence");
    json_array_foreach(json_object_get(json, "policies"), index, item)(void)
        json_object_del(item, "file");
}

int dray_plan_digests(struct dray_plan *plan, struct dray_error *error)
{
    int result = dray_plan_policy_set(plan, error);

    if (result != 0)
        return result;
    json_t *json = dray_plan_json(plan);
    if (!json)
        return dray_fail_memory(error);
    remove_places(json);
    result = dray_json_digest(json, plan->digest, error);
    json_decref(json);
    return result;
}
