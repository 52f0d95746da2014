/* SPDX-License-Identifier: MIT */
/* records.c - what travels with a delivery: manifest, tree.jsonl (see record_lists.c), receipt,
 * marker (docs/formats.md), and the leave to commit. */
#include <stdio.h>
#include <string.h>

#include "core/base/text.h"
#include "core/run/run.h"
#include "core/run/verdict_walk.h"

#define FORMAT_VERSION 1
#define RECORD_CAP     ((size_t)4 << 30)
/* Names that a receipt lists for one rule. */
#define NAMED 1000

static struct dray_call *call_of(struct dray_ctx *ctx)
{
    return (struct dray_call *)(void *)ctx;
}

/* ---- The receipt ---- */

/* Names of what a user's own rule left out; what a policy left out is counted, since a name can
 * itself be protected. */
static json_t *names_of(const struct dray_step_run *filter, const struct dray_rule_count *rule)
{
    json_t *names = json_array();

    for (size_t i = 0; names && i < filter->input->count && json_array_size(names) < NAMED; i++) {
        const struct dray_decision *decision = &filter->decisions[i];
        const struct dray_tree_entry *entry = filter->input->entries[i];
        if (!decision->asked || decision->verdict != DRAY_DROP ||
            decision->option != rule->option || decision->index != rule->index)
            continue;
        json_t *name = json_object();
        if (!name || dray_json_set_path(name, "path", entry->path, entry->path_length) != 0 ||
            json_array_append(names, name) != 0) {
            json_decref(name);
            json_decref(names);
            return NULL;
        }
        json_decref(name);
    }
    return names;
}

static int add_left_out(const struct dray_step_run *filter, json_t *left_out)
{
    json_t *rules = dray_rules_json(filter);

    if (!rules)
        return DRAY_NO_MEMORY;
    for (size_t i = 0; i < filter->rule_count; i++) {
        json_t *rule = json_array_get(rules, i);
        if (!filter->step->origin.policy &&
            json_object_set_new(rule, "names", names_of(filter, &filter->rules[i])) != 0) {
            json_decref(rules);
            return DRAY_NO_MEMORY;
        }
    }
    int result = json_array_extend(left_out, rules);
    json_decref(rules);
    return result == 0 ? 0 : DRAY_NO_MEMORY;
}

static json_t *step_json(const struct dray_step *step)
{
    json_t *object = json_pack("{s:s, s:s}", "id", step->id, "uses", step->uses);

    if (!object)
        return NULL;
    if (step->version)
        (void)json_object_set_new(object, "version", json_string(step->version));
    if (step->origin.policy)
        (void)json_object_set_new(object, "policy",
                                  json_sprintf("%s/%s", step->origin.policy, step->origin.rule));
    if (step->origin.recipe)
        (void)json_object_set_new(object, "recipe", json_string(step->origin.recipe));
    if (step->role == DRAY_STEP_FILTER || step->role == DRAY_STEP_TRANSFORM)
        (void)json_object_set(object, "options", step->with);
    if (step->mode != DRAY_MODE_ENFORCE)
        (void)json_object_set_new(object, "mode",
                                  json_string(step->mode == DRAY_MODE_WARN ? "warn" : "audit"));
    return object;
}

/* What a transform took and what it made of it. */
static int add_digests(const struct dray_step_run *step, json_t *object)
{
    const struct dray_tree *trees[] = {step->input, step->output};
    static const char *const names[] = {"input", "output"};

    for (size_t i = 0; i < 2; i++) {
        uint8_t digest[DRAY_SHA256_BYTES];
        char text[DRAY_SHA256_HEX];
        if (!trees[i] || dray_tree_digest(trees[i], digest) != 0)
            return DRAY_NO_MEMORY;
        dray_hex(digest, sizeof(digest), text);
        if (json_object_set_new(object, names[i],
                                json_pack("{s:s, s:I, s:I}", "sha256", text, "entries",
                                          (json_int_t)trees[i]->listed, "bytes",
                                          (json_int_t)trees[i]->bytes)) != 0)
            return DRAY_NO_MEMORY;
    }
    return 0;
}

static int add_history(const struct dray_step_run *push, json_t *receipt)
{
    const struct dray_run *run = push->run;
    json_t *steps = json_array(), *left_out = json_array();
    int result = steps && left_out ? 0 : DRAY_NO_MEMORY;

    for (size_t i = 0; result == 0 && i < run->plan->step_count; i++) {
        const struct dray_step_run *step = &run->steps[i];
        if (!dray_plan_depends(run->plan, push->index, i))
            continue;
        json_t *object = step_json(step->step);
        if (step->step->role == DRAY_STEP_TRANSFORM && object)
            result = add_digests(step, object);
        if (json_array_append_new(steps, object) != 0)
            result = DRAY_NO_MEMORY;
        else if (step->decisions && step->step->mode == DRAY_MODE_ENFORCE)
            result = add_left_out(step, left_out);
    }
    if (json_object_set_new(receipt, "steps", steps) != 0 ||
        json_object_set_new(receipt, "left_out", left_out) != 0)
        return DRAY_NO_MEMORY;
    return result;
}

/* What rules said of this target without changing a step: allowances that are only watched, and
 * exceptions. */
static json_t *findings_json(const struct dray_step_run *push)
{
    json_t *list = json_array(), *finding;
    size_t i;

    json_array_foreach(push->run->plan->findings, i, finding)
    {
        const char *step = json_string_value(json_object_get(finding, "step"));
        if (list && step && strcmp(step, push->step->id) == 0 &&
            json_array_append(list, finding) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

/* Limits that were exceeded and only watched. */
static int add_exceeded(const struct dray_step_run *push, json_t *findings)
{
    const struct dray_run *run = push->run;

    for (size_t i = 0; findings && i < run->plan->step_count; i++) {
        const struct dray_step_run *guard = &run->steps[i];
        if (!guard->exceeded || !dray_plan_depends(run->plan, push->index, i))
            continue;
        if (json_array_append_new(
                findings, json_pack("{s:s, s:s, s:s, s:s, s:s, s:O}", "policy",
                                    guard->step->origin.policy, "rule", guard->step->origin.rule,
                                    "mode", guard->step->mode == DRAY_MODE_WARN ? "warn" : "audit",
                                    "step", push->step->id, "kind", "limit", "what",
                                    json_object_get(guard->exceeded, "why"))) != 0)
            return DRAY_NO_MEMORY;
    }
    return findings ? 0 : DRAY_NO_MEMORY;
}

static json_t *policies_json(const struct dray_step_run *push)
{
    const struct dray_plan *plan = push->run->plan;
    json_t *files = json_array(), *findings = findings_json(push);

    for (size_t i = 0; files && i < plan->policy_count; i++) {
        const struct dray_plan_policy *policy = &plan->policies[i];
        (void)json_array_append_new(files, json_pack("{s:s, s:I, s:s}", "policy", policy->policy,
                                                     "revision", (json_int_t)policy->revision,
                                                     "digest", policy->digest));
    }
    if (add_exceeded(push, findings) != 0) {
        json_decref(findings);
        findings = NULL;
    }
    json_t *json = json_pack("{s:s, s:o, s:o}", "set", plan->policy_set_digest, "files", files,
                             "findings", findings);
    if (json && plan->policy_signer[0] &&
        json_object_set_new(json, "signed_by", json_string(plan->policy_signer)) != 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static uint64_t count_recorded(const struct dray_tree *tree)
{
    uint64_t recorded = 0;

    for (size_t i = 0; i < tree->count; i++)
        recorded += tree->entries[i]->type == DRAY_FILE &&
                    (tree->entries[i]->flags & (DRAY_ENTRY_SHA256 | DRAY_ENTRY_MD5));
    return recorded;
}

/* How many files were read from end to end before anything was left out. */
static int add_read(const struct dray_step_run *step, json_t *receipt)
{
    const struct dray_plan *plan = step->run->plan;
    uint64_t read = 0;

    for (size_t i = 0; i < plan->step_count; i++)
        if (dray_plan_depends(plan, step->index, i))
            read += step->run->steps[i].read_files;
    return read == 0 ? 0
                     : json_object_set_new(json_object_get(receipt, "verified"), "read_before",
                                           json_integer((json_int_t)read));
}

/* Of a source: the archive's file, where its digest was compared. */
static int add_bundle(const struct dray_step *source, json_t *list)
{
    json_t *sha256 = json_object_get(source->with, "bundle_sha256");
    json_t *md5 = json_object_get(source->with, "bundle_md5");
    int compares =
        strcmp(source->uses, "source/archive") == 0 || strcmp(source->uses, "source/command") == 0;

    if (!compares || (!json_is_string(sha256) && !json_is_string(md5)))
        return 0;
    return json_array_append_new(list, json_pack("{s:s, s:O*, s:O*}", "what", "bundle", "sha256",
                                                 json_is_string(sha256) ? sha256 : NULL, "md5",
                                                 json_is_string(md5) ? md5 : NULL));
}

/* With what the dataset was compared on its way here: the catalog, lists that it holds itself. */
static int add_compared(const struct dray_step_run *step, json_t *receipt)
{
    const struct dray_run *run = step->run;
    json_t *list = json_array();
    int result = list ? 0 : DRAY_NO_MEMORY;

    for (size_t i = 0; result == 0 && i < run->plan->step_count; i++) {
        const struct dray_step_run *before = &run->steps[i];
        if (!dray_plan_depends(run->plan, step->index, i))
            continue;
        if (before->step->role == DRAY_STEP_SOURCE)
            result = add_bundle(before->step, list);
        if (result == 0 && before->compared)
            result = json_array_extend(list, before->compared);
    }
    if (result == 0 && json_array_size(list) > 0)
        result = json_object_set(json_object_get(receipt, "verified"), "compared_with", list);
    json_decref(list);
    return result;
}

static json_t *receipt_json(const struct dray_step_run *step, const char *manifest)
{
    const struct dray_run *run = step->run;
    const struct dray_plan *plan = run->plan;
    const json_t *others = json_object_get(step->confirmation, "replaces_files_of");
    char time[24];
    json_t *receipt = json_pack(
        "{s:i, s:s, s:I, s:{s:s, s:s?}, s:s, s:s, s:s, s:{s:s, s:s}, s:s?, s:s, s:o, s:I, s:I, "
        "s:s, s:s, s:{s:s, s:I}}",
        "version", FORMAT_VERSION, "job", run->job_id, "attempt", (json_int_t)run->attempt,
        "dataset", "name", plan->dataset, "revision", plan->revision, "user", run->user, "actor",
        run->actor, "request_key", step->target->request_key, "target", "push", step->step->uses,
        "destination", step->target->uri, "workflow", plan->name, "plan", plan->digest, "policies",
        policies_json(step), "entries", (json_int_t)step->input->listed, "bytes",
        (json_int_t)step->input->bytes, "manifest_sha256", manifest, "delivered",
        dray_time_print(dray_now(), time), "verified", "how",
        "SHA-256 of every file, computed while it was delivered", "against_recorded_digests",
        (json_int_t)count_recorded(step->input));

    if (receipt &&
        ((step->staging.merged && json_object_set_new(receipt, "merged", json_true()) != 0) ||
         (others &&
          json_object_set(receipt, "replaces_files_of", (json_t *)(uintptr_t)others) != 0) ||
         (step->superseded && json_object_set(receipt, "supersedes", step->superseded) != 0) ||
         add_history(step, receipt) != 0 || add_read(step, receipt) != 0 ||
         add_compared(step, receipt) != 0)) {
        json_decref(receipt);
        return NULL;
    }
    return receipt;
}

/* ---- The files ---- */

/* The first two are made as they are written. */
enum { RECORD_MANIFEST, RECORD_TREE };

static int add_record(struct dray_step_run *step, const char *name, char *data, uint64_t length)
{
    struct dray_record *grown = realloc(step->records, (step->record_count + 1) * sizeof(*grown));
    char *path = dray_format(".dray/%s/%s", step->run->plan->dataset, name);

    if (grown)
        step->records = grown;
    if (!grown || !path || (!data && length != DRAY_NOT_KNOWN)) {
        free(path);
        free(data);
        return DRAY_NO_MEMORY;
    }
    step->records[step->record_count++] = (struct dray_record){path, data, length};
    return 0;
}

void dray_records_free(struct dray_step_run *step)
{
    for (size_t i = 0; i < step->record_count; i++) {
        free((void *)(uintptr_t)step->records[i].path);
        free((void *)(uintptr_t)step->records[i].data);
    }
    free(step->records);
    step->records = NULL;
    step->record_count = 0;
}

static int hash_piece(void *arg, const void *data, size_t length)
{
    return dray_digest_add(arg, data, length);
}

static int hash_manifest(const struct dray_step_run *step,
                         char ret_manifest[static DRAY_SHA256_HEX])
{
    struct dray_digest *digest = dray_digest_new(DRAY_SHA256);
    uint8_t sha256[DRAY_SHA256_BYTES];
    int result = digest ? dray_digest_start(digest) : DRAY_NO_MEMORY;

    if (result == 0)
        result = dray_record_manifest(step, hash_piece, digest);
    if (result == 0)
        result = dray_digest_end(digest, sha256);
    dray_digest_free(digest);
    if (result == 0)
        dray_hex(sha256, sizeof(sha256), ret_manifest);
    return result;
}

int dray_records_build(struct dray_step_run *step, char ret_manifest[static DRAY_SHA256_HEX],
                       json_t **ret_receipt, struct dray_error *error)
{
    int result = dray_record_digests(step, error);

    if (result != 0)
        return result;
    if (hash_manifest(step, ret_manifest) != 0 ||
        add_record(step, "manifest-sha256.txt", NULL, DRAY_NOT_KNOWN) != 0 ||
        add_record(step, "tree.jsonl", NULL, DRAY_NOT_KNOWN) != 0)
        return dray_fail_memory(error);
    *ret_receipt = receipt_json(step, ret_manifest);
    return *ret_receipt ? 0 : dray_fail_memory(error);
}

static char *readme_text(const struct dray_step_run *step)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer quoted = {.cap = 4096};
    const char *dataset = step->run->plan->dataset;
    char bytes[24], time[24];

    /* Within single quotes a shell takes everything as it is but the quote itself. */
    for (const char *at = dataset; *at; at++)
        dray_buffer_add(&quoted, *at == '\'' ? "'\\''" : at, *at == '\'' ? 4 : 1);
    if (quoted.failed)
        return NULL;
    return dray_format("This directory was delivered by Dray on %s: dataset %s, %llu entries, %s.\n"
                       "\n"
                       "To check every file, in the directory that holds .dray:\n"
                       "\n"
                       "    sha256sum --quiet -c '.dray/%s/manifest-sha256.txt'\n"
                       "\n"
                       "receipt.json says where it came from, what was left out and by which rule; "
                       "tree.jsonl lists every\n"
                       "entry with its mode and links; delivered.json was written last. `dray "
                       "verify .` checks all of it.\n",
                       dray_time_print(dray_now(), time), dataset,
                       (unsigned long long)step->input->listed,
                       dray_size_print(step->input->bytes, bytes), quoted.data ? quoted.data : "");
}

int dray_records_seal(struct dray_step_run *step, const char *manifest, json_t *receipt,
                      const char *signature, struct dray_error *error)
{
    char *text = json_dumps(receipt, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    char time[24];

    if (add_record(step, "receipt.json", text, text ? strlen(text) : 0) != 0)
        return dray_fail_memory(error);
    if (signature) {
        char *copy = strdup(signature);
        if (add_record(step, "receipt.sig", copy, copy ? strlen(copy) : 0) != 0)
            return dray_fail_memory(error);
    }
    char *readme = readme_text(step);
    if (add_record(step, "README.txt", readme, readme ? strlen(readme) : 0) != 0)
        return dray_fail_memory(error);
    json_t *marker = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "version", FORMAT_VERSION,
                               "request_key", step->target->request_key, "job", step->run->job_id,
                               "dataset", step->run->plan->dataset, "manifest_sha256", manifest,
                               "time", dray_time_print(dray_now(), time));
    if (marker && step->staging.merged && json_object_set_new(marker, "merged", json_true()) != 0) {
        json_decref(marker);
        marker = NULL;
    }
    char *marker_text = marker ? json_dumps(marker, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    json_decref(marker);
    return add_record(step, "delivered.json", marker_text, marker_text ? strlen(marker_text) : 0) ==
                   0
               ? 0
               : dray_fail_memory(error);
}

/* ---- Services ---- */

int dray_service_may_commit(struct dray_ctx *ctx)
{
    struct dray_call *call = call_of(ctx);
    struct dray_step_run *step = call->step;
    char manifest[DRAY_SHA256_HEX];
    json_t *receipt = NULL, *reply = NULL;

    if (!step->digests || !step->target)
        return dray_fail(&call->error, DRAY_BUG, "plugin %s called may_commit outside of a push",
                         step->step->uses);
    if (dray_run_cancelled(step->run))
        return dray_fail(&call->error, DRAY_CANCELLED, "cancelled");
    dray_records_free(step);
    int result = dray_adopt_end(step, &call->error);
    dray_adopt_remove_kept(step);
    if (result == 0)
        result = dray_verdicts_told(step, &call->error);
    if (result == 0)
        result = dray_records_build(step, manifest, &receipt, &call->error);
    if (result == 0)
        result = dray_run_ask(
            step->run,
            json_pack("{s:s, s:s, s:s, s:O, s:I, s:I}", "request", "may_commit", "step",
                      step->step->id, "manifest_sha256", manifest, "receipt", receipt, "entries",
                      (json_int_t)step->input->listed, "bytes", (json_int_t)step->input->bytes),
            &reply, &call->error);
    if (result == 0)
        result =
            dray_records_seal(step, manifest, receipt,
                              json_string_value(json_object_get(reply, "signature")), &call->error);
    if (result == 0)
        step->committed = 1;
    json_decref(receipt);
    json_decref(reply);
    return result;
}

int dray_service_supersedes(struct dray_ctx *ctx, const char *job, const char *request_key,
                            const char *manifest_sha256)
{
    struct dray_call *call = call_of(ctx);
    struct dray_step_run *step = call->step;

    if (!step->target || step->committed)
        return dray_fail(&call->error, DRAY_BUG,
                         "plugin %s told what it supersedes outside of a push or too late",
                         step->step->uses);
    json_decref(step->superseded);
    step->superseded = json_pack("{s:s, s:s, s:s}", "job", job, "request_key", request_key,
                                 "manifest_sha256", manifest_sha256);
    if (!step->superseded)
        return dray_fail_memory(&call->error);
    /* Should this end between the exchange and the removal, whoever comes next has to know it. */
    return step->staging.old < 0 ? DRAY_OK
                                 : dray_made_note(&step->staging.made, step->staging.old,
                                                  DRAY_MADE_OLD, manifest_sha256, &call->error);
}

static int check_committed(struct dray_call *call)
{
    return call->step->committed
               ? 0
               : dray_fail(&call->error, DRAY_BUG, "plugin %s asked for records before may_commit",
                           call->step->step->uses);
}

int dray_service_record_list(struct dray_ctx *ctx, const struct dray_record **ret_records,
                             uint64_t *ret_count)
{
    struct dray_call *call = call_of(ctx);

    if (check_committed(call) != 0)
        return DRAY_BUG;
    *ret_records = call->step->records;
    *ret_count = call->step->record_count;
    return DRAY_OK;
}

struct pieces {
    struct dray_ctx *ctx;
    int (*fn)(struct dray_ctx *ctx, void *arg, const void *data, uint64_t size);
    void *arg;
    int result; /* what fn returned */
};

static int give_piece(void *arg, const void *data, size_t length)
{
    struct pieces *pieces = arg;

    pieces->result = pieces->fn(pieces->ctx, pieces->arg, data, length);
    return pieces->result;
}

int dray_service_record_bytes(struct dray_ctx *ctx, uint64_t index,
                              int (*fn)(struct dray_ctx *ctx, void *arg, const void *data,
                                        uint64_t size),
                              void *arg)
{
    struct dray_call *call = call_of(ctx);
    struct dray_step_run *step = call->step;
    struct pieces pieces = {.ctx = ctx, .fn = fn, .arg = arg};

    if (check_committed(call) != 0)
        return DRAY_BUG;
    if (index >= step->record_count)
        return dray_fail(&call->error, DRAY_BUG, "plugin %s asked for record %llu of %zu",
                         step->step->uses, (unsigned long long)index, step->record_count);
    const struct dray_record *record = &step->records[index];
    int result = record->data ? give_piece(&pieces, record->data, (size_t)record->length)
                 : index == RECORD_MANIFEST ? dray_record_manifest(step, give_piece, &pieces)
                                            : dray_record_tree(step, give_piece, &pieces);
    return result != 0 && pieces.result == 0 ? dray_fail_memory(&call->error) : result;
}

static int hold_piece(void *arg, const void *data, size_t length)
{
    struct dray_buffer *whole = arg;

    dray_buffer_add(whole, data, length);
    return whole->failed;
}

/* All of a list at once, for a push that wants it so. */
static int hold(struct dray_step_run *step, size_t index)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer whole = {.cap = RECORD_CAP};
    int result = index == RECORD_MANIFEST ? dray_record_manifest(step, hold_piece, &whole)
                                          : dray_record_tree(step, hold_piece, &whole);

    if (result != 0 || step->records[index].data)
        return result;
    step->records[index].length = whole.length;
    step->records[index].data = whole.data ? DRAY_TAKE(whole.data) : strdup("");
    return step->records[index].data ? 0 : DRAY_NO_MEMORY;
}

int dray_service_records(struct dray_ctx *ctx, const struct dray_record **ret_records,
                         uint64_t *ret_count)
{
    struct dray_call *call = call_of(ctx);
    int result = dray_service_record_list(ctx, ret_records, ret_count);

    for (size_t i = RECORD_MANIFEST; result == DRAY_OK && i <= RECORD_TREE; i++)
        if (!call->step->records[i].data && hold(call->step, i) != 0)
            result = dray_fail_memory(&call->error);
    return result;
}

int dray_service_confirm(struct dray_ctx *ctx, const char *key, const char *value)
{
    struct dray_call *call = call_of(ctx);
    struct dray_step_run *step = call->step;

    pthread_mutex_lock(&step->run->lock);
    if (!step->confirmation)
        step->confirmation = json_object();
    int result =
        step->confirmation ? json_object_set_new(step->confirmation, key, json_string(value)) : -1;
    pthread_mutex_unlock(&step->run->lock);
    return result == 0 ? DRAY_OK : dray_fail_memory(&call->error);
}
