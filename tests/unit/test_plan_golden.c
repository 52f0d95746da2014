/* SPDX-License-Identifier: MIT */
/*
 * What people read when a workflow, a policy or a recipe is wrong, word for word: each file of
 * golden/workflows, golden/policies and golden/recipes against the .expected beside it.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/io.h"
#include "tests/unit/plan_fixture.h"

struct folder {
    char *path;
    char **names;
    size_t count, capacity;
};

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void open_folder(struct folder *folder, const char *name)
{
    const char *source = getenv("DRAY_SOURCE");
    dray_autofree char *path = dray_format("%s/tests/unit/golden/%s", source ? source : ".", name);
    struct dirent *item;

    *folder = (struct folder){.path = realpath(path, NULL)};
    DIR *directory = folder->path ? opendir(folder->path) : NULL;
    if (!directory)
        fail_msg("cannot read %s", path);
    while ((item = readdir(directory)) != NULL) {
        char *dot = strrchr(item->d_name, '.');
        if (!dot || dot == item->d_name || strcmp(dot, ".yaml") != 0)
            continue;
        assert_int_equal(DRAY_GROW(folder->names, folder->count, folder->capacity), 0);
        folder->names[folder->count++] = strndup(item->d_name, (size_t)(dot - item->d_name));
    }
    (void)closedir(directory);
    qsort(folder->names, folder->count, sizeof(*folder->names), compare_names);
}

static void close_folder(struct folder *folder)
{
    for (size_t i = 0; i < folder->count; i++)
        free(folder->names[i]);
    free(folder->names);
    free(folder->path);
}

static void read_file(const char *path, struct dray_buffer *out)
{
    struct dray_error error = {0};

    *out = (struct dray_buffer){.cap = 1u << 20};
    if (dray_read_file(path, out, &error) != 0 && error.class_ != DRAY_NOT_FOUND)
        fail_msg("%s", error.message);
    dray_buffer_text(out, "");
}

/* Text with every `path` in it as DIR, so that it is the same on all machines. */
static void add_without(struct dray_buffer *out, const char *text, const char *path)
{
    const char *next;

    for (; (next = strstr(text, path)) != NULL; text = next + strlen(path)) {
        dray_buffer_add(out, text, (size_t)(next - text));
        dray_buffer_text(out, "DIR");
    }
    dray_buffer_text(out, text);
}

/* `place` is the directory that becomes DIR. */
static void compare(const char *folder, const char *file, const char *place,
                    const struct plan_fixture *fixture)
{
    const struct dray_error *error = &fixture->error;
    dray_autofree char *name = dray_format("%s/%s.expected", folder, file);
    dray_cleanup(dray_buffer_free) struct dray_buffer raw = {.cap = 1u << 20};
    dray_cleanup(dray_buffer_free) struct dray_buffer seen = {.cap = 1u << 20};

    dray_diagnostics_print(&fixture->diagnostics, 0, &raw);
    dray_buffer_format(&raw, "=> %s: %s\n", dray_class_name(error->class_), error->message);
    dray_buffer_format(&raw, error->hint[0] ? "   hint %s\n" : "%s", error->hint);
    dray_buffer_format(&raw, error->where[0] ? "   at %s\n" : "%s", error->where);
    add_without(&seen, raw.data, place);
    assert_int_equal(raw.failed | seen.failed, 0);
    fixture_golden(name, seen.data);
}

static void test_broken_workflows_say_what_is_wrong(void **state)
{
    struct plan_fixture *fixture = *state;
    struct folder folder;

    stand_ins_save("ocean",
                   "version: 1\nrecipe: ocean\nparameters:\n  var: { type: string }\n"
                   "  years: { type: int, default: 3 }\nsteps:\n"
                   "  - { id: pick, uses: filter/glob, with: { include: [\"${var}\"] } }\n"
                   "  - { id: small, uses: filter/size, with: { max: \"${years} GB\" } }\n");
    stand_ins_save("plain",
                   "version: 1\nrecipe: plain\nsteps:\n  - { id: a, uses: filter/glob }\n");
    stand_ins_save("plain",
                   "version: 1\nrecipe: plain\nsteps:\n  - { id: a, uses: filter/gone }\n");
    open_folder(&folder, "workflows");
    assert_true(folder.count >= 70);
    for (size_t i = 0; i < folder.count; i++) {
        dray_cleanup(dray_buffer_free) struct dray_buffer text = {0};
        dray_autofree char *name = dray_format("%s.yaml", folder.names[i]);
        dray_autofree char *path = dray_format("%s/%s", folder.path, name);
        read_file(path, &text);
        fixture->request.workflow_name = name;
        fixture->request.workflow_base = folder.path;
        fixture_plan(fixture, text.data);
        assert_int_equal(fixture->result, DRAY_INVALID);
        compare("workflows", folder.names[i], folder.path, fixture);
    }
    close_folder(&folder);
}

/* A broken policy is a denial for who wants to deliver, and the same problems for who checks it. */
static void test_broken_policies_stop_every_delivery(void **state)
{
    static const char workflow[] = "version: 1\ndataset: ./data\nsteps:\n"
                                   "  - { id: out, uses: push/hpfs, with: { into: ./out } }\n";
    struct plan_fixture *fixture = *state;
    struct dray_asker asker = {stand_ins_answer, NULL};
    struct folder folder;

    open_folder(&folder, "policies");
    assert_true(folder.count >= 60);
    for (size_t i = 0; i < folder.count; i++) {
        dray_cleanup(dray_buffer_free) struct dray_buffer text = {0};
        dray_autofree char *path = dray_format("%s/%s.yaml", folder.path, folder.names[i]);
        struct dray_diagnostics checked = {0};
        struct dray_error error = {0};

        read_file(path, &text);
        fixture_write(fixture, "policies/broken.yaml", text.data);
        fixture_plan(fixture, workflow);
        assert_int_equal(fixture->result, DRAY_DENIED);
        int result = dray_check_file(path, NULL, &asker, NULL, &checked, &error);
        /* on its own, a file without these keys is not known for a policy */
        if (strstr(text.data, "\npolicy:") || strstr(text.data, "\nrules:")) {
            assert_int_equal(result, DRAY_INVALID);
            assert_int_equal(checked.count, fixture->diagnostics.count);
            for (size_t k = 0; k < checked.count; k++)
                assert_string_equal(checked.items[k].message,
                                    fixture->diagnostics.items[k].message);
        }
        dray_diagnostics_free(&checked);
        compare("policies", folder.names[i], fixture->directory, fixture);
    }
    close_folder(&folder);
}

static void test_broken_recipes_say_what_is_wrong(void **state)
{
    struct plan_fixture *fixture = *state;
    struct dray_asker asker = {stand_ins_answer, NULL};
    struct folder folder;

    open_folder(&folder, "recipes");
    assert_true(folder.count >= 15);
    for (size_t i = 0; i < folder.count; i++) {
        dray_autofree char *path = dray_format("%s/%s.yaml", folder.path, folder.names[i]);
        dray_diagnostics_free(&fixture->diagnostics);
        fixture->error = (struct dray_error){0};
        assert_int_equal(dray_check_file(path, NULL, &asker, &stand_ins_recipes,
                                         &fixture->diagnostics, &fixture->error),
                         DRAY_INVALID);
        compare("recipes", folder.names[i], folder.path, fixture);
    }
    close_folder(&folder);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_broken_workflows_say_what_is_wrong),
        TEST(test_broken_policies_stop_every_delivery),
        TEST(test_broken_recipes_say_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
