/* SPDX-License-Identifier: MIT */
/* What earlier deliveries of a dataset took. */
#include "store_fixture.h"

#define SECOND INT64_C(1000000000)

static void put(struct fixture *fixture, const char *id, uint32_t attempt, const char *uses,
                uint64_t bytes, int64_t started, int64_t ended)
{
    static int number;
    char done[] = "done", step[32];
    dray_autofree char *plugin = text_of(uses);
    struct dray_step_row row = {.step = step,
                                .uses = plugin,
                                .outcome = done,
                                .bytes_out = bytes,
                                .started = started * SECOND,
                                .ended = ended * SECOND};

    (void)snprintf(step, sizeof step, "step%d", number++);
    OK(dray_store_step(fixture->store, id, attempt, &row, &fixture->error));
}

/* A job of /data/<dataset> that is on its first attempt. */
static uint32_t begin(struct fixture *fixture, const char *dataset, const char *user, char id[37])
{
    static int number;
    char key[32], destination[32];

    (void)snprintf(key, sizeof key, "key%d", number);
    (void)snprintf(destination, sizeof destination, "/hpfs/%d", number++);
    dray_job *job = new_job(dataset, destination, key);
    free(job->dataset_id);
    free(job->user);
    job->dataset_id = dray_format("/data/%s", dataset);
    job->user = text_of(user);
    OK(dray_store_add(fixture->store, job, NULL, &fixture->error));
    (void)snprintf(id, 37, "%s", job->id);
    return begin_attempt(fixture, id);
}

static void end(struct fixture *fixture, const char *id, uint32_t attempt)
{
    OK(move_target(fixture, id, "push", DRAY_COMMITTING));
    OK(move_target(fixture, id, "push", DRAY_JOB_DELIVERED));
    end_attempt(fixture, id, attempt, "delivered", DRAY_JOB_DELIVERED);
}

/* A delivered one, whose source and push took so many seconds. */
static void add(struct fixture *fixture, const char *dataset, const char *user, int64_t staging,
                int64_t pushing)
{
    char id[37];
    uint32_t attempt = begin(fixture, dataset, user, id);

    put(fixture, id, attempt, "source/directory", 100, 1, 1 + staging);
    put(fixture, id, attempt, "push/hpfs", 50, 100, 100 + pushing);
    end(fixture, id, attempt);
}

static size_t past(struct fixture *fixture, const char *dataset_id, struct dray_past_job jobs[3],
                   int *ret_same)
{
    size_t count = 99;

    OK(dray_store_past(fixture->store, dataset_id, "reads", "mira", jobs, 3, &count, ret_same,
                       &fixture->error));
    return count;
}

static void the_newest_jobs_of_a_dataset_come_first(void **state)
{
    struct fixture *fixture = *state;
    struct dray_past_job jobs[3];
    int same = 0;

    add(fixture, "reads", "otto", 1, 10);
    add(fixture, "reads", "otto", 2, 20);
    add(fixture, "reads", "otto", 3, 30);
    add(fixture, "reads", "mira", 4, 40);
    add(fixture, "others", "mira", 9, 90);
    assert_int_equal(past(fixture, "/data/reads", jobs, &same), 3);
    assert_true(same);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(jobs[i].staging, (4 - i) * SECOND);
        assert_int_equal(jobs[i].pushing, (40 - 10 * i) * SECOND);
        assert_int_equal(jobs[i].staged, 100);
        assert_int_equal(jobs[i].pushed, 50);
        assert_true(jobs[i].ended > 0);
        assert_true(i == 0 || jobs[i].ended <= jobs[i - 1].ended);
    }
}

static void else_those_of_its_name_and_user_do(void **state)
{
    struct fixture *fixture = *state;
    struct dray_past_job jobs[3];
    int same = 1;

    assert_int_equal(past(fixture, "/elsewhere/reads", jobs, &same), 0);
    assert_false(same);
    add(fixture, "reads", "otto", 1, 10);
    add(fixture, "others", "mira", 2, 20);
    assert_int_equal(past(fixture, "/elsewhere/reads", jobs, &same), 0);
    add(fixture, "reads", "mira", 3, 30);
    assert_int_equal(past(fixture, "/elsewhere/reads", jobs, &same), 1);
    assert_false(same);
    assert_int_equal(jobs[0].staging, 3 * SECOND);
}

static void steps_side_by_side_count_once_and_bytes_of_all_sources(void **state)
{
    struct fixture *fixture = *state;
    struct dray_past_job jobs[3];
    char id[37];
    int same = 0;
    uint32_t attempt = begin(fixture, "reads", "mira", id);

    put(fixture, id, attempt, "source/directory", 100, 5, 9);
    put(fixture, id, attempt, "source/archive", 30, 7, 12);
    put(fixture, id, attempt, "filter/glob", 9999, 12, 80);
    put(fixture, id, attempt, "push/hpfs", 60, 20, 30);
    put(fixture, id, attempt, "push/cloud", 50, 20, 50);
    end(fixture, id, attempt);
    assert_int_equal(past(fixture, "/data/reads", jobs, &same), 1);
    assert_int_equal(jobs[0].staged, 130);
    assert_int_equal(jobs[0].staging, 7 * SECOND);
    assert_int_equal(jobs[0].pushed, 60);
    assert_int_equal(jobs[0].pushing, 30 * SECOND);
}

static void only_the_attempt_that_delivered_counts(void **state)
{
    struct fixture *fixture = *state;
    struct dray_past_job jobs[3];
    char id[37];
    int same = 0;
    uint32_t attempt = begin(fixture, "reads", "mira", id);

    put(fixture, id, attempt, "source/directory", 1, 1, 1000);
    put(fixture, id, attempt, "push/hpfs", 1, 1, 1000);
    end_attempt(fixture, id, attempt, "failed", DRAY_QUEUED);
    assert_int_equal(past(fixture, "/data/reads", jobs, &same), 0);
    attempt = begin_attempt(fixture, id);
    put(fixture, id, attempt, "source/directory", 100, 1, 3);
    assert_int_equal(past(fixture, "/data/reads", jobs, &same), 0);
    put(fixture, id, attempt, "push/hpfs", 100, 4, 8);
    end(fixture, id, attempt);
    assert_int_equal(past(fixture, "/data/reads", jobs, &same), 1);
    assert_int_equal(jobs[0].staging, 2 * SECOND);
    assert_int_equal(jobs[0].pushing, 4 * SECOND);
}

static void a_job_that_says_nothing_of_time_is_passed_over(void **state)
{
    struct fixture *fixture = *state;
    struct dray_past_job jobs[3];
    char id[37];
    int same = 0;
    uint32_t attempt = begin(fixture, "reads", "mira", id);

    put(fixture, id, attempt, "push/hpfs", 50, 20, 30); /* and no source */
    end(fixture, id, attempt);
    add(fixture, "reads", "mira", -5, 3); /* a clock that was set back */
    assert_int_equal(past(fixture, "/data/reads", jobs, &same), 0);
    assert_false(same);
}

static void sums_that_are_too_large_do_not_fail(void **state)
{
    struct fixture *fixture = *state;
    struct dray_past_job jobs[3];
    char id[37];
    int same = 0;
    uint32_t attempt = begin(fixture, "reads", "mira", id);

    put(fixture, id, attempt, "source/directory", INT64_MAX, 1, 2);
    put(fixture, id, attempt, "source/archive", INT64_MAX, 1, 2);
    put(fixture, id, attempt, "push/hpfs", INT64_MAX, 1, 2);
    end(fixture, id, attempt);
    assert_int_equal(past(fixture, "/data/reads", jobs, &same), 1);
    assert_int_equal(jobs[0].staged, INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(the_newest_jobs_of_a_dataset_come_first),
        WITH_STORE(else_those_of_its_name_and_user_do),
        WITH_STORE(steps_side_by_side_count_once_and_bytes_of_all_sources),
        WITH_STORE(only_the_attempt_that_delivered_counts),
        WITH_STORE(a_job_that_says_nothing_of_time_is_passed_over),
        WITH_STORE(sums_that_are_too_large_do_not_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
