/* SPDX-License-Identifier: MIT */
/* store_fixture.h - what the tests of the store share: a store in a fresh directory, and a job. */
#ifndef DRAY_TESTS_STORE_FIXTURE_H
#define DRAY_TESTS_STORE_FIXTURE_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/io.h"
#include "core/store/internal.h"

/* Where the directories are made; a test that syncs very often says another. */
#ifndef STORE_PARENT
#define STORE_PARENT "/tmp"
#endif

struct fixture {
    char directory[64];
    struct dray_store *store;
    struct dray_error error;
};

/* Fails the test with what the store said. */
#define OK(CALL)                                                                                   \
    do {                                                                                           \
        if ((CALL) != 0)                                                                           \
            fail_msg("%s: %s", #CALL, fixture->error.message);                                     \
    } while (0)
#define REFUSED(CLASS, TEXT, CALL)                                                                 \
    do {                                                                                           \
        assert_int_equal(CALL, CLASS);                                                             \
        assert_int_equal(fixture->error.class_, CLASS);                                            \
        if (strstr(fixture->error.message, TEXT) == NULL)                                          \
            fail_msg("\"%s\" does not say \"%s\"", fixture->error.message, TEXT);                  \
    } while (0)

static inline int make_directory(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (fixture == NULL)
        return -1;
    (void)snprintf(fixture->directory, sizeof fixture->directory,
                   STORE_PARENT "/dray-test-store-XXXXXX");
    *state = fixture;
    return mkdtemp(fixture->directory) == NULL ? -1 : 0;
}

static inline int make_store(void **state)
{
    if (make_directory(state) != 0)
        return -1;
    struct fixture *fixture = *state;
    if (dray_store_open(fixture->directory, &fixture->store, &fixture->error) == 0)
        return 0;
    print_error("%s\n", fixture->error.message);
    return -1;
}

static inline int remove_store(void **state)
{
    struct fixture *fixture = *state;

    dray_store_close(fixture->store);
    dray_autoclose int parent = open(STORE_PARENT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result =
        dray_remove_tree(parent, fixture->directory + strlen(STORE_PARENT "/"), &fixture->error);
    if (result != 0)
        print_error("%s\n", fixture->error.message);
    free(fixture);
    return result;
}

#define WITH_STORE(TEST)     cmocka_unit_test_setup_teardown(TEST, make_store, remove_store)
#define WITH_DIRECTORY(TEST) cmocka_unit_test_setup_teardown(TEST, make_directory, remove_store)

static inline char *text_of(const char *text)
{
    char *copy = strdup(text);

    assert_non_null(copy);
    return copy;
}

static inline struct dray_target_row *add_target(struct dray_job_row *job, const char *step,
                                                 const char *destination, const char *key)
{
    struct dray_target_row *targets =
        realloc(job->targets, (job->target_count + 1) * sizeof *targets);

    assert_non_null(targets);
    job->targets = targets;
    struct dray_target_row *target = &targets[job->target_count++];
    memset(target, 0, sizeof *target);
    target->step = text_of(step);
    target->push = text_of("push/hpfs");
    target->destination = text_of(destination);
    target->request_key = text_of(key);
    return target;
}

/* A job with one target, step "push". */
static inline struct dray_job_row *new_job(const char *dataset, const char *destination,
                                           const char *key)
{
    struct dray_job_row *job = calloc(1, sizeof *job);

    assert_non_null(job);
    job->dataset = text_of(dataset);
    job->dataset_id = text_of("/archive/reads.tar");
    job->workflow = text_of("steps:\n  - it's \"quoted\"; -- \xc3\xa9\n");
    job->plan = text_of("{\"version\":1}");
    job->plan_digest = text_of("0badc0de");
    job->user = text_of("mira");
    job->actor = text_of("otto");
    add_target(job, "push", destination, key);
    return job;
}

#define dray_job dray_cleanup(dray_job_row_freep) struct dray_job_row

/* Adds a job with one target and gives its id to the test. */
static inline void add_job(struct fixture *fixture, const char *destination, const char *key,
                           char ret_id[static 37])
{
    dray_job *job = new_job("reads", destination, key);

    OK(dray_store_add(fixture->store, job, NULL, &fixture->error));
    (void)snprintf(ret_id, 37, "%s", job->id);
}

static inline struct dray_job_row *get_job(struct fixture *fixture, const char *id)
{
    struct dray_job_row *job = NULL;

    OK(dray_store_job(fixture->store, id, &job, &fixture->error));
    return job;
}

static inline uint32_t begin_attempt(struct fixture *fixture, const char *id)
{
    uint32_t number = 0;

    OK(dray_store_attempt(fixture->store, id, &number, &fixture->error));
    return number;
}

static inline void end_attempt(struct fixture *fixture, const char *id, uint32_t attempt,
                               const char *outcome, enum dray_state state)
{
    OK(dray_store_end(fixture->store, id, attempt, outcome, state, NULL, NULL, &fixture->error));
}

/* The key that the target of a step has. */
static inline char *key_of(struct fixture *fixture, const char *id, const char *step)
{
    char *key = NULL;
    int found = dray_sql_text(
        fixture->store, "SELECT request_key FROM push_target WHERE job_id = ?1 AND step = ?2",
        DRAY_SQL_VALUES(DRAY_SQL_TEXT(id), DRAY_SQL_TEXT(step)), &key, &fixture->error);

    assert_true(found >= 0);
    return found == 1 ? key : text_of("a key that no target has");
}

/* The members that a move of a target needs; text is borrowed. */
static inline int move_target(struct fixture *fixture, const char *id, const char *step,
                              enum dray_state state)
{
    char manifest[] = "d00d";
    char receipt[] = "{\"receipt\":1}";
    char name[32];
    dray_autofree char *key = key_of(fixture, id, step);
    struct dray_target_row target = {.step = name, .request_key = key, .state = state};

    (void)snprintf(name, sizeof name, "%s", step);
    if (state == DRAY_COMMITTING) {
        target.manifest_sha256 = manifest;
        target.receipt = receipt;
    }
    return dray_store_target(fixture->store, id, &target, &fixture->error);
}

static inline void deliver(struct fixture *fixture, const char *id)
{
    uint32_t attempt = begin_attempt(fixture, id);

    OK(move_target(fixture, id, "push", DRAY_COMMITTING));
    OK(move_target(fixture, id, "push", DRAY_JOB_DELIVERED));
    end_attempt(fixture, id, attempt, "delivered", DRAY_JOB_DELIVERED);
}

/* The number that a query of the test's own yields. */
static inline int64_t ask(struct fixture *fixture, const char *sql)
{
    int64_t number = -1;

    assert_int_equal(dray_sql_number(fixture->store, sql, NULL, 0, &number, &fixture->error), 1);
    return number;
}

#endif
