/* SPDX-License-Identifier: MIT */
/*
 * core/plan - from a workflow and the policies that match to a plan: the DAG that will run, every
 * step with its origin, checked as a whole before anything runs. It does not know how a plan is
 * run; what only a plugin can say it asks through an interface that the caller provides.
 *
 * plan.h - the plan, and the one function that makes it.
 */
#ifndef DRAY_PLAN_PLAN_H
#define DRAY_PLAN_PLAN_H

#include <jansson.h>

#include "core/base/sign.h"
#include "core/conf/node.h"
#include "core/plugin/plugin.h"

/* What a step does. */
enum dray_step_role {
    DRAY_STEP_SOURCE,
    DRAY_STEP_VALIDATE, /* built in: names, counts, digests of a manifest */
    DRAY_STEP_FILTER,
    DRAY_STEP_TRANSFORM,
    DRAY_STEP_GUARD, /* built in: a policy's limit, before each push */
    DRAY_STEP_PUSH,
};
/* How strictly an injected step holds: enforce does it, warn records and tells the user, audit
 * records. */
enum dray_mode { DRAY_MODE_ENFORCE, DRAY_MODE_WARN, DRAY_MODE_AUDIT };

struct dray_origin {
    char *file; /* NULL: Dray itself added the step */
    uint32_t line;
    char *policy; /* and rule: the step was injected by them; else NULL */
    char *rule;
    char *message; /* the rule's message to users; NULL: none */
    char *recipe;  /* "ocean@2": the step is one of a recipe's, and file is its text; else NULL */
};

struct dray_retry {
    uint32_t tries;      /* at least 1 */
    int64_t backoff;     /* ns */
    int64_t max_backoff; /* ns */
};

struct dray_step {
    char *id;
    char *uses; /* "filter/glob", "validate", "guard" */
    enum dray_step_role role;
    enum dray_mode mode;
    char *file;   /* the plugin's; NULL for what is built in */
    char *digest; /* of that file */
    char *version;
    json_t *with; /* checked options with their defaults */
    json_t
        *places; /* of a workflow's own step: where elements of its lists are written, in the file
                    of its origin: {OPTION: [[line, column, width]]}. Not in the JSON; may be NULL
                  */
    char *revision; /* of a source: what it said of the dataset when planning; NULL for others */
    size_t *needs;  /* steps whose trees it takes, ascending */
    size_t needs_count;
    size_t *after; /* steps that must have ended well before */
    size_t after_count;
    int64_t timeout, stall; /* ns */
    struct dray_retry retry;
    struct dray_origin origin;
    int64_t rank; /* order among the workflow's own steps, where several could come next; -1: it is
                     not known, or a policy's */
};

/* Beside what a probe finds: the place was not found, as it need not be where a list stands for the
 * dataset, so that nothing was looked at. */
#define DRAY_UNSEEN (DRAY_OCCUPIED + 1u)

/* One push step and what is known of where it delivers. */
struct dray_plan_target {
    size_t step;
    uint32_t target_type;
    char *uri, *host, *path, *parent,
        *name; /* as struct dray_target; NULL where it does not apply */
    char request_key[65];
    /* what the probe found, at planning */
    uint32_t presence; /* DRAY_ABSENT, ...; DRAY_UNSEEN */
    char *found_key, *found_job, *found_time, *found_what, *found_note;
    uint64_t found_entries, found_bytes; /* of a delivery */
    int goes_over;  /* the push puts its own in the place of that: 1, or into it: DRAY_GOES_INTO */
    int free_known; /* how much room there is; not in the JSON */
    uint64_t free_bytes;
};

struct dray_plan_policy {
    char *policy, *file, *digest;
    int64_t revision;
    char *directory, *text; /* its real path; what was read. NULL after dray_plan_parse */
};

struct dray_plan {
    char *name;
    char *workflow;   /* the text, as it was read; NULL after dray_plan_parse */
    char *dataset;    /* its name: one path segment */
    char *dataset_id; /* what identifies it: the real path of a path given as dataset, id:N of one
                         in the catalog */
    char *revision;   /* of the source; of several, a digest of their revisions */
    char *symlinks;   /* keep, skip, copy, fail */
    int keep_empty_dirs;
    struct dray_step *steps; /* sorted so that a step comes after all it needs */
    size_t step_count;
    struct dray_plan_target *targets;
    size_t target_count;
    struct dray_plan_policy
        *policies; /* every file of the set, also those that do not match here */
    size_t policy_count;
    json_t *facts; /* what rules were judged by: an object for each dataset that is read, with the
                      facts of user and actor (condition.h); those of targets stand in targets */
    json_t *findings; /* what rules said that changed no step: [{"policy", "rule", "mode", "step",
                         "kind": "allow"|"exception", "what"}] */
    char policy_set_digest[65];
    char policy_signer[DRAY_KEY_ID_BYTES]; /* the key that signed the set; empty: none was asked for
                                            */
    int counted;             /* the sources listed their entries when they were planned: */
    uint64_t entries, bytes; /* how much that was. Not in the JSON */
    char digest[65]; /* SHA-256 of the canonical JSON of what will be done; not of where it is
                        written down */
};

/* What only plugins can say. `ask` gets {"dataset": {"name"}, "listed"?: true, "steps": [{"id",
 * "uses", "file", "digest", "with", "identify"?: true, "describe"?: true, "entries"?: [{"path",
 * "type", "bytes"}]}]} and answers {"steps": [{"problems": [{"option", "index", "offset",
 * "message"}], "advice": [as problems, "instead"?], "error"?, "revision"?,
 * "entries"?, "bytes"?, "target"?: {"type", "uri", "host", "path", "parent", "name"}, "presence"?:
 * {"state", "request_key", "job", "time", "what", "free_bytes"?}, "verdicts"?: [{"verdict":
 * "keep"|"drop", "option", "index"}]}]} in the same order: `problems` are faults inside option
 * values, `advice` what is right but may not be meant, `error` is anything else. When `listed`, a
 * target that is not there is described all the same. */
struct dray_asker {
    int (*ask)(void *arg, const json_t *request, json_t **ret_answer, struct dray_error *error);
    void *arg;
};

/* Saved recipes. `find` gives the text (the caller frees it) and the version of one, version 0
 * being the newest; DRAY_NOT_FOUND when there is none. `list` gives [{"name", "versions":
 * [numbers]}], to say what there is instead. */
struct dray_recipes {
    int (*find)(void *arg, const char *name, int64_t version, char **ret_text, int64_t *ret_version,
                struct dray_error *error);
    int (*list)(void *arg, json_t **ret_list, struct dray_error *error);
    void *arg;
};

/* Datasets that have a name. `find` gives {"id", "name", "type"?, "owner"?, "tags"?, "labels"?,
 * "source"?} of one, which the caller owns; DRAY_NOT_FOUND, or DRAY_INVALID for a name that several
 * have or that is none. `sharing` gives the list of all whose source is that one, or leads to the
 * same file or directory, lies above it or below it, with {"overlap": "same"|"above"|"below"}; the
 * caller owns it, also after a failure. */
struct dray_catalog {
    int (*find)(void *arg, const char *reference, json_t **ret_dataset, struct dray_error *error);
    int (*sharing)(void *arg, const char *source, json_t **ret_list, struct dray_error *error);
    void *arg;
};

/* The highest revision of a policy that ever ruled. */
struct dray_policy_ruled {
    int64_t revision;
    char digest[65]; /* of the file that was first to rule with it */
    int64_t since;   /* when that was, ns since 1970 */
};
/* What ruled before. `highest` says it of one policy of one directory (its real path): 1; 0 when it
 * never ruled; or a class. */
struct dray_policy_history {
    int (*highest)(void *arg, const char *directory, const char *policy,
                   struct dray_policy_ruled *ret_ruled, struct dray_error *error);
    void *arg;
};

struct dray_plan_request {
    const char *workflow_name; /* what diagnostics call it */
    const char *workflow_text;
    size_t workflow_length;
    const char *workflow_base; /* absolute directory that relative paths in the file start from */
    const char *dataset; /* of the command line, overrides the file's; NULL: the file's. A path or a
                            catalog name */
    const char *dataset_base; /* absolute directory that a relative one starts from (the working
                                 directory) */
    const char *const *sets;  /* "name=value" of --set */
    size_t set_count;
    const char *const *policy_directories; /* every *.yaml of each, in byte order of names; a
                                              missing one is an error unless optional */
    size_t policy_directory_count;
    const char *const *policy_files; /* read after those of the directories */
    size_t policy_file_count;
    int first_policy_optional;  /* policy_directories[0] need not exist */
    int first_policy_mandatory; /* and it holds at least one policy */
    const struct dray_key
        *policy_key; /* signs every directory; NULL: signatures are not looked at */
    struct dray_policy_history policy_history; /* highest NULL: nothing is known */
    const char *user, *actor;                  /* names */
    const char *role;                          /* user, operator, admin */
    int64_t now;                               /* ns since 1970, for exceptions; 0: the clock's */
    int listed; /* a list stands for the dataset, which need not be there; nor need the targets */
    int reads_only; /* nothing is delivered: the workflow needs no push */
    int advise;     /* notes on what is right but may not be meant are wanted too */
    struct dray_registry *registry;
    struct dray_asker asker;
    const struct dray_recipes *recipes; /* NULL: none can be had */
    const struct dray_catalog *catalog; /* likewise */
    const json_t *sources; /* the site's: {NAME: {"with": options of source/command}}; NULL: none */
    const char *durability; /* of a push/hpfs that says none; NULL: the plugin's */
};

/* Is a dataset written as a path, rather than as a name in the catalog? */
int dray_is_path(const char *text);
/* Is a dataset's source NAME:REMOTE, for a source that the site configured? */
int dray_is_remote(const char *text);

/* The name of the dataset that a real path is: its last part, of an archive without its suffix.
 * NULL: memory is out. */
char *dray_dataset_name(const char *real);

/* The first push of the plan that takes the same trees as this one; both are indexes. */
size_t dray_plan_alike(const struct dray_plan *plan, size_t push);

/* Make a plan. 0 and a plan; or DRAY_INVALID with all problems in `diagnostics` (workflow and
 * policies), sorted; DRAY_DENIED when policies stop it; other classes for what else fails. Nothing
 * runs on a plan with a problem. */
DRAY_MUST_CHECK int dray_plan_make(const struct dray_plan_request *request,
                                   struct dray_diagnostics *diagnostics,
                                   struct dray_plan **ret_plan, struct dray_error *error);
void dray_plan_free(struct dray_plan *plan);
void dray_plan_freep(struct dray_plan **plan);

/* Do the policies of now still let this plan, or one push of it (NULL: all), be delivered, as far
 * as they ask for no more than it holds? DRAY_DENIED with the rule when not. Of the request only
 * policies, registry, asker and clock are looked at. *ret_kept (the caller frees it) says what is
 * wrong with a set that cannot be used: the one that the plan was made under stays in force then.
 */
DRAY_MUST_CHECK int dray_plan_recheck(const struct dray_plan *plan, const char *push,
                                      const struct dray_plan_request *request, char **ret_kept,
                                      struct dray_error *error);

/* A stored plan's own steps under the policies of a request, whose asker is not asked: what they
 * put into the plan then is not in the new one. Its targets are said to be absent. Errors as
 * dray_plan_make, and DRAY_NOT_FOUND for a plugin that is there no longer. */
DRAY_MUST_CHECK int dray_plan_renew(const struct dray_plan *plan,
                                    const struct dray_plan_request *request,
                                    struct dray_diagnostics *diagnostics,
                                    struct dray_plan **ret_plan, struct dray_error *error);

/* The plan as JSON and back: what `dray plan --json` prints, jobs keep and a runner gets.
 * {"version", "digest", "name", "dataset": {"name", "id", "revision"}, "tree", "steps": [{"id",
 * "uses", "needs": [ids], "after", "with", "mode", "timeout", "stall", "retry", "rank"?, "plugin":
 * {"file", "digest", "version"}, "origin": {"file", "line", "policy", "rule", "message",
 * "recipe"}}], "targets": [...], "policies": [{"policy", "revision", "digest", "file"}],
 * "policy_set", "policy_signer"?, "facts", "findings"}. */
DRAY_MUST_CHECK json_t *dray_plan_json(const struct dray_plan *plan);
DRAY_MUST_CHECK int dray_plan_parse(const json_t *json, struct dray_plan **ret_plan,
                                    struct dray_error *error);
/* `dray plan` for people: a line a step with what it does, needs and origin, targets, policies and
 * the digest. */
void dray_plan_print(const struct dray_plan *plan, struct dray_buffer *out);
/* The policies that a request is planned under, read and judged as for a plan: {"set",
 * "signed_by"?, "policies": [{"policy", "revision", "digest", "file", "directory", "owner"?,
 * "rules": {"enforce", "warn", "audit"}, "first_ruled"?}]}. Only what concerns policies is read of
 * the request. */
DRAY_MUST_CHECK int dray_policy_set_json(const struct dray_plan_request *request,
                                         struct dray_diagnostics *diagnostics, json_t **ret_set,
                                         struct dray_error *error);
/* Check the policies of a directory, then write the list of them and its signature into it
 * (docs/formats.md); *ret_count: how many there are. DRAY_INVALID when one has a problem. */
DRAY_MUST_CHECK int dray_policy_sign(const char *directory, const struct dray_key *key,
                                     struct dray_registry *registry, const struct dray_asker *asker,
                                     struct dray_diagnostics *diagnostics, size_t *ret_count,
                                     struct dray_error *error);
/* Put the fact that NAME=VALUE says into the object, a second value of it beside the first. 0, or
 * DRAY_INVALID with the reason. */
DRAY_MUST_CHECK int dray_facts_set(json_t *facts, const char *text, struct dray_error *error);
/* Put what the catalog says of a dataset into the object of its facts, and which row that is where
 * it is one that overlaps. -1 when memory is out. */
DRAY_MUST_CHECK int dray_facts_of_dataset(json_t *facts, const json_t *dataset);
/* A case that somebody describes. */
struct dray_policy_case {
    json_t *facts;                /* of one dataset at one target, with those of user and actor */
    json_t *others;               /* a list of the same, of what overlaps with it; NULL: nothing */
    const char *path;             /* an entry; NULL: none */
    int64_t size;                 /* of it, bytes */
    int64_t total_bytes, entries; /* of the delivery; -1: not known */
};
/* What the policies of a request say of a case:
 * {"facts", "rules": [{"policy", "rule", "mode", "file", "line", "bearing": "holds"|"not-about"|
 * "excepted"|"unknown"|"denies", "why", "does": [...], "verdict"?, "by"?}], "verdict":
 * "keep"|"drop"| "deny", "rule"?}. Of the request only its policies, registry, asker and clock are
 * looked at. Errors as dray_plan_make. */
DRAY_MUST_CHECK int dray_policy_explain(const struct dray_plan_request *request,
                                        const struct dray_policy_case *of,
                                        struct dray_diagnostics *diagnostics, json_t **ret_answer,
                                        struct dray_error *error);
/* Read policies and judge their tests: *ret_answer is [{"policy", "file", "revision", "digest",
 * "tests": [{"name", "line", "passed", "expected", "seen"}]}]. DRAY_INVALID with `diagnostics`
 * where a test fails or a file has a problem; *ret_answer is set then too, but for DRAY_NO_MEMORY.
 */
DRAY_MUST_CHECK int dray_policy_test(const struct dray_plan_request *request,
                                     struct dray_diagnostics *diagnostics, json_t **ret_answer,
                                     struct dray_error *error);
/* The text of a recipe to be saved under `name`, which the caller frees, and nothing is wrong with
 * it: the file itself where it is a recipe, or one made of the filters and transforms of a
 * workflow. */
DRAY_MUST_CHECK int dray_recipe_text(const char *path, const char *name,
                                     struct dray_registry *registry, const struct dray_asker *asker,
                                     const struct dray_recipes *recipes,
                                     struct dray_diagnostics *diagnostics, char **ret_text,
                                     struct dray_error *error);
/* Is it a name for a recipe: [a-z0-9][a-z0-9_-]*, at most 64 bytes? */
int dray_is_recipe_name(const char *text);
/* Diagnose a file without planning: workflow, policy or recipe, told apart by its keys. */
DRAY_MUST_CHECK int dray_check_file(const char *path, struct dray_registry *registry,
                                    const struct dray_asker *asker,
                                    const struct dray_recipes *recipes,
                                    struct dray_diagnostics *diagnostics, struct dray_error *error);
/* The same of a text that is not in a file yet: `name` is what diagnostics call it, `base` the
 * absolute directory that its relative paths start from. */
DRAY_MUST_CHECK int dray_check_text(const char *name, const char *text, const char *base,
                                    struct dray_registry *registry, const struct dray_asker *asker,
                                    const struct dray_recipes *recipes,
                                    struct dray_diagnostics *diagnostics, struct dray_error *error);

/* JSON Schema (2020-12) of whole files: `kind` is workflow, policy or recipe. Every plugin that the
 * registry finds and does not refuse has its options in it. DRAY_INVALID for another kind. */
DRAY_MUST_CHECK int dray_file_schema(const char *kind, struct dray_registry *registry,
                                     json_t **ret_schema, struct dray_error *error);

/* The option of the built-in step `validate`, in the shape of a plugin's table, whose kind is 0.
 * NULL when memory is out. */
DRAY_MUST_CHECK const struct dray_plugin_info *dray_validate_table(struct dray_arena *arena);

/* Does a push go over what is there? 0, 1 or DRAY_GOES_INTO, of the JSON of a presence. */
int dray_goes_of_json(const json_t *presence);

#endif
