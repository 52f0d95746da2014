/* SPDX-License-Identifier: MIT */
/* Every allocation of a delivery's bookkeeping fails in turn: ours (the linker wraps them), those
 * of jansson and those of SQLite. */
#define STORE_PARENT "/dev/shm"
#include "store_fixture.h"
#include "tests/unit/failing.h"

#include <errno.h>

static int jansson_failed;
static sqlite3_mem_methods sqlites;

/* SQLite's count where ours do not. */
static void *sqlite_malloc(int size)
{
    return failing_spared && failing_now() ? NULL : sqlites.xMalloc(size);
}

static void *sqlite_realloc(void *old, int size)
{
    return failing_spared && failing_now() ? NULL : sqlites.xRealloc(old, size);
}

static void *jansson_malloc(size_t size)
{
    if (failing_spared || !failing_now())
        return __real_malloc(size);
    jansson_failed = 1;
    return NULL;
}

static int hear(void *arg, const void *data, size_t length)
{
    (void)arg;
    assert_int_equal(length, 3);
    assert_memory_equal(data, "abc", 3);
    return 0;
}

#define SET "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
/* All that it does for a recipe. */
static int work_on_recipe(struct fixture *fixture)
{
    struct dray_store *store = fixture->store;
    struct dray_error *error = &fixture->error;
    struct dray_recipe_row *row = NULL, *rows = NULL;
    uint32_t version = 0, deleted = 0;
    size_t count = 0;
    int is_new = 0;

    int result = dray_store_recipe_save(store, "ocean", "one", "mira", &version, &is_new, error);
    if (result == 0)
        result = dray_store_recipe(store, "ocean", version, &row, error);
    if (result == 0)
        result = dray_store_recipes(store, &rows, &count, error);
    if (result == 0)
        result = dray_store_recipe_delete(store, "ocean", 0, &deleted, error);
    dray_recipe_rows_free(row, row != NULL);
    dray_recipe_rows_free(rows, count);
    return result;
}

static int see_file(void *arg, const struct dray_dataset_file *file)
{
    (void)file;
    ++*(size_t *)arg;
    return 0;
}

static int see_source(void *arg, uint64_t id, const char *source)
{
    assert_true(id > 0 && strcmp(source, "/x") == 0);
    ++*(size_t *)arg;
    return 0;
}

/* All that it does for a dataset. */
static int work_on_dataset(struct fixture *fixture)
{
    struct dray_store *store = fixture->store;
    struct dray_error *error = &fixture->error;
    char name[] = "ocean", type[] = "RAW", external[] = "x";
    char source[] = "/x", other[] = "/y";
    struct dray_dataset_row row = {
        .name = name, .type = type, .external_id = external, .source = source};
    struct dray_dataset_row *rows = NULL;
    const struct dray_dataset_file file = {.path = "a", .bytes = 1, .sha256 = "beef"};
    size_t count = 0, seen = 0;

    int result = dray_store_dataset_put(store, &row, error);
    if (result == 0)
        result = dray_store_dataset_list(store, row.id, error);
    if (result == 0)
        result = dray_store_dataset_add(store, row.id, &file, error);
    if (result == 0)
        result = dray_store_dataset_listed(store, row.id, error);
    if (result == 0)
        result = dray_store_datasets(store, &(struct dray_dataset_wanted){.name = name}, &rows,
                                     &count, error);
    if (result == 0)
        result = dray_store_dataset_files(store, row.id, see_file, &seen, error);
    if (result == 0)
        result = dray_store_dataset_sources(store, see_source, &seen, error);
    row.source = other;
    if (result == 0)
        result = dray_store_dataset_put(store, &row, error);
    if (result == 0)
        assert_int_equal(row.listed, 0);
    if (result == 0 && (count != 1 || seen != 2))
        fail_msg("there are %zu datasets and %zu files", count, seen);
    dray_dataset_rows_free(rows, count);
    return result == 0 ? dray_store_dataset_delete(store, row.id, error) : result;
}

static int see(void *arg, const void *data, size_t length)
{
    (void)arg;
    (void)data;
    return length == 1 ? 0 : DRAY_BUG;
}

/* All that the store does for one job; `job` is new and has no id yet. */
static int work(struct fixture *fixture, struct dray_job_row *job, const struct dray_step_row *step)
{
    dray_job *found = NULL;
    dray_job *again = NULL;
    dray_autofree char *value = NULL;
    struct dray_job_row **list = NULL;
    struct dray_error *error = &fixture->error;
    struct dray_target_row target = job->targets[0];
    struct dray_store *store = fixture->store;
    uint32_t attempt = 0;
    size_t count = 0;

    const struct dray_policy_row policy = {"/p", "/p/a.yaml", "a", 1, "d", "version: 1\n"};
    char digest[65];
    int64_t revision = 0, since = 0;
    struct dray_past_job past[2];
    size_t past_count = 0;
    int same = 0;

    int result = dray_store_add(store, job, NULL, error);
    if (result == 0)
        result = dray_store_policies_add(store, SET, &policy, 1, error);
    if (result == 0 &&
        dray_store_policy_highest(store, "/p", "a", &revision, digest, &since, error) != 1)
        result = error->class_;
    if (result == 0)
        result = dray_store_take_up(store, job, error);
    if (result == 0)
        result = dray_store_attempt(store, job->id, &attempt, error);
    if (result == 0)
        result = dray_store_step(store, job->id, attempt, step, error);
    if (result == 0)
        result = dray_store_verdicts_add(store, job->id, attempt, "push", 0, 1, "x", 1, error);
    if (result == 0)
        result = dray_store_verdicts_end(store, job->id, attempt, "push", 1, 1, error);
    if (result == 0 && dray_store_verdicts(store, job->id, "push", see, NULL, error) != 1)
        result = error->class_;
    if (result == 0)
        result = dray_store_checkpoint_put(store, job->id, "push", "k", "v", error);
    if (result == 0)
        result = dray_store_checkpoint_get(store, job->id, "push", "k", &value, error);
    if (result == 0)
        result = dray_store_verdicts_add(store, job->id, attempt, "push", 0, 1, "abc", 3, error);
    if (result == 0)
        result = dray_store_verdicts_end(store, job->id, attempt, "push", 1, 1, error);
    if (result == 0 && dray_store_verdicts(store, job->id, "push", hear, NULL, error) != 1)
        result = error->class_;
    target.state = DRAY_COMMITTING;
    if (result == 0)
        result = dray_store_target(store, job->id, &target, error);
    target.state = DRAY_JOB_DELIVERED;
    if (result == 0)
        result = dray_store_target(store, job->id, &target, error);
    if (result == 0)
        result =
            dray_store_end(store, job->id, attempt, "delivered", DRAY_FAILED, NULL, NULL, error);
    if (result == 0)
        result = dray_store_job(store, job->id, &found, error);
    if (result == 0)
        result = dray_store_by_key(store, "key", &again, error);
    if (result == 0)
        result = dray_store_jobs(store, NULL, NULL, NULL, 0, 3, &list, &count, error);
    if (result == 0)
        result = dray_store_past(store, "/other", "reads", "mira", past, DRAY_COUNT(past),
                                 &past_count, &same, error);
    for (size_t i = 0; i < count; i++)
        dray_job_row_free(list[i]);
    free(list);
    if (result == 0)
        result = work_on_recipe(fixture);
    return result == 0 ? work_on_dataset(fixture) : result;
}

static struct dray_job_row *prepare_job(void)
{
    struct dray_job_row *job = new_job("reads", "/hpfs/a", "key");

    job->targets[0].manifest_sha256 = text_of("d00d");
    job->targets[0].receipt = text_of("{}");
    job->targets[0].confirmation = json_pack("{s:s}", "path", "/hpfs/a");
    assert_non_null(job->targets[0].confirmation);
    return job;
}

/* Free the destination, and the name, of what a failure left unfinished. */
static void tidy(struct fixture *fixture)
{
    OK(dray_sql_run(fixture->store, "DELETE FROM dataset_file", NULL, 0, &fixture->error));
    OK(dray_sql_run(fixture->store, "DELETE FROM dataset", NULL, 0, &fixture->error));
    OK(dray_sql_run(fixture->store,
                    "UPDATE push_target SET state = 'cancelled' WHERE " DRAY_SQL_LIVE, NULL, 0,
                    &fixture->error));
}

/* SQLite's are many, and its own tests try each: some of them will do. */
static long next_one(long nth)
{
    return failing_spared ? nth + 13 : nth + 1;
}

static void fail_each(struct fixture *fixture)
{
    char step[] = "push", done[] = "done";
    struct dray_step_row row = {
        .step = step, .uses = step, .outcome = done, .rules = json_pack("[{s:s}]", "by", "x")};
    int reported = 0;

    assert_non_null(row.rules);
    for (long nth = 1;; nth = next_one(nth)) {
        dray_job *job = prepare_job();
        failing_failed = jansson_failed = 0;
        failing_left = nth - 1;
        int result = work(fixture, job, &row);
        failing_left = -1;
        if (!failing_failed) {
            OK(result);
            break;
        }
        /* SQLite can do without some of what it asks for. */
        if (result != 0) {
            /* And jansson's parser does not always know why it could not go on. */
            if (!jansson_failed || result != DRAY_INTEGRITY)
                REFUSED(DRAY_NO_MEMORY, "out of memory", result);
            reported++;
            tidy(fixture);
        }
        assert_true(sqlite3_get_autocommit(fixture->store->database));
    }
    json_decref(row.rules);
    assert_true(reported > 100);
}

static void a_failed_allocation_of_ours_is_reported_and_harms_nothing(void **state)
{
    failing_spared = 0;
    fail_each(*state);
}

static void a_failed_allocation_of_sqlites_is_reported_and_harms_nothing(void **state)
{
    failing_spared = 1;
    fail_each(*state);
}

static void fail_each_of_opening(struct fixture *fixture)
{
    for (long nth = 1;; nth = next_one(nth)) {
        failing_failed = 0;
        failing_left = nth - 1;
        int result = dray_store_open(fixture->directory, &fixture->store, &fixture->error);
        failing_left = -1;
        if (!failing_failed) {
            OK(result);
            break;
        }
        if (result != 0)
            REFUSED(DRAY_NO_MEMORY, "out of memory", result);
        dray_store_closep(&fixture->store);
    }
}

static void a_failed_allocation_of_opening_is_reported(void **state)
{
    failing_spared = 0;
    fail_each_of_opening(*state);
    dray_store_closep(&((struct fixture *)*state)->store);
    failing_spared = 1;
    fail_each_of_opening(*state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(a_failed_allocation_of_ours_is_reported_and_harms_nothing),
        WITH_STORE(a_failed_allocation_of_sqlites_is_reported_and_harms_nothing),
        WITH_DIRECTORY(a_failed_allocation_of_opening_is_reported),
    };
    sqlite3_mem_methods failing;

    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlites) != SQLITE_OK)
        return 1;
    failing = sqlites;
    failing.xMalloc = sqlite_malloc;
    failing.xRealloc = sqlite_realloc;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &failing) != SQLITE_OK)
        return 1;
    json_set_alloc_funcs(jansson_malloc, free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
