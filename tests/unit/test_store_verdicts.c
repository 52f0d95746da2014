/* SPDX-License-Identifier: MIT */
/* What is kept of each entry: chunks in their order, those of a push's last attempt that has any.
 */
#include "store_fixture.h"

struct heard {
    char text[256];
    size_t used;
    int stop_at;
};

static int hear(void *arg, const void *data, size_t length)
{
    struct heard *heard = arg;

    heard->used += (size_t)snprintf(heard->text + heard->used, sizeof(heard->text) - heard->used,
                                    "%.*s;", (int)length, (const char *)data);
    return heard->stop_at && --heard->stop_at == 0 ? DRAY_INTEGRITY : 0;
}

static void tell(struct fixture *fixture, const char *job, uint32_t attempt, const char *step,
                 uint64_t chunk, const char *data)
{
    OK(dray_store_verdicts_add(fixture->store, job, attempt, step, chunk, 1, data, strlen(data),
                               &fixture->error));
}

static void says(struct fixture *fixture, const char *job, const char *step, const char *expected)
{
    struct heard heard = {.used = 0};
    int result = dray_store_verdicts(fixture->store, job, step, hear, &heard, &fixture->error);

    if (result < 0)
        fail_msg("%s", fixture->error.message);
    assert_int_equal(result, expected[0] != '\0');
    assert_string_equal(heard.text, expected);
}

static void chunks_come_in_their_order_and_one_of_a_number(void **state)
{
    struct fixture *fixture = *state;
    dray_job *job = new_job("reads", "/hpfs/a", "key");

    OK(dray_store_add(fixture->store, job, NULL, &fixture->error));
    says(fixture, job->id, "push", "");
    uint32_t attempt = begin_attempt(fixture, job->id);
    says(fixture, job->id, "push", "");
    tell(fixture, job->id, attempt, "push", 10, "ten");
    tell(fixture, job->id, attempt, "push", 2, "two");
    tell(fixture, job->id, attempt, "push", 0, "zero");
    tell(fixture, job->id, attempt, "other", 1, "of another step");
    says(fixture, job->id, "push", "zero;two;ten;");
    tell(fixture, job->id, attempt, "push", 2, "anew");
    says(fixture, job->id, "push", "zero;anew;ten;");
    says(fixture, job->id, "other", "of another step;");
    says(fixture, job->id, "none", "");
    says(fixture, "no such job", "push", "");
}

static void the_attempt_that_told_most_counts(void **state)
{
    struct fixture *fixture = *state;
    dray_job *job = new_job("reads", "/hpfs/a", "key");

    OK(dray_store_add(fixture->store, job, NULL, &fixture->error));
    uint32_t first = begin_attempt(fixture, job->id);
    tell(fixture, job->id, first, "push", 0, "a");
    tell(fixture, job->id, first, "push", 1, "b");
    end_attempt(fixture, job->id, first, "failed", DRAY_WAITING);
    uint32_t second = begin_attempt(fixture, job->id);
    says(fixture, job->id, "push", "a;b;");
    tell(fixture, job->id, second, "push", 0, "c");
    says(fixture, job->id, "push", "a;b;");
    tell(fixture, job->id, second, "push", 1, "d");
    says(fixture, job->id, "push", "c;d;");
    tell(fixture, job->id, second, "other", 0, "d");
    says(fixture, job->id, "other", "d;");
}

static void what_hears_a_chunk_may_stop(void **state)
{
    struct fixture *fixture = *state;
    struct heard heard = {.stop_at = 2};
    dray_job *job = new_job("reads", "/hpfs/a", "key");

    OK(dray_store_add(fixture->store, job, NULL, &fixture->error));
    uint32_t attempt = begin_attempt(fixture, job->id);
    for (uint64_t i = 0; i < 3; i++)
        tell(fixture, job->id, attempt, "push", i, "x");
    assert_int_equal(
        dray_store_verdicts(fixture->store, job->id, "push", hear, &heard, &fixture->error),
        DRAY_INTEGRITY);
    assert_string_equal(heard.text, "x;x;");
}

static void chunks_of_nothing_or_of_nobody_are_refused(void **state)
{
    struct fixture *fixture = *state;
    dray_job *job = new_job("reads", "/hpfs/a", "key");

    OK(dray_store_add(fixture->store, job, NULL, &fixture->error));
    uint32_t attempt = begin_attempt(fixture, job->id);
    REFUSED(DRAY_BUG, "is empty",
            dray_store_verdicts_add(fixture->store, job->id, attempt, "push", 0, 1, "", 0,
                                    &fixture->error));
    assert_true(dray_store_verdicts_add(fixture->store, job->id, attempt + 1, "push", 0, 1, "x", 1,
                                        &fixture->error) < 0);
    assert_true(dray_store_verdicts_add(fixture->store, "no such job", 1, "push", 0, 1, "x", 1,
                                        &fixture->error) < 0);
    assert_int_equal(ask(fixture, "SELECT COUNT(*) FROM verdicts"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(chunks_come_in_their_order_and_one_of_a_number),
        WITH_STORE(the_attempt_that_told_most_counts),
        WITH_STORE(what_hears_a_chunk_may_stop),
        WITH_STORE(chunks_of_nothing_or_of_nobody_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
