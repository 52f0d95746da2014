/* SPDX-License-Identifier: MIT */
/* datasets.c - the catalog: what datasets are called, and the files that are known of each. */
#include "core/store/internal.h"

#include <string.h>

#include "core/base/text.h"

void dray_dataset_row_clear(struct dray_dataset_row *row)
{
    dray_row_clear(&dray_dataset_table, row);
}

void dray_dataset_rows_free(struct dray_dataset_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        dray_row_clear(&dray_dataset_table, &rows[i]);
    free(rows);
}

/* --- One dataset ------------------------------------------------------------------------------ */

/* Another dataset that has what must be one's alone. */
static int check_alone(struct dray_store *store, const struct dray_dataset_row *row,
                       struct dray_error *error)
{
    int64_t other = 0;
    int found =
        dray_sql_number(store, "SELECT id FROM dataset WHERE name = ?1 AND type = ?2 AND id <> ?3",
                        DRAY_SQL_VALUES(DRAY_SQL_TEXT(row->name), DRAY_SQL_TEXT(row->type),
                                        DRAY_SQL_NUMBER((int64_t)row->id)),
                        &other, error);

    if (found < 0)
        return found;
    if (found == 1 && *row->type)
        return dray_store_fail(store, error, DRAY_CONFLICT,
                               "there is a dataset \"%s\" of the type \"%s\" already (id:%lld)",
                               row->name, row->type, (long long)other);
    if (found == 1)
        return dray_store_fail(store, error, DRAY_CONFLICT,
                               "there is a dataset \"%s\" without a type already (id:%lld)",
                               row->name, (long long)other);
    if (row->external_id == NULL)
        return 0;
    found = dray_sql_number(
        store, "SELECT id FROM dataset WHERE external_id = ?1 AND id <> ?2",
        DRAY_SQL_VALUES(DRAY_SQL_TEXT(row->external_id), DRAY_SQL_NUMBER((int64_t)row->id)), &other,
        error);
    if (found == 1)
        return dray_store_fail(store, error, DRAY_CONFLICT,
                               "the external id \"%s\" is that of another dataset (id:%lld)",
                               row->external_id, (long long)other);
    return found;
}

static int next_id(struct dray_store *store, uint64_t *ret_id, struct dray_error *error)
{
    int64_t highest = 0;
    /* SQLite's own table of the ids that AUTOINCREMENT has given. */
    int found = dray_sql_number(store, "SELECT seq FROM sqlite_sequence WHERE name = 'dataset'",
                                NULL, 0, &highest, error);

    if (found < 0)
        return found;
    *ret_id = (uint64_t)highest + 1;
    return 0;
}

static int clear_files(struct dray_store *store, uint64_t id, struct dray_error *error)
{
    return dray_sql_run(store, "DELETE FROM dataset_file WHERE dataset_id = ?1",
                        DRAY_SQL_VALUES(DRAY_SQL_NUMBER((int64_t)id)), error);
}

/* The list that was made of another source says nothing of this one. One that came before any
 * source did stays. */
static int forget_list(struct dray_store *store, struct dray_dataset_row *row,
                       struct dray_error *error)
{
    int64_t same = 1;
    int found = dray_sql_number(
        store, "SELECT source IS NULL OR source IS ?2 FROM dataset WHERE id = ?1",
        DRAY_SQL_VALUES(DRAY_SQL_NUMBER((int64_t)row->id), DRAY_SQL_TEXT(row->source)), &same,
        error);

    if (found < 0)
        return found;
    if (same)
        return 0;
    row->listed = 0;
    row->files = row->bytes = 0;
    return clear_files(store, row->id, error);
}

int dray_store_dataset_put(struct dray_store *store, struct dray_dataset_row *row,
                           struct dray_error *error)
{
    dray_transacting transaction = {0};
    struct dray_dataset_row stored = *row;

    dray_store_doing(store, "storing dataset %s", row->name);
    int result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_WRITE, error);
    if (result == 0)
        result = check_alone(store, row, error);
    stored.updated = dray_now();
    if (result == 0 && row->id == 0) {
        stored.created = stored.updated;
        stored.listed = 0;
        stored.files = stored.bytes = 0;
        result = next_id(store, &stored.id, error);
    } else if (result == 0) {
        result = forget_list(store, &stored, error);
    }
    if (result == 0)
        result = dray_row_insert(store, &dray_dataset_table, NULL, &stored, error);
    if (result == 0)
        result = dray_transaction_commit(&transaction, error);
    if (result == 0)
        *row = stored;
    return result;
}

#define DATASET_FITS                                                                               \
    "(?2 IS NULL OR name = ?2) AND (?3 IS NULL OR type = ?3) "                                     \
    "AND (?4 IS NULL OR external_id = ?4) ORDER BY name, type"

int dray_store_datasets(struct dray_store *store, const struct dray_dataset_wanted *wanted,
                        struct dray_dataset_row **ret_rows, size_t *ret_count,
                        struct dray_error *error)
{
    dray_cleanup(dray_rows_clear) struct dray_rows rows = {.table = &dray_dataset_table};

    dray_store_doing(store, "reading the catalog");
    int result = dray_rows_read(
        store, &rows, 1,
        /* by its id it is found without reading the others */
        wanted->id ? "WHERE id = ?1 AND " DATASET_FITS : "WHERE ?1 = 0 AND " DATASET_FITS,
        DRAY_SQL_VALUES(DRAY_SQL_NUMBER((int64_t)wanted->id), DRAY_SQL_TEXT(wanted->name),
                        DRAY_SQL_TEXT(wanted->type), DRAY_SQL_TEXT(wanted->external_id)),
        error);
    if (result != 0)
        return result;
    *ret_rows = rows.rows;
    *ret_count = rows.count;
    rows.rows = NULL;
    rows.count = 0;
    return 0;
}

int dray_store_dataset_sources(struct dray_store *store,
                               int (*source)(void *arg, uint64_t id, const char *source), void *arg,
                               struct dray_error *error)
{
    dray_cleanup(dray_sql_closep) sqlite3_stmt *statement = NULL;

    dray_store_doing(store, "reading the catalog's sources");
    int result = dray_sql_open(store, "SELECT id, source FROM dataset WHERE source IS NOT NULL",
                               NULL, 0, &statement, error);
    if (result != 0)
        return result;
    while ((result = dray_sql_next(store, statement, error)) == 1) {
        dray_autofree char *text = NULL;
        result = dray_sql_copy(store, statement, 1, &text, error);
        if (result == 0)
            result = source(arg, (uint64_t)sqlite3_column_int64(statement, 0), text);
        if (result != 0)
            return result;
    }
    return result;
}

/* --- Its files -------------------------------------------------------------------------------- */

int dray_store_dataset_delete(struct dray_store *store, uint64_t id, struct dray_error *error)
{
    dray_transacting transaction = {0};

    dray_store_doing(store, "deleting dataset id:%llu", (unsigned long long)id);
    int result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_WRITE, error);
    if (result == 0)
        result = clear_files(store, id, error);
    if (result == 0)
        result = dray_sql_run(store, "DELETE FROM dataset WHERE id = ?1",
                              DRAY_SQL_VALUES(DRAY_SQL_NUMBER((int64_t)id)), error);
    return result == 0 ? dray_transaction_commit(&transaction, error) : result;
}

int dray_store_dataset_list(struct dray_store *store, uint64_t id, struct dray_error *error)
{
    dray_store_doing(store, "storing the files of dataset id:%llu", (unsigned long long)id);
    return clear_files(store, id, error);
}

int dray_store_dataset_add(struct dray_store *store, uint64_t id,
                           const struct dray_dataset_file *file, struct dray_error *error)
{
    dray_store_doing(store, "storing the files of dataset id:%llu", (unsigned long long)id);
    if (file->bytes > INT64_MAX)
        return dray_store_fail(store, error, DRAY_INVALID, "%s is larger than can be stored",
                               file->path);
    int result =
        dray_sql_run(store,
                     "INSERT INTO dataset_file (dataset_id, path, bytes, sha256, md5) "
                     "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                     DRAY_SQL_VALUES(DRAY_SQL_NUMBER((int64_t)id),
                                     DRAY_SQL_BYTES(file->path, strlen(file->path)),
                                     DRAY_SQL_NUMBER((int64_t)file->bytes),
                                     DRAY_SQL_TEXT(file->sha256), DRAY_SQL_TEXT(file->md5)),
                     error);
    if (result == 0 && sqlite3_changes(store->database) == 0)
        return dray_store_fail(store, error, DRAY_CONFLICT, "the file %s stands there twice",
                               file->path);
    return result;
}

int dray_store_dataset_listed(struct dray_store *store, uint64_t id, struct dray_error *error)
{
    dray_transacting transaction = {0};
    int64_t fits = 0;

    dray_store_doing(store, "storing the files of dataset id:%llu", (unsigned long long)id);
    int result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_WRITE, error);
    if (result != 0)
        return result;
    /* TOTAL is a float, and cannot overflow. */
    result = dray_sql_number(store,
                             "SELECT TOTAL(bytes) < 9.2e18 FROM dataset_file WHERE dataset_id = ?1",
                             DRAY_SQL_VALUES(DRAY_SQL_NUMBER((int64_t)id)), &fits, error);
    if (result >= 0 && !fits)
        return dray_store_fail(store, error, DRAY_INVALID,
                               "together they are larger than can be stored");
    if (result >= 0)
        result = dray_sql_run(
            store,
            "UPDATE dataset SET listed_at = ?2, "
            "files = (SELECT COUNT(*) FROM dataset_file WHERE dataset_id = ?1), "
            "bytes = (SELECT COALESCE(SUM(bytes), 0) FROM dataset_file WHERE dataset_id = ?1) "
            "WHERE id = ?1",
            DRAY_SQL_VALUES(DRAY_SQL_NUMBER((int64_t)id), DRAY_SQL_NUMBER(dray_now())), error);
    return result == 0 ? dray_transaction_commit(&transaction, error) : result;
}

/* The current row. */
static int read_file(struct dray_store *store, sqlite3_stmt *statement,
                     int (*take)(void *arg, const struct dray_dataset_file *file), void *arg,
                     struct dray_error *error)
{
    dray_autofree char *path = NULL, *sha256 = NULL, *md5 = NULL;
    int result = dray_sql_copy(store, statement, 0, &path, error);

    if (result == 0)
        result = dray_sql_copy(store, statement, 2, &sha256, error);
    if (result == 0)
        result = dray_sql_copy(store, statement, 3, &md5, error);
    if (result != 0)
        return result;
    const struct dray_dataset_file file = {
        .path = path,
        .bytes = (uint64_t)sqlite3_column_int64(statement, 1),
        .sha256 = sha256,
        .md5 = md5,
    };
    return take(arg, &file);
}

int dray_store_dataset_files(struct dray_store *store, uint64_t id,
                             int (*file)(void *arg, const struct dray_dataset_file *file),
                             void *arg, struct dray_error *error)
{
    dray_cleanup(dray_sql_closep) sqlite3_stmt *statement = NULL;

    dray_store_doing(store, "reading the files of dataset id:%llu", (unsigned long long)id);
    int result = dray_sql_open(store,
                               "SELECT path, bytes, sha256, md5 FROM dataset_file "
                               "WHERE dataset_id = ?1 ORDER BY path",
                               DRAY_SQL_VALUES(DRAY_SQL_NUMBER((int64_t)id)), &statement, error);
    if (result != 0)
        return result;
    while ((result = dray_sql_next(store, statement, error)) == 1) {
        result = read_file(store, statement, file, arg, error);
        if (result != 0)
            return result;
    }
    return result;
}
