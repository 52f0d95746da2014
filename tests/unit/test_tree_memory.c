/* SPDX-License-Identifier: MIT */
/* Every allocation of core/tree, and of core/base below it, fails once: that is an error and no
 * crash, and nothing is lost. */
#include "tests/unit/tree_files.h"

#include "core/tree/bag.h"
#include "core/tree/bytes.h"
#include "core/tree/listing.h"
#include "core/tree/manifest.h"
#include "core/tree/walk.h"
#include "tests/unit/failing.h"

/* Without threads of its own; folders are listed ahead all the same. */
static struct dray_pool *pool;

/* What a job holds; freed in one place, however far it came. */
struct work {
    struct dray_roots *roots;
    struct dray_tree_builder *builder;
    struct dray_tree *walked;
    struct dray_tree *selected;
    struct dray_tree *joined;
    struct dray_tree *copied;
    struct dray_tree *listed;
    int list; /* a file to be read */
    struct dray_bytes_scratch *scratch;
    struct dray_buffer lines;
    char *revision;
};

static void work_end(struct work *work)
{
    dray_tree_unref(work->walked);
    dray_tree_unref(work->selected);
    dray_tree_unref(work->joined);
    dray_tree_unref(work->copied);
    dray_tree_unref(work->listed);
    dray_tree_builder_free(work->builder);
    dray_bytes_scratch_free(work->scratch);
    dray_roots_free(work->roots);
    dray_buffer_free(&work->lines);
    free(work->revision);
}

static int make_trees(struct work *work, const char *path, struct dray_error *error)
{
    static const uint8_t keep[16] = {1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    struct dray_tree_entry new = {.path = "new/parent/x", .path_length = 12, .type = DRAY_FILE};

    work->roots = dray_roots_new();
    work->builder = dray_tree_builder_new();
    if (work->roots == NULL || work->builder == NULL)
        return DRAY_NO_MEMORY;
    int result = dray_walk(work->builder, work->roots, pool, path, NULL, NULL, error);
    if (result == 0)
        result = dray_tree_builder_add(work->builder, &new, error);
    if (result == 0)
        result = dray_tree_builder_finish(work->builder, &work->walked, error);
    if (result != 0)
        return result;
    assert_true(work->walked->count < sizeof keep);
    result = dray_tree_select(work->walked, keep, 0, &work->selected, error);
    if (result == 0)
        result = dray_tree_builder_keep(work->builder, work->walked, 1, error);
    struct dray_tree *both[] = {work->walked, work->selected};
    if (result == 0)
        result = dray_tree_join(both, 2, &work->joined, error);
    struct dray_listing listing = {.fd = work->list, .name = "list"};
    struct dray_listed listed;
    if (result == 0 && lseek(work->list, 0, SEEK_SET) == 0)
        result = dray_listing_read(&listing, &work->listed, &listed, error);
    if (result == 0)
        result = dray_tree_symlinks(work->joined, DRAY_SYMLINKS_COPY, &work->copied, error);
    return result;
}

static int add_lines(struct work *work, const uint8_t *sha256)
{
    for (size_t i = 0; i < work->copied->count; i++) {
        const struct dray_tree_entry *entry = work->copied->entries[i];
        dray_manifest_add(&work->lines, sha256, DRAY_SHA256_BYTES, entry->path, entry->path_length);
        int result = dray_tree_line(&work->lines, entry, sha256, NULL);
        if (result != 0)
            return result;
    }
    return 0;
}

static int do_all(struct work *work, const char *path, int target, struct dray_error *error)
{
    uint8_t sha256[DRAY_SHA256_BYTES];
    struct dray_bytes bytes;
    int result = make_trees(work, path, error);

    if (result != 0)
        return result;
    const struct dray_tree_entry *entry = tree_entry(work->copied, "d/link");
    result = dray_tree_digest(work->copied, sha256);
    if (result != 0)
        return result;
    work->revision = dray_tree_revision(work->copied);
    work->scratch = dray_bytes_scratch_new(NULL);
    if (work->revision == NULL || work->scratch == NULL)
        return DRAY_NO_MEMORY;
    result = dray_bytes_copy(work->roots, entry, target, work->scratch, NULL, NULL, sha256, error);
    if (result == 0)
        result = dray_bytes_open(&bytes, work->roots, entry, error);
    if (result == 0)
        result = dray_bytes_close(&bytes, NULL, error);
    return result == 0 ? add_lines(work, sha256) : result;
}

static void memory_that_runs_out_anywhere_is_an_error(void **state)
{
    const struct files *files = *state;
    unsigned long failed = 0;
    int result;

    files_folder(files, "data");
    files_folder(files, "data/d");
    files_text(files, "data/d/f", "0123456789");
    files_link(files, "../d/f", "data/d/link");
    files_text(files, "data/one", "1");
    assert_int_equal(linkat(files->fd, "data/one", files->fd, "data/d/two", 0), 0);
    int target = openat(files->fd, "copy", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_true(target >= 0);
    files_text(files, "list", "1\tb/c\n2\ta\n3\tb/a\n");
    int list = openat(files->fd, "list", O_RDONLY | O_CLOEXEC);
    assert_true(list >= 0);
    do {
        struct work work = {.lines = {.cap = 1 << 20}, .list = list};
        struct dray_error error = {0};
        assert_int_equal(ftruncate(target, 0), 0);
        assert_int_equal(lseek(target, 0, SEEK_SET), 0);
        failing_left = (long)failed;
        result = do_all(&work, files_at(files, "data"), target, &error);
        int all_done = failing_left >= 0;
        failing_left = -1;
        work_end(&work);
        /* A digest that cannot be made is not told apart from one that the library refuses. */
        if (!all_done)
            assert_true(result == DRAY_NO_MEMORY || result == DRAY_UNSUPPORTED || result == 0);
        if (result == 0 && all_done)
            break;
        assert_true(++failed < 1000);
    } while (1);
    assert_true(failed > 30);
    assert_int_equal(close(target), 0);
    assert_int_equal(close(list), 0);
}

/* What is recorded of a tree with hard links, read and compared: two names differ. */
static int compare_all(struct dray_tree *tree, struct dray_error *error)
{
    static const char text[] = "{\"path\":\"a\",\"size\":9}\n{\"path\":\"gone\"}\n"
                               "{\"path\":\"h\",\"md5\":\"900150983cd24fb0d6963f7d28e17f72\"}\n";
    static const char bag[] = "900150983cd24fb0d6963f7d28e17f72  data/x\n";
    static const char other_bag[] = "ee26b0dd  data/x\n", fetch[] = "http://x 3 data/x\n";
    const struct dray_bag_manifest other = {.name = "o", .base = "", .payload = 1};
    const struct dray_bag_manifest manifest = {
        .name = "m", .base = "", .digest_bytes = DRAY_MD5_BYTES, .payload = 1};
    struct dray_recorded_list list = {0};
    struct dray_differences differences = DRAY_DIFFERENCES;
    struct dray_tree *recorded = NULL;
    uint8_t passed[8] = {0};

    int result = dray_recorded_read("r", text, sizeof text - 1, &list, error);
    if (result == 0)
        result = dray_bag_read(&manifest, bag, sizeof bag - 1, &list, error);
    if (result == 0)
        result = dray_bag_read(&other, other_bag, sizeof other_bag - 1, &list, error);
    if (result == 0)
        result = dray_bag_fetch("f", "", 1, fetch, sizeof fetch - 1, &list, error);
    if (result == 0)
        result = dray_recorded_compare(tree, &list, passed, &differences, &recorded, error);
    dray_differences_fact(&differences, "a fact");
    if (result == 0)
        result = dray_differences_judge(&differences, "r says", error);
    dray_tree_unref(recorded);
    dray_differences_free(&differences);
    dray_recorded_free(&list);
    return result;
}

static void memory_that_runs_out_while_comparing_is_an_error(void **state)
{
    static const char *const paths[] = {"a", "h", "h2", "new"};
    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_tree *tree = NULL;
    struct dray_error error = {0};
    unsigned long failed = 0;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct dray_tree_entry entry = {.path = paths[i],
                                        .path_length = (uint32_t)strlen(paths[i]),
                                        .link_group = i == 1 || i == 2,
                                        .type = DRAY_FILE};
        assert_done(dray_tree_builder_add(builder, &entry, &error));
    }
    assert_done(dray_tree_builder_finish(builder, &tree, &error));
    dray_tree_builder_free(builder);
    for (;; failed++) {
        failing_left = (long)failed;
        int result = compare_all(tree, &error);
        int all_done = failing_left >= 0;
        failing_left = -1;
        /* A list that is not cut to its length does no harm. */
        if (!all_done && result == DRAY_NO_MEMORY)
            continue;
        assert_failed(result, DRAY_INTEGRITY, &error, "missing: data/x, gone; changed: a (0");
        assert_non_null(strstr(error.message, "not listed: h2, new"));
        if (all_done)
            break;
    }
    assert_true(failed > 10);
    dray_tree_unref(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        files_test(memory_that_runs_out_anywhere_is_an_error),
        cmocka_unit_test(memory_that_runs_out_while_comparing_is_an_error),
    };

    pool = dray_pool_new(0, NULL, NULL);
    int failed = pool != NULL ? cmocka_run_group_tests_name("tree memory", tests, NULL, NULL) : 1;
    dray_pool_free(pool);
    return failed;
}
