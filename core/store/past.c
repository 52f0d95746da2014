/* SPDX-License-Identifier: MIT */
/* past.c - what deliveries took, for those that are planned. */
#include "core/store/internal.h"

#define SOURCES      "CASE WHEN step_run.uses LIKE 'source/%' THEN step_run."
#define PUSHES       "CASE WHEN step_run.uses LIKE 'push/%' THEN step_run."
#define TAKEN(STEPS) "MAX(" STEPS "ended_at END) - MIN(" STEPS "started_at END)"
/* A job with a source and a push that are done, in the attempt that delivered. */
#define PAST(WHICH)                                                                                \
    "SELECT MAX(attempt.ended_at), TOTAL(" SOURCES "bytes_out END), "                              \
    "MAX(" PUSHES "bytes_out END), " TAKEN(SOURCES) ", " TAKEN(                                    \
        PUSHES) " FROM push_job "                                                                  \
                "JOIN attempt ON attempt.job_id = push_job.id AND attempt.outcome = 'delivered' "  \
                "JOIN step_run ON step_run.job_id = attempt.job_id AND step_run.attempt = "        \
                "attempt.number "                                                                  \
                "WHERE push_job.state = 'delivered' AND step_run.outcome = 'done' AND " WHICH " "  \
                "GROUP BY push_job.id HAVING " TAKEN(SOURCES) " >= 0 AND " TAKEN(                  \
                    PUSHES) " >= 0 "                                                               \
                            "ORDER BY MAX(attempt.ended_at) DESC, push_job.id"

static uint64_t count_of(sqlite3_stmt *statement, int column)
{
    int64_t number = sqlite3_column_int64(statement, column);

    return number > 0 ? (uint64_t)number : 0;
}

static int read_past(struct dray_store *store, const char *sql, const struct dray_value *values,
                     size_t count, struct dray_past_job *ret_jobs, size_t most, size_t *ret_count,
                     struct dray_error *error)
{
    dray_cleanup(dray_sql_closep) sqlite3_stmt *statement = NULL;
    int result = dray_sql_open(store, sql, values, count, &statement, error);
    int row = 0;

    *ret_count = 0;
    while (result == 0 && *ret_count < most && (row = dray_sql_next(store, statement, error)) == 1)
        ret_jobs[(*ret_count)++] = (struct dray_past_job){
            .ended = sqlite3_column_int64(statement, 0),
            .staged = count_of(statement, 1),
            .pushed = count_of(statement, 2),
            .staging = sqlite3_column_int64(statement, 3),
            .pushing = sqlite3_column_int64(statement, 4),
        };
    return result != 0 ? result : row < 0 ? row : 0;
}

int dray_store_past(struct dray_store *store, const char *dataset_id, const char *dataset,
                    const char *user, struct dray_past_job *ret_jobs, size_t most,
                    size_t *ret_count, int *ret_same, struct dray_error *error)
{
    dray_transacting transaction = {0};

    dray_store_doing(store, "looking for earlier deliveries of %s", dataset);
    int result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_READ, error);
    if (result == 0)
        result =
            read_past(store, PAST("push_job.dataset_id = ?1"),
                      DRAY_SQL_VALUES(DRAY_SQL_TEXT(dataset_id)), ret_jobs, most, ret_count, error);
    *ret_same = result == 0 && *ret_count > 0;
    if (result == 0 && !*ret_same)
        result = read_past(store, PAST("push_job.dataset = ?1 AND push_job.user_name = ?2"),
                           DRAY_SQL_VALUES(DRAY_SQL_TEXT(dataset), DRAY_SQL_TEXT(user)), ret_jobs,
                           most, ret_count, error);
    return result == 0 ? dray_transaction_commit(&transaction, error) : result;
}
