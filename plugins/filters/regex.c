/* SPDX-License-Identifier: MIT */
/* filter/regex: keep and drop entries by regular expressions over their paths (docs/filters.md). */
#include <dray/plugin.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* What one comparison may take: an expression that tries every way to split a name hits these
 * within a fraction of a second. The heap is in KiB. */
#define MATCH_LIMIT  1000000u
#define DEPTH_LIMIT  100000u
#define HEAP_LIMIT   (20u * 1024)
#define PATTERN_SIZE 16384u

struct expression {
    pcre2_code *text;  /* for paths that are UTF-8 */
    pcre2_code *bytes; /* for others; NULL: it names characters that no byte is */
};

struct expressions {
    struct expression *items;
    uint64_t count;
};

struct regex {
    struct dray_strings include;
    struct dray_strings exclude;
    int64_t ignore_case;
    pcre2_compile_context *rules;
    pcre2_match_context *limits;
    struct expressions included;
    struct expressions excluded;
};

enum { OPTION_INCLUDE, OPTION_EXCLUDE }; /* rows of the table */

static const struct dray_option options[] = {
    DRAY_OPTION_STRINGS(struct regex, include, 0,
                        "Keep only paths that one of these expressions matches as a whole"),
    DRAY_OPTION_STRINGS(struct regex, exclude, 0,
                        "Drop paths that one of these matches, kept or not"),
    DRAY_OPTION_BOOL(struct regex, ignore_case, "false", "Match without regard to case"),
};

static void expressions_free(struct expressions *expressions)
{
    for (uint64_t i = 0; i < expressions->count; i++) {
        pcre2_code_free(expressions->items[i].text);
        pcre2_code_free(expressions->items[i].bytes);
    }
    free(expressions->items);
}

static void destroy(void *self)
{
    struct regex *regex = self;
    expressions_free(&regex->included);
    expressions_free(&regex->excluded);
    pcre2_match_context_free(regex->limits);
    pcre2_compile_context_free(regex->rules);
}

/* ---- Compiling ----------------------------------------------------------------------------- */

static int fail_memory(struct dray_ctx *ctx)
{
    return ctx->host->fail(ctx, DRAY_NO_MEMORY, "cannot compile the expressions: out of memory");
}

/* NULL with what is wrong and where. A name may hold a line feed: to `.` and `$` it is a character
 * like others. Where there is no JIT the interpreter does it. */
static pcre2_code *compile_one(const struct regex *regex, const char *text, uint32_t flags,
                               int *ret_fault, size_t *ret_offset)
{
    flags |= PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY |
             PCRE2_NEVER_BACKSLASH_C | (regex->ignore_case ? PCRE2_CASELESS : 0);
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)text, strlen(text), flags, ret_fault, ret_offset, regex->rules);
    if (code != NULL)
        (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    return code;
}

static int fail_pattern(struct dray_ctx *ctx, uint32_t row, uint64_t index, int fault,
                        size_t offset)
{
    PCRE2_UCHAR reason[160];

    if (fault == PCRE2_ERROR_HEAP_FAILED)
        return fail_memory(ctx);
    (void)pcre2_get_error_message(fault, reason, sizeof(reason));
    return ctx->host->fail_option(ctx, options[row].name, (int64_t)index, offset, "%s",
                                  (const char *)reason);
}

/* Compile one list. Every bad expression is reported, not only the first. */
static int compile(struct dray_ctx *ctx, const struct regex *regex, uint32_t row,
                   const struct dray_strings *texts, struct expressions *expressions)
{
    int result = DRAY_OK;

    expressions->items = calloc(texts->count + 1, sizeof(*expressions->items));
    if (expressions->items == NULL)
        return fail_memory(ctx);
    expressions->count = texts->count;
    for (uint64_t i = 0; i < texts->count && result != DRAY_NO_MEMORY; i++) {
        struct expression *expression = &expressions->items[i];
        int fault;
        size_t offset;
        if (texts->items[i][0] == '\0') {
            result = ctx->host->fail_option(ctx, options[row].name, (int64_t)i, 0,
                                            "the expression is empty, and no path is");
            continue;
        }
        expression->text = compile_one(regex, texts->items[i], PCRE2_UTF, &fault, &offset);
        if (expression->text == NULL) {
            result = fail_pattern(ctx, row, i, fault, offset);
            continue;
        }
        expression->bytes = compile_one(regex, texts->items[i], PCRE2_NEVER_UTF, &fault, &offset);
        if (expression->bytes == NULL && fault == PCRE2_ERROR_HEAP_FAILED)
            result = fail_memory(ctx);
    }
    return result;
}

static int prepare(void *self, struct dray_ctx *ctx)
{
    struct regex *regex = self;
    int result = DRAY_OK;

    regex->included = regex->excluded = (struct expressions){NULL, 0};
    regex->rules = pcre2_compile_context_create(NULL);
    regex->limits = pcre2_match_context_create(NULL);
    if (regex->rules == NULL || regex->limits == NULL)
        result = fail_memory(ctx);
    if (result == DRAY_OK) {
        (void)pcre2_set_max_pattern_length(regex->rules, PATTERN_SIZE);
        (void)pcre2_set_match_limit(regex->limits, MATCH_LIMIT);
        (void)pcre2_set_depth_limit(regex->limits, DEPTH_LIMIT);
        (void)pcre2_set_heap_limit(regex->limits, HEAP_LIMIT);
        result = compile(ctx, regex, OPTION_INCLUDE, &regex->include, &regex->included);
    }
    if (result == DRAY_OK || result == DRAY_INVALID) {
        int excluded = compile(ctx, regex, OPTION_EXCLUDE, &regex->exclude, &regex->excluded);
        result = excluded != DRAY_OK ? excluded : result;
    }
    if (result != DRAY_OK) /* then nobody calls destroy */
        destroy(regex);
    return result;
}

/* ---- Matching ------------------------------------------------------------------------------ */

/* A path that is compared with one expression after the other. */
struct subject {
    const struct dray_entry *entry;
    pcre2_match_data *data;
    int checked; /* it is UTF-8, or it is not: `invalid` says which */
    int invalid;
};

static int is_utf_fault(int result)
{
    return result <= PCRE2_ERROR_UTF8_ERR1 && result >= PCRE2_ERROR_UTF8_ERR21;
}

/* JIT has a small stack of its own; where that is not enough the interpreter takes over. */
static int run(const pcre2_code *code, const struct regex *regex, const struct subject *subject)
{
    const struct dray_entry *entry = subject->entry;
    uint32_t flags = subject->checked ? PCRE2_NO_UTF_CHECK : 0;
    int result = pcre2_match(code, (PCRE2_SPTR)entry->path, entry->path_length, 0, flags,
                             subject->data, regex->limits);

    if (result == PCRE2_ERROR_JIT_STACKLIMIT)
        result = pcre2_match(code, (PCRE2_SPTR)entry->path, entry->path_length, 0,
                             flags | PCRE2_NO_JIT, subject->data, regex->limits);
    return result;
}

static int fail_match(struct dray_ctx *ctx, uint32_t row, uint64_t index, const char *text,
                      const struct subject *subject, int result)
{
    const char *path = subject->entry->path;
    PCRE2_UCHAR reason[160];

    if (result == PCRE2_ERROR_NOMEMORY)
        return ctx->host->fail(ctx, DRAY_NO_MEMORY, "cannot match %s: out of memory", path);
    if (result == PCRE2_ERROR_BADOPTION) {
        (void)ctx->host->fail(ctx, DRAY_INVALID,
                              "cannot compare %s[%" PRIu64
                              "] \"%s\" with %s: the path is not UTF-8, "
                              "and the expression names characters that no byte is",
                              options[row].name, index, text, path);
        ctx->host->hint(ctx, "rename the file, or drop it by a filter/glob that comes first");
        return DRAY_INVALID;
    }
    (void)pcre2_get_error_message(result, reason, sizeof(reason));
    (void)ctx->host->fail(ctx, DRAY_INVALID,
                          "comparing %s[%" PRIu64 "] \"%s\" with %s took too many steps and was "
                          "given up: %s",
                          options[row].name, index, text, path, (const char *)reason);
    ctx->host->hint(ctx, "a repeat within a repeat, as in (a+)+, tries every way to split a name: "
                         "write one, or use filter/glob");
    return DRAY_INVALID;
}

/* The number of the first expression that matches, or DRAY_NO_INDEX. */
static int find(struct dray_ctx *ctx, const struct regex *regex, uint32_t row,
                struct subject *subject, int64_t *ret_index)
{
    const struct dray_strings *texts = row == OPTION_EXCLUDE ? &regex->exclude : &regex->include;
    const struct expressions *list = row == OPTION_EXCLUDE ? &regex->excluded : &regex->included;

    *ret_index = DRAY_NO_INDEX;
    for (uint64_t i = 0; i < list->count; i++) {
        const struct expression *expression = &list->items[i];
        int result = PCRE2_ERROR_UTF8_ERR1;
        if (!subject->invalid) {
            result = run(expression->text, regex, subject);
            subject->invalid = is_utf_fault(result);
            subject->checked = 1;
        }
        if (subject->invalid)
            result = expression->bytes != NULL ? run(expression->bytes, regex, subject)
                                               : PCRE2_ERROR_BADOPTION;
        if (result >= 0) {
            *ret_index = (int64_t)i;
            return DRAY_OK;
        }
        if (result != PCRE2_ERROR_NOMATCH)
            return fail_match(ctx, row, i, texts->items[i], subject, result);
    }
    return DRAY_OK;
}

static int decide(void *self, struct dray_ctx *ctx, const struct dray_entry *entry,
                  struct dray_verdict *ret_verdict)
{
    const struct regex *regex = self;
    struct subject subject = {.entry = entry, .data = pcre2_match_data_create(1, NULL)};
    int64_t index = DRAY_NO_INDEX;

    if (subject.data == NULL)
        return ctx->host->fail(ctx, DRAY_NO_MEMORY, "cannot match %s: out of memory", entry->path);
    int result = find(ctx, regex, OPTION_EXCLUDE, &subject, &index);
    int excluded = index != DRAY_NO_INDEX;
    if (result == DRAY_OK && !excluded)
        result = find(ctx, regex, OPTION_INCLUDE, &subject, &index);
    pcre2_match_data_free(subject.data);
    int keep = !excluded && (index != DRAY_NO_INDEX || regex->included.count == 0);
    *ret_verdict = (struct dray_verdict){keep ? DRAY_KEEP : DRAY_DROP,
                                         excluded ? OPTION_EXCLUDE : OPTION_INCLUDE, index};
    return result;
}

static const struct dray_filter_operations operations = {
    .size = sizeof(operations),
    .decide = decide,
};

DRAY_PLUGIN(DRAY_KIND_FILTER, DRAY_CAP_REENTRANT, "regex", "1.0.0",
            "Keep and drop entries by regular expressions over their paths", struct regex, options,
            &operations, .prepare = prepare, .destroy = destroy);
