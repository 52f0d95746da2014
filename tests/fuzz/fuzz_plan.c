/* SPDX-License-Identifier: MIT */
/*
 * fuzz_plan.c - a stranger's workflow under a policy that may be broken too: the input is a
 * workflow and, behind a line
 * `%%`, a policy. Plugins are stand-ins. Beside memory errors, it looks for promises that are
 * broken: a plan or a reason, a denial for whatever is wrong with the policy, and a plan that comes
 * back from its JSON as it was.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/io.h"
#include "tests/unit/stand_ins.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEPARATOR "\n%%\n"

/* Where the policies lie: a directory of this process, made once and left to the system. */
static const char *policies(void)
{
    static char path[] = "/tmp/dray-fuzz-plan-XXXXXX";
    static int made;

    if (!made)
        assert(mkdtemp(path) != NULL);
    made = 1;
    return path;
}

static void write_policy(const char *text, size_t length)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "%s/p.yaml", policies());
    if (!text) {
        (void)unlink(path);
        return;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert(fd >= 0 && dray_write_all(fd, text, length) == 0);
    assert(dray_close(&fd) == 0);
}

static void check_plan(const struct dray_plan *plan)
{
    dray_cleanup(dray_plan_freep) struct dray_plan *parsed = NULL;
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 16u << 20};
    struct dray_error error = {0};
    json_t *json = dray_plan_json(plan);

    assert(json && dray_plan_parse(json, &parsed, &error) == 0);
    json_t *again = dray_plan_json(parsed);
    assert(json_equal(json, again));
    json_decref(json);
    json_decref(again);
    dray_plan_print(plan, &out);
    assert(out.failed == 0 && out.length > 0);
    assert(plan->target_count > 0 && strlen(plan->digest) == 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *policy = size ? memmem(text, size, SEPARATOR, strlen(SEPARATOR)) : NULL;
    const char *const directories[] = {policies()};
    size_t length = policy ? (size_t)(policy - text) : size;
    struct dray_diagnostics diagnostics = {0};
    dray_cleanup(dray_plan_freep) struct dray_plan *plan = NULL;
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 64u << 20};
    struct dray_error error = {0};
    const struct dray_plan_request request = {
        .workflow_name = "w.yaml",
        .workflow_text = size ? text : "",
        .workflow_length = length,
        .workflow_base = "/tmp",
        .dataset = "/usr",
        .dataset_base = "/tmp",
        .policy_directories = directories,
        .policy_directory_count = 1,
        .user = "u",
        .actor = "a",
        .asker = {stand_ins_answer, NULL},
    };

    if (policy)
        policy += strlen(SEPARATOR);
    write_policy(policy, policy ? size - length - strlen(SEPARATOR) : 0);
    int result = dray_plan_make(&request, &diagnostics, &plan, &error);
    assert((result == 0) == (plan != NULL));
    assert(result == error.class_ && (result == 0 || error.message[0]));
    /* the proof never has anything to find */
    assert(result != DRAY_BUG);
    if (plan)
        check_plan(plan);
    else
        assert(result != DRAY_INVALID || diagnostics.errors > 0 ||
               strstr(error.message, "more than"));
    for (size_t i = 0; i < diagnostics.count; i++)
        if (diagnostics.items[i].place.source > 0)
            assert(result != 0 && result != DRAY_INVALID);
    dray_diagnostics_print(&diagnostics, 0, &out);
    dray_diagnostics_free(&diagnostics);
    return 0;
}
