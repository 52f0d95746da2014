/* SPDX-License-Identifier: MIT */
/* The store's files, schema, transactions and locks, with several handles and processes at work. */
#include "store_fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#define PROCESSES 6
#define EACH      15

/* --- Files and schema ------------------------------------------------------------------------- */

static char *path_in(const struct fixture *fixture, const char *name)
{
    char *path = dray_format("%s/%s", fixture->directory, name);

    assert_non_null(path);
    return path;
}

static unsigned mode_of(const char *path)
{
    struct stat status;

    assert_int_equal(lstat(path, &status), 0);
    return status.st_mode & 07777;
}

static int open_store(struct fixture *fixture, const char *directory)
{
    struct dray_store *before = fixture->store;

    int result = dray_store_open(directory, &fixture->store, &fixture->error);
    if (result != 0)
        assert_ptr_equal(fixture->store, before);
    return result;
}

/* Run SQL on the file as another program would. */
static void tamper(const struct fixture *fixture, const char *sql)
{
    dray_autofree char *path = path_in(fixture, "dray.db");
    sqlite3 *database = NULL;

    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(database), SQLITE_OK);
}

static void a_new_store_is_its_owners_alone(void **state)
{
    struct fixture *fixture = *state;
    dray_autofree char *directory = path_in(fixture, "a/b");
    dray_autofree char *file = path_in(fixture, "a/b/dray.db");
    dray_autofree char *log = path_in(fixture, "a/b/dray.db-wal");
    char id[37];

    mode_t mask = umask(0);
    OK(open_store(fixture, directory));
    add_job(fixture, "/hpfs/a", "key1", id);
    (void)umask(mask);
    assert_int_equal(mode_of(directory), 0700);
    assert_int_equal(mode_of(file), 0600);
    assert_int_equal(mode_of(log), 0600);
}

static void a_store_is_found_again_with_what_it_holds(void **state)
{
    struct fixture *fixture = *state;
    dray_autofree char *log = path_in(fixture, "dray.db-wal");
    char id[37];

    add_job(fixture, "/hpfs/a", "key1", id);
    assert_int_equal(ask(fixture, "PRAGMA user_version"), dray_store_schema);
    dray_store_closep(&fixture->store);
    /* All is in the one file then. */
    assert_int_equal(access(log, F_OK), -1);
    OK(open_store(fixture, fixture->directory));
    dray_job *job = get_job(fixture, id);
    assert_string_equal(job->dataset, "reads");
}

static void a_store_that_others_may_write_is_refused(void **state)
{
    struct fixture *fixture = *state;
    dray_autofree char *file = path_in(fixture, "dray.db");

    assert_int_equal(chmod(fixture->directory, 0770), 0);
    REFUSED(DRAY_DENIED, "can be written by other users", open_store(fixture, fixture->directory));
    assert_int_equal(access(file, F_OK), -1);
    assert_int_equal(chmod(fixture->directory, 0755), 0);
    OK(open_store(fixture, fixture->directory));
    dray_store_closep(&fixture->store);
    assert_int_equal(chmod(file, 0602), 0);
    REFUSED(DRAY_DENIED, "dray.db can be written by other users",
            open_store(fixture, fixture->directory));
    assert_non_null(strstr(fixture->error.hint, "chmod go-w"));
}

static void a_store_of_another_user_is_refused(void **state)
{
    struct fixture *fixture = *state;

    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(fixture->directory, 65534, 65534), 0);
    REFUSED(DRAY_DENIED, "belongs to another user", open_store(fixture, fixture->directory));
}

static void a_link_in_place_of_the_file_is_not_followed(void **state)
{
    struct fixture *fixture = *state;
    dray_autofree char *file = path_in(fixture, "dray.db");
    dray_autofree char *elsewhere = path_in(fixture, "elsewhere");

    assert_int_equal(symlink(elsewhere, file), 0);
    REFUSED(DRAY_DENIED, "dray.db is not a regular file", open_store(fixture, fixture->directory));
    assert_int_equal(access(elsewhere, F_OK), -1);
}

static void a_directory_reached_by_a_link_is_fine(void **state)
{
    struct fixture *fixture = *state;
    dray_autofree char *real = path_in(fixture, "real");
    dray_autofree char *link_ = path_in(fixture, "link");
    dray_autofree char *file = path_in(fixture, "real/dray.db");

    assert_int_equal(mkdir(real, 0700), 0);
    assert_int_equal(symlink("real", link_), 0);
    OK(open_store(fixture, link_));
    assert_int_equal(access(file, F_OK), 0);
}

static void a_newer_schema_is_refused_and_left_alone(void **state)
{
    struct fixture *fixture = *state;

    dray_store_closep(&fixture->store);
    tamper(fixture, "PRAGMA user_version = 99; PRAGMA journal_mode = DELETE");
    REFUSED(DRAY_UNSUPPORTED, "has schema 99, and this Dray knows 4 and older",
            open_store(fixture, fixture->directory));
    assert_non_null(strstr(fixture->error.message, "opening the store in /tmp/dray-test-store-"));
    tamper(fixture, "PRAGMA user_version = 4");
    OK(open_store(fixture, fixture->directory));
}

static void another_programs_database_is_refused_and_left_alone(void **state)
{
    struct fixture *fixture = *state;

    tamper(fixture, "CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)");
    REFUSED(DRAY_CONFLICT, "dray.db is another program's database",
            open_store(fixture, fixture->directory));
    tamper(fixture, "INSERT INTO theirs SELECT a FROM theirs; PRAGMA application_id = 7");
    REFUSED(DRAY_CONFLICT, "dray.db is another program's database",
            open_store(fixture, fixture->directory));
}

static void a_damaged_file_is_named_with_a_way_out(void **state)
{
    struct fixture *fixture = *state;
    dray_autofree char *file = path_in(fixture, "dray.db");
    static char noise[8192];

    memset(noise, 'x', sizeof noise);
    OK(dray_write_file(file, noise, sizeof noise, 0600, &fixture->error));
    REFUSED(DRAY_INTEGRITY, "dray.db: file is not a database",
            open_store(fixture, fixture->directory));
    assert_non_null(strstr(fixture->error.hint, "backup"));
}

static void a_directory_that_cannot_be_is_named(void **state)
{
    struct fixture *fixture = *state;

    REFUSED(DRAY_NOT_FOUND, "/proc/nonesuch", open_store(fixture, "/proc/nonesuch/x"));
}

static void a_migration_is_taken_from_any_older_schema(void **state)
{
    struct fixture *fixture = *state;

    /* Made, but nothing in it: what a death before the first migration leaves. */
    dray_store_closep(&fixture->store);
    dray_autofree char *file = path_in(fixture, "dray.db");
    assert_int_equal(truncate(file, 0), 0);
    OK(open_store(fixture, fixture->directory));
    assert_int_equal(
        ask(fixture,
            "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"),
        11);
    /* What the first schema holds is left as it is. */
    tamper(fixture, "DROP TABLE verdicts; DROP TABLE policy_set_file; DROP TABLE policy_set; "
                    "DROP TABLE recipe; DROP TABLE dataset_file; DROP TABLE dataset; INSERT INTO "
                    "push_job VALUES ("
                    "'00000000-0000-0000-0000-000000000000', 'd', '/d', 'w', NULL, '{}', 'x', 'u', "
                    "'u', 'failed', NULL, NULL, 1, 1); PRAGMA user_version = 1");
    dray_store_closep(&fixture->store);
    OK(open_store(fixture, fixture->directory));
    assert_int_equal(
        ask(fixture,
            "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"),
        11);
    assert_int_equal(ask(fixture, "SELECT COUNT(*) FROM push_job WHERE dataset = 'd'"), 1);
    /* A catalog of before there were bundles in it is kept. */
    tamper(fixture,
           "ALTER TABLE dataset DROP COLUMN bundle; INSERT INTO dataset (name, type, files, "
           "bytes, created_at, updated_at) VALUES ('ocean', '', 0, 0, 1, 1); "
           "PRAGMA user_version = 3");
    dray_store_closep(&fixture->store);
    OK(open_store(fixture, fixture->directory));
    assert_int_equal(ask(fixture, "SELECT COUNT(*) FROM dataset WHERE name = 'ocean' AND bundle IS "
                                  "NULL"),
                     1);
    /* The other of two that met here finds it done. */
    OK(dray_store_migrate(fixture->store, &fixture->error));
    assert_int_equal(ask(fixture, "PRAGMA user_version"), dray_store_schema);
}

/* --- Journal and durability ------------------------------------------------------------------- */

static void network_file_systems_are_known(void **state)
{
    static const long networks[] = {0x6969,     0x0bd00bd0, 0xff534d42, 0xfe534d42, 0x65735546,
                                    0x47504653, 0x00c36400, 0x19830326, 0x517b};
    static const long locals[] = {0xef53,     0x58465342, 0x9123683e,
                                  0x01021994, 0x2fc12fc1, 0x794c7630};

    (void)state;
    for (size_t i = 0; i < DRAY_COUNT(networks); i++)
        assert_true(dray_store_is_network(networks[i]));
    /* As a kernel of 32 bits says it. */
    assert_true(dray_store_is_network((long)(int32_t)0xff534d42));
    for (size_t i = 0; i < DRAY_COUNT(locals); i++)
        assert_false(dray_store_is_network(locals[i]));
}

static void expect_journal(struct fixture *fixture, const char *expected)
{
    dray_autofree char *mode = NULL;

    assert_int_equal(
        dray_sql_text(fixture->store, "PRAGMA journal_mode", NULL, 0, &mode, &fixture->error), 1);
    assert_string_equal(mode, expected);
}

/* 1: NORMAL, 2: FULL. */
static void expect_synchronous(struct fixture *fixture, int level)
{
    assert_int_equal(ask(fixture, "PRAGMA synchronous"), level);
}

static void store_step(struct fixture *fixture, const char *id, uint32_t attempt)
{
    char step[] = "push", done[] = "done";
    struct dray_step_row row = {.step = step, .uses = step, .outcome = done};

    OK(dray_store_step(fixture->store, id, attempt, &row, &fixture->error));
}

static void every_change_but_a_step_run_is_synced(void **state)
{
    struct fixture *fixture = *state;
    char id[37];

    expect_journal(fixture, "wal");
    expect_synchronous(fixture, 2);
    add_job(fixture, "/hpfs/a", "key1", id);
    uint32_t attempt = begin_attempt(fixture, id);
    store_step(fixture, id, attempt);
    expect_synchronous(fixture, 1);
    OK(move_target(fixture, id, "push", DRAY_COMMITTING));
    expect_synchronous(fixture, 2);
    store_step(fixture, id, attempt);
    OK(dray_store_begin(fixture->store, &fixture->error));
    store_step(fixture, id, attempt);
    OK(dray_store_commit(fixture->store, &fixture->error));
    expect_synchronous(fixture, 2);
    store_step(fixture, id, attempt);
    OK(dray_store_checkpoint_put(fixture->store, id, "push", "k", "v", &fixture->error));
    expect_synchronous(fixture, 2);
}

static void without_shared_memory_a_journal_is_used_and_all_is_synced(void **state)
{
    struct fixture *fixture = *state;
    dray_autofree char *log = path_in(fixture, "dray.db-wal");
    char id[37];

    fixture->store->wal = 0;
    OK(dray_store_set_journal(fixture->store, &fixture->error));
    expect_journal(fixture, "delete");
    assert_int_equal(access(log, F_OK), -1);
    add_job(fixture, "/hpfs/a", "key1", id);
    store_step(fixture, id, begin_attempt(fixture, id));
    expect_synchronous(fixture, 2);
    deliver(fixture, id);
}

/* --- Transactions ----------------------------------------------------------------------------- */

static void a_group_of_changes_is_stored_as_one(void **state)
{
    struct fixture *fixture = *state;
    dray_job *unseen = NULL;
    struct fixture other = *fixture;
    char id[37];

    OK(dray_store_open(fixture->directory, &other.store, &fixture->error));
    OK(dray_store_begin(fixture->store, &fixture->error));
    add_job(fixture, "/hpfs/a", "key1", id);
    uint32_t attempt = begin_attempt(fixture, id);
    store_step(fixture, id, attempt);
    /* We see it, others do not. */
    dray_job *seen = get_job(fixture, id);
    assert_int_equal(seen->state, DRAY_RUNNING);
    OK(dray_store_by_key(other.store, "key1", &unseen, &fixture->error));
    assert_null(unseen);
    OK(dray_store_commit(fixture->store, &fixture->error));
    dray_job *whole = get_job(&other, id);
    assert_int_equal(whole->attempts[0].step_count, 1);
    dray_store_close(other.store);
}

static void a_group_is_undone_by_rollback_close_or_failure(void **state)
{
    struct fixture *fixture = *state;
    char id[37];

    OK(dray_store_begin(fixture->store, &fixture->error));
    REFUSED(DRAY_BUG, "a transaction is open already",
            dray_store_begin(fixture->store, &fixture->error));
    add_job(fixture, "/hpfs/a", "key1", id);
    dray_store_rollback(fixture->store);
    assert_int_equal(ask(fixture, "SELECT COUNT(*) FROM push_job"), 0);

    OK(dray_store_begin(fixture->store, &fixture->error));
    add_job(fixture, "/hpfs/a", "key1", id);
    REFUSED(DRAY_BUG, "cannot become", move_target(fixture, id, "push", DRAY_COMMITTING));
    REFUSED(DRAY_BUG, "an earlier change",
            dray_store_checkpoint_put(fixture->store, id, "push", "k", "v", &fixture->error));
    REFUSED(DRAY_BUG, "none may be stored", dray_store_commit(fixture->store, &fixture->error));
    assert_int_equal(ask(fixture, "SELECT COUNT(*) FROM push_job"), 0);
    REFUSED(DRAY_BUG, "no transaction is open", dray_store_commit(fixture->store, &fixture->error));

    OK(dray_store_begin(fixture->store, &fixture->error));
    add_job(fixture, "/hpfs/a", "key1", id);
    dray_store_closep(&fixture->store);
    OK(open_store(fixture, fixture->directory));
    assert_int_equal(ask(fixture, "SELECT COUNT(*) FROM push_job"), 0);
}

static void a_lookup_that_finds_nothing_spoils_no_group(void **state)
{
    struct fixture *fixture = *state;
    struct dray_job_row *job = NULL;
    char id[37];

    OK(dray_store_begin(fixture->store, &fixture->error));
    REFUSED(DRAY_NOT_FOUND, "no such job",
            dray_store_job(fixture->store, "0000", &job, &fixture->error));
    add_job(fixture, "/hpfs/a", "key1", id);
    OK(dray_store_commit(fixture->store, &fixture->error));
    assert_int_equal(ask(fixture, "SELECT COUNT(*) FROM push_job"), 1);
}

static void a_locked_store_says_what_waited_and_why(void **state)
{
    struct fixture *fixture = *state;
    dray_cleanup(dray_store_closep) struct dray_store *other = NULL;
    char step[] = "filter", done[] = "done", id[37];
    struct dray_step_row row = {.step = step, .uses = step, .outcome = done};

    add_job(fixture, "/hpfs/a", "key1", id);
    uint32_t attempt = begin_attempt(fixture, id);
    OK(dray_store_open(fixture->directory, &other, &fixture->error));
    OK(dray_store_begin(other, &fixture->error));
    assert_int_equal(sqlite3_busy_timeout(fixture->store->database, 50), SQLITE_OK);
    REFUSED(DRAY_TEMPORARY, "storing step run filter of attempt 1 of job",
            dray_store_step(fixture->store, id, attempt, &row, &fixture->error));
    assert_non_null(strstr(fixture->error.message, "the database is locked: another process"));
    assert_int_equal(fixture->error.side, DRAY_SIDE_US);
    /* Who only reads does not wait. */
    dray_job *job = get_job(fixture, id);
    assert_int_equal(job->state, DRAY_RUNNING);
    dray_store_rollback(other);
    OK(dray_store_step(fixture->store, id, attempt, &row, &fixture->error));
}

/* --- Several processes ------------------------------------------------------------------------ */

/* Runs in a child, which must not touch what the test holds; its result is its status. */
typedef int child_work(const char *directory, int number);

static pid_t start_child(const struct fixture *fixture, child_work *work, int number)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(work(fixture->directory, number));
    assert_true(pid > 0);
    return pid;
}

static int wait_child(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int complain(const struct dray_error *error)
{
    (void)fprintf(stderr, "%s\n", error->message);
    return 99;
}

static int add_many(const char *directory, int number)
{
    dray_cleanup(dray_store_closep) struct dray_store *store = NULL;
    struct dray_error error = {0};

    if (dray_store_open(directory, &store, &error) != 0)
        return complain(&error);
    for (int i = 0; i < EACH; i++) {
        dray_autofree char *destination = dray_format("/hpfs/%d/%d", number, i);
        dray_job *job = new_job("reads", destination, destination);
        if (dray_store_add(store, job, NULL, &error) != 0)
            return complain(&error);
    }
    return 0;
}

static void processes_that_meet_in_a_new_store_lose_nothing(void **state)
{
    struct fixture *fixture = *state;
    pid_t children[PROCESSES];

    for (int i = 0; i < PROCESSES; i++)
        children[i] = start_child(fixture, add_many, i);
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(wait_child(children[i]), 0);
    OK(open_store(fixture, fixture->directory));
    assert_int_equal(ask(fixture, "SELECT COUNT(*) FROM push_job"), PROCESSES * EACH);
    assert_int_equal(ask(fixture, "SELECT COUNT(*) FROM push_target"), PROCESSES * EACH);
}

/* Has the file for itself for a while, and says on the pipe `number` when that begins. */
static int write_slowly(const char *directory, int number)
{
    dray_autofree char *path = dray_format("%s/dray.db", directory);
    sqlite3 *database = NULL;

    if (path == NULL || sqlite3_open(path, &database) != SQLITE_OK ||
        sqlite3_exec(database, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK ||
        write(number, "x", 1) != 1)
        return 1;
    (void)usleep(300000);
    return sqlite3_exec(database, "COMMIT", NULL, NULL, NULL) != SQLITE_OK ||
           sqlite3_close(database) != SQLITE_OK;
}

/* SQLite does not wait when it changes the journal mode, so we do. */
static void opening_waits_for_another_who_is_just_making_the_store(void **state)
{
    struct fixture *fixture = *state;
    int ends[2];
    char letter;

    dray_store_closep(&fixture->store);
    tamper(fixture, "PRAGMA journal_mode = DELETE");
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = start_child(fixture, write_slowly, ends[1]);
    assert_int_equal(read(ends[0], &letter, 1), 1);
    OK(open_store(fixture, fixture->directory));
    expect_journal(fixture, "wal");
    assert_int_equal(wait_child(pid), 0);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

/* 0: ours; 1: refused with the other's id. */
static int add_to_one_place(const char *directory, int number)
{
    dray_cleanup(dray_store_closep) struct dray_store *store = NULL;
    dray_autofree char *key = dray_format("key%d", number);
    dray_autofree char *other = NULL;
    struct dray_error error = {0};

    if (dray_store_open(directory, &store, &error) != 0)
        return complain(&error);
    dray_job *job = new_job("reads", "/hpfs/one", key);
    int result = dray_store_add(store, job, &other, &error);
    if (result == 0)
        return 0;
    return result == DRAY_CONFLICT && other != NULL ? 1 : complain(&error);
}

static void of_processes_that_want_one_destination_one_gets_it(void **state)
{
    struct fixture *fixture = *state;
    pid_t children[PROCESSES];
    int winners = 0;

    for (int i = 0; i < PROCESSES; i++)
        children[i] = start_child(fixture, add_to_one_place, i);
    for (int i = 0; i < PROCESSES; i++) {
        int status = wait_child(children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
        winners += WEXITSTATUS(status) == 0;
    }
    assert_int_equal(winners, 1);
    OK(open_store(fixture, fixture->directory));
    assert_int_equal(ask(fixture, "SELECT COUNT(*) FROM push_job"), 1);
}

/* Stores a job and its attempt, and dies: before the commit (0), or after a step run (1). */
static int die(const char *directory, int number)
{
    dray_cleanup(dray_store_closep) struct dray_store *store = NULL;
    struct dray_error error = {0};
    dray_job *job = new_job("reads", "/hpfs/a", "key1");
    char step[] = "push", done[] = "done";
    struct dray_step_row row = {.step = step, .uses = step, .outcome = done};
    uint32_t attempt = 0;

    if (dray_store_open(directory, &store, &error) != 0 || dray_store_begin(store, &error) != 0 ||
        dray_store_add(store, job, NULL, &error) != 0 ||
        dray_store_attempt(store, job->id, &attempt, &error) != 0)
        return complain(&error);
    if (number == 1 && (dray_store_commit(store, &error) != 0 ||
                        dray_store_step(store, job->id, attempt, &row, &error) != 0))
        return complain(&error);
    (void)raise(SIGKILL);
    return 98;
}

static void a_death_within_a_transaction_leaves_nothing_of_it(void **state)
{
    struct fixture *fixture = *state;
    dray_job *job = NULL;
    char id[37];

    int status = wait_child(start_child(fixture, die, 0));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    OK(open_store(fixture, fixture->directory));
    OK(dray_store_by_key(fixture->store, "key1", &job, &fixture->error));
    assert_null(job);
    add_job(fixture, "/hpfs/a", "key1", id);
}

static void a_death_after_a_change_leaves_all_of_it(void **state)
{
    struct fixture *fixture = *state;
    dray_job *job = NULL;

    int status = wait_child(start_child(fixture, die, 1));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    OK(open_store(fixture, fixture->directory));
    OK(dray_store_by_key(fixture->store, "key1", &job, &fixture->error));
    assert_non_null(job);
    assert_int_equal(job->state, DRAY_RUNNING);
    assert_int_equal(job->attempts[0].step_count, 1);
    assert_int_equal(begin_attempt(fixture, job->id), 2);
}

/* --- Locks ------------------------------------------------------------------------------------ */

static const char lock_id[] = "01234567-89ab-4def-8123-456789abcdef";

static int take_lock(struct fixture *fixture, struct dray_store *store, int *ret_fd)
{
    int result = dray_store_lock(store, lock_id, ret_fd, &fixture->error);

    if (result < 0)
        fail_msg("%s", fixture->error.message);
    return result;
}

static void a_lock_is_held_until_its_descriptor_is_closed(void **state)
{
    struct fixture *fixture = *state;
    dray_cleanup(dray_store_closep) struct dray_store *other = NULL;
    dray_autofree char *folder = path_in(fixture, "jobs");
    dray_autofree char *file = dray_format("%s/%s.lock", folder, lock_id);
    int first = -1;
    int second = -1;

    OK(dray_store_open(fixture->directory, &other, &fixture->error));
    assert_int_equal(take_lock(fixture, fixture->store, &first), 1);
    assert_true(fcntl(first, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(mode_of(folder), 0700);
    assert_int_equal(mode_of(file), 0600);
    /* Asking does not drop it, as it would with locks of the process. */
    assert_int_equal(take_lock(fixture, other, &second), 0);
    assert_int_equal(take_lock(fixture, fixture->store, &second), 0);
    assert_int_equal(second, -1);
    assert_int_equal(close(first), 0);
    assert_int_equal(take_lock(fixture, other, &second), 1);
    assert_int_equal(close(second), 0);
}

static void a_wish_to_cancel_is_kept_until_the_lock_is_given_back(void **state)
{
    struct fixture *fixture = *state;
    dray_autofree char *who = NULL;
    int fd = -1;

    assert_int_equal(take_lock(fixture, fixture->store, &fd), 1);
    assert_int_equal(dray_store_cancel_asked(fixture->store, lock_id, NULL), 0);
    OK(dray_store_cancel(fixture->store, lock_id, "smith", &fixture->error));
    OK(dray_store_cancel(fixture->store, lock_id, "jones", &fixture->error));
    assert_int_equal(dray_store_cancel_asked(fixture->store, lock_id, &who), 1);
    assert_string_equal(who, "smith"); /* the first one's stands */
    dray_store_unlock(fixture->store, lock_id, &fd);
    assert_int_equal(dray_store_cancel_asked(fixture->store, lock_id, NULL), 0);
    REFUSED(DRAY_BUG, "that is not the id of a job",
            dray_store_cancel(fixture->store, "../../etc/passwd", "smith", &fixture->error));
}

static void a_lock_given_back_leaves_no_file(void **state)
{
    struct fixture *fixture = *state;
    dray_autofree char *file = dray_format("%s/jobs/%s.lock", fixture->directory, lock_id);
    int fd = -1;

    assert_int_equal(take_lock(fixture, fixture->store, &fd), 1);
    dray_store_unlock(fixture->store, lock_id, &fd);
    assert_int_equal(fd, -1);
    assert_int_equal(access(file, F_OK), -1);
    assert_int_equal(take_lock(fixture, fixture->store, &fd), 1);
    /* Of one that is not held, the file stays. */
    int none = -1;
    dray_store_unlock(fixture->store, lock_id, &none);
    assert_int_equal(access(file, F_OK), 0);
    assert_int_equal(close(fd), 0);
}

static void locks_of_the_dead_are_swept(void **state)
{
    static const char dead[] = "89abcdef-89ab-4def-8123-456789abcdef";
    static const char *const others[] = {"note.lock", "89abcdef-89ab-4def-8123-456789abcde.lock"};
    struct fixture *fixture = *state;
    dray_autofree char *folder = path_in(fixture, "jobs");
    int lock = -1;
    int free_lock = -1;

    dray_store_sweep_locks(fixture->store); /* there is no such directory yet */
    assert_int_equal(take_lock(fixture, fixture->store, &lock), 1);
    assert_int_equal(dray_store_lock(fixture->store, dead, &free_lock, &fixture->error), 1);
    OK(dray_store_cancel(fixture->store, dead, "smith", &fixture->error));
    assert_int_equal(close(free_lock), 0);
    for (size_t i = 0; i < DRAY_COUNT(others); i++) {
        dray_autofree char *file = dray_format("%s/%s", folder, others[i]);
        int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(close(fd), 0);
    }
    dray_store_sweep_locks(fixture->store);
    dray_autofree char *swept = dray_format("%s/%s.lock", folder, dead);
    dray_autofree char *kept = dray_format("%s/%s.lock", folder, lock_id);
    assert_int_equal(access(swept, F_OK), -1);
    assert_int_equal(dray_store_cancel_asked(fixture->store, dead, NULL), 0);
    assert_int_equal(access(kept, F_OK), 0);
    assert_int_equal(take_lock(fixture, fixture->store, &free_lock), 0);
    for (size_t i = 0; i < DRAY_COUNT(others); i++) {
        dray_autofree char *file = dray_format("%s/%s", folder, others[i]);
        assert_int_equal(access(file, F_OK), 0);
    }
    assert_int_equal(close(lock), 0);
}

static void a_lock_name_is_no_path(void **state)
{
    static const char *const names[] = {"", "../dray", "../../../../../../../etc/passwd00000000000",
                                        "01234567-89AB-4def-8123-456789abcdef"};
    struct fixture *fixture = *state;
    int fd = -1;

    for (size_t i = 0; i < DRAY_COUNT(names); i++)
        REFUSED(DRAY_BUG, "not the id of a job",
                dray_store_lock(fixture->store, names[i], &fd, &fixture->error));
}

/* Takes the lock, says so on the pipe `number` and waits for its end. */
static int hold_lock(const char *directory, int number)
{
    dray_cleanup(dray_store_closep) struct dray_store *store = NULL;
    struct dray_error error = {0};
    int fd = -1;

    if (dray_store_open(directory, &store, &error) != 0 ||
        dray_store_lock(store, lock_id, &fd, &error) != 1 || write(number, "x", 1) != 1)
        return complain(&error);
    for (;;)
        (void)pause();
}

static void the_lock_of_a_dead_process_is_free(void **state)
{
    struct fixture *fixture = *state;
    int ends[2];
    int fd = -1;
    char letter;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = start_child(fixture, hold_lock, ends[1]);
    assert_int_equal(read(ends[0], &letter, 1), 1);
    OK(open_store(fixture, fixture->directory));
    assert_int_equal(take_lock(fixture, fixture->store, &fd), 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_true(WIFSIGNALED(wait_child(pid)));
    assert_int_equal(take_lock(fixture, fixture->store, &fd), 1);
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

static void a_program_that_was_started_does_not_keep_the_lock(void **state)
{
    struct fixture *fixture = *state;
    int ends[2];
    int fd = -1;
    char letter;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(take_lock(fixture, fixture->store, &fd), 1);
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl("/bin/sleep", "sleep", "60", (char *)NULL);
        _exit(97);
    }
    assert_true(pid > 0);
    assert_int_equal(close(ends[1]), 0);
    /* The pipe ends when the program runs: its end of it is CLOEXEC as well. */
    assert_int_equal(read(ends[0], &letter, 1), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(take_lock(fixture, fixture->store, &fd), 1);
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    (void)wait_child(pid);
}

/* Takes the lock and gives it back with its file, again and again; two that have it at once would
 * both find the mark missing. */
static int fight(const char *directory, int number)
{
    dray_cleanup(dray_store_closep) struct dray_store *store = NULL;
    dray_autofree char *mark = dray_format("%s/mark", directory);
    struct dray_error error = {0};

    (void)number;
    if (mark == NULL || dray_store_open(directory, &store, &error) != 0)
        return complain(&error);
    for (int taken = 0; taken < 300;) {
        int fd = -1;
        int result = dray_store_lock(store, lock_id, &fd, &error);
        if (result < 0)
            return complain(&error);
        if (result == 0)
            continue;
        taken++;
        if (mkdir(mark, 0700) != 0 || rmdir(mark) != 0)
            return 1;
        dray_store_unlock(store, lock_id, &fd);
    }
    return 0;
}

static void two_never_hold_one_lock(void **state)
{
    struct fixture *fixture = *state;
    pid_t children[3];

    for (int i = 0; i < 3; i++)
        children[i] = start_child(fixture, fight, i);
    for (int i = 0; i < 3; i++)
        assert_int_equal(wait_child(children[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(a_new_store_is_its_owners_alone),
        WITH_STORE(a_store_is_found_again_with_what_it_holds),
        WITH_DIRECTORY(a_store_that_others_may_write_is_refused),
        WITH_DIRECTORY(a_store_of_another_user_is_refused),
        WITH_DIRECTORY(a_link_in_place_of_the_file_is_not_followed),
        WITH_DIRECTORY(a_directory_reached_by_a_link_is_fine),
        WITH_STORE(a_newer_schema_is_refused_and_left_alone),
        WITH_DIRECTORY(another_programs_database_is_refused_and_left_alone),
        WITH_DIRECTORY(a_damaged_file_is_named_with_a_way_out),
        WITH_DIRECTORY(a_directory_that_cannot_be_is_named),
        WITH_STORE(a_migration_is_taken_from_any_older_schema),
        cmocka_unit_test(network_file_systems_are_known),
        WITH_STORE(every_change_but_a_step_run_is_synced),
        WITH_STORE(without_shared_memory_a_journal_is_used_and_all_is_synced),
        WITH_STORE(a_group_of_changes_is_stored_as_one),
        WITH_STORE(a_group_is_undone_by_rollback_close_or_failure),
        WITH_STORE(a_lookup_that_finds_nothing_spoils_no_group),
        WITH_STORE(a_locked_store_says_what_waited_and_why),
        WITH_DIRECTORY(processes_that_meet_in_a_new_store_lose_nothing),
        WITH_STORE(opening_waits_for_another_who_is_just_making_the_store),
        WITH_DIRECTORY(of_processes_that_want_one_destination_one_gets_it),
        WITH_DIRECTORY(a_death_within_a_transaction_leaves_nothing_of_it),
        WITH_DIRECTORY(a_death_after_a_change_leaves_all_of_it),
        WITH_STORE(a_lock_is_held_until_its_descriptor_is_closed),
        WITH_STORE(a_wish_to_cancel_is_kept_until_the_lock_is_given_back),
        WITH_STORE(a_lock_given_back_leaves_no_file),
        WITH_STORE(locks_of_the_dead_are_swept),
        WITH_STORE(a_lock_name_is_no_path),
        WITH_DIRECTORY(the_lock_of_a_dead_process_is_free),
        WITH_STORE(a_program_that_was_started_does_not_keep_the_lock),
        WITH_DIRECTORY(two_never_hold_one_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
