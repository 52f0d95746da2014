/* SPDX-License-Identifier: MIT */
/* take_up.c - a job that is taken up again by a plan that was made anew. */
#include "core/store/internal.h"

#include <string.h>

#include "core/base/text.h"

/* What is kept under the id of a push. An id can have become that of another push, so all are put
 * aside first, under a name that no step can have. */
#define PUT_ASIDE(TABLE) "UPDATE " TABLE " SET step = '/' || step WHERE job_id = ?1"
#define TAKE_BACK(TABLE) "UPDATE " TABLE " SET step = ?3 WHERE job_id = ?1 AND step = '/' || ?2"
static const struct {
    const char *put_aside, *take_back;
} by_step[] = {
    {PUT_ASIDE("push_target"), TAKE_BACK("push_target")},
    {PUT_ASIDE("verdicts"), TAKE_BACK("verdicts")},
    {PUT_ASIDE("checkpoint"), TAKE_BACK("checkpoint")},
};

static const struct dray_target_row *of_key(const struct dray_job_row *job, const char *key)
{
    for (size_t i = 0; i < job->target_count; i++)
        if (strcmp(job->targets[i].request_key, key) == 0)
            return &job->targets[i];
    return NULL;
}

/* 1 when a target of the job is called otherwise by the plan. */
static int ids_differ(struct dray_store *store, const struct dray_rows *rows,
                      const struct dray_job_row *job, struct dray_error *error)
{
    const struct dray_target_row *targets = rows->rows;
    int differ = 0;

    for (size_t i = 0; i < rows->count; i++) {
        const struct dray_target_row *to = of_key(job, targets[i].request_key);
        if (to == NULL)
            return dray_store_fail(store, error, DRAY_BUG, "its plan does not deliver to %s",
                                   targets[i].destination);
        differ |= strcmp(to->step, targets[i].step) != 0;
    }
    return differ;
}

static int rename_steps(struct dray_store *store, const struct dray_rows *rows,
                        const struct dray_job_row *job, struct dray_error *error)
{
    const struct dray_target_row *targets = rows->rows;
    int result = 0;

    for (size_t table = 0; result == 0 && table < DRAY_COUNT(by_step); table++) {
        result = dray_sql_run(store, by_step[table].put_aside,
                              DRAY_SQL_VALUES(DRAY_SQL_TEXT(job->id)), error);
        for (size_t i = 0; result == 0 && i < rows->count; i++)
            result = dray_sql_run(
                store, by_step[table].take_back,
                DRAY_SQL_VALUES(DRAY_SQL_TEXT(job->id), DRAY_SQL_TEXT(targets[i].step),
                                DRAY_SQL_TEXT(of_key(job, targets[i].request_key)->step)),
                error);
    }
    return result;
}

/* Of a step that is no push nothing but its id says which it was. */
static int forget_other_checkpoints(struct dray_store *store, const struct dray_job_row *job,
                                    struct dray_error *error)
{
    return dray_sql_run(store,
                        "DELETE FROM checkpoint WHERE job_id = ?1 AND step NOT IN "
                        "(SELECT step FROM push_target WHERE job_id = ?1) AND NOT EXISTS "
                        "(SELECT 1 FROM push_job WHERE id = ?1 AND plan_digest = ?2)",
                        DRAY_SQL_VALUES(DRAY_SQL_TEXT(job->id), DRAY_SQL_TEXT(job->plan_digest)),
                        error);
}

int dray_store_take_up(struct dray_store *store, const struct dray_job_row *job,
                       struct dray_error *error)
{
    dray_transacting transaction = {0};
    dray_cleanup(dray_rows_clear) struct dray_rows rows = {.table = &dray_target_table};

    dray_store_doing(store, "taking up job %s", job->id);
    int result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_WRITE, error);
    if (result == 0)
        result = dray_rows_read(store, &rows, 0, "WHERE job_id = ?1 ORDER BY position",
                                DRAY_SQL_VALUES(DRAY_SQL_TEXT(job->id)), error);
    if (result == 0 && rows.count == 0)
        result = dray_store_fail(store, error, DRAY_NOT_FOUND, "there is no such job");
    if (result == 0)
        result = forget_other_checkpoints(store, job, error);
    if (result == 0)
        result = ids_differ(store, &rows, job, error);
    if (result == 1)
        result = rename_steps(store, &rows, job, error);
    if (result == 0)
        result = dray_sql_run(
            store,
            "UPDATE push_job SET plan = ?2, plan_digest = ?3, workflow = ?4, workflow_file = ?5 "
            "WHERE id = ?1",
            DRAY_SQL_VALUES(DRAY_SQL_TEXT(job->id), DRAY_SQL_TEXT(job->plan),
                            DRAY_SQL_TEXT(job->plan_digest), DRAY_SQL_TEXT(job->workflow),
                            DRAY_SQL_TEXT(job->workflow_file)),
            error);
    return result == 0 ? dray_transaction_commit(&transaction, error) : result;
}
