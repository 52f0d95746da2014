/* SPDX-License-Identifier: MIT */
/* text.c - UTF-8, printing for people, and the names people meant. */
#include "core/base/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* The longest word that dray_nearest compares. */
#define LONGEST_WORD ((size_t)64)

/* The decimal digits of a number, without printf: a preview prints millions of sizes. Returns how
 * many. */
static size_t put_digits(char *to, uint64_t number)
{
    size_t length = 1;

    for (uint64_t rest = number; rest >= 10; rest /= 10)
        length++;
    for (size_t i = length; i-- > 0; number /= 10)
        to[i] = (char)('0' + number % 10);
    return length;
}

/* bytes / 2^shift with one digit behind the point, rounded to the even one where two are as near.
 */
static char *put_tenths(char text[static 24], uint64_t bytes, unsigned shift, const char *unit)
{
    uint64_t mask = (UINT64_C(1) << shift) - 1;
    uint64_t whole = bytes >> shift;
    __extension__ unsigned __int128 scaled = bytes & mask;

    scaled *= 10;
    uint64_t tenths = (uint64_t)(scaled >> shift), rest = (uint64_t)(scaled & mask);
    uint64_t half = UINT64_C(1) << (shift - 1);
    tenths += rest > half || (rest == half && tenths % 2 == 1);
    size_t length = put_digits(text, whole + tenths / 10);
    text[length++] = '.';
    text[length++] = (char)('0' + tenths % 10);
    text[length++] = ' ';
    memcpy(text + length, unit, 4);
    return text;
}

char *dray_size_print(uint64_t bytes, char text[static 24])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        memcpy(text + put_digits(text, bytes), " B", 3);
        return text;
    }
    /* What would be printed as 1024.0 is 1.0 of the next unit. */
    while (value >= 1023.95 && unit + 1 < DRAY_COUNT(units)) {
        value /= 1024;
        unit++;
    }
    return put_tenths(text, bytes, 10 * ((unsigned)unit + 1), units[unit]);
}

char *dray_seconds_print(double seconds, char text[static 24])
{
    if (!(seconds > 0)) /* not a number, too */
        seconds = 0;
    if (seconds < 0.9995) {
        (void)snprintf(text, 24, "%.0f ms", seconds * 1000);
    } else if (seconds < 59.95) {
        (void)snprintf(text, 24, "%.1f s", seconds);
    } else {
        uint64_t whole = seconds < 1e15 ? (uint64_t)(seconds + 0.5) : (uint64_t)1e15;
        uint64_t minutes = whole / 60;
        if (whole < 3600)
            (void)snprintf(text, 24, "%u min %u s", (unsigned)minutes, (unsigned)(whole % 60));
        else if (whole < 86400)
            (void)snprintf(text, 24, "%u h %u min", (unsigned)(minutes / 60),
                           (unsigned)(minutes % 60));
        else
            (void)snprintf(text, 24, "%llu d %u h", (unsigned long long)(minutes / 1440),
                           (unsigned)(minutes / 60 % 24));
    }
    return text;
}

char *dray_time_print(int64_t ns, char text[static 24])
{
    const int64_t second = INT64_C(1000000000);
    time_t seconds = (time_t)(ns / second - (ns % second < 0));
    struct tm parts;

    /* The years that 64 bits of nanoseconds reach have four digits, so neither call fails. */
    if (gmtime_r(&seconds, &parts) == NULL || strftime(text, 24, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        text[0] = '\0';
    return text;
}

int dray_date_parse(const char *text, int64_t *ret_ns)
{
    struct tm day = {0};
    char again[16];

    for (size_t i = 0; i < 10; i++)
        if (i == 4 || i == 7 ? text[i] != '-' : text[i] < '0' || text[i] > '9')
            return -1;
    if (text[10] != '\0' ||
        sscanf(text, "%4d-%2d-%2d", &day.tm_year, &day.tm_mon, &day.tm_mday) != 3)
        return -1;
    day.tm_year -= 1900;
    day.tm_mon -= 1;
    time_t begin = timegm(&day);
    /* 2026-02-30 would have become another day. */
    if (strftime(again, sizeof(again), "%Y-%m-%d", &day) == 0 || strcmp(again, text) != 0)
        return -1;
    if (day.tm_year < DRAY_FIRST_YEAR - 1900 || day.tm_year > DRAY_LAST_YEAR - 1900)
        return -2;
    *ret_ns = (int64_t)begin * INT64_C(1000000000);
    return 0;
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec time = {0};

    (void)clock_gettime(clock, &time); /* fails for unknown clocks only */
    return (int64_t)time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

int64_t dray_now(void)
{
    return clock_ns(CLOCK_REALTIME);
}

int64_t dray_monotonic(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

/* Unicode 15, table 3-7: the second byte's range depends on the first. */
size_t dray_utf8_length(const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    size_t wanted;

    if (length == 0)
        return 0;
    if (bytes[0] < 0x80)
        return 1;
    if (bytes[0] < 0xc2 || bytes[0] > 0xf4)
        return 0;
    wanted = bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
    if (length < wanted)
        return 0;
    if (bytes[0] == 0xe0)
        low = 0xa0;
    else if (bytes[0] == 0xed)
        high = 0x9f;
    else if (bytes[0] == 0xf0)
        low = 0x90;
    else if (bytes[0] == 0xf4)
        high = 0x8f;
    if (bytes[1] < low || bytes[1] > high)
        return 0;
    for (size_t i = 2; i < wanted; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    return wanted;
}

int dray_utf8_valid(const char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        size_t taken = dray_utf8_length(text + i, length - i);
        if (taken == 0)
            return 0;
        i += taken;
    }
    return 1;
}

int dray_utf8_is_control(const char *sequence, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)sequence;

    if (length == 1)
        return bytes[0] < 0x20 || bytes[0] == 0x7f;
    return length == 2 && bytes[0] == 0xc2 && bytes[1] < 0xa0;
}

size_t dray_utf8_cut(const char *text, size_t length)
{
    size_t start = length;

    while (start > 0 && length - start < 3 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return length;
    start--;
    unsigned char first = (unsigned char)text[start];
    size_t wanted = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    return length - start < wanted ? start : length;
}

void dray_utf8_add(struct dray_buffer *buffer, const char *text, size_t length, int plain)
{
    size_t done = 0; /* up to here it was added */
    size_t i = 0;

    while (i < length) {
        size_t taken = dray_utf8_length(text + i, length - i);
        if (taken > 0 && !(plain && dray_utf8_is_control(text + i, taken))) {
            i += taken;
            continue;
        }
        dray_buffer_add(buffer, text + done, i - done);
        dray_buffer_text(buffer, REPLACEMENT);
        i += taken == 0 ? 1 : taken;
        done = i;
    }
    dray_buffer_add(buffer, text + done, length - done);
}

/* object[key + "_b64"] = the bytes. */
static int set_bytes(json_t *object, const char *key, const char *path, size_t length)
{
    dray_autofree char *bytes_key = dray_format("%s_b64", key);
    dray_cleanup(dray_buffer_free) struct dray_buffer bytes = {.cap = SIZE_MAX - 1};

    dray_base64_add(&bytes, path, length);
    if (bytes_key == NULL || bytes.failed != 0)
        return DRAY_NO_MEMORY;
    if (json_object_set_new(object, bytes_key, json_stringn(bytes.data, bytes.length)) != 0)
        return DRAY_NO_MEMORY;
    return 0;
}

int dray_json_set_path(json_t *object, const char *key, const char *path, size_t length)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = SIZE_MAX - 1};

    if (dray_utf8_valid(path, length))
        return json_object_set_new(object, key, json_stringn(path, length)) == 0 ? 0
                                                                                 : DRAY_NO_MEMORY;
    dray_utf8_add(&text, path, length, 0);
    if (text.failed != 0)
        return DRAY_NO_MEMORY;
    if (json_object_set_new(object, key, json_stringn(text.data, text.length)) != 0)
        return DRAY_NO_MEMORY;
    return set_bytes(object, key, path, length);
}

static char lower(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? (char)(letter - 'A' + 'a') : letter;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Damerau-Levenshtein distance (optimal string alignment), letters of either case being equal. */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t rows[3][LONGEST_WORD + 1];
    size_t *before = rows[0];
    size_t *last = rows[1];
    size_t *row = rows[2];

    for (size_t j = 0; j <= b_length; j++)
        last[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            char x = lower(a[i - 1]);
            char y = lower(b[j - 1]);
            size_t cost = least(least(last[j], row[j - 1]) + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == lower(b[j - 2]) && y == lower(a[i - 2]))
                cost = least(cost, before[j - 2] + 1);
            row[j] = cost;
        }
        size_t *free_row = before;
        before = last;
        last = row;
        row = free_row;
    }
    return last[b_length];
}

const char *dray_nearest(const char *word, const char *const *candidates, size_t count)
{
    size_t length = strlen(word);
    size_t best_distance = SIZE_MAX;
    const char *best = NULL;

    if (length > LONGEST_WORD)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t other = strlen(candidates[i]);
        if (other > LONGEST_WORD)
            continue;
        /* One slip in three letters; a word that shares nothing is no suggestion. */
        size_t longer = length > other ? length : other;
        size_t allowed = longer < 3 ? 1 : longer / 3;
        size_t found = distance(word, length, candidates[i], other);
        if (found <= allowed && found < longer && found < best_distance) {
            best_distance = found;
            best = candidates[i];
        }
    }
    return best;
}
