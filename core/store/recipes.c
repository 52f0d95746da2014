/* SPDX-License-Identifier: MIT */
/*
 * recipes.c - saved recipes. Versions of a name are numbered from 1, and a number is given once: a
 * version that was deleted stays as a row without its text, so that what an old workflow calls
 * NAME@3 never becomes something else.
 */
#include "core/store/internal.h"

#include <string.h>

#include "core/base/digest.h"
#include "core/base/text.h"

void dray_recipe_rows_free(struct dray_recipe_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        dray_row_clear(&dray_recipe_table, &rows[i]);
    free(rows);
}

static int insert(struct dray_store *store, const char *name, const char *text, const char *user,
                  int64_t version, struct dray_error *error)
{
    uint8_t bytes[DRAY_SHA256_BYTES];
    char hex[DRAY_SHA256_HEX];

    if (dray_sha256(text, strlen(text), bytes) != 0)
        return dray_fail_memory(error); /* no library refuses SHA-256 */
    return dray_sql_run(store,
                        "INSERT INTO recipe (name, version, text, digest, saved_by, saved_at) "
                        "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                        DRAY_SQL_VALUES(DRAY_SQL_TEXT(name), DRAY_SQL_NUMBER(version),
                                        DRAY_SQL_TEXT(text),
                                        DRAY_SQL_TEXT(dray_hex(bytes, sizeof bytes, hex)),
                                        DRAY_SQL_TEXT(user), DRAY_SQL_NUMBER(dray_now())),
                        error);
}

/* The newest version's number and text (0 and NULL: there is none), and the highest number that was
 * ever given. */
static int find_newest(struct dray_store *store, const char *name, int64_t *ret_version,
                       char **ret_text, int64_t *ret_highest, struct dray_error *error)
{
    int result =
        dray_sql_number(store, "SELECT COALESCE(MAX(version), 0) FROM recipe WHERE name = ?1",
                        DRAY_SQL_VALUES(DRAY_SQL_TEXT(name)), ret_highest, error);

    if (result >= 0)
        result = dray_sql_number(store,
                                 "SELECT COALESCE(MAX(version), 0) FROM recipe "
                                 "WHERE name = ?1 AND text IS NOT NULL",
                                 DRAY_SQL_VALUES(DRAY_SQL_TEXT(name)), ret_version, error);
    if (result >= 0)
        result = dray_sql_text(store, "SELECT text FROM recipe WHERE name = ?1 AND version = ?2",
                               DRAY_SQL_VALUES(DRAY_SQL_TEXT(name), DRAY_SQL_NUMBER(*ret_version)),
                               ret_text, error);
    return result < 0 ? result : 0;
}

int dray_store_recipe_save(struct dray_store *store, const char *name, const char *text,
                           const char *user, uint32_t *ret_version, int *ret_new,
                           struct dray_error *error)
{
    dray_transacting transaction = {0};
    dray_autofree char *newest = NULL;
    int64_t version = 0, highest = 0;

    dray_store_doing(store, "saving recipe %s", name);
    int result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_WRITE, error);
    if (result != 0)
        return result;
    result = find_newest(store, name, &version, &newest, &highest, error);
    if (result != 0)
        return result;
    *ret_new = newest == NULL || strcmp(newest, text) != 0;
    if (*ret_new && highest >= UINT32_MAX)
        return dray_store_fail(store, error, DRAY_INVALID, "it has all the versions it can have");
    if (*ret_new)
        version = highest + 1;
    *ret_version = (uint32_t)version;
    result = *ret_new ? insert(store, name, text, user, version, error) : 0;
    return result == 0 ? dray_transaction_commit(&transaction, error) : result;
}

static int fail_missing(struct dray_error *error, const char *name, uint32_t version)
{
    if (version == 0)
        (void)dray_fail(error, DRAY_NOT_FOUND, "there is no recipe \"%s\"", name);
    else
        (void)dray_fail(error, DRAY_NOT_FOUND, "there is no version %u of a recipe \"%s\"", version,
                        name);
    dray_hint(error, "dray recipe list names all");
    return DRAY_NOT_FOUND;
}

int dray_store_recipe(struct dray_store *store, const char *name, uint32_t version,
                      struct dray_recipe_row **ret_row, struct dray_error *error)
{
    dray_cleanup(dray_rows_clear) struct dray_rows rows = {.table = &dray_recipe_table};

    dray_store_doing(store, "reading recipe %s", name);
    int result =
        dray_rows_read(store, &rows, 1,
                       "WHERE name = ?1 AND ?2 IN (0, version) AND text IS NOT NULL "
                       "ORDER BY version DESC LIMIT 1",
                       DRAY_SQL_VALUES(DRAY_SQL_TEXT(name), DRAY_SQL_NUMBER(version)), error);
    if (result != 0)
        return result;
    if (rows.count == 0)
        return fail_missing(error, name, version);
    *ret_row = rows.rows;
    rows.rows = NULL;
    rows.count = 0;
    return 0;
}

int dray_store_recipes(struct dray_store *store, struct dray_recipe_row **ret_rows,
                       size_t *ret_count, struct dray_error *error)
{
    dray_cleanup(dray_rows_clear) struct dray_rows rows = {.table = &dray_recipe_table};

    dray_store_doing(store, "listing recipes");
    int result = dray_rows_read(
        store, &rows, 1, "WHERE text IS NOT NULL ORDER BY name, version DESC", NULL, 0, error);
    if (result != 0)
        return result;
    *ret_rows = rows.rows;
    *ret_count = rows.count;
    rows.rows = NULL;
    rows.count = 0;
    return 0;
}

int dray_store_recipe_delete(struct dray_store *store, const char *name, uint32_t version,
                             uint32_t *ret_count, struct dray_error *error)
{
    dray_transacting transaction = {0};
    int64_t count = 0;

    dray_store_doing(store, "deleting recipe %s", name);
    int result = dray_transaction_begin(&transaction, store, DRAY_TRANSACTION_WRITE, error);
    if (result != 0)
        return result;
    result = dray_sql_run(store,
                          "UPDATE recipe SET text = NULL WHERE name = ?1 AND ?2 IN (0, version) "
                          "AND text IS NOT NULL",
                          DRAY_SQL_VALUES(DRAY_SQL_TEXT(name), DRAY_SQL_NUMBER(version)), error);
    if (result == 0)
        result = dray_sql_number(store, "SELECT changes()", NULL, 0, &count, error);
    if (result < 0)
        return result;
    if (count == 0)
        return fail_missing(error, name, version);
    *ret_count = (uint32_t)count;
    return dray_transaction_commit(&transaction, error);
}
