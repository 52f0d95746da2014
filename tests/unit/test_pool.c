/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/base/pool.h"

/* Tests that wait for another thread would hang where the feature is missing: this ends them. */
enum { PATIENCE = 60 };

enum { TINY = 50000 };

struct counts {
    atomic_uchar seen[TINY];
    uint64_t plain[TINY]; /* not atomic: what a task writes must be visible after the loop */
};

static int count_index(void *arg, uint64_t index)
{
    struct counts *counts = arg;

    atomic_fetch_add(&counts->seen[index], 1);
    counts->plain[index] = index * 3;
    return 0;
}

static void check_counts(unsigned threads, uint64_t count)
{
    struct counts *counts = calloc(1, sizeof *counts);
    struct dray_pool *pool = dray_pool_new(threads, NULL, NULL);

    assert_non_null(counts);
    assert_non_null(pool);
    assert_int_equal(dray_pool_run(pool, count, count_index, counts), 0);
    for (uint64_t i = 0; i < TINY; i++) {
        assert_int_equal(counts->seen[i], i < count);
        assert_int_equal(counts->plain[i], i < count ? i * 3 : 0);
    }
    dray_pool_free(pool);
    free(counts);
}

static void every_index_is_run_once(void **state)
{
    static const uint64_t counts[] = {0, 1, 2, 3, 63, 64, 65, 1000, TINY};

    (void)state;
    for (unsigned threads = 0; threads <= 5; threads++)
        for (size_t i = 0; i < DRAY_COUNT(counts); i++)
            check_counts(threads, counts[i]);
}

struct meeting {
    pthread_barrier_t barrier;
};

static int meet(void *arg, uint64_t index)
{
    struct meeting *meeting = arg;

    (void)index;
    (void)pthread_barrier_wait(&meeting->barrier);
    return 0;
}

static void the_threads_and_the_caller_work_at_the_same_time(void **state)
{
    struct meeting meeting;
    struct dray_pool *pool = dray_pool_new(3, NULL, NULL);

    (void)state;
    assert_int_equal(pthread_barrier_init(&meeting.barrier, NULL, 4), 0);
    (void)alarm(PATIENCE);
    assert_int_equal(dray_pool_run(pool, 8, meet, &meeting), 0);
    (void)alarm(0);
    dray_pool_free(pool);
    (void)pthread_barrier_destroy(&meeting.barrier);
}

struct failure {
    atomic_uint started;
    uint64_t at;
};

static int fail_at(void *arg, uint64_t index)
{
    struct failure *failure = arg;

    (void)atomic_fetch_add(&failure->started, 1);
    return index == failure->at ? DRAY_INTEGRITY : 0;
}

static void a_failure_ends_the_loop_and_is_returned(void **state)
{
    (void)state;
    for (unsigned threads = 0; threads <= 4; threads += 2) {
        struct failure failure = {.at = 500};
        struct dray_pool *pool = dray_pool_new(threads, NULL, NULL);
        assert_int_equal(dray_pool_run(pool, UINT64_MAX, fail_at, &failure), DRAY_INTEGRITY);
        /* In order, so no thread is further ahead than the chunks that were handed out. */
        assert_in_range(failure.started, 1, 10000000);
        if (threads == 0)
            assert_int_equal(failure.started, 501);
        /* The pool is not spoilt by it. */
        struct failure none = {.at = UINT64_MAX};
        assert_int_equal(dray_pool_run(pool, 1000, fail_at, &none), 0);
        assert_int_equal(none.started, 1000);
        dray_pool_free(pool);
    }
}

struct late {
    pthread_t caller;
    atomic_int others; /* tasks that other threads started */
    atomic_int ended;
    atomic_int failing;
};

static void sleep_ms(long milliseconds)
{
    struct timespec pause = {.tv_nsec = milliseconds * 1000000};

    (void)nanosleep(&pause, NULL);
}

static int end_late_elsewhere(void *arg, uint64_t index)
{
    struct late *late = arg;

    (void)index;
    if (pthread_equal(pthread_self(), late->caller)) {
        while (atomic_load(&late->others) == 0)
            sleep_ms(1);
    } else {
        (void)atomic_fetch_add(&late->others, 1);
        sleep_ms(50);
    }
    (void)atomic_fetch_add(&late->ended, 1);
    return 0;
}

static void a_loop_ends_after_its_last_task(void **state)
{
    struct late late = {.caller = pthread_self()};
    struct dray_pool *pool = dray_pool_new(1, NULL, NULL);

    (void)state;
    (void)alarm(PATIENCE);
    assert_int_equal(dray_pool_run(pool, 2, end_late_elsewhere, &late), 0);
    (void)alarm(0);
    assert_int_equal(late.ended, 2);
    dray_pool_free(pool);
}

/* The caller's first task fails while the other thread is in its first. */
static int fail_in_the_caller(void *arg, uint64_t index)
{
    struct late *late = arg;

    (void)index;
    if (pthread_equal(pthread_self(), late->caller)) {
        while (atomic_load(&late->others) == 0)
            sleep_ms(1);
        atomic_store(&late->failing, 1);
        return DRAY_TEMPORARY;
    }
    (void)atomic_fetch_add(&late->others, 1);
    while (atomic_load(&late->failing) == 0)
        sleep_ms(1);
    sleep_ms(100);
    return 0;
}

static void after_a_failure_no_thread_starts_another_task(void **state)
{
    struct late late = {.caller = pthread_self()};
    struct dray_pool *pool = dray_pool_new(1, NULL, NULL);

    (void)state;
    (void)alarm(PATIENCE);
    assert_int_equal(dray_pool_run(pool, 1000, fail_in_the_caller, &late), DRAY_TEMPORARY);
    (void)alarm(0);
    assert_int_equal(late.others, 1);
    dray_pool_free(pool);
}

static int fail_always(void *arg, uint64_t index)
{
    atomic_int *first = arg;
    int mine = -1 - (int)(index % 15);
    int none = 0;

    (void)atomic_compare_exchange_strong(first, &none, mine);
    return mine;
}

static void of_several_failures_one_is_returned_whole(void **state)
{
    struct dray_pool *pool = dray_pool_new(3, NULL, NULL);

    (void)state;
    for (int i = 0; i < 200; i++) {
        atomic_int first = 0;
        assert_in_range(-dray_pool_run(pool, 1000, fail_always, &first), 1, 15);
    }
    dray_pool_free(pool);
}

struct two_loops {
    struct dray_pool *pool;
    atomic_int met;     /* the second loop had its help */
    atomic_int started; /* threads that are in the first loop */
    struct meeting meeting;
};

static int wait_for_meeting(void *arg, uint64_t index)
{
    struct two_loops *both = arg;

    (void)index;
    (void)atomic_fetch_add(&both->started, 1);
    sleep_ms(1);
    /* Ends the first loop early once the second is through. */
    return atomic_load(&both->met) ? DRAY_CANCELLED : 0;
}

static void *run_first(void *arg)
{
    struct two_loops *both = arg;

    assert_int_equal(dray_pool_run(both->pool, 1000000, wait_for_meeting, both), DRAY_CANCELLED);
    return NULL;
}

static void a_loop_that_comes_later_gets_its_share_of_the_threads(void **state)
{
    struct two_loops both = {.pool = dray_pool_new(1, NULL, NULL)};
    pthread_t first;

    (void)state;
    assert_int_equal(pthread_barrier_init(&both.meeting.barrier, NULL, 2), 0);
    assert_int_equal(pthread_create(&first, NULL, run_first, &both), 0);
    while (atomic_load(&both.started) < 2)
        sleep_ms(1);
    (void)alarm(PATIENCE);
    /* Two tasks that wait for each other: the pool's one thread has to leave the first loop. */
    assert_int_equal(dray_pool_run(both.pool, 2, meet, &both.meeting), 0);
    (void)alarm(0);
    atomic_store(&both.met, 1);
    assert_int_equal(pthread_join(first, NULL), 0);
    dray_pool_free(both.pool);
    (void)pthread_barrier_destroy(&both.meeting.barrier);
}

struct many_callers {
    struct dray_pool *pool;
    atomic_uint total;
};

static int add_one(void *arg, uint64_t index)
{
    struct many_callers *callers = arg;

    (void)index;
    (void)atomic_fetch_add(&callers->total, 1);
    return 0;
}

static int run_inner(void *arg, uint64_t index)
{
    struct many_callers *callers = arg;

    return dray_pool_run(callers->pool, 10 + index % 7, add_one, callers);
}

static void *run_outer(void *arg)
{
    struct many_callers *callers = arg;

    assert_int_equal(dray_pool_run(callers->pool, 70, run_inner, callers), 0);
    return NULL;
}

static void loops_within_loops_of_many_callers_all_end(void **state)
{
    struct many_callers callers = {.pool = dray_pool_new(3, NULL, NULL)};
    pthread_t threads[4];

    (void)state;
    (void)alarm(PATIENCE);
    for (size_t i = 0; i < DRAY_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_outer, &callers), 0);
    for (size_t i = 0; i < DRAY_COUNT(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    (void)alarm(0);
    assert_int_equal(callers.total, 4 * 10 * (10 + 11 + 12 + 13 + 14 + 15 + 16));
    dray_pool_free(callers.pool);
}

static void enter(void *arg)
{
    (void)atomic_fetch_add((atomic_int *)arg, 1);
}

static void each_new_thread_enters_once(void **state)
{
    atomic_int entered = 0;
    struct dray_pool *pool = dray_pool_new(4, enter, &entered);

    (void)state;
    dray_pool_free(pool); /* waits for them */
    assert_int_equal(entered, 4);
    dray_pool_free(NULL);
}

static int look_at_mask(void *arg, uint64_t index)
{
    sigset_t mask;

    (void)index;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (pthread_equal(pthread_self(), *(pthread_t *)arg))
        return sigismember(&mask, SIGTERM) ? DRAY_BUG : 0;
    return sigismember(&mask, SIGTERM) && sigismember(&mask, SIGCHLD) &&
                   !sigismember(&mask, SIGSEGV)
               ? 0
               : DRAY_BUG;
}

static void threads_leave_signals_to_the_program_and_keep_their_faults(void **state)
{
    pthread_t self = pthread_self();
    struct dray_pool *pool = dray_pool_new(2, NULL, NULL);

    (void)state;
    assert_int_equal(dray_pool_run(pool, 10000, look_at_mask, &self), 0);
    dray_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_is_run_once),
        cmocka_unit_test(the_threads_and_the_caller_work_at_the_same_time),
        cmocka_unit_test(a_failure_ends_the_loop_and_is_returned),
        cmocka_unit_test(a_loop_ends_after_its_last_task),
        cmocka_unit_test(after_a_failure_no_thread_starts_another_task),
        cmocka_unit_test(of_several_failures_one_is_returned_whole),
        cmocka_unit_test(a_loop_that_comes_later_gets_its_share_of_the_threads),
        cmocka_unit_test(loops_within_loops_of_many_callers_all_end),
        cmocka_unit_test(each_new_thread_enters_once),
        cmocka_unit_test(threads_leave_signals_to_the_program_and_keep_their_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
