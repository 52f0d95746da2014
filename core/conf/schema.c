/* SPDX-License-Identifier: MIT */
#include "core/conf/schema.h"

#include <stddef.h>
#include <string.h>

static int is_one_of(const char *text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, words[i]) == 0)
            return 1;
    }
    return 0;
}

int dray_schema_is_null(const char *text)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    return is_one_of(text, words, sizeof(words) / sizeof(words[0]));
}

int dray_schema_bool(const char *text, int *ret)
{
    static const char *const truths[] = {"true", "True", "TRUE"};
    static const char *const falsehoods[] = {"false", "False", "FALSE"};
    if (is_one_of(text, truths, 3))
        *ret = 1;
    else if (is_one_of(text, falsehoods, 3))
        *ret = 0;
    else
        return 0;
    return 1;
}

static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return 16;
}

/* All of text in base; the value is built negative, so that the least integer fits. */
static int parse_digits(const char *digits, int base, int negative, int64_t *ret)
{
    int64_t value = 0;
    int fits = 1;
    if (*digits == '\0')
        return 0;
    for (const char *at = digits; *at; at++) {
        int digit = digit_value(*at);
        if (digit >= base)
            return 0;
        fits = fits && !__builtin_mul_overflow(value, (int64_t)base, &value) &&
               !__builtin_sub_overflow(value, (int64_t)digit, &value);
    }
    if (fits && !negative)
        fits = !__builtin_sub_overflow((int64_t)0, value, &value);
    if (!fits)
        return -1;
    *ret = value;
    return 1;
}

int dray_schema_int(const char *text, int64_t *ret)
{
    if (strncmp(text, "0o", 2) == 0)
        return parse_digits(text + 2, 8, 0, ret);
    if (strncmp(text, "0x", 2) == 0)
        return parse_digits(text + 2, 16, 0, ret);
    int negative = *text == '-';
    if (*text == '-' || *text == '+')
        text++;
    if (text[0] == '0' && text[1] != '\0')
        return 0;
    return parse_digits(text, 10, negative, ret);
}

static const char *skip_digits(const char *text)
{
    while (*text >= '0' && *text <= '9')
        text++;
    return text;
}

int dray_schema_is_float(const char *text)
{
    static const char *const nans[] = {".nan", ".NaN", ".NAN"};
    static const char *const infinities[] = {".inf", ".Inf", ".INF"};
    if (is_one_of(text, nans, 3))
        return 1;
    if (*text == '-' || *text == '+')
        text++;
    if (is_one_of(text, infinities, 3))
        return 1;
    if (text[0] == '0' && text[1] >= '0' && text[1] <= '9')
        return 0;
    const char *end = skip_digits(text);
    int digits = end > text;
    if (*end == '.') {
        const char *fraction = end + 1;
        end = skip_digits(fraction);
        digits = digits || end > fraction;
    }
    if (!digits)
        return 0;
    if (*end == 'e' || *end == 'E') {
        end++;
        if (*end == '-' || *end == '+')
            end++;
        const char *exponent = end;
        end = skip_digits(exponent);
        if (end == exponent)
            return 0;
    }
    return *end == '\0';
}
