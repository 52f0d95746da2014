/* SPDX-License-Identifier: MIT */
/* A plan is not believed what it has for a program: the configuration of now is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/engine/launch.h"

static json_t *sources(void)
{
    json_t *made = json_loads("{\"sda\": {\"with\": {\"argv\": [\"/bin/hsi\", \"{remote}\", "
                              "\"{local}\"]}, \"grants\": {\"exec\": [\"/bin/cp\"]}}}",
                              0, NULL);

    assert_non_null(made);
    return made;
}

static int ask(const char *uses, const char *with, struct dray_error *error)
{
    json_t *configured = sources();
    struct dray_engine engine = {.sources = configured};
    struct dray_step step = {.uses = (char *)(uintptr_t)uses, .with = json_loads(with, 0, NULL)};

    assert_non_null(step.with);
    int result = dray_program_allowed(&engine, &step, error);
    json_decref(step.with);
    json_decref(configured);
    return result;
}

static void what_the_configuration_has_is_run(void **state)
{
    struct dray_error error = {0};

    (void)state;
    assert_int_equal(ask("source/command",
                         "{\"source\": \"sda\", \"argv\": [\"/bin/hsi\", \"{remote}\", "
                         "\"{local}\"]}",
                         &error),
                     0);
}

static void a_stored_plan_with_another_command_is_denied(void **state)
{
    static const char *const plans[] = {
        "{\"source\": \"sda\", \"argv\": [\"/bin/sh\", \"{remote}\", \"{local}\"]}",
        "{\"source\": \"sda\", \"argv\": [\"/bin/hsi\", \"{remote}\", \"{local}\", \"-x\"]}",
        "{\"source\": \"sda\", \"argv\": [\"/bin/hsi\", \"{local}\", \"{remote}\"]}",
        "{\"source\": \"sda\", \"argv\": []}",
        "{\"source\": \"sda\"}",
        "{\"source\": \"other\", \"argv\": [\"/bin/hsi\", \"{remote}\", \"{local}\"]}",
        "{\"argv\": [\"/bin/hsi\", \"{remote}\", \"{local}\"]}",
    };

    (void)state;
    for (size_t i = 0; i < DRAY_COUNT(plans); i++) {
        struct dray_error error = {0};
        assert_int_equal(ask("source/command", plans[i], &error), DRAY_DENIED);
        assert_non_null(strstr(error.message, "does not let source/command run"));
        assert_string_equal(error.hint, "plan it anew");
    }
}

static void other_sources_run_nothing_and_are_not_asked(void **state)
{
    struct dray_error error = {0};

    (void)state;
    assert_int_equal(ask("source/directory", "{\"path\": \"/x\"}", &error), 0);
}

static void without_a_configuration_nothing_is_run(void **state)
{
    struct dray_engine engine = {0};
    struct dray_step step = {.uses = (char *)(uintptr_t) "source/command",
                             .with =
                                 json_loads("{\"source\": \"sda\", \"argv\": [\"/b\"]}", 0, NULL)};
    struct dray_error error = {0};

    (void)state;
    assert_int_equal(dray_program_allowed(&engine, &step, &error), DRAY_DENIED);
    json_decref(step.with);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_configuration_has_is_run),
        cmocka_unit_test(a_stored_plan_with_another_command_is_denied),
        cmocka_unit_test(other_sources_run_nothing_and_are_not_asked),
        cmocka_unit_test(without_a_configuration_nothing_is_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
