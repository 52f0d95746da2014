/* SPDX-License-Identifier: MIT */
/* A job that is taken up by another plan: what it is from then on, and under which ids. */
#include "store_fixture.h"

static char other_digest[] = "0ddba11";

/* A job with two targets, and what a failed attempt left of it. */
static struct dray_job_row *failed_job(struct fixture *fixture)
{
    struct dray_job_row *job = new_job("reads", "/hpfs/one", "key1");

    add_target(job, "push2", "/hpfs/two", "key2");
    OK(dray_store_add(fixture->store, job, NULL, &fixture->error));
    uint32_t attempt = begin_attempt(fixture, job->id);
    OK(dray_store_verdicts_add(fixture->store, job->id, attempt, "push", 0, 1, "one", 3,
                               &fixture->error));
    OK(dray_store_verdicts_end(fixture->store, job->id, attempt, "push", 1, 1, &fixture->error));
    OK(dray_store_verdicts_add(fixture->store, job->id, attempt, "push2", 0, 1, "two", 3,
                               &fixture->error));
    OK(dray_store_verdicts_end(fixture->store, job->id, attempt, "push2", 1, 1, &fixture->error));
    OK(dray_store_checkpoint_put(fixture->store, job->id, "push", "k", "1", &fixture->error));
    OK(dray_store_checkpoint_put(fixture->store, job->id, "push2", "k", "2", &fixture->error));
    OK(dray_store_checkpoint_put(fixture->store, job->id, "stage", "k", "s", &fixture->error));
    end_attempt(fixture, job->id, attempt, "failed", DRAY_FAILED);
    return job;
}

static void rename_target(struct dray_target_row *target, const char *step)
{
    free(target->step);
    target->step = text_of(step);
}

static void set_plan(struct dray_job_row *job, const char *plan, const char *digest)
{
    free(job->plan);
    free(job->plan_digest);
    job->plan = text_of(plan);
    job->plan_digest = text_of(digest);
}

static int keep_chunk(void *arg, const void *data, size_t length)
{
    (void)snprintf(arg, 8, "%.*s", (int)length, (const char *)data);
    return 0;
}

static void assert_kept(struct fixture *fixture, const char *job, const char *step,
                        const char *verdicts, const char *checkpoint)
{
    char data[8] = "";
    dray_autofree char *value = NULL;
    int found = dray_store_verdicts(fixture->store, job, step, keep_chunk, data, &fixture->error);

    assert_int_equal(found, verdicts != NULL);
    assert_string_equal(data, verdicts ? verdicts : "");
    OK(dray_store_checkpoint_get(fixture->store, job, step, "k", &value, &fixture->error));
    if (checkpoint)
        assert_string_equal(value, checkpoint);
    else
        assert_null(value);
}

static void it_is_what_the_other_plan_says(void **state)
{
    struct fixture *fixture = *state;
    dray_job *job = failed_job(fixture);

    set_plan(job, "{\"version\":2}", other_digest);
    free(job->workflow);
    job->workflow = text_of("steps: []\n");
    job->workflow_file = text_of("/home/mira/other.yaml");
    rename_target(&job->targets[0], "to-one");
    OK(dray_store_take_up(fixture->store, job, &fixture->error));
    dray_job *found = get_job(fixture, job->id);
    assert_string_equal(found->plan, "{\"version\":2}");
    assert_string_equal(found->plan_digest, other_digest);
    assert_string_equal(found->workflow, "steps: []\n");
    assert_string_equal(found->workflow_file, "/home/mira/other.yaml");
    assert_string_equal(found->targets[0].step, "to-one");
    assert_string_equal(found->targets[1].step, "push2");
    assert_int_equal(found->state, DRAY_FAILED);
    assert_kept(fixture, job->id, "to-one", "one", "1");
    assert_kept(fixture, job->id, "push2", "two", "2");
    assert_kept(fixture, job->id, "push", NULL, NULL);
}

static void ids_that_were_swapped_stay_with_their_targets(void **state)
{
    struct fixture *fixture = *state;
    dray_job *job = failed_job(fixture);

    set_plan(job, "{}", other_digest);
    rename_target(&job->targets[0], "push2");
    rename_target(&job->targets[1], "push");
    OK(dray_store_take_up(fixture->store, job, &fixture->error));
    dray_job *found = get_job(fixture, job->id);
    assert_string_equal(found->targets[0].destination, "/hpfs/one");
    assert_string_equal(found->targets[0].step, "push2");
    assert_string_equal(found->targets[1].step, "push");
    assert_kept(fixture, job->id, "push2", "one", "1");
    assert_kept(fixture, job->id, "push", "two", "2");
    /* And a result goes to the target of the key. */
    uint32_t attempt = begin_attempt(fixture, job->id);
    OK(move_target(fixture, job->id, "push", DRAY_COMMITTING));
    OK(move_target(fixture, job->id, "push", DRAY_JOB_DELIVERED));
    end_attempt(fixture, job->id, attempt, "failed", DRAY_FAILED);
    dray_job *ended = get_job(fixture, job->id);
    assert_int_equal(ended->targets[0].state, DRAY_FAILED);
    assert_int_equal(ended->targets[1].state, DRAY_JOB_DELIVERED);
}

static void a_checkpoint_of_no_push_is_kept_for_the_same_plan_only(void **state)
{
    struct fixture *fixture = *state;
    dray_job *job = failed_job(fixture);

    OK(dray_store_take_up(fixture->store, job, &fixture->error));
    assert_kept(fixture, job->id, "stage", NULL, "s");
    set_plan(job, "{}", other_digest);
    OK(dray_store_take_up(fixture->store, job, &fixture->error));
    assert_kept(fixture, job->id, "stage", NULL, NULL);
    assert_kept(fixture, job->id, "push", "one", "1");
}

/* The plan may deliver to what an earlier job has delivered; never to less than the job. */
static void a_plan_has_all_targets_of_the_job(void **state)
{
    struct fixture *fixture = *state;
    dray_job *job = failed_job(fixture);

    add_target(job, "push3", "/hpfs/three", "key3");
    rename_target(&job->targets[0], "push4");
    OK(dray_store_take_up(fixture->store, job, &fixture->error));
    dray_job *found = get_job(fixture, job->id);
    assert_int_equal(found->target_count, 2);
    assert_string_equal(found->targets[0].step, "push4");

    free(job->targets[1].request_key);
    job->targets[1].request_key = text_of("another");
    rename_target(&job->targets[0], "push5");
    REFUSED(DRAY_BUG, "its plan does not deliver to /hpfs/two",
            dray_store_take_up(fixture->store, job, &fixture->error));
    dray_job *same = get_job(fixture, job->id);
    assert_string_equal(same->targets[0].step, "push4");
    job->id[0] = job->id[0] == 'f' ? '0' : 'f';
    REFUSED(DRAY_NOT_FOUND, "there is no such job",
            dray_store_take_up(fixture->store, job, &fixture->error));
}

/* An id alone says nothing: it can be that of another target by now. */
static void a_target_is_found_by_its_key_and_not_by_its_step(void **state)
{
    struct fixture *fixture = *state;
    dray_job *job = failed_job(fixture);
    struct dray_target_row target = {.step = job->targets[0].step,
                                     .request_key = job->targets[1].request_key,
                                     .state = DRAY_FAILED};

    (void)begin_attempt(fixture, job->id);
    OK(dray_store_target(fixture->store, job->id, &target, &fixture->error));
    dray_job *found = get_job(fixture, job->id);
    assert_int_equal(found->targets[0].state, DRAY_RUNNING);
    assert_int_equal(found->targets[1].state, DRAY_FAILED);
    target.request_key = NULL;
    REFUSED(DRAY_NOT_FOUND, "there is no such target",
            dray_store_target(fixture->store, job->id, &target, &fixture->error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(it_is_what_the_other_plan_says),
        WITH_STORE(ids_that_were_swapped_stay_with_their_targets),
        WITH_STORE(a_checkpoint_of_no_push_is_kept_for_the_same_plan_only),
        WITH_STORE(a_plan_has_all_targets_of_the_job),
        WITH_STORE(a_target_is_found_by_its_key_and_not_by_its_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
