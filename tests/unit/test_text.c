/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/text.h"

typedef int parser(const char *text, size_t length, int64_t *ret_value, const char **ret_why);

struct good {
    const char *text;
    int64_t value;
};

static void expect_good(parser *parse, const struct good *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t value = -1;
        const char *why = "";
        if (parse(rows[i].text, strlen(rows[i].text), &value, &why) != 0)
            fail_msg("\"%s\" was refused: %s", rows[i].text, why);
        if (value != rows[i].value)
            fail_msg("\"%s\" is %lld", rows[i].text, (long long)value);
    }
}

static void expect_bad(parser *parse, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t value = 77;
        const char *why = NULL;
        if (parse(texts[i], strlen(texts[i]), &value, &why) != DRAY_INVALID)
            fail_msg("\"%s\" was taken as %lld", texts[i], (long long)value);
        assert_non_null(why);
        assert_int_equal(value, 77);
    }
}

static void sizes_are_read_exactly(void **state)
{
    static const struct good rows[] = {
        {"0", 0},
        {"10", 10},
        {"10B", 10},
        {"4 KiB", 4096},
        {"4kB", 4000},
        {"4KB", 4000},
        {"1.5GB", 1500000000},
        {"1.5 GiB", 1610612736},
        {"0.1 KiB", 102},
        {"1.999999999999999999999999999999 KiB", 2047},
        {"2 MiB", 2097152},
        {"3TB", 3000000000000},
        {"3TiB", 3298534883328},
        {"1PB", 1000000000000000},
        {"8191 PiB", INT64_C(8191) << 50},
        {"9223372036854775806", INT64_MAX - 1},
        {"none", DRAY_NONE},
    };

    (void)state;
    expect_good(dray_size_parse, rows, DRAY_COUNT(rows));
}

static void what_is_no_size_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "-1",
        "+1",
        "KiB",
        "4 kib",
        "4K",
        "4 M",
        "1.5",
        "1.5B",
        ".5 GB",
        "1. GB",
        "1 GB ",
        " 1 GB",
        "4 ",
        "1 2",
        "1e3",
        "0x10",
        "9223372036854775807",
        "18446744073709551616",
        "8192 PiB",
        "99999 PB",
        "None",
        "nones",
        "1.5.2 GB",
        "4,5 GB",
    };

    (void)state;
    expect_bad(dray_size_parse, texts, DRAY_COUNT(texts));
}

static void durations_are_read_exactly(void **state)
{
    static const struct good rows[] = {
        {"30s", INT64_C(30000000000)},
        {"10m", INT64_C(600000000000)},
        {"24h", INT64_C(86400000000000)},
        {"400d", INT64_C(34560000000000000)},
        {"250ms", 250000000},
        {"1h30m", INT64_C(5400000000000)},
        {"1d 2h 3m 4s 5ms", INT64_C(93784005000000)},
        {"1.5 h", INT64_C(5400000000000)},
        {"0.25s", 250000000},
        {"0s", 0},
        {"none", DRAY_NONE},
    };

    (void)state;
    expect_good(dray_duration_parse, rows, DRAY_COUNT(rows));
}

static void what_is_no_duration_is_refused(void **state)
{
    static const char *const texts[] = {
        "",        "5",     "0",     "s",       "-1s",
        "5 years", "30m1h", "1h1h",  "1ms1ms",  "30s ",
        " 30s",    "1h30",  "1h-3m", "106752d", "99999999999999999999s",
        "1h,30m",
    };

    (void)state;
    expect_bad(dray_duration_parse, texts, DRAY_COUNT(texts));
}

static void integers_are_read_up_to_their_limits(void **state)
{
    static const struct good rows[] = {
        {"0", 0},
        {"-0", 0},
        {"+7", 7},
        {"007", 7},
        {"-12", -12},
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
    };
    static const char *const texts[] = {
        "",
        "-",
        "+",
        "--1",
        "1.0",
        "1 ",
        " 1",
        "9223372036854775808",
        "-9223372036854775809",
        "1_000",
        "0x1",
    };

    (void)state;
    expect_good(dray_int_parse, rows, DRAY_COUNT(rows));
    expect_bad(dray_int_parse, texts, DRAY_COUNT(texts));
}

static void parsers_stop_at_the_given_length(void **state)
{
    int64_t value;
    const char *why;

    (void)state;
    assert_int_equal(dray_size_parse("4 KiB, more", 5, &value, &why), 0);
    assert_int_equal(value, 4096);
    assert_int_equal(dray_duration_parse("10msx", 3, &value, &why), 0);
    assert_int_equal(value, INT64_C(600000000000));
    assert_int_equal(dray_int_parse("123", 2, &value, &why), 0);
    assert_int_equal(value, 12);
}

static void sizes_and_seconds_are_printed_for_people(void **state)
{
    char text[24];

    (void)state;
    assert_string_equal(dray_size_print(0, text), "0 B");
    assert_string_equal(dray_size_print(1023, text), "1023 B");
    assert_string_equal(dray_size_print(4096, text), "4.0 KiB");
    assert_string_equal(dray_size_print(1048575, text), "1.0 MiB");
    assert_string_equal(dray_size_print(UINT64_MAX, text), "16.0 EiB");
    assert_string_equal(dray_seconds_print(0.25, text), "250 ms");
    assert_string_equal(dray_seconds_print(0.9999, text), "1.0 s");
    assert_string_equal(dray_seconds_print(1.2, text), "1.2 s");
    assert_string_equal(dray_seconds_print(59.97, text), "1 min 0 s");
    assert_string_equal(dray_seconds_print(200, text), "3 min 20 s");
    assert_string_equal(dray_seconds_print(7500, text), "2 h 5 min");
    assert_string_equal(dray_seconds_print(273600, text), "3 d 4 h");
    assert_string_equal(dray_seconds_print(-3, text), "0 ms");
    assert_string_equal(dray_seconds_print(NAN, text), "0 ms");
    assert_true(strlen(dray_seconds_print(INFINITY, text)) < sizeof text);
}

static void sizes_are_rounded_as_printf_rounds(void **state)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    uint64_t seed = 1;
    char text[24], expected[24];

    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        unsigned unit = i % 4;
        /* Twentieths of a unit, one in two of which is as near to two tenths, and what is beside.
         */
        uint64_t size = UINT64_C(1) << (10 * (unit + 1));
        uint64_t bytes = size + (seed >> 45) % 20000 * (size / 20) + (i % 3) - 1;
        double value = (double)bytes / (double)size;
        if (value < 1 || value >= 1023.95)
            continue;
        (void)snprintf(expected, sizeof expected, "%.1f %s", value, units[unit]);
        assert_string_equal(dray_size_print(bytes, text), expected);
    }
    assert_string_equal(dray_size_print(1280, text), "1.2 KiB");
    assert_string_equal(dray_size_print(1792, text), "1.8 KiB");
}

static void times_are_rfc_3339(void **state)
{
    char text[24];

    (void)state;
    assert_string_equal(dray_time_print(0, text), "1970-01-01T00:00:00Z");
    assert_string_equal(dray_time_print(INT64_C(1795437271999999999), text),
                        "2026-11-23T12:34:31Z");
    assert_string_equal(dray_time_print(-1, text), "1969-12-31T23:59:59Z");
    assert_string_equal(dray_time_print(INT64_MIN, text), "1677-09-21T00:12:43Z");
    assert_true(dray_now() > INT64_C(1700000000000000000));
    int64_t before = dray_monotonic();
    assert_true(dray_monotonic() >= before);
}

static void days_are_days_of_the_calendar(void **state)
{
    static const char *const none[] = {"",           "2026-02-30",           "2025-02-29",
                                       "2026-13-01", "2026-00-10",           "2026-1-1",
                                       "26-01-01",   "2026-01-01 ",          "2026/01/01",
                                       "tomorrow",   "2026-01-01T00:00:00Z", "1899-01-01",
                                       "2300-01-01"};
    int64_t ns = 7;

    (void)state;
    assert_int_equal(dray_date_parse("1970-01-02", &ns), 0);
    assert_int_equal(ns, INT64_C(86400000000000));
    assert_int_equal(dray_date_parse("2024-02-29", &ns), 0);
    assert_int_equal(ns, INT64_C(1709164800000000000));
    assert_int_equal(dray_date_parse("1969-12-31", &ns), 0);
    assert_int_equal(ns, INT64_C(-86400000000000));
    for (size_t i = 0; i < DRAY_COUNT(none); i++)
        if (dray_date_parse(none[i], &ns) == 0)
            fail_msg("%s", none[i]);
    assert_int_equal(ns, INT64_C(-86400000000000));
}

static void utf8_is_judged_as_the_standard_says(void **state)
{
    static const struct {
        const char *text;
        size_t length;
    } rows[] = {
        {"a", 1},
        {"\xc3\xb6", 2},
        {"\xe2\x82\xac", 3},
        {"\xf0\x9f\x9a\x9a", 4},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\xc0\x80", 0},         /* overlong */
        {"\xe0\x9f\xbf", 0},     /* overlong */
        {"\xf0\x8f\xbf\xbf", 0}, /* overlong */
        {"\xed\xa0\x80", 0},     /* surrogate */
        {"\xf4\x90\x80\x80", 0}, /* past U+10FFFF */
        {"\xf5\x80\x80\x80", 0},
        {"\x80", 0},
        {"\xe2\x82", 0},
        {"\xe2\x82x", 0},
        {"\xff", 0},
    };

    (void)state;
    for (size_t i = 0; i < DRAY_COUNT(rows); i++)
        assert_int_equal(dray_utf8_length(rows[i].text, strlen(rows[i].text)), rows[i].length);
    assert_int_equal(dray_utf8_length("", 0), 0);
    assert_true(dray_utf8_valid("", 0));
    assert_true(dray_utf8_valid("a\0k\xc3\xb6ln", 7));
    assert_false(dray_utf8_valid("k\xc3\xb6ln", 2));
}

static void cutting_leaves_whole_characters(void **state)
{
    static const char text[] = "a\xc3\xb6\xe2\x82\xac\xf0\x9f\x9a\x9a";
    static const size_t wanted[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};

    (void)state;
    for (size_t length = 0; length < DRAY_COUNT(wanted); length++)
        assert_int_equal(dray_utf8_cut(text, length), wanted[length]);
    assert_int_equal(dray_utf8_cut("\x80\x80", 2), 2); /* not UTF-8 at all: nothing was cut */
}

static void bytes_become_utf8_and_plain_text_has_no_controls(void **state)
{
    struct dray_buffer buffer = {.cap = 100};
    static const char bytes[] = "a\x1b[\xff\xc3\xb6\xe2\x82\n\xc2\x9b\x7f";

    (void)state;
    dray_utf8_add(&buffer, bytes, sizeof bytes - 1, 0);
    assert_string_equal(buffer.data,
                        "a\x1b[\xef\xbf\xbd\xc3\xb6\xef\xbf\xbd\xef\xbf\xbd\n\xc2\x9b\x7f");
    dray_buffer_clear(&buffer);
    dray_utf8_add(&buffer, bytes, sizeof bytes - 1, 1);
    assert_string_equal(buffer.data,
                        "a\xef\xbf\xbd[\xef\xbf\xbd\xc3\xb6\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                        "\xef\xbf\xbd\xef\xbf\xbd");
    dray_buffer_free(&buffer);
}

static void base64_gives_the_vectors_of_rfc_4648(void **state)
{
    static const char *const rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xfe\xfd\xfb", "//79+w=="},
    };

    (void)state;
    for (size_t i = 0; i < DRAY_COUNT(rows); i++) {
        struct dray_buffer buffer = {.cap = 100};
        dray_base64_add(&buffer, rows[i][0], strlen(rows[i][0]));
        assert_int_equal(buffer.failed, 0);
        assert_string_equal(buffer.data == NULL ? "" : buffer.data, rows[i][1]);
        size_t length = 77;
        dray_autofree char *back = dray_base64_decode(rows[i][1], &length);
        assert_non_null(back);
        assert_int_equal(length, strlen(rows[i][0]));
        assert_string_equal(back, rows[i][0]);
        dray_buffer_free(&buffer);
    }
}

static void base64_survives_every_byte(void **state)
{
    unsigned char bytes[256];

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(255 - i);
    for (size_t count = 0; count <= sizeof bytes; count++) {
        struct dray_buffer buffer = {.cap = 400};
        size_t length;
        dray_base64_add(&buffer, bytes, count);
        dray_autofree char *back = dray_base64_decode(count == 0 ? "" : buffer.data, &length);
        assert_non_null(back);
        assert_int_equal(length, count);
        assert_memory_equal(back, bytes, count);
        assert_int_equal(back[length], '\0');
        dray_buffer_free(&buffer);
    }
}

static void what_is_no_base64_is_refused(void **state)
{
    static const char *const texts[] = {
        "Z",    "Zg",           "Zg=",   "Zg===", "====", "=Zg=",       "Zg==Zg==", "Z===",
        " Zg=", "Zg==\n\n\n\n", "Zm9\n", "Zh==",  "Zm9=", "Zm\xc3\xb6", "Zm-_",     "Zg=a",
    };
    size_t length = 77;

    (void)state;
    for (size_t i = 0; i < DRAY_COUNT(texts); i++)
        if (dray_base64_decode(texts[i], &length) != NULL)
            fail_msg("\"%s\" was decoded", texts[i]);
    assert_int_equal(length, 77);
}

static void a_path_in_json_keeps_its_bytes(void **state)
{
    json_t *object = json_object();

    (void)state;
    assert_int_equal(dray_json_set_path(object, "path", "k\xc3\xb6ln", 5), 0);
    assert_string_equal(json_string_value(json_object_get(object, "path")), "k\xc3\xb6ln");
    assert_null(json_object_get(object, "path_b64"));
    assert_int_equal(dray_json_set_path(object, "from", "k\xf6ln", 4), 0);
    assert_string_equal(json_string_value(json_object_get(object, "from")), "k\xef\xbf\xbdln");
    assert_string_equal(json_string_value(json_object_get(object, "from_b64")), "a/Zsbg==");
    json_decref(object);
}

static void a_slip_of_the_pen_finds_the_word(void **state)
{
    static const char *const words[] = {"include", "exclude", "existing", "path",
                                        "into",    "min",     "max"};
    static const struct {
        const char *word;
        const char *wanted;
    } rows[] = {
        {"exlcude", "exclude"},  /* swapped */
        {"includes", "include"}, /* one more */
        {"xclude", "exclude"},   /* one less */
        {"EXISTING", "existing"},
        {"pth", "path"},
        {"mxa", "max"},
        {"in_to", "into"},
        {"conflicts", NULL},
        {"a", NULL},
        {"", NULL},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         NULL},
    };

    (void)state;
    for (size_t i = 0; i < DRAY_COUNT(rows); i++) {
        const char *found = dray_nearest(rows[i].word, words, DRAY_COUNT(words));
        if (rows[i].wanted == NULL ? found != NULL
                                   : found == NULL || strcmp(found, rows[i].wanted) != 0)
            fail_msg("%s gave %s", rows[i].word, found == NULL ? "nothing" : found);
    }
    assert_null(dray_nearest("x", NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_read_exactly),
        cmocka_unit_test(what_is_no_size_is_refused),
        cmocka_unit_test(durations_are_read_exactly),
        cmocka_unit_test(what_is_no_duration_is_refused),
        cmocka_unit_test(integers_are_read_up_to_their_limits),
        cmocka_unit_test(parsers_stop_at_the_given_length),
        cmocka_unit_test(sizes_and_seconds_are_printed_for_people),
        cmocka_unit_test(sizes_are_rounded_as_printf_rounds),
        cmocka_unit_test(times_are_rfc_3339),
        cmocka_unit_test(days_are_days_of_the_calendar),
        cmocka_unit_test(utf8_is_judged_as_the_standard_says),
        cmocka_unit_test(cutting_leaves_whole_characters),
        cmocka_unit_test(bytes_become_utf8_and_plain_text_has_no_controls),
        cmocka_unit_test(base64_gives_the_vectors_of_rfc_4648),
        cmocka_unit_test(base64_survives_every_byte),
        cmocka_unit_test(what_is_no_base64_is_refused),
        cmocka_unit_test(a_path_in_json_keeps_its_bytes),
        cmocka_unit_test(a_slip_of_the_pen_finds_the_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
