/* SPDX-License-Identifier: MIT */
/* The policy sets that ruled: what is kept of them, once, and which revision was the highest. */
#include "store_fixture.h"

static const char set_one[] = "1111111111111111111111111111111111111111111111111111111111111111";
static const char set_two[] = "2222222222222222222222222222222222222222222222222222222222222222";
static const char digest_a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char digest_b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

static struct dray_policy_row row_of(const char *directory, const char *policy, int64_t revision,
                                     const char *digest)
{
    return (struct dray_policy_row){.directory = directory,
                                    .file = "/etc/dray/policies/x.yaml",
                                    .policy = policy,
                                    .revision = revision,
                                    .digest = digest,
                                    .text = "version: 1\n# it's \xc3\xa9\n"};
}

static int64_t count_of(struct fixture *fixture, const char *sql)
{
    int64_t number = 0;

    assert_int_equal(dray_sql_number(fixture->store, sql, NULL, 0, &number, &fixture->error), 1);
    return number;
}

/* The highest revision; 0: none. */
static int64_t highest(struct fixture *fixture, const char *directory, const char *policy,
                       char digest[static 65], int64_t *ret_since)
{
    int64_t revision = 0;
    int result = dray_store_policy_highest(fixture->store, directory, policy, &revision, digest,
                                           ret_since, &fixture->error);

    if (result < 0)
        fail_msg("%s", fixture->error.message);
    return result == 1 ? revision : 0;
}

static void a_set_is_kept_whole_and_once(void **state)
{
    struct fixture *fixture = *state;
    const struct dray_policy_row rows[] = {row_of("/p", "a", 7, digest_a),
                                           row_of("/p", "b", 2, digest_b)};
    dray_autofree char *text = NULL;

    for (int again = 0; again < 3; again++)
        OK(dray_store_policies_add(fixture->store, set_one, rows, 2, &fixture->error));
    assert_int_equal(count_of(fixture, "SELECT COUNT(*) FROM policy_set"), 1);
    assert_int_equal(count_of(fixture, "SELECT COUNT(*) FROM policy_set_file"), 2);
    assert_int_equal(count_of(fixture, "SELECT position FROM policy_set_file WHERE policy = 'b'"),
                     1);
    assert_int_equal(dray_sql_text(fixture->store,
                                   "SELECT text FROM policy_set_file WHERE policy = 'a'", NULL, 0,
                                   &text, &fixture->error),
                     1);
    assert_string_equal(text, rows[0].text);
    /* A set without files rules too. */
    OK(dray_store_policies_add(fixture->store, set_two, NULL, 0, &fixture->error));
    assert_int_equal(count_of(fixture, "SELECT COUNT(*) FROM policy_set"), 2);
}

static void the_highest_revision_of_a_directory_is_known_with_its_time(void **state)
{
    struct fixture *fixture = *state;
    struct dray_policy_row row = row_of("/p", "a", 7, digest_a);
    char digest[65];
    int64_t since = 0, first;

    assert_int_equal(highest(fixture, "/p", "a", digest, &since), 0);
    OK(dray_store_policies_add(fixture->store, set_one, &row, 1, &fixture->error));
    assert_int_equal(highest(fixture, "/p", "a", digest, &since), 7);
    assert_string_equal(digest, digest_a);
    assert_true(since > INT64_C(1600000000000000000));
    first = since;
    row = row_of("/p", "a", 11, digest_b);
    OK(dray_store_policies_add(fixture->store, set_two, &row, 1, &fixture->error));
    assert_int_equal(highest(fixture, "/p", "a", digest, &since), 11);
    assert_string_equal(digest, digest_b);
    assert_true(since > first);
    assert_int_equal(highest(fixture, "/p", "b", digest, &since), 0);
    assert_int_equal(highest(fixture, "/q", "a", digest, &since), 0);
}

static void a_set_that_moved_is_known_by_both_directories(void **state)
{
    struct fixture *fixture = *state;
    struct dray_policy_row row = row_of("/p", "a", 7, digest_a);
    char digest[65];
    int64_t since = 0;

    OK(dray_store_policies_add(fixture->store, set_one, &row, 1, &fixture->error));
    row.directory = "/q";
    OK(dray_store_policies_add(fixture->store, set_one, &row, 1, &fixture->error));
    OK(dray_store_policies_add(fixture->store, set_one, &row, 1, &fixture->error));
    assert_int_equal(highest(fixture, "/p", "a", digest, &since), 7);
    assert_int_equal(highest(fixture, "/q", "a", digest, &since), 7);
    assert_int_equal(count_of(fixture, "SELECT COUNT(*) FROM policy_set"), 1);
    assert_int_equal(count_of(fixture, "SELECT COUNT(*) FROM policy_set_file"), 2);
}

static void what_something_newer_replaced_is_not_stored(void **state)
{
    struct fixture *fixture = *state;
    struct dray_policy_row rows[] = {row_of("/p", "b", 1, digest_b),
                                     row_of("/p", "a", 7, digest_a)};

    OK(dray_store_policies_add(fixture->store, set_one, rows, 2, &fixture->error));
    rows[1].revision = 6;
    REFUSED(DRAY_DENIED, "policy a was replaced by its revision 7 since this was planned",
            dray_store_policies_add(fixture->store, set_two, rows, 2, &fixture->error));
    rows[1] = row_of("/p", "a", 7, digest_b);
    REFUSED(DRAY_DENIED, "policy a was replaced by its revision 7",
            dray_store_policies_add(fixture->store, set_two, rows, 2, &fixture->error));
    assert_int_equal(count_of(fixture, "SELECT COUNT(*) FROM policy_set"), 1);
    assert_int_equal(count_of(fixture, "SELECT COUNT(*) FROM policy_set_file"), 2);
    /* Also a set that ruled itself. */
    rows[1] = row_of("/p", "a", 8, digest_b);
    OK(dray_store_policies_add(fixture->store, set_two, rows, 2, &fixture->error));
    rows[1] = row_of("/p", "a", 7, digest_a);
    REFUSED(DRAY_DENIED, "policy a was replaced by its revision 8",
            dray_store_policies_add(fixture->store, set_one, rows, 2, &fixture->error));
}

static void a_set_is_part_of_the_transaction_that_makes_its_job(void **state)
{
    struct fixture *fixture = *state;
    const struct dray_policy_row row = row_of("/p", "a", 7, digest_a);
    char digest[65];
    int64_t since = 0;

    OK(dray_store_begin(fixture->store, &fixture->error));
    OK(dray_store_policies_add(fixture->store, set_one, &row, 1, &fixture->error));
    dray_store_rollback(fixture->store);
    assert_int_equal(highest(fixture, "/p", "a", digest, &since), 0);
    OK(dray_store_begin(fixture->store, &fixture->error));
    OK(dray_store_policies_add(fixture->store, set_one, &row, 1, &fixture->error));
    OK(dray_store_commit(fixture->store, &fixture->error));
    assert_int_equal(highest(fixture, "/p", "a", digest, &since), 7);
}

static void a_store_is_seen_without_being_made(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(dray_store_is_there(fixture->directory), 0);
    assert_int_equal(dray_store_is_there("/nonexistent/state"), 0);
    OK(dray_store_open(fixture->directory, &fixture->store, &fixture->error));
    assert_int_equal(dray_store_is_there(fixture->directory), 1);
    /* What cannot be looked at may be one. */
    assert_int_equal(dray_store_is_there("/dev/null"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(a_set_is_kept_whole_and_once),
        WITH_STORE(the_highest_revision_of_a_directory_is_known_with_its_time),
        WITH_STORE(a_set_that_moved_is_known_by_both_directories),
        WITH_STORE(what_something_newer_replaced_is_not_stored),
        WITH_STORE(a_set_is_part_of_the_transaction_that_makes_its_job),
        WITH_DIRECTORY(a_store_is_seen_without_being_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
