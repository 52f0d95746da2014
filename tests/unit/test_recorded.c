/* SPDX-License-Identifier: MIT */
/* What is recorded of files, from anywhere, against a tree: all that is missing, changed or extra
 * is named, and digests end up where whoever reads the bytes compares them. */
#include "tests/unit/tree_files.h"

#include "core/tree/recorded.h"

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define MD5 "900150983cd24fb0d6963f7d28e17f72"

static void assert_not_read(const char *text, const char *where, const char *says)
{
    struct dray_recorded_list list = {0};
    struct dray_error error = {0};

    assert_failed(dray_recorded_read("c.jsonl", text, strlen(text), &list, &error), DRAY_INVALID,
                  &error, says);
    assert_string_equal(error.where, where);
    dray_recorded_free(&list);
}

static void json_lines_are_read(void **state)
{
    static const char text[] =
        "{\"path\":\"a\",\"size\":3,\"sha256\":\"" ABC "\",\"md5\":null,\"more\":1}\n"
        "\n"
        "{\"path\":\"?\",\"path_b64\":\"Yv8=\",\"md5\":\"" MD5 "\"}\n"
        "{\"path\":\"c\"}";
    struct dray_recorded_list list = {0};
    struct dray_error error = {0};

    (void)state;
    assert_done(dray_recorded_read("c.jsonl", text, strlen(text), &list, &error));
    assert_int_equal(list.count, 3);
    assert_string_equal(list.items[0].path, "a");
    assert_int_equal(list.items[0].has, DRAY_RECORDED_BYTES | DRAY_RECORDED_SHA256);
    assert_int_equal(list.items[0].bytes, 3);
    assert_int_equal(list.items[0].sha256[0], 0xba);
    assert_string_equal(list.items[1].path, "b\xff");
    assert_int_equal(list.items[1].has, DRAY_RECORDED_MD5);
    assert_int_equal(list.items[1].md5[0], 0x90);
    assert_int_equal(list.items[2].has, 0);
    dray_recorded_free(&list);
}

static void other_lines_are_refused_with_their_place(void **state)
{
    (void)state;
    assert_not_read("{\"path\":\"a\"}\n[]\n", "c.jsonl:2", "no JSON object");
    assert_not_read("{\"path\":\n", "c.jsonl:1", "no JSON object: ");
    assert_not_read("{\"path\":7}", "c.jsonl:1", "no \"path\"");
    assert_not_read("{\"size\":7}", "c.jsonl:1", "no \"path\"");
    assert_not_read("{\"path\":\"a\",\"path_b64\":\"?\"}", "c.jsonl:1", "no base64");
    assert_not_read("{\"path\":\"a\",\"size\":-1}", "c.jsonl:1", "\"size\"");
    assert_not_read("{\"path\":\"a\",\"size\":\"1\"}", "c.jsonl:1", "\"size\"");
    assert_not_read("{\"path\":\"a\",\"sha256\":\"" MD5 "\"}", "c.jsonl:1", "64 hexadecimal");
    assert_not_read("{\"path\":\"a\",\"md5\":\"z00150983cd24fb0d6963f7d28e17f72\"}", "c.jsonl:1",
                    "32 hexadecimal");
    assert_not_read("{\"path\":\"../a\"}", "c.jsonl:1", "the segment \"..\"");
    assert_not_read("{\"path\":\"/a\"}", "c.jsonl:1", "is absolute");
    assert_not_read("{\"path\":\"a\\u0000b\"}", "c.jsonl:1", "NUL");
}

/* ---- Comparing ---- */

struct compared {
    struct dray_tree *tree; /* with what is recorded, or NULL */
    struct dray_error error;
    int result;
};

static void add(struct dray_tree_builder *builder, const char *path, uint8_t type, uint32_t group)
{
    struct dray_tree_entry entry = {.path = path,
                                    .path_length = (uint32_t)strlen(path),
                                    .bytes = type == DRAY_FILE ? 3 : 0,
                                    .at = type == DRAY_LINK ? "a" : NULL,
                                    .link_group = group,
                                    .type = type};
    struct dray_error error = {0};

    assert_done(dray_tree_builder_add(builder, &entry, &error));
}

/* Files a, b, d/c and the hard links h1 and h2, of 3 bytes each, and the link l. */
static struct dray_tree *made_tree(void)
{
    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;

    assert_non_null(builder);
    add(builder, "a", DRAY_FILE, 0);
    add(builder, "b", DRAY_FILE, 0);
    add(builder, "d/c", DRAY_FILE, 0);
    add(builder, "h1", DRAY_FILE, 7);
    add(builder, "h2", DRAY_FILE, 7);
    add(builder, "l", DRAY_LINK, 0);
    assert_done(dray_tree_builder_finish(builder, &tree, &error));
    dray_tree_builder_free(builder);
    return tree;
}

static void compare_text(const char *text, int pass_all, struct compared *ret)
{
    struct dray_recorded_list list = {0};
    struct dray_differences differences = DRAY_DIFFERENCES;
    struct dray_tree *tree = made_tree();
    uint8_t passed[16];
    struct dray_error error = {0};

    *ret = (struct compared){0};
    memset(passed, pass_all, sizeof passed);
    assert_done(dray_recorded_read("c", text, strlen(text), &list, &error));
    ret->result = dray_recorded_compare(tree, &list, passed, &differences, &ret->tree, &ret->error);
    if (ret->result == 0)
        ret->result = dray_differences_judge(&differences, "c says", &ret->error);
    dray_differences_free(&differences);
    dray_recorded_free(&list);
    dray_tree_unref(tree);
}

static void assert_differs(const char *text, int pass_all, const char *says)
{
    struct compared compared;

    compare_text(text, pass_all, &compared);
    assert_failed(compared.result, DRAY_INTEGRITY, &compared.error, says);
    assert_int_equal(compared.error.side, DRAY_SIDE_SOURCE);
    assert_true(compared.error.hint[0] != '\0');
    dray_tree_unref(compared.tree);
}

#define REST "{\"path\":\"d/c\"}\n{\"path\":\"h1\"}\n{\"path\":\"h2\"}\n"

static void what_is_as_recorded_gets_its_digests(void **state)
{
    struct compared compared;

    (void)state;
    compare_text("{\"path\":\"a\",\"size\":3,\"sha256\":\"" ABC "\"}\n"
                 "{\"path\":\"a\",\"md5\":\"" MD5 "\"}\n{\"path\":\"b\"}\n" REST,
                 0, &compared);
    assert_int_equal(compared.result, 0);
    const struct dray_tree_entry *a = tree_entry(compared.tree, "a");
    assert_int_equal(a->flags, DRAY_ENTRY_SHA256 | DRAY_ENTRY_MD5);
    assert_int_equal(a->sha256[0], 0xba);
    assert_int_equal(a->md5[0], 0x90);
    assert_int_equal(tree_entry(compared.tree, "b")->flags, 0);
    assert_paths(compared.tree, "a\nb\nd\nd/c\nh1\nh2\nl\n");
    dray_tree_unref(compared.tree);
}

static void every_difference_is_named_at_once(void **state)
{
    (void)state;
    assert_differs("{\"path\":\"z\"}\n{\"path\":\"y\"}\n{\"path\":\"z\"}\n"
                   "{\"path\":\"a\",\"size\":4}\n{\"path\":\"d\"}\n{\"path\":\"l\"}\n",
                   0,
                   "the dataset is not what c says: missing: y, z; "
                   "changed: a (3 bytes, recorded are 4), d (a directory), l (a symbolic link); "
                   "not listed: b, d/c, h1, h2");
    assert_differs("{\"path\":\"y\"}\n", 1, "the dataset is not what c says: missing: y");
}

static void what_is_passed_need_not_be_listed(void **state)
{
    struct compared compared;

    (void)state;
    compare_text("{\"path\":\"a\"}\n", 1, &compared);
    assert_int_equal(compared.result, 0);
    dray_tree_unref(compared.tree);
}

static void names_are_bounded_and_the_others_counted(void **state)
{
    struct dray_differences differences = DRAY_DIFFERENCES;
    struct dray_error error = {0};
    char name[300], more[] = "and 989 more";

    (void)state;
    memset(name, 'n', sizeof name);
    for (int i = 0; i < 999; i++) {
        char path[16];
        dray_names_add(&differences.missing, path, (size_t)snprintf(path, sizeof path, "f%d", i),
                       NULL);
        dray_names_add(&differences.changed, name, sizeof name, "why");
        dray_names_add(&differences.extra, name, 60, NULL);
    }
    dray_differences_fact(&differences, "one %d", 1);
    dray_differences_fact(&differences, "two");
    assert_failed(dray_differences_judge(&differences, "m says", &error), DRAY_INTEGRITY, &error,
                  more);
    assert_non_null(strstr(error.message, "says: one 1; two; missing: f0, f1,"));
    assert_non_null(strstr(error.message, "f9 and 989 more; changed: nnnn"));
    assert_non_null(strstr(error.message, "nnn... (why) and 998 more; not listed: nnn"));
    assert_non_null(strstr(error.message, "nnn and 996 more"));
    assert_null(strstr(error.message, "f10"));
    dray_differences_free(&differences);
}

static void records_that_contradict_each_other_are_told(void **state)
{
    (void)state;
    assert_differs("{\"path\":\"a\",\"md5\":\"" MD5 "\"}\n"
                   "{\"path\":\"a\",\"md5\":\"00000000000000000000000000000000\"}\n",
                   1, "what is recorded of a contradicts itself");
    assert_differs("{\"path\":\"a\",\"size\":3}\n{\"path\":\"a\",\"size\":4}\n", 1, "of a ");
    assert_differs("{\"path\":\"h1\",\"md5\":\"" MD5 "\"}\n"
                   "{\"path\":\"h2\",\"md5\":\"00000000000000000000000000000000\"}\n",
                   1, "a hard link");
}

/* Only one of them may be read. */
static void hard_links_share_what_is_recorded_of_one(void **state)
{
    struct compared compared;

    (void)state;
    compare_text("{\"path\":\"h2\",\"sha256\":\"" ABC "\"}\n", 1, &compared);
    assert_int_equal(compared.result, 0);
    assert_int_equal(tree_entry(compared.tree, "h1")->flags, DRAY_ENTRY_SHA256);
    assert_int_equal(tree_entry(compared.tree, "h1")->sha256[0], 0xba);
    assert_int_equal(tree_entry(compared.tree, "h1")->link_group, 7);
    dray_tree_unref(compared.tree);
    /* And a link of one that is listed is still not listed. */
    assert_differs("{\"path\":\"a\"}\n{\"path\":\"b\"}\n{\"path\":\"d/c\"}\n"
                   "{\"path\":\"h2\",\"sha256\":\"" ABC "\"}\n",
                   0, "not listed: h1");
}

static void count_told(void *arg, const char *path, size_t length, const char *why)
{
    size_t *told = arg;

    assert_int_equal(strlen(path), length);
    assert_null(why);
    ++*told;
}

/* A message has room for some of them only. */
static void whoever_asks_hears_of_every_difference(void **state)
{
    struct dray_recorded_list list = {0};
    struct dray_differences differences = DRAY_DIFFERENCES;
    struct dray_tree *tree = made_tree(), *recorded = NULL;
    struct dray_error error = {0};
    uint8_t passed[16] = {0};
    size_t missing = 0, extra = 0;

    (void)state;
    for (int i = 0; i < 100; i++) {
        char line[32];
        int length = snprintf(line, sizeof line, "{\"path\":\"x%d\"}", i);
        assert_done(dray_recorded_read("c", line, (size_t)length, &list, &error));
    }
    differences.missing.tell = differences.extra.tell = count_told;
    differences.missing.arg = &missing;
    differences.extra.arg = &extra;
    assert_done(dray_recorded_compare(tree, &list, passed, &differences, &recorded, &error));
    assert_int_equal(missing, 100);
    assert_int_equal(extra, 5);
    assert_true(differences.missing.shown < 100);
    dray_differences_free(&differences);
    dray_recorded_free(&list);
    dray_tree_unref(recorded);
    dray_tree_unref(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_lines_are_read),
        cmocka_unit_test(other_lines_are_refused_with_their_place),
        cmocka_unit_test(what_is_as_recorded_gets_its_digests),
        cmocka_unit_test(every_difference_is_named_at_once),
        cmocka_unit_test(what_is_passed_need_not_be_listed),
        cmocka_unit_test(names_are_bounded_and_the_others_counted),
        cmocka_unit_test(records_that_contradict_each_other_are_told),
        cmocka_unit_test(hard_links_share_what_is_recorded_of_one),
        cmocka_unit_test(whoever_asks_hears_of_every_difference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
