/* SPDX-License-Identifier: MIT */
#include "tests/unit/tree_files.h"

#include <jansson.h>
#include <spawn.h>

#include "core/tree/manifest.h"

extern char **environ;

static const char digest_line[] =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/* Run one of coreutils' programs in the folder, its output into a file of it: its exit status. */
static int run_in(const struct files *files, const char *output, const char *const *words)
{
    posix_spawn_file_actions_t actions;
    char *arguments[16] = {NULL};
    pid_t child;
    int status = -1;

    for (size_t i = 0; words[i] != NULL && i < 15; i++)
        arguments[i] = strdup(words[i]);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_addfchdir_np(&actions, files->fd), 0);
    assert_int_equal(
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0644),
        0);
    int failed = posix_spawnp(&child, arguments[0], &actions, NULL, arguments, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    for (size_t i = 0; i < 16; i++)
        free(arguments[i]);
    assert_int_equal(failed, 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
#define RUN(FILES, OUTPUT, ...) run_in(FILES, OUTPUT, (const char *const[]){__VA_ARGS__, NULL})

/* What a manifest says, one "DIGEST-BYTES:FIRST-BYTE:PATH;" a line. */
static int note_line(void *arg, const uint8_t *digest, size_t digest_bytes, const char *path,
                     size_t path_length, struct dray_error *error)
{
    (void)error;
    assert_int_equal(path[path_length], '\0');
    dray_buffer_format(arg, "%zu:%02x:", digest_bytes, digest[0]);
    dray_buffer_add(arg, path, path_length);
    dray_buffer_text(arg, ";");
    return 0;
}

static void assert_read(const char *text, const char *expected)
{
    struct dray_buffer notes = {.cap = 1 << 20};
    struct dray_error error = {0};

    dray_buffer_text(&notes, "");
    assert_done(dray_manifest_read("m.txt", text, strlen(text), note_line, &notes, &error));
    assert_string_equal(notes.data == NULL ? "" : notes.data, expected);
    dray_buffer_free(&notes);
}

static void assert_not_read(const char *text, size_t length, const char *where)
{
    struct dray_buffer notes = {.cap = 1 << 20};
    struct dray_error error = {0};

    assert_failed(dray_manifest_read("m.txt", text, length, note_line, &notes, &error),
                  DRAY_INVALID, &error, "m.txt");
    assert_string_equal(error.where, where);
    dray_buffer_free(&notes);
}

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define MD5 "900150983cd24fb0d6963f7d28e17f72"

/* ---- Writing ------------------------------------------------------------------------------- */

static void names_are_escaped_as_coreutils_does(void **state)
{
    struct dray_buffer out = {.cap = 1 << 20};
    uint8_t digest[DRAY_SHA256_BYTES];

    (void)state;
    assert_int_equal(dray_unhex(digest_line, sizeof digest, digest), 0);
    dray_manifest_add(&out, digest, sizeof digest, "a b", 3);
    dray_manifest_add(&out, digest, sizeof digest, "back\\slash\nline\rreturn", 22);
    dray_manifest_add(&out, digest, 16, "x", 1);
    assert_int_equal(out.failed, 0);
    assert_string_equal(out.data, ABC "  a b\n"
                                      "\\" ABC "  back\\\\slash\\nline\\rreturn\n"
                                      "ba7816bf8f01cfea414140de5dae2223  x\n");
    dray_buffer_free(&out);

    struct dray_buffer small = {.cap = 60};
    dray_manifest_add(&small, digest, sizeof digest, "a", 1);
    assert_int_equal(small.failed, DRAY_INVALID);
    assert_int_equal(small.length, 0);
    dray_buffer_free(&small);
}

/* Names that a shell, a terminal or a parser of lines could trip over. */
static const char *const names[] = {"plain",       " leading and trailing ",
                                    "back\\slash", "line\nfeed",
                                    "-dash",       "tab\t",
                                    "\xff\xfe",    "#",
                                    "*star",       "\\n",
                                    "a  b"};

static void sha256sum_accepts_what_is_written(void **state)
{
    const struct files *files = *state;
    struct dray_buffer out = {.cap = 1 << 20};
    uint8_t digest[DRAY_SHA256_BYTES];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        files_text(files, names[i], names[i]);
        assert_int_equal(dray_sha256(names[i], strlen(names[i]), digest), 0);
        dray_manifest_add(&out, digest, sizeof digest, names[i], strlen(names[i]));
    }
    files_write(files, "manifest", out.data, out.length);
    assert_int_equal(RUN(files, "said", "sha256sum", "-c", "--strict", "manifest"), 0);
    files_text(files, "line\nfeed", "changed");
    assert_int_equal(RUN(files, "said", "sha256sum", "-c", "--status", "manifest"), 1);
    dray_buffer_free(&out);
}

static void what_sha256sum_and_md5sum_write_is_read(void **state)
{
    const struct files *files = *state;
    static const char *const programs[] = {"sha256sum", "md5sum"};
    static const char *const modes[] = {"--text", "--binary", "--tag"};

    for (size_t i = 0; i < 6; i++) {
        struct dray_buffer text = {.cap = 1 << 20};
        struct dray_buffer notes = {.cap = 1 << 20};
        struct dray_error error = {0};
        files_text(files, "back\\slash", "x");
        files_text(files, "line\nfeed", "x");
        files_text(files, " b ", "x");
        assert_int_equal(RUN(files, "manifest", programs[i / 3], modes[i % 3], "--", "back\\slash",
                             "./line\nfeed", " b "),
                         0);
        assert_done(dray_read_file(files_at(files, "manifest"), &text, &error));
        assert_done(dray_manifest_read("m", text.data, text.length, note_line, &notes, &error));
        assert_string_equal(notes.data, i / 3 == 0
                                            ? "32:2d:back\\slash;32:2d:line\nfeed;32:2d: b ;"
                                            : "16:9d:back\\slash;16:9d:line\nfeed;16:9d: b ;");
        dray_buffer_free(&text);
        dray_buffer_free(&notes);
    }
}

/* ---- Reading ------------------------------------------------------------------------------- */

static void all_forms_of_lines_are_read(void **state)
{
    (void)state;
    assert_read("", "");
    assert_read(ABC "  a\n" MD5 " *b\n", "32:ba:a;16:90:b;");
    assert_read(ABC "  a", "32:ba:a;");
    assert_read(ABC "  ./a/b\r\n" ABC "  .//./c\r\n", "32:ba:a/b;32:ba:c;");
    assert_read("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD  A\n",
                "32:ba:A;");
    assert_read("# made by hand\n\n" ABC "  a\n\r\n\n", "32:ba:a;");
    assert_read("\\" ABC "  a\\\\b\\nc\\rd\n", "32:ba:a\\b\nc\rd;");
    /* Without the mark a backslash is a backslash. */
    assert_read(ABC "  a\\nb\n", "32:ba:a\\nb;");
    assert_read(ABC "   a\n" ABC " **b\n", "32:ba: a;32:ba:*b;");
    assert_read(ABC "  .hidden\n" ABC "  ../up\n", "32:ba:.hidden;32:ba:../up;");
}

static void any_other_line_is_refused_with_its_number(void **state)
{
    static const char *const refused[] = {
        ABC "\n",
        ABC "  \n",
        ABC "  ./\n",
        ABC " a\n",
        ABC "\ta\n",
        ABC "a  a\n",
        "a7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a\n",
        "ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a\n",
        "SHA256 (a)= " ABC "\n",
        "SHA256 () = " ABC "\n",
        "SHA256 (a) = " ABC "0\n",
        "SHA256 (a) = \n",
        "SHA256 a) = " ABC "\n",
        "SHA256 (a) = " ABC " \n",
        " " ABC "  a\n",
        "\\" ABC "  a\\tb\n",
        "\\" ABC "  a\\\n",
        "\\\n",
        "not a manifest",
    };
    char with_nul[] = ABC "  a?b\n";
    char text[512];

    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        (void)snprintf(text, sizeof text, "%s  ok\n\n%s", digest_line, refused[i]);
        assert_not_read(text, strlen(text), "m.txt:3");
    }
    with_nul[67] = '\0';
    assert_not_read(with_nul, sizeof with_nul - 1, "m.txt:1");
}

static void lines_with_a_tag_are_read(void **state)
{
    (void)state;
    assert_read("SHA256 (a b) = " ABC "\nMD5 (./c) = " MD5 "\r\n", "32:ba:a b;16:90:c;");
    assert_read("\\SHA256 (a\\nb) = " ABC "\n", "32:ba:a\nb;");
    /* Brackets are part of the name, up to the last ones. */
    assert_read("SHA256 (a (1) = ) = " ABC "\n", "32:ba:a (1) = ;");
}

static void digests_that_nobody_compares_are_named(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {ABC "  ok\nda39a3ee5e6b4b0d3255bfef95601890afd80709  a\n", "line 2 has a digest of SHA-1"},
        {ABC "  ok\nSHA1 (a) = da39a3ee5e6b4b0d3255bfef95601890afd80709\n", "SHA-1"},
        {ABC "  ok\n" ABC ABC "  a\n", "SHA-512"},
        {ABC "  ok\nSHA3-256 (a) = " ABC "\n", "another kind"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dray_buffer notes = {.cap = 1 << 20};
        struct dray_error error = {0};
        assert_failed(dray_manifest_read("m.txt", cases[i].text, strlen(cases[i].text), note_line,
                                         &notes, &error),
                      DRAY_UNSUPPORTED, &error, cases[i].says);
        assert_string_equal(error.where, "m.txt:2");
        dray_buffer_free(&notes);
    }
}

/* Of a text without an end mark no byte behind it is looked at: sanitizers see to that. */
static void a_text_that_ends_anywhere_is_not_read_past(void **state)
{
    static const char whole[] = "\\" ABC "  ./a\\nb";

    (void)state;
    for (size_t length = 0; length < sizeof whole; length++) {
        struct dray_buffer notes = {.cap = 1 << 20};
        struct dray_error error = {0};
        char *text = malloc(length > 0 ? length : 1);
        assert_non_null(text);
        memcpy(text, whole, length);
        int result = dray_manifest_read("m", text, length, note_line, &notes, &error);
        /* Nothing, or a whole name: "." and "./a" are some, "./" and a lone backslash are none. */
        int whole_name = length >= 68 && length != 69 && length != 71;
        assert_int_equal(result == 0, length == 0 || whole_name);
        free(text);
        dray_buffer_free(&notes);
    }
}

static int refuse_b(void *arg, const uint8_t *digest, size_t digest_bytes, const char *path,
                    size_t path_length, struct dray_error *error)
{
    (void)digest;
    (void)digest_bytes;
    (void)path_length;
    ++*(int *)arg;
    return strcmp(path, "b") == 0 ? dray_fail(error, DRAY_NOT_FOUND, "no b") : 0;
}

static void the_answer_of_a_line_is_passed_on(void **state)
{
    static const char text[] = ABC "  a\n" ABC "  b\n" ABC "  c\n";
    struct dray_error error = {0};
    int lines = 0;

    (void)state;
    assert_failed(dray_manifest_read("m", text, strlen(text), refuse_b, &lines, &error),
                  DRAY_NOT_FOUND, &error, "no b");
    assert_int_equal(lines, 2);
}

static void random_names_come_back_as_they_were(void **state)
{
    static const char bytes[] = "\\\n\r nr*./#a";
    uint8_t digest[DRAY_SHA256_BYTES] = {0xba};

    (void)state;
    srandom(3);
    for (int round = 0; round < 20000; round++) {
        struct dray_buffer out = {.cap = 1 << 10};
        struct dray_buffer notes = {.cap = 1 << 10};
        struct dray_error error = {0};
        char expected[64];
        char name[24];
        /* Paths of entries do not begin with "./" or "/". */
        size_t length = 1 + (size_t)random() % 20;
        for (size_t i = 0; i < length; i++)
            name[i] = bytes[random() % 11];
        if (name[0] == '.' || name[0] == '/')
            name[0] = 'x';
        name[length] = '\0';
        dray_manifest_add(&out, digest, sizeof digest, name, length);
        assert_int_equal(out.failed, 0);
        assert_non_null(memchr(out.data, '\n', out.length));
        assert_ptr_equal(memchr(out.data, '\n', out.length), out.data + out.length - 1);
        assert_done(dray_manifest_read("m", out.data, out.length, note_line, &notes, &error));
        (void)snprintf(expected, sizeof expected, "32:ba:%s;", name);
        assert_string_equal(notes.data, expected);
        dray_buffer_free(&out);
        dray_buffer_free(&notes);
    }
}

/* ---- tree.jsonl ---------------------------------------------------------------------------- */

static json_t *line_of(const struct dray_tree_entry *entry, const uint8_t *sha256,
                       const struct dray_tree_entry *same_as)
{
    struct dray_buffer out = {.cap = 1 << 20};
    json_error_t problem;

    assert_int_equal(dray_tree_line(&out, entry, sha256, same_as), 0);
    assert_true(out.length > 0 && out.data[out.length - 1] == '\n');
    assert_ptr_equal(memchr(out.data, '\n', out.length), out.data + out.length - 1);
    json_t *json = json_loads(out.data, JSON_REJECT_DUPLICATES, &problem);
    if (json == NULL)
        fail_msg("%s: %s", problem.text, out.data);
    dray_buffer_free(&out);
    return json;
}

static const char *text_at(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

static void a_line_tells_all_of_a_file(void **state)
{
    struct dray_tree_entry first = {.path = "a/first", .path_length = 7, .type = DRAY_FILE};
    struct dray_tree_entry file = {.path = "a/b",
                                   .path_length = 3,
                                   .bytes = 12345678901234567u,
                                   .mtime = INT64_C(1700000000123456789),
                                   .mode = 0640,
                                   .type = DRAY_FILE};
    uint8_t digest[DRAY_SHA256_BYTES];

    (void)state;
    assert_int_equal(dray_unhex(digest_line, sizeof digest, digest), 0);
    json_t *json = line_of(&file, digest, &first);
    assert_int_equal(json_object_size(json), 7);
    assert_string_equal(text_at(json, "path"), "a/b");
    assert_string_equal(text_at(json, "type"), "file");
    assert_int_equal(json_integer_value(json_object_get(json, "size")), 12345678901234567);
    assert_string_equal(text_at(json, "mode"), "0640");
    assert_int_equal(json_integer_value(json_object_get(json, "mtime")), 1700000000123456789);
    assert_string_equal(text_at(json, "sha256"), ABC);
    assert_string_equal(text_at(json, "same_as"), "a/first");
    json_decref(json);

    file.bytes = 0;
    file.mtime = INT64_MIN;
    file.mode = 07777;
    json = line_of(&file, NULL, NULL);
    assert_int_equal(json_object_size(json), 5);
    assert_int_equal(json_integer_value(json_object_get(json, "size")), 0);
    assert_true(json_integer_value(json_object_get(json, "mtime")) == INT64_MIN);
    assert_string_equal(text_at(json, "mode"), "7777");
    json_decref(json);
}

static void a_line_tells_what_digests_cannot(void **state)
{
    struct dray_tree_entry folder = {
        .path = "d", .path_length = 1, .mode = 01, .type = DRAY_DIRECTORY};
    struct dray_tree_entry link = {
        .path = "l", .path_length = 1, .at = "../x", .mode = 0777, .type = DRAY_LINK};

    (void)state;
    json_t *json = line_of(&folder, NULL, NULL);
    assert_int_equal(json_object_size(json), 4);
    assert_string_equal(text_at(json, "type"), "directory");
    assert_string_equal(text_at(json, "mode"), "0001");
    json_decref(json);
    json = line_of(&link, NULL, NULL);
    assert_int_equal(json_object_size(json), 5);
    assert_string_equal(text_at(json, "type"), "link");
    assert_string_equal(text_at(json, "link"), "../x");
    json_decref(json);
}

static void any_name_is_valid_json(void **state)
{
    struct dray_tree_entry link = {.mode = 0777, .type = DRAY_LINK};
    char name[4] = "";

    (void)state;
    /* Every byte, alone and before and behind others. */
    for (int byte = 1; byte < 256; byte++) {
        name[0] = 'a';
        name[1] = (char)byte;
        name[2] = 'z';
        link.path = name;
        link.path_length = 3;
        link.at = name;
        json_t *json = line_of(&link, NULL, NULL);
        if (byte < 0x80) {
            assert_string_equal(text_at(json, "path"), name);
            assert_string_equal(text_at(json, "link"), name);
            assert_null(text_at(json, "path_b64"));
        } else {
            assert_string_equal(text_at(json, "path"), "a\xef\xbf\xbdz");
            assert_string_equal(text_at(json, "link"), "a\xef\xbf\xbdz");
            assert_int_equal(strlen(text_at(json, "path_b64")), 4);
            assert_string_equal(text_at(json, "path_b64"), text_at(json, "link_b64"));
        }
        json_decref(json);
    }
    link.path = "\xc3\xbc\xe6\xb5\xb7\xf0\x9f\x90\x9f";
    link.path_length = 9;
    json_t *json = line_of(&link, NULL, NULL);
    assert_string_equal(text_at(json, "path"), link.path);
    assert_null(text_at(json, "path_b64"));
    json_decref(json);
    link.path = "a\xff";
    link.path_length = 2;
    json = line_of(&link, NULL, NULL);
    assert_string_equal(text_at(json, "path_b64"), "Yf8=");
    json_decref(json);
}

static void a_line_that_does_not_fit_is_an_error(void **state)
{
    struct dray_tree_entry folder = {.path = "d", .path_length = 1, .type = DRAY_DIRECTORY};
    struct dray_buffer out = {.cap = 20};

    (void)state;
    assert_int_equal(dray_tree_line(&out, &folder, NULL, NULL), DRAY_INVALID);
    dray_buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_escaped_as_coreutils_does),
        files_test(sha256sum_accepts_what_is_written),
        files_test(what_sha256sum_and_md5sum_write_is_read),
        cmocka_unit_test(all_forms_of_lines_are_read),
        cmocka_unit_test(any_other_line_is_refused_with_its_number),
        cmocka_unit_test(lines_with_a_tag_are_read),
        cmocka_unit_test(digests_that_nobody_compares_are_named),
        cmocka_unit_test(a_text_that_ends_anywhere_is_not_read_past),
        cmocka_unit_test(the_answer_of_a_line_is_passed_on),
        cmocka_unit_test(random_names_come_back_as_they_were),
        cmocka_unit_test(a_line_tells_all_of_a_file),
        cmocka_unit_test(a_line_tells_what_digests_cannot),
        cmocka_unit_test(any_name_is_valid_json),
        cmocka_unit_test(a_line_that_does_not_fit_is_an_error),
    };

    return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
