/* SPDX-License-Identifier: MIT */
/* store.c - opening and closing the database, and how it is set up. */
#include "core/store/internal.h"

#include <errno.h>
#include <string.h>

#include "core/base/io.h"
#include "core/base/text.h"

/* A commit takes milliseconds; who waits so long waits for something that has gone wrong. */
#define BUSY_SECONDS 30

static int new_store(const char *directory, struct dray_store **ret_store, struct dray_error *error)
{
    dray_cleanup(dray_store_closep) struct dray_store *store = calloc(1, sizeof *store);

    if (store == NULL)
        return dray_fail_memory(error);
    store->directory_fd = -1;
    store->busy_seconds = BUSY_SECONDS;
    dray_store_doing(store, "opening the store in %s", directory);
    /* Without links, so that none is followed later. */
    store->directory = realpath(directory, NULL);
    if (store->directory == NULL)
        return dray_sql_fail_errno(store, error, errno, "finding that directory");
    *ret_store = DRAY_TAKE(store);
    return 0;
}

/* A file name as a URI has it, for a database that nobody has open to write: it is then read
 * without the shared memory that could not be made. */
static char *unchanging(const struct dray_store *store, const char *path)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer uri = {.cap = 16384};

    if (!store->reading || faccessat(store->directory_fd, DRAY_STORE_FILE "-wal", F_OK, 0) == 0)
        return strdup(path);
    dray_buffer_text(&uri, "file:");
    for (const char *c = path; *c; c++)
        dray_buffer_format(&uri, strchr("%?#", *c) ? "%%%02x" : "%c", (unsigned char)*c);
    dray_buffer_text(&uri, "?immutable=1");
    return uri.failed ? NULL : DRAY_TAKE(uri.data);
}

/* The handle, and what keeps a database that was tampered with from doing more than hold data. */
static int connect(struct dray_store *store, struct dray_error *error)
{
    dray_autofree char *path = dray_format("%s/%s", store->directory, DRAY_STORE_FILE);
    dray_autofree char *name = path ? unchanging(store, path) : NULL;
    int how = store->reading ? SQLITE_OPEN_READONLY | SQLITE_OPEN_URI : SQLITE_OPEN_READWRITE;

    if (name == NULL)
        return dray_fail_memory(error);
    int result = sqlite3_open_v2(name, &store->database,
                                 how | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
    if (store->database == NULL)
        return dray_fail_memory(error);
    if (result != SQLITE_OK ||
        sqlite3_busy_timeout(store->database, store->busy_seconds * 1000) != SQLITE_OK ||
        sqlite3_db_config(store->database, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) != SQLITE_OK ||
        sqlite3_db_config(store->database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL) != SQLITE_OK ||
        sqlite3_db_config(store->database, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL) != SQLITE_OK ||
        sqlite3_db_config(store->database, SQLITE_DBCONFIG_DQS_DML, 0, NULL) != SQLITE_OK ||
        sqlite3_db_config(store->database, SQLITE_DBCONFIG_DQS_DDL, 0, NULL) != SQLITE_OK)
        return dray_sql_fail(store, error);
    return 0;
}

int dray_store_set_journal(struct dray_store *store, struct dray_error *error)
{
    dray_autofree char *mode = NULL;
    const char *wanted = store->wal ? "wal" : "delete";

    int result = dray_sql_text(
        store, store->wal ? "PRAGMA journal_mode = WAL" : "PRAGMA journal_mode = DELETE", NULL, 0,
        &mode, error);
    if (result < 0)
        return result;
    if (result == 1 && mode != NULL && strcmp(mode, wanted) == 0)
        return 0;
    return dray_store_fail(store, error, DRAY_UNSUPPORTED,
                           "the journal mode is %s and cannot be made %s here",
                           mode == NULL ? "unknown" : mode, wanted);
}

/* The change of the mode needs the file for itself, and SQLite does not always wait for it: two
 * processes that make one store at once meet here. */
static int set_journal_patiently(struct dray_store *store, struct dray_error *error)
{
    int64_t deadline = dray_monotonic() + store->busy_seconds * INT64_C(1000000000);
    int result = dray_store_set_journal(store, error);

    while (result == DRAY_TEMPORARY && dray_monotonic() < deadline) {
        (void)usleep(10000);
        result = dray_store_set_journal(store, error);
    }
    return result;
}

static int set_up(struct dray_store *store, struct dray_error *error)
{
    int version = 0;

    int result = connect(store, error);
    if (result == 0)
        result = dray_store_recognise(store, &version, error);
    if (result == 0)
        result = set_journal_patiently(store, error);
    if (result == 0)
        result = dray_sql_run(store, "PRAGMA synchronous = FULL", NULL, 0, error);
    if (result == 0 && version < dray_store_schema)
        result = dray_store_migrate(store, error);
    return result;
}

int dray_store_open(const char *directory, struct dray_store **ret_store, struct dray_error *error)
{
    dray_cleanup(dray_store_closep) struct dray_store *store = NULL;

    int result = dray_make_directories(directory, 0700, error);
    if (result == 0)
        result = new_store(directory, &store, error);
    if (result == 0)
        result = dray_store_prepare(store, error);
    if (result == 0)
        result = set_up(store, error);
    if (result == 0)
        *ret_store = DRAY_TAKE(store);
    return result;
}

/* Of a store that was never made. */
static int open_empty(struct dray_store *store, struct dray_error *error)
{
    dray_store_doing(store, "making an empty store in memory");
    if (sqlite3_open_v2(":memory:", &store->database,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        return store->database == NULL ? dray_fail_memory(error) : dray_sql_fail(store, error);
    return dray_store_migrate(store, error);
}

static int open_existing(struct dray_store *store, struct dray_error *error)
{
    int version = 0;
    int result = dray_store_prepare(store, error);

    if (result == 0)
        result = connect(store, error);
    if (result == 0)
        result = dray_store_recognise(store, &version, error);
    if (result == 0 && version < dray_store_schema) {
        result = dray_store_fail(store, error, DRAY_UNSUPPORTED,
                                 "%s/%s has the older schema %d, and may not be written",
                                 store->directory, DRAY_STORE_FILE, version);
        dray_hint(error, "run dray jobs once where it may");
    }
    return result;
}

int dray_store_read(const char *directory, struct dray_store **ret_store, struct dray_error *error)
{
    dray_cleanup(dray_store_closep) struct dray_store *store = calloc(1, sizeof *store);
    dray_autofree char *path = dray_format("%s/%s", directory, DRAY_STORE_FILE);

    if (store == NULL || path == NULL)
        return dray_fail_memory(error);
    store->directory_fd = -1;
    store->busy_seconds = BUSY_SECONDS;
    store->reading = 1;
    int missing = access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR);
    store->directory = missing ? strdup(directory) : realpath(directory, NULL);
    dray_store_doing(store, "opening the store in %s", directory);
    if (store->directory == NULL)
        return dray_sql_fail_errno(store, error, errno, "finding that directory");
    int result = missing ? open_empty(store, error) : open_existing(store, error);
    if (result == 0)
        *ret_store = DRAY_TAKE(store);
    return result;
}

void dray_store_close(struct dray_store *store)
{
    if (store == NULL)
        return;
    dray_store_rollback(store);
    /* Fails only while statements are open, and they end with their scopes. */
    (void)sqlite3_close(store->database);
    dray_close_descriptor(&store->directory_fd);
    free(store->directory);
    free(store);
}

void dray_store_closep(struct dray_store **store)
{
    dray_store_close(*store);
    *store = NULL;
}
