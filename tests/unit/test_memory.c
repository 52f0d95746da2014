/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/memory.h"

/* Memory that is out is part of these tests: AddressSanitizer is to say so with NULL, as malloc
 * does. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void an_array_grows_and_keeps_its_elements(void **state)
{
    uint32_t *numbers = NULL;
    size_t count = 0;
    size_t capacity = 0;
    unsigned moves = 0;

    (void)state;
    for (uint32_t i = 0; i < 100000; i++) {
        size_t before = capacity;
        assert_int_equal(DRAY_GROW(numbers, count, capacity), 0);
        moves += capacity != before;
        numbers[count++] = i;
    }
    for (uint32_t i = 0; i < 100000; i++)
        assert_int_equal(numbers[i], i);
    assert_in_range(moves, 1, 20); /* it doubles */
    free(numbers);
}

static void an_array_that_cannot_grow_stays_as_it_was(void **state)
{
    uint64_t *numbers = NULL;
    size_t capacity = 0;

    (void)state;
    assert_int_equal(dray_grow((void **)&numbers, &capacity, sizeof *numbers, 3), 0);
    uint64_t *before = numbers;
    size_t capacity_before = capacity;
    assert_int_equal(dray_grow((void **)&numbers, &capacity, sizeof *numbers, SIZE_MAX), -1);
    assert_int_equal(dray_grow((void **)&numbers, &capacity, sizeof *numbers, SIZE_MAX / 8 + 1),
                     -1);
    assert_ptr_equal(numbers, before);
    assert_int_equal(capacity, capacity_before);
    free(numbers);
}

static void formatted_text_is_whole_however_long(void **state)
{
    char long_text[5000];

    (void)state;
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    dray_autofree char *text = dray_format("%s-%d", long_text, 42);
    assert_non_null(text);
    assert_int_equal(strlen(text), sizeof long_text - 1 + 3);
    assert_string_equal(text + sizeof long_text - 1, "-42");
}

static void count_cleanup(const int *const *counter)
{
    if (*counter != NULL)
        (*(int *)(uintptr_t)*counter)++;
}

static void what_was_taken_is_not_cleaned_up(void **state)
{
    int cleaned = 0;

    (void)state;
    {
        dray_cleanup(count_cleanup) const int *kept = &cleaned;
        dray_cleanup(count_cleanup) const int *given = &cleaned;
        const int *taken = DRAY_TAKE(given);
        assert_ptr_equal(taken, &cleaned);
        assert_null(given);
        assert_non_null(kept);
    }
    assert_int_equal(cleaned, 1);
    int fd = 7;
    assert_int_equal(DRAY_TAKE_FD(fd), 7);
    assert_int_equal(fd, -1);
}

static void an_arena_keeps_every_byte_of_many_allocations(void **state)
{
    enum { COUNT = 20000 };
    struct dray_arena arena = {0};
    unsigned char **places = calloc(COUNT, sizeof *places);

    (void)state;
    assert_non_null(places);
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = i % 97;
        size_t align = (size_t)1 << i % 7;
        places[i] = dray_arena_alloc(&arena, size, align);
        assert_non_null(places[i]);
        assert_int_equal((uintptr_t)places[i] % align, 0);
        memset(places[i], (int)(i & 255), size);
    }
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < i % 97; j++)
            if (places[i][j] != (i & 255))
                fail_msg("allocation %zu was written over at byte %zu", i, j);
    dray_arena_free(&arena);
    free(places);
}

static void a_large_allocation_does_not_waste_the_block_in_use(void **state)
{
    struct dray_arena arena = {0};

    (void)state;
    char *first = dray_arena_alloc(&arena, 16, 1);
    char *large = dray_arena_alloc(&arena, (size_t)3 << 20, 64);
    char *second = dray_arena_alloc(&arena, 16, 1);
    assert_non_null(first);
    assert_non_null(large);
    memset(large, 1, (size_t)3 << 20);
    assert_ptr_equal(second, first + 16);
    assert_int_equal(arena.bytes, ((size_t)3 << 20) + 32);
    dray_arena_free(&arena);
}

static void an_impossible_allocation_fails_and_the_arena_still_works(void **state)
{
    struct dray_arena arena = {0};

    (void)state;
    assert_null(dray_arena_alloc(&arena, SIZE_MAX - 3, 16));
    assert_null(dray_arena_alloc(&arena, SIZE_MAX / 2, 1));
    assert_null(dray_arena_text(&arena, "x", SIZE_MAX));
    assert_int_equal(arena.bytes, 0);
    assert_non_null(dray_arena_alloc(&arena, 8, 8));
    dray_arena_free(&arena);
}

static void arena_text_is_a_copy_that_ends_with_nul(void **state)
{
    struct dray_arena arena = {0};
    const char source[] = {'a', '\0', 'b', 'c'};

    (void)state;
    char *text = dray_arena_text(&arena, source, 3);
    assert_memory_equal(text, "a\0b\0", 4);
    assert_string_equal(dray_arena_text(&arena, NULL, 0), "");
    dray_arena_free(&arena);
    assert_null(arena.blocks);
    assert_int_equal(arena.bytes, 0);
    assert_non_null(dray_arena_text(&arena, "again", 5));
    dray_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array_grows_and_keeps_its_elements),
        cmocka_unit_test(an_array_that_cannot_grow_stays_as_it_was),
        cmocka_unit_test(formatted_text_is_whole_however_long),
        cmocka_unit_test(what_was_taken_is_not_cleaned_up),
        cmocka_unit_test(an_arena_keeps_every_byte_of_many_allocations),
        cmocka_unit_test(a_large_allocation_does_not_waste_the_block_in_use),
        cmocka_unit_test(an_impossible_allocation_fails_and_the_arena_still_works),
        cmocka_unit_test(arena_text_is_a_copy_that_ends_with_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
