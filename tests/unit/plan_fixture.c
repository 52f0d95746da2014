/* SPDX-License-Identifier: MIT */
/* plan_fixture.c - see plan_fixture.h. */
#include "tests/unit/plan_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/base/io.h"

/* The answer of the stand-ins, and what they were asked. */
static int answer(void *arg, const json_t *request, json_t **ret_answer, struct dray_error *error)
{
    struct plan_fixture *fixture = arg;

    json_decref(fixture->asked);
    fixture->asked = json_deep_copy(request);
    fixture->askings++;
    return stand_ins_answer(NULL, request, ret_answer, error);
}

void fixture_write(const struct plan_fixture *fixture, const char *name, const char *text)
{
    struct dray_error error = {0};
    dray_autofree char *path = dray_format("%s/%s", fixture->directory, name);

    assert_non_null(path);
    if (dray_write_file(path, text, strlen(text), 0600, &error) != 0)
        fail_msg("%s", error.message);
}

int fixture_setup(void **state)
{
    char name[] = "/tmp/dray-plan-XXXXXX";
    struct plan_fixture *fixture = calloc(1, sizeof(*fixture));
    dray_autofree char *made = mkdtemp(name) ? realpath(name, NULL) : NULL;

    assert_non_null(fixture);
    assert_non_null(made);
    fixture->directory = DRAY_TAKE(made);
    for (size_t i = 0; i < 3; i++) {
        static const char *const directories[] = {"data", "other", "policies"};
        dray_autofree char *path = dray_format("%s/%s", fixture->directory, directories[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    fixture_write(fixture, "data/a.csv", "a\n");
    fixture_write(fixture, "data.tar.gz", "not looked into");
    fixture->policies = dray_format("%s/policies", fixture->directory);
    fixture->request = (struct dray_plan_request){
        .workflow_name = "workflow.yaml",
        .workflow_base = fixture->directory,
        .dataset_base = fixture->directory,
        .policy_directories = &fixture->policies,
        .policy_directory_count = 1,
        .user = "asmith",
        .actor = "asmith",
        .role = "user",
        .asker = {answer, fixture},
        .recipes = &stand_ins_recipes,
    };
    stand_ins_make();
    *state = fixture;
    return 0;
}

static void forget(struct plan_fixture *fixture)
{
    dray_plan_free(fixture->plan);
    fixture->plan = NULL;
    dray_diagnostics_free(&fixture->diagnostics);
    fixture->error = (struct dray_error){0};
}

int fixture_teardown(void **state)
{
    struct plan_fixture *fixture = *state;
    struct dray_error error = {0};
    const char *name = strrchr(fixture->directory, '/') + 1;
    int parent = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    forget(fixture);
    assert_int_equal(dray_remove_tree(parent, name, &error), 0);
    (void)close(parent);
    json_decref(fixture->asked);
    free(fixture->directory);
    dray_autofree char *policies = NULL;
    memcpy(&policies, &fixture->policies, sizeof(policies));
    free(fixture);
    stand_ins_free();
    return 0;
}

void fixture_plan(struct plan_fixture *fixture, const char *workflow)
{
    forget(fixture);
    fixture->request.workflow_text = workflow;
    fixture->request.workflow_length = strlen(workflow);
    fixture->result =
        dray_plan_make(&fixture->request, &fixture->diagnostics, &fixture->plan, &fixture->error);
    if ((fixture->result == 0) != (fixture->plan != NULL))
        fail_msg("result %d and %s plan", fixture->result, fixture->plan ? "a" : "no");
    if (fixture->result != fixture->error.class_)
        fail_msg("result %d and class %d", fixture->result, fixture->error.class_);
}

void fixture_plan_good(struct plan_fixture *fixture, const char *workflow)
{
    struct dray_buffer out = {.cap = 1u << 20};

    fixture_plan(fixture, workflow);
    if (fixture->result == 0 && fixture->diagnostics.count == 0)
        return;
    dray_diagnostics_print(&fixture->diagnostics, 0, &out);
    fail_msg("%s: %s\n%s", dray_class_name(fixture->result), fixture->error.message,
             out.data ? out.data : "");
}

void fixture_policy(const struct plan_fixture *fixture, const char *name, const char *body)
{
    dray_autofree char *file = dray_format("policies/%s.yaml", name);
    dray_autofree char *text = dray_format("version: 1\npolicy: %s\nrevision: 7\n%s", name, body);

    fixture_write(fixture, file, text);
}

const struct dray_step *fixture_step(const struct plan_fixture *fixture, const char *id)
{
    for (size_t i = 0; i < fixture->plan->step_count; i++)
        if (strcmp(fixture->plan->steps[i].id, id) == 0)
            return &fixture->plan->steps[i];
    fail_msg("no step %s among: %s", id, fixture_order(fixture));
    return NULL;
}

static const char *join(const struct dray_plan *plan, const size_t *steps, size_t count)
{
    static char text[4096];
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < count && used < sizeof(text); i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i ? " " : "",
                                 plan->steps[steps ? steps[i] : i].id);
    return text;
}

const char *fixture_order(const struct plan_fixture *fixture)
{
    return join(fixture->plan, NULL, fixture->plan->step_count);
}

const char *fixture_needs(const struct plan_fixture *fixture, const char *id)
{
    const struct dray_step *step = fixture_step(fixture, id);

    return join(fixture->plan, step->needs, step->needs_count);
}

const struct dray_plan_target *fixture_target(const struct plan_fixture *fixture, const char *id)
{
    for (size_t i = 0; i < fixture->plan->target_count; i++)
        if (strcmp(fixture->plan->steps[fixture->plan->targets[i].step].id, id) == 0)
            return &fixture->plan->targets[i];
    fail_msg("no target %s", id);
    return NULL;
}

void fixture_golden(const char *name, const char *seen)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer expected = {.cap = 1u << 20};
    const char *source = getenv("DRAY_SOURCE");
    dray_autofree char *path = dray_format("%s/tests/unit/golden/%s", source ? source : ".", name);
    struct dray_error error = {0};

    if (getenv("DRAY_GOLDEN")) {
        assert_int_equal(dray_write_file(path, seen, strlen(seen), 0644, &error), 0);
        return;
    }
    if (dray_read_file(path, &expected, &error) != 0)
        fail_msg("%s", error.message);
    if (!expected.data || strcmp(seen, expected.data) == 0)
        return;
    print_error("%s is expected to be\n%s\nand is\n", name, expected.data);
    /* cmocka cuts long messages */
    for (size_t i = 0; i < strlen(seen); i += 512)
        print_error("%.512s", seen + i);
    fail_msg("%s differs", name);
}
