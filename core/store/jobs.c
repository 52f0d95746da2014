/* SPDX-License-Identifier: MIT */
/* jobs.c - adding jobs and finding them again. */
#include "core/store/internal.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "core/base/digest.h"
#include "core/base/text.h"

#define ID_LENGTH    36
#define LEAST_PREFIX 4

/* --- Adding ----------------------------------------------------------------------------------- */

/* A random UUID (RFC 4122, version 4). */
static int make_id(struct dray_store *store, char ret_id[static ID_LENGTH + 1],
                   struct dray_error *error)
{
    uint8_t bytes[16];
    char hex[2 * sizeof bytes + 1];

    /* So few bytes come whole or not at all. */
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return dray_sql_fail_errno(store, error, errno, "asking for random bytes");
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    const char *from = dray_hex(bytes, sizeof bytes, hex);
    for (int i = 0; i < ID_LENGTH; i++)
        ret_id[i] = i == 8 || i == 13 || i == 18 || i == 23 ? '-' : *from++;
    ret_id[ID_LENGTH] = '\0';
    return 0;
}

int dray_store_check_free(struct dray_store *store, const char *job, const char *destination,
                          char **ret_other, struct dray_error *error)
{
    dray_autofree char *other = NULL;

    int result = dray_sql_text(
        store,
        "SELECT job_id FROM push_target WHERE destination = ?1 AND " DRAY_SQL_LIVE
        " AND job_id <> ?2",
        DRAY_SQL_VALUES(DRAY_SQL_TEXT(destination), DRAY_SQL_TEXT(job)), &other, error);
    if (result <= 0)
        return result;
    (void)dray_store_fail(store, error, DRAY_CONFLICT, "job %s delivers to %s and has not ended",
                          other, destination);
    dray_hint(error, "wait until it has ended; look at it with: dray show %.8s", other);
    if (ret_other != NULL)
        *ret_other = DRAY_TAKE(other);
    return DRAY_CONFLICT;
}

/* Two targets of one job at one place would overwrite each other. */
static int check_own_targets(struct dray_store *store, const struct dray_job_row *job,
                             struct dray_error *error)
{
    if (job->target_count == 0)
        return dray_store_fail(store, error, DRAY_BUG, "it has no target");
    for (size_t i = 0; i < job->target_count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(job->targets[i].destination, job->targets[j].destination) == 0)
                return dray_store_fail(
                    store, error, DRAY_INVALID, "its steps %s and %s both deliver to %s",
                    job->targets[j].step, job->targets[i].step, job->targets[i].destination);
    return 0;
}

static int insert_targets(struct dray_store *store, const char *id, const struct dray_job_row *job,
                          char **ret_other, struct dray_error *error)
{
    for (size_t i = 0; i < job->target_count; i++) {
        struct dray_target_row target = job->targets[i];
        const struct dray_value parents[] = {DRAY_SQL_TEXT(id), DRAY_SQL_NUMBER((int64_t)i)};
        int result = dray_store_check_free(store, id, target.destination, ret_other, error);
        if (result != 0)
            return result;
        target.state = DRAY_QUEUED;
        target.delivered_at = 0;
        result = dray_row_insert(store, &dray_target_table, parents, &target, error);
        if (result != 0)
            return result;
    }
    return 0;
}

int dray_store_add(struct dray_store *store, struct dray_job_row *job, char **ret_other,
                   struct dray_error *error)
{
    dray_transacting transaction = {0};
    dray_autofree char *id = calloc(1, ID_LENGTH + 1);
    struct dray_job_row row = *job;

    dray_store_doing(store, "storing a job for dataset %s", job->dataset);
    if (id == NULL)
        return dray_fail_memory(error);
    int result = check_own_targets(store, job, error);
    if (result == 0)
        result = make_id(store, id, error);
    if (result == 0)
        result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_WRITE, error);
    if (result != 0)
        return result;
    row.id = id;
    row.state = DRAY_QUEUED;
    row.created = row.updated = dray_now();
    result = dray_row_insert(store, &dray_job_table, NULL, &row, error);
    if (result == 0)
        result = insert_targets(store, id, job, ret_other, error);
    if (result == 0)
        result = dray_transaction_commit(&transaction, error);
    if (result != 0)
        return result;
    free(job->id);
    job->id = DRAY_TAKE(id);
    job->state = row.state;
    job->created = job->updated = row.created;
    for (size_t i = 0; i < job->target_count; i++) {
        job->targets[i].state = DRAY_QUEUED;
        job->targets[i].delivered_at = 0;
    }
    return 0;
}

/* --- Finding ---------------------------------------------------------------------------------- */

static int load_targets(struct dray_store *store, struct dray_job_row *job, int with_large,
                        struct dray_error *error)
{
    dray_cleanup(dray_rows_clear) struct dray_rows rows = {.table = &dray_target_table};

    int result = dray_rows_read(store, &rows, with_large, "WHERE job_id = ?1 ORDER BY position",
                                DRAY_SQL_VALUES(DRAY_SQL_TEXT(job->id)), error);
    if (result != 0)
        return result;
    job->target_count = rows.count;
    job->targets = DRAY_TAKE(rows.rows);
    rows.count = 0;
    return 0;
}

static int load_steps(struct dray_store *store, const char *job, struct dray_attempt_row *attempt,
                      struct dray_error *error)
{
    dray_cleanup(dray_rows_clear) struct dray_rows rows = {.table = &dray_step_table};

    int result = dray_rows_read(
        store, &rows, 1, "WHERE job_id = ?1 AND attempt = ?2 ORDER BY position",
        DRAY_SQL_VALUES(DRAY_SQL_TEXT(job), DRAY_SQL_NUMBER(attempt->number)), error);
    if (result != 0)
        return result;
    attempt->step_count = rows.count;
    attempt->steps = DRAY_TAKE(rows.rows);
    rows.count = 0;
    return 0;
}

static int load_attempts(struct dray_store *store, struct dray_job_row *job,
                         struct dray_error *error)
{
    dray_cleanup(dray_rows_clear) struct dray_rows rows = {.table = &dray_attempt_table};

    int result = dray_rows_read(store, &rows, 1, "WHERE job_id = ?1 ORDER BY number",
                                DRAY_SQL_VALUES(DRAY_SQL_TEXT(job->id)), error);
    if (result != 0)
        return result;
    job->attempt_count = rows.count;
    job->attempts = DRAY_TAKE(rows.rows);
    rows.count = 0;
    for (size_t i = 0; result == 0 && i < job->attempt_count; i++)
        result = load_steps(store, job->id, &job->attempts[i], error);
    return result;
}

/* A struct of its own from one row of a list, which gives up what it owns. */
static struct dray_job_row *take_job(struct dray_rows *rows, size_t index)
{
    struct dray_job_row *from = rows->rows;
    struct dray_job_row *job = malloc(sizeof *job);

    if (job != NULL) {
        *job = from[index];
        memset(&from[index], 0, sizeof from[index]);
    }
    return job;
}

static int load_job(struct dray_store *store, const char *id, struct dray_job_row **ret_job,
                    struct dray_error *error)
{
    dray_cleanup(dray_rows_clear) struct dray_rows rows = {.table = &dray_job_table};
    dray_cleanup(dray_job_row_freep) struct dray_job_row *job = NULL;

    int result =
        dray_rows_read(store, &rows, 1, "WHERE id = ?1", DRAY_SQL_VALUES(DRAY_SQL_TEXT(id)), error);
    if (result != 0)
        return result;
    if (rows.count == 0)
        return dray_store_fail(store, error, DRAY_NOT_FOUND, "there is no such job");
    job = take_job(&rows, 0);
    if (job == NULL)
        return dray_fail_memory(error);
    result = load_targets(store, job, 1, error);
    if (result == 0)
        result = load_attempts(store, job, error);
    if (result == 0)
        *ret_job = DRAY_TAKE(job);
    return result;
}

int dray_store_by_key(struct dray_store *store, const char *request_key,
                      struct dray_job_row **ret_job, struct dray_error *error)
{
    dray_transacting transaction = {0};
    dray_cleanup(dray_job_row_freep) struct dray_job_row *job = NULL;
    dray_autofree char *id = NULL;

    dray_store_doing(store, "looking for earlier deliveries of request %.16s", request_key);
    int result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_READ, error);
    if (result != 0)
        return result;
    result = dray_sql_text(store,
                           "SELECT push_job.id FROM push_target "
                           "JOIN push_job ON push_job.id = push_target.job_id "
                           "WHERE push_target.request_key = ?1 "
                           "ORDER BY CASE WHEN push_target.state = 'delivered' THEN 0 "
                           "WHEN push_target." DRAY_SQL_LIVE " THEN 1 ELSE 2 END, "
                           "push_job.created_at DESC, push_job.id LIMIT 1",
                           DRAY_SQL_VALUES(DRAY_SQL_TEXT(request_key)), &id, error);
    if (result < 0)
        return result;
    if (result == 1) {
        result = load_job(store, id, &job, error);
        if (result != 0)
            return result;
    }
    result = dray_transaction_commit(&transaction, error);
    if (result == 0)
        *ret_job = DRAY_TAKE(job);
    return result;
}

/* The one id that begins with `prefix`. */
static int find_id(struct dray_store *store, const char *prefix, char **ret_id,
                   struct dray_error *error)
{
    dray_cleanup(dray_sql_closep) sqlite3_stmt *statement = NULL;
    dray_autofree char *id = NULL;
    dray_autofree char *other = NULL;

    /* A range, for the index; `g` sorts after all that ids are made of. */
    int result = dray_sql_open(store,
                               "SELECT id FROM push_job WHERE id >= ?1 AND id < ?1 || 'g' "
                               "ORDER BY created_at DESC LIMIT 2",
                               DRAY_SQL_VALUES(DRAY_SQL_TEXT(prefix)), &statement, error);
    if (result != 0)
        return result;
    result = dray_sql_next(store, statement, error);
    if (result == 0)
        return dray_store_fail(store, error, DRAY_NOT_FOUND, "there is no such job");
    if (result == 1)
        result = dray_sql_copy(store, statement, 0, &id, error);
    if (result == 0)
        result = dray_sql_next(store, statement, error);
    if (result == 1) {
        result = dray_sql_copy(store, statement, 0, &other, error);
        if (result != 0)
            return result;
        return dray_store_fail(
            store, error, DRAY_INVALID,
            "several jobs begin so, the newest are %s and %s: say more of the id", id, other);
    }
    if (result == 0)
        *ret_id = DRAY_TAKE(id);
    return result;
}

/* Lower-case, and nothing but what ids are made of. */
static int check_prefix(struct dray_store *store, const char *id, char ret_id[static ID_LENGTH + 1],
                        struct dray_error *error)
{
    size_t length = strlen(id);

    if (length < LEAST_PREFIX)
        return dray_store_fail(store, error, DRAY_INVALID,
                               "say at least the first %d characters of a job's id", LEAST_PREFIX);
    for (size_t i = 0; i < length; i++)
        if (length > ID_LENGTH || (!isxdigit((unsigned char)id[i]) && id[i] != '-'))
            return dray_store_fail(store, error, DRAY_NOT_FOUND, "there is no such job");
    for (size_t i = 0; i <= length; i++)
        ret_id[i] = (char)tolower((unsigned char)id[i]);
    return 0;
}

int dray_store_job(struct dray_store *store, const char *id, struct dray_job_row **ret_job,
                   struct dray_error *error)
{
    dray_transacting transaction = {0};
    dray_cleanup(dray_job_row_freep) struct dray_job_row *job = NULL;
    dray_autofree char *whole = NULL;
    char prefix[ID_LENGTH + 1];

    dray_store_doing(store, "looking for job %s", id);
    int result = check_prefix(store, id, prefix, error);
    if (result == 0)
        result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_READ, error);
    if (result == 0)
        result = find_id(store, prefix, &whole, error);
    if (result == 0)
        result = load_job(store, whole, &job, error);
    if (result == 0)
        result = dray_transaction_commit(&transaction, error);
    if (result == 0)
        *ret_job = DRAY_TAKE(job);
    return result;
}

/* --- Listing ---------------------------------------------------------------------------------- */

struct job_list {
    struct dray_job_row **jobs;
    size_t count;
};

static void free_list(struct job_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        dray_job_row_free(list->jobs[i]);
    free(list->jobs);
}

static int check_state(struct dray_store *store, const char *name, struct dray_error *error)
{
    const char *names[DRAY_STATE_COUNT];
    enum dray_state state;

    if (name == NULL || (dray_state_of_name(name, &state) == 0 && state != DRAY_COMMITTING))
        return 0;
    size_t count = 0;
    for (int i = 0; i < DRAY_STATE_COUNT; i++)
        if (i != DRAY_COMMITTING)
            names[count++] = dray_state_name((enum dray_state)i);
    const char *near = dray_nearest(name, names, count);
    (void)dray_store_fail(store, error, DRAY_INVALID, "no state of a job is called %s", name);
    if (near != NULL)
        dray_hint(error, "did you mean %s?", near);
    else
        dray_hint(error, "the states are queued, running, waiting, delivered, failed, cancelled");
    return DRAY_INVALID;
}

static int read_list(struct dray_store *store, struct dray_rows *rows, struct job_list *list,
                     struct dray_error *error)
{
    list->jobs = calloc(rows->count + 1, sizeof *list->jobs);
    if (list->jobs == NULL)
        return dray_fail_memory(error);
    for (size_t i = 0; i < rows->count; i++) {
        struct dray_job_row *job = take_job(rows, i);
        if (job == NULL)
            return dray_fail_memory(error);
        list->jobs[list->count++] = job;
        int result = load_targets(store, job, 0, error);
        if (result != 0)
            return result;
    }
    return 0;
}

int dray_store_jobs(struct dray_store *store, const char *state, const char *dataset,
                    const char *user, int64_t since, size_t limit, struct dray_job_row ***ret_jobs,
                    size_t *ret_count, struct dray_error *error)
{
    dray_transacting transaction = {0};
    dray_cleanup(dray_rows_clear) struct dray_rows rows = {.table = &dray_job_table};
    dray_cleanup(free_list) struct job_list list = {0};
    int64_t most = limit > INT64_MAX ? INT64_MAX : (int64_t)limit;

    dray_store_doing(store, "listing jobs");
    int result = check_state(store, state, error);
    if (result == 0)
        result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_READ, error);
    if (result == 0)
        result = dray_rows_read(store, &rows, 0,
                                "WHERE (?1 IS NULL OR state = ?1) "
                                "AND (?2 IS NULL OR dataset = ?2) "
                                "AND (?3 IS NULL OR user_name = ?3) AND created_at >= ?4 "
                                "ORDER BY created_at DESC, id LIMIT ?5",
                                DRAY_SQL_VALUES(DRAY_SQL_TEXT(state), DRAY_SQL_TEXT(dataset),
                                                DRAY_SQL_TEXT(user), DRAY_SQL_NUMBER(since),
                                                DRAY_SQL_NUMBER(most)),
                                error);
    if (result == 0)
        result = read_list(store, &rows, &list, error);
    if (result == 0)
        result = dray_transaction_commit(&transaction, error);
    if (result != 0)
        return result;
    *ret_count = list.count;
    *ret_jobs = DRAY_TAKE(list.jobs);
    list.count = 0;
    return 0;
}
