/* SPDX-License-Identifier: MIT */
/*
 * schema.c - the tables, as numbered steps that are never edited once released: a change is a new
 * step at the end. The number of the last one that was taken stands in the file's user_version.
 *
 * Times are integers in nanoseconds since 1970-01-01 UTC, JSON is text, ids are UUIDs as text.
 * SQLite 3.34 knows no STRICT tables, so each column checks its type. `user` is a function in
 * PostgreSQL, hence user_name and actor_name.
 */
#include "core/store/internal.h"

#include <stdio.h>

#define SOME_TEXT(NAME)  NAME " TEXT NOT NULL CHECK (typeof(" NAME ") = 'text')"
#define MAYBE_TEXT(NAME) NAME " TEXT CHECK (typeof(" NAME ") IN ('text', 'null'))"
#define NUMBER(NAME, LEAST)                                                                        \
    NAME " INTEGER NOT NULL CHECK (typeof(" NAME ") = 'integer' AND " NAME " >= " LEAST ")"
#define COUNT(NAME)        NUMBER(NAME, "0")
#define SOME_TIME(NAME)    NAME " INTEGER NOT NULL CHECK (typeof(" NAME ") = 'integer')"
#define MAYBE_TIME(NAME)   NAME " INTEGER CHECK (typeof(" NAME ") IN ('integer', 'null'))"
#define ONE_OF(NAME, LIST) NAME " TEXT NOT NULL CHECK (" NAME " IN (" LIST "))"
#define JOB                "job_id TEXT NOT NULL REFERENCES push_job (id)"

/* clang-format off */
static const char *const steps[] = {
    /* 1: jobs, their targets, attempts, step runs and checkpoints */
    "CREATE TABLE push_job ("
    "id TEXT NOT NULL PRIMARY KEY CHECK (typeof(id) = 'text' AND length(id) = 36), "
    SOME_TEXT("dataset") ", "
    SOME_TEXT("dataset_id") ", "
    SOME_TEXT("workflow") ", "
    MAYBE_TEXT("workflow_file") ", "
    SOME_TEXT("plan") ", "
    SOME_TEXT("plan_digest") ", "
    SOME_TEXT("user_name") ", "
    SOME_TEXT("actor_name") ", "
    ONE_OF("state", "'queued', 'running', 'waiting', 'delivered', 'failed', 'cancelled'") ", "
    MAYBE_TEXT("reason") ", "
    MAYBE_TEXT("hint") ", "
    SOME_TIME("created_at") ", "
    SOME_TIME("updated_at") ");"
    "CREATE INDEX push_job_created_at ON push_job (created_at);"

    "CREATE TABLE push_target ("
    JOB ", "
    COUNT("position") ", "
    SOME_TEXT("step") ", "
    SOME_TEXT("push") ", "
    SOME_TEXT("destination") ", "
    SOME_TEXT("request_key") ", "
    ONE_OF("state", "'queued', 'running', 'waiting', 'committing', 'delivered', 'failed', "
                    "'cancelled'") ", "
    MAYBE_TEXT("manifest_sha256") ", "
    MAYBE_TEXT("receipt") ", "
    MAYBE_TEXT("confirmation") ", "
    COUNT("entries") ", "
    COUNT("bytes") ", "
    MAYBE_TIME("delivered_at") ", "
    "PRIMARY KEY (job_id, step), "
    "CHECK (state NOT IN ('committing', 'delivered') "
    "OR (manifest_sha256 IS NOT NULL AND receipt IS NOT NULL)), "
    "CHECK ((state = 'delivered') = (delivered_at IS NOT NULL)));"
    "CREATE INDEX push_target_request_key ON push_target (request_key);"
    /* One live job per destination. */
    "CREATE UNIQUE INDEX push_target_live ON push_target (destination) "
    "WHERE state IN ('queued', 'running', 'waiting', 'committing');"

    "CREATE TABLE attempt ("
    JOB ", "
    NUMBER("number", "1") ", "
    SOME_TIME("started_at") ", "
    MAYBE_TIME("ended_at") ", "
    ONE_OF("outcome", "'running', 'delivered', 'failed', 'cancelled', 'interrupted'") ", "
    MAYBE_TEXT("reason") ", "
    "PRIMARY KEY (job_id, number), "
    "CHECK ((outcome = 'running') = (ended_at IS NULL)));"
    /* One attempt of a job at a time. */
    "CREATE UNIQUE INDEX attempt_running ON attempt (job_id) WHERE outcome = 'running';"

    "CREATE TABLE step_run ("
    "job_id TEXT NOT NULL, "
    NUMBER("attempt", "1") ", "
    COUNT("position") ", "
    SOME_TEXT("step") ", "
    SOME_TEXT("uses") ", "
    MAYBE_TEXT("version") ", "
    ONE_OF("outcome", "'running', 'done', 'waiting', 'failed', 'skipped', 'cancelled'") ", "
    MAYBE_TEXT("reason") ", "
    MAYBE_TEXT("class") ", "
    MAYBE_TEXT("tree_digest") ", "
    MAYBE_TEXT("rules") ", "
    COUNT("entries_in") ", "
    COUNT("bytes_in") ", "
    COUNT("entries_out") ", "
    COUNT("bytes_out") ", "
    MAYBE_TIME("started_at") ", "
    MAYBE_TIME("ended_at") ", "
    "PRIMARY KEY (job_id, attempt, step), "
    "FOREIGN KEY (job_id, attempt) REFERENCES attempt (job_id, number));"

    "CREATE TABLE checkpoint ("
    JOB ", "
    SOME_TEXT("step") ", "
    SOME_TEXT("key") ", "
    SOME_TEXT("value") ", "
    SOME_TIME("updated_at") ", "
    "PRIMARY KEY (job_id, step, key));",

    /* 2: recipes; the policy sets that ever ruled; what became of each entry of an attempt */
    "CREATE TABLE recipe ("
    SOME_TEXT("name") ", "
    NUMBER("version", "1") ", "
    MAYBE_TEXT("text") ", " /* NULL: deleted; its number is not given again */
    SOME_TEXT("digest") ", "
    SOME_TEXT("saved_by") ", "
    SOME_TIME("saved_at") ", "
    "PRIMARY KEY (name, version));"

    "CREATE TABLE policy_set ("
    "digest TEXT NOT NULL PRIMARY KEY CHECK (typeof(digest) = 'text' AND length(digest) = 64), "
    SOME_TIME("ruled_at") ");" /* for the first time */

    "CREATE TABLE policy_set_file ("
    "set_digest TEXT NOT NULL REFERENCES policy_set (digest), "
    COUNT("position") ", "
    SOME_TEXT("directory") ", "
    SOME_TEXT("file") ", "
    SOME_TEXT("policy") ", "
    NUMBER("revision", "1") ", "
    SOME_TEXT("digest") ", "
    SOME_TEXT("text") ", "
    "PRIMARY KEY (set_digest, position));"
    "CREATE INDEX policy_set_file_policy ON policy_set_file (directory, policy, revision);"

    "CREATE TABLE verdicts ("
    "job_id TEXT NOT NULL, "
    NUMBER("attempt", "1") ", "
    SOME_TEXT("step") ", " /* the push that they are for */
    COUNT("chunk") ", "
    COUNT("entries") ", "
    "data BLOB NOT NULL CHECK (typeof(data) = 'blob'), "
    "PRIMARY KEY (job_id, attempt, step, chunk), "
    "FOREIGN KEY (job_id, attempt) REFERENCES attempt (job_id, number));",

    /* 3: the catalog */
    "CREATE TABLE dataset ("
    "id INTEGER PRIMARY KEY AUTOINCREMENT, " /* one that was deleted is not given again */
    SOME_TEXT("name") ", "
    SOME_TEXT("type") ", " /* empty: none */
    MAYBE_TEXT("external_id") ", "
    MAYBE_TEXT("owner") ", "
    MAYBE_TEXT("tags") ", "
    MAYBE_TEXT("labels") ", "
    MAYBE_TEXT("source") ", "
    COUNT("files") ", "
    COUNT("bytes") ", "
    MAYBE_TIME("listed_at") ", " /* NULL: its files are not known */
    SOME_TIME("created_at") ", "
    SOME_TIME("updated_at") ");"
    "CREATE UNIQUE INDEX dataset_name ON dataset (name, type);"
    "CREATE UNIQUE INDEX dataset_external_id ON dataset (external_id);"

    "CREATE TABLE dataset_file ("
    "dataset_id INTEGER NOT NULL REFERENCES dataset (id), "
    "path BLOB NOT NULL CHECK (typeof(path) = 'blob'), "
    COUNT("bytes") ", "
    MAYBE_TEXT("sha256") ", "
    MAYBE_TEXT("md5") ", "
    "PRIMARY KEY (dataset_id, path)) WITHOUT ROWID;",

    /* 4: what is known of a dataset's bundle */
    "ALTER TABLE dataset ADD COLUMN " MAYBE_TEXT("bundle") ";",
};
/* clang-format on */

const int dray_store_schema = (int)DRAY_COUNT(steps);

static int pragma(struct dray_store *store, const char *sql, int64_t *ret_number,
                  struct dray_error *error)
{
    int result = dray_sql_number(store, sql, NULL, 0, ret_number, error);

    return result < 0 ? result : 0;
}

int dray_store_recognise(struct dray_store *store, int *ret_version, struct dray_error *error)
{
    dray_transacting transaction = {0};
    int64_t application = 0;
    int64_t version = 0;
    int64_t things = 0;

    /* In one transaction, as another process may just be making it. */
    int result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_READ, error);
    if (result == 0)
        result = pragma(store, "PRAGMA application_id", &application, error);
    if (result == 0)
        result = pragma(store, "PRAGMA user_version", &version, error);
    if (result == 0)
        result = pragma(store, "SELECT COUNT(*) FROM sqlite_master", &things, error);
    if (result != 0)
        return result;
    if (application != DRAY_STORE_APPLICATION && (application | version | things) != 0) {
        (void)dray_store_fail(store, error, DRAY_CONFLICT, "%s/%s is another program's database",
                              store->directory, DRAY_STORE_FILE);
        dray_hint(error, "let DRAY_STATE name a directory that is Dray's alone");
        return DRAY_CONFLICT;
    }
    if (version > dray_store_schema) {
        (void)dray_store_fail(store, error, DRAY_UNSUPPORTED,
                              "%s/%s has schema %lld, and this Dray knows %d and older",
                              store->directory, DRAY_STORE_FILE, (long long)version,
                              dray_store_schema);
        dray_hint(error, "use the newer Dray that last had it open; there is no way back");
        return DRAY_UNSUPPORTED;
    }
    *ret_version = (int)version;
    return dray_transaction_commit(&transaction, error);
}

static int take_step(struct dray_store *store, int number, struct dray_error *error)
{
    char sql[64];

    if (sqlite3_exec(store->database, steps[number - 1], NULL, NULL, NULL) != SQLITE_OK)
        return dray_sql_fail(store, error);
    (void)snprintf(sql, sizeof sql, "PRAGMA user_version = %d", number);
    return dray_sql_run(store, sql, NULL, 0, error);
}

int dray_store_migrate(struct dray_store *store, struct dray_error *error)
{
    dray_transacting transaction = {0};
    char sql[64];
    int64_t version = 0;

    int result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_WRITE, error);
    if (result != 0)
        return result;
    /* Read again under the lock: another process may have been first. */
    result = pragma(store, "PRAGMA user_version", &version, error);
    (void)snprintf(sql, sizeof sql, "PRAGMA application_id = %d", DRAY_STORE_APPLICATION);
    if (result == 0 && version == 0)
        result = dray_sql_run(store, sql, NULL, 0, error);
    for (int number = (int)version + 1; result == 0 && number <= dray_store_schema; number++)
        result = take_step(store, number, error);
    return result == 0 ? dray_transaction_commit(&transaction, error) : result;
}
