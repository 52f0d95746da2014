/* SPDX-License-Identifier: MIT */
/* datasets.c - the catalog: what the commands do with it, and which dataset a name stands for. */
#include "core/api/datasets.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/api/overlap.h"
#include "core/base/io.h"
#include "core/base/text.h"

/* ---- as JSON */

static int set_optional(json_t *json, const char *key, const char *value)
{
    return value ? json_object_set_new(json, key, json_string(value)) : 0;
}

/* NULL when memory is out. */
static json_t *row_json(const struct dray_dataset_row *row)
{
    char created[24], updated[24], listed[24];
    json_t *json = json_pack("{s:I, s:s, s:s, s:s}", "id", (json_int_t)row->id, "name", row->name,
                             "created", dray_time_print(row->created, created), "updated",
                             dray_time_print(row->updated, updated));
    int failed = !json || set_optional(json, "type", *row->type ? row->type : NULL) ||
                 set_optional(json, "external_id", row->external_id) ||
                 set_optional(json, "owner", row->owner) ||
                 set_optional(json, "source", row->source) ||
                 (row->tags && json_object_set(json, "tags", row->tags) != 0) ||
                 (row->labels && json_object_set(json, "labels", row->labels) != 0) ||
                 (row->bundle && json_object_set(json, "bundle", row->bundle) != 0);

    if (!failed && row->listed)
        failed = json_object_set_new(json, "entries", json_integer((json_int_t)row->files)) ||
                 json_object_set_new(json, "bytes", json_integer((json_int_t)row->bytes)) ||
                 set_optional(json, "listed", dray_time_print(row->listed, listed));
    if (!failed)
        return json;
    json_decref(json);
    return NULL;
}

static int give(const struct dray_dataset_row *row, json_t **ret_json, struct dray_error *error)
{
    *ret_json = row_json(row);
    return *ret_json ? 0 : dray_fail_memory(error);
}

/* ---- which dataset is meant */

int dray_dataset_first(struct dray_api *api, const struct dray_dataset_wanted *wanted,
                       struct dray_dataset_row *ret_row, struct dray_error *error)
{
    struct dray_dataset_row *rows = NULL;
    size_t count = 0;
    int result = dray_store_datasets(api->engine.store, wanted, &rows, &count, error);

    if (result != 0)
        return result;
    *ret_row = (struct dray_dataset_row){0};
    if (count > 0) {
        *ret_row = rows[0];
        rows[0] = (struct dray_dataset_row){0};
    }
    dray_dataset_rows_free(rows, count);
    return 0;
}

/* What the catalog has that may have been meant. */
static void suggest(struct dray_api *api, const char *name, struct dray_error *error)
{
    struct dray_dataset_row *rows = NULL;
    struct dray_error ignored = {0};
    size_t count = 0;

    dray_hint(error, "dray dataset list names all; a path begins with /, ./ or ../");
    if (dray_store_datasets(api->engine.store, &(struct dray_dataset_wanted){0}, &rows, &count,
                            &ignored) != 0)
        return;
    dray_autofree const char **names = calloc(count + 1, sizeof(*names));
    for (size_t i = 0; names && i < count; i++)
        names[i] = rows[i].name;
    const char *near = names ? dray_nearest(name, names, count) : NULL;
    for (size_t i = 0; near && i < count; i++) {
        if (rows[i].name != near)
            continue;
        int typed = strcmp(near, name) == 0 && *rows[i].type;
        dray_hint(error, "did you mean \"%s%s%s\"?", typed ? rows[i].type : "", typed ? "/" : "",
                  near);
    }
    dray_dataset_rows_free(rows, count);
}

static int fail_missing(struct dray_api *api, const char *reference, const char *name,
                        struct dray_error *error)
{
    struct stat status;
    int there = *reference && stat(reference, &status) == 0;

    (void)dray_fail(error, DRAY_NOT_FOUND, "there is no dataset \"%s\" in the catalog", reference);
    if (there && !dray_is_path(reference))
        dray_hint(error, "for the path of that name write ./%s", reference);
    else if (there)
        dray_hint(error, "a path gets a name with dray dataset add NAME --source %s", reference);
    else
        suggest(api, name, error);
    return DRAY_NOT_FOUND;
}

/* Several types have the name: each by what tells it from the others. */
static int fail_ambiguous(const char *name, const struct dray_dataset_row *rows, size_t count,
                          struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 512};

    for (size_t i = 0; i < count && i < 8; i++) {
        dray_buffer_text(&text, i == 0 ? "" : i + 1 == count ? " or " : ", ");
        if (*rows[i].type)
            dray_buffer_format(&text, "%s/%s", rows[i].type, rows[i].name);
        else
            dray_buffer_format(&text, "id:%llu", (unsigned long long)rows[i].id);
    }
    (void)dray_fail(error, DRAY_INVALID, "%zu datasets have the name \"%s\"", count, name);
    dray_hint(error, "write %s", text.data ? text.data : "TYPE/NAME");
    return DRAY_INVALID;
}

/* NAME, TYPE/NAME or id:N. `type` is freed by the caller. */
static int read_reference(const char *reference, struct dray_dataset_wanted *wanted, char **type,
                          struct dray_error *error)
{
    const char *slash = strchr(reference, '/'), *why = NULL;
    int64_t id = 0;

    wanted->name = reference;
    if (strncmp(reference, "id:", 3) == 0) {
        if (dray_int_parse(reference + 3, strlen(reference + 3), &id, &why) != 0 || id < 1) {
            (void)dray_fail(error, DRAY_INVALID, "\"%s\" is no id of a dataset", reference);
            dray_hint(error, "id: and a number from 1 on; dray dataset list shows them");
            return DRAY_INVALID;
        }
        wanted->name = NULL;
        wanted->id = (uint64_t)id;
    } else if (slash) {
        *type = strndup(reference, (size_t)(slash - reference));
        if (!*type)
            return dray_fail_memory(error);
        wanted->type = *type;
        wanted->name = slash + 1;
    }
    return 0;
}

/* The store is open. */
static int find(struct dray_api *api, const char *reference, struct dray_dataset_row *ret_row,
                struct dray_error *error)
{
    struct dray_dataset_wanted wanted = {0};
    dray_autofree char *type = NULL;
    struct dray_dataset_row *rows = NULL;
    size_t count = 0;
    int result = read_reference(reference, &wanted, &type, error);

    if (result == 0)
        result = dray_store_datasets(api->engine.store, &wanted, &rows, &count, error);
    if (result != 0)
        return result;
    if (count == 1) {
        *ret_row = rows[0];
        rows[0] = (struct dray_dataset_row){0};
    } else if (count == 0) {
        result = fail_missing(api, reference, wanted.name ? wanted.name : reference, error);
    } else {
        result = fail_ambiguous(reference, rows, count, error);
    }
    dray_dataset_rows_free(rows, count);
    return result;
}

/* ---- for the planner */

static int find_json(void *arg, const char *reference, json_t **ret_dataset,
                     struct dray_error *error)
{
    dray_cleanup(dray_dataset_row_clear) struct dray_dataset_row row = {0};
    struct dray_api *api = arg;
    int result = dray_api_store_read(api, error);

    if (result == 0)
        result = find(api, reference, &row, error);
    return result == 0 ? give(&row, ret_dataset, error) : result;
}

/* A source, and the rows whose sources hold bytes of it. */
struct sharing {
    struct dray_overlap overlap;
    struct sharing_row {
        uint64_t id;
        enum dray_overlap_kind kind;
    } * rows;
    size_t count, capacity;
    struct dray_error *error;
};

static int note_row(void *arg, uint64_t id, const char *source)
{
    struct sharing *sharing = arg;
    enum dray_overlap_kind kind = DRAY_OVERLAP_NONE;
    int result = dray_overlap_judge(&sharing->overlap, source, &kind, sharing->error);

    if (result != 0 || kind == DRAY_OVERLAP_NONE)
        return result;
    if (DRAY_GROW(sharing->rows, sharing->count, sharing->capacity) != 0)
        return dray_fail_memory(sharing->error);
    sharing->rows[sharing->count++] = (struct sharing_row){id, kind};
    return 0;
}

static int add_row(struct dray_api *api, const struct sharing_row *found, json_t *list,
                   struct dray_error *error)
{
    dray_cleanup(dray_dataset_row_clear) struct dray_dataset_row row = {0};
    const struct dray_dataset_wanted wanted = {.id = found->id};
    json_t *json = NULL;
    int result = dray_dataset_first(api, &wanted, &row, error);

    if (result == 0 && row.id)
        result = give(&row, &json, error);
    if (!json)
        return result;
    /* From here on the list owns it, whatever fails. */
    return json_array_append_new(list, json) ||
                   set_optional(json, "overlap", dray_overlap_name(found->kind))
               ? dray_fail_memory(error)
               : 0;
}

static int sharing_json(void *arg, const char *source, json_t **ret_list, struct dray_error *error)
{
    struct dray_api *api = arg;
    struct sharing sharing = {.error = error};
    json_t *list = json_array();

    if (!list)
        return dray_fail_memory(error);
    *ret_list = list;
    /* Nothing is known of anything, and looking makes no store. */
    if (!api->engine.store && !dray_store_is_there(api->state))
        return 0;
    int result = dray_api_store_read(api, error);
    if (result == 0)
        result = dray_overlap_begin(&sharing.overlap, source, error);
    if (result == 0)
        result = dray_store_dataset_sources(api->engine.store, note_row, &sharing, error);
    for (size_t i = 0; result == 0 && i < sharing.count; i++)
        result = add_row(api, &sharing.rows[i], list, error);
    free(sharing.rows);
    dray_overlap_clear(&sharing.overlap);
    return result;
}

struct dray_catalog dray_api_catalog(struct dray_api *api)
{
    return (struct dray_catalog){find_json, sharing_json, api};
}

/* ---- the operations */

/* What somebody names is there; what a platform imports may come later. */
static int check_source(const json_t *said, const struct dray_dataset_row *row,
                        struct dray_error *error)
{
    struct stat status;

    if (!json_object_get(said, "source") || !row->source || *row->source != '/')
        return 0;
    if (stat(row->source, &status) != 0) {
        int result = dray_fail_errno(error, errno, "looking at the source %s", row->source);
        if (result == DRAY_NOT_FOUND)
            dray_hint(error, "what is not there yet can be imported (dray dataset import); what a "
                             "program brings is NAME:REMOTE");
        return result;
    }
    if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode))
        return dray_fail(error, DRAY_INVALID, "the source %s is neither a file nor a directory",
                         row->source);
    return 0;
}

/* A name with a colon may have been meant as a path. */
static int check_remote(const struct dray_api *api, const json_t *said, struct dray_error *error)
{
    const char *source = json_string_value(json_object_get(said, "source"));
    struct stat status;

    if (!source || !dray_is_remote(source))
        return 0;
    dray_autofree char *path = dray_path_absolute(api->here, source);
    if (!path)
        return dray_fail_memory(error);
    if (stat(path, &status) != 0)
        return 0;
    (void)dray_fail(error, DRAY_INVALID,
                    "the source %s would be what a program brings, and there is a %s of that name",
                    source, S_ISDIR(status.st_mode) ? "directory" : "file");
    dray_hint(error, "for the path write ./%s", source);
    return DRAY_INVALID;
}

/* What is known of one file is said of a directory by mistake. */
static int check_bundle(const struct dray_dataset_row *row, struct dray_error *error)
{
    struct stat status;

    if (!row->bundle || !row->source || *row->source != '/' || stat(row->source, &status) != 0 ||
        !S_ISDIR(status.st_mode))
        return 0;
    (void)dray_fail(error, DRAY_INVALID,
                    "the source %s is a directory, and --digest and --bundle-size are of a file",
                    row->source);
    dray_hint(error, "digests of its files are imported with the list of them, or recorded by dray "
                     "dataset verify --record");
    return DRAY_INVALID;
}

static int store(struct dray_api *api, json_t *said, struct dray_dataset_row *row,
                 json_t **ret_dataset, struct dray_error *error)
{
    const uint64_t files = row->files;
    const int listed = row->listed != 0, bundled = row->bundle != NULL;
    int result = check_remote(api, said, error);

    if (result == 0)
        result = dray_dataset_say(row, said, api->here, 1, error);
    if (result == 0)
        result = check_source(said, row, error);
    if (result == 0)
        result = check_bundle(row, error);
    if (result == 0)
        result = dray_store_dataset_put(api->engine.store, row, error);
    if (result == DRAY_CONFLICT) { /* it is what was said that is wrong */
        result = error->class_ = DRAY_INVALID;
        if (row->id == 0)
            dray_hint(error, "to change it: dray dataset set");
    }
    if (result == 0)
        result = give(row, ret_dataset, error);
    int forgot = bundled && !row->bundle && !json_object_get(said, "bundle");
    if (result == 0 &&
        ((listed && row->listed == 0 &&
          json_object_set_new(*ret_dataset, "list_dropped", json_integer((json_int_t)files)) !=
              0) ||
         (forgot && json_object_set_new(*ret_dataset, "bundle_dropped", json_true()) != 0))) {
        json_decref(*ret_dataset);
        *ret_dataset = NULL;
        result = dray_fail_memory(error);
    }
    return result;
}

int dray_api_dataset_add(struct dray_api *api, json_t *said, json_t **ret_dataset,
                         struct dray_error *error)
{
    dray_cleanup(dray_dataset_row_clear) struct dray_dataset_row row = {0};
    int result = dray_api_store(api, error);

    if (result == 0)
        result = store(api, said, &row, ret_dataset, error);
    return result;
}

int dray_api_dataset_set(struct dray_api *api, const char *reference, json_t *said,
                         json_t **ret_dataset, struct dray_error *error)
{
    dray_cleanup(dray_dataset_row_clear) struct dray_dataset_row row = {0};
    int result = dray_api_store(api, error);

    if (result == 0)
        result = dray_store_begin(api->engine.store, error);
    if (result != 0)
        return result;
    result = find(api, reference, &row, error);
    if (result == 0)
        result = store(api, said, &row, ret_dataset, error);
    if (result == 0)
        result = dray_store_commit(api->engine.store, error);
    else
        dray_store_rollback(api->engine.store);
    return result;
}

int dray_api_dataset_delete(struct dray_api *api, const char *reference, json_t **ret_deleted,
                            struct dray_error *error)
{
    dray_cleanup(dray_dataset_row_clear) struct dray_dataset_row row = {0};
    int result = dray_api_store(api, error);

    if (result == 0)
        result = find(api, reference, &row, error);
    if (result == 0)
        result = dray_store_dataset_delete(api->engine.store, row.id, error);
    return result == 0 ? give(&row, ret_deleted, error) : result;
}

static int has_tag(const struct dray_dataset_row *row, const char *tag)
{
    json_t *one;
    size_t i;

    json_array_foreach(row->tags, i, one) if (strcmp(json_string_value(one), tag) == 0) return 1;
    return !tag;
}

int dray_api_dataset_list(struct dray_api *api, const struct dray_datasets_request *request,
                          json_t **ret_list, struct dray_error *error)
{
    const struct dray_dataset_wanted wanted = {.type = request->type,
                                               .external_id = request->external_id};
    struct dray_dataset_row *rows = NULL;
    size_t count = 0;
    json_t *list = json_array();
    int result = list ? dray_api_store_read(api, error) : dray_fail_memory(error);

    if (result == 0)
        result = dray_store_datasets(api->engine.store, &wanted, &rows, &count, error);
    for (size_t i = 0; result == 0 && i < count; i++) {
        if (request->tag && !has_tag(&rows[i], request->tag))
            continue;
        if (request->owner && (!rows[i].owner || strcmp(rows[i].owner, request->owner) != 0))
            continue;
        if (json_array_append_new(list, row_json(&rows[i])) != 0)
            result = dray_fail_memory(error);
    }
    dray_dataset_rows_free(rows, count);
    if (result == 0)
        *ret_list = list;
    else
        json_decref(list);
    return result;
}

/* One of its files behind the others. */
static int add_file(void *arg, const struct dray_dataset_file *file)
{
    json_t *json = json_pack("{s:I}", "size", (json_int_t)file->bytes);

    if (!json || dray_json_set_path(json, "path", file->path, strlen(file->path)) != 0 ||
        set_optional(json, "sha256", file->sha256) || set_optional(json, "md5", file->md5)) {
        json_decref(json);
        return DRAY_NO_MEMORY;
    }
    return json_array_append_new(arg, json) == 0 ? 0 : DRAY_NO_MEMORY;
}

int dray_dataset_of(struct dray_api *api, const char *reference, struct dray_dataset_row *ret_row,
                    struct dray_error *error)
{
    int result = dray_api_store_read(api, error);

    return result == 0 ? find(api, reference, ret_row, error) : result;
}

int dray_api_dataset_show(struct dray_api *api, const char *reference, json_t **ret_dataset,
                          struct dray_error *error)
{
    dray_cleanup(dray_dataset_row_clear) struct dray_dataset_row row = {0};
    json_t *files = NULL;
    int result = dray_api_store_read(api, error);

    if (result == 0)
        result = find(api, reference, &row, error);
    if (result == 0)
        result = give(&row, ret_dataset, error);
    if (result != 0 || !row.listed)
        return result;
    files = json_array();
    result = files ? dray_store_dataset_files(api->engine.store, row.id, add_file, files, error)
                   : DRAY_NO_MEMORY;
    if (json_object_set_new(*ret_dataset, "files", files) != 0 || result == DRAY_NO_MEMORY)
        result = dray_fail_memory(error);
    if (result != 0) {
        json_decref(*ret_dataset);
        *ret_dataset = NULL;
    }
    return result;
}
