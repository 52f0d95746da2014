/* SPDX-License-Identifier: MIT */
/* number.c - the parsers of text.h: sizes, durations, integers, from text that anybody may have
 * written. */
#include <string.h>

#include "core/base/text.h"

/* A cursor over text that need not end with a NUL. */
struct cursor {
    const char *at;
    const char *end;
};

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit size_units[] = {
    {"B", 1},
    {"kB", UINT64_C(1000)},
    {"KB", UINT64_C(1000)},
    {"MB", UINT64_C(1000000)},
    {"GB", UINT64_C(1000000000)},
    {"TB", UINT64_C(1000000000000)},
    {"PB", UINT64_C(1000000000000000)},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
    {"PiB", UINT64_C(1) << 50},
};

/* Largest first: "1h30m" goes down this list. */
static const struct unit duration_units[] = {
    {"d", UINT64_C(86400000000000)}, {"h", UINT64_C(3600000000000)}, {"m", UINT64_C(60000000000)},
    {"s", UINT64_C(1000000000)},     {"ms", UINT64_C(1000000)},
};

struct number {
    uint64_t whole;
    const char *digits; /* of the fraction */
    size_t digit_count; /* 0: there is none */
};

static int is_digit(const struct cursor *cursor)
{
    return cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9';
}

static int is_letter(const struct cursor *cursor)
{
    return cursor->at < cursor->end && ((*cursor->at >= 'a' && *cursor->at <= 'z') ||
                                        (*cursor->at >= 'A' && *cursor->at <= 'Z'));
}

/* Spaces between two things; those at the end of the text are left, and are an error. */
static void skip_spaces(struct cursor *cursor)
{
    const char *next = cursor->at;

    while (next < cursor->end && *next == ' ')
        next++;
    if (next < cursor->end)
        cursor->at = next;
}

static int refuse(const char **ret_why, const char *why)
{
    *ret_why = why;
    return DRAY_INVALID;
}

static int is_none(const char *text, size_t length)
{
    return length == strlen("none") && memcmp(text, "none", length) == 0;
}

/* "12" or "1.5". */
static int read_number(struct cursor *cursor, struct number *number, const char **ret_why)
{
    *number = (struct number){0};
    if (cursor->at < cursor->end && *cursor->at == '-')
        return refuse(ret_why, "it may not be negative");
    if (!is_digit(cursor))
        return refuse(ret_why, "it does not begin with a number");
    for (; is_digit(cursor); cursor->at++)
        if (__builtin_mul_overflow(number->whole, (uint64_t)10, &number->whole) ||
            __builtin_add_overflow(number->whole, (uint64_t)(*cursor->at - '0'), &number->whole))
            return refuse(ret_why, "it is too large");
    if (cursor->at == cursor->end || *cursor->at != '.')
        return 0;
    cursor->at++;
    number->digits = cursor->at;
    while (is_digit(cursor))
        cursor->at++;
    number->digit_count = (size_t)(cursor->at - number->digits);
    return number->digit_count > 0 ? 0 : refuse(ret_why, "a digit is missing after the point");
}

/* The unit that is spelled at the cursor, or NULL. */
static const struct unit *read_unit(struct cursor *cursor, const struct unit *units, size_t count)
{
    const char *start = cursor->at;

    while (is_letter(cursor))
        cursor->at++;
    size_t length = (size_t)(cursor->at - start);
    for (size_t i = 0; i < count; i++)
        if (strlen(units[i].name) == length && memcmp(units[i].name, start, length) == 0)
            return &units[i];
    return NULL;
}

/* number * factor, rounded down, added to *total, which stays below DRAY_NONE. */
static int add_scaled(uint64_t *total, const struct number *number, uint64_t factor,
                      const char **ret_why)
{
    uint64_t whole;
    uint64_t fraction = 0;

    /* From the last digit to the first; rounding down in between changes nothing. Factors are far
     * below what ten times would overflow. */
    for (size_t i = number->digit_count; i > 0; i--)
        fraction = (fraction + (uint64_t)(number->digits[i - 1] - '0') * factor) / 10;
    if (__builtin_mul_overflow(number->whole, factor, &whole) ||
        __builtin_add_overflow(whole, fraction, &whole) ||
        __builtin_add_overflow(*total, whole, total) || *total >= (uint64_t)DRAY_NONE)
        return refuse(ret_why, "it is too large");
    return 0;
}

int dray_size_parse(const char *text, size_t length, int64_t *ret_bytes, const char **ret_why)
{
    struct cursor cursor = {text, text + length};
    struct number number;
    uint64_t factor = 1;
    uint64_t total = 0;

    if (is_none(text, length)) {
        *ret_bytes = DRAY_NONE;
        return 0;
    }
    int result = read_number(&cursor, &number, ret_why);
    if (result != 0)
        return result;
    skip_spaces(&cursor);
    if (is_letter(&cursor)) {
        const struct unit *unit = read_unit(&cursor, size_units, DRAY_COUNT(size_units));
        if (unit == NULL)
            return refuse(ret_why, "its unit is none of B, kB, MB, GB, TB, PB (powers of 1000), "
                                   "KiB, MiB, GiB, TiB, PiB (powers of 1024)");
        factor = unit->factor;
    }
    if (cursor.at != cursor.end)
        return refuse(ret_why, "it is not a number and a unit, as in 10, 4 KiB or 1.5 GB");
    if (factor == 1 && number.digit_count > 0)
        return refuse(ret_why, "there is no fraction of a byte; a unit may be missing");
    result = add_scaled(&total, &number, factor, ret_why);
    if (result == 0)
        *ret_bytes = (int64_t)total;
    return result;
}

int dray_duration_parse(const char *text, size_t length, int64_t *ret_ns, const char **ret_why)
{
    struct cursor cursor = {text, text + length};
    const struct unit *units = duration_units;
    const struct unit *units_end = units + DRAY_COUNT(duration_units);
    struct number number;
    uint64_t total = 0;

    if (is_none(text, length)) {
        *ret_ns = DRAY_NONE;
        return 0;
    }
    do {
        int result = read_number(&cursor, &number, ret_why);
        if (result != 0)
            return result;
        skip_spaces(&cursor);
        if (!is_letter(&cursor))
            return refuse(ret_why, "a unit is missing: ms, s, m, h or d, as in 30s or 1h30m");
        const struct unit *unit = read_unit(&cursor, duration_units, DRAY_COUNT(duration_units));
        if (unit == NULL)
            return refuse(ret_why, "its unit is none of ms, s, m, h, d");
        if (unit < units)
            return refuse(ret_why, "its units are not in falling order, as in 1h30m");
        units = unit + 1;
        result = add_scaled(&total, &number, unit->factor, ret_why);
        if (result != 0)
            return result;
        if (cursor.at < cursor.end && units == units_end)
            return refuse(ret_why, "there is more after its last unit");
        skip_spaces(&cursor);
    } while (cursor.at < cursor.end);
    *ret_ns = (int64_t)total;
    return 0;
}

int dray_int_parse(const char *text, size_t length, int64_t *ret_value, const char **ret_why)
{
    struct cursor cursor = {text, text + length};
    int negative = 0;
    int64_t value = 0;

    if (cursor.at < cursor.end && (*cursor.at == '-' || *cursor.at == '+')) {
        negative = *cursor.at == '-';
        cursor.at++;
    }
    if (!is_digit(&cursor))
        return refuse(ret_why, "it is not a whole number");
    /* Summed with its sign: the smallest value has no positive twin. */
    for (; is_digit(&cursor); cursor.at++) {
        int64_t digit = *cursor.at - '0';
        if (__builtin_mul_overflow(value, (int64_t)10, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value))
            return refuse(ret_why, "it does not fit into 64 bits");
    }
    if (cursor.at != cursor.end)
        return refuse(ret_why, "it is not a whole number");
    *ret_value = value;
    return 0;
}
