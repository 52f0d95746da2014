/* SPDX-License-Identifier: MIT */
/* checkpoints.c - small values that survive into the next attempt of a job. */
#include "core/store/internal.h"

#include <string.h>

#include "core/base/text.h"

#define MOST_BYTES ((size_t)64 << 10)

int dray_store_checkpoint_put(struct dray_store *store, const char *job, const char *step,
                              const char *key, const char *value, struct dray_error *error)
{
    dray_transacting transaction = {0};

    dray_store_doing(store, "storing checkpoint %s of step %s of job %s", key, step, job);
    if (value != NULL && strlen(value) > MOST_BYTES)
        return dray_store_fail(store, error, DRAY_INVALID,
                               "its value has %zu bytes, %zu is the most", strlen(value),
                               MOST_BYTES);
    int result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_WRITE, error);
    if (result != 0)
        return result;
    if (value == NULL)
        result = dray_sql_run(
            store, "DELETE FROM checkpoint WHERE job_id = ?1 AND step = ?2 AND key = ?3",
            DRAY_SQL_VALUES(DRAY_SQL_TEXT(job), DRAY_SQL_TEXT(step), DRAY_SQL_TEXT(key)), error);
    else
        result = dray_sql_run(
            store,
            "INSERT INTO checkpoint (job_id, step, key, value, updated_at) "
            "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (job_id, step, key) "
            "DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
            DRAY_SQL_VALUES(DRAY_SQL_TEXT(job), DRAY_SQL_TEXT(step), DRAY_SQL_TEXT(key),
                            DRAY_SQL_TEXT(value), DRAY_SQL_NUMBER(dray_now())),
            error);
    return result == 0 ? dray_transaction_commit(&transaction, error) : result;
}

int dray_store_checkpoint_get(struct dray_store *store, const char *job, const char *step,
                              const char *key, char **ret_value, struct dray_error *error)
{
    char *value = NULL;

    dray_store_doing(store, "reading checkpoint %s of step %s of job %s", key, step, job);
    int result = dray_sql_text(
        store, "SELECT value FROM checkpoint WHERE job_id = ?1 AND step = ?2 AND key = ?3",
        DRAY_SQL_VALUES(DRAY_SQL_TEXT(job), DRAY_SQL_TEXT(step), DRAY_SQL_TEXT(key)), &value,
        error);
    if (result < 0)
        return result;
    *ret_value = value;
    return 0;
}
