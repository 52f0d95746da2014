/* SPDX-License-Identifier: MIT */
/*
 * policy.c - the policy files of a request. They fail closed: whatever is not understood in any of
 * them stops every delivery, since nobody can tell what it was to forbid.
 */
#include "core/plan/draft.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "core/plan/keys.h"
#include <strings.h>
#include <sys/stat.h>

/* Above it JSON's readers begin to round. */
#define MOST_REVISION (INT64_C(1) << 53)

static void read_numbers(struct dray_draft *draft, struct dray_policy *policy,
                         const struct dray_node *root)
{
    const struct dray_node *version = dray_node_get(root, "version");
    const struct dray_node *revision = dray_node_get(root, "revision");
    int64_t number;

    if (!version)
        dray_problem(draft, policy->place, "the policy has no `version`");
    else if (!dray_node_int(version, &number) || number != 1)
        dray_problem(draft, version->place, "this release reads version 1 of policies, not %s",
                     dray_node_shown(version));
    dray_draft_follow(draft, root, "version", DRAY_MAPPING_POLICY);
    if (!revision)
        dray_problem(draft, policy->place,
                     "the policy has no `revision`, a number that only grows");
    else if (!dray_node_int(revision, &policy->revision) || policy->revision < 1)
        dray_problem(draft, revision->place, "`revision` is a number from 1 on, not %s",
                     dray_node_shown(revision));
    else if (policy->revision > MOST_REVISION) {
        dray_problem(draft, revision->place, "`revision` is at most %lld, not %s",
                     (long long)MOST_REVISION, dray_node_shown(revision));
        dray_diagnose_hint(draft->diagnostics, "count from 1, one more with each change");
    }
    dray_draft_follow(draft, root, "revision", DRAY_MAPPING_POLICY);
}

static void read_name(struct dray_draft *draft, struct dray_policy *policy,
                      const struct dray_node *root)
{
    const struct dray_node *name = dray_node_get(root, "policy");
    const struct dray_node *owner = dray_node_get(root, "owner");

    if (owner && owner->kind != DRAY_NODE_SCALAR)
        dray_problem(draft, owner->place, "`owner` is a text, not %s", dray_node_what(owner));
    else if (owner)
        policy->owner = owner->text;
    if (!name) {
        dray_problem(draft, policy->place, "the policy has no name");
        dray_diagnose_hint(draft->diagnostics, "policy: NAME");
        dray_draft_follow(draft, root, "policy", DRAY_MAPPING_POLICY);
        return;
    }
    policy->name = dray_draft_id(draft, name, "the name of a policy");
    for (size_t i = 0; policy->name && i < draft->policy_count; i++) {
        const struct dray_policy *other = draft->policies[i];
        if (other == policy || !other->name || strcmp(other->name, policy->name) != 0)
            continue;
        dray_problem(draft, name->place, "two policies are called \"%s\": the other is %s",
                     policy->name, other->file);
        return;
    }
}

static int read_rules(struct dray_draft *draft, struct dray_policy *policy,
                      const struct dray_node *node)
{
    if (!node || node->kind != DRAY_NODE_SEQUENCE) {
        dray_problem(draft, node ? node->place : policy->place, "a policy has `rules`, a list%s%s",
                     node ? ", not " : "", node ? dray_node_what(node) : "");
        return 0;
    }
    policy->rules = dray_draft_array(draft, node->count, sizeof(*policy->rules));
    if (!policy->rules)
        return DRAY_NO_MEMORY;
    policy->rule_count = node->count;
    for (size_t i = 0; i < node->count; i++) {
        struct dray_rule *rule = &policy->rules[i];
        int result = dray_rule_read(draft, policy, rule, node->items[i]);
        if (result != 0)
            return result;
        for (size_t k = 0; rule->id && k < i; k++) {
            const struct dray_rule *other = &policy->rules[k];
            if (!other->id || strcmp(other->id, rule->id) != 0)
                continue;
            dray_problem(draft, dray_node_get(node->items[i], "id")->place,
                         node->items[i] == node->items[k]
                             ? "an alias repeats this rule, so two rules have the id \"%s\""
                             : "two rules have the id \"%s\": the other is on line %u",
                         rule->id, other->place.line);
            break;
        }
    }
    return 0;
}

int dray_policy_read(struct dray_draft *draft, struct dray_policy *policy)
{
    const struct dray_node *root = dray_document_root(policy->document);

    if (root) {
        policy->place = root->place;
        policy->place.width = 1;
    }
    if (!root || root->kind != DRAY_NODE_MAPPING) {
        if (root || draft->diagnostics->errors == draft->errors_before)
            dray_problem(draft, policy->place,
                         "a policy is a mapping with `policy` and `rules`, not %s",
                         root ? dray_node_what(root) : "nothing");
        return 0;
    }
    if (dray_node_get(root, "steps") && !dray_node_get(root, "policy")) {
        dray_problem(draft, policy->place, "this is a workflow, and only policies may lie here");
        dray_diagnose_hint(draft->diagnostics, "move it elsewhere");
        return 0;
    }
    dray_keys_check(root, "a policy", DRAY_MAPPING_POLICY, draft->diagnostics);
    read_numbers(draft, policy, root);
    read_name(draft, policy, root);
    int result = read_rules(draft, policy, dray_node_get(root, "rules"));
    dray_draft_follow(draft, root, "rules", DRAY_MAPPING_POLICY);
    if (result == 0)
        result = dray_exceptions_read(draft, policy, dray_node_get(root, "exceptions"));
    return result == 0 ? dray_policy_tests_read(draft, policy, dray_node_get(root, "tests"))
                       : result;
}

/* ---- finding the files */

struct names {
    char **items;
    size_t count, capacity;
};

static void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Whatever its letters' case: a policy that is called P.YAML must not be passed over. */
int dray_policy_is_yaml(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot && dot != name && (strcasecmp(dot, ".yaml") == 0 || strcasecmp(dot, ".yml") == 0);
}

static int ends_with(const char *name, const char *suffix)
{
    size_t length = strlen(name), tail = strlen(suffix);

    return length > tail && strcmp(name + length - tail, suffix) == 0;
}

static void close_directory(DIR **directory)
{
    if (*directory)
        (void)closedir(*directory);
}

/* Names of the policies in a directory, in byte order. Hidden files are those of editors. */
static int list(struct dray_draft *draft, const char *path, int optional, struct names *names)
{
    dray_cleanup(close_directory) DIR *directory = opendir(path);
    struct dirent *item;
    struct stat status;

    if (!directory) {
        int problem = errno;
        /* A link to nothing says that there should be some. */
        if (optional && problem == ENOENT && lstat(path, &status) != 0 && errno == ENOENT)
            return 0;
        if (problem == ENOTDIR && stat(path, &status) == 0) {
            (void)dray_fail(draft->error, DRAY_INVALID,
                            "policies are a directory of files, and %s is none", path);
            dray_hint(draft->error, "name the directory that it is in");
            return DRAY_INVALID;
        }
        int result = dray_fail_errno(draft->error, problem, "reading the policies of %s", path);
        dray_hint(draft->error, "nothing is delivered while policies cannot be read");
        return result;
    }
    while (errno = 0, (item = readdir(directory)) != NULL) {
        if (item->d_name[0] == '.')
            continue;
        if (!dray_policy_is_yaml(item->d_name))
            continue;
        char *name = strdup(item->d_name);
        if (!name || DRAY_GROW(names->items, names->count, names->capacity)) {
            free(name);
            return dray_fail_memory(draft->error);
        }
        names->items[names->count++] = name;
    }
    if (errno)
        return dray_fail_errno(draft->error, errno, "reading the policies of %s", path);
    if (names->count)
        qsort(names->items, names->count, sizeof(*names->items), compare_names);
    return 0;
}

struct dray_policy *dray_policy_add(struct dray_draft *draft, const char *file, const char *base)
{
    struct dray_policy *policy = dray_draft_array(draft, 1, sizeof(*policy));

    if (!policy)
        return NULL;
    policy->file = file;
    policy->base = base;
    if (DRAY_GROW(draft->policies, draft->policy_count, draft->policy_capacity)) {
        (void)dray_fail_memory(draft->error);
        return NULL;
    }
    draft->policies[draft->policy_count++] = policy;
    return policy;
}

static int load(struct dray_draft *draft, const char *base, const char *file,
                struct dray_policy_list *list)
{
    struct stat status;
    size_t length;

    /* A pipe would hang the reader. */
    if (stat(file, &status) != 0) {
        (void)dray_fail_errno(draft->error, errno, "reading the policy %s", file);
        return draft->error->class_ = DRAY_DENIED;
    }
    struct dray_policy *policy = dray_policy_add(draft, file, base);
    if (!policy)
        return DRAY_NO_MEMORY;
    if (!S_ISREG(status.st_mode))
        return dray_fail(draft->error, DRAY_DENIED, "the policy %s is not a regular file", file);
    draft->errors_before = draft->diagnostics->errors;
    int result = dray_document_load(file, draft->diagnostics, &policy->document, draft->error);
    if (result != 0 && result != DRAY_NO_MEMORY)
        draft->error->class_ = DRAY_DENIED;
    if (result != 0)
        return draft->error->class_;
    policy->place.source = (uint32_t)(draft->diagnostics->source_count - 1);
    const char *text = dray_document_text(policy->document, &length);
    result = dray_text_digest(text, length, policy->digest, draft->error);
    if (result == 0)
        result = dray_policy_list_check(draft, list, file, policy->digest);
    if (result != 0)
        return result;
    if (!ends_with(file, ".yaml")) {
        dray_problem(draft, policy->place, "the name of a policy's file ends in .yaml");
        dray_diagnose_hint(draft->diagnostics, "rename it, or remove it");
    } else {
        result = dray_policy_read(draft, policy);
    }
    draft->policy_failed |= draft->diagnostics->errors > draft->errors_before;
    return result;
}

/* Was this directory read already, perhaps by another name? */
static int is_read(const struct dray_draft *draft, const char *real)
{
    for (size_t i = 0; i < draft->policy_count; i++)
        if (strcmp(draft->policies[i]->base, real) == 0)
            return 1;
    return 0;
}

static int load_directory(struct dray_draft *draft, const struct dray_plan_request *request,
                          size_t index)
{
    dray_cleanup(names_free) struct names names = {0};
    const char *path = request->policy_directories[index];
    struct dray_policy_list *signed_list = NULL;
    int result = list(draft, path, index == 0 && request->first_policy_optional, &names);

    if (result == 0 && names.count == 0 && index == 0 && request->first_policy_mandatory)
        result = dray_policies_missing(draft, path);
    if (result == 0 && request->policy_key)
        result = dray_policy_list_read(draft, path, request->policy_key, &signed_list);
    if (result != 0)
        return result;
    if (names.count == 0)
        return dray_policy_list_end(draft, signed_list);
    dray_autofree char *real = realpath(path, NULL);
    if (!real)
        return dray_fail_errno(draft->error, errno, "reading the policies of %s", path);
    if (is_read(draft, real))
        return 0;
    const char *base = dray_draft_copy(draft, real, strlen(real));
    for (size_t i = 0; result == 0 && base && i < names.count; i++) {
        const char *file =
            dray_draft_format(draft, ends_with(path, "/") ? "%s%s" : "%s/%s", path, names.items[i]);
        result = file ? load(draft, base, file, signed_list) : DRAY_NO_MEMORY;
    }
    if (!base)
        return DRAY_NO_MEMORY;
    return result == 0 ? dray_policy_list_end(draft, signed_list) : result;
}

/* The directory that relative paths in the file start from. */
static const char *base_of(struct dray_draft *draft, const char *file)
{
    dray_autofree char *real = realpath(file, NULL);
    char *slash = real ? strrchr(real, '/') : NULL;

    return slash ? dray_draft_copy(draft, real, slash == real ? 1 : (size_t)(slash - real))
                 : dray_draft_copy(draft, "/", 1);
}

int dray_policies_read(struct dray_draft *draft, const struct dray_plan_request *request)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < request->policy_directory_count; i++)
        result = load_directory(draft, request, i);
    for (size_t i = 0; result == 0 && i < request->policy_file_count; i++) {
        const char *base = base_of(draft, request->policy_files[i]);
        result = base ? load(draft, base, request->policy_files[i], NULL) : DRAY_NO_MEMORY;
    }
    return result == 0 ? dray_policies_compare(draft, &request->policy_history) : result;
}
