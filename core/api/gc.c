/* SPDX-License-Identifier: MIT */
/* gc.c - `dray admin gc`: what nobody needs of scratch is removed, and said. */
#include <string.h>
#include <unistd.h>

#include "core/api/internal.h"
#include "core/base/text.h"

struct answer {
    json_t *items;
    uint64_t removed, kept;
    size_t failed;
    struct dray_error *error;
};

static int add(void *arg, const struct dray_collected *collected)
{
    struct answer *answer = arg;
    char until[24];
    json_t *item = json_pack("{s:s, s:s, s:b, s:I}", "what", collected->what, "why", collected->why,
                             "removed", collected->removed, "bytes", (json_int_t)collected->bytes);
    int failed =
        !item || dray_json_set_path(item, "path", collected->path, strlen(collected->path)) != 0;

    if (!failed && collected->until != 0 && collected->until != INT64_MAX)
        failed = json_object_set_new(item, "until",
                                     json_string(dray_time_print(collected->until, until))) != 0;
    if (!failed && collected->failed)
        failed = json_object_set_new(item, "failed", json_true()) != 0;
    if (failed || json_array_append(answer->items, item) != 0) {
        json_decref(item);
        return dray_fail_memory(answer->error);
    }
    json_decref(item);
    *(collected->removed ? &answer->removed : &answer->kept) += collected->bytes;
    answer->failed += collected->failed != 0;
    return 0;
}

int dray_api_gc(struct dray_api *api, int dry, json_t **ret_answer,
                struct dray_diagnostics *diagnostics, struct dray_error *error)
{
    struct answer answer = {.items = json_array(), .error = error};
    int result =
        answer.items ? dray_api_configure(api, diagnostics, error) : dray_fail_memory(error);

    if (result == 0 && dray_store_is_there(api->state))
        result = dray_api_store(api, error);
    /* Without a state there is nothing of ours. */
    if (result == 0 && access(api->state, F_OK) == 0)
        result = dray_engine_collect(&api->engine, dry, add, &answer, error);
    if (result != 0) {
        json_decref(answer.items);
        return result;
    }
    *ret_answer =
        json_pack("{s:b, s:o, s:I, s:I}", "dry_run", dry, "items", answer.items, "removed_bytes",
                  (json_int_t)answer.removed, "kept_bytes", (json_int_t)answer.kept);
    if (!*ret_answer)
        return dray_fail_memory(error);
    return answer.failed == 0 ? 0
                              : dray_fail(error, DRAY_PERMANENT, "%zu of them could not be removed",
                                          answer.failed);
}
