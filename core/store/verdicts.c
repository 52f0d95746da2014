/* SPDX-License-Identifier: MIT */
/* verdicts.c - what became of each entry of an attempt, in packed chunks that the store does not
 * look into. */
#include "core/store/internal.h"

int dray_store_verdicts_add(struct dray_store *store, const char *job, uint32_t attempt,
                            const char *step, uint64_t chunk, uint64_t entries, const void *data,
                            size_t length, struct dray_error *error)
{
    dray_transacting transaction = {0};

    dray_store_doing(store, "storing verdicts of step %s of attempt %u of job %s", step, attempt,
                     job);
    if (length == 0 || entries == 0)
        return dray_store_fail(store, error, DRAY_BUG, "a chunk of verdicts is empty");
    int result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_LAZY, error);
    if (result == 0)
        result = dray_sql_run(
            store,
            "INSERT OR REPLACE INTO verdicts (job_id, attempt, step, chunk, entries, data) "
            "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            DRAY_SQL_VALUES(DRAY_SQL_TEXT(job), DRAY_SQL_NUMBER(attempt), DRAY_SQL_TEXT(step),
                            DRAY_SQL_NUMBER((int64_t)chunk), DRAY_SQL_NUMBER((int64_t)entries),
                            DRAY_SQL_BYTES(data, length)),
            error);
    return result == 0 ? dray_transaction_commit(&transaction, error) : result;
}

/* How many chunks and entries are there: not as many as were told means that some were lost. */
static int check_count(struct dray_store *store, const char *job, uint32_t attempt,
                       const char *step, uint64_t chunks, uint64_t entries,
                       struct dray_error *error)
{
    dray_cleanup(dray_sql_closep) sqlite3_stmt *statement = NULL;
    int result = dray_sql_open(
        store,
        "SELECT COUNT(*), COALESCE(SUM(entries), 0) FROM verdicts "
        "WHERE job_id = ?1 AND attempt = ?2 AND step = ?3 AND entries > 0",
        DRAY_SQL_VALUES(DRAY_SQL_TEXT(job), DRAY_SQL_NUMBER(attempt), DRAY_SQL_TEXT(step)),
        &statement, error);
    int row = result == 0 ? dray_sql_next(store, statement, error) : result;

    if (row < 0)
        return row;
    uint64_t have_chunks = (uint64_t)sqlite3_column_int64(statement, 0);
    uint64_t have = (uint64_t)sqlite3_column_int64(statement, 1);
    if (have_chunks == chunks && have == entries)
        return 0;
    return dray_store_fail(store, error, DRAY_BUG,
                           "%llu chunks of %llu entries were told, and %llu of %llu came",
                           (unsigned long long)chunks, (unsigned long long)entries,
                           (unsigned long long)have_chunks, (unsigned long long)have);
}

int dray_store_verdicts_end(struct dray_store *store, const char *job, uint32_t attempt,
                            const char *step, uint64_t chunks, uint64_t entries,
                            struct dray_error *error)
{
    dray_transacting transaction = {0};
    char text[24];
    int length = snprintf(text, sizeof(text), "%llu", (unsigned long long)entries);

    dray_store_doing(store, "ending the verdicts of step %s of attempt %u of job %s", step, attempt,
                     job);
    int result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_LAZY, error);
    if (result == 0)
        result = check_count(store, job, attempt, step, chunks, entries, error);
    if (result == 0)
        result = dray_sql_run(
            store,
            "INSERT OR REPLACE INTO verdicts (job_id, attempt, step, chunk, entries, data) "
            "VALUES (?1, ?2, ?3, ?4, 0, ?5)",
            DRAY_SQL_VALUES(DRAY_SQL_TEXT(job), DRAY_SQL_NUMBER(attempt), DRAY_SQL_TEXT(step),
                            DRAY_SQL_NUMBER((int64_t)chunks), DRAY_SQL_BYTES(text, (size_t)length)),
            error);
    if (result == 0)
        result = dray_sql_run(
            store,
            "DELETE FROM verdicts WHERE job_id = ?1 AND step = ?2 "
            "AND attempt < ?3",
            DRAY_SQL_VALUES(DRAY_SQL_TEXT(job), DRAY_SQL_TEXT(step), DRAY_SQL_NUMBER(attempt)),
            error);
    return result == 0 ? dray_transaction_commit(&transaction, error) : result;
}

int dray_store_verdicts(struct dray_store *store, const char *job, const char *step,
                        int (*chunk)(void *arg, const void *data, size_t length), void *arg,
                        struct dray_error *error)
{
    dray_cleanup(dray_sql_closep) sqlite3_stmt *statement = NULL;
    int found = 0;

    dray_store_doing(store, "reading verdicts of step %s of job %s", step, job);
    int result = dray_sql_open(
        store,
        "SELECT data, entries FROM verdicts WHERE job_id = ?1 AND step = ?2 AND attempt = "
        "(SELECT MAX(attempt) FROM verdicts WHERE job_id = ?1 AND step = ?2 AND entries = 0) "
        "ORDER BY chunk",
        DRAY_SQL_VALUES(DRAY_SQL_TEXT(job), DRAY_SQL_TEXT(step)), &statement, error);
    while (result == 0) {
        int row = dray_sql_next(store, statement, error);
        if (row <= 0)
            return row < 0 ? row : found;
        found = 1;
        if (sqlite3_column_int64(statement, 1) > 0)
            result = chunk(arg, sqlite3_column_blob(statement, 0),
                           (size_t)sqlite3_column_bytes(statement, 0));
    }
    return result;
}
