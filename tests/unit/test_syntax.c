/* SPDX-License-Identifier: MIT */
/* Each mistake that people make in YAML is answered with these very lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/conf/node.h"

struct example {
    const char *yaml;
    const char *report;
};

static const struct example patterns_that_yaml_eats[] = {
    {"a: [*.nc]",
     "f.yaml:1:5: error: this value must be quoted: YAML gives \"*\" a meaning of its own here\n"
     "    1 | a: [*.nc]\n"
     "      |     ^~~~ quote patterns: \"*.nc\"\n"},
    {"a: [!x]",
     "f.yaml:1:5: error: this value must be quoted: YAML gives \"!\" a meaning of its own here\n"
     "    1 | a: [!x]\n"
     "      |     ^~ quote patterns: \"!x\"\n"},
    {"a: [!*.nc, b]", "f.yaml:1:5: error: \"!\" begins a YAML tag, and \"!*.nc\" is not one of the "
                      "core schema's (!!str, !!int, \342\200\246)\n"
                      "    1 | a: [!*.nc, b]\n"
                      "      |     ^~~~~ quote patterns: \"!*.nc\"\n"},
    {"- *.nc",
     "f.yaml:1:3: error: this value must be quoted: YAML gives \"*\" a meaning of its own here\n"
     "    1 | - *.nc\n"
     "      |   ^~~~ quote patterns: \"*.nc\"\n"},
    {"- *x",
     "f.yaml:1:3: error: \"*\" begins a YAML alias, and nothing is anchored as \"&x\" above\n"
     "    1 | - *x\n"
     "      |   ^~ quote patterns: \"*x\"\n"},
    {"- {a,b}.nc",
     "f.yaml:1:3: error: this value must be quoted: YAML gives \"{\" a meaning of its own here\n"
     "    1 | - {a,b}.nc\n"
     "      |   ^~~~~~~~ quote patterns: \"{a,b}.nc\"\n"},
    {"- [ab]*.nc", "f.yaml:1:3: error: this value must be quoted: YAML gives \"[\" and \"*\" a "
                   "meaning of their own here\n"
                   "    1 | - [ab]*.nc\n"
                   "      |   ^~~~~~~~ quote patterns: \"[ab]*.nc\"\n"},
    {"- [ab]x.nc",
     "f.yaml:1:3: error: this value must be quoted: YAML gives \"[\" a meaning of its own here\n"
     "    1 | - [ab]x.nc\n"
     "      |   ^~~~~~~~ quote patterns: \"[ab]x.nc\"\n"},
    {"- [!x]*.nc", "f.yaml:1:3: error: this value must be quoted: YAML gives \"[\" and \"!\" a "
                   "meaning of their own here\n"
                   "    1 | - [!x]*.nc\n"
                   "      |   ^~~~~~~~ quote patterns: \"[!x]*.nc\"\n"},
    {"a: [[ab]*.nc]", "f.yaml:1:5: error: this value must be quoted: YAML gives \"[\" and \"*\" a "
                      "meaning of their own here\n"
                      "    1 | a: [[ab]*.nc]\n"
                      "      |     ^~~~~~~~ quote patterns: \"[ab]*.nc\"\n"},
    {"a: [ [ab]x.nc ]",
     "f.yaml:1:6: error: this value must be quoted: YAML gives \"[\" a meaning of its own here\n"
     "    1 | a: [ [ab]x.nc ]\n"
     "      |      ^~~~~~~~ quote patterns: \"[ab]x.nc\"\n"},
    {"a: [data/[0-9]*.nc, b]",
     "f.yaml:1:5: error: this value must be quoted: YAML gives \"*\" a meaning of its own here\n"
     "    1 | a: [data/[0-9]*.nc, b]\n"
     "      |     ^~~~~~~~~~~~~~ quote patterns: \"data/[0-9]*.nc\"\n"},
    {"a: **/x # all",
     "f.yaml:1:4: error: this value must be quoted: YAML gives \"*\" a meaning of its own here\n"
     "    1 | a: **/x # all\n"
     "      |    ^~~~ quote patterns: \"**/x\"\n"},
    {"a: [\"*.nc\", *.csv]",
     "f.yaml:1:13: error: this value must be quoted: YAML gives \"*\" a meaning of its own here\n"
     "    1 | a: [\"*.nc\", *.csv]\n"
     "      |             ^~~~~ quote patterns: \"*.csv\"\n"},
    {"a: { include: [*.nc], b: c }",
     "f.yaml:1:16: error: this value must be quoted: YAML gives \"*\" a meaning of its own here\n"
     "    1 | a: { include: [*.nc], b: c }\n"
     "      |                ^~~~ quote patterns: \"*.nc\"\n"},
    {"a:\n"
     "  [\n"
     "    b,\n"
     "    [ab]*.nc\n"
     "  ]\n",
     "f.yaml:4:5: error: this value must be quoted: YAML gives \"[\" and \"*\" a meaning of their "
     "own here\n"
     "    4 |     [ab]*.nc\n"
     "      |     ^~~~~~~~ quote patterns: \"[ab]*.nc\"\n"},
    {"a: [\n"
     " *.nc, b]",
     "f.yaml:2:2: error: this value must be quoted: YAML gives \"*\" a meaning of its own here\n"
     "    2 |  *.nc, b]\n"
     "      |  ^~~~ quote patterns: \"*.nc\"\n"},
    {"- [a\\b]*", "f.yaml:1:3: error: this value must be quoted: YAML gives \"[\" and \"*\" a "
                  "meaning of their own here\n"
                  "    1 | - [a\\b]*\n"
                  "      |   ^~~~~~ quote patterns: '[a\\b]*'\n"},
    {"- [a\"b]*", "f.yaml:1:3: error: this value must be quoted: YAML gives \"[\" and \"*\" a "
                  "meaning of their own here\n"
                  "    1 | - [a\"b]*\n"
                  "      |   ^~~~~~ quote patterns: '[a\"b]*'\n"},
};

static const struct example values_that_need_quotes[] = {
    {"a: {x: /a/${lab}/b}",
     "f.yaml:1:8: error: this value must be quoted: YAML gives \"{\" a meaning of its own here\n"
     "    1 | a: {x: /a/${lab}/b}\n"
     "      |        ^~~~~~~~~~~ quote it: \"/a/${lab}/b\"\n"},
    {"a: @x",
     "f.yaml:1:4: error: this value must be quoted: YAML gives \"@\" a meaning of its own here\n"
     "    1 | a: @x\n"
     "      |    ^~ quote it: \"@x\"\n"},
    {"a: `x",
     "f.yaml:1:4: error: this value must be quoted: YAML gives \"`\" a meaning of its own here\n"
     "    1 | a: `x\n"
     "      |    ^~ quote it: \"`x\"\n"},
    {"a: %x",
     "f.yaml:1:4: error: this value must be quoted: YAML gives \"%\" a meaning of its own here\n"
     "    1 | a: %x\n"
     "      |    ^~ quote it: \"%x\"\n"},
    {"a: & x",
     "f.yaml:1:4: error: this value must be quoted: YAML gives \"&\" a meaning of its own here\n"
     "    1 | a: & x\n"
     "      |    ^~~ quote it: \"& x\"\n"},
    {"a: |x\n",
     "f.yaml:1:4: error: this value must be quoted: YAML gives \"|\" a meaning of its own here\n"
     "    1 | a: |x\n"
     "      |    ^~ quote it: \"|x\"\n"},
    {"a: >x\n",
     "f.yaml:1:4: error: this value must be quoted: YAML gives \">\" a meaning of its own here\n"
     "    1 | a: >x\n"
     "      |    ^~ quote it: \">x\"\n"},
    {"a: ? b",
     "f.yaml:1:4: error: this value must be quoted: YAML gives \"?\" a meaning of its own here\n"
     "    1 | a: ? b\n"
     "      |    ^~~ quote patterns: \"? b\"\n"},
    {"a: !a!b c",
     "f.yaml:1:4: error: this value must be quoted: YAML gives \"!\" a meaning of its own here\n"
     "    1 | a: !a!b c\n"
     "      |    ^~~~~~ quote patterns: \"!a!b c\"\n"},
    {"a: [b]: c",
     "f.yaml:1:7: error: a second \": \" on this line: a value that holds one must be quoted\n"
     "    1 | a: [b]: c\n"
     "      |       ^ quote patterns: \"[b]: c\"\n"},
    {"[a] b",
     "f.yaml:1:1: error: this value must be quoted: YAML gives \"[\" a meaning of its own here\n"
     "    1 | [a] b\n"
     "      | ^~~~~ quote patterns: \"[a] b\"\n"},
};

static const struct example colons[] = {
    {"a: b: c",
     "f.yaml:1:5: error: a second \": \" on this line: a value that holds one must be quoted\n"
     "    1 | a: b: c\n"
     "      |     ^ quote it: \"b: c\"\n"},
    {"a: \"b\": c",
     "f.yaml:1:7: error: a second \": \" on this line: a value that holds one must be quoted\n"
     "    1 | a: \"b\": c\n"
     "      |       ^ quote it: '\"b\": c'\n"},
    {"- id:pick\n"
     "  uses: x",
     "f.yaml:1:5: error: a space is missing after this \":\"\n"
     "    1 | - id:pick\n"
     "      |     ^\n"},
    {"id: a\n"
     "uses\n"
     "with: {}",
     "f.yaml:2:1: error: \":\" is missing after this key\n"
     "    2 | uses\n"
     "      | ^~~~\n"},
    {": c", "f.yaml:1:1: error: a key is missing before this \":\"\n"
            "    1 | : c\n"
            "      | ^\n"},
    {"- a\n"
     "-b",
     "f.yaml:2:1: error: a space is missing after this \"-\"\n"
     "    2 | -b\n"
     "      | ^\n"},
    {"a: [b\n"
     " c: d]",
     "f.yaml:2:2: error: \",\" or \"]\" is missing before this key\n"
     "    2 |  c: d]\n"
     "      |  ^~\n"},
};

static const struct example indentation[] = {
    {"a:\n"
     "\tb: 1",
     "f.yaml:2:1: error: a tab indents this line, and YAML allows only spaces there\n"
     "    2 | \tb: 1\n"
     "      | ^ use spaces\n"},
    {"a:\n"
     "  - x\n"
     "\t- y",
     "f.yaml:3:1: error: a tab indents this line, and YAML allows only spaces there\n"
     "    3 | \t- y\n"
     "      | ^ use spaces\n"},
    {"a:\n"
     "  \tb: c\n",
     "f.yaml:2:3: error: a tab indents this line, and YAML allows only spaces there\n"
     "    2 |   \tb: c\n"
     "      |   ^ use spaces\n"},
    {"a:\n"
     "  b: 1\n"
     " c: 2\n",
     "f.yaml:3:2: error: this line is indented by 1, which fits nothing above\n"
     "    3 |  c: 2\n"
     "      |  ^~~~ the mapping that began on line 1 is indented by 0\n"},
    {"steps:\n"
     "  - id: x\n"
     "   uses: y",
     "f.yaml:3:4: error: this line is indented by 3, which fits nothing above\n"
     "    3 |    uses: y\n"
     "      |    ^~~~~~~ the list that began on line 2 is indented by 2\n"},
    {"steps:\n"
     "  - id: x\n"
     "     uses: y",
     "f.yaml:3:6: error: a key cannot stand here: by its indentation, this line goes on with the "
     "value above\n"
     "    3 |      uses: y\n"
     "      |      ^~~~ indent it like the keys it belongs with (see line 2)\n"},
    {"- a\n"
     "b: c",
     "f.yaml:2:1: error: a list item (\"- \342\200\246\") is expected here: the list began on line "
     "1\n"
     "    2 | b: c\n"
     "      | ^~~~\n"},
    {"b: c\n"
     "- a",
     "f.yaml:2:1: error: a key is expected here: the mapping began on line 1\n"
     "    2 | - a\n"
     "      | ^\n"},
    {"a: - b", "f.yaml:1:4: error: a list cannot begin on the line of its key\n"
               "    1 | a: - b\n"
               "      |    ^ put each \"- \" on a line of its own, or write [a, b]\n"},
    {"a: 1\n"
     "  b: 2",
     "f.yaml:2:3: error: a key cannot stand here: by its indentation, this line goes on with the "
     "value above\n"
     "    2 |   b: 2\n"
     "      |   ^ indent it like the keys it belongs with (see line 1)\n"},
    {"a: b\n"
     "...\n"
     "c: d",
     "f.yaml:3:1: error: the document has ended above, and nothing may follow it\n"
     "    3 | c: d\n"
     "      | ^~~~\n"},
    {"  a: b\n"
     "c: d\n",
     "f.yaml:2:1: error: the document has ended above, and nothing may follow it\n"
     "    2 | c: d\n"
     "      | ^~~~ indent it like the lines above\n"},
};

static const struct example quotes[] = {
    {"a: \"x\n"
     "b: c\n",
     "f.yaml:1:4: error: this quote is never closed\n"
     "    1 | a: \"x\n"
     "      |    ^\n"},
    {"a: \"x\n"
     "b: \"y\"\n",
     "f.yaml:1:4: error: the string that this quote begins ends only on line 2: is its closing "
     "quote missing?\n"
     "    1 | a: \"x\n"
     "      |    ^\n"},
    {"a: \"x\" y", "f.yaml:1:8: error: nothing may follow the closing quote\n"
                   "    1 | a: \"x\" y\n"
                   "      |        ^ put the whole value between the quotes\n"},
    {"a: \"x\"y", "f.yaml:1:7: error: nothing may follow the closing quote\n"
                  "    1 | a: \"x\"y\n"
                  "      |       ^ write \\\" for a quote within a string in double quotes\n"},
    {"a: 'it's'", "f.yaml:1:8: error: nothing may follow the closing quote\n"
                  "    1 | a: 'it's'\n"
                  "      |        ^~ write '' for a quote within a string in single quotes\n"},
    {"a: \"b\n"
     "---\n",
     "f.yaml:1:4: error: this quote is never closed\n"
     "    1 | a: \"b\n"
     "      |    ^\n"},
    {"a: \"\\q\"",
     "f.yaml:1:5: error: there is no such escape in a string between double quotes\n"
     "    1 | a: \"\\q\"\n"
     "      |     ^~ write \\\\ for a backslash, or put the string between single quotes\n"},
    {"a: \"\\xZZ\"",
     "f.yaml:1:7: error: the escapes \\x, \\u and \\U need 2, 4 and 8 hexadecimal digits of a "
     "Unicode character\n"
     "    1 | a: \"\\xZZ\"\n"
     "      |       ^ write \\\\ for a backslash, or put the string between single quotes\n"},
    {"a: \"C:\\Users\"",
     "f.yaml:1:9: error: the escapes \\x, \\u and \\U need 2, 4 and 8 hexadecimal digits of a "
     "Unicode character\n"
     "    1 | a: \"C:\\Users\"\n"
     "      |         ^ write \\\\ for a backslash, or put the string between single quotes\n"},
};

static const struct example brackets[] = {
    {"a: [x, y\n"
     "b: c\n",
     "f.yaml:1:4: error: this \"[\" is never closed\n"
     "    1 | a: [x, y\n"
     "      |    ^\n"},
    {"a: {x: 1\n"
     "b: c\n",
     "f.yaml:1:4: error: this \"{\" is never closed\n"
     "    1 | a: {x: 1\n"
     "      |    ^\n"},
    {"a: [b}",
     "f.yaml:1:6: error: \"]\" is missing before this \"}\": it would close the \"[\" of line 1\n"
     "    1 | a: [b}\n"
     "      |      ^\n"},
    {"a: [b", "f.yaml:1:4: error: this \"[\" is never closed\n"
              "    1 | a: [b\n"
              "      |    ^\n"},
    {"a: ]", "f.yaml:1:4: error: a value is missing before \"]\"\n"
             "    1 | a: ]\n"
             "      |    ^\n"},
    {"a: [,]", "f.yaml:1:5: error: a value is missing before \",\"\n"
               "    1 | a: [,]\n"
               "      |     ^\n"},
    {"a: [\n"
     "- b\n"
     "]",
     "f.yaml:2:1: error: inside brackets, items do not begin with \"-\": \",\" stands between "
     "them\n"
     "    2 | - b\n"
     "      | ^\n"},
    {"a: [\n"
     " \"x\"\n"
     " \"y\"\n"
     "]",
     "f.yaml:3:2: error: \",\" or \"]\" is missing before this\n"
     "    3 |  \"y\"\n"
     "      |  ^\n"},
};

static const struct example documents[] = {
    {"", "f.yaml: error: the file has nothing in it\n"},
    {"# nothing\n", "f.yaml: error: the file has nothing in it\n"},
    {"%YAML 1.1\n"
     "---\n"
     "a: 1",
     "f.yaml:1:1: error: this file says that it is YAML 1.1, and only YAML 1.2 is read\n"
     "    1 | %YAML 1.1\n"
     "      | ^~~~~~~~~\n"},
    {"%YAML 2.0\n"
     "---\n"
     "a",
     "f.yaml:1:1: error: only YAML 1.2 is read\n"
     "    1 | %YAML 2.0\n"
     "      | ^~~~~~~~~\n"},
    {"%FOO\n"
     "---\n"
     "a",
     "f.yaml:1:1: error: a line that begins with \"%\" must be a YAML directive such as %YAML 1.2\n"
     "    1 | %FOO\n"
     "      | ^~~~\n"},
    {"a\n"
     "---\n"
     "b",
     "f.yaml:2:1: error: a second document begins here, and a file can hold only one\n"
     "    2 | ---\n"
     "      | ^~~\n"},
};

static const struct example keys_tags_and_aliases[] = {
    {"a: 1\n"
     "b: 2\n"
     "a: 3\n",
     "f.yaml:3:1: error: the key \"a\" is given twice, first on line 1\n"
     "    3 | a: 3\n"
     "      | ^\n"},
    {"a: 1\n"
     "\"a\": 2\n",
     "f.yaml:2:1: error: the key \"a\" is given twice, first on line 1\n"
     "    2 | \"a\": 2\n"
     "      | ^~~\n"},
    {"? [a]\n"
     ": b",
     "f.yaml:1:3: error: a key must be a string, not a list\n"
     "    1 | ? [a]\n"
     "      |   ^\n"},
    {"{a: b}: c", "f.yaml:1:1: error: a key must be a string, not a mapping\n"
                  "    1 | {a: b}: c\n"
                  "      | ^\n"},
    {"null: 1", "f.yaml:1:1: error: \"null\" is YAML's word for nothing, and cannot be a key\n"
                "    1 | null: 1\n"
                "      | ^~~~ quote it: \"null\"\n"},
    {"<<: {a: 1}", "f.yaml:1:1: error: merge keys (\"<<\") are not part of YAML 1.2\n"
                   "    1 | <<: {a: 1}\n"
                   "      | ^~ write the keys here themselves\n"},
    {"&a [*a]", "f.yaml:1:5: error: the alias \"*a\" stands inside what it stands for\n"
                "    1 | &a [*a]\n"
                "      |     ^~\n"},
    {"a: &b x\n"
     "*b : c",
     "f.yaml:2:1: error: a key cannot be an alias\n"
     "    2 | *b : c\n"
     "      | ^~\n"},
    {"a: !!int x", "f.yaml:1:4: error: this value does not fit its tag \"!!int\"\n"
                   "    1 | a: !!int x\n"
                   "      |    ^~~~~~~\n"},
    {"a: !!seq {}", "f.yaml:1:4: error: this value does not fit its tag \"!!seq\"\n"
                    "    1 | a: !!seq {}\n"
                    "      |    ^~~~~~~\n"},
    {"!!set {a}", "f.yaml:1:1: error: \"!\" begins a YAML tag, and \"!!set\" is not one of the "
                  "core schema's (!!str, !!int, \342\200\246)\n"
                  "    1 | !!set {a}\n"
                  "      | ^~~~~~~\n"},
    {"a: \"x\\0y\"", "f.yaml:1:6: error: a string cannot hold the character NUL (\\0)\n"
                     "    1 | a: \"x\\0y\"\n"
                     "      |      ^\n"},
};

static const struct example characters[] = {
    {"a: \001", "f.yaml:1:4: error: the character U+0001 may not stand in a YAML file\n"
                "    1 | a: \357\277\275\n"
                "      |    ^ remove it, or write \"\\u0001\" in double quotes\n"},
    {"a: b\033[31m", "f.yaml:1:5: error: the character U+001B may not stand in a YAML file\n"
                     "    1 | a: b\357\277\275[31m\n"
                     "      |     ^ remove it, or write \"\\u001B\" in double quotes\n"},
    {"a: \377", "f.yaml:1:4: error: byte 0xFF is not UTF-8, the encoding of YAML files\n"
                "    1 | a: \357\277\275\n"
                "      |    ^ save the file as UTF-8\n"},
    {"\303\251: \357\273\277x",
     "f.yaml:1:4: error: a byte order mark (U+FEFF) stands inside the text\n"
     "    1 | \303\251: \357\277\275x\n"
     "      |    ^ remove this invisible character\n"},
    {"a: \342\200\250b", "f.yaml:1:4: error: the character U+2028 may not stand in a YAML file\n"
                         "    1 | a: \357\277\275b\n"
                         "      |    ^ remove it, or write \"\\u2028\" in double quotes\n"},
    {"\377\376a", "f.yaml: error: the file is UTF-16 and not UTF-8\n"
                  "      | save the file as UTF-8\n"},
    {"a: \177", "f.yaml:1:4: error: the character U+007F may not stand in a YAML file\n"
                "    1 | a: \357\277\275\n"
                "      |    ^ remove it, or write \"\\u007F\" in double quotes\n"},
};

static void check_all(const struct example *examples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct dray_diagnostics diagnostics = {0};
        struct dray_document *document = NULL;
        struct dray_error error = {0};
        struct dray_buffer out = {.cap = 1 << 16};
        size_t length = strlen(examples[i].yaml);
        assert_int_equal(dray_document_parse("f.yaml", examples[i].yaml, length, &diagnostics,
                                             &document, &error),
                         0);
        dray_diagnostics_sort(&diagnostics);
        dray_diagnostics_print(&diagnostics, 0, &out);
        assert_string_equal(out.data ? out.data : "", examples[i].report);
        dray_buffer_free(&out);
        dray_document_free(document);
        dray_diagnostics_free(&diagnostics);
    }
}

#define TEST(NAME)                                                                                 \
    static void test_##NAME(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        check_all(NAME, sizeof(NAME) / sizeof(NAME[0]));                                           \
    }
TEST(patterns_that_yaml_eats)
TEST(values_that_need_quotes)
TEST(colons)
TEST(indentation)
TEST(quotes)
TEST(brackets)
TEST(documents)
TEST(keys_tags_and_aliases)
TEST(characters)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns_that_yaml_eats),
        cmocka_unit_test(test_values_that_need_quotes),
        cmocka_unit_test(test_colons),
        cmocka_unit_test(test_indentation),
        cmocka_unit_test(test_quotes),
        cmocka_unit_test(test_brackets),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_keys_tags_and_aliases),
        cmocka_unit_test(test_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
