/* SPDX-License-Identifier: MIT */
/* Packing and unpacking verdicts when memory runs out: it is said, and a chunk that was handed over
 * is whole. What hears a chunk or a row may fail as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/run/verdict_list.h"
#include "tests/unit/failing.h"

#define ROWS 30000

struct round {
    uint64_t told, read;
    int fail_chunk, fail_row;
};

static int see(void *arg, const struct dray_verdict_row *row)
{
    struct round *round = arg;
    char path[64];

    (void)snprintf(path, sizeof(path), "some/folder/%06llu", (unsigned long long)round->read);
    assert_int_equal(row->path_length, strlen(path));
    assert_memory_equal(row->path, path, row->path_length);
    assert_int_equal(row->bytes, round->read);
    assert_string_equal(row->by, "policy:p/r");
    round->read++;
    return round->fail_row && --round->fail_row == 0 ? DRAY_CANCELLED : 0;
}

/* Read at once, with what may fail. */
static int hear(void *arg, const void *data, size_t length, uint64_t entries)
{
    struct round *round = arg;
    struct dray_error error = {0};
    uint64_t before = round->read;
    int result = dray_verdict_read(data, length, see, round, &error);

    if (round->fail_chunk && --round->fail_chunk == 0)
        return DRAY_DENIED;
    if (result != 0)
        return result;
    round->told += entries;
    assert_int_equal(round->read - before, entries);
    return 0;
}

static int tell(struct round *round)
{
    struct dray_verdict_writer writer;
    uint64_t chunk = UINT64_MAX;
    int64_t rule = -1;
    int result = 0;

    dray_verdict_writer_init(&writer, hear, round);
    for (uint64_t i = 0; result == 0 && i < ROWS; i++) {
        char path[64];
        int length = snprintf(path, sizeof(path), "some/folder/%06llu", (unsigned long long)i);
        struct dray_verdict_row row = {path, (size_t)length, 'f', 'd', i, 5, NULL};
        if (chunk != dray_verdict_chunk(&writer)) {
            rule = dray_verdict_rule(&writer, "policy:p/r");
            chunk = dray_verdict_chunk(&writer);
        }
        result = rule < 0 ? DRAY_NO_MEMORY : dray_verdict_add(&writer, &row, rule);
    }
    if (result == 0)
        result = dray_verdict_flush(&writer);
    dray_verdict_writer_free(&writer);
    return result;
}

static void each_allocation_fails_and_nothing_is_lost(void **state)
{
    long count = 0;

    (void)state;
    for (failing_failed = 1; failing_failed; count++) {
        struct round round = {0};
        failing_failed = 0;
        failing_left = count;
        int result = tell(&round);
        failing_left = -1;
        /* That a path does not share its beginning with the one before is no loss. */
        assert_true(result == 0 || (failing_failed && result == DRAY_NO_MEMORY));
        if (result == 0)
            assert_int_equal(round.told, ROWS);
    }
    assert_true(count > 10);
}

static void who_hears_may_fail(void **state)
{
    struct round round = {.fail_chunk = 2};

    (void)state;
    assert_int_equal(tell(&round), DRAY_DENIED);
    assert_true(round.told > 0 && round.told < ROWS);
    round = (struct round){.fail_row = 20};
    assert_int_equal(tell(&round), DRAY_CANCELLED);
    assert_int_equal(round.told, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_fails_and_nothing_is_lost),
        cmocka_unit_test(who_hears_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
