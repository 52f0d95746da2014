/* SPDX-License-Identifier: MIT */
/* attempts.c - how a job goes on: attempts, step runs, its targets, its end. */
#include "core/store/internal.h"

#include <string.h>

#include "core/base/text.h"

/* --- The states of a job and of its targets -----------------------------------------------------
 */

static int fail_move(struct dray_store *store, const char *what, const char *name,
                     enum dray_state from, enum dray_state to, struct dray_error *error)
{
    return dray_store_fail(store, error, DRAY_BUG, "%s %s is %s and cannot become %s", what, name,
                           dray_state_name(from), dray_state_name(to));
}

static int read_state(struct dray_store *store, const char *sql, const struct dray_value *values,
                      size_t count, const char *what, enum dray_state *ret_state,
                      struct dray_error *error)
{
    dray_autofree char *name = NULL;

    int result = dray_sql_text(store, sql, values, count, &name, error);
    if (result < 0)
        return result;
    if (result == 0)
        return dray_store_fail(store, error, DRAY_NOT_FOUND, "there is no such %s", what);
    if (name == NULL || dray_state_of_name(name, ret_state) != 0)
        return dray_store_fail(store, error, DRAY_INTEGRITY, "the %s is in no known state", what);
    return 0;
}

/* Move a job where the table allows it; reason and hint are replaced. */
static int move_job(struct dray_store *store, const char *job, enum dray_state to,
                    const char *reason, const char *hint, int64_t now, struct dray_error *error)
{
    enum dray_state from;

    int result = read_state(store, "SELECT state FROM push_job WHERE id = ?1",
                            DRAY_SQL_VALUES(DRAY_SQL_TEXT(job)), "job", &from, error);
    if (result != 0)
        return result;
    if (!dray_job_may_become(from, to))
        return fail_move(store, "job", job, from, to, error);
    return dray_sql_run(store,
                        "UPDATE push_job SET state = ?2, reason = ?3, hint = ?4, updated_at = ?5 "
                        "WHERE id = ?1",
                        DRAY_SQL_VALUES(DRAY_SQL_TEXT(job), DRAY_SQL_TEXT(dray_state_name(to)),
                                        DRAY_SQL_TEXT(reason), DRAY_SQL_TEXT(hint),
                                        DRAY_SQL_NUMBER(now)),
                        error);
}

static int all_delivered(struct dray_store *store, const char *job, int *ret_all,
                         struct dray_error *error)
{
    int64_t open = 0;

    int result = dray_sql_number(
        store, "SELECT COUNT(*) FROM push_target WHERE job_id = ?1 AND state <> 'delivered'",
        DRAY_SQL_VALUES(DRAY_SQL_TEXT(job)), &open, error);
    if (result < 0)
        return result;
    *ret_all = open == 0;
    return 0;
}

static int set_target_state(struct dray_store *store, const char *job,
                            const struct dray_target_row *target, enum dray_state to,
                            struct dray_error *error)
{
    if (!dray_target_may_become(target->state, to))
        return fail_move(store, "target", target->step, target->state, to, error);
    return dray_sql_run(store,
                        "UPDATE push_target SET state = ?3 WHERE job_id = ?1 AND request_key = ?2",
                        DRAY_SQL_VALUES(DRAY_SQL_TEXT(job), DRAY_SQL_TEXT(target->request_key),
                                        DRAY_SQL_TEXT(dray_state_name(to))),
                        error);
}

/* --- Attempts --------------------------------------------------------------------------------- */

/* Close an attempt that runs, and what it left open. */
static int close_attempt(struct dray_store *store, const char *job, int64_t attempt,
                         const char *outcome, const char *reason, int64_t now,
                         struct dray_error *error)
{
    int result = dray_sql_run(
        store,
        "UPDATE step_run SET outcome = 'cancelled', ended_at = ?3, "
        "reason = COALESCE(reason, 'the attempt ended before it') "
        "WHERE job_id = ?1 AND attempt = ?2 AND outcome = 'running'",
        DRAY_SQL_VALUES(DRAY_SQL_TEXT(job), DRAY_SQL_NUMBER(attempt), DRAY_SQL_NUMBER(now)), error);
    if (result != 0)
        return result;
    return dray_sql_run(store,
                        "UPDATE attempt SET outcome = ?3, reason = ?4, ended_at = ?5 "
                        "WHERE job_id = ?1 AND number = ?2",
                        DRAY_SQL_VALUES(DRAY_SQL_TEXT(job), DRAY_SQL_NUMBER(attempt),
                                        DRAY_SQL_TEXT(outcome), DRAY_SQL_TEXT(reason),
                                        DRAY_SQL_NUMBER(now)),
                        error);
}

static int interrupt_earlier(struct dray_store *store, const char *job, int64_t now,
                             struct dray_error *error)
{
    int64_t earlier = 0;

    int result = dray_sql_number(
        store, "SELECT number FROM attempt WHERE job_id = ?1 AND outcome = 'running'",
        DRAY_SQL_VALUES(DRAY_SQL_TEXT(job)), &earlier, error);
    if (result != 1)
        return result;
    return close_attempt(store, job, earlier, "interrupted",
                         "the process that ran it ended before it", now, error);
}

/* All that are not delivered run again; one that had ended may find its place taken. */
static int open_targets(struct dray_store *store, const char *job, struct dray_error *error)
{
    dray_cleanup(dray_rows_clear) struct dray_rows rows = {.table = &dray_target_table};

    int result = dray_rows_read(store, &rows, 0,
                                "WHERE job_id = ?1 AND state <> 'delivered' ORDER BY position",
                                DRAY_SQL_VALUES(DRAY_SQL_TEXT(job)), error);
    const struct dray_target_row *targets = rows.rows;
    for (size_t i = 0; result == 0 && i < rows.count; i++) {
        result = dray_store_check_free(store, job, targets[i].destination, NULL, error);
        if (result == 0)
            result = set_target_state(store, job, &targets[i], DRAY_RUNNING, error);
    }
    return result;
}

int dray_store_attempt(struct dray_store *store, const char *job, uint32_t *ret_number,
                       struct dray_error *error)
{
    dray_transacting transaction = {0};
    int64_t now = dray_now();
    int64_t last = 0;

    dray_store_doing(store, "beginning an attempt of job %s", job);
    int result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_WRITE, error);
    if (result == 0)
        result = move_job(store, job, DRAY_RUNNING, NULL, NULL, now, error);
    if (result == 0)
        result = open_targets(store, job, error);
    if (result == 0)
        result = interrupt_earlier(store, job, now, error);
    if (result == 0)
        result = dray_sql_number(store, "SELECT MAX(number) FROM attempt WHERE job_id = ?1",
                                 DRAY_SQL_VALUES(DRAY_SQL_TEXT(job)), &last, error);
    if (result < 0)
        return result;
    dray_autofree char *outcome = strdup("running");
    if (outcome == NULL)
        return dray_fail_memory(error);
    struct dray_attempt_row row = {
        .number = (uint32_t)last + 1, .started = now, .outcome = outcome};
    const struct dray_value parent = DRAY_SQL_TEXT(job);
    result = dray_row_insert(store, &dray_attempt_table, &parent, &row, error);
    if (result == 0)
        result = dray_transaction_commit(&transaction, error);
    if (result == 0)
        *ret_number = row.number;
    return result;
}

static int check_running(struct dray_store *store, const char *job, uint32_t attempt,
                         struct dray_error *error)
{
    dray_autofree char *outcome = NULL;

    int result = dray_sql_text(
        store, "SELECT outcome FROM attempt WHERE job_id = ?1 AND number = ?2",
        DRAY_SQL_VALUES(DRAY_SQL_TEXT(job), DRAY_SQL_NUMBER(attempt)), &outcome, error);
    if (result < 0)
        return result;
    if (result == 0 || outcome == NULL)
        return dray_store_fail(store, error, DRAY_BUG, "the job has no attempt %u", attempt);
    if (strcmp(outcome, "running") != 0)
        return dray_store_fail(store, error, DRAY_BUG, "attempt %u has ended (%s)", attempt,
                               outcome);
    return 0;
}

int dray_store_step(struct dray_store *store, const char *job, uint32_t attempt,
                    const struct dray_step_row *step, struct dray_error *error)
{
    dray_transacting transaction = {0};
    int64_t position = 0;

    dray_store_doing(store, "storing step run %s of attempt %u of job %s", step->step, attempt,
                     job);
    int result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_LAZY, error);
    if (result == 0)
        result = check_running(store, job, attempt, error);
    if (result == 0)
        result = dray_sql_number(
            store, "SELECT COUNT(*) FROM step_run WHERE job_id = ?1 AND attempt = ?2",
            DRAY_SQL_VALUES(DRAY_SQL_TEXT(job), DRAY_SQL_NUMBER(attempt)), &position, error);
    if (result < 0)
        return result;
    const struct dray_value parents[] = {DRAY_SQL_TEXT(job), DRAY_SQL_NUMBER(attempt),
                                         DRAY_SQL_NUMBER(position)};
    result = dray_row_insert(store, &dray_step_table, parents, step, error);
    return result == 0 ? dray_transaction_commit(&transaction, error) : result;
}

/* --- Targets ---------------------------------------------------------------------------------- */

/* What the move must bring with it. */
static int check_change(struct dray_store *store, const struct dray_target_row *from,
                        const struct dray_target_row *to, struct dray_error *error)
{
    /* Only a new attempt takes up what has ended, and its job with it. */
    if (dray_state_is_final(from->state) || !dray_target_may_become(from->state, to->state))
        return fail_move(store, "target", to->step, from->state, to->state, error);
    switch (to->state) {
    case DRAY_COMMITTING:
        if (to->manifest_sha256 == NULL || to->receipt == NULL)
            return dray_store_fail(store, error, DRAY_BUG,
                                   "a commit needs the manifest's digest and a receipt");
        return 0;
    case DRAY_JOB_DELIVERED:
        if (to->manifest_sha256 != NULL && strcmp(to->manifest_sha256, from->manifest_sha256) != 0)
            return dray_store_fail(store, error, DRAY_BUG,
                                   "manifest %s was delivered where %s was given leave",
                                   to->manifest_sha256, from->manifest_sha256);
        return 0;
    case DRAY_QUEUED:
    case DRAY_RUNNING:
    case DRAY_WAITING:
    case DRAY_FAILED:
    case DRAY_JOB_CANCELLED:
        return 0;
    }
    return dray_store_fail(store, error, DRAY_BUG, "there is no state %d", (int)to->state);
}

/* Text that is not set stays as it is; a state but committing and delivered brings nothing else. */
static int update_target(struct dray_store *store, const char *job, struct dray_target_row *row,
                         const struct dray_target_row *change, int64_t now,
                         struct dray_error *error)
{
    dray_autofree char *confirmation = NULL;
    int delivered = change->state == DRAY_JOB_DELIVERED;
    int64_t at = change->delivered_at != 0 ? change->delivered_at : now;
    uint64_t entries = change->entries != 0 || delivered ? change->entries : row->entries;
    uint64_t bytes = change->bytes != 0 || delivered ? change->bytes : row->bytes;

    if (entries > INT64_MAX || bytes > INT64_MAX)
        return dray_store_fail(store, error, DRAY_INVALID, "its size is larger than can be stored");
    if (change->confirmation != NULL) {
        confirmation = json_dumps(change->confirmation, JSON_COMPACT);
        if (confirmation == NULL)
            return dray_fail_memory(error);
    }
    return dray_sql_run(
        store,
        "UPDATE push_target SET state = ?3, manifest_sha256 = COALESCE(?4, manifest_sha256), "
        "receipt = COALESCE(?5, receipt), confirmation = COALESCE(?6, confirmation), "
        "entries = ?7, bytes = ?8, delivered_at = ?9 WHERE job_id = ?1 AND request_key = ?2",
        DRAY_SQL_VALUES(DRAY_SQL_TEXT(job), DRAY_SQL_TEXT(row->request_key),
                        DRAY_SQL_TEXT(dray_state_name(change->state)),
                        DRAY_SQL_TEXT(change->manifest_sha256), DRAY_SQL_TEXT(change->receipt),
                        DRAY_SQL_TEXT(confirmation), DRAY_SQL_NUMBER((int64_t)entries),
                        DRAY_SQL_NUMBER((int64_t)bytes),
                        delivered ? DRAY_SQL_NUMBER(at) : DRAY_SQL_TEXT(NULL)),
        error);
}

/* The job is as its targets are: delivered with the last of them. */
static int follow_targets(struct dray_store *store, const char *job, int64_t now,
                          struct dray_error *error)
{
    int all = 0;

    int result = all_delivered(store, job, &all, error);
    if (result != 0)
        return result;
    if (all)
        return move_job(store, job, DRAY_JOB_DELIVERED, NULL, NULL, now, error);
    return dray_sql_run(store, "UPDATE push_job SET updated_at = ?2 WHERE id = ?1",
                        DRAY_SQL_VALUES(DRAY_SQL_TEXT(job), DRAY_SQL_NUMBER(now)), error);
}

int dray_store_target(struct dray_store *store, const char *job,
                      const struct dray_target_row *target, struct dray_error *error)
{
    dray_transacting transaction = {0};
    dray_cleanup(dray_rows_clear) struct dray_rows rows = {.table = &dray_target_table};
    int64_t now = dray_now();

    dray_store_doing(store, "storing target %s of job %s as %s", target->step, job,
                     dray_state_name(target->state));
    int result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_WRITE, error);
    if (result == 0)
        /* Not by the step: its id is the user's, and can have become that of another target. */
        result = dray_rows_read(
            store, &rows, 1, "WHERE job_id = ?1 AND request_key = ?2",
            DRAY_SQL_VALUES(DRAY_SQL_TEXT(job), DRAY_SQL_TEXT(target->request_key)), error);
    if (result != 0)
        return result;
    if (rows.count == 0)
        return dray_store_fail(store, error, DRAY_NOT_FOUND, "there is no such target");
    struct dray_target_row *row = rows.rows;
    result = check_change(store, row, target, error);
    if (result == 0)
        result = update_target(store, job, row, target, now, error);
    if (result == 0)
        result = follow_targets(store, job, now, error);
    return result == 0 ? dray_transaction_commit(&transaction, error) : result;
}

/* --- The end of an attempt ----------------------------------------------------------------------
 */

/* The targets that are live follow their job. Whether a committing one is delivered is not known:
 * it stays so while the job is to go on, for a probe to settle. */
static int end_targets(struct dray_store *store, const char *job, enum dray_state state,
                       struct dray_error *error)
{
    dray_cleanup(dray_rows_clear) struct dray_rows rows = {.table = &dray_target_table};

    int result =
        dray_rows_read(store, &rows, 0, "WHERE job_id = ?1 AND " DRAY_SQL_LIVE " ORDER BY position",
                       DRAY_SQL_VALUES(DRAY_SQL_TEXT(job)), error);
    const struct dray_target_row *targets = rows.rows;
    for (size_t i = 0; result == 0 && i < rows.count; i++) {
        if (targets[i].state == state ||
            (targets[i].state == DRAY_COMMITTING && !dray_state_is_final(state)))
            continue;
        result = set_target_state(store, job, &targets[i], state, error);
    }
    return result;
}

static int end_job(struct dray_store *store, const char *job, enum dray_state state,
                   const char *reason, const char *hint, int64_t now, struct dray_error *error)
{
    int all = 0;

    int result = all_delivered(store, job, &all, error);
    if (result != 0)
        return result;
    if (all)
        return move_job(store, job, DRAY_JOB_DELIVERED, NULL, NULL, now, error);
    switch (state) {
    case DRAY_QUEUED:
    case DRAY_WAITING:
    case DRAY_FAILED:
    case DRAY_JOB_CANCELLED:
        result = end_targets(store, job, state, error);
        return result == 0 ? move_job(store, job, state, reason, hint, now, error) : result;
    case DRAY_RUNNING:
    case DRAY_COMMITTING:
    case DRAY_JOB_DELIVERED:
        break;
    }
    return dray_store_fail(store, error, DRAY_BUG,
                           "a job whose targets are not all delivered cannot end as %s",
                           dray_state_name(state));
}

static int end_attempt(struct dray_store *store, const char *job, uint32_t attempt,
                       const char *outcome, const char *reason, int64_t now,
                       struct dray_error *error)
{
    static const char *const outcomes[] = {"delivered", "failed", "cancelled", "interrupted"};

    for (size_t i = 0; i < DRAY_COUNT(outcomes); i++) {
        if (strcmp(outcome, outcomes[i]) != 0)
            continue;
        int result = check_running(store, job, attempt, error);
        if (result != 0)
            return result;
        return close_attempt(store, job, attempt, outcome, reason, now, error);
    }
    return dray_store_fail(store, error, DRAY_BUG, "an attempt cannot end as %s", outcome);
}

int dray_store_end(struct dray_store *store, const char *job, uint32_t attempt, const char *outcome,
                   enum dray_state state, const char *reason, const char *hint,
                   struct dray_error *error)
{
    dray_transacting transaction = {0};
    int64_t now = dray_now();

    dray_store_doing(store, "ending attempt %u of job %s", attempt, job);
    int result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_WRITE, error);
    if (result == 0)
        result = attempt == 0 ? interrupt_earlier(store, job, now, error)
                              : end_attempt(store, job, attempt, outcome, reason, now, error);
    if (result == 0)
        result = end_job(store, job, state, reason, hint, now, error);
    return result == 0 ? dray_transaction_commit(&transaction, error) : result;
}
