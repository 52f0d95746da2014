/* SPDX-License-Identifier: MIT */
/*
 * internal.h - what the files of core/store share, from the bottom up: the open database (store.c,
 * place.c, schema.c), statements and transactions (sql.c), rows as tables of columns (rows.c), and
 * which state may follow which (states.c).
 */
#ifndef DRAY_STORE_INTERNAL_H
#define DRAY_STORE_INTERNAL_H

#include <sqlite3.h>

#include "core/base/buffer.h"
#include "core/store/store.h"

struct dray_store {
    sqlite3 *database;
    char *directory;
    int directory_fd;
    int reading;      /* nothing is made or written */
    int wal;          /* a commit may leave its sync to a later one */
    int lazy;         /* and is set to do so */
    int grouped;      /* between dray_store_begin and its end */
    int group_failed; /* a change of this group failed: it must not be committed */
    int busy_seconds;
    char doing[256]; /* what errors say was being done */
};

/* Every public function says first what it is about to do. */
void dray_store_doing(struct dray_store *store, const char *format, ...) DRAY_FORMAT(2, 3);
/* "DOING: message", our side. */
int dray_store_fail(struct dray_store *store, struct dray_error *error, int class_,
                    const char *format, ...) DRAY_FORMAT(4, 5);

/* --- The place (place.c) --- */

/* Is this f_type of statfs a file system that several machines may have mounted? */
int dray_store_is_network(long type);
/* Check `directory`, make and check the file in it; directory_fd and wal are set. */
DRAY_MUST_CHECK int dray_store_prepare(struct dray_store *store, struct dray_error *error);
#define DRAY_STORE_FILE "dray.db"
/* Set the journal mode that `wal` asks for (store.c). */
DRAY_MUST_CHECK int dray_store_set_journal(struct dray_store *store, struct dray_error *error);

/* --- The schema (schema.c) --- */

/* 'Dray' in the file's header: tells our database from others. */
#define DRAY_STORE_APPLICATION 0x44726179
extern const int dray_store_schema;
/* Refuse what is not ours or too new; nothing is written. */
DRAY_MUST_CHECK int dray_store_recognise(struct dray_store *store, int *ret_version,
                                         struct dray_error *error);
DRAY_MUST_CHECK int dray_store_migrate(struct dray_store *store, struct dray_error *error);

/* --- Statements and transactions (sql.c) --- */

/* One value of a statement. text NULL is NULL; with a length it is bytes. */
struct dray_value {
    int is_number;
    const char *text;
    int64_t number;
    size_t length;
};
#define DRAY_SQL_BYTES(DATA, LENGTH) ((struct dray_value){0, DATA, 0, LENGTH})
#define DRAY_SQL_TEXT(VALUE)         ((struct dray_value){0, VALUE, 0})
#define DRAY_SQL_NUMBER(VALUE)       ((struct dray_value){1, NULL, VALUE})

/* The error of the last call of SQLite. */
int dray_sql_fail(struct dray_store *store, struct dray_error *error);
/* `what` of this store's files failed by errno. */
int dray_sql_fail_errno(struct dray_store *store, struct dray_error *error, int errnum,
                        const char *what);

/* Prepare one statement and bind ?1, ?2, ...; text must stay until it is finalized. */
DRAY_MUST_CHECK int dray_sql_open(struct dray_store *store, const char *sql,
                                  const struct dray_value *values, size_t count,
                                  sqlite3_stmt **ret_statement, struct dray_error *error);
/* 1: a row; 0: no more. */
DRAY_MUST_CHECK int dray_sql_next(struct dray_store *store, sqlite3_stmt *statement,
                                  struct dray_error *error);
void dray_sql_closep(sqlite3_stmt **statement);
/* A statement that yields no row. */
DRAY_MUST_CHECK int dray_sql_run(struct dray_store *store, const char *sql,
                                 const struct dray_value *values, size_t count,
                                 struct dray_error *error);
/* The first column of the first row: 1, or 0 when there is no row. Text is NULL where it is NULL.
 */
DRAY_MUST_CHECK int dray_sql_number(struct dray_store *store, const char *sql,
                                    const struct dray_value *values, size_t count,
                                    int64_t *ret_number, struct dray_error *error);
DRAY_MUST_CHECK int dray_sql_text(struct dray_store *store, const char *sql,
                                  const struct dray_value *values, size_t count, char **ret_text,
                                  struct dray_error *error);
/* A column of the current row; NULL stays NULL. */
DRAY_MUST_CHECK int dray_sql_copy(struct dray_store *store, sqlite3_stmt *statement, int column,
                                  char **ret_text, struct dray_error *error);
#define DRAY_SQL_VALUES(...)                                                                       \
    (const struct dray_value[]){__VA_ARGS__},                                                      \
        sizeof((const struct dray_value[]){__VA_ARGS__}) / sizeof(struct dray_value)

/* A transaction of one function: part of the caller's where there is one. Ends with its scope,
 * undone unless it was committed. */
enum dray_transaction_kind {
    DRAY_TRANSACTION_READ,
    DRAY_TRANSACTION_WRITE, /* on disk when committed */
    DRAY_TRANSACTION_LAZY,  /* on disk with the next DRAY_TRANSACTION_WRITE */
};
struct dray_transaction {
    struct dray_store *store; /* NULL: not open */
    enum dray_transaction_kind kind;
    int joined;
};
#define dray_transacting dray_cleanup(dray_transaction_end) struct dray_transaction
DRAY_MUST_CHECK int dray_transaction_begin(struct dray_transaction *transaction,
                                           struct dray_store *store,
                                           enum dray_transaction_kind kind,
                                           struct dray_error *error);
DRAY_MUST_CHECK int dray_transaction_commit(struct dray_transaction *transaction,
                                            struct dray_error *error);
void dray_transaction_end(struct dray_transaction *transaction);

/* --- Rows (rows.c) --- */

enum dray_column_kind {
    DRAY_COLUMN_TEXT,   /* char *; NULL is NULL */
    DRAY_COLUMN_JSON,   /* json_t *, as text */
    DRAY_COLUMN_STATE,  /* enum dray_state, as its name */
    DRAY_COLUMN_COUNT,  /* uint64_t */
    DRAY_COLUMN_NUMBER, /* uint32_t */
    DRAY_COLUMN_TIME,   /* int64_t ns; 0 is NULL */
};
struct dray_column {
    const char *name;
    enum dray_column_kind kind;
    size_t offset;
    int large; /* left out of lists */
};
/* How a struct is a row. The columns of `parent`, which are not in the struct, come before. */
struct dray_table {
    const char *name;
    const char *parent[3];
    const char *key; /* of an upsert; NULL: none */
    size_t size;
    const struct dray_column *columns;
    size_t column_count;
};
extern const struct dray_table dray_job_table, dray_target_table, dray_attempt_table,
    dray_step_table, dray_recipe_table, dray_dataset_table;

/* Insert a row; one with the table's key that is there already is updated, but for its parents.
 * `parents`: the values of the table's parent columns. */
DRAY_MUST_CHECK int dray_row_insert(struct dray_store *store, const struct dray_table *table,
                                    const struct dray_value *parents, const void *row,
                                    struct dray_error *error);

struct dray_rows {
    void *rows; /* array of the table's structs */
    size_t count, capacity;
    const struct dray_table *table;
};
/* All rows that `where` (SQL from WHERE on) selects. `with_large`: large columns as well. */
DRAY_MUST_CHECK int dray_rows_read(struct dray_store *store, struct dray_rows *rows, int with_large,
                                   const char *where, const struct dray_value *values, size_t count,
                                   struct dray_error *error);
void dray_rows_clear(struct dray_rows *rows);
/* Free what one row owns. */
void dray_row_clear(const struct dray_table *table, void *row);

/* --- States (states.c) --- */

#define DRAY_STATE_COUNT (DRAY_JOB_CANCELLED + 1)
int dray_target_may_become(enum dray_state from, enum dray_state to);
int dray_job_may_become(enum dray_state from, enum dray_state to);
/* As the schema's partial index says it, so that queries can use that. */
#define DRAY_SQL_LIVE "state IN ('queued', 'running', 'waiting', 'committing')"

/* --- Shared by jobs.c and attempts.c --- */

#endif
