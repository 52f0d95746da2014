/* SPDX-License-Identifier: MIT */
/*
 * filter/regex, filter/mime and transform/rename when memory runs out: each allocation, and each
 * call of a library that allocates, fails once, and every time the step says that memory is out or
 * gives the whole answer. The address sanitizer's build shows that nothing leaks on the way.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <magic.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <utf8proc.h>

#include <dray/plugin.h>

#include "tests/unit/failing.h"

extern const struct dray_plugin linked_regex, linked_mime, linked_rename;

/* Declares what the linker sends our calls to, and what it takes them from. */
#define WRAPPED(TYPE, NAME, PARAMETERS, ARGUMENTS, FAILURE)                                        \
    TYPE __real_##NAME PARAMETERS;                                                                 \
    TYPE __wrap_##NAME PARAMETERS;                                                                 \
    TYPE __wrap_##NAME PARAMETERS                                                                  \
    {                                                                                              \
        return failing_now() ? (FAILURE) : __real_##NAME ARGUMENTS;                                \
    }

WRAPPED(pcre2_compile_context *, pcre2_compile_context_create_8, (pcre2_general_context * general),
        (general), NULL)
WRAPPED(pcre2_match_context *, pcre2_match_context_create_8, (pcre2_general_context * general),
        (general), NULL)
WRAPPED(pcre2_match_data *, pcre2_match_data_create_8,
        (uint32_t pairs, pcre2_general_context *general), (pairs, general), NULL)
WRAPPED(int, pcre2_match_8,
        (const pcre2_code *code, PCRE2_SPTR text, PCRE2_SIZE length, PCRE2_SIZE from,
         uint32_t flags, pcre2_match_data *data, pcre2_match_context *context),
        (code, text, length, from, flags, data, context), PCRE2_ERROR_NOMEMORY)
WRAPPED(magic_t, magic_open, (int flags), (flags), NULL)
WRAPPED(int, magic_load, (magic_t magic, const char *database), (magic, database), -1)
WRAPPED(const char *, magic_buffer, (magic_t magic, const void *bytes, size_t length),
        (magic, bytes, length), NULL)
WRAPPED(utf8proc_ssize_t, utf8proc_map,
        (const utf8proc_uint8_t *text, utf8proc_ssize_t length, utf8proc_uint8_t **ret_text,
         utf8proc_option_t flags),
        (text, length, ret_text, flags), UTF8PROC_ERROR_NOMEM)

int __real_magic_errno(magic_t magic);
int __wrap_magic_errno(magic_t magic);
int __wrap_magic_errno(magic_t magic)
{
    return failing_failed ? ENOMEM : __real_magic_errno(magic);
}

#define COMPILED                                                                                   \
    (PCRE2_SPTR text, PCRE2_SIZE length, uint32_t flags, int *fault, PCRE2_SIZE *offset,           \
     pcre2_compile_context *context)
pcre2_code *__real_pcre2_compile_8 COMPILED;
pcre2_code *__wrap_pcre2_compile_8 COMPILED;
pcre2_code *__wrap_pcre2_compile_8 COMPILED
{
    if (!failing_now())
        return __real_pcre2_compile_8(text, length, flags, fault, offset, context);
    *fault = PCRE2_ERROR_HEAP_FAILED;
    *offset = 0;
    return NULL;
}

#define SUBSTITUTED                                                                                \
    (const pcre2_code *code, PCRE2_SPTR text, PCRE2_SIZE length, PCRE2_SIZE from, uint32_t flags,  \
     pcre2_match_data *data, pcre2_match_context *context, PCRE2_SPTR value, PCRE2_SIZE bytes,     \
     PCRE2_UCHAR *out, PCRE2_SIZE *out_length)
int __real_pcre2_substitute_8 SUBSTITUTED;
int __wrap_pcre2_substitute_8 SUBSTITUTED;
int __wrap_pcre2_substitute_8 SUBSTITUTED
{
    if (!failing_now())
        return __real_pcre2_substitute_8(code, text, length, from, flags, data, context, value,
                                         bytes, out, out_length);
    *out_length = PCRE2_UNSET;
    return PCRE2_ERROR_NOMEMORY;
}

/* ---- A host with one file ---- */

#define FILE_PATH "Dir/\xc3\x84 b.txt"

struct fake {
    struct dray_ctx ctx; /* first */
    int failure;
    char kept[256];
};

static int fake_fail(struct dray_ctx *ctx, int class_, const char *format, ...) DRAY_PRINTF(3, 4);
static int fake_fail(struct dray_ctx *ctx, int class_, const char *format, ...)
{
    assert_non_null(format);
    ((struct fake *)(void *)ctx)->failure = class_;
    return class_;
}

static int fake_fail_option(struct dray_ctx *ctx, const char *option, int64_t index,
                            uint64_t offset, const char *format, ...) DRAY_PRINTF(5, 6);
static int fake_fail_option(struct dray_ctx *ctx, const char *option, int64_t index,
                            uint64_t offset, const char *format, ...)
{
    (void)index;
    (void)offset;
    return fake_fail(ctx, DRAY_INVALID, "%s: %s", option, format);
}

static void fake_hint(struct dray_ctx *ctx, const char *format, ...) DRAY_PRINTF(2, 3);
static void fake_hint(struct dray_ctx *ctx, const char *format, ...)
{
    (void)ctx;
    (void)format;
}

static int fake_open(struct dray_ctx *ctx, uint64_t id, struct dray_reader *ret_reader)
{
    (void)ctx;
    (void)id;
    *ret_reader = (struct dray_reader){.size = sizeof(*ret_reader), .fd = -1};
    return DRAY_OK;
}

static int64_t fake_read(struct dray_ctx *ctx, struct dray_reader *reader, void *buffer,
                         uint64_t size)
{
    (void)ctx;
    if (reader->fd == 0 || size < 12)
        return 0;
    reader->fd = 0;
    memcpy(buffer, "plain words\n", 12);
    return 12;
}

static int fake_close(struct dray_ctx *ctx, struct dray_reader *reader)
{
    (void)ctx;
    (void)reader;
    return DRAY_OK;
}

static uint64_t fake_count(struct dray_ctx *ctx)
{
    (void)ctx;
    return 2;
}

static int fake_entry(struct dray_ctx *ctx, uint64_t id, struct dray_entry *ret_entry)
{
    (void)ctx;
    *ret_entry = (struct dray_entry){.size = sizeof(*ret_entry),
                                     .type = id == 0 ? DRAY_DIRECTORY : DRAY_FILE,
                                     .id = id,
                                     .path = id == 0 ? "Dir" : FILE_PATH,
                                     .path_length = id == 0 ? 3 : strlen(FILE_PATH),
                                     .bytes = id == 0 ? 0 : 12,
                                     .mode = 0755,
                                     .parent = id == 0};
    return DRAY_OK;
}

static int fake_keep(struct dray_ctx *ctx, uint64_t id, const char *path)
{
    struct fake *fake = (struct fake *)(void *)ctx;
    size_t length = strlen(fake->kept);

    (void)snprintf(fake->kept + length, sizeof(fake->kept) - length, "%d %s;", (int)id,
                   path != NULL ? path : "");
    return DRAY_OK;
}

static void fake_progress(struct dray_ctx *ctx, uint64_t entries, uint64_t bytes)
{
    (void)ctx;
    (void)entries;
    (void)bytes;
}

static int fake_cancelled(struct dray_ctx *ctx)
{
    (void)ctx;
    return 0;
}

static const struct dray_host host = {
    .size = sizeof(host),
    .fail = fake_fail,
    .fail_option = fake_fail_option,
    .hint = fake_hint,
    .open = fake_open,
    .read = fake_read,
    .close = fake_close,
    .count = fake_count,
    .entry = fake_entry,
    .keep = fake_keep,
    .progress = fake_progress,
    .cancelled = fake_cancelled,
};

/* ---- Steps ---- */

static void set(const struct dray_plugin *plugin, void *self, const char *name, const void *value,
                size_t size)
{
    for (uint32_t i = 0; i < plugin->option_count; i++)
        if (strcmp(plugin->options[i].name, name) == 0) {
            memcpy((char *)self + plugin->options[i].offset, value, size);
            return;
        }
    fail_msg("no option %s", name);
}

/* Sets the options of a new instance. */
typedef void options(const struct dray_plugin *plugin, void *self);

static int work(const struct dray_plugin *plugin, void *self, struct fake *fake)
{
    struct dray_verdict verdict = {0};
    struct dray_entry entry;

    if (plugin->head.kind == DRAY_KIND_TRANSFORM)
        return ((const struct dray_transform_operations *)plugin->operations)
            ->apply(self, &fake->ctx);
    (void)fake_entry(&fake->ctx, 1, &entry);
    int result = ((const struct dray_filter_operations *)plugin->operations)
                     ->decide(self, &fake->ctx, &entry, &verdict);
    if (result == DRAY_OK)
        assert_int_equal(verdict.verdict, DRAY_KEEP);
    return result;
}

static void torture(const struct dray_plugin *plugin, options *fill, const char *kept)
{
    long count = 0;

    for (failing_failed = 1; failing_failed; count++) {
        struct fake fake = {.ctx = {&host}};
        void *self = __real_calloc(1, plugin->instance_size);
        assert_non_null(self);
        assert_true(count < 200);
        fill(plugin, self);
        failing_failed = 0;
        failing_left = count;
        int result = plugin->prepare(self, &fake.ctx);
        int prepared = result == DRAY_OK;
        if (prepared)
            result = work(plugin, self, &fake);
        failing_left = -1;
        if (prepared)
            plugin->destroy(self);
        free(self);
        if (result != DRAY_OK) {
            assert_true(failing_failed);
            assert_int_equal(result, DRAY_NO_MEMORY);
            assert_int_equal(fake.failure, DRAY_NO_MEMORY);
        } else {
            assert_string_equal(fake.kept, kept);
        }
    }
    assert_true(count > 5);
}

static void set_list(const struct dray_plugin *plugin, void *self, const char *name,
                     const char *const *items, uint64_t count)
{
    const struct dray_strings list = {.items = items, .count = count};

    set(plugin, self, name, &list, sizeof(list));
}

static void fill_regex(const struct dray_plugin *plugin, void *self)
{
    static const char *const include[] = {"x", ".*txt"}, *const exclude[] = {"y.*"};

    set_list(plugin, self, "include", include, 2);
    set_list(plugin, self, "exclude", exclude, 1);
}

static void filter_regex_says_that_memory_is_out(void **state)
{
    (void)state;
    torture(&linked_regex, fill_regex, "");
}

static void fill_mime(const struct dray_plugin *plugin, void *self)
{
    static const char *const include[] = {"text/*"};

    set_list(plugin, self, "include", include, 1);
}

static void filter_mime_says_that_memory_is_out(void **state)
{
    (void)state;
    torture(&linked_mime, fill_mime, "");
}

static void fill_rename(const struct dray_plugin *plugin, void *self)
{
    static const char *const patterns[] = {"b", "txt$"}, *const values[] = {"c", "$0.md"};
    static const char *const keys[] = {"Dir"}, *const places[] = {"New"};
    const struct dray_map regex = {.keys = patterns, .values = values, .count = 2};
    const struct dray_map map = {.keys = keys, .values = places, .count = 1};
    const int64_t second = 1;

    set(plugin, self, "regex", &regex, sizeof(regex));
    set(plugin, self, "map", &map, sizeof(map));
    set(plugin, self, "unicode", &second, sizeof(second));
    set(plugin, self, "safe", &second, sizeof(second));
}

static void transform_rename_says_that_memory_is_out(void **state)
{
    (void)state;
    torture(&linked_rename, fill_rename, "1 New/\xc3\x84 c.txt.md;0 New;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filter_regex_says_that_memory_is_out),
        cmocka_unit_test(filter_mime_says_that_memory_is_out),
        cmocka_unit_test(transform_rename_says_that_memory_is_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
