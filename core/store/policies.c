/* SPDX-License-Identifier: MIT */
/* policies.c - the policy sets that ever ruled, with the text of each file. */
#include "core/store/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/text.h"

static int highest(struct dray_store *store, const char *directory, const char *policy,
                   int64_t *ret_revision, char ret_digest[static 65], int64_t *ret_since,
                   struct dray_error *error)
{
    dray_cleanup(dray_sql_closep) sqlite3_stmt *statement = NULL;
    dray_autofree char *digest = NULL;

    int result = dray_sql_open(
        store,
        "SELECT policy_set_file.digest, policy_set_file.revision, policy_set.ruled_at "
        "FROM policy_set_file JOIN policy_set ON policy_set.digest = policy_set_file.set_digest "
        "WHERE policy_set_file.directory = ?1 AND policy_set_file.policy = ?2 "
        "ORDER BY policy_set_file.revision DESC, policy_set.ruled_at LIMIT 1",
        DRAY_SQL_VALUES(DRAY_SQL_TEXT(directory), DRAY_SQL_TEXT(policy)), &statement, error);
    if (result == 0)
        result = dray_sql_next(store, statement, error);
    if (result != 1)
        return result;
    result = dray_sql_copy(store, statement, 0, &digest, error);
    if (result != 0)
        return result;
    (void)snprintf(ret_digest, 65, "%s", digest ? digest : "");
    *ret_revision = sqlite3_column_int64(statement, 1);
    *ret_since = sqlite3_column_int64(statement, 2);
    return 1;
}

/* The planner looked already, but time has passed since. */
static int refuse_older(struct dray_store *store, const struct dray_policy_row *row,
                        struct dray_error *error)
{
    int64_t revision = 0, since = 0;
    char digest[65];
    int result = highest(store, row->directory, row->policy, &revision, digest, &since, error);

    if (result != 1 || row->revision > revision ||
        (row->revision == revision && strcmp(row->digest, digest) == 0))
        return result < 0 ? result : 0;
    (void)dray_store_fail(store, error, DRAY_DENIED,
                          "policy %s was replaced by its revision %lld since this was planned",
                          row->policy, (long long)revision);
    dray_hint(error, "run the same command again");
    return DRAY_DENIED;
}

/* Is there a row? */
static int is_known(struct dray_store *store, const char *sql, const struct dray_value *values,
                    size_t count, struct dray_error *error)
{
    int64_t one = 0;

    return dray_sql_number(store, sql, values, count, &one, error);
}

static int knows_set(struct dray_store *store, const char *set, struct dray_error *error)
{
    return is_known(store, "SELECT 1 FROM policy_set WHERE digest = ?1",
                    DRAY_SQL_VALUES(DRAY_SQL_TEXT(set)), error);
}

static int knows_file(struct dray_store *store, const char *set, const struct dray_policy_row *row,
                      struct dray_error *error)
{
    return is_known(store,
                    "SELECT 1 FROM policy_set_file WHERE set_digest = ?1 AND directory = ?2 "
                    "AND policy = ?3 AND revision = ?4 AND digest = ?5",
                    DRAY_SQL_VALUES(DRAY_SQL_TEXT(set), DRAY_SQL_TEXT(row->directory),
                                    DRAY_SQL_TEXT(row->policy), DRAY_SQL_NUMBER(row->revision),
                                    DRAY_SQL_TEXT(row->digest)),
                    error);
}

/* 1 when nothing is new. */
static int knows_all(struct dray_store *store, const char *set, const struct dray_policy_row *rows,
                     size_t count, struct dray_error *error)
{
    int known = knows_set(store, set, error);

    for (size_t i = 0; known == 1 && i < count; i++) {
        int result = refuse_older(store, &rows[i], error);
        known = result == 0 ? knows_file(store, set, &rows[i], error) : result;
    }
    return known;
}

static int add_set(struct dray_store *store, const char *set, struct dray_error *error)
{
    int known = knows_set(store, set, error);

    if (known != 0)
        return known < 0 ? known : 0;
    return dray_sql_run(store, "INSERT INTO policy_set (digest, ruled_at) VALUES (?1, ?2)",
                        DRAY_SQL_VALUES(DRAY_SQL_TEXT(set), DRAY_SQL_NUMBER(dray_now())), error);
}

/* Behind what is there: the same set may have ruled from another directory before. */
static int add_file(struct dray_store *store, const char *set, const struct dray_policy_row *row,
                    struct dray_error *error)
{
    int result = refuse_older(store, row, error);
    int known = result == 0 ? knows_file(store, set, row, error) : result;

    if (known != 0)
        return known < 0 ? known : 0;
    return dray_sql_run(
        store,
        "INSERT INTO policy_set_file (set_digest, position, directory, file, policy, revision, "
        "digest, text) SELECT ?1, COUNT(*), ?2, ?3, ?4, ?5, ?6, ?7 FROM policy_set_file "
        "WHERE set_digest = ?1",
        DRAY_SQL_VALUES(DRAY_SQL_TEXT(set), DRAY_SQL_TEXT(row->directory), DRAY_SQL_TEXT(row->file),
                        DRAY_SQL_TEXT(row->policy), DRAY_SQL_NUMBER(row->revision),
                        DRAY_SQL_TEXT(row->digest), DRAY_SQL_TEXT(row->text)),
        error);
}

int dray_store_policies_add(struct dray_store *store, const char *set,
                            const struct dray_policy_row *rows, size_t count,
                            struct dray_error *error)
{
    dray_transacting transaction = {0};

    dray_store_doing(store, "storing policy set %.12s", set);
    /* Nearly always: then nothing has to wait for the lock of a writer. */
    int known = knows_all(store, set, rows, count, error);
    if (known != 0)
        return known < 0 ? known : 0;
    int result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_WRITE, error);
    if (result == 0)
        result = add_set(store, set, error);
    for (size_t i = 0; result == 0 && i < count; i++)
        result = add_file(store, set, &rows[i], error);
    return result == 0 ? dray_transaction_commit(&transaction, error) : result;
}

int dray_store_policy_highest(struct dray_store *store, const char *directory, const char *policy,
                              int64_t *ret_revision, char ret_digest[static 65], int64_t *ret_since,
                              struct dray_error *error)
{
    dray_store_doing(store, "looking for earlier revisions of policy %s", policy);
    return highest(store, directory, policy, ret_revision, ret_digest, ret_since, error);
}

int dray_store_is_there(const char *directory)
{
    dray_autofree char *path = dray_format("%s/" DRAY_STORE_FILE, directory);

    return path == NULL || access(path, F_OK) == 0 || errno != ENOENT;
}
