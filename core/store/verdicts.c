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
    if (length == 0)
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

int dray_store_verdicts(struct dray_store *store, const char *job, const char *step,
                        int (*chunk)(void *arg, const void *data, size_t length), void *arg,
                        struct dray_error *error)
{
    dray_cleanup(dray_sql_closep) sqlite3_stmt *statement = NULL;
    int found = 0;

    dray_store_doing(store, "reading verdicts of step %s of job %s", step, job);
    int result = dray_sql_open(
        store,
        "SELECT data FROM verdicts WHERE job_id = ?1 AND step = ?2 AND attempt = "
        "(SELECT attempt FROM verdicts WHERE job_id = ?1 AND step = ?2 GROUP BY attempt "
        "ORDER BY SUM(entries) DESC, attempt DESC LIMIT 1) ORDER BY chunk",
        DRAY_SQL_VALUES(DRAY_SQL_TEXT(job), DRAY_SQL_TEXT(step)), &statement, error);
    while (result == 0) {
        int row = dray_sql_next(store, statement, error);
        if (row <= 0)
            return row < 0 ? row : found;
        found = 1;
        result = chunk(arg, sqlite3_column_blob(statement, 0),
                       (size_t)sqlite3_column_bytes(statement, 0));
    }
    return result;
}
