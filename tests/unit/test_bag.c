/* SPDX-License-Identifier: MIT */
/* The texts of BagIt bags: read as RFC 8493 and the drafts before it mean them, and refused with
 * the line that is to blame. */
#include "tests/unit/tree_files.h"

#include "core/tree/bag.h"

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define MD5 "900150983cd24fb0d6963f7d28e17f72"

static int declare(const char *text, int *ret_major, struct dray_error *error)
{
    return dray_bag_declaration("bagit.txt", text, strlen(text), ret_major, error);
}

static void declarations_of_all_ages_are_read(void **state)
{
    struct dray_error error = {0};
    int major = -1;

    (void)state;
    assert_done(
        declare("BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n", &major, &error));
    assert_int_equal(major, 1);
    assert_done(
        declare("BagIt-Version: 0.97\r\nTag-File-Character-Encoding: utf-8", &major, &error));
    assert_int_equal(major, 0);
}

static void other_declarations_are_refused(void **state)
{
    static const struct {
        const char *text, *where, *says;
        int class_;
    } cases[] = {
        {"", "bagit.txt:0", "BagIt-Version", DRAY_INVALID},
        {"BagIt-Version: 1\n", "bagit.txt:1", "BagIt-Version", DRAY_INVALID},
        {"BagIt-Version: 1.x\n", "bagit.txt:1", "BagIt-Version", DRAY_INVALID},
        {"BagIt-Version: 2.0\n", "bagit.txt:1", "version 2", DRAY_UNSUPPORTED},
        {"BagIt-Version: 1.0\n", "bagit.txt:1", "Encoding", DRAY_INVALID},
        {"BagIt-Version: 1.0\nTag-File-Character-Encoding: ISO-8859-1\n", "bagit.txt:2",
         "ISO-8859-1", DRAY_UNSUPPORTED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dray_error error = {0};
        int major = 0;
        assert_failed(declare(cases[i].text, &major, &error), cases[i].class_, &error,
                      cases[i].says);
        assert_string_equal(error.where, cases[i].where);
    }
}

static void the_size_of_the_payload_is_read(void **state)
{
    static const char text[] = "Source: x\n  more: 1.2\nPayload-Oxum: 279164409832.1198\n";
    static const char *const refused[] = {"Payload-Oxum: 1",
                                          "Payload-Oxum: 1.",
                                          "Payload-Oxum: .1",
                                          "Payload-Oxum: 1.2.3",
                                          "Payload-Oxum: -1.2",
                                          "Payload-Oxum: 99999999999999999999.1",
                                          "Payload-Oxum: 1.2\nPayload-Oxum: 1.2"};
    struct dray_bag_oxum oxum = {0};
    struct dray_error error = {0};

    (void)state;
    assert_done(dray_bag_info("i", text, strlen(text), &oxum, &error));
    assert_int_equal(oxum.known, 1);
    assert_int_equal(oxum.bytes, 279164409832);
    assert_int_equal(oxum.files, 1198);
    assert_done(dray_bag_info("i", "A: b\n", 5, &oxum, &error));
    assert_int_equal(oxum.known, 0);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_failed(dray_bag_info("i", refused[i], strlen(refused[i]), &oxum, &error),
                      DRAY_INVALID, &error, "Payload-Oxum");
        assert_string_equal(error.where, i == 6 ? "i:2" : "i:1");
    }
}

/* ---- Manifests ---- */

/* "PATH;" for each line. */
static void assert_read(const struct dray_bag_manifest *manifest, const char *text,
                        const char *expected)
{
    struct dray_recorded_list list = {0};
    struct dray_buffer paths = {.cap = 1 << 20};
    struct dray_error error = {0};

    assert_done(dray_bag_read(manifest, text, strlen(text), &list, &error));
    dray_buffer_text(&paths, "");
    for (size_t i = 0; i < list.count; i++) {
        dray_buffer_format(&paths, "%s;", list.items[i].path);
        assert_int_equal(list.items[i].has, manifest->digest_bytes == 0 ? 0
                                            : manifest->digest_bytes == DRAY_MD5_BYTES
                                                ? DRAY_RECORDED_MD5
                                                : DRAY_RECORDED_SHA256);
    }
    assert_string_equal(paths.data, expected);
    dray_buffer_free(&paths);
    dray_recorded_free(&list);
}

static const struct dray_bag_manifest payload = {
    .name = "m", .base = "", .digest_bytes = DRAY_SHA256_BYTES, .payload = 1, .percent = 1};
static const struct dray_bag_manifest tags = {
    .name = "t", .base = "bag/", .digest_bytes = DRAY_MD5_BYTES, .percent = 0};
static const struct dray_bag_manifest foreign = {
    .name = "m", .base = "", .payload = 1, .percent = 1};

static void lines_of_manifests_are_read(void **state)
{
    (void)state;
    assert_read(&payload, ABC "  data/a\n" ABC "\tdata/b c\r\n" ABC "    data/d",
                "data/a;data/b c;data/d;");
    assert_read(&payload, ABC " *data/a\n\n" ABC "  ./data/b\n", "data/a;data/b;");
    assert_read(&payload, ABC "  data/a%0Ab%0dc%25d%20e%\n", "data/a\nb\rc%d%20e%;");
    assert_read(&tags, MD5 "  bagit.txt\n" MD5 "  x%25%0A\n", "bag/bagit.txt;bag/x%25\n;");
    assert_read(&foreign, "ee26b0dd  data/a%25\nZm9v= *data/b\n", "data/a%;data/b;");
}

static void assert_not_read(const struct dray_bag_manifest *manifest, const char *line,
                            const char *says)
{
    struct dray_recorded_list list = {0};
    struct dray_error error = {0};
    char text[512];

    (void)snprintf(text, sizeof text, "\n%s\n", line);
    assert_failed(dray_bag_read(manifest, text, strlen(text), &list, &error), DRAY_INVALID, &error,
                  says);
    assert_string_equal(error.where, manifest->payload ? "m:2" : "t:2");
    dray_recorded_free(&list);
}

static void other_lines_are_refused_with_their_number(void **state)
{
    (void)state;
    assert_not_read(&payload, ABC, "no line of a BagIt manifest of SHA-256");
    assert_not_read(&payload, ABC "  ", "no line");
    assert_not_read(&payload, ABC "data/a", "no line");
    assert_not_read(&payload, MD5 "  data/a", "no line");
    assert_not_read(&payload, "z" ABC "  data/a", "no line");
    assert_not_read(&payload, ABC "  a", "not below data/");
    assert_not_read(&payload, ABC "  data/", "empty segment");
    assert_not_read(&payload, ABC "  data/../../a", "\"..\"");
    assert_not_read(&payload, ABC "  /data/a", "absolute");
    assert_not_read(&payload, ABC "  ~/data/a", "not below data/");
    assert_not_read(&foreign, "ee26b0dd", "no line of a BagIt manifest");
    assert_not_read(&foreign, "  data/a", "no line");
    assert_not_read(&foreign, "ee26b0dd  data/../b", "\"..\"");
    assert_not_read(&tags, MD5 "  data/a", "is below data/");
    assert_not_read(&tags, MD5 "  ../a", "\"..\"");
}

/* ---- fetch.txt ---- */

static void what_is_to_be_fetched_is_read(void **state)
{
    static const char text[] = "https://example.edu/x?a=b 3 data/x\r\n"
                               "ftp://example.edu/y\t-  data/a b%250A\n\n";
    struct dray_recorded_list list = {0};
    struct dray_error error = {0};

    (void)state;
    assert_done(dray_bag_fetch("f", "bag/", 1, text, strlen(text), &list, &error));
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0].path, "bag/data/x");
    assert_int_equal(list.items[0].has, DRAY_RECORDED_BYTES);
    assert_int_equal(list.items[0].bytes, 3);
    assert_string_equal(list.items[1].path, "bag/data/a b%0A");
    assert_int_equal(list.items[1].has, 0);
    dray_recorded_free(&list);
}

static void other_lines_of_what_is_to_be_fetched_are_refused(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"http://x", "no line of a fetch.txt"},
        {"http://x 3", "no line"},
        {"http://x 3 ", "no line"},
        {"http://x three data/x", "no line"},
        {"http://x -1 data/x", "no line"},
        {" 3 data/x", "no line"},
        {"http://x 99999999999999999999 data/x", "no line"},
        {"http://x 3 bagit.txt", "not below data"},
        {"http://x 3 data/../../x", "\"..\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dray_recorded_list list = {0};
        struct dray_error error = {0};
        assert_failed(
            dray_bag_fetch("f", "", 1, cases[i].text, strlen(cases[i].text), &list, &error),
            DRAY_INVALID, &error, cases[i].says);
        assert_string_equal(error.where, "f:1");
        dray_recorded_free(&list);
    }
}

/* Of a text without an end mark no byte behind it is looked at: sanitizers see to that. */
static void a_text_that_ends_anywhere_is_not_read_past(void **state)
{
    static const char whole[] = ABC "  data/a%0A";

    (void)state;
    for (size_t length = 0; length < sizeof whole; length++) {
        struct dray_recorded_list list = {0};
        struct dray_error error = {0};
        char *text = malloc(length > 0 ? length : 1);
        assert_non_null(text);
        memcpy(text, whole, length);
        int result = dray_bag_read(&payload, text, length, &list, &error);
        assert_int_equal(result == 0, length == 0 || (length > 71 && length < sizeof whole));
        free(text);
        dray_recorded_free(&list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(declarations_of_all_ages_are_read),
        cmocka_unit_test(other_declarations_are_refused),
        cmocka_unit_test(the_size_of_the_payload_is_read),
        cmocka_unit_test(lines_of_manifests_are_read),
        cmocka_unit_test(other_lines_are_refused_with_their_number),
        cmocka_unit_test(what_is_to_be_fetched_is_read),
        cmocka_unit_test(other_lines_of_what_is_to_be_fetched_are_refused),
        cmocka_unit_test(a_text_that_ends_anywhere_is_not_read_past),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
