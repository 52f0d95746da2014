/* SPDX-License-Identifier: MIT */
#include "tests/unit/tree_files.h"

#include <pthread.h>

/* Adding one word to an empty builder: what it answers. */
static int try_word(const char *word, struct dray_error *error)
{
    struct dray_tree_builder *builder = dray_tree_builder_new();

    assert_non_null(builder);
    int result = add_word(builder, word, error);
    dray_tree_builder_free(builder);
    return result;
}

/* Finishing a tree of these words: what it answers. */
static int try_finish(const char *const *words, size_t count, struct dray_error *error)
{
    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_tree *tree = NULL;

    assert_non_null(builder);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(add_word(builder, words[i], error), 0);
    int result = dray_tree_builder_finish(builder, &tree, error);
    assert_true((result == 0) == (tree != NULL));
    dray_tree_unref(tree);
    dray_tree_builder_free(builder);
    return result;
}
#define TRY_FINISH(ERROR, ...)                                                                     \
    try_finish((const char *const[]){__VA_ARGS__},                                                 \
               sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), ERROR)

/* ---- Order --------------------------------------------------------------------------------- */

/* The obvious way: compare copies in which `/` is the lowest byte. */
static int slow_compare(const char *a, const char *b)
{
    for (size_t i = 0;; i++) {
        int left = a[i] == '\0' ? -1 : a[i] == '/' ? 0 : (unsigned char)a[i];
        int right = b[i] == '\0' ? -1 : b[i] == '/' ? 0 : (unsigned char)b[i];
        if (left != right)
            return left < right ? -1 : 1;
        if (left == -1)
            return 0;
    }
}

static void random_path(char *path, size_t longest)
{
    static const char bytes[] = "/a-\x01\xff";
    size_t length = (size_t)random() % longest;

    for (size_t i = 0; i < length; i++)
        path[i] = bytes[random() % 5];
    path[length] = '\0';
}

static void paths_compare_as_the_obvious_way_says(void **state)
{
    char a[32];
    char b[32];

    (void)state;
    srandom(1);
    for (int i = 0; i < 200000; i++) {
        random_path(a, sizeof a);
        random_path(b, sizeof b);
        /* Often with a long start in common. */
        if (i % 2)
            memcpy(b, a, strlen(a) < strlen(b) ? strlen(a) : strlen(b));
        assert_int_equal(dray_path_compare(a, strlen(a), b, strlen(b)), slow_compare(a, b));
    }
}

static void a_directory_stands_right_before_what_is_below_it(void **state)
{
    struct dray_tree *tree = make_tree("ab a-b a/x/y b a.txt a/ a/x-y a/x/ a!");

    (void)state;
    assert_paths(tree, "a\na/x\na/x/y\na/x-y\na!\na-b\na.txt\nab\nb\n");
    for (size_t i = 0; i < tree->count; i++) {
        const char *path = tree->entries[i]->path;
        assert_int_equal(dray_tree_is_parent(tree, i), !strcmp(path, "a") || !strcmp(path, "a/x"));
        assert_int_equal(dray_tree_find(tree, path, strlen(path)), (int64_t)i);
    }
    assert_int_equal(dray_tree_find(tree, "a/", 2), -1);
    assert_int_equal(dray_tree_find(tree, "c", 1), -1);
    dray_tree_unref(tree);
}

static int compare_words(const void *a, const void *b)
{
    return slow_compare(*(char *const *)a, *(char *const *)b);
}

static void shuffled_ordered_and_reversed_entries_give_one_tree(void **state)
{
    enum { COUNT = 5000 };
    char *words[COUNT];
    uint8_t digests[3][DRAY_SHA256_BYTES];
    struct dray_error error = {0};

    (void)state;
    srandom(2);
    for (int i = 0; i < COUNT; i++)
        words[i] = dray_format("d%ld/e%ld/f%d", random() % 20, random() % 20, i);
    for (int round = 0; round < 3; round++) {
        struct dray_tree_builder *builder = dray_tree_builder_new();
        struct dray_tree *tree = NULL;
        for (int i = 0; i < COUNT; i++)
            assert_done(add_word(builder, words[round == 2 ? COUNT - 1 - i : i], &error));
        assert_done(dray_tree_builder_finish(builder, &tree, &error));
        for (size_t i = 1; i < tree->count; i++)
            assert_true(slow_compare(tree->entries[i - 1]->path, tree->entries[i]->path) < 0);
        assert_int_equal(tree->listed, COUNT);
        assert_int_equal(dray_tree_digest(tree, digests[round]), 0);
        dray_tree_unref(tree);
        dray_tree_builder_free(builder);
        qsort(words, COUNT, sizeof *words, compare_words);
    }
    assert_memory_equal(digests[0], digests[1], DRAY_SHA256_BYTES);
    assert_memory_equal(digests[0], digests[2], DRAY_SHA256_BYTES);
    for (int i = 0; i < COUNT; i++)
        free(words[i]);
}

/* ---- Adding -------------------------------------------------------------------------------- */

static void paths_that_are_none_are_refused_by_name(void **state)
{
    static const char *const refused[] = {"/etc/passwd", "a//b", "a/../b", "..",  "../x",
                                          "a/..",        ".",    "a/.",    "./a", "a/./b"};
    struct dray_error error = {0};
    char name[4200];

    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_failed(try_word(refused[i], &error), DRAY_INVALID, &error, refused[i]);
    assert_failed(try_word("", &error), DRAY_INVALID, &error, "is empty");

    memset(name, 'n', sizeof name);
    name[256] = '\0';
    assert_failed(try_word(name, &error), DRAY_INVALID, &error, "longer than 255");
    name[255] = '\0';
    assert_done(try_word(name, &error));
    for (size_t i = 0; i < sizeof name - 1; i++)
        name[i] = i % 200 == 199 ? '/' : 'n';
    name[4001] = '\0';
    assert_failed(try_word(name, &error), DRAY_INVALID, &error, "longer than 4000");
    name[3999] = 'n';
    name[4000] = '\0';
    assert_done(try_word(name, &error));

    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_tree_entry entry = {.path = "a\0b", .path_length = 3, .type = DRAY_FILE};
    assert_failed(dray_tree_builder_add(builder, &entry, &error), DRAY_INVALID, &error, "NUL");
    dray_tree_builder_free(builder);
}

static void unusual_names_are_taken_as_they_are(void **state)
{
    static const char *const taken[] = {"a b",  "a\nb", "\\",    "...", "..a",   "a..", "-rf",
                                        "\xff", "\x01", "x/~/*", ":",   "a/...", "~"};
    struct dray_error error = {0};

    (void)state;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        assert_done(try_word(taken[i], &error));
}

static void our_own_name_at_the_top_is_refused(void **state)
{
    struct dray_error error = {0};

    (void)state;
    assert_failed(try_word(".dray", &error), DRAY_CONFLICT, &error, ".dray");
    assert_failed(try_word(".dray/", &error), DRAY_CONFLICT, &error, ".dray");
    assert_failed(try_word(".dray/x/receipt.json", &error), DRAY_CONFLICT, &error, ".dray");
    assert_non_null(strstr(error.hint, "remove or rename"));
    assert_done(try_word("x/.dray", &error));
    assert_done(try_word(".dray2", &error));
    assert_done(try_word(".dra", &error));
}

static void sizes_that_no_file_has_and_links_to_nothing_are_refused(void **state)
{
    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;
    struct dray_tree_entry entry = {.path = "huge", .path_length = 4, .type = DRAY_FILE};

    (void)state;
    entry.bytes = (uint64_t)INT64_MAX + 1;
    assert_failed(dray_tree_builder_add(builder, &entry, &error), DRAY_INVALID, &error, "huge");
    entry.bytes = INT64_MAX;
    entry.offset = 1;
    assert_failed(dray_tree_builder_add(builder, &entry, &error), DRAY_INVALID, &error, "huge");
    entry.type = DRAY_LINK;
    assert_failed(dray_tree_builder_add(builder, &entry, &error), DRAY_INVALID, &error, "target");
    entry.at = "";
    assert_failed(dray_tree_builder_add(builder, &entry, &error), DRAY_INVALID, &error, "target");
    entry.type = 7;
    assert_failed(dray_tree_builder_add(builder, &entry, &error), DRAY_BUG, &error, "type");

    /* Each is a size, their sum is none. */
    entry = (struct dray_tree_entry){
        .path = "abc", .path_length = 1, .type = DRAY_FILE, .bytes = INT64_MAX};
    for (int i = 0; i < 3; i++, entry.path++)
        assert_done(dray_tree_builder_add(builder, &entry, &error));
    assert_failed(dray_tree_builder_finish(builder, &tree, &error), DRAY_INVALID, &error, "sum");
    dray_tree_builder_free(builder);
}

static void the_builder_keeps_copies(void **state)
{
    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;
    char path[] = "a/b trailing";
    char at[] = "else/where";
    uint8_t md5[DRAY_MD5_BYTES] = {1, 2, 3};
    struct dray_tree_entry entry = {.path = path,
                                    .path_length = 3,
                                    .at = at,
                                    .md5 = md5,
                                    .bytes = 5,
                                    .mode = 0100644,
                                    .type = DRAY_FILE,
                                    .flags = DRAY_ENTRY_OURS};

    (void)state;
    assert_done(dray_tree_builder_add(builder, &entry, &error));
    memset(path, 'x', sizeof path);
    memset(at, 'x', sizeof at);
    memset(md5, 9, sizeof md5);
    assert_done(dray_tree_builder_finish(builder, &tree, &error));
    dray_tree_builder_free(builder);
    const struct dray_tree_entry *kept = tree_entry(tree, "a/b");
    assert_string_equal(kept->path, "a/b");
    assert_string_equal(kept->at, "else/where");
    assert_int_equal(kept->md5[2], 3);
    assert_int_equal(kept->mode, 0644);
    assert_int_equal(kept->flags, DRAY_ENTRY_OURS | DRAY_ENTRY_MD5);
    dray_tree_unref(tree);
}

struct adding {
    struct dray_tree_builder *builder;
    int number;
    int failed;
};

static void *add_many(void *arg)
{
    struct adding *adding = arg;
    struct dray_error error = {0};
    char word[32];

    for (int i = 0; i < 3000; i++) {
        (void)snprintf(word, sizeof word, "d%d/f%d-%d", i % 7, i, adding->number);
        adding->failed |= add_word(adding->builder, word, &error);
    }
    return NULL;
}

static void threads_add_side_by_side(void **state)
{
    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;
    struct adding adding[4];
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++) {
        adding[i] = (struct adding){builder, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, &adding[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(adding[i].failed, 0);
    }
    assert_done(dray_tree_builder_finish(builder, &tree, &error));
    assert_int_equal(tree->listed, 12000);
    assert_int_equal(tree->count, 12007);
    dray_tree_unref(tree);
    dray_tree_builder_free(builder);
}

/* ---- Finishing ----------------------------------------------------------------------------- */

static void missing_parents_are_added_and_not_listed(void **state)
{
    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;

    (void)state;
    assert_done(add_word(builder, "a/b/c/d", &error));
    assert_done(add_word(builder, "a/b-x/e", &error));
    assert_done(add_word(builder, "empty/", &error));
    dray_tree_builder_root(builder, 0100750, 77);
    assert_done(dray_tree_builder_finish(builder, &tree, &error));
    assert_paths(tree, "a\na/b\na/b/c\na/b/c/d\na/b-x\na/b-x/e\nempty\n");
    assert_int_equal(tree->listed, 3);
    assert_int_equal(tree->bytes, 7 + 7);
    assert_int_equal(tree->root_mode, 0750);
    assert_int_equal(tree->root_mtime, 77);
    assert_int_equal(tree_entry(tree, "a/b/c")->type, DRAY_DIRECTORY);
    assert_int_equal(tree_entry(tree, "a/b/c")->mode, 0755);
    assert_int_equal(tree_entry(tree, "a/b/c")->mtime, 77);
    dray_tree_unref(tree);

    /* The builder is empty again. */
    assert_done(dray_tree_builder_finish(builder, &tree, &error));
    assert_int_equal(tree->count, 0);
    dray_tree_unref(tree);
    dray_tree_builder_free(builder);
}

static void two_entries_of_one_path_are_a_conflict(void **state)
{
    struct dray_error error = {0};

    (void)state;
    assert_failed(TRY_FINISH(&error, "x", "a/b", "y", "a/b"), DRAY_CONFLICT, &error, "\"a/b\"");
    assert_failed(TRY_FINISH(&error, "a", "a/"), DRAY_CONFLICT, &error,
                  "a file of 1 bytes and a dir");
    assert_failed(TRY_FINISH(&error, "a>b", "a"), DRAY_CONFLICT, &error, "a symbolic link of");
    assert_done(TRY_FINISH(&error, "a/", "a/b", "a/"));
}

static void nothing_can_be_below_a_file_or_a_link(void **state)
{
    struct dray_error error = {0};

    (void)state;
    assert_failed(TRY_FINISH(&error, "a", "a-", "a/b/c"), DRAY_CONFLICT, &error,
                  "\"a/b/c\" cannot be below \"a\", which is a file");
    assert_failed(TRY_FINISH(&error, "d/l>x", "d/l/b"), DRAY_CONFLICT, &error,
                  "\"d/l/b\" cannot be below \"d/l\", which is a symbolic link");
}

static void of_equal_directories_the_first_wins(void **state)
{
    enum { NAMES = 200, ENTRIES = 4000 };
    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;
    int64_t first[NAMES] = {0};
    char name[16];

    (void)state;
    srandom(4);
    for (int64_t i = 1; i <= ENTRIES; i++) {
        long number = random() % NAMES;
        (void)snprintf(name, sizeof name, "d%ld", number);
        struct dray_tree_entry entry = {.path = name,
                                        .path_length = (uint32_t)strlen(name),
                                        .mtime = i,
                                        .type = DRAY_DIRECTORY};
        assert_done(dray_tree_builder_add(builder, &entry, &error));
        if (first[number] == 0)
            first[number] = i;
    }
    assert_done(dray_tree_builder_finish(builder, &tree, &error));
    assert_int_equal(tree->count, NAMES);
    for (int i = 0; i < NAMES; i++) {
        (void)snprintf(name, sizeof name, "d%d", i);
        assert_int_equal(tree_entry(tree, name)->mtime, first[i]);
    }
    dray_tree_unref(tree);
    dray_tree_builder_free(builder);
}

/* ---- Selecting and joining ----------------------------------------------------------------- */

/* The tree of the entries whose paths stand in `kept`, each with a space before and behind. */
static struct dray_tree *select_words(struct dray_tree *tree, const char *kept, int keep_empty)
{
    struct dray_error error = {0};
    struct dray_tree *selected = NULL;
    uint8_t *keep = calloc(tree->count + 1, 1);
    char word[64];

    for (size_t i = 0; i < tree->count; i++) {
        (void)snprintf(word, sizeof word, " %s ", tree->entries[i]->path);
        keep[i] = strstr(kept, word) != NULL;
    }
    assert_done(dray_tree_select(tree, keep, keep_empty, &selected, &error));
    free(keep);
    return selected;
}

static void assert_selected(const char *words, const char *kept, int keep_empty,
                            const char *expected)
{
    struct dray_tree *tree = make_tree(words);
    struct dray_tree *selected = select_words(tree, kept, keep_empty);

    assert_paths(selected, expected);
    dray_tree_unref(selected);
    dray_tree_unref(tree);
}

static void directories_follow_what_is_below_them(void **state)
{
    static const char words[] = "a/b/c a/b/d a/e/ f g/h/i";

    (void)state;
    assert_selected(words, " a/b/c ", 0, "a\na/b\na/b/c\n");
    assert_selected(words, " a a/b g g/h ", 0, "");
    assert_selected(words, " a a/b g/h ", 1, "a\na/b\ng\ng/h\n");
    assert_selected(words, " a/e f ", 0, "a\na/e\nf\n");
    assert_selected(words, " f ", 0, "f\n");
    assert_selected(words, " a/b/c a/b/d a/e f g/h/i ", 0,
                    "a\na/b\na/b/c\na/b/d\na/e\nf\ng\ng/h\ng/h/i\n");
    assert_selected("", "", 1, "");
}

static void a_selection_outlives_the_tree_it_was_made_of(void **state)
{
    struct dray_tree *tree = make_tree("a/b a/c d/e");
    struct dray_tree *one = select_words(tree, " a/b d/e ", 0);
    struct dray_tree *two = select_words(one, " d/e ", 0);

    (void)state;
    /* Entries are shared and not copied. */
    assert_ptr_equal(tree_entry(two, "d/e"), tree_entry(tree, "d/e"));
    assert_int_equal(one->listed, 2);
    assert_int_equal(one->bytes, 6);
    dray_tree_unref(tree);
    dray_tree_unref(one);
    assert_paths(two, "d\nd/e\n");
    assert_int_equal(two->listed, 1);
    assert_int_equal(two->bytes, 3);
    dray_tree_unref(two);
}

static int join_two(struct dray_tree *a, struct dray_tree *b, struct dray_tree **ret_tree,
                    struct dray_error *error)
{
    struct dray_tree *both[] = {a, b};

    return dray_tree_join(both, 2, ret_tree, error);
}

static void joined_trees_share_directories_and_entries(void **state)
{
    struct dray_error error = {0};
    struct dray_tree *tree = make_tree("a/b a/c d");
    struct dray_tree *part = select_words(tree, " a/c d ", 0);
    struct dray_tree *other = make_tree("a/x z/");
    struct dray_tree *joined = NULL;
    struct dray_tree *all = NULL;

    (void)state;
    assert_done(join_two(tree, part, &joined, &error));
    assert_paths(joined, "a\na/b\na/c\nd\n");
    assert_done(join_two(joined, other, &all, &error));
    dray_tree_unref(tree);
    dray_tree_unref(part);
    dray_tree_unref(other);
    dray_tree_unref(joined);
    assert_paths(all, "a\na/b\na/c\na/x\nd\nz\n");
    assert_int_equal(all->listed, 5);
    dray_tree_unref(all);
}

static void joining_different_entries_of_one_path_is_a_conflict(void **state)
{
    struct dray_error error = {0};
    struct dray_tree *one = make_tree("a/b");
    struct dray_tree *two = make_tree("a/b");
    struct dray_tree *joined = NULL;

    (void)state;
    assert_failed(join_two(one, two, &joined, &error), DRAY_CONFLICT, &error, "\"a/b\"");
    assert_null(joined);
    assert_done(join_two(one, one, &joined, &error));
    assert_int_equal(joined->listed, 1);
    dray_tree_unref(joined);
    dray_tree_unref(two);
    two = make_tree("a");
    assert_failed(join_two(one, two, &joined, &error), DRAY_CONFLICT, &error, "\"a\"");
    dray_tree_unref(one);
    dray_tree_unref(two);
}

static void kept_entries_are_passed_on_without_a_copy(void **state)
{
    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_error error = {0};
    struct dray_tree *from = make_tree("a/b a/c d");
    const struct dray_tree_entry *entry = tree_entry(from, "a/c");
    struct dray_tree *tree = NULL;
    int64_t index = dray_tree_find(from, "a/c", 3);

    (void)state;
    assert_done(dray_tree_builder_keep(builder, from, (size_t)index, &error));
    assert_failed(dray_tree_builder_keep(builder, from, from->count, &error), DRAY_BUG, &error, "");
    assert_done(add_word(builder, "new", &error));
    dray_tree_unref(from);
    assert_done(dray_tree_builder_finish(builder, &tree, &error));
    dray_tree_builder_free(builder);
    assert_paths(tree, "a\na/c\nnew\n");
    assert_ptr_equal(tree_entry(tree, "a/c"), entry);
    dray_tree_unref(tree);
}

/* ---- Digest and revision ------------------------------------------------------------------- */

static void digest_of_two(const struct dray_tree_entry *entry, const struct dray_tree_entry *second,
                          char *ret_digest, char *ret_revision)
{
    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;
    uint8_t digest[DRAY_SHA256_BYTES];

    assert_done(dray_tree_builder_add(builder, entry, &error));
    if (second != NULL)
        assert_done(dray_tree_builder_add(builder, second, &error));
    assert_done(dray_tree_builder_finish(builder, &tree, &error));
    assert_int_equal(dray_tree_digest(tree, digest), 0);
    dray_hex(digest, sizeof digest, ret_digest);
    char *revision = dray_tree_revision(tree);
    assert_non_null(revision);
    assert_int_equal(strlen(revision), 64);
    memcpy(ret_revision, revision, 65);
    free(revision);
    dray_tree_unref(tree);
    dray_tree_builder_free(builder);
}

/* Does a change of the entry change the tree's digest and the revision? */
static void assert_seen(const struct dray_tree_entry *before, const struct dray_tree_entry *after,
                        int in_digest, int in_revision)
{
    char digests[2][DRAY_SHA256_HEX];
    char revisions[2][DRAY_SHA256_HEX];

    digest_of_two(before, NULL, digests[0], revisions[0]);
    digest_of_two(after, NULL, digests[1], revisions[1]);
    assert_int_equal(strcmp(digests[0], digests[1]) != 0, in_digest);
    assert_int_equal(strcmp(revisions[0], revisions[1]) != 0, in_revision);
}

static void the_digest_sees_what_an_entry_is_and_not_where_it_lies(void **state)
{
    const uint8_t md5[DRAY_MD5_BYTES] = {5};
    const struct dray_tree_entry file = {
        .path = "ab", .path_length = 2, .bytes = 10, .mtime = 5, .mode = 0644, .type = DRAY_FILE};
    struct dray_tree_entry other = file;

    (void)state;
    other.inode = 1;
    other.device = 2;
    other.ctime = 3;
    other.root = 4;
    other.at = "x";
    other.flags = DRAY_ENTRY_OURS;
    assert_seen(&file, &other, 0, 0);
    other = file;
    other.path = "ac";
    assert_seen(&file, &other, 1, 1);
    other = file;
    other.bytes = 11;
    assert_seen(&file, &other, 1, 1);
    other = file;
    other.mtime = -5;
    assert_seen(&file, &other, 1, 1);
    other = file;
    other.mode = 0600;
    assert_seen(&file, &other, 1, 0);
    other = file;
    other.flags = DRAY_ENTRY_SHA256;
    assert_seen(&file, &other, 1, 0);
    other = file;
    other.md5 = md5;
    assert_seen(&file, &other, 1, 0);
    other = (struct dray_tree_entry){.path = "ab", .path_length = 2, .type = DRAY_DIRECTORY};
    struct dray_tree_entry empty = other;
    empty.type = DRAY_FILE;
    assert_seen(&empty, &other, 1, 1);
}

static void the_digest_sees_link_targets_and_the_revision_too(void **state)
{
    struct dray_tree_entry link = {
        .path = "ab", .path_length = 2, .at = "x", .mtime = 5, .type = DRAY_LINK};
    struct dray_tree_entry other = link;

    (void)state;
    other.at = "y";
    assert_seen(&link, &other, 1, 1);
    other = link;
    other.mtime = 6;
    assert_seen(&link, &other, 1, 0);
}

/* Written without the lengths of texts, these two trees were the same bytes: "x\1" a file of 0
 * bytes, and "x" one of 1 byte, each field a byte further on; what is over at the end begins the
 * next path. */
static void no_two_trees_are_written_alike(void **state)
{
    struct dray_tree_entry one[2] = {{.path = "x\001",
                                      .path_length = 2,
                                      .mtime = INT64_C(1) << 56,
                                      .type = DRAY_FILE,
                                      .flags = DRAY_ENTRY_SHA256},
                                     {.path = "z", .path_length = 1, .type = DRAY_FILE}};
    struct dray_tree_entry two[2] = {
        {.path = "x", .path_length = 1, .bytes = 1, .type = DRAY_FILE, .flags = DRAY_ENTRY_SHA256},
        {.path = "yz", .path_length = 2, .type = DRAY_FILE}};
    char digests[2][DRAY_SHA256_HEX];
    char revision[DRAY_SHA256_HEX];

    (void)state;
    one[0].sha256[31] = 'y';
    two[0].sha256[0] = 1;
    digest_of_two(&one[0], &one[1], digests[0], revision);
    digest_of_two(&two[0], &two[1], digests[1], revision);
    assert_string_not_equal(digests[0], digests[1]);
}

static void the_digest_of_a_tree_of_long_paths_is_the_digest_of_all_of_it(void **state)
{
    /* More than fits into one batch: the last entry counts as the first does. */
    char digests[2][DRAY_SHA256_HEX];

    (void)state;
    for (int round = 0; round < 2; round++) {
        struct dray_tree_builder *builder = dray_tree_builder_new();
        struct dray_error error = {0};
        struct dray_tree *tree = NULL;
        uint8_t digest[DRAY_SHA256_BYTES];
        char word[256];
        for (int i = 0; i < 1000; i++) {
            (void)snprintf(word, sizeof word, "%04d-%0200d", i, i == 999 ? round : 0);
            assert_done(add_word(builder, word, &error));
        }
        assert_done(dray_tree_builder_finish(builder, &tree, &error));
        assert_int_equal(dray_tree_digest(tree, digest), 0);
        dray_hex(digest, sizeof digest, digests[round]);
        dray_tree_unref(tree);
        dray_tree_builder_free(builder);
    }
    assert_string_not_equal(digests[0], digests[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_compare_as_the_obvious_way_says),
        cmocka_unit_test(a_directory_stands_right_before_what_is_below_it),
        cmocka_unit_test(shuffled_ordered_and_reversed_entries_give_one_tree),
        cmocka_unit_test(paths_that_are_none_are_refused_by_name),
        cmocka_unit_test(unusual_names_are_taken_as_they_are),
        cmocka_unit_test(our_own_name_at_the_top_is_refused),
        cmocka_unit_test(sizes_that_no_file_has_and_links_to_nothing_are_refused),
        cmocka_unit_test(the_builder_keeps_copies),
        cmocka_unit_test(threads_add_side_by_side),
        cmocka_unit_test(missing_parents_are_added_and_not_listed),
        cmocka_unit_test(two_entries_of_one_path_are_a_conflict),
        cmocka_unit_test(nothing_can_be_below_a_file_or_a_link),
        cmocka_unit_test(of_equal_directories_the_first_wins),
        cmocka_unit_test(directories_follow_what_is_below_them),
        cmocka_unit_test(a_selection_outlives_the_tree_it_was_made_of),
        cmocka_unit_test(joined_trees_share_directories_and_entries),
        cmocka_unit_test(joining_different_entries_of_one_path_is_a_conflict),
        cmocka_unit_test(kept_entries_are_passed_on_without_a_copy),
        cmocka_unit_test(the_digest_sees_what_an_entry_is_and_not_where_it_lies),
        cmocka_unit_test(the_digest_sees_link_targets_and_the_revision_too),
        cmocka_unit_test(no_two_trees_are_written_alike),
        cmocka_unit_test(the_digest_of_a_tree_of_long_paths_is_the_digest_of_all_of_it),
    };

    return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
