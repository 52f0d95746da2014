/* SPDX-License-Identifier: MIT */
/* dataset_verify.c - a dataset of the catalog, read in full, against the list that the catalog has
 * of its files. */
#include "core/api/datasets.h"

#include <string.h>

#include "core/base/text.h"

struct seen {
    json_t *differences; /* array */
    json_t *paths;       /* what stands there already: a file may have two reasons */
    json_t *verdict;
    json_t *files; /* what is to be recorded; NULL: nothing is */
};

/* What a runner found of one file. -1 when memory is out. */
static int add_difference(struct seen *seen, const json_t *event)
{
    json_t *path = json_object_get(event, "path"), *coded = json_object_get(event, "path_b64");
    json_t *why = json_object_get(event, "why");
    const char *key = json_string_value(coded ? coded : path);

    if (!key || json_object_get(seen->paths, key))
        return 0;
    json_t *one = json_pack("{s:O, s:O, s:O*, s:O*}", "what", json_object_get(event, "what"),
                            "path", path, "path_b64", coded, "why", why);
    return json_object_set_new(seen->paths, key, json_true()) != 0 ||
                   json_array_append_new(seen->differences, one) != 0
               ? -1
               : 0;
}

static int hear(void *arg, const json_t *event)
{
    struct seen *seen = arg;
    const char *what = json_string_value(json_object_get(event, "event"));

    if (what && strcmp(what, "found") == 0 && seen->files)
        return json_array_append(seen->files, json_object_get(event, "file"));
    if (what && strcmp(what, "differs") == 0)
        return add_difference(seen, event);
    if (!what || strcmp(what, "read") != 0)
        return 0;
    return json_object_set(seen->verdict, "entries", json_object_get(event, "entries")) != 0 ||
                   json_object_set(seen->verdict, "bytes", json_object_get(event, "bytes")) != 0 ||
                   json_object_set(seen->verdict, "digests", json_object_get(event, "digests")) != 0
               ? -1
               : 0;
}

/* What was read becomes the list, all of it or nothing. */
static int store_files(struct dray_store *store, uint64_t id, const json_t *files,
                       struct dray_error *error)
{
    int result = dray_store_dataset_list(store, id, error);

    for (size_t i = 0; result == 0 && i < json_array_size(files); i++) {
        struct dray_dataset_file_said file = {0};
        result = dray_dataset_file_say(json_array_get(files, i), &file, error);
        if (result == 0)
            result = dray_store_dataset_add(store, id, &file.file, error);
        free(file.path);
    }
    return result == 0 ? dray_store_dataset_listed(store, id, error) : result;
}

/* Reading takes long. What was read is of this dataset only if it still is what it was then. */
static int check_unchanged(struct dray_store *store, const struct dray_dataset_row *row,
                           struct dray_error *error)
{
    struct dray_dataset_row *rows = NULL;
    size_t count = 0;
    int result = dray_store_datasets(store, &(struct dray_dataset_wanted){.id = row->id}, &rows,
                                     &count, error);

    if (result != 0)
        return result;
    int same = count == 1 && rows[0].listed == row->listed && rows[0].source && row->source &&
               strcmp(rows[0].source, row->source) == 0;
    dray_dataset_rows_free(rows, count);
    if (same)
        return 0;
    dray_fail(error, DRAY_CONFLICT, "the dataset \"%s\" was %s while it was read", row->name,
              count == 0 ? "deleted from the catalog" : "changed in the catalog");
    dray_hint(error, "nothing was recorded; dray dataset show tells what it is now");
    return DRAY_CONFLICT;
}

/* When its list was recorded, as the verdict says it. */
static int tell_recorded(struct dray_store *store, uint64_t id, struct seen *seen,
                         struct dray_error *error)
{
    struct dray_dataset_row *rows = NULL;
    char listed[24];
    size_t count = 0;
    int result =
        dray_store_datasets(store, &(struct dray_dataset_wanted){.id = id}, &rows, &count, error);

    if (result == 0 && count == 1 &&
        (json_object_set_new(seen->verdict, "verdict", json_string("recorded")) != 0 ||
         json_object_set_new(seen->verdict, "listed",
                             json_string(dray_time_print(rows[0].listed, listed))) != 0 ||
         json_object_set(seen->verdict, "differences", seen->differences) != 0))
        result = dray_fail_memory(error);
    dray_dataset_rows_free(rows, count);
    return result;
}

static int record_files(struct dray_api *api, const struct dray_dataset_row *row, struct seen *seen,
                        struct dray_error *error)
{
    int result = dray_api_store(api, error);

    if (result == 0)
        result = dray_store_begin(api->engine.store, error);
    if (result != 0)
        return result;
    result = check_unchanged(api->engine.store, row, error);
    if (result == 0)
        result = store_files(api->engine.store, row->id, seen->files, error);
    if (result == 0)
        result = dray_store_commit(api->engine.store, error);
    else
        dray_store_rollback(api->engine.store);
    return result == 0 ? tell_recorded(api->engine.store, row->id, seen, error) : result;
}

static int judge(struct seen *seen, struct dray_error *error)
{
    size_t count = json_array_size(seen->differences);

    if (!json_object_get(seen->verdict, "entries"))
        return dray_fail(error, DRAY_BUG, "the runner did not say what it read");

    if (json_object_set_new(seen->verdict, "verdict",
                            json_string(count > 0 ? "damaged" : "intact")) != 0 ||
        json_object_set(seen->verdict, "differences", seen->differences) != 0)
        return dray_fail_memory(error);
    return count == 0
               ? 0
               : dray_fail(error, DRAY_INTEGRITY,
                           "%zu of the dataset's files are not what the catalog records", count);
}

static int plan_of(struct dray_api *api, const char *id, struct dray_diagnostics *diagnostics,
                   struct dray_plan **ret_plan, struct dray_error *error)
{
    static const char text[] = "version: 1\nsteps:\n"
                               "  - { id: validate, uses: validate, with: { manifest: none, read: "
                               "now } }\n";
    struct dray_workflow_request request = {
        .text = text, .name = "dray dataset verify", .dataset = id, .reads_only = 1};

    return dray_api_plan(api, &request, diagnostics, ret_plan, error);
}

static int verify(struct dray_api *api, const struct dray_dataset_row *row,
                  struct dray_diagnostics *diagnostics, struct seen *seen, struct dray_error *error)
{
    dray_cleanup(dray_plan_freep) struct dray_plan *plan = NULL;
    char listed[24];
    dray_autofree char *id = dray_format("id:%llu", (unsigned long long)row->id);

    seen->differences = json_array();
    seen->paths = json_object();
    seen->verdict =
        json_pack("{s:I, s:s, s:s, s:s}", "id", (json_int_t)row->id, "name", row->name, "type",
                  row->type ? row->type : "", "listed", dray_time_print(row->listed, listed));
    if (!id || !seen->differences || !seen->paths || !seen->verdict)
        return dray_fail_memory(error);
    int result = plan_of(api, id, diagnostics, &plan, error);
    if (result == 0)
        result = dray_engine_verify(&api->engine, plan, seen->files != NULL, hear, seen, error);
    return result;
}

int dray_api_dataset_verify(struct dray_api *api, const char *reference, int record,
                            struct dray_diagnostics *diagnostics, json_t **ret_verdict,
                            struct dray_error *error)
{
    dray_cleanup(dray_dataset_row_clear) struct dray_dataset_row row = {0};
    struct seen seen = {0};

    int result = dray_dataset_of(api, reference, &row, error);
    if (result == 0 && record && row.listed != 0) {
        result = dray_fail(error, DRAY_INVALID, "the catalog has a list of the files of \"%s\"",
                           row.name);
        dray_hint(error, "without --record the dataset is compared with it");
    }
    if (result == 0 && record && !(seen.files = json_array()))
        result = dray_fail_memory(error);
    if (result == 0 && !record && row.listed == 0) {
        result = dray_fail(error, DRAY_INVALID, "the catalog has no list of the files of \"%s\"",
                           row.name);
        dray_hint(error, "dray dataset import takes one, and --record makes one of what is there");
    }
    if (result == 0)
        result = verify(api, &row, diagnostics, &seen, error);
    if (result == 0) {
        result = record ? record_files(api, &row, &seen, error) : judge(&seen, error);
        if (result == 0 || result == DRAY_INTEGRITY)
            *ret_verdict = json_incref(seen.verdict);
    }
    json_decref(seen.differences);
    json_decref(seen.paths);
    json_decref(seen.files);
    json_decref(seen.verdict);
    return result;
}
