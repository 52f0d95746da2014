/* SPDX-License-Identifier: MIT */
#include "tests/unit/filter_fixture.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- The host -------------------------------------------------------------------------------- */

static int fake_fail_option(struct dray_ctx *ctx, const char *option, int64_t index,
                            uint64_t offset, const char *format, ...) DRAY_PRINTF(5, 6);
static int fake_fail(struct dray_ctx *ctx, int class_, const char *format, ...) DRAY_PRINTF(3, 4);
static void fake_hint(struct dray_ctx *ctx, const char *format, ...) DRAY_PRINTF(2, 3);

static int fake_fail_option(struct dray_ctx *ctx, const char *option, int64_t index,
                            uint64_t offset, const char *format, ...)
{
    struct filter_fake *fake = (struct filter_fake *)ctx;
    assert_true(fake->count < FILTER_REPORTS);
    struct filter_report *report = &fake->reports[fake->count++];
    va_list arguments;
    (void)snprintf(report->option, sizeof(report->option), "%s", option);
    report->index = index;
    report->offset = offset;
    va_start(arguments, format);
    (void)vsnprintf(report->message, sizeof(report->message), format, arguments);
    va_end(arguments);
    return DRAY_INVALID;
}

static int fake_fail(struct dray_ctx *ctx, int class_, const char *format, ...)
{
    struct filter_fake *fake = (struct filter_fake *)ctx;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(fake->failure, sizeof(fake->failure), format, arguments);
    va_end(arguments);
    return class_;
}

static void fake_hint(struct dray_ctx *ctx, const char *format, ...)
{
    (void)ctx;
    (void)format;
}

static int64_t fake_clock(struct dray_ctx *ctx)
{
    (void)ctx;
    return FILTER_NOW;
}

static int fake_open(struct dray_ctx *ctx, uint64_t id, struct dray_reader *ret_reader)
{
    struct filter_fake *fake = (struct filter_fake *)ctx;
    (void)id;
    if (fake->bytes == NULL)
        return fake_fail(ctx, DRAY_DENIED, "no right to read it");
    fake->position = 0;
    fake->opened++;
    *ret_reader = (struct dray_reader){.size = sizeof(*ret_reader), .fd = -1};
    return DRAY_OK;
}

/* In small pieces, as a slow disk would. */
static int64_t fake_read(struct dray_ctx *ctx, struct dray_reader *reader, void *buffer,
                         uint64_t size)
{
    struct filter_fake *fake = (struct filter_fake *)ctx;
    (void)reader;
    uint64_t left = fake->length - fake->position;
    uint64_t taken = left < size ? left : size;
    taken = taken < 1000 ? taken : 1000;
    memcpy(buffer, fake->bytes + fake->position, taken);
    fake->position += taken;
    return (int64_t)taken;
}

static int fake_close(struct dray_ctx *ctx, struct dray_reader *reader)
{
    (void)reader;
    ((struct filter_fake *)ctx)->closed++;
    return DRAY_OK;
}

static const struct dray_host host = {
    .size = sizeof(host),
    .fail = fake_fail,
    .fail_option = fake_fail_option,
    .hint = fake_hint,
    .clock = fake_clock,
    .open = fake_open,
    .read = fake_read,
    .close = fake_close,
};

/* ---- An instance ----------------------------------------------------------------------------- */

static const struct dray_plugin *load(const char *name)
{
    char path[4096];
    const char *build = getenv("DRAY_BUILD");
    (void)snprintf(path, sizeof(path), "%s/plugins/filter-%s.so", build != NULL ? build : ".",
                   name);
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL)
        fail_msg("%s", dlerror());
    const struct dray_plugin *plugin = dlsym(object, "dray_plugin_v1");
    assert_non_null(plugin);
    return plugin;
}

static uint32_t row(const struct filter_step *step, const char *name)
{
    for (uint32_t i = 0; i < step->plugin->option_count; i++) {
        if (strcmp(step->plugin->options[i].name, name) == 0)
            return i;
    }
    fail_msg("filter/%s has no option %s", step->plugin->name, name);
    return 0;
}

static void set(struct filter_step *step, uint32_t index, const void *value, size_t size)
{
    memcpy((char *)step->self + step->plugin->options[index].offset, value, size);
}

void filter_new(struct filter_step *step, const char *name)
{
    *step = (struct filter_step){.plugin = load(name), .fake = {.ctx = {&host}}};
    assert_int_equal(step->plugin->head.kind, DRAY_KIND_FILTER);
    assert_string_equal(step->plugin->name, name);
    assert_true((step->plugin->head.caps & DRAY_CAP_REENTRANT) != 0);
    step->operations = step->plugin->operations;
    step->self = calloc(1, step->plugin->instance_size);
    assert_non_null(step->self);
    for (uint32_t i = 0; i < step->plugin->option_count; i++) {
        const struct dray_option *option = &step->plugin->options[i];
        int64_t number = DRAY_NONE;
        if (option->fallback == NULL)
            continue;
        if (strcmp(option->fallback, "none") != 0)
            number = strcmp(option->fallback, "true") == 0;
        assert_true(number != 0 || strcmp(option->fallback, "false") == 0 ||
                    strcmp(option->fallback, "0") == 0);
        set(step, i, &number, sizeof(number));
    }
}

void filter_set_strings(struct filter_step *step, const char *name, const char *const *items)
{
    struct dray_strings strings = {0, items};
    assert_int_equal(step->plugin->options[row(step, name)].type, DRAY_TYPE_STRINGS);
    while (items[strings.count] != NULL)
        strings.count++;
    set(step, row(step, name), &strings, sizeof(strings));
}

void filter_set_number(struct filter_step *step, const char *name, int64_t value)
{
    set(step, row(step, name), &value, sizeof(value));
}

void filter_set_string(struct filter_step *step, const char *name, const char *value)
{
    assert_int_equal(step->plugin->options[row(step, name)].type, DRAY_TYPE_STRING);
    set(step, row(step, name), &value, sizeof(value));
}

int filter_prepare(struct filter_step *step)
{
    return step->plugin->prepare(step->self, &step->fake.ctx);
}

void filter_finish(struct filter_step *step)
{
    if (step->plugin->destroy != NULL)
        step->plugin->destroy(step->self);
    free(step->self);
}

/* destroy is not called when prepare failed; a leak would be found here */
void filter_drop(struct filter_step *step)
{
    free(step->self);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

int filter_decide(struct filter_step *step, const struct dray_entry *entry,
                  struct dray_verdict *ret_verdict)
{
    return step->operations->decide(step->self, &step->fake.ctx, entry, ret_verdict);
}

void filter_check(struct filter_step *step, const struct dray_entry *entry, uint32_t wanted,
                  const char *option, int64_t index)
{
    struct dray_verdict verdict = {0};
    if (filter_decide(step, entry, &verdict) != DRAY_OK)
        fail_msg("%s: %s", entry->path, step->fake.failure);
    if (verdict.verdict != wanted || verdict.index != index || verdict.option != row(step, option))
        fail_msg("%s: verdict %u by %s[%d]", entry->path, verdict.verdict,
                 step->plugin->options[verdict.option].name, (int)verdict.index);
}

void filter_check_path(struct filter_step *step, const char *path, uint32_t type, uint32_t verdict,
                       const char *option, int64_t index)
{
    struct dray_entry entry = {
        .size = sizeof(entry), .type = type, .path = path, .path_length = strlen(path)};
    filter_check(step, &entry, verdict, option, index);
}

void filter_check_report(const struct filter_step *step, uint32_t number, const char *option,
                         int64_t index, uint64_t offset, const char *message)
{
    const struct filter_report *report = &step->fake.reports[number];
    assert_true(number < step->fake.count);
    assert_string_equal(report->option, option);
    assert_string_equal(report->message, message);
    assert_int_equal(report->index, index);
    assert_int_equal(report->offset, offset);
}
