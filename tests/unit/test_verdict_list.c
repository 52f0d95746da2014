/* SPDX-License-Identifier: MIT */
/* Verdicts come back from their chunks as they went in, and nothing else passes for a chunk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/text.h"
#include "core/run/verdict_list.h"

struct chunks {
    char *data[64];
    size_t lengths[64];
    uint64_t entries[64];
    size_t count;
};

static int keep(void *arg, const void *data, size_t length, uint64_t entries)
{
    struct chunks *chunks = arg;

    assert_true(chunks->count < DRAY_COUNT(chunks->data));
    chunks->data[chunks->count] = malloc(length);
    assert_non_null(chunks->data[chunks->count]);
    memcpy(chunks->data[chunks->count], data, length);
    chunks->lengths[chunks->count] = length;
    chunks->entries[chunks->count++] = entries;
    return 0;
}

static void forget(struct chunks *chunks)
{
    for (size_t i = 0; i < chunks->count; i++)
        free(chunks->data[i]);
}

struct seen {
    uint64_t count, bytes;
    struct dray_buffer text; /* "k f 5 path by;" of each */
};

static int see(void *arg, const struct dray_verdict_row *row)
{
    struct seen *seen = arg;

    seen->count++;
    seen->bytes += row->bytes;
    dray_buffer_format(&seen->text, "%c%c %llu %lld %zu ", row->verdict, row->type,
                       (unsigned long long)row->bytes, (long long)row->mtime, row->path_length);
    dray_buffer_add(&seen->text, row->path, row->path_length);
    dray_buffer_format(&seen->text, " %s;", row->by ? row->by : "-");
    return 0;
}

static void rows_come_back_as_they_went_in(void **state)
{
    static const struct {
        struct dray_verdict_row row;
        int rule;
    } rows[] = {
        {{"a", 1, 'f', 'k', 5, 7, NULL}, -1},
        {{"a/b.nc", 6, 'f', 'd', 0, -1, NULL}, 0},
        {{"a/b.txt", 7, 'l', 'd', 1, INT64_MIN, NULL}, 1},
        {{"a/c \xff\n;", 7, 'f', 'u', UINT64_MAX, INT64_MAX, NULL}, -1},
        {{"empty", 5, 'd', 'k', 0, 0, NULL}, 0},
    };
    struct dray_verdict_writer writer;
    struct dray_error error = {0};
    struct chunks chunks = {0};
    dray_cleanup(dray_buffer_free) struct dray_buffer expected = {.cap = 1u << 16};
    struct seen seen = {.text = {.cap = 1u << 16}};

    (void)state;
    dray_verdict_writer_init(&writer, keep, &chunks);
    assert_int_equal(dray_verdict_rule(&writer, "pick.exclude[0]"), 0);
    assert_int_equal(dray_verdict_rule(&writer, "policy:p/r"), 1);
    for (size_t i = 0; i < DRAY_COUNT(rows); i++) {
        const struct dray_verdict_row *row = &rows[i].row;
        assert_int_equal(dray_verdict_add(&writer, row, rows[i].rule), 0);
        dray_buffer_format(&expected, "%c%c %llu %lld %zu ", row->verdict, row->type,
                           (unsigned long long)row->bytes, (long long)row->mtime, row->path_length);
        dray_buffer_add(&expected, row->path, row->path_length);
        dray_buffer_format(&expected, " %s;",
                           rows[i].rule < 0    ? "-"
                           : rows[i].rule == 0 ? "pick.exclude[0]"
                                               : "policy:p/r");
    }
    assert_int_equal(chunks.count, 0);
    assert_int_equal(dray_verdict_flush(&writer), 0);
    assert_int_equal(dray_verdict_flush(&writer), 0);
    assert_int_equal(chunks.count, 1);
    assert_int_equal(chunks.entries[0], 5);
    assert_int_equal(dray_verdict_read(chunks.data[0], chunks.lengths[0], see, &seen, &error), 0);
    assert_int_equal(seen.text.length, expected.length);
    assert_memory_equal(seen.text.data, expected.data, expected.length);
    dray_buffer_free(&seen.text);
    dray_verdict_writer_free(&writer);
    forget(&chunks);
}

static void many_rows_are_several_chunks_that_are_small(void **state)
{
    struct dray_verdict_writer writer;
    struct dray_error error = {0};
    struct chunks chunks = {0};
    struct seen seen = {.text = {.cap = 64u << 20}};
    uint64_t packed = 0, entries = 0;

    (void)state;
    dray_verdict_writer_init(&writer, keep, &chunks);
    for (uint64_t i = 0; i < 100000; i++) {
        char path[64];
        int length = snprintf(path, sizeof(path), "run-%04u/sample_%04u.fastq.gz",
                              (unsigned)(i / 500), (unsigned)(i % 500));
        struct dray_verdict_row row = {path, (size_t)length, 'f', i % 2 ? 'k' : 'd', 4096, 5, NULL};
        uint64_t chunk = dray_verdict_chunk(&writer);
        /* the numbers of rules begin anew with each chunk */
        static uint64_t named = UINT64_MAX;
        if (named != chunk) {
            assert_int_equal(dray_verdict_rule(&writer, "r"), 0);
            named = chunk;
        }
        assert_int_equal(dray_verdict_add(&writer, &row, i % 2 ? -1 : 0), 0);
    }
    assert_int_equal(dray_verdict_flush(&writer), 0);
    assert_true(chunks.count > 3);
    for (size_t i = 0; i < chunks.count; i++) {
        packed += chunks.lengths[i];
        entries += chunks.entries[i];
        assert_int_equal(dray_verdict_read(chunks.data[i], chunks.lengths[i], see, &seen, &error),
                         0);
    }
    assert_int_equal(entries, 100000);
    assert_int_equal(seen.count, 100000);
    assert_int_equal(seen.bytes, 4096 * UINT64_C(100000));
    assert_true(packed < 100000 * 6); /* under 6 bytes an entry */
    dray_buffer_free(&seen.text);
    dray_verdict_writer_free(&writer);
    forget(&chunks);
}

static int stop(void *arg, const struct dray_verdict_row *row)
{
    (void)arg;
    (void)row;
    return DRAY_CANCELLED;
}

static void damage_is_found(void **state)
{
    struct dray_verdict_writer writer;
    struct dray_error error = {0};
    struct chunks chunks = {0};
    struct seen seen = {.text = {.cap = 1u << 20}};
    struct dray_verdict_row row = {"a/b", 3, 'f', 'k', 5, 7, NULL};

    (void)state;
    dray_verdict_writer_init(&writer, keep, &chunks);
    assert_int_equal(dray_verdict_add(&writer, &row, -1), 0);
    assert_int_equal(dray_verdict_flush(&writer), 0);
    assert_int_equal(dray_verdict_read(chunks.data[0], chunks.lengths[0], stop, NULL, &error),
                     DRAY_CANCELLED);
    for (size_t length = 0; length < chunks.lengths[0]; length++)
        assert_int_equal(dray_verdict_read(chunks.data[0], length, see, &seen, &error),
                         DRAY_INTEGRITY);
    /* All but the few bits that mean nothing. */
    for (size_t i = 0; i < chunks.lengths[0]; i++) {
        dray_buffer_clear(&seen.text);
        chunks.data[0][i] ^= 0x40;
        if (dray_verdict_read(chunks.data[0], chunks.lengths[0], see, &seen, &error) == 0)
            assert_string_equal(seen.text.data, "kf 5 7 3 a/b -;");
        chunks.data[0][i] ^= 0x40;
    }
    /* packed well, and no rows: a rule's number that there is not, a beginning that was not there
     */
    static const char *const bad[] = {"%0 fk 0 5 7 x%", "%3 fk -1 5 7 x%", "%0 fk -1 5 x%", "%0%",
                                      "%0 fk -1 5 7 x", "no end"};
    for (size_t i = 0; i < DRAY_COUNT(bad); i++) {
        dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 256};
        /* A stored block of deflate: 0x01, the length and its complement, the bytes. */
        size_t length = strlen(bad[i]);
        uint32_t a = 1, b = 0;
        dray_buffer_add(&text, "\x78\x01\x01", 3);
        char head[4] = {(char)length, 0, (char)~length, (char)0xff};
        dray_buffer_add(&text, head, 4);
        for (size_t k = 0; k < length; k++) {
            char byte = bad[i][k] == '%' ? '\0' : bad[i][k];
            dray_buffer_add(&text, &byte, 1);
            a = (a + (unsigned char)byte) % 65521;
            b = (b + a) % 65521;
        }
        char sum[4] = {(char)(b >> 8), (char)b, (char)(a >> 8), (char)a};
        dray_buffer_add(&text, sum, 4);
        assert_int_equal(dray_verdict_read(text.data, text.length, see, &seen, &error),
                         DRAY_INTEGRITY);
    }
    dray_buffer_free(&seen.text);
    dray_verdict_writer_free(&writer);
    forget(&chunks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back_as_they_went_in),
        cmocka_unit_test(many_rows_are_several_chunks_that_are_small),
        cmocka_unit_test(damage_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
