/* SPDX-License-Identifier: MIT */
/* pool.c - see pool.h. */
#include "core/base/pool.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define LARGEST_CHUNK UINT64_C(64)

/* One call of dray_pool_run; it lies on its caller's stack. */
struct loop {
    int (*fn)(void *arg, uint64_t index);
    void *arg;
    uint64_t count;
    uint64_t shares; /* what is left is cut into so many chunks */
    _Atomic uint64_t next;
    atomic_int failed; /* the first failure */

    /* Guarded by the pool's lock. */
    struct loop *previous, *following;
    unsigned helpers; /* threads of the pool that are in it */
    pthread_cond_t left;
};

struct dray_pool {
    pthread_t *threads;
    unsigned thread_count;
    void (*enter)(void *arg);
    void *enter_arg;
    /* Goes up with each new loop: a thread that sees a change looks where it is needed most. */
    _Atomic uint64_t generation;

    pthread_mutex_t lock; /* a leaf: nothing is called while it is held */
    pthread_cond_t wake;  /* a new loop, or the end */
    struct loop *loops;   /* guarded by lock, like what follows */
    int ending;
};

static int has_work(struct loop *loop)
{
    return atomic_load_explicit(&loop->next, memory_order_relaxed) < loop->count &&
           atomic_load_explicit(&loop->failed, memory_order_relaxed) == 0;
}

/* Take the next indexes: large chunks first, single ones at the end, so that all threads end
 * together. */
static uint64_t take(struct loop *loop, uint64_t *ret_first)
{
    uint64_t first = atomic_load_explicit(&loop->next, memory_order_relaxed);
    uint64_t chunk;

    do {
        if (first >= loop->count)
            return 0;
        chunk = (loop->count - first) / loop->shares;
        chunk = chunk < 1 ? 1 : chunk > LARGEST_CHUNK ? LARGEST_CHUNK : chunk;
    } while (!atomic_compare_exchange_weak_explicit(&loop->next, &first, first + chunk,
                                                    memory_order_relaxed, memory_order_relaxed));
    *ret_first = first;
    return chunk;
}

/* One chunk: 0 when there is none left or the loop has failed. What fn wrote becomes visible to the
 * loop's caller through the pool's lock. */
static int work(struct loop *loop)
{
    uint64_t first = 0;
    uint64_t chunk = take(loop, &first);

    for (uint64_t i = first; i - first < chunk; i++) {
        if (atomic_load_explicit(&loop->failed, memory_order_relaxed) != 0)
            return 0;
        int result = loop->fn(loop->arg, i);
        if (result != 0) {
            int none = 0;
            (void)atomic_compare_exchange_strong(&loop->failed, &none, result);
            return 0;
        }
    }
    return chunk > 0;
}

/* Of the loops with work the one with the fewest helpers; the lock is held. */
static struct loop *choose(const struct dray_pool *pool)
{
    struct loop *best = NULL;

    for (struct loop *loop = pool->loops; loop != NULL; loop = loop->following)
        if (has_work(loop) && (best == NULL || loop->helpers < best->helpers))
            best = loop;
    return best;
}

/* Help a loop until it has no more work or another loop has come. */
static void help(struct dray_pool *pool, struct loop *loop)
{
    uint64_t generation = atomic_load(&pool->generation);

    loop->helpers++;
    (void)pthread_mutex_unlock(&pool->lock);
    while (work(loop) &&
           atomic_load_explicit(&pool->generation, memory_order_relaxed) == generation)
        ;
    (void)pthread_mutex_lock(&pool->lock);
    if (--loop->helpers == 0)
        (void)pthread_cond_signal(&loop->left);
}

static void *run_thread(void *arg)
{
    struct dray_pool *pool = arg;

    if (pool->enter != NULL)
        pool->enter(pool->enter_arg);
    (void)pthread_mutex_lock(&pool->lock);
    while (!pool->ending) {
        struct loop *loop = choose(pool);
        if (loop != NULL)
            help(pool, loop);
        else
            (void)pthread_cond_wait(&pool->wake, &pool->lock);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Signals are for the threads that the program made for them. Those that say that a thread did
 * something wrong come to that thread whatever it is. */
static void mask_signals(sigset_t *ret_before)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t set;

    (void)sigfillset(&set);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        (void)sigdelset(&set, faults[i]);
    (void)pthread_sigmask(SIG_SETMASK, &set, ret_before);
}

struct dray_pool *dray_pool_new(unsigned threads, void (*enter)(void *arg), void *arg)
{
    struct dray_pool *pool = calloc(1, sizeof *pool);
    sigset_t before;

    if (pool == NULL)
        return NULL;
    pool->enter = enter;
    pool->enter_arg = arg;
    /* glibc's and musl's have nothing that could fail without attributes. */
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->wake, NULL);
    pool->threads = calloc(threads > 0 ? threads : 1, sizeof *pool->threads);
    mask_signals(&before);
    while (pool->threads != NULL && pool->thread_count < threads &&
           pthread_create(&pool->threads[pool->thread_count], NULL, run_thread, pool) == 0)
        pool->thread_count++;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pool->threads == NULL || pool->thread_count < threads) {
        dray_pool_free(pool);
        return NULL;
    }
    return pool;
}

void dray_pool_free(struct dray_pool *pool)
{
    if (pool == NULL)
        return;
    (void)pthread_mutex_lock(&pool->lock);
    assert(pool->loops == NULL);
    pool->ending = 1;
    (void)pthread_cond_broadcast(&pool->wake);
    (void)pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        (void)pthread_join(pool->threads[i], NULL);
    (void)pthread_cond_destroy(&pool->wake);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool->threads);
    free(pool);
}

static void add_loop(struct dray_pool *pool, struct loop *loop)
{
    (void)pthread_mutex_lock(&pool->lock);
    loop->following = pool->loops;
    if (pool->loops != NULL)
        pool->loops->previous = loop;
    pool->loops = loop;
    (void)atomic_fetch_add(&pool->generation, 1);
    (void)pthread_cond_broadcast(&pool->wake);
    (void)pthread_mutex_unlock(&pool->lock);
}

static void remove_loop(struct dray_pool *pool, struct loop *loop)
{
    (void)pthread_mutex_lock(&pool->lock);
    if (loop->previous != NULL)
        loop->previous->following = loop->following;
    else
        pool->loops = loop->following;
    if (loop->following != NULL)
        loop->following->previous = loop->previous;
    while (loop->helpers > 0)
        (void)pthread_cond_wait(&loop->left, &pool->lock);
    (void)pthread_mutex_unlock(&pool->lock);
}

int dray_pool_run(struct dray_pool *pool, uint64_t count, int (*fn)(void *arg, uint64_t index),
                  void *arg)
{
    struct loop loop = {
        .fn = fn,
        .arg = arg,
        .count = count,
        .shares = ((uint64_t)pool->thread_count + 1) * 8,
        .left = PTHREAD_COND_INITIALIZER,
    };
    int shared = pool->thread_count > 0 && count > 1;

    if (shared)
        add_loop(pool, &loop);
    while (work(&loop))
        ;
    if (shared)
        remove_loop(pool, &loop);
    (void)pthread_cond_destroy(&loop.left);
    return atomic_load(&loop.failed);
}
