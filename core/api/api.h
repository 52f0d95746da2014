/* SPDX-License-Identifier: MIT */
/*
 * core/api - every operation as request and response, one function each; the one place where it is
 * decided who may do what. Whoever calls (the CLI in-process now, a server later) gets the same
 * JSON. It knows nothing of transports and terminals.
 *
 * api.h - the operations. Embedded, the caller is the user and may do what the system lets the
 * process do.
 */
#ifndef DRAY_API_API_H
#define DRAY_API_API_H

#include <jansson.h>

#include "core/engine/engine.h"

struct dray_api_settings {
    const char *configuration;   /* a file; NULL: the system's, where there is one */
    const char *const *policies; /* directories beside the site's */
    size_t policy_count;
    const char *user; /* for whom; NULL: the caller */
    int unconfined;   /* run plugins without the sandbox */
    int interrupt_fd; /* as in struct dray_engine */
    void (*on_event)(void *arg, const json_t *event);
    void *arg;
};

struct dray_api;
/* Find the state directory (DRAY_STATE, else below XDG_STATE_HOME), plugins and policies. The store
 * is opened when first needed. The settings stay valid as long as the api. */
DRAY_MUST_CHECK int dray_api_open(const struct dray_api_settings *settings,
                                  struct dray_api **ret_api, struct dray_error *error);
void dray_api_close(struct dray_api *api);
void dray_api_closep(struct dray_api **api);

/* What to plan. */
struct dray_workflow_request {
    const char *file; /* a workflow file; or, when NULL: */
    const char
        *text; /* the workflow itself, its relative paths starting from the working directory */
    const char *dataset;     /* overrides the file's; NULL: the file's */
    const char *name;        /* what diagnostics call the text; NULL: as `dray push` prints it */
    const char *const *sets; /* name=value */
    size_t set_count;
    const char *listing; /* a list that stands for the dataset, "-": standard input; NULL: none */
    int from_catalog;    /* the catalog's list does */
    int advise;          /* notes go to diagnostics as well */
    int reads_only;      /* nothing is delivered: no push, and no policy */
};
/* All problems of the files go to diagnostics; then the result is not 0. */
DRAY_MUST_CHECK int dray_api_plan(struct dray_api *api, const struct dray_workflow_request *request,
                                  struct dray_diagnostics *diagnostics, struct dray_plan **ret_plan,
                                  struct dray_error *error);
/* The shape of `plan --json`: the plan, and what it will cost as far as that is known, with the
 * room at its targets. No store is made for it. */
DRAY_MUST_CHECK int dray_api_plan_json(struct dray_api *api, const struct dray_plan *plan,
                                       json_t **ret_json, struct dray_error *error);
DRAY_MUST_CHECK int dray_api_preview(struct dray_api *api,
                                     const struct dray_workflow_request *request,
                                     const struct dray_preview_request *preview, int fd,
                                     struct dray_diagnostics *diagnostics,
                                     struct dray_error *error);
/* Plan and deliver. *ret_job: the shape of `run --json`, also when a job failed; NULL when there is
 * no job. */
DRAY_MUST_CHECK int dray_api_run(struct dray_api *api, const struct dray_workflow_request *request,
                                 int again, struct dray_diagnostics *diagnostics, json_t **ret_job,
                                 struct dray_error *error);
/* What shows that a directory may be delivered into for the user of the settings, who is not the
 * caller: {"directory": its real path, "user", "by": "owner"|"group"|"acl"|"claim"|null, "file":
 * the name of what claims it}. */
DRAY_MUST_CHECK int dray_api_claim(struct dray_api *api, const char *directory,
                                   struct dray_diagnostics *diagnostics, json_t **ret_answer,
                                   struct dray_error *error);
/* Diagnose files: workflows, policies, recipes and configurations. 0 when none has an error. */
DRAY_MUST_CHECK int dray_api_check(struct dray_api *api, const char *const *files, size_t count,
                                   struct dray_diagnostics *diagnostics, struct dray_error *error);

struct dray_replay_request {
    const char *const *paths; /* files and directories of policies */
    size_t path_count;
    /* which jobs: */
    const char *dataset, *user; /* names; NULL: any */
    int64_t since, until;       /* created from the one on and before the other, ns; 0: no bound */
    size_t limit;               /* so many at most, the newest; 0: all */
};
/* What other policies would have done to past jobs: the shape of `policy replay --json`. */
DRAY_MUST_CHECK int dray_api_policy_replay(struct dray_api *api,
                                           const struct dray_replay_request *request,
                                           struct dray_diagnostics *diagnostics,
                                           json_t **ret_answer, struct dray_error *error);

struct dray_explain_request {
    const char *dataset;      /* a path or a name; NULL: not known */
    const char *target;       /* a path or a URL; NULL: not known */
    const char *user;         /* NULL: the caller */
    const char *path;         /* an entry of the dataset; NULL: none */
    int64_t size;             /* of it, bytes */
    const char *const *given; /* NAME=VALUE: facts that are so, whatever the rest says */
    size_t given_count;
};
/* What the policies in force say of a case: the shape of `policy explain --json` (docs/formats.md).
 */
DRAY_MUST_CHECK int dray_api_policy_explain(struct dray_api *api,
                                            const struct dray_explain_request *request,
                                            struct dray_diagnostics *diagnostics,
                                            json_t **ret_answer, struct dray_error *error);
/* Judge the tests of files, of all policies in directories, or (count 0) of the set in force: the
 * shape of `policy test --json`. DRAY_INVALID, with diagnostics and *ret_answer set, when one
 * fails.
 */
DRAY_MUST_CHECK int dray_api_policy_test(struct dray_api *api, const char *const *paths,
                                         size_t count, struct dray_diagnostics *diagnostics,
                                         json_t **ret_answer, struct dray_error *error);

/* JSON Schema (2020-12) of a kind of file: workflow, policy or recipe. The caller owns it. */
DRAY_MUST_CHECK int dray_api_schema(struct dray_api *api, const char *kind, json_t **ret_schema,
                                    struct dray_error *error);
/* The manual page of all plugins' options, `validate` included. */
DRAY_MUST_CHECK int dray_api_manual(struct dray_api *api, struct dray_buffer *out,
                                    struct dray_error *error);

/* A workflow to be written: a dataset, a target, and which part. Paths are as on the command line.
 */
struct dray_workflow_draft {
    const char *dataset, *to; /* to ends in `/`: a directory to deliver into */
    const char *const *include;
    size_t include_count;
    const char *const *exclude;
    size_t exclude_count;
};
/* The workflow that `dray push` stands for, as text; the caller frees it. */
DRAY_MUST_CHECK int dray_api_push_workflow(const struct dray_workflow_draft *draft, char **ret_text,
                                           struct dray_error *error);
/* The same workflow for somebody to go on from, with comments that say how: what `dray init`
 * writes. */
DRAY_MUST_CHECK int dray_api_init_workflow(const struct dray_workflow_draft *draft, char **ret_text,
                                           struct dray_error *error);
/* Diagnose a text before it is a file called `name`. 0 when there is no error. */
DRAY_MUST_CHECK int dray_api_check_text(struct dray_api *api, const char *name, const char *text,
                                        struct dray_diagnostics *diagnostics,
                                        struct dray_error *error);
/* Plan it as well, and look whether it could be delivered now: DRAY_INVALID also when its target is
 * taken. */
DRAY_MUST_CHECK int dray_api_try_text(struct dray_api *api, const char *name, const char *text,
                                      struct dray_diagnostics *diagnostics,
                                      struct dray_error *error);
/* Write a new file. DRAY_INVALID when there is something of that name; it is left as it is. */
DRAY_MUST_CHECK int dray_api_write_new(const char *file, const char *text,
                                       struct dray_error *error);

struct dray_jobs_request {
    const char *state, *dataset, *user; /* NULL: any */
    int64_t since;                      /* created at or after, ns */
    size_t limit;
};
/* [{"job", "dataset", "state", "created", "user", "reason"?, "targets": [...]}], newest first. */
DRAY_MUST_CHECK int dray_api_jobs(struct dray_api *api, const struct dray_jobs_request *request,
                                  json_t **ret_jobs, struct dray_error *error);
/* The shape of `show --json`. */
DRAY_MUST_CHECK int dray_api_show(struct dray_api *api, const char *job, json_t **ret_job,
                                  struct dray_error *error);

/* Have jobs cancelled: {"jobs": [a job as of dray_api_jobs, with "cancelled": was it this that
 * ended it?]}. DRAY_NOT_FOUND, and nothing is done, when one is unknown; DRAY_CONFLICT, with
 * *ret_jobs set, when one was delivered. */
DRAY_MUST_CHECK int dray_api_cancel(struct dray_api *api, const char *const *ids, size_t count,
                                    json_t **ret_jobs, struct dray_diagnostics *diagnostics,
                                    struct dray_error *error);

/* Remove what nobody needs of scratch, or say only what that is: {"dry_run", "items": [{"what",
 * "path", "why", "removed", "bytes", "until"?, "failed"?}], "removed_bytes", "kept_bytes"}.
 * DRAY_PERMANENT, with *ret_answer set, when some of it could not be. */
DRAY_MUST_CHECK int dray_api_gc(struct dray_api *api, int dry, json_t **ret_answer,
                                struct dray_diagnostics *diagnostics, struct dray_error *error);

/* Save a recipe's file, or the filters and transforms of a workflow, as the next version of a
 * recipe: {"recipe", "version", "new"}; `new` is false when the newest version has this text. */
DRAY_MUST_CHECK int dray_api_recipe_save(struct dray_api *api, const char *name, const char *file,
                                         struct dray_diagnostics *diagnostics, json_t **ret_saved,
                                         struct dray_error *error);
/* [{"recipe", "version", "digest", "saved", "by", "summary"?}], by name, the newest first. */
DRAY_MUST_CHECK int dray_api_recipe_list(struct dray_api *api, json_t **ret_list,
                                         struct dray_error *error);
/* The same of one, NAME or NAME@VERSION, with its "text". DRAY_NOT_FOUND. */
DRAY_MUST_CHECK int dray_api_recipe_show(struct dray_api *api, const char *reference,
                                         json_t **ret_recipe, struct dray_error *error);
/* One version, or all of NAME: {"recipe", "version"?, "deleted": how many}. DRAY_NOT_FOUND. */
DRAY_MUST_CHECK int dray_api_recipe_delete(struct dray_api *api, const char *reference,
                                           json_t **ret_deleted, struct dray_error *error);

/* A dataset of the catalog, as its commands print it: {"id", "name", "type"?, "external_id"?,
 * "owner"?, "tags"?, "labels"?, "source"?, "entries"?, "bytes"?, "listed"?, "created", "updated"}.
 * What is said of one is a line of an import (docs/formats.md). A reference is NAME, TYPE/NAME or
 * id:N: DRAY_NOT_FOUND, or DRAY_INVALID when several types have the name.
 *
 * Add one; change one, where labels that are not named stay; forget one. */
DRAY_MUST_CHECK int dray_api_dataset_add(struct dray_api *api, json_t *said, json_t **ret_dataset,
                                         struct dray_error *error);
DRAY_MUST_CHECK int dray_api_dataset_set(struct dray_api *api, const char *reference, json_t *said,
                                         json_t **ret_dataset, struct dray_error *error);
DRAY_MUST_CHECK int dray_api_dataset_delete(struct dray_api *api, const char *reference,
                                            json_t **ret_deleted, struct dray_error *error);
/* One, with its "files" where they are known: [{"path", "path_b64"?, "size", "sha256"?, "md5"?}].
 */
DRAY_MUST_CHECK int dray_api_dataset_show(struct dray_api *api, const char *reference,
                                          json_t **ret_dataset, struct dray_error *error);
struct dray_datasets_request {
    const char *type, *tag, *owner, *external_id; /* NULL: any */
};
/* By name, then type. */
DRAY_MUST_CHECK int dray_api_dataset_list(struct dray_api *api,
                                          const struct dray_datasets_request *request,
                                          json_t **ret_list, struct dray_error *error);
/* Add or change those of a file of JSON lines ("-": standard input), all or none: {"file", "added",
 * "changed", "files"}. What is wrong with lines goes to diagnostics. */
DRAY_MUST_CHECK int dray_api_dataset_import(struct dray_api *api, const char *name,
                                            struct dray_diagnostics *diagnostics,
                                            json_t **ret_imported, struct dray_error *error);

/* Read all of a dataset and compare it with the catalog's list of its files: {"id", "name", "type",
 * "listed", "verdict": "intact"|"damaged", "entries", "bytes", "digests", "differences": [{"what":
 * "missing"|"changed"|"extra", "path", "path_b64"?, "why"?}]}. DRAY_INTEGRITY when damaged
 * (*ret_verdict is set then too). `record`: of one without a list, what was read becomes the list:
 * the verdict is "recorded". */
DRAY_MUST_CHECK int dray_api_dataset_verify(struct dray_api *api, const char *reference, int record,
                                            struct dray_diagnostics *diagnostics,
                                            json_t **ret_verdict, struct dray_error *error);

/* Check a delivery as its recipient: {"directory", "verdict": "intact"|"damaged", "datasets":
 * [{"dataset", "job", "time", "signed", "entries", "bytes", "problems": [{"path", "problem"}]}]}.
 * DRAY_INTEGRITY when damaged (*ret_verdict is set then too). */
DRAY_MUST_CHECK int dray_api_verify(const char *directory, json_t **ret_verdict,
                                    struct dray_error *error);

/* The policies in force: {"set", "signed_by"?, "policies": [{"policy", "revision", "digest",
 * "file", "directory", "owner"?, "rules": {"enforce", "warn", "audit"}, "first_ruled"?}]}. What
 * would deny a delivery is an error here too. */
DRAY_MUST_CHECK int dray_api_policy_list(struct dray_api *api, struct dray_diagnostics *diagnostics,
                                         json_t **ret_set, struct dray_error *error);
/* Check the policies of a directory and sign them with the private key of a file: {"directory",
 * "policies", "signed_by"}. */
DRAY_MUST_CHECK int dray_api_policy_sign(struct dray_api *api, const char *directory,
                                         const char *key_file, struct dray_diagnostics *diagnostics,
                                         json_t **ret_signed, struct dray_error *error);
/* Make a new pair of keys, FILE and FILE.pub: {"key", "private", "public"}. */
DRAY_MUST_CHECK int dray_api_policy_key(const char *file, json_t **ret_key,
                                        struct dray_error *error);

/* Borrowed until the api closes. */
struct dray_registry *dray_api_plugins(struct dray_api *api);

#endif
