/* SPDX-License-Identifier: MIT */
/* What a path pattern means: each rule of docs/filters.md, each error with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plugins/filters/pattern.h"
#include "tests/unit/failing.h"

/* ---- Memory that runs out on demand (the linker sends the matcher's calls here) ------------- */

/* ---- Helpers ------------------------------------------------------------------------------- */

static struct dray_pattern *compile(const char *text, uint32_t flags)
{
    struct dray_pattern *pattern = NULL;
    struct dray_pattern_fault fault;
    int result = dray_pattern_compile(text, strlen(text), flags, &pattern, &fault);
    if (result == DRAY_PATTERN_FAULTY)
        fail_msg("%s does not compile: byte %zu: %s", text, fault.offset, fault.reason);
    assert_int_equal(result, DRAY_PATTERN_OK);
    return pattern;
}

/* The path goes to the matcher in a block of its own size, so that a sanitizer sees it read on. */
static int matches(const char *text, const char *path, uint32_t flags, int directory)
{
    struct dray_pattern *pattern = compile(text, flags);
    size_t length = strlen(path);
    char *bytes = malloc(length + 1);
    struct dray_pattern_path prepared;
    assert_non_null(bytes);
    memcpy(bytes, path, length);
    char *exact = realloc(bytes, length > 0 ? length : 1);
    assert_non_null(exact);
    dray_pattern_path_init(&prepared, exact, length, directory);
    int result = dray_pattern_matches(pattern, &prepared);
    free(exact);
    dray_pattern_free(pattern);
    return result;
}

struct vector {
    const char *pattern;
    const char *path;
    int matches;
};

static void check_as(const struct vector *vectors, size_t count, uint32_t flags, int directory)
{
    for (size_t i = 0; i < count; i++) {
        const struct vector *vector = &vectors[i];
        if (matches(vector->pattern, vector->path, flags, directory) != vector->matches)
            fail_msg("%s %s %s (a %s)", vector->pattern,
                     vector->matches ? "should match" : "should not match", vector->path,
                     directory ? "directory" : "file");
    }
}

#define COUNT(ARRAY)                      (sizeof(ARRAY) / sizeof((ARRAY)[0]))
#define CHECK_FILES(VECTORS)              check_as(VECTORS, COUNT(VECTORS), 0, 0)
#define CHECK_DIRECTORIES(VECTORS)        check_as(VECTORS, COUNT(VECTORS), 0, 1)
#define CHECK_FILES_WITHOUT_CASE(VECTORS) check_as(VECTORS, COUNT(VECTORS), 1, 0)

/* ---- The table of the design ---------------------------------------------------------------- */

static void the_vectors_hold(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {"file.jpg", "directory/file.jpg", 1},
        {"file.jpg", "directory/afile.jpg", 0},
        {"/file.jpg", "directory/file.jpg", 0},
        {"*.jpg", "file.jpg/anotherfile.png", 1},
        {"dir/**", "adir/file.jpg", 0},
        {"dir/**", "subdir/dir/subsubdir/anyfile", 1},
        {"{one,two}_potato", "_potato", 0},
        {"\\[one\\].jpg", "[one].jpg", 1},
        {"potato", "POTATO", 0},
        {"ab]c", "ab]c", 1},
        {"/foo/**/bar", "foo/bar", 1},
        {"/foo*bar", "foo/baz/bar", 0},
        {"/foo[^a-z]bar", "foo/bar", 0},
        {"/**/bar/*", "deep/foo/bar", 0},
        {"a[]-]b", "a]b", 1},
        {"foo{,.txt}", "foo", 1},
        {"{[}],foo}", "}", 1},
        {"abc[/]def", "abc/def", 0},
        {"some/**/**/needle.txt", "some/one/two/needle.txt", 1},
        {"dir/", "dir", 0},
        {"dir/", "foo/dir/bar", 1},
        {"foo/spam", "bar/foo/spam", 1},
        {"*.{fastq,fq}{,.gz}", "s/x.fq.gz", 1},
        {"/*", "a/b", 1},
    };
    static const struct vector directories[] = {{"a/**", "a", 0}};
    CHECK_FILES(vectors);
    CHECK_DIRECTORIES(directories);
}

/* ---- Rule by rule --------------------------------------------------------------------------- */

static void a_leading_slash_anchors_and_all_else_floats(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {"/a", "a", 1},          {"/a", "x/a", 0},
        {"/a/b", "a/b", 1},      {"/a/b", "x/a/b", 0},
        {"a", "x/y/a", 1},       {"a/b", "a/b", 1},
        {"a/b", "x/a/b", 1},     {"a/b", "x/a/y/b", 0},
        {"a/b", "a/a/b", 1},     {"a/b/c", "a/b/a/b/c", 1},
        {"a/b/c", "a/b/a/c", 0}, {"**/a", "a", 1},
        {"**/a", "x/y/a", 1},    {"/**/a", "a", 1},
        {"/**/a", "x/y/a", 1},   {"a", "", 0},
        {"**", "", 0},
    };
    CHECK_FILES(vectors);
}

static void star_and_question_mark_stay_within_a_name(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {"a.csv", "a.csv.csv", 0},
        {"/*", "a", 1},
        {"/a*c", "abc", 1},
        {"/a*c", "ac", 1},
        {"/a*c", "a/c", 0},
        {"/a?c", "abc", 1},
        {"/a?c", "a/c", 0},
        {"/a?c", "ac", 0},
        {"/?", "ab", 0},
        {"*", "a", 1},
        {"a*a", "a", 0},
        {"a*a", "aa", 1},
        {"*a*", "bab", 1},
        {"*a*", "bbb", 0},
        {"*ab*cd*", "xabyycdz", 1},
        {"*ab*cd*", "xcdyyabz", 0},
        {"*ab*ab", "ab", 0},
        {"*ab*ab", "abab", 1},
        {"*aab", "aaab", 1},
        {"*?b", "ab", 1},
        {"*?b", "b", 0},
        {"?*?", "a", 0},
        {"?*?", "ab", 1},
        {"*.gz", ".gz", 1},
        {"a.*", "a.", 1},
        {"*[ab]*c", "xxaxxc", 1},
        {"*[ab]?c", "aabxc", 1},
        {"x*[0-9].y", "x.12.y", 1},
        {"/*/*/c", "a/b/c", 1},
        {"/*/c", "a/b/c", 0},
    };
    CHECK_FILES(vectors);
}

static void double_star_is_zero_or_more_directories_and_at_the_end_one_or_more_names(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {"/a/**/b", "a/b", 1},
        {"/a/**/b", "a/x/b", 1},
        {"/a/**/b", "a/x/y/b", 1},
        {"/a/**/b", "a/xb", 0},
        {"/a/**/b", "x/a/b", 0},
        {"a/**/b", "x/a/y/b", 1},
        {"/a/**", "a/b", 1},
        {"/a/**", "a/b/c", 1},
        {"/a/**", "a", 0},
        {"/a/**/**", "a", 0},
        {"/a/**/**", "a/b", 1},
        {"**", "a", 1},
        {"**", "a/b", 1},
        {"/**", "a", 1},
        {"**/**", "a", 1},
        {"/**/a/**/b", "a/x/a/b", 1},
        {"/a/**/b/**/c", "a/b/c", 1},
        {"/a/**/b/**/c", "a/c/b", 0},
        {"/a/**/b/c", "a/b/x/b/c", 1},
        {"**/b/**", "b", 0},
        {"**/b/**", "a/b/c", 1},
        {"/a/**/b/*/c", "a/b/b/c/b/x/c", 1},
    };
    static const struct vector directories[] = {
        {"/a/**/b", "a/b", 1}, {"a/**", "a", 0}, {"a/**", "a/b", 1}, {"**", "a", 1}};
    CHECK_FILES(vectors);
    CHECK_DIRECTORIES(directories);
}

static void a_trailing_slash_wants_a_directory(void **state)
{
    (void)state;
    static const struct vector files[] = {
        {"d/", "d", 0},      {"d/", "d/x", 1},     {"d/", "a/d/x/y", 1},    {"d/", "a/d", 0},
        {"/d/", "a/d/x", 0}, {"*/", "f", 0},       {"*/", "d/f", 1},        {"**/", "f", 0},
        {"**/", "d/f", 1},   {"/a/**/", "a/f", 0}, {"/a/**/", "a/d/f", 1},  {"d/", "d/d", 1},
        {"a/b/", "a/b", 0},  {"a/b/", "a/b/c", 1}, {"a/**/b/", "a/x/b", 0},
    };
    static const struct vector directories[] = {
        {"d/", "d", 1},     {"d/", "a/d", 1},     {"/d/", "a/d", 0},       {"*/", "d", 1},
        {"/a/**/", "a", 0}, {"/a/**/", "a/d", 1}, {"a/**/b/", "a/x/b", 1},
    };
    CHECK_FILES(files);
    CHECK_DIRECTORIES(directories);
}

static void what_matches_a_directory_covers_all_below_it(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {"*.zarr", "s/x.zarr/0/0.0", 1},
        {"*.zarr/", "s/x.zarr/0/0.0", 1},
        {"/a", "a/b/c/d", 1},
        {"/a/*", "a/b/c/d", 1},
        {"/a/b", "a/c/b", 0},
        {"a/?", "x/a/b/c", 1},
    };
    CHECK_FILES(vectors);
}

static void depth_does_not_matter(void **state)
{
    (void)state;
    /* Far more names than a prepared path remembers the ends of. */
    char path[2048] = "";
    for (int i = 0; i < 300; i++)
        memcpy(path + 4 * i, "dir/", 4);
    memcpy(path + 1200, "sub/last.gz", 12);
    struct vector vectors[] = {
        {"sub", path, 1},
        {"/sub", path, 0},
        {"last.gz", path, 1},
        {"dir/sub/*.gz", path, 1},
        {"dir/last.gz", path, 0},
        {"/dir/**/sub/**/*.gz", path, 1},
        {"sub/*/", path, 0},
        {"**/sub/last.gz/x", path, 0},
        {"*.gz/", path, 0},
        {"sub/**/last.gz", path, 1},
        {"dir/**/dir/**/dir/**/sub/", path, 1},
    };
    CHECK_FILES(vectors);
}

static void brackets_take_one_character(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {"[a-c]", "b", 1},     {"[a-c]", "d", 0},   {"[a-c]", "ab", 0},
        {"[!a-c]", "b", 0},    {"[!a-c]", "d", 1},  {"[^x]", "x", 0},
        {"[^x]", "y", 1},      {"[]]", "]", 1},     {"[!]]", "]", 0},
        {"[!]]", "a", 1},      {"[a-]", "-", 1},    {"[-a]", "-", 1},
        {"[--0]", ".", 1},     {"[a!]", "!", 1},    {"[a^]", "^", 1},
        {"[*?]", "*", 1},      {"[*?]", "a", 0},    {"[{,}]", ",", 1},
        {"[\\]]", "]", 1},     {"[\\a]", "a", 1},   {"[\\\\]", "\\", 1},
        {"[\\a-\\c]", "b", 1}, {"[a\\-c]", "b", 0}, {"[a\\-c]", "-", 1},
        {"[a-c-e]", "e", 1},   {"[a-c-e]", "d", 0}, {"[a-c-e]", "-", 1},
        {"[[]", "[", 1},       {"[[a]", "a", 1},    {"[[.]", ".", 1},
        {"[[=]", "=", 1},      {"[:a]", ":", 1},    {"x[!a]y", "x/y", 0},
        {"x[+-9]y", "x/y", 0}, {"x[/]y", "x/y", 0}, {"a[0-9]b[0-9].c", "a1b2.c", 1},
    };
    CHECK_FILES(vectors);
}

static void named_classes_are_ascii(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *members;
        const char *others;
    } classes[] = {
        {"alnum", "azAZ09", "_- \t~"},  {"alpha", "azAZ", "09_"},
        {"blank", " \t", "\n\ra"},      {"cntrl", "\t\n\x01\x7f", " a"},
        {"digit", "0189", "a:"},        {"graph", "!~a0", " \t\x7f"},
        {"lower", "az", "AZ0`{"},       {"print", " ~a", "\t\x7f"},
        {"punct", "!:@[`{~_.", "a0 Z"}, {"space", " \t\n\v\f\r", "a_\x0e"},
        {"upper", "AZ", "az@["},        {"xdigit", "09afAF", "gG:"},
    };
    for (size_t i = 0; i < COUNT(classes); i++) {
        char pattern[32];
        char inverse[32];
        (void)snprintf(pattern, sizeof(pattern), "[[:%s:]]", classes[i].name);
        (void)snprintf(inverse, sizeof(inverse), "[![:%s:]]", classes[i].name);
        for (const char *c = classes[i].members; *c != '\0'; c++) {
            struct vector vectors[] = {{pattern, (char[]){*c, '\0'}, 1},
                                       {inverse, (char[]){*c, '\0'}, 0}};
            CHECK_FILES(vectors);
        }
        for (const char *c = classes[i].others; *c != '\0'; c++) {
            struct vector vectors[] = {{pattern, (char[]){*c, '\0'}, 0},
                                       {inverse, (char[]){*c, '\0'}, 1}};
            CHECK_FILES(vectors);
        }
    }
    static const struct vector more[] = {
        {"[[:digit:]_]", "_", 1},       {"[x[:digit:][:upper:]]", "Q", 1}, {"[[:digit:]-]", "-", 1},
        {"[[:alpha:]]", "\xc3\xa9", 0}, {"[![:alpha:]]", "\xc3\xa9", 1},
    };
    CHECK_FILES(more);
}

static void braces_are_expanded_before_names_are_told_apart(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {"{a,b}", "a", 1},
        {"{a,b}", "b", 1},
        {"{a,b}", "c", 0},
        {"{a}", "a", 1},
        {"a{}", "a", 1},
        {"{a,{b,c}d}", "a", 1},
        {"{a,{b,c}d}", "cd", 1},
        {"{a,{b,c}d}", "b", 0},
        {"{a,b}{c,d}", "bc", 1},
        {"{a,b}{c,d}", "ab", 0},
        {"{a/b,c}/d", "a/b/d", 1},
        {"{a/b,c}/d", "x/c/d", 1},
        {"{/a,b}", "x/a", 0},
        {"{/a,b}", "x/b", 1},
        {"{/a,b}", "a", 1},
        {"/a/{,b/}c", "a/c", 1},
        {"/a/{,b/}c", "a/b/c", 1},
        {"{a\\,b,c}", "a,b", 1},
        {"{a\\},c}", "a}", 1},
        {"{[,],c}", ",", 1},
        {"{[,],c}", "[", 0},
        {"a,b", "a,b", 1},
        {"\\{a,b\\}", "{a,b}", 1},
        {"x{*,?}y", "xaby", 1},
        {"{*{*,a}}", "x/y", 1},
        {"{a,b,c,d}{1,2,{3,4}5}z", "d45z", 1},
        {"{a,b,c,d}{1,2,{3,4}5}z", "a1z", 1},
        {"{a,b,c,d}{1,2,{3,4}5}z", "c4z", 0},
    };
    static const struct vector files[] = {{"a{/,.txt}", "a", 0}, {"a{/,.txt}", "a.txt", 1}};
    static const struct vector directories[] = {{"a{/,.txt}", "a", 1}};
    CHECK_FILES(vectors);
    CHECK_FILES(files);
    CHECK_DIRECTORIES(directories);
}

static void a_backslash_takes_what_follows_as_it_is(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {"\\*", "*", 1},
        {"\\*", "a", 0},
        {"\\?", "?", 1},
        {"\\?", "a", 0},
        {"\\a", "a", 1},
        {"\\\\", "\\", 1},
        {"a\\/b", "a/b", 1},
        {"\\[a]", "[a]", 1},
        {"*\\*", "a*", 1},
        {"*\\*", "ab", 0},
        {"\\*\\*", "**", 1},
        {"a\\*\\*b", "a**b", 1},
        {"\\\xc3\xa9", "\xc3\xa9", 1},
    };
    CHECK_FILES(vectors);
}

static void names_with_a_leading_dot_are_ordinary(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {"*", ".hidden", 1},     {"?hidden", ".hidden", 1}, {"[.]hidden", ".hidden", 1},
        {"**", ".a/.b", 1},      {"...", "...", 1},         {".*", ".a", 1},
        {"a/**/b", "a/.x/b", 1}, {"..a", "..a", 1},         {"*/x", ".git/x", 1},
    };
    CHECK_FILES(vectors);
}

/* ---- Characters ----------------------------------------------------------------------------- */

static void a_character_is_a_code_point_where_the_name_is_utf8(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {"?", "\xc3\xa9", 1}, /* e acute */
        {"??", "\xc3\xa9", 0},
        {"?", "\xe4\xb8\xad", 1},     /* a Chinese character */
        {"?", "\xf0\x9f\x90\x9f", 1}, /* a fish */
        {"????", "\xf0\x9f\x90\x9f", 0},
        {"?", "e\xcc\x81", 0},        /* e and a combining accent: two */
        {"\xc3\xa9", "e\xcc\x81", 0}, /* and not the same as one */
        {"a?c",
         "a\xe4\xb8\xad"
         "c",
         1},
        {"*?\xc3\xa9", "\xc3\xa9\xc3\xa9", 1},
        {"*?\xc3\xa9", "\xc3\xa9", 0},
        {"*\xc3\xa9*\xc3\xa9", "\xc3\xa9x\xc3\xa9", 1},
        {"[\xc3\xa9]", "\xc3\xa9", 1},
        {"[\xc3\xa9]", "\xc3\xa8", 0},
        {"[!\xc3\xa9]", "\xc3\xa8", 1},
        {"[!\xc3\xa9]", "\xc3\xa9", 0},
        {"[!a]", "\xe4\xb8\xad", 1},
        {"[\xce\xb1-\xcf\x89]", "\xce\xbb", 1}, /* lambda between alpha and omega */
        {"[\xce\xb1-\xcf\x89]", "\xce\x9b", 0},
        {"[a-\xc3\xa9]", "z", 1},
        {"[a-\xc3\xa9]", "\xc2\xb5", 1},
        {"[a-\xc3\xa9]", "\xc3\xaa", 0},
        {"*[\xf0\x9f\x90\x9f]?", "\xf0\x9f\x90\x9f\xf0\x9f\x90\x9f", 1},
    };
    CHECK_FILES(vectors);
}

static void a_name_that_is_not_utf8_is_matched_by_byte(void **state)
{
    (void)state;
    static const struct vector vectors[] = {
        {"?", "\xff", 1},
        {"?", "\xc3", 1},
        {"??", "\xc3\xff", 1},
        {"???", "\xc3\xa9\xff", 1}, /* one wrong byte makes all of it bytes */
        {"??", "\xc3\xa9\xff", 0},
        {"*/?", "\xff/\xc3\xa9", 1}, /* each name is judged by itself, */
        {"*/??", "\xff/\xc3\xa9", 0},
        {"?/?", "\xc3\xa9/\xff", 1}, /* so that what holds for a directory holds below it */
        {"/??", "\xc3\xa9/\xff", 0},
        {"\xc3\xa9?", "\xc3\xa9\xff", 1}, /* text is the same bytes either way */
        {"*\xc3\xa9", "\xff\xc3\xa9", 1},
        {"[!a]", "\xff", 1},                 /* not `a` */
        {"[a-\xf4\x8f\xbf\xbf]", "\xff", 0}, /* but no character either */
        {"[\xc3\xa9]?", "\xc3\xff", 0},
        {"a[[:alpha:]]?", "ab\xff", 1},
        {"?", "\xed\xa0\x80", 0}, /* surrogates and long forms are not UTF-8 */
        {"???", "\xed\xa0\x80", 1},
        {"??", "\xc0\xaf", 1},
        {"???", "\xe0\x80\xaf", 1},
        {"????", "\xf4\x90\x80\x80", 1},
        {"*.gz", "\xff\xfe.gz", 1},
    };
    CHECK_FILES(vectors);
}

static void case_matters_unless_it_is_ignored(void **state)
{
    (void)state;
    static const struct vector strict[] = {{"readme", "README", 0},
                                           {"[a-z]", "Q", 0},
                                           {"*.GZ", "x.gz", 0},
                                           {"\xc3\xa9", "\xc3\x89", 0}};
    static const struct vector ignored[] = {
        {"readme", "ReadMe", 1},
        {"README", "readme", 1},
        {"*.FastQ", "x.fASTq", 1},
        {"a*c", "ABC", 1},
        {"*b*", "ABC", 1},
        {"*B*", "abc", 1},
        {"*b?d*", "xABCDx", 1},
        {"/Data/", "dATA/x", 1},
        {"[a-z]", "Q", 1},
        {"[A-Z]", "q", 1},
        {"[!a-z]", "Q", 0},
        {"[[:upper:]]", "q", 1},
        {"[[:lower:]]", "Q", 1},
        {"[[:digit:]]", "q", 0},
        {"[Z-a]", "A", 1},
        {"[Z-a]", "z", 1},
        {"[Z-a]", "b", 0},
        {"@", "`", 0}, /* 32 apart, and no letters */
        {"[@]", "`", 0},
        {"[[]", "{", 0},
        {"\xc3\xa9t\xc3\xa9", "\xc3\x89T\xc3\x89", 1},
        {"\xc3\x89T\xc3\x89", "\xc3\xa9t\xc3\xa9", 1},
        {"*\xc3\xa9*", "x\xc3\x89x", 1},
        {"*\xc3\xa9", "\xc3\xa8", 0},
        {"\xc3\xb7", "\xc3\x97", 0},                 /* division is no multiplication */
        {"\xce\xa3\xce\xa3", "\xcf\x83\xcf\x82", 1}, /* sigma has three forms */
        {"[\xcf\x82]", "\xce\xa3", 1},
        {"[\xce\xa3]", "\xcf\x82", 1},
        {"[\xcf\x83]", "\xcf\x82", 1},
        {"[!\xce\xa3]", "\xcf\x82", 0},
        {"[\xce\x91-\xce\xa9]", "\xce\xbb", 1},
        {"\xd0\x96\xd0\xaf", "\xd0\xb6\xd1\x8f", 1},                 /* Cyrillic */
        {"\xc5\x81\xc3\xb3\xc5\xba", "\xc5\x82\xc3\x93\xc5\xb9", 1}, /* Polish */
        {"*\xce\xbc*", "x\xc2\xb5x", 1},
        {"10\xc2\xb5m", "10\xce\xbcM", 1}, /* micro sign and mu */
        {"\xc3\x9f", "ss", 0},             /* one to one only */
        {"i", "\xc4\xb0", 0},
        {"k", "\xe2\x84\xaa", 0},
        {"\xe4\xb8\xad", "\xe4\xb8\xad", 1},
        {"\xc3\xa9?", "\xc3\x89\xff", 1}, /* also where the path is not UTF-8 */
        {"[\xc3\xa9]?", "\xc3\x89\xff", 0},
        {"?a", "\xc3\xc1", 0},
    };
    CHECK_FILES(strict);
    CHECK_FILES_WITHOUT_CASE(ignored);
}

/* ---- Errors --------------------------------------------------------------------------------- */

static void bad_patterns_are_refused_with_the_place_and_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        size_t offset;
        const char *reason;
    } faults[] = {
        {"", 0, "the pattern is empty"},
        {"{}", 0, "one choice of the braces leaves an empty pattern"},
        {"{a,}", 0, "one choice of the braces leaves an empty pattern"},
        {"/", 0, "`/` alone names no entry; write `**` for everything"},
        {"//a", 1, "nothing stands between two slashes"},
        {"a//b", 2, "nothing stands between two slashes"},
        {"a/b//", 4, "nothing stands between two slashes"},
        {"a{,/}/b", 5, "nothing stands between two slashes"},
        {".", 0, "no path holds the name `.` or `..`; a leading `/` stands for the dataset's root"},
        {"./a", 0, "no path holds the name `.` or `..`"},
        {"a/../b", 2, "no path holds the name `.` or `..`"},
        {"a/..", 2, "no path holds the name `.` or `..`"},
        {"a/\\./", 2, "no path holds the name `.` or `..`"},
        {"a/{b,..}", 5, "no path holds the name `.` or `..`"},
        {"***potato", 0, "there is no `***`"},
        {"***", 0, "there is no `***`"},
        {"a/x***", 3, "there is no `***`"},
        {"potato**sausage", 6, "`**` stands only alone between slashes; write `*` within a name"},
        {"a**", 1, "`**` stands only alone"},
        {"x/**a", 2, "`**` stands only alone"},
        {"a*{*,b}", 1, "`**` stands only alone"},
        {"*/\\", 2, "nothing follows this `\\`; write `\\\\` for a backslash"},
        {"{a,b\\", 4, "nothing follows this `\\`"},
        {"[a--b]", 1,
         "this range runs backwards; to match a `-` itself put it first or last, or "
         "write `\\-`"},
        {"x[z-a]", 2, "this range runs backwards"},
        {"[0-9b-a]", 4, "this range runs backwards"},
        {"[\xc3\xa9-a]", 1, "this range runs backwards"},
        {"a[", 1, "`[` has no `]`; write `\\[` for the character"},
        {"[]", 0, "`[` has no `]`"},
        {"[!]", 0, "`[` has no `]`"},
        {"ab[c-", 2, "`[` has no `]`"},
        {"[a\\]", 0, "`[` has no `]`"},
        {"[a\\", 2, "nothing follows this `\\`"},
        {"{[a,b}", 1, "`[` has no `]`"},
        {"[[:digit:][:spaci:]]", 10,
         "there is no class `[:spaci:]`; known are alnum, alpha, blank, cntrl, digit, graph, "
         "lower, "
         "print, punct, space, upper and xdigit"},
        {"[[:DIGIT:]]", 1, "there is no class of that name; known are alnum"},
        {"[[::]]", 1, "there is no class `[::]`"},
        {"[[:alpha]", 1, "`[:` has no `:]`; write `\\[` for the character"},
        {"[[:digit:]-z]", 1, "a range begins with a character, not with a class"},
        {"[a-[:digit:]]", 3, "a range ends with a character, not with a class"},
        {"[[.a.]]", 1, "`[.x.]` and `[=x=]` are not supported; write `\\[` for the character"},
        {"[x[=a=]]", 2, "`[.x.]` and `[=x=]` are not supported"},
        {"[a-[.z.]]", 3, "a range ends with a character"},
        {"a{b,c", 1, "`{` has no `}`; write `\\{` for the character"},
        {"{a,{b}", 0, "`{` has no `}`"},
        {"{a,{b", 3, "`{` has no `}`"},
        {"*.fastq,fq}", 10, "`}` has no `{`; write `\\}` for the character"},
        {"\xc3\xa9{", 2, "`{` has no `}`"}, /* places are bytes */
        {"a\xff", 1, "this is not UTF-8"},
        {"a[\xc3]", 2, "this is not UTF-8"},
        {"\\\xff", 1, "this is not UTF-8"},
    };
    for (size_t i = 0; i < COUNT(faults); i++) {
        struct dray_pattern *pattern = NULL;
        struct dray_pattern_fault fault = {.offset = 12345};
        for (uint32_t flags = 0; flags < 2; flags++) {
            if (dray_pattern_compile(faults[i].pattern, strlen(faults[i].pattern), flags, &pattern,
                                     &fault) != DRAY_PATTERN_FAULTY)
                fail_msg("%s should be refused", faults[i].pattern);
            if (fault.offset != faults[i].offset ||
                strncmp(fault.reason, faults[i].reason, strlen(faults[i].reason)) != 0)
                fail_msg("%s: byte %zu: %s", faults[i].pattern, fault.offset, fault.reason);
            assert_null(pattern);
        }
    }
}

static void check_fault(const char *text, size_t length, size_t offset, const char *reason)
{
    struct dray_pattern *pattern = NULL;
    struct dray_pattern_fault fault;
    assert_int_equal(dray_pattern_compile(text, length, 0, &pattern, &fault), DRAY_PATTERN_FAULTY);
    assert_string_equal(fault.reason, reason);
    assert_int_equal(fault.offset, offset);
}

static void a_nul_byte_is_refused(void **state)
{
    (void)state;
    check_fault("a\0b", 3, 1, "no path holds a NUL byte");
}

static void a_pattern_has_limits(void **state)
{
    (void)state;
    check_fault("x{0,1,2,3,4,5,6,7,8,9}{0,1,2,3,4,5,6,7,8,9}{0,1,2,3,4,5,6,7,8,9}{a,b}",
                sizeof("x{0,1,2,3,4,5,6,7,8,9}{0,1,2,3,4,5,6,7,8,9}{0,1,2,3,4,5,6,7,8,9}{a,b}") - 1,
                64,
                "the braces up to this group stand for more than 1000 patterns; write several "
                "patterns");
    dray_pattern_free(
        compile("x{0,1,2,3,4,5,6,7,8,9}{0,1,2,3,4,5,6,7,8,9}{0,1,2,3,4,5,6,7,8,9}", 0));

    /* Doubling at each of many groups must not overflow on the way. */
    char text[DRAY_PATTERN_MAX_LENGTH + 1];
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i + 5 <= 1000; i += 5)
        memcpy(text + i, "{a,b}", 5);
    check_fault(text, 1000, 45,
                "the braces up to this group stand for more than 1000 patterns; write several "
                "patterns");
    memset(text, ',', sizeof(text));
    text[0] = '{';
    check_fault(text, 5000, 0,
                "the braces up to this group stand for more than 1000 patterns; write several "
                "patterns");

    memset(text, '{', 17);
    memset(text + 17, 'a', 17);
    memset(text + 34, '}', 17);
    check_fault(text, 51, 16, "braces nest deeper than 16 levels");
    memset(text, '{', 16);
    memset(text + 16, 'a', 18);
    memset(text + 34, '}', 16);
    text[50] = '\0';
    dray_pattern_free(compile(text, 0));

    memset(text, 'a', sizeof(text));
    check_fault(text, sizeof(text), DRAY_PATTERN_MAX_LENGTH,
                "the pattern is longer than 16384 bytes; write several patterns");
    memcpy(text, "{1,2,3,4,5,6,7}", 15);
    check_fault(
        text, sizeof(text) - 1, 0,
        "the patterns that the braces stand for are longer than 100000 characters together; "
        "write several patterns");
    text[sizeof(text) - 1] = '\0';
    memcpy(text, "aaaaaaaaaaaaaaa", 15);
    dray_pattern_free(compile(text, 0));
}

static void running_out_of_memory_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    static const char text[] = "/a{b,{c,[d\xc3\xa9]}e*f?g[!h]*}/**/x{1,2,3,4,5}/*.{y,z}/w";
    struct dray_pattern_fault fault;
    int result = DRAY_PATTERN_NO_MEMORY;
    long count = 0;
    for (; result == DRAY_PATTERN_NO_MEMORY; count++) {
        struct dray_pattern *pattern = NULL;
        failing_left = count;
        result = dray_pattern_compile(text, sizeof(text) - 1, 0, &pattern, &fault);
        failing_left = -1;
        assert_true((result == DRAY_PATTERN_OK) == (pattern != NULL));
        dray_pattern_free(pattern);
    }
    assert_int_equal(result, DRAY_PATTERN_OK);
    assert_true(count > 8);
    dray_pattern_free(NULL);
}

/* With a matcher that tries everything twice at each star this takes longer than the universe. */
static void hostile_patterns_end_soon(void **state)
{
    (void)state;
    char name[4001];
    memset(name, 'a', 4000);
    name[4000] = '\0';
    char path[4001];
    for (size_t i = 0; i < 4000; i += 2)
        memcpy(path + i, "a/", 2);
    path[3999] = '\0';
    const char *stars = "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a?b?";
    const char *deep = "a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/[b]";
    struct vector vectors[] = {{stars, name, 0}, {deep, path, 0}};
    CHECK_FILES(vectors);
    CHECK_FILES_WITHOUT_CASE(vectors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_hold),
        cmocka_unit_test(a_leading_slash_anchors_and_all_else_floats),
        cmocka_unit_test(star_and_question_mark_stay_within_a_name),
        cmocka_unit_test(double_star_is_zero_or_more_directories_and_at_the_end_one_or_more_names),
        cmocka_unit_test(a_trailing_slash_wants_a_directory),
        cmocka_unit_test(what_matches_a_directory_covers_all_below_it),
        cmocka_unit_test(depth_does_not_matter),
        cmocka_unit_test(brackets_take_one_character),
        cmocka_unit_test(named_classes_are_ascii),
        cmocka_unit_test(braces_are_expanded_before_names_are_told_apart),
        cmocka_unit_test(a_backslash_takes_what_follows_as_it_is),
        cmocka_unit_test(names_with_a_leading_dot_are_ordinary),
        cmocka_unit_test(a_character_is_a_code_point_where_the_name_is_utf8),
        cmocka_unit_test(a_name_that_is_not_utf8_is_matched_by_byte),
        cmocka_unit_test(case_matters_unless_it_is_ignored),
        cmocka_unit_test(bad_patterns_are_refused_with_the_place_and_the_reason),
        cmocka_unit_test(a_nul_byte_is_refused),
        cmocka_unit_test(a_pattern_has_limits),
        cmocka_unit_test(running_out_of_memory_is_an_error_and_leaks_nothing),
        cmocka_unit_test(hostile_patterns_end_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
