/* SPDX-License-Identifier: MIT */
/* sql.c - statements, transactions and what their failures mean. */
#include "core/store/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void dray_store_doing(struct dray_store *store, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    /* A name may be cut here: it is for people. */
    (void)vsnprintf(store->doing, sizeof store->doing, format, arguments);
    va_end(arguments);
}

static int ours(struct dray_error *error, int result)
{
    if (error != NULL)
        error->side = DRAY_SIDE_US;
    return result;
}

int dray_store_fail(struct dray_store *store, struct dray_error *error, int class_,
                    const char *format, ...)
{
    char reason[512];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return ours(error, dray_fail(error, class_, "%s: %s", store->doing, reason));
}

int dray_sql_fail_errno(struct dray_store *store, struct dray_error *error, int errnum,
                        const char *what)
{
    return ours(error, dray_fail_errno(error, errnum, "%s: %s", store->doing, what));
}

static int fail_locked(struct dray_store *store, struct dray_error *error)
{
    (void)dray_store_fail(store, error, DRAY_TEMPORARY,
                          "the database is locked: another process has been writing to %s/%s for "
                          "%d seconds",
                          store->directory, DRAY_STORE_FILE, store->busy_seconds);
    dray_hint(error, "wait until it has ended and try again; `fuser %s/%s` names it",
              store->directory, DRAY_STORE_FILE);
    return DRAY_TEMPORARY;
}

static int fail_damaged(struct dray_store *store, struct dray_error *error)
{
    (void)dray_store_fail(store, error, DRAY_INTEGRITY, "%s/%s: %s", store->directory,
                          DRAY_STORE_FILE, sqlite3_errmsg(store->database));
    dray_hint(error, "put a backup in its place, or move it and its -wal file away: the history of "
                     "jobs is lost then, while deliveries are still known by their markers");
    return DRAY_INTEGRITY;
}

/* A failed read, write or open of the file: the system's reason tells more than SQLite's. */
static int fail_file(struct dray_store *store, struct dray_error *error)
{
    char what[512];
    int errnum = sqlite3_system_errno(store->database);

    (void)snprintf(what, sizeof what, "%s/%s: %s", store->directory, DRAY_STORE_FILE,
                   sqlite3_errmsg(store->database));
    if (errnum == 0)
        return dray_store_fail(store, error, DRAY_TEMPORARY, "%s", what);
    return dray_sql_fail_errno(store, error, errnum, what);
}

static int fail_full(struct dray_store *store, struct dray_error *error)
{
    (void)dray_store_fail(store, error, DRAY_NO_SPACE, "no space is left for %s/%s",
                          store->directory, DRAY_STORE_FILE);
    dray_hint(error,
              "make room on that file system, or let DRAY_STATE name a directory on another");
    return DRAY_NO_SPACE;
}

int dray_sql_fail(struct dray_store *store, struct dray_error *error)
{
    switch (sqlite3_errcode(store->database) & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return fail_locked(store, error);
    case SQLITE_NOMEM:
        return dray_fail_memory(error);
    case SQLITE_FULL:
        return fail_full(store, error);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return fail_damaged(store, error);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return fail_file(store, error);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return dray_store_fail(store, error, DRAY_DENIED, "%s/%s: %s", store->directory,
                               DRAY_STORE_FILE, sqlite3_errmsg(store->database));
    case SQLITE_TOOBIG:
        return dray_store_fail(store, error, DRAY_INVALID, "%s", sqlite3_errmsg(store->database));
    default:
        return dray_store_fail(store, error, DRAY_BUG, "%s", sqlite3_errmsg(store->database));
    }
}

/* --- Statements ------------------------------------------------------------------------------- */

static int bind_value(sqlite3_stmt *statement, int index, const struct dray_value *value)
{
    if (value->is_number)
        return sqlite3_bind_int64(statement, index, value->number);
    if (value->text == NULL)
        return sqlite3_bind_null(statement, index);
    if (value->length)
        return sqlite3_bind_blob64(statement, index, value->text, value->length, SQLITE_STATIC);
    return sqlite3_bind_text64(statement, index, value->text, strlen(value->text), SQLITE_STATIC,
                               SQLITE_UTF8);
}

int dray_sql_open(struct dray_store *store, const char *sql, const struct dray_value *values,
                  size_t count, sqlite3_stmt **ret_statement, struct dray_error *error)
{
    dray_cleanup(dray_sql_closep) sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) != SQLITE_OK)
        return dray_sql_fail(store, error);
    for (size_t i = 0; i < count; i++)
        if (bind_value(statement, (int)i + 1, &values[i]) != SQLITE_OK)
            return dray_sql_fail(store, error);
    *ret_statement = DRAY_TAKE(statement);
    return 0;
}

int dray_sql_next(struct dray_store *store, sqlite3_stmt *statement, struct dray_error *error)
{
    int result = sqlite3_step(statement);

    if (result == SQLITE_ROW)
        return 1;
    return result == SQLITE_DONE ? 0 : dray_sql_fail(store, error);
}

void dray_sql_closep(sqlite3_stmt **statement)
{
    /* Repeats the failure of the last step, which was reported. */
    (void)sqlite3_finalize(*statement);
    *statement = NULL;
}

int dray_sql_run(struct dray_store *store, const char *sql, const struct dray_value *values,
                 size_t count, struct dray_error *error)
{
    dray_cleanup(dray_sql_closep) sqlite3_stmt *statement = NULL;

    int result = dray_sql_open(store, sql, values, count, &statement, error);
    if (result != 0)
        return result;
    result = dray_sql_next(store, statement, error);
    return result < 0 ? result : 0;
}

int dray_sql_number(struct dray_store *store, const char *sql, const struct dray_value *values,
                    size_t count, int64_t *ret_number, struct dray_error *error)
{
    dray_cleanup(dray_sql_closep) sqlite3_stmt *statement = NULL;

    int result = dray_sql_open(store, sql, values, count, &statement, error);
    if (result != 0)
        return result;
    result = dray_sql_next(store, statement, error);
    if (result == 1)
        *ret_number = sqlite3_column_int64(statement, 0);
    return result;
}

int dray_sql_copy(struct dray_store *store, sqlite3_stmt *statement, int column, char **ret_text,
                  struct dray_error *error)
{
    if (sqlite3_column_type(statement, column) == SQLITE_NULL) {
        *ret_text = NULL;
        return 0;
    }
    const void *text = sqlite3_column_text(statement, column);
    if (text == NULL)
        return dray_sql_fail(store, error);
    size_t length = (size_t)sqlite3_column_bytes(statement, column);
    if (memchr(text, '\0', length) != NULL)
        return dray_store_fail(store, error, DRAY_INTEGRITY, "a text in column %s holds a NUL",
                               sqlite3_column_name(statement, column));
    char *copy = strndup(text, length);
    if (copy == NULL)
        return dray_fail_memory(error);
    *ret_text = copy;
    return 0;
}

int dray_sql_text(struct dray_store *store, const char *sql, const struct dray_value *values,
                  size_t count, char **ret_text, struct dray_error *error)
{
    dray_cleanup(dray_sql_closep) sqlite3_stmt *statement = NULL;

    int result = dray_sql_open(store, sql, values, count, &statement, error);
    if (result != 0)
        return result;
    result = dray_sql_next(store, statement, error);
    if (result != 1)
        return result;
    result = dray_sql_copy(store, statement, 0, ret_text, error);
    return result == 0 ? 1 : result;
}

/* --- Transactions ----------------------------------------------------------------------------- */

/* In WAL mode NORMAL writes without a sync; the next sync covers what came before it. With a
 * rollback journal it would risk the file, so there everything is synced. */
static int set_lazy(struct dray_store *store, int lazy, struct dray_error *error)
{
    int wanted = lazy && store->wal;

    if (store->lazy == wanted)
        return 0;
    int result =
        dray_sql_run(store, wanted ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL",
                     NULL, 0, error);
    if (result == 0)
        store->lazy = wanted;
    return result;
}

static void undo(struct dray_store *store)
{
    /* Some failures have undone it by themselves. */
    if (sqlite3_get_autocommit(store->database) == 0)
        (void)sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
}

int dray_transaction_begin(struct dray_transaction *transaction, struct dray_store *store,
                           enum dray_transaction_kind kind, struct dray_error *error)
{
    int write = kind != DRAY_TRANSACTION_READ;

    if (store->grouped && store->group_failed && write)
        return dray_store_fail(store, error, DRAY_BUG,
                               "an earlier change of the same transaction failed");
    if (!store->grouped) {
        int result = write ? set_lazy(store, kind == DRAY_TRANSACTION_LAZY, error) : 0;
        if (result == 0)
            result = dray_sql_run(store, write ? "BEGIN IMMEDIATE" : "BEGIN", NULL, 0, error);
        if (result != 0)
            return result;
    }
    *transaction = (struct dray_transaction){store, kind, store->grouped};
    return 0;
}

int dray_transaction_commit(struct dray_transaction *transaction, struct dray_error *error)
{
    int result = 0;

    if (!transaction->joined)
        result = dray_sql_run(transaction->store, "COMMIT", NULL, 0, error);
    if (result == 0)
        transaction->store = NULL;
    return result;
}

void dray_transaction_end(struct dray_transaction *transaction)
{
    struct dray_store *store = transaction->store;

    if (store == NULL)
        return;
    transaction->store = NULL;
    if (!transaction->joined)
        undo(store);
    else if (transaction->kind != DRAY_TRANSACTION_READ)
        store->group_failed = 1;
}

int dray_store_begin(struct dray_store *store, struct dray_error *error)
{
    dray_store_doing(store, "beginning to store");
    if (store->grouped)
        return dray_store_fail(store, error, DRAY_BUG, "a transaction is open already");
    int result = set_lazy(store, 0, error);
    if (result == 0)
        result = dray_sql_run(store, "BEGIN IMMEDIATE", NULL, 0, error);
    if (result != 0)
        return result;
    store->grouped = 1;
    store->group_failed = 0;
    return 0;
}

int dray_store_commit(struct dray_store *store, struct dray_error *error)
{
    dray_store_doing(store, "storing changes");
    if (!store->grouped)
        return dray_store_fail(store, error, DRAY_BUG, "no transaction is open");
    int result = store->group_failed ? dray_store_fail(store, error, DRAY_BUG,
                                                       "one of them failed, so none may be stored")
                                     : dray_sql_run(store, "COMMIT", NULL, 0, error);
    dray_store_rollback(store);
    return result;
}

void dray_store_rollback(struct dray_store *store)
{
    if (!store->grouped)
        return;
    store->grouped = 0;
    undo(store);
}
