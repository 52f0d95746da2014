/* SPDX-License-Identifier: MIT */
#include "tests/unit/tree_files.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include "core/tree/bytes.h"
#include "core/tree/internal.h"
#include "core/tree/walk.h"

/* Of all tests. */
static struct dray_pool *pool;

/* The tree below a name of the folder, "" for the folder itself; NULL with an error. */
static struct dray_tree *walk_with(struct dray_roots *roots, const struct files *files,
                                   const char *name, int (*cancelled)(void *), void *arg,
                                   struct dray_error *error)
{
    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_tree *tree = NULL;

    assert_non_null(builder);
    if (dray_walk(builder, roots, pool, files_at(files, name), cancelled, arg, error) == 0)
        assert_int_equal(dray_tree_builder_finish(builder, &tree, error), 0);
    else
        assert_int_not_equal(error->class_, 0);
    dray_tree_builder_free(builder);
    return tree;
}

static struct dray_tree *walk_all(const struct files *files, struct dray_error *error)
{
    struct dray_roots *roots = dray_roots_new();
    struct dray_tree *tree = walk_with(roots, files, "", NULL, NULL, error);

    dray_roots_free(roots);
    return tree;
}

static void assert_no_walk(const struct files *files, int class_, const char *says)
{
    struct dray_error error = {0};
    struct dray_tree *tree = walk_all(files, &error);

    assert_null(tree);
    assert_failed(error.class_, class_, &error, says);
}

static void everything_below_becomes_an_entry(void **state)
{
    const struct files *files = *state;
    struct dray_error error = {0};
    struct stat status;
    const struct timespec times[2] = {{0, UTIME_OMIT}, {-5, 999999999}};

    files_folder(files, "d");
    files_folder(files, "d/empty");
    files_text(files, "d/file", "hello");
    files_text(files, "d-x", "");
    files_text(files, ".hidden", "1");
    files_text(files, "new\nline \xff", "12");
    files_link(files, "../nowhere", "d/link");
    files_link(files, "d", "to-d");
    assert_int_equal(fchmodat(files->fd, "d/file", 06751, 0), 0);
    assert_int_equal(utimensat(files->fd, "d/file", times, 0), 0);
    assert_int_equal(fstatat(files->fd, "d/file", &status, 0), 0);
    assert_int_equal(chmod(files->path, 0711), 0);

    struct dray_tree *tree = walk_all(files, &error);
    assert_non_null(tree);
    assert_paths(tree, ".hidden\nd\nd/empty\nd/file\nd/link\nd-x\nnew\nline \xff\nto-d\n");
    const struct dray_tree_entry *file = tree_entry(tree, "d/file");
    assert_int_equal(file->type, DRAY_FILE);
    assert_int_equal(file->bytes, 5);
    assert_int_equal(file->mode, 06751);
    assert_int_equal(file->mtime, INT64_C(-4000000001));
    assert_int_equal(file->ctime,
                     status.st_ctim.tv_sec * INT64_C(1000000000) + status.st_ctim.tv_nsec);
    assert_int_equal(file->device, status.st_dev);
    assert_int_equal(file->inode, status.st_ino);
    assert_int_equal(file->link_group, 0);
    assert_null(file->at);
    assert_int_equal(tree_entry(tree, "d/link")->type, DRAY_LINK);
    assert_string_equal(tree_entry(tree, "d/link")->at, "../nowhere");
    assert_int_equal(tree_entry(tree, "d/link")->bytes, 0);
    assert_int_equal(tree_entry(tree, "d/empty")->type, DRAY_DIRECTORY);
    assert_int_equal(tree->listed, 7);
    assert_int_equal(tree->bytes, 8);
    assert_int_equal(tree->root_mode, 0711);
    dray_tree_unref(tree);
}

static void a_folder_of_many_names_becomes_an_ordered_tree(void **state)
{
    const struct files *files = *state;
    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_roots *roots = dray_roots_new();
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;
    char name[32];

    for (int i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof name, "f%d", i * 7919 % 300);
        files_text(files, name, "");
        if (i % 30 == 0) {
            (void)snprintf(name, sizeof name, "f%d-d", i * 7919 % 300);
            files_folder(files, name);
        }
    }
    files_text(files, "f0-d/x", "");
    assert_done(dray_walk(builder, roots, pool, files->path, NULL, NULL, &error));
    assert_done(dray_tree_builder_finish(builder, &tree, &error));
    assert_int_equal(tree->count, 311);
    for (size_t i = 1; i < tree->count; i++)
        assert_true(dray_path_compare(tree->entries[i - 1]->path, tree->entries[i - 1]->path_length,
                                      tree->entries[i]->path, tree->entries[i]->path_length) < 0);
    dray_tree_unref(tree);
    dray_tree_builder_free(builder);
    dray_roots_free(roots);
}

/* More folders side by side, and below each other, than are listed ahead at once. */
static void folders_that_are_listed_ahead_come_in_order(void **state)
{
    const struct files *files = *state;
    struct dray_error error = {0};
    char name[64];

    for (int i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof name, "d%02d", i);
        files_folder(files, name);
        (void)snprintf(name, sizeof name, "d%02d/f", i);
        files_text(files, name, "");
        for (int j = 0; i % 25 == 0 && j < 40; j++) {
            (void)snprintf(name, sizeof name, "d%02d/e%02d", i, j);
            files_folder(files, name);
            (void)snprintf(name, sizeof name, "d%02d/e%02d/g", i, j);
            files_text(files, name, "");
        }
    }
    struct dray_roots *roots = dray_roots_new();
    struct dray_tree *ahead = walk_with(roots, files, "", NULL, NULL, &error);
    struct dray_pool *others = pool;
    pool = NULL;
    struct dray_tree *alone = walk_with(roots, files, "", NULL, NULL, &error);
    pool = others;
    assert_non_null(ahead);
    assert_non_null(alone);
    assert_int_equal(ahead->count, 200 + 4 * 80);
    assert_int_equal(alone->count, ahead->count);
    for (size_t i = 0; i < ahead->count; i++) {
        assert_string_equal(ahead->entries[i]->path, alone->entries[i]->path);
        assert_int_equal(ahead->entries[i]->inode, alone->entries[i]->inode);
    }
    dray_tree_unref(ahead);
    dray_tree_unref(alone);
    dray_roots_free(roots);
}

/* Of what cannot be listed, the first in the order of the tree is named. */
static void what_fails_ahead_is_told_in_its_turn(void **state)
{
    const struct files *files = *state;

    files_folder(files, "a");
    files_folder(files, "b");
    files_folder(files, "c");
    files_text(files, "a/f", "");
    assert_int_equal(mkfifo(files_at(files, "b/pipe"), 0600), 0);
    assert_int_equal(mkfifo(files_at(files, "c/pipe"), 0600), 0);
    assert_no_walk(files, DRAY_PERMANENT, "/b: \"pipe\" is a fifo");
}

static void hard_links_share_a_group_that_no_other_tree_has(void **state)
{
    const struct files *files = *state;
    struct dray_roots *roots = dray_roots_new();
    struct dray_error error = {0};
    uint32_t groups[2][2];
    char name[2][32];

    files_folder(files, "d");
    /* Enough of them for the table to grow. */
    for (int i = 0; i < 200; i++) {
        (void)snprintf(name[0], sizeof name[0], "a%d", i);
        (void)snprintf(name[1], sizeof name[1], "d/b%d", i);
        files_text(files, name[0], "x");
        assert_int_equal(linkat(files->fd, name[0], files->fd, name[1], 0), 0);
    }
    files_text(files, "alone", "x");
    for (int round = 0; round < 2; round++) {
        struct dray_tree *tree = walk_with(roots, files, "", NULL, NULL, &error);
        assert_non_null(tree);
        assert_int_equal(tree_entry(tree, "alone")->link_group, 0);
        for (int i = 0; i < 200; i++) {
            (void)snprintf(name[0], sizeof name[0], "a%d", i);
            (void)snprintf(name[1], sizeof name[1], "d/b%d", i);
            uint32_t group = tree_entry(tree, name[0])->link_group;
            assert_int_not_equal(group, 0);
            assert_int_equal(group, tree_entry(tree, name[1])->link_group);
            if (i < 2)
                groups[round][i] = group;
        }
        dray_tree_unref(tree);
    }
    assert_int_not_equal(groups[0][0], groups[0][1]);
    assert_int_not_equal(groups[0][0], groups[1][0]);
    assert_int_not_equal(groups[0][1], groups[1][0]);
    dray_roots_free(roots);
}

static void one_file_is_a_tree_of_one_entry(void **state)
{
    const struct files *files = *state;
    struct dray_roots *roots = dray_roots_new();
    struct dray_error error = {0};
    struct dray_bytes bytes;
    char text[16];

    files_folder(files, "d");
    files_text(files, "d/reads.fq", "ACGT");
    struct dray_tree *tree = walk_with(roots, files, "d/reads.fq", NULL, NULL, &error);
    assert_non_null(tree);
    assert_paths(tree, "reads.fq\n");
    assert_int_equal(tree->root_mode, 0755);
    const struct dray_tree_entry *entry = tree_entry(tree, "reads.fq");
    assert_int_equal(tree->root_mtime, entry->mtime);
    assert_done(dray_bytes_open(&bytes, roots, entry, &error));
    assert_int_equal(dray_bytes_read(&bytes, text, sizeof text, &error), 4);
    assert_memory_equal(text, "ACGT", 4);
    assert_done(dray_bytes_close(&bytes, NULL, &error));
    dray_tree_unref(tree);
    dray_roots_free(roots);
}

static void what_is_no_data_is_named(void **state)
{
    const struct files *files = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    files_folder(files, "d");
    assert_int_equal(mkfifoat(files->fd, "d/pipe", 0600), 0);
    assert_no_walk(files, DRAY_PERMANENT, "\"pipe\" is a fifo");
    assert_int_equal(unlinkat(files->fd, "d/pipe", 0), 0);

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", files_at(files, "talk"));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(close(fd), 0);
    assert_no_walk(files, DRAY_PERMANENT, "\"talk\" is a socket");
    assert_int_equal(unlinkat(files->fd, "talk", 0), 0);

    if (mknodat(files->fd, "null", S_IFCHR | 0600, makedev(1, 3)) == 0)
        assert_no_walk(files, DRAY_PERMANENT, "\"null\" is a device");
}

static void our_own_folder_in_a_dataset_is_an_error(void **state)
{
    const struct files *files = *state;
    struct dray_error error = {0};

    files_folder(files, "x");
    files_folder(files, "x/.dray");
    struct dray_tree *tree = walk_all(files, &error);
    assert_paths(tree, "x\nx/.dray\n");
    dray_tree_unref(tree);
    files_folder(files, ".dray");
    assert_no_walk(files, DRAY_CONFLICT, "\".dray\"");
}

static void links_are_never_followed(void **state)
{
    const struct files *files = *state;
    struct dray_roots *roots = dray_roots_new();
    struct dray_error error = {0};

    files_folder(files, "outside");
    files_text(files, "outside/secret", "x");
    files_folder(files, "data");
    files_link(files, "../outside", "data/link");
    files_link(files, "data", "door");
    files_link(files, "outside/secret", "key");
    struct dray_tree *tree = walk_with(roots, files, "data", NULL, NULL, &error);
    assert_paths(tree, "link\n");
    dray_tree_unref(tree);
    assert_null(walk_with(roots, files, "door", NULL, NULL, &error));
    assert_failed(error.class_, DRAY_PERMANENT, &error, "door: it is a symbolic link");
    /* A slash at the end makes a link a directory for open. */
    assert_null(walk_with(roots, files, "door//", NULL, NULL, &error));
    assert_failed(error.class_, DRAY_PERMANENT, &error, "door: it is a symbolic link");
    assert_null(walk_with(roots, files, "key", NULL, NULL, &error));
    assert_failed(error.class_, DRAY_PERMANENT, &error, "key: it is a symbolic link");
    assert_null(walk_with(roots, files, "absent", NULL, NULL, &error));
    assert_failed(error.class_, DRAY_NOT_FOUND, &error, "absent");
    dray_roots_free(roots);
}

/* "d/d/d/...": descends and makes, as the whole path would be too long for one call. */
static void make_deep(const struct files *files, const char *name, int levels)
{
    int fd = dup(files->fd);

    for (int i = 0; i < levels; i++) {
        assert_int_equal(mkdirat(fd, name, 0755), 0);
        int next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        assert_int_equal(close(fd), 0);
        fd = next;
    }
    assert_int_equal(close(fd), 0);
}

static void depth_costs_no_descriptors(void **state)
{
    const struct files *files = *state;
    struct dray_error error = {0};
    struct rlimit before;

    make_deep(files, "d", 1900);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit few = {16, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    struct dray_tree *tree = walk_all(files, &error);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_non_null(tree);
    assert_int_equal(tree->count, 1900);
    assert_int_equal(tree->listed, 1);
    dray_tree_unref(tree);
}

static void paths_that_are_too_long_are_an_error(void **state)
{
    const struct files *files = *state;
    char name[201];

    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    make_deep(files, name, 21);
    assert_no_walk(files, DRAY_INVALID, "longer than 4000 bytes");
}

static void every_root_has_one_number(void **state)
{
    const struct files *files = *state;
    struct dray_roots *roots = dray_roots_new();
    struct dray_error error = {0};
    uint32_t number;
    uint32_t again;
    char name[32];

    for (uint32_t i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof name, "f%u", i);
        files_text(files, name, name);
        assert_done(dray_roots_add(roots, files_at(files, name), &number, &error));
        assert_int_equal(number, i);
    }
    for (uint32_t i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof name, "f%u", i);
        assert_done(dray_roots_add(roots, files_at(files, name), &again, &error));
        assert_int_equal(again, i);
        const struct dray_root *root = dray_roots_get(roots, i);
        assert_non_null(root);
        assert_string_equal(root->path, files_at(files, name));
        char text[32] = "";
        assert_true(pread(root->fd, text, sizeof text - 1, 0) > 0);
        assert_string_equal(text, name);
    }
    assert_null(dray_roots_get(roots, 200));
    dray_roots_free(roots);
}

static int always(void *arg)
{
    (void)arg;
    return 1;
}

static void a_walk_can_be_cancelled(void **state)
{
    const struct files *files = *state;
    struct dray_roots *roots = dray_roots_new();
    struct dray_error error = {0};

    files_text(files, "a", "");
    assert_null(walk_with(roots, files, "", always, NULL, &error));
    assert_failed(error.class_, DRAY_CANCELLED, &error, "cancelled");
    dray_roots_free(roots);
}

/* ---- A source that changes while it is walked ---------------------------------------------- */

/* Called between the listing of a folder and the opening of those in it. */
struct swap {
    const struct files *files;
    int calls;
    void (*act)(const struct files *files);
};

static int swap_at_second_call(void *arg)
{
    struct swap *swap = arg;

    if (++swap->calls == 2)
        swap->act(swap->files);
    return 0;
}

static void put_link_in_place(const struct files *files)
{
    assert_int_equal(renameat(files->fd, "data/z", files->fd, "gone"), 0);
    files_link(files, "../outside", "data/z");
}

static void put_folder_in_place(const struct files *files)
{
    assert_int_equal(renameat(files->fd, "data/z", files->fd, "gone"), 0);
    assert_int_equal(renameat(files->fd, "outside", files->fd, "data/z"), 0);
}

static void take_away(const struct files *files)
{
    assert_int_equal(renameat(files->fd, "data/z", files->fd, "gone"), 0);
}

static void try_swap(const struct files *files, void (*act)(const struct files *files),
                     const char *says)
{
    struct dray_roots *roots = dray_roots_new();
    struct dray_error error = {0};
    struct swap swap = {files, 0, act};

    files_folder(files, "outside");
    files_text(files, "outside/secret", "x");
    files_folder(files, "data");
    files_folder(files, "data/z");
    char name[32];
    /* It is asked again after 256 names: one folder is listed by then and the next not open. */
    for (int i = 0; i < 255; i++) {
        (void)snprintf(name, sizeof name, "data/f%d", i);
        files_text(files, name, "");
    }
    assert_null(walk_with(roots, files, "data", swap_at_second_call, &swap, &error));
    assert_int_equal(swap.calls, 2);
    assert_failed(error.class_, DRAY_CHANGED, &error, says);
    assert_non_null(strstr(error.message, "data/z"));
    assert_int_equal(error.side, DRAY_SIDE_SOURCE);
    dray_roots_free(roots);
}

static void a_folder_that_became_a_link_is_not_entered(void **state)
{
    try_swap(*state, put_link_in_place, "changed while it was listed");
}

static void a_folder_that_became_another_is_not_entered(void **state)
{
    try_swap(*state, put_folder_in_place, "was replaced by another");
}

static void a_folder_that_went_away_is_a_change(void **state)
{
    try_swap(*state, take_away, "changed while it was listed");
}

/* ---- Without openat2 ----------------------------------------------------------------------- */

/* From now on the call fails with this error, as on a kernel or in a sandbox that is older than it.
 */
static int refuse_openat2(unsigned errnum)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | errnum),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* In a child: 0, or the line of the check that failed. */
static int look_without_openat2(const struct files *files, unsigned errnum)
{
    struct dray_roots *roots = dray_roots_new();
    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;
    struct dray_bytes bytes;
    char text[16];

    if (roots == NULL || builder == NULL || refuse_openat2(errnum) != 0)
        return 1;
    if (dray_walk(builder, roots, NULL, files_at(files, "data"), NULL, NULL, &error) != 0 ||
        dray_tree_builder_finish(builder, &tree, &error) != 0 || tree->count != 4)
        return 2;
    struct dray_tree_entry entry = *tree->entries[2]; /* "d/e/f" */
    if (dray_bytes_open(&bytes, roots, &entry, &error) != 0 ||
        dray_bytes_read(&bytes, text, sizeof text, &error) != 4 ||
        dray_bytes_close(&bytes, NULL, &error) != 0)
        return 3;
    /* Neither by a link in the middle, nor by one at the end, nor upwards. */
    entry.inode = 0;
    entry.at = "link/secret";
    if (dray_bytes_open(&bytes, roots, &entry, &error) != DRAY_CHANGED)
        return 4;
    entry.at = "d/e/../../../outside/secret";
    if (dray_bytes_open(&bytes, roots, &entry, &error) == 0)
        return 5;
    entry.at = "link";
    if (dray_bytes_open(&bytes, roots, &entry, &error) == 0)
        return 6;
    entry.at = "/etc/passwd";
    if (dray_bytes_open(&bytes, roots, &entry, &error) == 0)
        return 7;
    dray_tree_unref(tree);
    dray_tree_builder_free(builder);
    dray_roots_free(roots);
    return 0;
}

static void without_openat2_paths_are_opened_by_segments_as_safely(void **state)
{
    const struct files *files = *state;
    static const unsigned answers[] = {ENOSYS, EPERM};

    files_folder(files, "outside");
    files_text(files, "outside/secret", "1234");
    files_folder(files, "data");
    files_folder(files, "data/d");
    files_folder(files, "data/d/e");
    files_text(files, "data/d/e/f", "1234");
    files_link(files, "../outside", "data/link");
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        int status = 0;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            _exit(look_without_openat2(files, answers[i]));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        files_test(everything_below_becomes_an_entry),
        files_test(a_folder_of_many_names_becomes_an_ordered_tree),
        files_test(folders_that_are_listed_ahead_come_in_order),
        files_test(what_fails_ahead_is_told_in_its_turn),
        files_test(hard_links_share_a_group_that_no_other_tree_has),
        files_test(one_file_is_a_tree_of_one_entry),
        files_test(what_is_no_data_is_named),
        files_test(our_own_folder_in_a_dataset_is_an_error),
        files_test(links_are_never_followed),
        files_test(depth_costs_no_descriptors),
        files_test(paths_that_are_too_long_are_an_error),
        files_test(every_root_has_one_number),
        files_test(a_walk_can_be_cancelled),
        files_test(a_folder_that_became_a_link_is_not_entered),
        files_test(a_folder_that_became_another_is_not_entered),
        files_test(a_folder_that_went_away_is_a_change),
        files_test(without_openat2_paths_are_opened_by_segments_as_safely),
    };

    pool = dray_pool_new(3, NULL, NULL);
    int failed = pool != NULL ? cmocka_run_group_tests_name("walk", tests, NULL, NULL) : 1;
    dray_pool_free(pool);
    return failed;
}
