/* SPDX-License-Identifier: MIT */
/* rows.c - rows as tables of columns: one place that writes, reads and frees them all. */
#include "core/store/internal.h"

#include <assert.h>
#include <string.h>

#define MOST_COLUMNS 24
#define MOST_SQL     ((size_t)4096)
#define READ_FLAGS   (JSON_REJECT_DUPLICATES | JSON_DECODE_ANY)
#define WRITE_FLAGS  (JSON_COMPACT | JSON_ENCODE_ANY)

#define COLUMN(ROW, MEMBER, NAME, KIND)                                                            \
    {                                                                                              \
        NAME, DRAY_COLUMN_##KIND, offsetof(struct ROW, MEMBER), 0                                  \
    }
#define LARGE(ROW, MEMBER, NAME, KIND)                                                             \
    {                                                                                              \
        NAME, DRAY_COLUMN_##KIND, offsetof(struct ROW, MEMBER), 1                                  \
    }

static const struct dray_column job_columns[] = {
    COLUMN(dray_job_row, id, "id", TEXT),
    COLUMN(dray_job_row, dataset, "dataset", TEXT),
    COLUMN(dray_job_row, dataset_id, "dataset_id", TEXT),
    LARGE(dray_job_row, workflow, "workflow", TEXT),
    COLUMN(dray_job_row, workflow_file, "workflow_file", TEXT),
    LARGE(dray_job_row, plan, "plan", TEXT),
    COLUMN(dray_job_row, plan_digest, "plan_digest", TEXT),
    COLUMN(dray_job_row, user, "user_name", TEXT),
    COLUMN(dray_job_row, actor, "actor_name", TEXT),
    COLUMN(dray_job_row, state, "state", STATE),
    COLUMN(dray_job_row, reason, "reason", TEXT),
    COLUMN(dray_job_row, hint, "hint", TEXT),
    COLUMN(dray_job_row, created, "created_at", TIME),
    COLUMN(dray_job_row, updated, "updated_at", TIME),
};

static const struct dray_column target_columns[] = {
    COLUMN(dray_target_row, step, "step", TEXT),
    COLUMN(dray_target_row, push, "push", TEXT),
    COLUMN(dray_target_row, destination, "destination", TEXT),
    COLUMN(dray_target_row, request_key, "request_key", TEXT),
    COLUMN(dray_target_row, state, "state", STATE),
    COLUMN(dray_target_row, manifest_sha256, "manifest_sha256", TEXT),
    LARGE(dray_target_row, receipt, "receipt", TEXT),
    COLUMN(dray_target_row, confirmation, "confirmation", JSON),
    COLUMN(dray_target_row, entries, "entries", COUNT),
    COLUMN(dray_target_row, bytes, "bytes", COUNT),
    COLUMN(dray_target_row, delivered_at, "delivered_at", TIME),
};

static const struct dray_column attempt_columns[] = {
    COLUMN(dray_attempt_row, number, "number", NUMBER),
    COLUMN(dray_attempt_row, started, "started_at", TIME),
    COLUMN(dray_attempt_row, ended, "ended_at", TIME),
    COLUMN(dray_attempt_row, outcome, "outcome", TEXT),
    COLUMN(dray_attempt_row, reason, "reason", TEXT),
};

static const struct dray_column step_columns[] = {
    COLUMN(dray_step_row, step, "step", TEXT),
    COLUMN(dray_step_row, uses, "uses", TEXT),
    COLUMN(dray_step_row, version, "version", TEXT),
    COLUMN(dray_step_row, outcome, "outcome", TEXT),
    COLUMN(dray_step_row, reason, "reason", TEXT),
    COLUMN(dray_step_row, class_, "class", TEXT),
    COLUMN(dray_step_row, tree_digest, "tree_digest", TEXT),
    COLUMN(dray_step_row, rules, "rules", JSON),
    COLUMN(dray_step_row, entries_in, "entries_in", COUNT),
    COLUMN(dray_step_row, bytes_in, "bytes_in", COUNT),
    COLUMN(dray_step_row, entries_out, "entries_out", COUNT),
    COLUMN(dray_step_row, bytes_out, "bytes_out", COUNT),
    COLUMN(dray_step_row, started, "started_at", TIME),
    COLUMN(dray_step_row, ended, "ended_at", TIME),
};

static const struct dray_column recipe_columns[] = {
    COLUMN(dray_recipe_row, name, "name", TEXT),
    COLUMN(dray_recipe_row, version, "version", NUMBER),
    LARGE(dray_recipe_row, text, "text", TEXT),
    COLUMN(dray_recipe_row, digest, "digest", TEXT),
    COLUMN(dray_recipe_row, saved_by, "saved_by", TEXT),
    COLUMN(dray_recipe_row, saved_at, "saved_at", TIME),
};

static const struct dray_column dataset_columns[] = {
    COLUMN(dray_dataset_row, id, "id", COUNT),
    COLUMN(dray_dataset_row, name, "name", TEXT),
    COLUMN(dray_dataset_row, type, "type", TEXT),
    COLUMN(dray_dataset_row, external_id, "external_id", TEXT),
    COLUMN(dray_dataset_row, owner, "owner", TEXT),
    COLUMN(dray_dataset_row, tags, "tags", JSON),
    COLUMN(dray_dataset_row, labels, "labels", JSON),
    COLUMN(dray_dataset_row, source, "source", TEXT),
    COLUMN(dray_dataset_row, bundle, "bundle", JSON),
    COLUMN(dray_dataset_row, files, "files", COUNT),
    COLUMN(dray_dataset_row, bytes, "bytes", COUNT),
    COLUMN(dray_dataset_row, listed, "listed_at", TIME),
    COLUMN(dray_dataset_row, created, "created_at", TIME),
    COLUMN(dray_dataset_row, updated, "updated_at", TIME),
};

#define TABLE(NAME, ROW, COLUMNS, KEY, ...)                                                        \
    {                                                                                              \
        NAME, {__VA_ARGS__}, KEY, sizeof(struct ROW), COLUMNS, DRAY_COUNT(COLUMNS)                 \
    }

const struct dray_table dray_job_table = TABLE("push_job", dray_job_row, job_columns, NULL, NULL);
const struct dray_table dray_target_table =
    TABLE("push_target", dray_target_row, target_columns, NULL, "job_id", "position");
const struct dray_table dray_attempt_table =
    TABLE("attempt", dray_attempt_row, attempt_columns, NULL, "job_id");
const struct dray_table dray_step_table =
    TABLE("step_run", dray_step_row, step_columns, "job_id, attempt, step", "job_id", "attempt",
          "position");
const struct dray_table dray_recipe_table =
    TABLE("recipe", dray_recipe_row, recipe_columns, NULL, NULL);
const struct dray_table dray_dataset_table =
    TABLE("dataset", dray_dataset_row, dataset_columns, "id", NULL);

_Static_assert(DRAY_COUNT(job_columns) <= MOST_COLUMNS, "MOST_COLUMNS is too small");
_Static_assert(DRAY_COUNT(step_columns) + 3 <= MOST_COLUMNS, "MOST_COLUMNS is too small");

static size_t parent_count(const struct dray_table *table)
{
    size_t count = 0;

    while (count < DRAY_COUNT(table->parent) && table->parent[count] != NULL)
        count++;
    return count;
}

/* --- Writing ---------------------------------------------------------------------------------- */

/* INSERT INTO table (columns) VALUES (?1, ...) [ON CONFLICT (key) DO UPDATE SET ...] */
static void write_insert(const struct dray_table *table, struct dray_buffer *sql)
{
    size_t parents = parent_count(table);

    dray_buffer_format(sql, "INSERT INTO %s (", table->name);
    for (size_t i = 0; i < parents; i++)
        dray_buffer_format(sql, "%s, ", table->parent[i]);
    for (size_t i = 0; i < table->column_count; i++)
        dray_buffer_format(sql, "%s%s", i > 0 ? ", " : "", table->columns[i].name);
    dray_buffer_text(sql, ") VALUES (");
    for (size_t i = 0; i < parents + table->column_count; i++)
        dray_buffer_format(sql, "%s?%zu", i > 0 ? ", " : "", i + 1);
    dray_buffer_text(sql, ")");
    if (table->key == NULL)
        return;
    dray_buffer_format(sql, " ON CONFLICT (%s) DO UPDATE SET ", table->key);
    for (size_t i = 0; i < table->column_count; i++)
        dray_buffer_format(sql, "%s%s = excluded.%s", i > 0 ? ", " : "", table->columns[i].name,
                           table->columns[i].name);
}

/* What a member is in a statement. JSON is printed into *owned. */
static int value_of(struct dray_store *store, const struct dray_column *column, const void *row,
                    struct dray_value *ret_value, char **owned, struct dray_error *error)
{
    const char *member = (const char *)row + column->offset;
    const json_t *json;
    uint64_t count;

    switch (column->kind) {
    case DRAY_COLUMN_TEXT:
        *ret_value = DRAY_SQL_TEXT(*(char *const *)(const void *)member);
        return 0;
    case DRAY_COLUMN_JSON:
        json = *(json_t *const *)(const void *)member;
        *owned = json == NULL ? NULL : json_dumps(json, WRITE_FLAGS);
        if (json != NULL && *owned == NULL)
            return dray_fail_memory(error);
        *ret_value = DRAY_SQL_TEXT(*owned);
        return 0;
    case DRAY_COLUMN_STATE:
        *ret_value = DRAY_SQL_TEXT(dray_state_name(*(const enum dray_state *)(const void *)member));
        return 0;
    case DRAY_COLUMN_COUNT:
        count = *(const uint64_t *)(const void *)member;
        if (count > INT64_MAX)
            return dray_store_fail(store, error, DRAY_INVALID, "%s is larger than can be stored",
                                   column->name);
        *ret_value = DRAY_SQL_NUMBER((int64_t)count);
        return 0;
    case DRAY_COLUMN_NUMBER:
        *ret_value = DRAY_SQL_NUMBER(*(const uint32_t *)(const void *)member);
        return 0;
    case DRAY_COLUMN_TIME:
        *ret_value = DRAY_SQL_NUMBER(*(const int64_t *)(const void *)member);
        if (ret_value->number == 0)
            *ret_value = DRAY_SQL_TEXT(NULL);
        return 0;
    }
    return dray_store_fail(store, error, DRAY_BUG, "column %s is of no kind", column->name);
}

int dray_row_insert(struct dray_store *store, const struct dray_table *table,
                    const struct dray_value *parents, const void *row, struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer sql = {.cap = MOST_SQL};
    struct dray_value values[MOST_COLUMNS];
    char *owned[MOST_COLUMNS] = {NULL};
    size_t first = parent_count(table);
    int result = 0;

    write_insert(table, &sql);
    if (sql.failed != 0)
        return dray_fail_memory(error);
    for (size_t i = 0; i < first; i++)
        values[i] = parents[i];
    for (size_t i = 0; result == 0 && i < table->column_count; i++)
        result = value_of(store, &table->columns[i], row, &values[first + i], &owned[i], error);
    if (result == 0)
        result = dray_sql_run(store, sql.data, values, first + table->column_count, error);
    for (size_t i = 0; i < MOST_COLUMNS; i++)
        free(owned[i]);
    return result;
}

/* --- Reading ---------------------------------------------------------------------------------- */

static void write_select(const struct dray_table *table, int with_large, const char *where,
                         struct dray_buffer *sql)
{
    const char *comma = "";

    dray_buffer_text(sql, "SELECT ");
    for (size_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].large && !with_large)
            continue;
        dray_buffer_format(sql, "%s%s", comma, table->columns[i].name);
        comma = ", ";
    }
    dray_buffer_format(sql, " FROM %s %s", table->name, where);
}

static int fail_value(struct dray_store *store, const struct dray_column *column,
                      struct dray_error *error)
{
    return dray_store_fail(store, error, DRAY_INTEGRITY,
                           "column %s of %s/%s holds what it must not", column->name,
                           store->directory, DRAY_STORE_FILE);
}

static int read_json(struct dray_store *store, const struct dray_column *column, const char *text,
                     json_t **ret_json, struct dray_error *error)
{
    json_error_t problem;
    json_t *json = json_loads(text, READ_FLAGS, &problem);

    /* Out of memory, jansson mostly says nothing at all; now and then it blames the text. */
    if (json == NULL &&
        (problem.text[0] == '\0' || json_error_code(&problem) == json_error_out_of_memory))
        return dray_fail_memory(error);
    if (json == NULL)
        return fail_value(store, column, error);
    *ret_json = json;
    return 0;
}

static int read_value(struct dray_store *store, sqlite3_stmt *statement, int index,
                      const struct dray_column *column, void *row, struct dray_error *error)
{
    dray_autofree char *text = NULL;
    void *member = (char *)row + column->offset;
    int64_t number = sqlite3_column_int64(statement, index);
    int result;

    switch (column->kind) {
    case DRAY_COLUMN_TEXT:
        return dray_sql_copy(store, statement, index, member, error);
    case DRAY_COLUMN_JSON:
        result = dray_sql_copy(store, statement, index, &text, error);
        if (result != 0 || text == NULL)
            return result;
        return read_json(store, column, text, member, error);
    case DRAY_COLUMN_STATE:
        result = dray_sql_copy(store, statement, index, &text, error);
        if (result == 0 && (text == NULL || dray_state_of_name(text, member) != 0))
            return fail_value(store, column, error);
        return result;
    case DRAY_COLUMN_COUNT:
        if (number < 0)
            return fail_value(store, column, error);
        *(uint64_t *)member = (uint64_t)number;
        return 0;
    case DRAY_COLUMN_NUMBER:
        if (number < 0 || number > UINT32_MAX)
            return fail_value(store, column, error);
        *(uint32_t *)member = (uint32_t)number;
        return 0;
    case DRAY_COLUMN_TIME:
        *(int64_t *)member = number;
        return 0;
    }
    return fail_value(store, column, error);
}

/* The current row of the statement becomes the last of `rows`. */
static int read_row(struct dray_store *store, sqlite3_stmt *statement, struct dray_rows *rows,
                    int with_large, struct dray_error *error)
{
    const struct dray_table *table = rows->table;
    int index = 0;

    if (dray_grow(&rows->rows, &rows->capacity, table->size, rows->count + 1) != 0)
        return dray_fail_memory(error);
    void *row = (char *)rows->rows + rows->count * table->size;
    memset(row, 0, table->size);
    /* Counted before it is filled, so that what it owns is freed if that fails. */
    rows->count++;
    for (size_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].large && !with_large)
            continue;
        int result = read_value(store, statement, index++, &table->columns[i], row, error);
        if (result != 0)
            return result;
    }
    return 0;
}

int dray_rows_read(struct dray_store *store, struct dray_rows *rows, int with_large,
                   const char *where, const struct dray_value *values, size_t count,
                   struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer sql = {.cap = MOST_SQL};
    dray_cleanup(dray_sql_closep) sqlite3_stmt *statement = NULL;

    write_select(rows->table, with_large, where, &sql);
    if (sql.failed != 0)
        return dray_fail_memory(error);
    int result = dray_sql_open(store, sql.data, values, count, &statement, error);
    if (result != 0)
        return result;
    while ((result = dray_sql_next(store, statement, error)) == 1) {
        result = read_row(store, statement, rows, with_large, error);
        if (result != 0)
            break;
    }
    return result;
}

/* --- Freeing ---------------------------------------------------------------------------------- */

void dray_row_clear(const struct dray_table *table, void *row)
{
    for (size_t i = 0; i < table->column_count; i++) {
        void *member = (char *)row + table->columns[i].offset;
        switch (table->columns[i].kind) {
        case DRAY_COLUMN_TEXT:
            free(*(char **)member);
            break;
        case DRAY_COLUMN_JSON:
            json_decref(*(json_t **)member);
            break;
        case DRAY_COLUMN_STATE:
        case DRAY_COLUMN_COUNT:
        case DRAY_COLUMN_NUMBER:
        case DRAY_COLUMN_TIME:
            break;
        }
    }
    memset(row, 0, table->size);
}

void dray_rows_clear(struct dray_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        dray_row_clear(rows->table, (char *)rows->rows + i * rows->table->size);
    free(rows->rows);
    rows->rows = NULL;
    rows->count = rows->capacity = 0;
}

static void clear_attempt(struct dray_attempt_row *attempt)
{
    for (size_t i = 0; i < attempt->step_count; i++)
        dray_row_clear(&dray_step_table, &attempt->steps[i]);
    free(attempt->steps);
    dray_row_clear(&dray_attempt_table, attempt);
}

void dray_job_row_free(struct dray_job_row *job)
{
    if (job == NULL)
        return;
    for (size_t i = 0; i < job->target_count; i++)
        dray_row_clear(&dray_target_table, &job->targets[i]);
    free(job->targets);
    for (size_t i = 0; i < job->attempt_count; i++)
        clear_attempt(&job->attempts[i]);
    free(job->attempts);
    dray_row_clear(&dray_job_table, job);
    free(job);
}

void dray_job_row_freep(struct dray_job_row **job)
{
    dray_job_row_free(*job);
    *job = NULL;
}
