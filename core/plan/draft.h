/* SPDX-License-Identifier: MIT */
/*
 * draft.h - what the files of this layer share while a plan is made: the workflow and the policies
 * as they were read, every part with the place where it is written. What a draft points to lives in
 * its arena, in its documents or in the request; its JSON is its own. Only dray_draft_free ends it.
 */
#ifndef DRAY_PLAN_DRAFT_H
#define DRAY_PLAN_DRAFT_H

#include "core/base/digest.h"
#include "core/plan/condition.h"
#include "core/plan/keys.h"
#include "core/plan/plan.h"

/* More than a person writes; the work to be done grows with their product. */
#define DRAY_WORKFLOW_MAX_STEPS 500
#define DRAY_PLAN_MAX_STEPS     2000

/* Longest id of a step, name of a policy, and id of a rule. */
#define DRAY_ID_MAX 64

struct dray_rule;
struct dray_policy;
struct dray_recipe_use;

/* What a push said of where it delivers, and what its probe found. */
struct dray_draft_target {
    uint32_t type;
    const char *uri, *host, *path, *parent, *name;
    uint32_t presence;
    const char *found_key, *found_job, *found_time, *found_what, *found_note;
    uint64_t found_entries, found_bytes;
    int goes_over;
    int free_known;
    uint64_t free_bytes;
};

/* A step as somebody wrote it, or one that is implied. */
struct dray_draft_step {
    const char *id;   /* NULL: it has none that can be used */
    const char *uses; /* as written; NULL: it says nothing that can be used */
    enum dray_step_role role;
    int known;                             /* `uses` was understood: role holds */
    const struct dray_plugin_info *plugin; /* NULL: built in, or there is none of that name */
    const struct dray_node *node;          /* NULL: implied */
    const struct dray_node *with_node;
    const struct dray_rule *rule; /* the rule that injects it; NULL: the workflow's */
    struct dray_recipe_use *use;  /* the step of the workflow that it is a part of; NULL: none */
    const struct dray_origin *origin; /* of a stored plan's step, which is written nowhere now */
    struct dray_place place;          /* of the step as a whole */
    struct dray_place uses_place;
    json_t *entries;       /* of an injected step: paths to ask it about; NULL: none */
    json_t *verdicts;      /* and its answers */
    json_t *with;          /* checked options; NULL: they have problems */
    json_t *trial;         /* then: those that have none, if a plugin can be asked about these */
    size_t rank;           /* order among steps that could run at the same time */
    size_t *needs, *after; /* indexes of steps */
    size_t needs_count, after_count;
    int64_t timeout, stall; /* ns */
    struct dray_retry retry;
    const char *reads, *reads_name; /* of a workflow's own source: the real path, and its name */
    /* from the answer */
    const char *revision; /* of a source */
    int counted;          /* a source that listed entries to say it; and how much: */
    uint64_t counted_entries, counted_bytes;
    struct dray_draft_target *target; /* of a push */
};

/* A name that a workflow may use as ${name}. */
struct dray_parameter {
    const char *name;
    enum { DRAY_PARAMETER_STRING, DRAY_PARAMETER_INT, DRAY_PARAMETER_BOOL } type;
    const char *value; /* NULL: it has none */
    struct dray_place place;
    int set; /* on the command line */
};

struct dray_parameters {
    struct dray_parameter *items;
    size_t count;
};

/* A recipe: one that the workflow uses, or the file that is checked. */
struct dray_recipe {
    struct dray_document *document;
    const char *label; /* "ocean@2" */
    const char *file;  /* what diagnostics call it: "recipe/ocean@2" */
    struct dray_place place;
    const struct dray_node *parameters; /* NULL: none */
    const struct dray_node *steps;      /* NULL: it has none that can be used */
    int has_problems;                   /* apart from its steps */
};

/* A step of the workflow that stands for a recipe's steps. */
struct dray_recipe_use {
    const struct dray_recipe *recipe; /* NULL: there is none */
    const char *id;                   /* NULL: it has none that can be used */
    const struct dray_node *node;
    struct dray_place place, uses_place;
    size_t last; /* of its steps, which stand one behind the other */
    int noted;   /* that the recipe has a problem */
};

struct dray_rule {
    const struct dray_policy *policy;
    const char *id; /* NULL: it has none that can be used */
    enum dray_mode mode;
    const char *message; /* NULL: none */
    struct dray_place place;
    const struct dray_condition *when; /* NULL: always */
    struct dray_draft_step *inject;
    size_t inject_count;
    json_t *limit;                      /* options of the guard; NULL: no limit */
    const struct dray_condition *allow; /* must hold where the rule does; NULL: nothing must */
};

/* A rule of its own policy is not applied to a user, a dataset or both. */
struct dray_exception {
    const char *rule;
    const char *user, *dataset; /* NULL: any; never both */
    const char *until, *reason; /* the last day, as written */
    int64_t end;                /* ns: from here on the rule applies */
    struct dray_place place;
};

enum dray_expectation { DRAY_EXPECT_KEEP, DRAY_EXPECT_DROP, DRAY_EXPECT_DENY };

/* What a policy must say of one case. */
struct dray_policy_test {
    const char *name;
    struct dray_place place;
    json_t *facts;                /* what is given */
    const char *path;             /* an entry; NULL: none */
    int64_t size;                 /* of it, bytes */
    size_t entry;                 /* its number among those that filters are asked about */
    int64_t total_bytes, entries; /* of the delivery; -1: not given */
    enum dray_expectation verdict;
    const char *rule; /* that decides; NULL: any */
    struct dray_place verdict_place;
    /* what it came to */
    int judged, met;
    enum dray_expectation seen;
    const struct dray_rule *decided; /* NULL: no rule did */
    const char *why;                 /* which part of the rule; NULL: it says itself */
    int unknown;                     /* `why` is a fact that is not given */
};

struct dray_policy {
    struct dray_document *document;
    const char *name; /* NULL: it has none that can be used */
    const char *file;
    const char *base; /* absolute directory that relative paths in it start from */
    char digest[DRAY_SHA256_HEX];
    int64_t revision;
    struct dray_place place;
    const char *owner; /* NULL: none */
    struct dray_rule *rules;
    size_t rule_count;
    struct dray_exception *exceptions;
    size_t exception_count;
    struct dray_policy_test *tests;
    size_t test_count;
};

struct dray_draft {
    struct dray_arena arena;
    struct dray_diagnostics *diagnostics;
    struct dray_registry *registry;
    struct dray_error *error; /* where failures that are nobody's mistake are recorded */
    size_t errors_before;     /* problems there were before the file at hand was parsed */
    int checking;             /* no plan is made: parameters may lack values, there is no dataset */
    int listed;               /* a list stands for the dataset, which need not be there */
    int advise;               /* plugins' advice is wanted */
    int reads_only;           /* nothing is delivered */
    const struct dray_plugin_info *validate; /* option table of the built-in step */

    /* the workflow */
    struct dray_document *document;
    const char *file, *base;
    const char *name; /* NULL: none */
    const struct dray_node *dataset_node;
    struct dray_place top;             /* of the workflow as a whole */
    struct dray_parameters parameters; /* that ${} stands for: the workflow's, or a recipe's */
    int parameters_lost;               /* they are written where they could not be read */
    size_t expanded;                   /* bytes that ${} has grown to */
    int unresolved;                    /* a parameter without value was met, while checking */
    const char *symlinks;
    int keep_empty_dirs;
    struct dray_draft_step *steps; /* with room for those that are implied */
    size_t step_count;
    int has_sources; /* of the user's own */

    /* the dataset; id NULL: not known */
    const char *dataset, *dataset_id;
    const char *dataset_path;                /* where its bytes are; NULL: not known */
    const char *source_name, *source_remote; /* or what to bring by which of the site's sources */
    const json_t *sources;                   /* these; NULL: none */
    const char *durability;                  /* of a push/hpfs that says none; NULL: the plugin's */
    json_t *known; /* what the catalog says of it; NULL: it is not from there */
    const struct dray_catalog *catalog; /* NULL: none can be had */
    int dataset_is_archive;
    struct dray_place dataset_place;

    /* the policies */
    struct dray_policy **policies; /* each in the arena */
    size_t policy_count, policy_capacity;
    int policy_failed;   /* a problem was found in them */
    int policy_outdated; /* it is that one is older than what ruled: no check of the file shows that
                          */

    /* what rules are judged by */
    json_t *facts; /* of each dataset, with those of user and actor; NULL: not known yet */
    int64_t now;   /* ns since 1970 */
    json_t *entry; /* the first that rules' filters are asked about, before those of tests; NULL:
                      none */

    /* the recipes */
    const struct dray_recipes *saved; /* NULL: none can be had */
    struct dray_recipe **recipes;     /* each in the arena */
    size_t recipe_count, recipe_capacity;
};

#define dray_problem(DRAFT, PLACE, ...)                                                            \
    dray_diagnose((DRAFT)->diagnostics, PLACE, DRAY_SEVERITY_ERROR, __VA_ARGS__)

void dray_draft_free(struct dray_draft *draft);
/* A zeroed array, or a copy of text, in the arena; NULL with the error recorded. At least one byte
 * is there. */
DRAY_MUST_CHECK void *dray_draft_array(struct dray_draft *draft, size_t count, size_t size);
DRAY_MUST_CHECK const char *dray_draft_copy(struct dray_draft *draft, const char *text,
                                            size_t length);
DRAY_MUST_CHECK const char *dray_draft_format(struct dray_draft *draft, const char *format, ...)
    DRAY_FORMAT(2, 3);

/* [a-z0-9][a-z0-9_-]*, at most DRAY_ID_MAX bytes. */
int dray_is_id(const char *text, size_t length);
/* Read a scalar that must be such a name; `what` says whose in a message ("the step's id"). NULL
 * after a problem. */
const char *dray_draft_id(struct dray_draft *draft, const struct dray_node *node, const char *what);

/* After the problem that `key` is missing was reported: does it follow from another, since the key
 * is there under a name that is not known, or among those that were refused? Then it is not told.
 */
void dray_draft_follow(struct dray_draft *draft, const struct dray_node *node, const char *key,
                       enum dray_mapping mapping);

/* ---- parameters.c */

/* `parameters:` of the workflow, and --set. */
DRAY_MUST_CHECK int dray_parameters_read(struct dray_draft *draft, const char *const *sets,
                                         size_t set_count);
/* A mapping `parameters:` (NULL: none), with the defaults as values. */
DRAY_MUST_CHECK int dray_parameters_declared(struct dray_draft *draft, const struct dray_node *node,
                                             struct dray_parameters *parameters);
/* Give a recipe's parameters the values of `with` (NULL: none), in which ${} stands for those of
 * the workflow. `recipe` is its name in messages; one without value is reported at `with` or at
 * `place`. */
DRAY_MUST_CHECK int dray_parameters_give(struct dray_draft *draft, const char *recipe,
                                         const struct dray_node *with, struct dray_place place,
                                         const struct dray_parameters *parameters);
/* A scalar's text with ${name} replaced, on the heap; NULL after a problem, or with `error` set
 * when memory is out. For dray_options_check: the first argument is the draft. */
char *dray_parameters_expand(void *draft, const struct dray_node *scalar);
/* The same in the arena. */
const char *dray_draft_expand(struct dray_draft *draft, const struct dray_node *scalar);

/* ---- step.c */

/* Timeout, stall and retry of a step that says nothing of them. */
void dray_step_defaults(struct dray_draft_step *step);

/* Hang an error's hint on the problem reported last. */
void dray_step_hint(struct dray_draft *draft, const struct dray_error *error);
/* Read `uses` of a mapping and find its plugin. 0 also when there was a problem. */
DRAY_MUST_CHECK int dray_step_uses(struct dray_draft *draft, struct dray_draft_step *step,
                                   const struct dray_node *node);
/* Check `with` of a step whose `uses` was read. Paths start from base; ${} is replaced, and a
 * problem in a policy's step. */
DRAY_MUST_CHECK int dray_step_options(struct dray_draft *draft, struct dray_draft_step *step,
                                      const char *base);
/* Options of an implied source: `path`, and the plugin's defaults. */
DRAY_MUST_CHECK int dray_step_source(struct dray_draft *draft, struct dray_draft_step *step,
                                     const char *plugin, const char *path);
/* Options of an implied source that the site configured: `with` as it is written there, and what to
 * bring. */
DRAY_MUST_CHECK int dray_step_command(struct dray_draft *draft, struct dray_draft_step *step);
/* The value of the step's first option with the flag, as checked, and where it is written; NULL:
 * none. */
const char *dray_step_flagged(const struct dray_draft_step *step, uint32_t flag,
                              struct dray_place *ret_place);

/* ---- places.c */

/* Of each list in the step's `with` where its elements are written: {OPTION: [[line, column,
 * width]]}. NULL when memory is out. */
DRAY_MUST_CHECK json_t *dray_step_places(const struct dray_draft_step *step);

/* ---- workflow.c */

/* The document into the draft; problems are reported. Fills everything but the steps' needs and the
 * dataset. */
DRAY_MUST_CHECK int dray_workflow_read(struct dray_draft *draft, const char *const *sets,
                                       size_t set_count);

/* `timeout`, `stall` and `retry` of a step's mapping; what it does not say stays. */
void dray_step_limits(struct dray_draft *draft, struct dray_draft_step *step,
                      const struct dray_node *node);

/* ---- recipe.c, recipe_use.c */

/* A recipe to be read, which owns the document from now on. NULL when memory is out. */
DRAY_MUST_CHECK struct dray_recipe *dray_recipe_add(struct dray_draft *draft, const char *label,
                                                    const char *file,
                                                    struct dray_document *document);
/* Read all of a recipe but what its steps say: problems are reported. */
DRAY_MUST_CHECK int dray_recipe_read(struct dray_draft *draft, struct dray_recipe *recipe);
/* Read its steps behind those of the draft, which has room for them, with draft->parameters for
 * ${}. `use` is the step that they are a part of (NULL: the recipe stands for itself), `limits`
 * what they have of timeout, stall and retry unless they say it. */
DRAY_MUST_CHECK int dray_recipe_steps(struct dray_draft *draft, const struct dray_recipe *recipe,
                                      struct dray_recipe_use *use,
                                      const struct dray_draft_step *limits);
/* Does a step of a workflow use a recipe? */
int dray_recipe_is_used(const struct dray_node *step);
/* Find the recipe that a step of a workflow uses; problems are reported. */
DRAY_MUST_CHECK int dray_recipe_find(struct dray_draft *draft, const struct dray_node *step,
                                     struct dray_recipe_use **ret_use);
/* Its steps behind those of the draft; or one that is not known, where the recipe cannot be used.
 */
DRAY_MUST_CHECK int dray_recipe_expand(struct dray_draft *draft, struct dray_recipe_use *use);
/* Say at a step of the workflow, once, that its recipe has a problem. */
void dray_recipe_note(struct dray_draft *draft, struct dray_recipe_use *use);
/* Report steps of recipes whose ids are those of policies' rules. */
void dray_recipe_check_ids(struct dray_draft *draft);
/* A step as the workflow knows it: its id there, its mapping (NULL: it is implied, or follows
 * another of its recipe) and its place. */
const char *dray_step_written_id(const struct dray_draft_step *step);
const struct dray_node *dray_step_written(const struct dray_draft *draft, size_t index);
struct dray_place dray_step_written_place(const struct dray_draft_step *step);

/* ---- check.c */

/* What a file is meant to be, by its keys; an empty one is a workflow. */
enum dray_file_is {
    DRAY_FILE_IS_WORKFLOW,
    DRAY_FILE_IS_POLICY,
    DRAY_FILE_IS_RECIPE,
    DRAY_FILE_IS_CONFIGURATION,
    DRAY_FILE_IS_UNKNOWN,
};
enum dray_file_is dray_file_is(const struct dray_node *root);
/* Refuse, with one problem, to plan what is plainly another kind of file. */
DRAY_MUST_CHECK int dray_check_is_workflow(struct dray_draft *draft);

/* The problems of one file, without planning; both take the document. */
DRAY_MUST_CHECK int dray_check_workflow(struct dray_draft *draft, struct dray_document *document);
DRAY_MUST_CHECK int dray_check_recipe(struct dray_draft *draft, struct dray_document *document);
/* The plugins' problems as well, unless `result` says that it failed; and what all amount to. */
DRAY_MUST_CHECK int dray_check_end(struct dray_draft *draft, int result,
                                   const struct dray_asker *asker);
/* The directory that relative paths in a file start from; the caller frees it. NULL with errno. */
char *dray_check_directory(const char *path);

/* ---- recipe_cut.c */

/* The filters and transforms of a workflow without problems as the text of a recipe, which the
 * caller frees. NULL after a problem: they are no chain, or written so that they cannot be taken
 * out. */
DRAY_MUST_CHECK int dray_recipe_cut(struct dray_draft *draft, const char *name, char **ret_text);
/* Does a recipe's document hold the steps that were cut out of the workflow, nothing else and
 * nothing changed? */
int dray_recipe_is_cut(const struct dray_draft *draft, const struct dray_document *recipe);

/* ---- wire.c */

/* Who needs whom: defaults, the implied source and validate steps; cycles, dead ends, unknown ids
 * are reported. */
DRAY_MUST_CHECK int dray_workflow_wire(struct dray_draft *draft);

/* ---- dataset.c */

/* What is delivered: by the command line (text from base; NULL: not given), else by the workflow,
 * else by its one source. A fault of the command line is an error, one of the file a problem. */
DRAY_MUST_CHECK int dray_dataset_find(struct dray_draft *draft, const char *text, const char *base);
/* What the workflow's own sources read, by real path: the same place is the same request, however
 * it is spelled. One that is not there stays as it is, for its plugin to refuse. */
DRAY_MUST_CHECK int dray_dataset_sources(struct dray_draft *draft);

/* ---- policy.c, rule.c */

/* Read the policies of a request. */
DRAY_MUST_CHECK int dray_policies_read(struct dray_draft *draft,
                                       const struct dray_plan_request *request);
/* Is a file in a directory of policies meant to be one, by its name? */
int dray_policy_is_yaml(const char *name);
/* A policy to be read; its document is the draft's once it is set. NULL when memory is out. */
DRAY_MUST_CHECK struct dray_policy *dray_policy_add(struct dray_draft *draft, const char *file,
                                                    const char *base);
/* Read one policy that is parsed already. */
DRAY_MUST_CHECK int dray_policy_read(struct dray_draft *draft, struct dray_policy *policy);
/* Read one rule of policy->rules. */
DRAY_MUST_CHECK int dray_rule_read(struct dray_draft *draft, struct dray_policy *policy,
                                   struct dray_rule *rule, const struct dray_node *node);

/* ---- policy_exception.c */

/* Read `exceptions:`; the policy's rules were read. */
DRAY_MUST_CHECK int dray_exceptions_read(struct dray_draft *draft, struct dray_policy *policy,
                                         const struct dray_node *node);
/* Report that a policy has no rule of that id; `what` names a rule by it ("an exception"). */
void dray_policy_no_rule(struct dray_draft *draft, const struct dray_policy *policy,
                         const struct dray_node *node, const char *what);
/* The exception that takes a rule away for these facts; NULL: none. */
const struct dray_exception *dray_exception_find(const struct dray_rule *rule, const json_t *facts,
                                                 int64_t now);

/* ---- policy_test.c */

/* Read `tests:`; the policy's rules were read. */
DRAY_MUST_CHECK int dray_policy_tests_read(struct dray_draft *draft, struct dray_policy *policy,
                                           const struct dray_node *node);
/* Is it a path in a dataset: from its root, without `.`, `..` and empty parts? `/` at its end is a
 * directory's. */
int dray_is_entry(const char *path);
/* An entry as filters are asked about it: a file, or with `/` at its end a directory. NULL when
 * memory is out. */
json_t *dray_draft_entry(const char *path, int64_t size);
/* Put the paths of a policy's tests to its injected filters, before plugins are asked. */
DRAY_MUST_CHECK int dray_policy_tests_prepare(struct dray_draft *draft);
/* Afterwards: judge every test; one that fails is a problem of its policy. */
DRAY_MUST_CHECK int dray_policy_tests_judge(struct dray_draft *draft);
/* "keep", "drop by no-raw", "deny by size-cap (limit)"; in the arena, NULL when memory is out. */
const char *dray_verdict_text(struct dray_draft *draft, enum dray_expectation verdict,
                              const char *rule, const char *why);
const char *dray_verdict_name(enum dray_expectation verdict);

/* ---- match.c */

enum dray_bearing {
    DRAY_BEARS_NOT,     /* it is about something else */
    DRAY_BEARS_EXCEPT,  /* it would hold, and an exception takes it away */
    DRAY_BEARS_UNKNOWN, /* it asks for what is not known */
    DRAY_BEARS,         /* it holds */
    DRAY_BEARS_DENIES,  /* it holds, and what it allows is not the case */
};
/* What a rule has to say of facts. */
struct dray_judgement {
    enum dray_bearing bearing;
    const json_t *facts; /* those that decided; lives as long as what was judged */
    /* NOT, UNKNOWN, DENIES: the condition that decided; NULL: none */
    const struct dray_condition *condition;
    const struct dray_exception *exception; /* EXCEPT */
};
/* `now` 0: exceptions are left out of account. */
struct dray_judgement dray_rule_judge(const struct dray_rule *rule, const json_t *facts,
                                      int64_t now);
/* Of a list of facts: what the rule has to say where it is strictest, the first of those. */
struct dray_judgement dray_rule_weigh(const struct dray_rule *rule, const json_t *facts,
                                      int64_t now);
/* Is it more than the rule's limit, where it has one? -1 is not known, and never more. */
int dray_rule_exceeded(const struct dray_rule *rule, int64_t total_bytes, int64_t entries);
/* One line that says why a rule bears as it does; in the arena, NULL when memory is out. */
const char *dray_judgement_text(struct dray_draft *draft, const struct dray_judgement *judgement);
/* Where another row of the catalog decided than the one that was named: which, and what it has to
 * do with what is read. "" where it is what was named; in the arena, NULL when memory is out. */
const char *dray_judgement_origin(struct dray_draft *draft, const struct dray_judgement *judgement);
/* The facts that a request gives of its datasets: draft->facts. */
DRAY_MUST_CHECK int dray_draft_facts(struct dray_draft *draft,
                                     const struct dray_plan_request *request);
/* Those of one dataset that has only a name, with user and actor. NULL when memory is out. */
json_t *dray_draft_facts_of(const struct dray_plan_request *request, const char *name);
/* Add those of all other rows of the catalog that have a source that is read. */
DRAY_MUST_CHECK int dray_draft_facts_of_sharing(struct dray_draft *draft,
                                                const struct dray_plan_request *request);

struct dray_target_facts {
    const char *type, *plugin, *host, *path, *uri; /* NULL: it has none */
};
/* What the rules of the set say of one target, in their order: *ret_rules (in the arena) are those
 * that hold. What is denied is recorded in draft->error, all of it reported as problems; what is
 * only watched, warned of or excepted is added to `findings`. Returns DRAY_DENIED, another class,
 * or 0. */
DRAY_MUST_CHECK int dray_policies_match(struct dray_draft *draft,
                                        const struct dray_target_facts *target, const char *step,
                                        json_t *findings, const struct dray_rule ***ret_rules,
                                        size_t *ret_count);
/* ---- policy_signature.c, policy_history.c */

/* What was signed of a directory; in the arena. */
struct dray_policy_list;
/* Read a directory's list and verify it with a key. DRAY_DENIED when it is not that key's. */
DRAY_MUST_CHECK int dray_policy_list_read(struct dray_draft *draft, const char *directory,
                                          const struct dray_key *key,
                                          struct dray_policy_list **ret_list);
/* Is a file of the directory, with the digest of the bytes that are used, as it was signed?
 * DRAY_DENIED when not. These two say yes without a list. */
DRAY_MUST_CHECK int dray_policy_list_check(struct dray_draft *draft, struct dray_policy_list *list,
                                           const char *file, const char *digest);
/* Were all that were signed there? */
DRAY_MUST_CHECK int dray_policy_list_end(struct dray_draft *draft,
                                         const struct dray_policy_list *list);
/* A directory that must hold policies holds none. */
int dray_policies_missing(struct dray_draft *draft, const char *directory);
/* Report policies that are older than what ruled before, or changed without a new revision. */
DRAY_MUST_CHECK int dray_policies_compare(struct dray_draft *draft,
                                          const struct dray_policy_history *history);

/* ---- planner.c */

/* What the problems found so far amount to: 0, or a class. A policy that is not understood is a
 * denial, whatever else is wrong. */
DRAY_MUST_CHECK int dray_draft_verdict(struct dray_draft *draft);

/* ---- ask.c */

/* Ask the plugins about all steps whose options are fine; problems go to their places, answers into
 * the steps. */
DRAY_MUST_CHECK int dray_draft_ask(struct dray_draft *draft, const struct dray_asker *asker);

/* ---- compose.c */

/* A step that a matching rule demands on every way to a push. */
struct dray_demand {
    const char *push; /* id of the step */
    const char *policy, *rule;
    const char *uses;
    const json_t *with; /* borrowed */
    enum dray_mode mode;
    const struct dray_rule *from;
};
/* The plan of a draft without problems, but for keys and digests; and what policies demand of it,
 * in the arena. */
DRAY_MUST_CHECK int dray_draft_compose(struct dray_draft *draft,
                                       const struct dray_plan_request *request,
                                       struct dray_plan **ret_plan,
                                       struct dray_demand **ret_demands, size_t *ret_count);

/* ---- compose_plan.c */

/* Copy the policies into a plan: 0, or -1 when memory is out. */
DRAY_MUST_CHECK int dray_draft_policies(const struct dray_draft *draft, struct dray_plan *plan);

/* ---- prove.c */

/* Prove that every way from a source to a push passes each step that is demanded for that push,
 * before any step of the user's can change what it sees, or after all of them for a guard. DRAY_BUG
 * when not. */
DRAY_MUST_CHECK int dray_plan_prove(const struct dray_plan *plan, const struct dray_demand *demands,
                                    size_t count, struct dray_error *error);

/* The first demand that the plan does not meet; NULL: it meets all. `stricter`: a step that is
 * enforced meets also what is only to be watched, and a lower limit a higher one. DRAY_NO_MEMORY,
 * or 0. */
DRAY_MUST_CHECK int dray_plan_unmet(const struct dray_plan *plan, const struct dray_demand *demands,
                                    size_t count, int stricter,
                                    const struct dray_demand **ret_unmet);
/* What the rules that hold for a push demand, added to `demands`, where there is room: the number
 * of inject steps and limits. */
void dray_demands_of(const struct dray_rule *const *rules, size_t count, const char *push,
                     struct dray_demand *demands, size_t *demand_count);
/* How many that will be. */
size_t dray_demands_count(const struct dray_rule *const *rules, size_t count);

/* ---- request_key.c */

/* SHA-256 of a text, in hexadecimal. */
DRAY_MUST_CHECK int dray_text_digest(const char *text, size_t length,
                                     char ret_hex[static DRAY_SHA256_HEX],
                                     struct dray_error *error);
/* SHA-256 of the canonical text of a JSON value: sorted keys, no spaces. */
DRAY_MUST_CHECK int dray_json_digest(const json_t *json, char ret_hex[static DRAY_SHA256_HEX],
                                     struct dray_error *error);
/* Fill targets' request keys; plugins: what is known of each step's, NULL for what is built in. */
DRAY_MUST_CHECK int dray_plan_keys(struct dray_plan *plan,
                                   const struct dray_plugin_info *const *plugins,
                                   struct dray_error *error);
/* Fill policy_set_digest. */
DRAY_MUST_CHECK int dray_plan_policy_set(struct dray_plan *plan, struct dray_error *error);
/* Fill policy_set_digest and digest. */
DRAY_MUST_CHECK int dray_plan_digests(struct dray_plan *plan, struct dray_error *error);

/* ---- plan_json.c */

/* The object with one more text, if there is one. NULL when memory is out, or when the object was
 * NULL; it is then gone. */
DRAY_MUST_CHECK json_t *dray_json_with(json_t *object, const char *key, const char *text);
const char *dray_mode_name(enum dray_mode mode);
/* 0, or -1 for an unknown name. */
int dray_mode_of_name(const char *name, enum dray_mode *ret_mode);
/* "absent", "delivered", "occupied". */
const char *dray_presence_name(uint32_t presence);
/* Accepts the name or the number. 0: unknown. */
uint32_t dray_presence_of_json(const json_t *json);
uint32_t dray_target_type_of_json(const json_t *json);
/* The role that `uses` says; -1 when there is none. */
int dray_role_of_uses(const char *uses, enum dray_step_role *ret_role);

#endif
