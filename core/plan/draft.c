/* SPDX-License-Identifier: MIT */
/* draft.c - memory of a draft, and the names in it. */
#include "core/plan/draft.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void free_steps(struct dray_draft_step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_decref(steps[i].with);
        json_decref(steps[i].trial);
        json_decref(steps[i].entries);
        json_decref(steps[i].verdicts);
    }
}

void dray_draft_free(struct dray_draft *draft)
{
    free_steps(draft->steps, draft->step_count);
    for (size_t i = 0; i < draft->policy_count; i++) {
        struct dray_policy *policy = draft->policies[i];
        for (size_t k = 0; k < policy->rule_count; k++) {
            free_steps(policy->rules[k].inject, policy->rules[k].inject_count);
            json_decref(policy->rules[k].limit);
        }
        for (size_t k = 0; k < policy->test_count; k++)
            json_decref(policy->tests[k].facts);
        dray_document_free(policy->document);
    }
    free(draft->policies);
    json_decref(draft->facts);
    json_decref(draft->known);
    json_decref(draft->entry);
    for (size_t i = 0; i < draft->recipe_count; i++)
        dray_document_free(draft->recipes[i]->document);
    free(draft->recipes);
    dray_document_free(draft->document);
    dray_arena_free(&draft->arena);
}

void *dray_draft_array(struct dray_draft *draft, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count ? count : 1, size, &bytes)) {
        (void)dray_fail_memory(draft->error);
        return NULL;
    }
    void *array = dray_arena_alloc(&draft->arena, bytes, _Alignof(max_align_t));
    if (!array) {
        (void)dray_fail_memory(draft->error);
        return NULL;
    }
    return memset(array, 0, bytes);
}

const char *dray_draft_copy(struct dray_draft *draft, const char *text, size_t length)
{
    const char *copy = dray_arena_text(&draft->arena, text, length);

    if (!copy)
        (void)dray_fail_memory(draft->error);
    return copy;
}

const char *dray_draft_format(struct dray_draft *draft, const char *format, ...)
{
    dray_autofree char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0) {
        text = NULL;
        (void)dray_fail_memory(draft->error);
        return NULL;
    }
    return dray_draft_copy(draft, text, (size_t)length);
}

int dray_is_id(const char *text, size_t length)
{
    if (length == 0 || length > DRAY_ID_MAX)
        return 0;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        int letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!letter && (i == 0 || (c != '-' && c != '_')))
            return 0;
    }
    return 1;
}

const char *dray_draft_id(struct dray_draft *draft, const struct dray_node *node, const char *what)
{
    if (node->kind != DRAY_NODE_SCALAR) {
        dray_problem(draft, node->place, "%s is a name, not %s", what, dray_node_what(node));
        return NULL;
    }
    if (!dray_is_id(node->text, node->length)) {
        dray_problem(draft, node->place, "\"%s\" cannot be %s", node->text, what);
        dray_diagnose_hint(
            draft->diagnostics,
            "a to z, 0 to 9, `-` and `_`, beginning with a letter or digit, at most %d characters",
            DRAY_ID_MAX);
        return NULL;
    }
    return node->text;
}

void dray_draft_follow(struct dray_draft *draft, const struct dray_node *node, const char *key,
                       enum dray_mapping mapping)
{
    if (!dray_node_get(node, key) && dray_keys_meant(node, key, mapping))
        dray_diagnose_follows(draft->diagnostics);
}
