/* SPDX-License-Identifier: MIT */
/* Saved recipes: versions that are numbered once. */
#include "store_fixture.h"

static uint32_t save(struct fixture *fixture, const char *name, const char *text, int expect_new)
{
    uint32_t version = 0;
    int is_new = -1;

    OK(dray_store_recipe_save(fixture->store, name, text, "mira", &version, &is_new,
                              &fixture->error));
    assert_int_equal(is_new, expect_new);
    return version;
}

static void assert_text(struct fixture *fixture, const char *name, uint32_t version,
                        const char *text, uint32_t found)
{
    struct dray_recipe_row *row = NULL;

    OK(dray_store_recipe(fixture->store, name, version, &row, &fixture->error));
    assert_string_equal(row->name, name);
    assert_string_equal(row->text, text);
    assert_int_equal(row->version, found);
    assert_string_equal(row->saved_by, "mira");
    assert_int_equal(strlen(row->digest), 64);
    assert_true(row->saved_at > 0);
    dray_recipe_rows_free(row, 1);
}

static uint32_t remove_recipe(struct fixture *fixture, const char *name, uint32_t version)
{
    uint32_t count = 0;

    OK(dray_store_recipe_delete(fixture->store, name, version, &count, &fixture->error));
    return count;
}

static void another_text_is_another_version(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(save(fixture, "ocean", "one", 1), 1);
    assert_int_equal(save(fixture, "ocean", "two", 1), 2);
    assert_int_equal(save(fixture, "air", "one", 1), 1);
    assert_text(fixture, "ocean", 0, "two", 2);
    assert_text(fixture, "ocean", 1, "one", 1);
    assert_text(fixture, "ocean", 2, "two", 2);
    assert_text(fixture, "air", 0, "one", 1);
}

static void the_newest_text_again_is_the_version_that_it_has(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(save(fixture, "ocean", "one", 1), 1);
    assert_int_equal(save(fixture, "ocean", "one", 0), 1);
    assert_int_equal(save(fixture, "ocean", "two", 1), 2);
    /* an older text is a version of its own: it is the newest then */
    assert_int_equal(save(fixture, "ocean", "one", 1), 3);
    assert_int_equal(save(fixture, "ocean", "one", 0), 3);
}

static void what_is_not_there_is_not_found(void **state)
{
    struct fixture *fixture = *state;
    struct dray_recipe_row *row = NULL;
    uint32_t count = 7;

    REFUSED(DRAY_NOT_FOUND, "there is no recipe \"ocean\"",
            dray_store_recipe(fixture->store, "ocean", 0, &row, &fixture->error));
    assert_int_equal(save(fixture, "ocean", "one", 1), 1);
    REFUSED(DRAY_NOT_FOUND, "there is no version 2 of a recipe \"ocean\"",
            dray_store_recipe(fixture->store, "ocean", 2, &row, &fixture->error));
    REFUSED(DRAY_NOT_FOUND, "there is no version 2 of a recipe \"ocean\"",
            dray_store_recipe_delete(fixture->store, "ocean", 2, &count, &fixture->error));
    REFUSED(DRAY_NOT_FOUND, "there is no recipe \"Ocean\"",
            dray_store_recipe_delete(fixture->store, "Ocean", 0, &count, &fixture->error));
    assert_null(row);
    assert_int_equal(count, 7);
}

/* A workflow or a receipt may say ocean@2 for ever. */
static void a_number_is_never_given_again(void **state)
{
    struct fixture *fixture = *state;
    struct dray_recipe_row *row = NULL;

    assert_int_equal(save(fixture, "ocean", "one", 1), 1);
    assert_int_equal(save(fixture, "ocean", "two", 1), 2);
    assert_int_equal(remove_recipe(fixture, "ocean", 2), 1);
    assert_text(fixture, "ocean", 0, "one", 1);
    assert_int_equal(save(fixture, "ocean", "one", 0), 1);
    assert_int_equal(save(fixture, "ocean", "three", 1), 3);
    REFUSED(DRAY_NOT_FOUND, "version 2",
            dray_store_recipe(fixture->store, "ocean", 2, &row, &fixture->error));
    assert_int_equal(remove_recipe(fixture, "ocean", 0), 2);
    REFUSED(DRAY_NOT_FOUND, "no recipe",
            dray_store_recipe(fixture->store, "ocean", 0, &row, &fixture->error));
    assert_int_equal(save(fixture, "ocean", "three", 1), 4);
    assert_int_equal(ask(fixture, "SELECT COUNT(*) FROM recipe WHERE text IS NULL"), 3);
}

static void the_list_is_by_name_and_the_newest_first(void **state)
{
    struct fixture *fixture = *state;
    struct dray_recipe_row *rows = NULL;
    size_t count = 9;

    OK(dray_store_recipes(fixture->store, &rows, &count, &fixture->error));
    assert_int_equal(count, 0);
    dray_recipe_rows_free(rows, count);
    (void)save(fixture, "ocean", "one", 1);
    (void)save(fixture, "ocean", "two", 1);
    (void)save(fixture, "ocean", "three", 1);
    (void)save(fixture, "air", "four", 1);
    (void)remove_recipe(fixture, "ocean", 2);
    OK(dray_store_recipes(fixture->store, &rows, &count, &fixture->error));
    assert_int_equal(count, 3);
    assert_string_equal(rows[0].text, "four");
    assert_string_equal(rows[1].text, "three");
    assert_string_equal(rows[2].text, "one");
    dray_recipe_rows_free(rows, count);
}

static void the_digest_is_that_of_the_text(void **state)
{
    struct fixture *fixture = *state;
    struct dray_recipe_row *row = NULL;

    (void)save(fixture, "ocean", "abc", 1);
    OK(dray_store_recipe(fixture->store, "ocean", 0, &row, &fixture->error));
    /* FIPS 180-2, appendix B.1 */
    assert_string_equal(row->digest,
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    dray_recipe_rows_free(row, 1);
}

static void what_a_recipe_says_outlives_the_process(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(save(fixture, "ocean", "steps: \"\xc3\xa9\"\n", 1), 1);
    dray_store_close(fixture->store);
    fixture->store = NULL;
    OK(dray_store_open(fixture->directory, &fixture->store, &fixture->error));
    assert_text(fixture, "ocean", 0, "steps: \"\xc3\xa9\"\n", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(another_text_is_another_version),
        WITH_STORE(the_newest_text_again_is_the_version_that_it_has),
        WITH_STORE(what_is_not_there_is_not_found),
        WITH_STORE(a_number_is_never_given_again),
        WITH_STORE(the_list_is_by_name_and_the_newest_first),
        WITH_STORE(the_digest_is_that_of_the_text),
        WITH_STORE(what_a_recipe_says_outlives_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
