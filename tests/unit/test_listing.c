/* SPDX-License-Identifier: MIT */
/* A tree out of a list: what other programs print is read as they mean it, and a line that cannot
 * be an entry is refused with its number. */
#include "tests/unit/tree_files.h"

#include "core/tree/listing.h"

static int read_list(const struct files *files, const void *data, size_t length,
                     struct dray_tree **ret_tree, struct dray_listed *ret_listed,
                     struct dray_error *error)
{
    files_write(files, "list", data, length);
    struct dray_listing listing = {.fd = openat(files->fd, "list", O_RDONLY | O_CLOEXEC),
                                   .name = "list.txt"};

    assert_true(listing.fd >= 0);
    int result = dray_listing_read(&listing, ret_tree, ret_listed, error);
    assert_int_equal(close(listing.fd), 0);
    return result;
}

/* The paths of what is listed, and how many entries it says. */
static void assert_listed(const struct files *files, const void *data, size_t length,
                          const char *paths, uint64_t entries, uint64_t bytes)
{
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;
    struct dray_listed listed = {0};

    assert_done(read_list(files, data, length, &tree, &listed, &error));
    assert_paths(tree, paths);
    assert_int_equal(listed.entries, entries);
    assert_int_equal(tree->bytes, bytes);
    dray_tree_unref(tree);
}
#define assert_text(FILES, TEXT, ...) assert_listed(FILES, TEXT, sizeof(TEXT) - 1, __VA_ARGS__)

static void assert_refused(const struct files *files, const void *data, size_t length, int class_,
                           const char *where, const char *says)
{
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;
    struct dray_listed listed = {0};

    assert_failed(read_list(files, data, length, &tree, &listed, &error), class_, &error, says);
    assert_string_equal(error.where, where);
    assert_null(tree);
}
#define assert_no_text(FILES, TEXT, ...) assert_refused(FILES, TEXT, sizeof(TEXT) - 1, __VA_ARGS__)

static void lines_are_read_in_whatever_order(void **state)
{
    assert_text(*state, "7\tb/c\n5\ta\n0\tb.x\n", "a\nb\nb/c\nb.x\n", 3, 12);
}

static void what_find_prints_has_the_root_and_slashes_as_it_was_told(void **state)
{
    assert_text(*state, "4096\t/\n4096\tempty/\n3\tx\n", "empty\nx\n", 2, 3);
    assert_text(*state, "4096\t\n3\tx\n", "x\n", 1, 3);
}

static void what_rclone_prints_has_sizes_below_zero_for_directories(void **state)
{
    assert_text(*state, "-1\td/\n3\td/x\n", "d\nd/x\n", 2, 3);
    assert_no_text(*state, "-1\td\n", DRAY_INVALID, "list.txt:1", "\"-1\" before the tab is no");
}

static void a_line_without_a_tab_is_a_path_of_no_size(void **state)
{
    assert_text(*state, "a\nd/\n4\tb", "a\nb\nd\n", 3, 4);
}

static void what_find_prints_of_itself_begins_with_a_dot(void **state)
{
    assert_text(*state, ".\n./a\n./.b\n", ".b\na\n", 2, 0);
    assert_text(*state, "./\n1\t./a/b\n2\t.\n", "a\na/b\n", 1, 1);
    assert_no_text(*state, "././a\n", DRAY_INVALID, "list.txt:1", "\".\"");
    assert_no_text(*state, ".//a\n", DRAY_INVALID, "list.txt:1", "is absolute");
}

static void carriage_returns_of_other_systems_are_no_part_of_a_path(void **state)
{
    assert_text(*state, "2\ta\r\n3\tb/\r\n", "a\nb\n", 2, 2);
}

static void records_that_end_with_nul_may_hold_anything_else(void **state)
{
    static const char list[] = "2\ta\nb\0003\tc\r\0005\td\te";

    assert_listed(*state, list, sizeof list - 1, "a\nb\nc\r\nd\te\n", 3, 10);
}

static void an_empty_list_is_an_empty_tree(void **state)
{
    assert_listed(*state, "", 0, "", 0, 0);
}

static void a_directory_may_be_listed_again(void **state)
{
    assert_text(*state, "d/\n1\td/x\nd/\n", "d\nd/x\n", 3, 1);
}

static void bad_lines_are_refused_with_their_numbers(void **state)
{
    const struct files *files = *state;

    assert_no_text(files, "1\ta\n1\t/b\n", DRAY_INVALID, "list.txt:2", "is absolute");
    assert_no_text(files, "1\ta/../b\n", DRAY_INVALID, "list.txt:1", "\"..\"");
    assert_no_text(files, "1\ta/./b\n", DRAY_INVALID, "list.txt:1", "\".\"");
    assert_no_text(files, "1\ta//b\n", DRAY_INVALID, "list.txt:1", "empty segment");
    assert_no_text(files, "1\ta\n\n1\tb\n", DRAY_INVALID, "list.txt:2", "is empty");
    assert_no_text(files, "1\ta\n1 KiB\tb\n", DRAY_INVALID, "list.txt:2", "is no size");
    assert_no_text(files, "\ta\n", DRAY_INVALID, "list.txt:1", "is no size");
    assert_no_text(files, "18446744073709551616\ta\n", DRAY_INVALID, "list.txt:1", "is no size");
    assert_no_text(files, "1\ta\n1\t.dray/x\n", DRAY_INVALID, "list.txt:2", "\".dray\"");
}

static void entries_that_clash_are_refused_with_the_line_of_the_second(void **state)
{
    const struct files *files = *state;

    assert_no_text(files, "1\ta\n2\tb\n3\ta\n", DRAY_INVALID, "list.txt:3", "two entries");
    assert_no_text(files, "1\ta/b\n2\tb\n3\ta\n", DRAY_INVALID, "list.txt:1",
                   "\"a/b\" cannot be below \"a\", which is a file");
    assert_no_text(files, "1\ta\n2\ta/\n", DRAY_INVALID, "list.txt:2", "two entries");
}

static void a_line_longer_than_any_path_is_refused(void **state)
{
    size_t length = (size_t)3 << 20;
    char *line = malloc(length);

    assert_non_null(line);
    memset(line, 'a', length);
    memcpy(line, "1\tx\n", 4);
    assert_refused(*state, line, 4100, DRAY_INVALID, "list.txt:2", "longer than 4000 bytes");
    assert_refused(*state, line, length, DRAY_INVALID, "list.txt:2", "longer than any path");
    free(line);
}

static void a_list_longer_than_one_reading_comes_whole(void **state)
{
    struct dray_buffer list = {.cap = (size_t)64 << 20};
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;
    struct dray_listed listed = {0};

    for (unsigned i = 0; i < 200000; i++)
        dray_buffer_format(&list, "%u\tfolder-%u/file-%u\n", i % 7, i * 7919u % 200000 / 100,
                           i * 7919u % 200000);
    assert_int_equal(list.failed, 0);
    assert_done(read_list(*state, list.data, list.length, &tree, &listed, &error));
    assert_int_equal(listed.entries, 200000);
    assert_int_equal(tree->listed, 200000);
    assert_int_equal(tree->count, 202000);
    for (size_t i = 1; i < tree->count; i++)
        assert_true(dray_path_compare(tree->entries[i - 1]->path, tree->entries[i - 1]->path_length,
                                      tree->entries[i]->path, tree->entries[i]->path_length) < 0);
    dray_tree_unref(tree);
    dray_buffer_free(&list);
}

static void the_list_of_a_delivery_gives_its_entries_with_all_that_it_says(void **state)
{
    static const char list[] =
        "{\"path\":\"d\",\"type\":\"directory\",\"mode\":\"0750\",\"mtime\":-5}\n"
        "{\"path\":\"d/caf\\ufffd\",\"path_b64\":\"ZC9jYWbp\",\"type\":\"file\",\"size\":7,"
        "\"mode\":\"0640\",\"mtime\":9,\"sha256\":\"00\",\"unknown\":[1]}\n"
        "{\"path\":\"l\",\"type\":\"link\",\"mode\":\"0777\",\"mtime\":1,\"link\":\"d\"}\n";
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;
    struct dray_listed listed = {0};

    assert_done(read_list(*state, list, sizeof list - 1, &tree, &listed, &error));
    assert_int_equal(listed.entries, 3);
    assert_int_equal(tree->count, 3);
    assert_int_equal(tree_entry(tree, "d")->mode, 0750);
    assert_int_equal(tree_entry(tree, "d")->mtime, -5);
    assert_int_equal(tree_entry(tree, "d/caf\xe9")->bytes, 7);
    assert_int_equal(tree_entry(tree, "d/caf\xe9")->mode, 0640);
    assert_string_equal(tree_entry(tree, "l")->at, "d");
    dray_tree_unref(tree);
}

static void what_is_no_list_of_a_delivery_is_refused(void **state)
{
    const struct files *files = *state;

    assert_no_text(files, "{\"path\":\"a\",\"type\":\"file\",\"size\":1}\n1\tb\n", DRAY_INVALID,
                   "list.txt:2", "no JSON object");
    assert_no_text(files, "{\"path\":\"a\"", DRAY_INVALID, "list.txt:1", "no JSON object");
    assert_no_text(files, "{\"type\":\"file\",\"size\":1}\n", DRAY_INVALID, "list.txt:1",
                   "no text \"path\"");
    assert_no_text(files, "{\"path\":\"a\",\"type\":\"fifo\"}\n", DRAY_INVALID, "list.txt:1",
                   "\"type\"");
    assert_no_text(files, "{\"path\":\"a\",\"type\":\"file\",\"size\":-1}\n", DRAY_INVALID,
                   "list.txt:1", "\"size\"");
    assert_no_text(files, "{\"path\":\"a\",\"type\":\"file\",\"size\":1,\"mode\":\"rw\"}\n",
                   DRAY_INVALID, "list.txt:1", "\"mode\"");
    assert_no_text(files, "{\"path\":\"a\",\"path_b64\":\"?\",\"type\":\"file\",\"size\":1}\n",
                   DRAY_INVALID, "list.txt:1", "base64");
    assert_no_text(files, "{\"path\":\"a\",\"type\":\"link\"}\n", DRAY_INVALID, "list.txt:1",
                   "no text \"link\"");
    assert_no_text(files, "{\"path\":\"/a\",\"type\":\"directory\"}\n", DRAY_INVALID, "list.txt:1",
                   "is absolute");
}

static int stop(void *arg, uint64_t entries)
{
    unsigned *calls = arg;

    (void)entries;
    return ++*calls > 1;
}

static void a_list_that_does_not_come_can_be_given_up(void **state)
{
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;
    struct dray_listed listed = {0};
    unsigned calls = 0;
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct dray_listing listing = {ends[0], "list.txt", stop, &calls};
    assert_failed(dray_listing_read(&listing, &tree, &listed, &error), DRAY_CANCELLED, &error,
                  "cancelled");
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        files_test(lines_are_read_in_whatever_order),
        files_test(what_find_prints_has_the_root_and_slashes_as_it_was_told),
        files_test(what_rclone_prints_has_sizes_below_zero_for_directories),
        files_test(a_line_without_a_tab_is_a_path_of_no_size),
        files_test(what_find_prints_of_itself_begins_with_a_dot),
        files_test(carriage_returns_of_other_systems_are_no_part_of_a_path),
        files_test(records_that_end_with_nul_may_hold_anything_else),
        files_test(an_empty_list_is_an_empty_tree),
        files_test(a_directory_may_be_listed_again),
        files_test(bad_lines_are_refused_with_their_numbers),
        files_test(entries_that_clash_are_refused_with_the_line_of_the_second),
        files_test(a_line_longer_than_any_path_is_refused),
        files_test(a_list_longer_than_one_reading_comes_whole),
        files_test(the_list_of_a_delivery_gives_its_entries_with_all_that_it_says),
        files_test(what_is_no_list_of_a_delivery_is_refused),
        files_test(a_list_that_does_not_come_can_be_given_up),
    };

    return cmocka_run_group_tests_name("listing", tests, NULL, NULL);
}
