/* SPDX-License-Identifier: MIT */
/* Verdicts are read once all of an attempt's are there, and of its last such attempt only. */
#include "store_fixture.h"

#define SEEN 64

static int join(void *arg, const void *data, size_t length)
{
    char *seen = arg;
    size_t before = strlen(seen);

    assert_true(before + length + 2 <= SEEN);
    (void)snprintf(seen + before, SEEN - before, "%.*s ", (int)length, (const char *)data);
    return 0;
}

static void expect(struct fixture *fixture, const char *id, const char *step, const char *expected)
{
    char seen[SEEN] = "";
    int found = dray_store_verdicts(fixture->store, id, step, join, seen, &fixture->error);

    if (found < 0)
        fail_msg("%s", fixture->error.message);
    assert_int_equal(found, expected != NULL);
    assert_string_equal(seen, expected ? expected : "");
}

static void put(struct fixture *fixture, const char *id, uint32_t attempt, const char *step,
                uint64_t chunk, uint64_t entries, const char *data)
{
    OK(dray_store_verdicts_add(fixture->store, id, attempt, step, chunk, entries, data,
                               strlen(data), &fixture->error));
}

static void end(struct fixture *fixture, const char *id, uint32_t attempt, const char *step,
                uint64_t chunks, uint64_t entries)
{
    OK(dray_store_verdicts_end(fixture->store, id, attempt, step, chunks, entries,
                               &fixture->error));
}

static int64_t count_rows(struct fixture *fixture)
{
    dray_cleanup(dray_sql_closep) sqlite3_stmt *statement = NULL;

    OK(dray_sql_open(fixture->store, "SELECT COUNT(*) FROM verdicts", NULL, 0, &statement,
                     &fixture->error));
    assert_int_equal(dray_sql_next(fixture->store, statement, &fixture->error), 1);
    return sqlite3_column_int64(statement, 0);
}

static uint32_t next_attempt(struct fixture *fixture, const char *id, uint32_t attempt)
{
    end_attempt(fixture, id, attempt, "failed", DRAY_QUEUED);
    return begin_attempt(fixture, id);
}

static void they_are_read_in_order_once_all_are_there(void **state)
{
    struct fixture *fixture = *state;
    char id[37];

    add_job(fixture, "/hpfs/a", "key", id);
    uint32_t attempt = begin_attempt(fixture, id);
    expect(fixture, id, "push", NULL);
    put(fixture, id, attempt, "push", 1, 2, "second");
    put(fixture, id, attempt, "push", 0, 3, "first");
    expect(fixture, id, "push", NULL);
    end(fixture, id, attempt, "push", 2, 5);
    expect(fixture, id, "push", "first second ");
    expect(fixture, id, "other", NULL);
    /* nothing at all is something too */
    end(fixture, id, attempt, "other", 0, 0);
    expect(fixture, id, "other", "");
}

static void those_of_an_attempt_that_was_cut_short_are_passed_over(void **state)
{
    struct fixture *fixture = *state;
    char id[37];

    add_job(fixture, "/hpfs/a", "key", id);
    uint32_t attempt = begin_attempt(fixture, id);
    put(fixture, id, attempt, "push", 0, 2, "whole");
    end(fixture, id, attempt, "push", 1, 2);
    attempt = next_attempt(fixture, id, attempt);
    put(fixture, id, attempt, "push", 0, 1, "part");
    expect(fixture, id, "push", "whole ");
    attempt = next_attempt(fixture, id, attempt);
    put(fixture, id, attempt, "push", 0, 2, "later");
    put(fixture, id, attempt, "other", 0, 1, "left");
    end(fixture, id, attempt, "push", 1, 2);
    expect(fixture, id, "push", "later ");
    /* and what nobody reads any more is gone */
    assert_int_equal(count_rows(fixture), 3);
}

static void chunks_that_are_lost_are_noticed(void **state)
{
    struct fixture *fixture = *state;
    char id[37];

    add_job(fixture, "/hpfs/a", "key", id);
    uint32_t attempt = begin_attempt(fixture, id);
    put(fixture, id, attempt, "push", 0, 2, "x");
    REFUSED(DRAY_BUG, "2 chunks of 5 entries were told, and 1 of 2 came",
            dray_store_verdicts_end(fixture->store, id, attempt, "push", 2, 5, &fixture->error));
    REFUSED(DRAY_BUG, "1 chunks of 3 entries",
            dray_store_verdicts_end(fixture->store, id, attempt, "push", 1, 3, &fixture->error));
    expect(fixture, id, "push", NULL);
    REFUSED(
        DRAY_BUG, "a chunk of verdicts is empty",
        dray_store_verdicts_add(fixture->store, id, attempt, "push", 1, 1, "", 0, &fixture->error));
    REFUSED(DRAY_BUG, "a chunk of verdicts is empty",
            dray_store_verdicts_add(fixture->store, id, attempt, "push", 1, 0, "x", 1,
                                    &fixture->error));
    REFUSED(DRAY_BUG, "FOREIGN KEY",
            dray_store_verdicts_add(fixture->store, id, attempt + 1, "push", 0, 1, "x", 1,
                                    &fixture->error));
    REFUSED(DRAY_BUG, "FOREIGN KEY",
            dray_store_verdicts_end(fixture->store, "nonesuch", 1, "push", 0, 0, &fixture->error));
}

static int stop(void *arg, const void *data, size_t length)
{
    (void)data;
    (void)length;
    ++*(int *)arg;
    return DRAY_INTEGRITY;
}

static void a_reader_may_stop(void **state)
{
    struct fixture *fixture = *state;
    char id[37];
    int calls = 0;

    add_job(fixture, "/hpfs/a", "key", id);
    uint32_t attempt = begin_attempt(fixture, id);
    put(fixture, id, attempt, "push", 0, 1, "x");
    put(fixture, id, attempt, "push", 1, 1, "y");
    end(fixture, id, attempt, "push", 2, 2);
    assert_int_equal(dray_store_verdicts(fixture->store, id, "push", stop, &calls, &fixture->error),
                     DRAY_INTEGRITY);
    assert_int_equal(calls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(they_are_read_in_order_once_all_are_there),
        WITH_STORE(those_of_an_attempt_that_was_cut_short_are_passed_over),
        WITH_STORE(chunks_that_are_lost_are_noticed),
        WITH_STORE(a_reader_may_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
