/* SPDX-License-Identifier: MIT */
/* Trees here are words: "a/" is a directory, "l>t" a link l to t, anything else a file. */
#include "tests/unit/tree_files.h"

static int try_links(const char *words, enum dray_symlinks what, struct dray_tree **ret_tree,
                     struct dray_error *error)
{
    struct dray_tree *tree = make_tree(words);
    int result = dray_tree_symlinks(tree, what, ret_tree, error);

    dray_tree_unref(tree);
    return result;
}

static void assert_links(const char *words, enum dray_symlinks what, const char *expected)
{
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;

    assert_done(try_links(words, what, &tree, &error));
    assert_paths(tree, expected);
    dray_tree_unref(tree);
}

static void assert_no_links(const char *words, enum dray_symlinks what, const char *says)
{
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;

    assert_failed(try_links(words, what, &tree, &error), DRAY_PERMANENT, &error, says);
    assert_null(tree);
    assert_non_null(strstr(error.hint, "symlinks: skip"));
}

static void links_within_the_tree_are_kept(void **state)
{
    (void)state;
    assert_links("a/b a/l>b a/m>../c c", DRAY_SYMLINKS_KEEP, "a\na/b\na/l\na/m\nc\n");
    assert_links("a/b/l>../../x/y", DRAY_SYMLINKS_KEEP, "a\na/b\na/b/l\n");
    assert_links("a/l>../a/./../a/b a/b", DRAY_SYMLINKS_KEEP, "a\na/b\na/l\n");
    assert_links("a/l>..", DRAY_SYMLINKS_KEEP, "a\na/l\n");
    assert_links("l>. m>./l//", DRAY_SYMLINKS_KEEP, "l\nm\n");
    /* A circle leaves nothing. */
    assert_links("l>m m>l", DRAY_SYMLINKS_KEEP, "l\nm\n");
    assert_links("l>m/../m m>l/../l", DRAY_SYMLINKS_KEEP, "l\nm\n");
    assert_links("a b/", DRAY_SYMLINKS_KEEP, "a\nb\n");
    assert_links("l>...", DRAY_SYMLINKS_KEEP, "l\n");
}

static void links_out_of_the_tree_are_never_kept_nor_copied(void **state)
{
    static const char *const leaving[] = {
        "l>/etc/passwd",
        "l>/",
        "l>..",
        "a/l>../../x",
        "a/l>b/../../../x",
        "a/l>./.././../x",
        "a/l>../a/../../x",
        /* By its words within, but d/e/up is the root, and `..` of that is outside. */
        "d/e/up>../.. x>d/e/up/../y",
        "d/e/up>../.. d/f>e/up d/g>f/../y",
    };

    (void)state;
    for (size_t i = 0; i < sizeof leaving / sizeof *leaving; i++) {
        assert_no_links(leaving[i], DRAY_SYMLINKS_KEEP, "leaves the dataset");
        assert_no_links(leaving[i], DRAY_SYMLINKS_COPY, "leaves the dataset");
    }
}

static void links_that_leave_are_listed_up_to_five(void **state)
{
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;

    (void)state;
    assert_failed(
        try_links("a>/1 b>/2 c>/3 d>ok e>/5 f>/6 g>/7 h>/8", DRAY_SYMLINKS_KEEP, &tree, &error),
        DRAY_PERMANENT, &error, "7 symbolic links");
    assert_non_null(strstr(error.message, "\"a\" -> \"/1\""));
    assert_non_null(strstr(error.message, "\"f\" -> \"/6\""));
    assert_null(strstr(error.message, "\"g\""));
    assert_null(strstr(error.message, "\"d\""));
    assert_non_null(strstr(error.message, "and 2 more"));
    assert_int_equal(error.side, DRAY_SIDE_SOURCE);
}

static void skipped_links_go_with_the_directories_they_filled(void **state)
{
    (void)state;
    assert_links("a/b a/l>/x c/m>n d/ k>j", DRAY_SYMLINKS_SKIP, "a\na/b\nd\n");
}

static void fail_names_every_link(void **state)
{
    (void)state;
    assert_no_links("a/b a/l>b", DRAY_SYMLINKS_FAIL, "\"a/l\" -> \"b\"");
    assert_links("a/b", DRAY_SYMLINKS_FAIL, "a\na/b\n");
}

static void copies_have_the_path_of_the_link_and_the_bytes_of_the_file(void **state)
{
    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;
    struct dray_tree *copied = NULL;
    struct dray_tree_entry file = {.path = "d/file",
                                   .path_length = 6,
                                   .bytes = 12,
                                   .offset = 3,
                                   .mtime = 4,
                                   .ctime = 5,
                                   .device = 6,
                                   .inode = 7,
                                   .root = 8,
                                   .link_group = 9,
                                   .mode = 0640,
                                   .type = DRAY_FILE,
                                   .flags = DRAY_ENTRY_SHA256,
                                   .sha256 = {10}};

    (void)state;
    assert_done(dray_tree_builder_add(builder, &file, &error));
    assert_done(add_word(builder, "one>two", &error));
    assert_done(add_word(builder, "two>e/up/d/file", &error));
    assert_done(add_word(builder, "e/up>../", &error));
    assert_done(dray_tree_builder_finish(builder, &tree, &error));
    /* e/up leads to a directory. */
    assert_failed(dray_tree_symlinks(tree, DRAY_SYMLINKS_COPY, &copied, &error), DRAY_PERMANENT,
                  &error, "1 symbolic link cannot");
    dray_tree_unref(tree);

    assert_done(dray_tree_builder_add(builder, &file, &error));
    assert_done(add_word(builder, "one>two", &error));
    assert_done(add_word(builder, "two>e/../d/./file", &error));
    assert_done(add_word(builder, "e/", &error));
    assert_done(dray_tree_builder_finish(builder, &tree, &error));
    assert_done(dray_tree_symlinks(tree, DRAY_SYMLINKS_COPY, &copied, &error));
    dray_tree_unref(tree);
    dray_tree_builder_free(builder);
    const struct dray_tree_entry *copy = tree_entry(copied, "one");
    assert_int_equal(copy->type, DRAY_FILE);
    assert_string_equal(copy->at, "d/file");
    assert_int_equal(copy->link_group, 0);
    assert_int_equal(copy->bytes, 12);
    assert_int_equal(copy->offset, 3);
    assert_int_equal(copy->inode, 7);
    assert_int_equal(copy->root, 8);
    assert_int_equal(copy->mode, 0640);
    assert_int_equal(copy->flags, DRAY_ENTRY_SHA256);
    assert_int_equal(copy->sha256[0], 10);
    assert_null(tree_entry(copied, "d/file")->at);
    assert_int_equal(copied->bytes, 36);
    dray_tree_unref(copied);
}

static void what_is_no_file_cannot_be_copied(void **state)
{
    (void)state;
    assert_no_links("d/f l>d", DRAY_SYMLINKS_COPY, "leads to a directory");
    assert_no_links("d/f d/l>..", DRAY_SYMLINKS_COPY, "leads to a directory");
    assert_no_links("d/f l>.", DRAY_SYMLINKS_COPY, "leads to a directory");
    assert_no_links("d/f d/l>.", DRAY_SYMLINKS_COPY, "leads to a directory");
    assert_no_links("d/f l>d/g", DRAY_SYMLINKS_COPY, "leads nowhere");
    assert_no_links("d/f l>d/f/g", DRAY_SYMLINKS_COPY, "leads nowhere");
    assert_no_links("d/f l>d/f/../f", DRAY_SYMLINKS_COPY, "leads nowhere");
    assert_no_links("d/f l>no/../d/f", DRAY_SYMLINKS_COPY, "leads nowhere");
    assert_no_links("l>m m>l", DRAY_SYMLINKS_COPY, "leads in a circle");
    assert_no_links("l>l/x", DRAY_SYMLINKS_COPY, "leads in a circle");
}

/* Each link doubles the way: without a bound it would be 2^60 steps. */
static void a_bomb_of_links_is_answered_at_once(void **state)
{
    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;
    struct dray_tree *copied = NULL;
    char word[64];

    (void)state;
    for (int i = 0; i < 60; i++) {
        (void)snprintf(word, sizeof word, "l%d>l%d/../l%d", i, i + 1, i + 1);
        assert_done(add_word(builder, word, &error));
    }
    assert_done(dray_tree_builder_finish(builder, &tree, &error));
    assert_failed(dray_tree_symlinks(tree, DRAY_SYMLINKS_COPY, &copied, &error), DRAY_PERMANENT,
                  &error, "60 symbolic links");
    dray_tree_unref(tree);
    dray_tree_builder_free(builder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links_within_the_tree_are_kept),
        cmocka_unit_test(links_out_of_the_tree_are_never_kept_nor_copied),
        cmocka_unit_test(links_that_leave_are_listed_up_to_five),
        cmocka_unit_test(skipped_links_go_with_the_directories_they_filled),
        cmocka_unit_test(fail_names_every_link),
        cmocka_unit_test(copies_have_the_path_of_the_link_and_the_bytes_of_the_file),
        cmocka_unit_test(what_is_no_file_cannot_be_copied),
        cmocka_unit_test(a_bomb_of_links_is_answered_at_once),
    };

    return cmocka_run_group_tests_name("symlinks", tests, NULL, NULL);
}
