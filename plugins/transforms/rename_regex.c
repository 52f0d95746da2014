/* SPDX-License-Identifier: MIT */
/* rename_regex.c - patterns and what takes the place of what they match. PCRE2 counts its steps, so
 * that no pattern holds a delivery up. */
#include "rename.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MATCH_STEPS 100000
#define MATCH_KIB   4096

/* A call of the plugin, as PCRE2 sees it. */
struct watch {
    struct dray_ctx *ctx;
    int cancelled;
};

struct rename_regex {
    uint64_t count;
    const struct dray_map *map;
    pcre2_match_context *context;
    pcre2_code **codes;
};

void rename_regex_free(struct rename_regex *regex)
{
    if (regex == NULL)
        return;
    for (uint64_t i = 0; regex->codes != NULL && i < regex->count; i++)
        pcre2_code_free(regex->codes[i]);
    free(regex->codes);
    pcre2_match_context_free(regex->context);
    free(regex);
}

static int is_word(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_';
}

/* Has the pattern that group? */
static int has_group(const pcre2_code *code, const char *name, size_t length)
{
    char text[64];
    uint32_t groups = 0;

    if (length == 0 || length >= sizeof(text))
        return 0;
    memcpy(text, name, length);
    text[length] = '\0';
    if (text[0] < '0' || text[0] > '9')
        return pcre2_substring_number_from_name(code, (PCRE2_SPTR)text) > 0;
    (void)pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
    return length < 6 && strspn(text, "0123456789") == length && strtoul(text, NULL, 10) <= groups;
}

/* The group that a `$` names, or NULL where there is none of that name. */
static const char *group_end(const pcre2_code *code, const char *dollar)
{
    const char *name = dollar + 1, *end;

    if (*name == '$')
        return name + 1;
    int braced = *name == '{';
    name += braced;
    end = name;
    if (*name >= '0' && *name <= '9' && !braced)
        end += strspn(name, "0123456789");
    else
        while (is_word(*end))
            end++;
    if (!has_group(code, name, (size_t)(end - name)) || (braced && *end != '}'))
        return NULL;
    return end + braced;
}

static int check_replacement(struct dray_ctx *ctx, const pcre2_code *code, uint64_t index,
                             const char *text)
{
    for (const char *at = strchr(text, '$'); at != NULL;) {
        const char *end = group_end(code, at);
        if (end == NULL)
            return ctx->host->fail_option(
                ctx, "regex", (int64_t)index, (uint64_t)(at - text),
                "\"%.40s\" names no group of the pattern; a dollar sign itself is written $$", at);
        at = strchr(end, '$');
    }
    return DRAY_OK;
}

static int compile_one(struct dray_ctx *ctx, struct rename_regex *regex, uint64_t index)
{
    const char *pattern = regex->map->keys[index];
    PCRE2_SIZE offset = 0;
    int fault = 0;
    char reason[128];

    regex->codes[index] =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C |
                          PCRE2_DOLLAR_ENDONLY | PCRE2_DOTALL,
                      &fault, &offset, NULL);
    if (regex->codes[index] != NULL)
        return check_replacement(ctx, regex->codes[index], index, regex->map->values[index]);
    if (fault == PCRE2_ERROR_HEAP_FAILED)
        return ctx->host->fail(ctx, DRAY_NO_MEMORY, "cannot compile regex: out of memory");
    (void)pcre2_get_error_message(fault, (PCRE2_UCHAR *)reason, sizeof(reason));
    return ctx->host->fail_option(ctx, "regex", (int64_t)index, offset,
                                  "the pattern \"%.200s\" is wrong at byte %zu: %s", pattern,
                                  (size_t)offset, reason);
}

int rename_regex_compile(struct dray_ctx *ctx, const struct dray_map *map,
                         struct rename_regex **ret_regex)
{
    struct rename_regex *regex;
    int result = DRAY_OK;

    if (map->count == 0)
        return DRAY_OK;
    regex = calloc(1, sizeof(*regex));
    if (regex != NULL) {
        regex->map = map;
        regex->count = map->count;
        regex->codes = calloc(map->count, sizeof(pcre2_code *));
        regex->context = pcre2_match_context_create(NULL);
    }
    if (regex == NULL || regex->codes == NULL || regex->context == NULL) {
        rename_regex_free(regex);
        return ctx->host->fail(ctx, DRAY_NO_MEMORY, "cannot compile regex: out of memory");
    }
    (void)pcre2_set_match_limit(regex->context, MATCH_STEPS);
    (void)pcre2_set_depth_limit(regex->context, MATCH_STEPS);
    (void)pcre2_set_heap_limit(regex->context, MATCH_KIB);
    for (uint64_t i = 0; i < map->count && result != DRAY_NO_MEMORY; i++) {
        int one = compile_one(ctx, regex, i);
        result = one != DRAY_OK ? one : result;
    }
    if (result != DRAY_OK)
        rename_regex_free(regex);
    else
        *ret_regex = regex;
    return result;
}

/* `length`: how much room there would have to be, where that is the fault. */
static int fail_match(struct dray_ctx *ctx, const char *pattern, const struct rename_path *path,
                      int fault, size_t length)
{
    char reason[128];

    if (fault == PCRE2_ERROR_MATCHLIMIT || fault == PCRE2_ERROR_DEPTHLIMIT ||
        fault == PCRE2_ERROR_HEAPLIMIT) {
        int result = ctx->host->fail(
            ctx, DRAY_INVALID, "the pattern \"%.200s\" of regex takes too many steps on \"%.*s\"",
            pattern, SHOWN(path->bytes, path->length));
        ctx->host->hint(ctx, "write it without a repetition inside a repetition, as in (a+)+");
        return result;
    }
    if (fault == PCRE2_ERROR_NOMEMORY && length == PCRE2_UNSET)
        return ctx->host->fail(ctx, DRAY_NO_MEMORY, "renaming: out of memory");
    if (fault == PCRE2_ERROR_NOMEMORY)
        return ctx->host->fail(ctx, DRAY_INVALID,
                               "the pattern \"%.200s\" of regex makes the path \"%.*s\" too long",
                               pattern, SHOWN(path->bytes, path->length));
    (void)pcre2_get_error_message(fault, (PCRE2_UCHAR *)reason, sizeof(reason));
    return ctx->host->fail(ctx, DRAY_INVALID,
                           "the pattern \"%.200s\" of regex fails on \"%.*s\": %s", pattern,
                           SHOWN(path->bytes, path->length), reason);
}

/* After each match that is replaced: a path may have thousands, each within its own limit. */
static int watch_match(pcre2_substitute_callout_block *block, void *arg)
{
    struct watch *watch = arg;

    (void)block;
    watch->cancelled = watch->ctx->host->cancelled(watch->ctx);
    return watch->cancelled ? -1 : 0;
}

int rename_regex_apply(struct dray_ctx *ctx, const struct rename_regex *regex,
                       struct rename_path *path)
{
    struct watch watch = {.ctx = ctx};

    if (regex != NULL)
        (void)pcre2_set_substitute_callout(regex->context, watch_match, &watch);
    for (uint64_t i = 0; regex != NULL && i < regex->count; i++) {
        PCRE2_SIZE length = sizeof(path->spare);
        int found = pcre2_substitute(regex->codes[i], (PCRE2_SPTR)path->bytes, path->length, 0,
                                     PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_UNSET_EMPTY |
                                         PCRE2_SUBSTITUTE_OVERFLOW_LENGTH,
                                     NULL, regex->context, (PCRE2_SPTR)regex->map->values[i],
                                     PCRE2_ZERO_TERMINATED, (PCRE2_UCHAR *)path->spare, &length);
        if (watch.cancelled || ctx->host->cancelled(ctx))
            return ctx->host->fail(ctx, DRAY_CANCELLED, "cancelled");
        if (found < 0)
            return fail_match(ctx, regex->map->keys[i], path, found, length);
        if (found > 0) {
            memcpy(path->bytes, path->spare, length + 1);
            path->length = length;
        }
    }
    return DRAY_OK;
}
