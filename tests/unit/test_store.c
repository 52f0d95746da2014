/* SPDX-License-Identifier: MIT */
/* The store's jobs, targets, attempts, step runs and checkpoints. */
#include "store_fixture.h"

/* --- States ----------------------------------------------------------------------------------- */

static void states_have_the_names_that_are_stored(void **state)
{
    static const char *const names[] = {"queued",    "running", "waiting",  "committing",
                                        "delivered", "failed",  "cancelled"};
    enum dray_state found = DRAY_QUEUED;

    (void)state;
    for (int i = 0; i < DRAY_STATE_COUNT; i++) {
        assert_string_equal(dray_state_name((enum dray_state)i), names[i]);
        assert_int_equal(dray_state_of_name(names[i], &found), 0);
        assert_int_equal(found, i);
    }
    assert_int_equal(dray_state_of_name("done", &found), DRAY_INVALID);
}

static void live_states_are_the_ones_that_are_not_final(void **state)
{
    (void)state;
    for (int i = 0; i < DRAY_STATE_COUNT; i++) {
        char quoted[32];
        (void)snprintf(quoted, sizeof quoted, "'%s'", dray_state_name((enum dray_state)i));
        assert_int_equal(strstr(DRAY_SQL_LIVE, quoted) != NULL,
                         !dray_state_is_final((enum dray_state)i));
    }
}

/* One letter a state, in the order of the enum: what it may become. */
static void check_moves(const char *const expected[DRAY_STATE_COUNT],
                        int (*may_become)(enum dray_state, enum dray_state))
{
    static const char letters[] = "qrwcdfx";

    for (int from = 0; from < DRAY_STATE_COUNT; from++) {
        char moves[DRAY_STATE_COUNT + 1] = "";
        size_t length = 0;
        for (int to = 0; to < DRAY_STATE_COUNT; to++)
            if (may_become((enum dray_state)from, (enum dray_state)to))
                moves[length++] = letters[to];
        assert_string_equal(moves, expected[from]);
    }
}

static void only_known_moves_are_allowed(void **state)
{
    static const char *const targets[] = {"rwfx", "qrwcfx", "qrwfx", "rcdfx", "", "qr", "qr"};
    static const char *const jobs[] = {"rwfx", "qrwdfx", "qrwdfx", "", "d", "qr", "qr"};

    (void)state;
    check_moves(targets, dray_target_may_become);
    check_moves(jobs, dray_job_may_become);
    assert_false(dray_target_may_become((enum dray_state)99, DRAY_RUNNING));
    assert_false(dray_job_may_become(DRAY_RUNNING, (enum dray_state)99));
}

/* --- Adding and finding ----------------------------------------------------------------------- */

static void a_job_comes_back_as_it_was_added(void **state)
{
    struct fixture *fixture = *state;
    dray_job *job = new_job("reads", "/hpfs/lab/reads", "key1");

    job->workflow_file = text_of("/home/mira/na\xefve.yaml");
    add_target(job, "push2", "/hpfs/lab/more", "key2");
    OK(dray_store_add(fixture->store, job, NULL, &fixture->error));
    assert_int_equal(strlen(job->id), 36);
    assert_int_equal(job->id[14], '4');
    assert_non_null(strchr("89ab", job->id[19]));

    dray_job *found = get_job(fixture, job->id);
    assert_string_equal(found->id, job->id);
    assert_string_equal(found->dataset, "reads");
    assert_string_equal(found->dataset_id, "/archive/reads.tar");
    assert_string_equal(found->workflow, job->workflow);
    assert_string_equal(found->workflow_file, job->workflow_file);
    assert_string_equal(found->plan, job->plan);
    assert_string_equal(found->plan_digest, "0badc0de");
    assert_string_equal(found->user, "mira");
    assert_string_equal(found->actor, "otto");
    assert_int_equal(found->state, DRAY_QUEUED);
    assert_null(found->reason);
    assert_true(found->created > 0 && found->created == found->updated);
    assert_int_equal(found->attempt_count, 0);
    assert_int_equal(found->target_count, 2);
    assert_string_equal(found->targets[0].step, "push");
    assert_string_equal(found->targets[0].push, "push/hpfs");
    assert_string_equal(found->targets[1].destination, "/hpfs/lab/more");
    assert_string_equal(found->targets[1].request_key, "key2");
    assert_int_equal(found->targets[1].state, DRAY_QUEUED);
    assert_null(found->targets[1].manifest_sha256);
    assert_int_equal(found->targets[1].delivered_at, 0);
}

static void a_destination_has_one_live_job(void **state)
{
    struct fixture *fixture = *state;
    dray_job *second = new_job("reads", "/hpfs/lab/reads", "other key");
    dray_autofree char *other = NULL;
    char first[37];

    add_job(fixture, "/hpfs/lab/reads", "key1", first);
    REFUSED(DRAY_CONFLICT, "/hpfs/lab/reads and has not ended",
            dray_store_add(fixture->store, second, &other, &fixture->error));
    assert_string_equal(other, first);
    assert_non_null(strstr(fixture->error.message, first));
    assert_null(second->id);
    assert_int_equal(ask(fixture, "SELECT COUNT(*) FROM push_job"), 1);

    /* Free again once it has ended, and not before. */
    uint32_t attempt = begin_attempt(fixture, first);
    OK(move_target(fixture, first, "push", DRAY_COMMITTING));
    REFUSED(DRAY_CONFLICT, first, dray_store_add(fixture->store, second, NULL, &fixture->error));
    end_attempt(fixture, first, attempt, "failed", DRAY_FAILED);
    OK(dray_store_add(fixture->store, second, NULL, &fixture->error));
}

static void the_database_itself_keeps_a_destination_to_one_live_job(void **state)
{
    struct fixture *fixture = *state;
    char ids[2][37];

    add_job(fixture, "/hpfs/a", "key1", ids[0]);
    add_job(fixture, "/hpfs/b", "key2", ids[1]);
    REFUSED(DRAY_BUG, "UNIQUE",
            dray_sql_run(fixture->store, "UPDATE push_target SET destination = '/hpfs/a'", NULL, 0,
                         &fixture->error));
}

static void a_job_needs_targets_at_different_places(void **state)
{
    struct fixture *fixture = *state;
    dray_job *twice = new_job("reads", "/hpfs/lab/reads", "key1");
    dray_job *none = new_job("reads", "/hpfs/lab/reads", "key1");

    add_target(twice, "push2", "/hpfs/lab/reads", "key2");
    REFUSED(DRAY_INVALID, "steps push and push2 both deliver to /hpfs/lab/reads",
            dray_store_add(fixture->store, twice, NULL, &fixture->error));
    dray_row_clear(&dray_target_table, &none->targets[0]);
    none->target_count = 0;
    REFUSED(DRAY_BUG, "no target", dray_store_add(fixture->store, none, NULL, &fixture->error));
    assert_int_equal(ask(fixture, "SELECT COUNT(*) FROM push_job"), 0);
}

static void a_row_that_lacks_something_is_refused_whole(void **state)
{
    struct fixture *fixture = *state;
    dray_job *job = new_job("reads", "/hpfs/lab/reads", "key1");

    free(job->targets[0].request_key);
    job->targets[0].request_key = NULL;
    REFUSED(DRAY_BUG, "storing a job for dataset reads: NOT NULL",
            dray_store_add(fixture->store, job, NULL, &fixture->error));
    assert_int_equal(ask(fixture, "SELECT COUNT(*) FROM push_job"), 0);
}

static void columns_hold_only_their_type(void **state)
{
    static const char *const changes[] = {
        "UPDATE push_job SET created_at = 'noon'",
        "UPDATE push_job SET dataset = x'00'",
        "UPDATE push_job SET state = 'committing'",
        "UPDATE push_target SET bytes = -1",
        "UPDATE push_target SET entries = 1.5",
        "UPDATE push_target SET state = 'committing'",
        "UPDATE push_target SET state = 'delivered', manifest_sha256 = 'a', receipt = '{}'",
        "UPDATE push_job SET id = 'short'",
    };
    struct fixture *fixture = *state;
    char id[37];

    add_job(fixture, "/hpfs/a", "key1", id);
    for (size_t i = 0; i < DRAY_COUNT(changes); i++)
        REFUSED(DRAY_BUG, "CHECK",
                dray_sql_run(fixture->store, changes[i], NULL, 0, &fixture->error));
    REFUSED(DRAY_BUG, "FOREIGN KEY",
            dray_sql_run(fixture->store, "DELETE FROM push_job", NULL, 0, &fixture->error));
}

static void expect_key(struct fixture *fixture, const char *key, const char *id)
{
    dray_job *job = NULL;

    OK(dray_store_by_key(fixture->store, key, &job, &fixture->error));
    assert_string_equal(job == NULL ? "none" : job->id, id);
}

static void a_request_finds_the_delivered_job_then_a_live_one_then_the_newest(void **state)
{
    struct fixture *fixture = *state;
    char failed[37], newest[37], live[37], delivered[37];

    expect_key(fixture, "key", "none");
    add_job(fixture, "/hpfs/a", "key", failed);
    end_attempt(fixture, failed, 0, "failed", DRAY_FAILED);
    expect_key(fixture, "key", failed);
    add_job(fixture, "/hpfs/a", "key", live);
    expect_key(fixture, "key", live);
    add_job(fixture, "/hpfs/b", "key", newest);
    end_attempt(fixture, newest, 0, "failed", DRAY_FAILED);
    expect_key(fixture, "key", live);
    end_attempt(fixture, live, 0, "cancelled", DRAY_JOB_CANCELLED);
    expect_key(fixture, "key", newest);
    (void)begin_attempt(fixture, live);
    expect_key(fixture, "key", live);
    add_job(fixture, "/hpfs/c", "key", delivered);
    deliver(fixture, delivered);
    expect_key(fixture, "key", delivered);
    expect_key(fixture, "KEY", "none");
}

static void a_job_is_found_by_the_beginning_of_its_id(void **state)
{
    struct fixture *fixture = *state;
    dray_job *found = NULL;
    char ids[2][37];
    char prefix[9];

    add_job(fixture, "/hpfs/a", "key1", ids[0]);
    (void)snprintf(prefix, sizeof prefix, "%.8s", ids[0]);
    for (char *at = prefix; *at != '\0'; at++)
        *at = (char)(*at >= 'a' ? *at - 'a' + 'A' : *at);
    OK(dray_store_job(fixture->store, prefix, &found, &fixture->error));
    assert_string_equal(found->id, ids[0]);

    struct dray_job_row *untouched = NULL;
    REFUSED(DRAY_INVALID, "at least the first 4",
            dray_store_job(fixture->store, "abc", &untouched, &fixture->error));
    static const char *const unknown[] = {"zzzz", "%%%%", "____", "0000000000000000000000000000",
                                          "00000000-0000-0000-0000-0000000000000"};
    for (size_t i = 0; i < DRAY_COUNT(unknown); i++)
        REFUSED(DRAY_NOT_FOUND, "there is no such job",
                dray_store_job(fixture->store, unknown[i], &untouched, &fixture->error));

    add_job(fixture, "/hpfs/b", "key2", ids[1]);
    OK(dray_sql_run(fixture->store, "PRAGMA foreign_keys = OFF", NULL, 0, &fixture->error));
    OK(dray_sql_run(fixture->store, "UPDATE push_job SET id = 'abcd' || substr(id, 5)", NULL, 0,
                    &fixture->error));
    REFUSED(DRAY_INVALID, "several jobs begin so",
            dray_store_job(fixture->store, "abcd", &untouched, &fixture->error));
    assert_null(untouched);
}

static void expect_list(struct fixture *fixture, const char *state, const char *dataset,
                        const char *user, int64_t since, size_t limit, const char *expected)
{
    struct dray_job_row **jobs = NULL;
    size_t count = 0;
    char found[64] = "";

    OK(dray_store_jobs(fixture->store, state, dataset, user, since, limit, &jobs, &count,
                       &fixture->error));
    for (size_t i = 0; i < count; i++) {
        strncat(found, jobs[i]->dataset, sizeof found - strlen(found) - 1);
        assert_null(jobs[i]->plan);
        assert_null(jobs[i]->workflow);
        assert_int_equal(jobs[i]->target_count, 1);
        assert_non_null(jobs[i]->targets[0].destination);
        dray_job_row_free(jobs[i]);
    }
    free(jobs);
    assert_string_equal(found, expected);
}

static void jobs_are_listed_newest_first_and_filtered(void **state)
{
    struct fixture *fixture = *state;
    int64_t third = 0;
    struct dray_job_row **jobs = NULL;
    size_t count = 0;

    expect_list(fixture, NULL, NULL, NULL, 0, 10, "");
    for (int i = 0; i < 4; i++) {
        char name[2] = {(char)('a' + i), '\0'};
        dray_job *job = new_job(name, name, name);
        if (i == 3) {
            free(job->user);
            job->user = text_of("ines");
        }
        OK(dray_store_add(fixture->store, job, NULL, &fixture->error));
        if (i == 1)
            deliver(fixture, job->id);
        if (i == 2)
            third = job->created;
    }
    expect_list(fixture, NULL, NULL, NULL, 0, 10, "dcba");
    expect_list(fixture, NULL, NULL, NULL, 0, 2, "dc");
    expect_list(fixture, NULL, NULL, NULL, third, SIZE_MAX, "dc");
    expect_list(fixture, "queued", NULL, NULL, 0, 10, "dca");
    expect_list(fixture, "delivered", NULL, NULL, 0, 10, "b");
    expect_list(fixture, NULL, "a", NULL, 0, 10, "a");
    expect_list(fixture, "queued", NULL, "mira", 0, 10, "ca");
    expect_list(fixture, "failed", NULL, NULL, 0, 10, "");
    REFUSED(DRAY_INVALID, "no state of a job is called deliverd",
            dray_store_jobs(fixture->store, "deliverd", NULL, NULL, 0, 1, &jobs, &count,
                            &fixture->error));
    assert_string_equal(fixture->error.hint, "did you mean delivered?");
    REFUSED(DRAY_INVALID, "no state of a job is called committing",
            dray_store_jobs(fixture->store, "committing", NULL, NULL, 0, 1, &jobs, &count,
                            &fixture->error));
}

/* --- Attempts and step runs ------------------------------------------------------------------- */

static int put_step(struct fixture *fixture, const char *id, uint32_t attempt, const char *name,
                    const char *outcome)
{
    dray_autofree char *step = text_of(name);
    dray_autofree char *ended = text_of(outcome);
    char uses[] = "filter/glob";
    struct dray_step_row row = {
        .step = step, .uses = uses, .outcome = ended, .entries_in = 3, .started = 5};

    return dray_store_step(fixture->store, id, attempt, &row, &fixture->error);
}

static void an_attempt_sets_its_job_running(void **state)
{
    struct fixture *fixture = *state;
    char id[37];

    add_job(fixture, "/hpfs/a", "key1", id);
    assert_int_equal(begin_attempt(fixture, id), 1);
    dray_job *job = get_job(fixture, id);
    assert_int_equal(job->state, DRAY_RUNNING);
    assert_int_equal(job->targets[0].state, DRAY_RUNNING);
    assert_int_equal(job->attempt_count, 1);
    assert_int_equal(job->attempts[0].number, 1);
    assert_string_equal(job->attempts[0].outcome, "running");
    assert_true(job->attempts[0].started >= job->created);
    assert_int_equal(job->attempts[0].ended, 0);
}

static void an_attempt_left_running_becomes_interrupted(void **state)
{
    struct fixture *fixture = *state;
    char id[37];

    add_job(fixture, "/hpfs/a", "key1", id);
    uint32_t first = begin_attempt(fixture, id);
    OK(put_step(fixture, id, first, "list", "done"));
    OK(put_step(fixture, id, first, "push", "running"));
    OK(move_target(fixture, id, "push", DRAY_COMMITTING));
    assert_int_equal(begin_attempt(fixture, id), 2);

    dray_job *job = get_job(fixture, id);
    assert_int_equal(job->attempt_count, 2);
    assert_string_equal(job->attempts[0].outcome, "interrupted");
    assert_non_null(job->attempts[0].reason);
    assert_true(job->attempts[0].ended > 0);
    assert_string_equal(job->attempts[0].steps[0].outcome, "done");
    assert_string_equal(job->attempts[0].steps[1].outcome, "cancelled");
    assert_string_equal(job->attempts[1].outcome, "running");
    /* What it had leave to commit is still known, for a probe. */
    assert_int_equal(job->targets[0].state, DRAY_RUNNING);
    assert_string_equal(job->targets[0].manifest_sha256, "d00d");
    REFUSED(DRAY_BUG, "attempt 1 has ended (interrupted)",
            put_step(fixture, id, first, "push", "done"));
}

static void an_attempt_takes_up_what_failed_unless_its_place_is_taken(void **state)
{
    struct fixture *fixture = *state;
    uint32_t number = 7;
    char id[37], next[37];

    add_job(fixture, "/hpfs/a", "key1", id);
    OK(dray_store_end(fixture->store, id, begin_attempt(fixture, id), "failed", DRAY_FAILED, "why",
                      "how", &fixture->error));
    add_job(fixture, "/hpfs/a", "key2", next);
    REFUSED(DRAY_CONFLICT, next, dray_store_attempt(fixture->store, id, &number, &fixture->error));
    assert_int_equal(number, 7);
    end_attempt(fixture, next, 0, "", DRAY_JOB_CANCELLED);
    assert_int_equal(begin_attempt(fixture, id), 2);
    dray_job *job = get_job(fixture, id);
    assert_int_equal(job->state, DRAY_RUNNING);
    assert_null(job->reason);
    assert_null(job->hint);
    assert_string_equal(job->attempts[0].reason, "why");
}

static void no_attempt_begins_on_what_is_delivered_or_unknown(void **state)
{
    struct fixture *fixture = *state;
    uint32_t number = 0;
    char id[37];

    add_job(fixture, "/hpfs/a", "key1", id);
    deliver(fixture, id);
    REFUSED(DRAY_BUG, "is delivered and cannot become running",
            dray_store_attempt(fixture->store, id, &number, &fixture->error));
    REFUSED(DRAY_NOT_FOUND, "beginning an attempt of job nonesuch: there is no such job",
            dray_store_attempt(fixture->store, "nonesuch", &number, &fixture->error));
}

static void a_step_run_is_inserted_once_and_then_updated(void **state)
{
    struct fixture *fixture = *state;
    char id[37];
    char step[] = "drop-raw", uses[] = "filter/glob", version[] = "1.2", running[] = "running",
         failed[] = "failed", reason[] = "no", class_[] = "integrity", digest[] = "beef";

    add_job(fixture, "/hpfs/a", "key1", id);
    uint32_t attempt = begin_attempt(fixture, id);
    struct dray_step_row row = {.step = step, .uses = uses, .outcome = running, .started = 11};
    OK(dray_store_step(fixture->store, id, attempt, &row, &fixture->error));
    OK(put_step(fixture, id, attempt, "another", "done"));
    row = (struct dray_step_row){
        .step = step,
        .uses = uses,
        .version = version,
        .outcome = failed,
        .reason = reason,
        .class_ = class_,
        .tree_digest = digest,
        .rules = json_pack("[{s:s, s:I}]", "by", "drop[0]", "bytes", (json_int_t)INT64_MAX),
        .entries_in = 1,
        .bytes_in = INT64_MAX,
        .entries_out = 3,
        .bytes_out = 4,
        .started = 11,
        .ended = 12};
    assert_non_null(row.rules);
    OK(dray_store_step(fixture->store, id, attempt, &row, &fixture->error));

    dray_job *job = get_job(fixture, id);
    assert_int_equal(job->attempts[0].step_count, 2);
    struct dray_step_row *found = &job->attempts[0].steps[0];
    assert_string_equal(found->step, step);
    assert_string_equal(found->uses, uses);
    assert_string_equal(found->version, version);
    assert_string_equal(found->outcome, failed);
    assert_string_equal(found->reason, reason);
    assert_string_equal(found->class_, class_);
    assert_string_equal(found->tree_digest, digest);
    assert_true(json_equal(found->rules, row.rules));
    json_decref(row.rules);
    assert_int_equal(found->entries_in, 1);
    assert_int_equal(found->bytes_in, INT64_MAX);
    assert_int_equal(found->entries_out, 3);
    assert_int_equal(found->bytes_out, 4);
    assert_int_equal(found->started, 11);
    assert_int_equal(found->ended, 12);
    assert_string_equal(job->attempts[0].steps[1].step, "another");
    assert_null(job->attempts[0].steps[1].rules);
}

static void a_step_run_that_makes_no_sense_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char id[37];
    char step[] = "a", done[] = "done";
    struct dray_step_row row = {
        .step = step, .uses = step, .outcome = done, .bytes_in = UINT64_MAX};

    add_job(fixture, "/hpfs/a", "key1", id);
    REFUSED(DRAY_BUG, "has no attempt 1", put_step(fixture, id, 1, "a", "done"));
    (void)begin_attempt(fixture, id);
    REFUSED(DRAY_BUG, "CHECK", put_step(fixture, id, 1, "a", "finished"));
    REFUSED(DRAY_INVALID, "bytes_in is larger than can be stored",
            dray_store_step(fixture->store, id, 1, &row, &fixture->error));
    assert_int_equal(ask(fixture, "SELECT COUNT(*) FROM step_run"), 0);
}

/* --- Targets ---------------------------------------------------------------------------------- */

static void a_target_is_delivered_with_its_record(void **state)
{
    struct fixture *fixture = *state;
    char step[] = "push", key[] = "key1", id[37];
    struct dray_target_row target = {.step = step,
                                     .request_key = key,
                                     .state = DRAY_JOB_DELIVERED,
                                     .confirmation = json_pack("{s:s}", "path", "/hpfs/a"),
                                     .entries = 9,
                                     .bytes = 1000,
                                     .delivered_at = 77};

    add_job(fixture, "/hpfs/a", "key1", id);
    uint32_t attempt = begin_attempt(fixture, id);
    OK(move_target(fixture, id, "push", DRAY_COMMITTING));
    OK(dray_store_target(fixture->store, id, &target, &fixture->error));
    json_decref(target.confirmation);

    dray_job *job = get_job(fixture, id);
    assert_int_equal(job->state, DRAY_JOB_DELIVERED);
    assert_int_equal(job->targets[0].state, DRAY_JOB_DELIVERED);
    assert_string_equal(job->targets[0].manifest_sha256, "d00d");
    assert_string_equal(job->targets[0].receipt, "{\"receipt\":1}");
    assert_string_equal(json_string_value(json_object_get(job->targets[0].confirmation, "path")),
                        "/hpfs/a");
    assert_int_equal(job->targets[0].entries, 9);
    assert_int_equal(job->targets[0].bytes, 1000);
    assert_int_equal(job->targets[0].delivered_at, 77);
    /* The attempt goes on until it is ended. */
    assert_string_equal(job->attempts[0].outcome, "running");
    OK(put_step(fixture, id, attempt, "push", "done"));
    end_attempt(fixture, id, attempt, "delivered", DRAY_JOB_DELIVERED);
    dray_job *ended = get_job(fixture, id);
    assert_string_equal(ended->attempts[0].outcome, "delivered");
    assert_true(ended->attempts[0].ended > 0);
}

static void a_target_moves_only_as_the_table_says(void **state)
{
    struct fixture *fixture = *state;
    char id[37];

    add_job(fixture, "/hpfs/a", "key1", id);
    REFUSED(DRAY_BUG, "storing target push", move_target(fixture, id, "push", DRAY_COMMITTING));
    REFUSED(DRAY_BUG, "is queued and cannot become delivered",
            move_target(fixture, id, "push", DRAY_JOB_DELIVERED));
    uint32_t attempt = begin_attempt(fixture, id);
    REFUSED(DRAY_BUG, "is running and cannot become delivered",
            move_target(fixture, id, "push", DRAY_JOB_DELIVERED));
    REFUSED(DRAY_NOT_FOUND, "there is no such target",
            move_target(fixture, id, "push9", DRAY_COMMITTING));
    OK(move_target(fixture, id, "push", DRAY_JOB_CANCELLED));
    for (int to = 0; to < DRAY_STATE_COUNT; to++)
        REFUSED(DRAY_BUG, "is cancelled and cannot become",
                move_target(fixture, id, "push", (enum dray_state)to));
    end_attempt(fixture, id, attempt, "cancelled", DRAY_JOB_CANCELLED);

    deliver(fixture, id);
    for (int to = 0; to < DRAY_STATE_COUNT; to++)
        REFUSED(DRAY_BUG, "is delivered and cannot become",
                move_target(fixture, id, "push", (enum dray_state)to));
}

static void a_commit_needs_its_record_and_delivers_no_other(void **state)
{
    struct fixture *fixture = *state;
    char step[] = "push", key[] = "key1", id[37];
    char first[] = "d00d", other[] = "beef", receipt[] = "{}";
    struct dray_target_row target = {
        .step = step, .request_key = key, .state = DRAY_COMMITTING, .manifest_sha256 = first};

    add_job(fixture, "/hpfs/a", "key1", id);
    (void)begin_attempt(fixture, id);
    REFUSED(DRAY_BUG, "needs the manifest's digest and a receipt",
            dray_store_target(fixture->store, id, &target, &fixture->error));
    target.receipt = receipt;
    OK(dray_store_target(fixture->store, id, &target, &fixture->error));
    target.manifest_sha256 = other;
    target.state = DRAY_JOB_DELIVERED;
    REFUSED(DRAY_BUG, "manifest beef was delivered where d00d was given leave",
            dray_store_target(fixture->store, id, &target, &fixture->error));
    /* A push that is tried again asks again, with what it has then. */
    target.state = DRAY_COMMITTING;
    OK(dray_store_target(fixture->store, id, &target, &fixture->error));
    target.state = DRAY_JOB_DELIVERED;
    OK(dray_store_target(fixture->store, id, &target, &fixture->error));
    dray_job *job = get_job(fixture, id);
    assert_string_equal(job->targets[0].manifest_sha256, "beef");
    assert_true(job->targets[0].delivered_at >= job->created);
}

static void a_job_is_delivered_with_its_last_target(void **state)
{
    struct fixture *fixture = *state;
    dray_job *job = new_job("reads", "/hpfs/a", "key1");

    add_target(job, "push2", "/hpfs/b", "key2");
    OK(dray_store_add(fixture->store, job, NULL, &fixture->error));
    uint32_t attempt = begin_attempt(fixture, job->id);
    OK(move_target(fixture, job->id, "push", DRAY_COMMITTING));
    OK(move_target(fixture, job->id, "push", DRAY_JOB_DELIVERED));
    REFUSED(DRAY_BUG, "cannot end as delivered",
            dray_store_end(fixture->store, job->id, attempt, "delivered", DRAY_JOB_DELIVERED, NULL,
                           NULL, &fixture->error));
    OK(dray_store_end(fixture->store, job->id, attempt, "failed", DRAY_FAILED, "quota", "ask",
                      &fixture->error));
    dray_job *failed = get_job(fixture, job->id);
    assert_int_equal(failed->state, DRAY_FAILED);
    assert_string_equal(failed->reason, "quota");
    assert_string_equal(failed->hint, "ask");
    assert_int_equal(failed->targets[0].state, DRAY_JOB_DELIVERED);
    assert_int_equal(failed->targets[1].state, DRAY_FAILED);

    /* The other one alone, again. */
    attempt = begin_attempt(fixture, job->id);
    OK(move_target(fixture, job->id, "push2", DRAY_COMMITTING));
    OK(move_target(fixture, job->id, "push2", DRAY_JOB_DELIVERED));
    OK(dray_store_end(fixture->store, job->id, attempt, "delivered", DRAY_FAILED, NULL, NULL,
                      &fixture->error));
    dray_job *delivered = get_job(fixture, job->id);
    assert_int_equal(delivered->state, DRAY_JOB_DELIVERED);
    assert_null(delivered->reason);
}

/* --- The end of an attempt -------------------------------------------------------------------- */

static void live_targets_follow_a_job_that_ends(void **state)
{
    static const enum dray_state ends[] = {DRAY_FAILED, DRAY_JOB_CANCELLED, DRAY_WAITING,
                                           DRAY_QUEUED};
    struct fixture *fixture = *state;
    char id[37];

    add_job(fixture, "/hpfs/a", "key1", id);
    for (size_t i = 0; i < DRAY_COUNT(ends); i++) {
        uint32_t attempt = begin_attempt(fixture, id);
        OK(put_step(fixture, id, attempt, "push", "running"));
        end_attempt(fixture, id, attempt, "failed", ends[i]);
        dray_job *job = get_job(fixture, id);
        assert_int_equal(job->state, ends[i]);
        assert_int_equal(job->targets[0].state, ends[i]);
        assert_string_equal(job->attempts[i].outcome, "failed");
        assert_string_equal(job->attempts[i].steps[0].outcome, "cancelled");
        assert_true(job->attempts[i].steps[0].ended > 0);
    }
}

static void a_commit_of_unknown_end_stays_so_while_its_job_goes_on(void **state)
{
    struct fixture *fixture = *state;
    char id[37];

    add_job(fixture, "/hpfs/a", "key1", id);
    uint32_t attempt = begin_attempt(fixture, id);
    OK(move_target(fixture, id, "push", DRAY_COMMITTING));
    end_attempt(fixture, id, attempt, "interrupted", DRAY_WAITING);
    dray_job *waiting = get_job(fixture, id);
    assert_int_equal(waiting->state, DRAY_WAITING);
    assert_int_equal(waiting->targets[0].state, DRAY_COMMITTING);
    /* Then it is found delivered. */
    OK(move_target(fixture, id, "push", DRAY_JOB_DELIVERED));
    dray_job *delivered = get_job(fixture, id);
    assert_int_equal(delivered->state, DRAY_JOB_DELIVERED);
}

static void an_attempt_ends_once_and_as_something(void **state)
{
    struct fixture *fixture = *state;
    char id[37];

    add_job(fixture, "/hpfs/a", "key1", id);
    uint32_t attempt = begin_attempt(fixture, id);
    REFUSED(DRAY_BUG, "cannot end as running",
            dray_store_end(fixture->store, id, attempt, "running", DRAY_FAILED, NULL, NULL,
                           &fixture->error));
    REFUSED(DRAY_BUG, "cannot end as running",
            dray_store_end(fixture->store, id, attempt, "failed", DRAY_RUNNING, NULL, NULL,
                           &fixture->error));
    REFUSED(DRAY_BUG, "cannot end as committing",
            dray_store_end(fixture->store, id, attempt, "failed", DRAY_COMMITTING, NULL, NULL,
                           &fixture->error));
    REFUSED(
        DRAY_BUG, "has no attempt 2",
        dray_store_end(fixture->store, id, 2, "failed", DRAY_FAILED, NULL, NULL, &fixture->error));
    end_attempt(fixture, id, attempt, "failed", DRAY_FAILED);
    REFUSED(DRAY_BUG, "attempt 1 has ended (failed)",
            dray_store_end(fixture->store, id, attempt, "failed", DRAY_FAILED, NULL, NULL,
                           &fixture->error));
}

static void a_job_may_end_outside_of_any_attempt(void **state)
{
    struct fixture *fixture = *state;
    char ids[2][37];

    add_job(fixture, "/hpfs/a", "key1", ids[0]);
    end_attempt(fixture, ids[0], 0, "", DRAY_JOB_CANCELLED);
    dray_job *unbegun = get_job(fixture, ids[0]);
    assert_int_equal(unbegun->state, DRAY_JOB_CANCELLED);
    assert_int_equal(unbegun->attempt_count, 0);

    add_job(fixture, "/hpfs/a", "key2", ids[1]);
    (void)begin_attempt(fixture, ids[1]);
    end_attempt(fixture, ids[1], 0, "", DRAY_FAILED);
    dray_job *left = get_job(fixture, ids[1]);
    assert_int_equal(left->state, DRAY_FAILED);
    assert_string_equal(left->attempts[0].outcome, "interrupted");
}

/* --- Checkpoints ------------------------------------------------------------------------------ */

static void expect_checkpoint(struct fixture *fixture, const char *id, const char *step,
                              const char *key, const char *expected)
{
    dray_autofree char *value = NULL;

    OK(dray_store_checkpoint_get(fixture->store, id, step, key, &value, &fixture->error));
    assert_string_equal(value == NULL ? "none" : value, expected);
}

static void checkpoints_survive_into_the_next_attempt(void **state)
{
    struct fixture *fixture = *state;
    char id[37];

    add_job(fixture, "/hpfs/a", "key1", id);
    uint32_t attempt = begin_attempt(fixture, id);
    expect_checkpoint(fixture, id, "push", "upload", "none");
    OK(dray_store_checkpoint_put(fixture->store, id, "push", "upload", "one", &fixture->error));
    OK(dray_store_checkpoint_put(fixture->store, id, "push", "part", "1", &fixture->error));
    OK(dray_store_checkpoint_put(fixture->store, id, "push2", "upload", "x", &fixture->error));
    OK(dray_store_checkpoint_put(fixture->store, id, "push", "upload", "two", &fixture->error));
    end_attempt(fixture, id, attempt, "failed", DRAY_WAITING);
    dray_store_close(fixture->store);
    fixture->store = NULL;
    OK(dray_store_open(fixture->directory, &fixture->store, &fixture->error));
    (void)begin_attempt(fixture, id);
    expect_checkpoint(fixture, id, "push", "upload", "two");
    expect_checkpoint(fixture, id, "push", "part", "1");
    expect_checkpoint(fixture, id, "push2", "upload", "x");
    OK(dray_store_checkpoint_put(fixture->store, id, "push", "upload", NULL, &fixture->error));
    expect_checkpoint(fixture, id, "push", "upload", "none");
}

static void a_checkpoint_is_small_and_of_a_known_job(void **state)
{
    struct fixture *fixture = *state;
    static char large[(64 << 10) + 2];
    char id[37];

    memset(large, 'x', sizeof large - 1);
    add_job(fixture, "/hpfs/a", "key1", id);
    REFUSED(DRAY_INVALID, "65537 bytes, 65536 is the most",
            dray_store_checkpoint_put(fixture->store, id, "push", "k", large, &fixture->error));
    large[sizeof large - 2] = '\0';
    OK(dray_store_checkpoint_put(fixture->store, id, "push", "k", large, &fixture->error));
    REFUSED(
        DRAY_BUG, "storing checkpoint k of step push of job nonesuch: FOREIGN KEY",
        dray_store_checkpoint_put(fixture->store, "nonesuch", "push", "k", "v", &fixture->error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_have_the_names_that_are_stored),
        cmocka_unit_test(live_states_are_the_ones_that_are_not_final),
        cmocka_unit_test(only_known_moves_are_allowed),
        WITH_STORE(a_job_comes_back_as_it_was_added),
        WITH_STORE(a_destination_has_one_live_job),
        WITH_STORE(the_database_itself_keeps_a_destination_to_one_live_job),
        WITH_STORE(a_job_needs_targets_at_different_places),
        WITH_STORE(a_row_that_lacks_something_is_refused_whole),
        WITH_STORE(columns_hold_only_their_type),
        WITH_STORE(a_request_finds_the_delivered_job_then_a_live_one_then_the_newest),
        WITH_STORE(a_job_is_found_by_the_beginning_of_its_id),
        WITH_STORE(jobs_are_listed_newest_first_and_filtered),
        WITH_STORE(an_attempt_sets_its_job_running),
        WITH_STORE(an_attempt_left_running_becomes_interrupted),
        WITH_STORE(an_attempt_takes_up_what_failed_unless_its_place_is_taken),
        WITH_STORE(no_attempt_begins_on_what_is_delivered_or_unknown),
        WITH_STORE(a_step_run_is_inserted_once_and_then_updated),
        WITH_STORE(a_step_run_that_makes_no_sense_is_refused),
        WITH_STORE(a_target_is_delivered_with_its_record),
        WITH_STORE(a_target_moves_only_as_the_table_says),
        WITH_STORE(a_commit_needs_its_record_and_delivers_no_other),
        WITH_STORE(a_job_is_delivered_with_its_last_target),
        WITH_STORE(live_targets_follow_a_job_that_ends),
        WITH_STORE(a_commit_of_unknown_end_stays_so_while_its_job_goes_on),
        WITH_STORE(an_attempt_ends_once_and_as_something),
        WITH_STORE(a_job_may_end_outside_of_any_attempt),
        WITH_STORE(checkpoints_survive_into_the_next_attempt),
        WITH_STORE(a_checkpoint_is_small_and_of_a_known_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
