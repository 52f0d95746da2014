/* SPDX-License-Identifier: MIT */
/* YAML text becomes the nodes of the core schema, each with its place, within limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/io.h"
#include "core/conf/node.h"

struct fixture {
    struct dray_diagnostics diagnostics;
    struct dray_document *document;
    const struct dray_node *root;
};

static void parse_bytes(struct fixture *fixture, const char *yaml, size_t length)
{
    struct dray_error error = {0};
    *fixture = (struct fixture){0};
    assert_int_equal(dray_document_parse("f.yaml", yaml, length, &fixture->diagnostics,
                                         &fixture->document, &error),
                     0);
    fixture->root = dray_document_root(fixture->document);
}

static void parse(struct fixture *fixture, const char *yaml)
{
    parse_bytes(fixture, yaml, strlen(yaml));
}

static void parse_good(struct fixture *fixture, const char *yaml)
{
    parse(fixture, yaml);
    if (fixture->diagnostics.count)
        fail_msg("%s: %s", yaml, fixture->diagnostics.items[0].message);
    assert_non_null(fixture->root);
}

static void clear(struct fixture *fixture)
{
    dray_document_free(fixture->document);
    dray_diagnostics_free(&fixture->diagnostics);
}

static void assert_place(struct dray_place place, uint32_t line, uint32_t column, uint32_t width)
{
    assert_int_equal(place.line, line);
    assert_int_equal(place.column, column);
    assert_int_equal(place.width, width);
}

static void test_plain_scalars_mean_what_the_core_schema_says(void **state)
{
    static const struct {
        const char *yaml;
        const char *what;
    } examples[] = {
        {"~", "nothing"},           {"null", "nothing"},
        {"NULL", "nothing"},        {"---", "nothing"},
        {"nUll", "a string"},       {"true", "true/false"},
        {"False", "true/false"},    {"TRUE", "true/false"},
        {"tRue", "a string"},       {"no", "a string"},
        {"on", "a string"},         {"yes", "a string"},
        {"off", "a string"},        {"y", "a string"},
        {"0", "a number"},          {"-12", "a number"},
        {"+12", "a number"},        {"0o17", "a number"},
        {"0x1F", "a number"},       {"0640", "a string"},
        {"007", "a string"},        {"0o18", "a string"},
        {"0xg", "a string"},        {"0b1", "a string"},
        {"-0x1", "a string"},       {"1_000", "a string"},
        {"1:30", "a string"},       {"1.5", "a number"},
        {"1.", "a number"},         {".5", "a number"},
        {"1e3", "a number"},        {"-.inf", "a number"},
        {".NaN", "a number"},       {"1e", "a string"},
        {".", "a string"},          {"-", "a list"},
        {"00.5", "a string"},       {"99999999999999999999", "a number"},
        {"2024-01-01", "a string"}, {"'5'", "a string"},
        {"\"true\"", "a string"},   {"\"\"", "a string"},
        {"|\n 5", "a string"},      {"!!str 5", "a string"},
        {"! 5", "a string"},        {"!!int \"5\"", "a number"},
        {"!!null \"\"", "nothing"}, {"!!str", "a string"},
        {"[]", "a list"},           {"{}", "a mapping"},
        {"!!map {}", "a mapping"},  {"!!seq []", "a list"},
        {"!!float 1", "a number"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        struct fixture fixture;
        parse_good(&fixture, examples[i].yaml);
        if (strcmp(dray_node_what(fixture.root), examples[i].what) != 0)
            fail_msg("%s is %s", examples[i].yaml, dray_node_what(fixture.root));
        assert_int_equal(dray_node_is_null(fixture.root), strcmp(examples[i].what, "nothing") == 0);
        clear(&fixture);
    }
}

static void test_booleans_and_integers_have_values(void **state)
{
    struct fixture fixture;
    int truth = -1;
    int64_t number = 0;
    (void)state;
    parse_good(&fixture, "[true, FALSE, 0x1F, 0o17, -9223372036854775808, 9223372036854775807, "
                         "9223372036854775808, '1', 'true', 1.0, +7]");
    const struct dray_node *const *items = fixture.root->items;
    assert_int_equal(fixture.root->count, 11);
    assert_true(dray_node_bool(items[0], &truth) && truth == 1);
    assert_true(dray_node_bool(items[1], &truth) && truth == 0);
    assert_true(dray_node_int(items[2], &number) && number == 31);
    assert_true(dray_node_int(items[3], &number) && number == 15);
    assert_true(dray_node_int(items[4], &number) && number == INT64_MIN);
    assert_true(dray_node_int(items[5], &number) && number == INT64_MAX);
    assert_true(dray_node_int(items[10], &number) && number == 7);
    for (size_t i = 6; i < 10; i++) {
        assert_false(dray_node_int(items[i], &number));
        assert_false(dray_node_bool(items[i], &truth));
    }
    clear(&fixture);
}

static void test_keys_are_found_in_the_order_of_the_file(void **state)
{
    struct fixture fixture;
    (void)state;
    parse_good(&fixture, "zebra: 1\napple: {x: [a, b]}\n\"mid dle\":\n");
    assert_int_equal(fixture.root->count, 3);
    assert_string_equal(fixture.root->pairs[0].key->text, "zebra");
    assert_string_equal(fixture.root->pairs[1].key->text, "apple");
    assert_string_equal(fixture.root->pairs[2].key->text, "mid dle");
    const struct dray_node *list = dray_node_get(dray_node_get(fixture.root, "apple"), "x");
    assert_int_equal(list->kind, DRAY_NODE_SEQUENCE);
    assert_string_equal(list->items[1]->text, "b");
    assert_true(dray_node_is_null(dray_node_get(fixture.root, "mid dle")));
    assert_null(dray_node_get(fixture.root, "mid"));
    assert_null(dray_node_get(NULL, "x"));
    assert_null(dray_node_get(list, "x"));
    clear(&fixture);
}

static void test_places_count_characters_from_one(void **state)
{
    struct fixture fixture;
    (void)state;
    /* Multi-byte characters, a tab, CR LF and lone CR as line ends; a byte order mark is no
     * character. */
    parse_good(&fixture, "\xef\xbb\xbf\xc3\xa9t\xc3\xa9: \"\xe6\xb5\xb7\xe6\xb4\x8b\" \t# x\r\n"
                         "b:\tc\rd: { e: [f, gh] }\n");
    const struct dray_pair *pairs = fixture.root->pairs;
    assert_place(fixture.root->place, 1, 1, 3);
    assert_place(pairs[0].key->place, 1, 1, 3);
    assert_place(pairs[0].value->place, 1, 6, 4);
    assert_place(pairs[1].key->place, 2, 1, 1);
    assert_place(pairs[1].value->place, 2, 4, 1);
    assert_place(pairs[2].key->place, 3, 1, 1);
    assert_place(pairs[2].value->place, 3, 4, 14);
    const struct dray_node *list = dray_node_get(pairs[2].value, "e");
    assert_place(list->place, 3, 9, 7);
    assert_place(list->items[1]->place, 3, 13, 2);
    clear(&fixture);
}

static void test_a_place_is_the_values_and_not_that_of_its_anchor_or_tag(void **state)
{
    struct fixture fixture;
    (void)state;
    parse_good(&fixture, "a: &x !!str foo\nb: &y # why\n  - 1\nc: &z\nd: !!map\n  e: f\n");
    assert_place(dray_node_get(fixture.root, "a")->place, 1, 13, 3);
    assert_place(dray_node_get(fixture.root, "b")->place, 3, 3, 1);
    assert_int_equal(dray_node_get(fixture.root, "c")->place.line, 4);
    assert_place(dray_node_get(fixture.root, "d")->place, 6, 3, 1);
    clear(&fixture);
}

/* Where the byte of a value stands that `mark` is in. */
static void assert_mark(const struct dray_node *node, const char *mark, uint32_t line,
                        uint32_t column)
{
    const char *at = strstr(node->text, mark);
    assert_non_null(at);
    struct dray_place place = dray_node_place_at(node, (size_t)(at - node->text));
    if (place.line != line || place.column != column)
        fail_msg("%s is at %u:%u", mark, place.line, place.column);
}

static void test_a_place_within_a_value_follows_its_style(void **state)
{
    struct fixture fixture;
    (void)state;
    parse_good(&fixture, "- a*\xc3\xa9!b\n"          /* 1 */
                         "- 'it''s X'\n"             /* 2 */
                         "- \"\\tT\\x41\\u00e9U\\\n" /* 3 */
                         "    V W\n"                 /* 4 */
                         "\n"                        /* 5 */
                         "    Y\"\n"                 /* 6 */
                         "- one\n"                   /* 7 */
                         "  two  three\n"            /* 8 */
                         "- |\n"                     /* 9 */
                         "  lit\n"                   /* 10 */
                         "\n"                        /* 11 */
                         "    eral \xc3\xa9@\n"      /* 12 */
                         "- >\n"                     /* 13 */
                         "  folded @\n"              /* 14 */
                         "  more\n"                  /* 15 */
                         "\n"                        /* 16 */
                         "\n"                        /* 17 */
                         "    deep\n"                /* 18 */
                         "  last\n");                /* 19 */
    const struct dray_node *const *items = fixture.root->items;
    assert_mark(items[0], "*", 1, 4);
    assert_mark(items[0], "!", 1, 6);
    assert_mark(items[1], "'", 2, 6);
    assert_mark(items[1], "X", 2, 10);
    assert_mark(items[2], "\t", 3, 4);
    assert_mark(items[2], "T", 3, 6);
    assert_mark(items[2], "A", 3, 7);
    assert_mark(items[2], "\xc3\xa9", 3, 11);
    assert_mark(items[2], "U", 3, 17);
    assert_mark(items[2], "V", 4, 5);
    assert_mark(items[2], "Y", 6, 5);
    assert_mark(items[3], "two", 8, 3);
    assert_mark(items[3], "three", 8, 8);
    assert_mark(items[4], "lit", 10, 3);
    assert_mark(items[4], "eral", 12, 5);
    assert_mark(items[4], "@", 12, 11);
    assert_mark(items[5], "folded", 14, 3);
    assert_mark(items[5], "@", 14, 10);
    assert_mark(items[5], "more", 15, 3);
    assert_mark(items[5], "deep", 18, 5);
    assert_mark(items[5], "last", 19, 3);
    /* Past the end, or of a node that no file made: the node's own place. */
    assert_place(dray_node_place_at(items[0], 1000), 1, 3, 5);
    struct dray_node made = {.kind = DRAY_NODE_SCALAR, .text = "x", .length = 1};
    made.place.line = 7;
    assert_int_equal(dray_node_place_at(&made, 0).line, 7);
    clear(&fixture);
}

static void test_an_alias_is_the_anchored_node(void **state)
{
    struct fixture fixture;
    (void)state;
    parse_good(&fixture, "a: &x [1, 2]\nb: *x\nc: &x 3\nd: [*x]\n");
    assert_ptr_equal(dray_node_get(fixture.root, "b"), dray_node_get(fixture.root, "a"));
    assert_ptr_equal(dray_node_get(fixture.root, "d")->items[0], dray_node_get(fixture.root, "c"));
    clear(&fixture);
}

/* The one problem of a text, which begins so; then nothing of it may be used. */
static void assert_refused(const char *yaml, size_t length, const char *message)
{
    struct fixture fixture;
    parse_bytes(&fixture, yaml, length);
    assert_null(fixture.root);
    assert_int_equal(fixture.diagnostics.errors, 1);
    if (strncmp(fixture.diagnostics.items[0].message, message, strlen(message)) != 0)
        fail_msg("%s", fixture.diagnostics.items[0].message);
    clear(&fixture);
}

static struct dray_buffer repeat(const char *head, const char *part, size_t times)
{
    struct dray_buffer text = {.cap = (size_t)64 << 20};
    dray_buffer_text(&text, head);
    for (size_t i = 0; i < times; i++)
        dray_buffer_text(&text, part);
    assert_false(text.failed);
    return text;
}

static void assert_repeated_refused(const char *head, const char *part, size_t times,
                                    const char *message)
{
    struct dray_buffer text = repeat(head, part, times);
    assert_refused(text.data, text.length, message);
    dray_buffer_free(&text);
}

static void test_limits_stop_the_reading(void **state)
{
    (void)state;
    assert_repeated_refused("", "[", 65, "lists and mappings are nested more than 64 deep");
    assert_repeated_refused("", "- ", 65, "lists and mappings are nested more than 64 deep");
    assert_repeated_refused("", "- x\n", DRAY_YAML_MAX_NODES, "here the file has more than 200000");
    assert_repeated_refused("a: ", "x", DRAY_YAML_MAX_SCALAR + 1, "this string is longer than");
    assert_repeated_refused("#", "x", DRAY_YAML_MAX_BYTES, "the text is larger than 4 MiB");
}

static void test_limits_allow_what_is_within(void **state)
{
    struct fixture fixture;
    (void)state;
    struct dray_buffer text = repeat("", "- x\n", DRAY_YAML_MAX_NODES - 1);
    parse_good(&fixture, text.data);
    assert_int_equal(fixture.root->count, DRAY_YAML_MAX_NODES - 1);
    clear(&fixture);
    dray_buffer_free(&text);
    text = repeat("", "- ", 64);
    parse_good(&fixture, text.data);
    clear(&fixture);
    dray_buffer_free(&text);
}

static void test_aliases_cannot_multiply(void **state)
{
    struct dray_buffer text = {.cap = (size_t)4 << 20};
    (void)state;
    /* Ten to the ninth values. */
    dray_buffer_text(&text, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 9; i++) {
        dray_buffer_format(&text, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            dray_buffer_format(&text, "*a%d,", i - 1);
        dray_buffer_text(&text, "]\n");
    }
    assert_refused(text.data, text.length, "here the file has more than 200000 values");
    dray_buffer_clear(&text);
    /* Few values of much text. */
    dray_buffer_text(&text, "- &a ");
    for (int i = 0; i < 1 << 20; i++)
        dray_buffer_text(&text, "x");
    for (int i = 0; i < 16; i++)
        dray_buffer_text(&text, "\n- *a");
    assert_refused(text.data, text.length, "here the file has more than 16 MiB of text");
    dray_buffer_clear(&text);
    /* Deep only once the alias is followed. */
    dray_buffer_text(&text, "- &a ");
    for (int i = 0; i < 40; i++)
        dray_buffer_text(&text, "[");
    for (int i = 0; i < 40; i++)
        dray_buffer_text(&text, "]");
    dray_buffer_text(&text, "\n- ");
    for (int i = 0; i < 30; i++)
        dray_buffer_text(&text, "[");
    dray_buffer_text(&text, "*a");
    assert_refused(text.data, text.length, "lists and mappings are nested more than 64 deep");
    dray_buffer_clear(&text);
    for (int i = 0; i <= DRAY_YAML_MAX_ANCHORS; i++)
        dray_buffer_format(&text, "- &a%d x\n", i);
    assert_refused(text.data, text.length, "the file has more than 256 anchors");
    dray_buffer_free(&text);
}

static void test_one_reading_finds_all_problems_that_are_not_of_syntax(void **state)
{
    struct fixture fixture;
    (void)state;
    parse(&fixture, "a: !x 1\na: 2\nb: [*c, \"\\0\"]\n<<: {}\n? [d]\n: e\nf: g\n");
    assert_int_equal(fixture.diagnostics.errors, 6);
    /* What is sound stays: refused keys are left out. */
    assert_int_equal(fixture.root->count, 3);
    assert_string_equal(dray_node_get(fixture.root, "a")->text, "1");
    assert_string_equal(dray_node_get(fixture.root, "f")->text, "g");
    clear(&fixture);
}

static void test_a_document_keeps_its_bytes(void **state)
{
    static const char yaml[] = "\xef\xbb\xbf# remark\r\na: 1";
    struct fixture fixture;
    size_t length = 0;
    (void)state;
    parse_good(&fixture, yaml);
    const char *text = dray_document_text(fixture.document, &length);
    assert_int_equal(length, sizeof(yaml) - 1);
    assert_memory_equal(text, yaml, length);
    clear(&fixture);
}

static void test_a_file_is_read_or_the_reason_is_an_error(void **state)
{
    struct dray_diagnostics diagnostics = {0};
    struct dray_document *document = NULL;
    struct dray_error error = {0};
    char path[64];
    (void)state;
    (void)snprintf(path, sizeof(path), "test_node.%ld.yaml", (long)getpid());
    assert_int_equal(dray_write_file(path, "a: 1\na: 2\n", 10, 0600, &error), 0);
    assert_int_equal(dray_document_load(path, &diagnostics, &document, &error), 0);
    assert_int_equal(diagnostics.errors, 1);
    assert_string_equal(dray_place_file(&diagnostics, diagnostics.items[0].place), path);
    dray_document_freep(&document);
    assert_null(document);
    assert_int_equal(truncate(path, DRAY_YAML_MAX_BYTES + 1), 0);
    assert_int_equal(dray_document_load(path, &diagnostics, &document, &error), DRAY_INVALID);
    assert_int_equal(unlink(path), 0);
    assert_int_not_equal(dray_document_load(path, &diagnostics, &document, &error), 0);
    assert_non_null(strstr(error.message, path));
    assert_null(document);
    assert_int_equal(diagnostics.errors, 1);
    dray_diagnostics_free(&diagnostics);
}

static void test_unknown_keys_are_named_with_what_was_meant(void **state)
{
    static const char *const keys[] = {"version", "name", "steps"};
    struct fixture fixture;
    (void)state;
    parse_good(&fixture, "version: 1\nstpes: []\nzzzzzz: 1\n");
    dray_node_known_keys(fixture.root, "a workflow", keys, 3, &fixture.diagnostics);
    assert_int_equal(fixture.diagnostics.errors, 2);
    const struct dray_diagnostic *items = fixture.diagnostics.items;
    assert_string_equal(items[0].message, "unknown key \"stpes\" in a workflow");
    assert_string_equal(items[0].hint, "did you mean \"steps\"?");
    assert_place(items[0].place, 2, 1, 5);
    assert_string_equal(items[1].hint, "known keys: version, name, steps");
    clear(&fixture);
}

/* Every character that there is, each of which a name of a file may hold. */
static void test_quoted_text_is_read_again(void **state)
{
    struct fixture fixture;

    (void)state;
    for (uint32_t first = 1; first < 0x110000; first += 0x400) {
        struct dray_buffer plain = {.cap = 1u << 20}, quoted = {.cap = 1u << 20};
        for (uint32_t c = first; c < first + 0x400 && c < 0x110000; c++) {
            const char bytes[] = {(char)(c < 0x800     ? 0xc0 | c >> 6
                                         : c < 0x10000 ? 0xe0 | c >> 12
                                                       : 0xf0 | c >> 18),
                                  (char)(0x80 | (c >> 12 & 0x3f)), (char)(0x80 | (c >> 6 & 0x3f)),
                                  (char)(0x80 | (c & 0x3f))};
            if (c >= 0xd800 && c < 0xe000)
                continue;
            if (c < 0x80)
                dray_buffer_add(&plain, &(char){(char)c}, 1);
            else
                dray_buffer_add(&plain, bytes, 1);
            if (c >= 0x10000)
                dray_buffer_add(&plain, bytes + 1, 3);
            else if (c >= 0x800)
                dray_buffer_add(&plain, bytes + 2, 2);
            else if (c >= 0x80)
                dray_buffer_add(&plain, bytes + 3, 1);
        }
        if (!plain.data)
            continue;
        dray_quote_add(&quoted, plain.data);
        assert_null(strchr(quoted.data, '\n'));
        parse_good(&fixture, quoted.data);
        assert_string_equal(fixture.root->text, plain.data);
        clear(&fixture);
        dray_buffer_free(&plain);
        dray_buffer_free(&quoted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_scalars_mean_what_the_core_schema_says),
        cmocka_unit_test(test_booleans_and_integers_have_values),
        cmocka_unit_test(test_keys_are_found_in_the_order_of_the_file),
        cmocka_unit_test(test_places_count_characters_from_one),
        cmocka_unit_test(test_a_place_is_the_values_and_not_that_of_its_anchor_or_tag),
        cmocka_unit_test(test_a_place_within_a_value_follows_its_style),
        cmocka_unit_test(test_an_alias_is_the_anchored_node),
        cmocka_unit_test(test_limits_stop_the_reading),
        cmocka_unit_test(test_limits_allow_what_is_within),
        cmocka_unit_test(test_aliases_cannot_multiply),
        cmocka_unit_test(test_one_reading_finds_all_problems_that_are_not_of_syntax),
        cmocka_unit_test(test_a_document_keeps_its_bytes),
        cmocka_unit_test(test_a_file_is_read_or_the_reason_is_an_error),
        cmocka_unit_test(test_quoted_text_is_read_again),
        cmocka_unit_test(test_unknown_keys_are_named_with_what_was_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
