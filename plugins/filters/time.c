/* SPDX-License-Identifier: MIT */
/* filter/time: keep files and links by when they were last modified (docs/filters.md). */
#include <dray/plugin.h>

#include <string.h>

#define SECOND INT64_C(1000000000)
#define DAY    (86400 * SECOND)
/* Years whose every nanosecond fits into an int64_t. */
#define FIRST_YEAR 1678
#define LAST_YEAR  2261

struct time {
    const char *after;
    const char *before;
    int64_t newer_than;
    int64_t older_than;
    int64_t from[2]; /* of `after` and of `newer_than`: kept is what is not earlier */
    int64_t to[2];   /* of `before` and of `older_than`: kept is what is earlier */
};

enum { OPTION_AFTER, OPTION_BEFORE, OPTION_NEWER_THAN, OPTION_OLDER_THAN }; /* rows of the table */

static const struct dray_option options[] = {
    DRAY_OPTION_STRING(struct time, after, 0, NULL,
                       "Drop what was modified before: 2024-05-01 or 2024-05-01T12:00:00Z"),
    DRAY_OPTION_STRING(struct time, before, 0, NULL,
                       "Drop what was modified then or later: a date or a time, as in after"),
    DRAY_OPTION_DURATION(struct time, newer_than, "none",
                         "Drop what was modified longer ago than this"),
    DRAY_OPTION_DURATION(struct time, older_than, "none",
                         "Drop what was modified within this time"),
};

/* ---- Dates --------------------------------------------------------------------------------- */

/* A text that is taken apart from left to right. */
struct reading {
    const char *text;
    uint64_t at;
    uint64_t fault; /* where what is wrong begins */
    const char *reason;
};

static int fail_at(struct reading *reading, uint64_t at, const char *reason)
{
    reading->fault = at;
    reading->reason = reason;
    return DRAY_INVALID;
}

/* Exactly so many digits, of a number in a range. */
static int take_number(struct reading *reading, int digits, int first, int last, const char *reason,
                       int *ret_number)
{
    uint64_t start = reading->at;

    *ret_number = 0;
    for (int i = 0; i < digits; i++) {
        char digit = reading->text[reading->at];
        if (digit < '0' || digit > '9')
            return fail_at(reading, reading->at, reason);
        *ret_number = *ret_number * 10 + (digit - '0');
        reading->at++;
    }
    return *ret_number < first || *ret_number > last ? fail_at(reading, start, reason) : DRAY_OK;
}

static int take_mark(struct reading *reading, char mark, const char *reason)
{
    if (reading->text[reading->at] != mark)
        return fail_at(reading, reading->at, reason);
    reading->at++;
    return DRAY_OK;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

/* Days since 1970-01-01. */
static int64_t day_number(int year, int month, int day)
{
    int64_t before = year - 1;
    int64_t days = before * 365 + before / 4 - before / 100 + before / 400 - 719162;

    for (int i = 1; i < month; i++)
        days += days_in(year, i);
    return days + day - 1;
}

static int take_date(struct reading *reading, int64_t *ret_time)
{
    static const char *const form = "a date is written 2024-05-01, a time 2024-05-01T12:00:00Z";
    int year, month, day;
    int result = take_number(reading, 4, 0, 9999, form, &year);

    if (result == DRAY_OK && (year < FIRST_YEAR || year > LAST_YEAR))
        result = fail_at(reading, 0, "takes years from 1678 to 2261");
    if (result == DRAY_OK)
        result = take_mark(reading, '-', form);
    if (result == DRAY_OK)
        result = take_number(reading, 2, 1, 12, "a month is two digits, from 01 to 12", &month);
    if (result == DRAY_OK)
        result = take_mark(reading, '-', form);
    if (result == DRAY_OK)
        result = take_number(reading, 2, 1, days_in(year, month),
                             "that month has no such day; a day is two digits", &day);
    if (result == DRAY_OK)
        *ret_time = day_number(year, month, day) * DAY;
    return result;
}

/* Up to nine digits after the point. */
static int take_fraction(struct reading *reading, int64_t *time)
{
    uint64_t start = ++reading->at;

    for (int64_t unit = SECOND / 10;
         reading->text[reading->at] >= '0' && reading->text[reading->at] <= '9'; unit /= 10) {
        if (unit == 0)
            return fail_at(reading, reading->at, "a second has at most nine decimal places");
        *time += unit * (reading->text[reading->at++] - '0');
    }
    return reading->at == start ? fail_at(reading, start, "digits belong after the point")
                                : DRAY_OK;
}

static int take_clock(struct reading *reading, int64_t *time)
{
    static const char *const form = "a time of day is written 12:00:00";
    int hour, minute, second;
    int result = take_number(reading, 2, 0, 23, form, &hour);

    if (result == DRAY_OK)
        result = take_mark(reading, ':', form);
    if (result == DRAY_OK)
        result = take_number(reading, 2, 0, 59, form, &minute);
    if (result == DRAY_OK)
        result = take_mark(reading, ':', form);
    if (result == DRAY_OK)
        result = take_number(reading, 2, 0, 59, form, &second);
    if (result != DRAY_OK)
        return result;
    *time += ((hour * 60 + minute) * 60 + second) * SECOND;
    if (reading->text[reading->at] == '.')
        result = take_fraction(reading, time);
    return result == DRAY_OK
               ? take_mark(reading, 'Z', "times are in UTC: write Z after the seconds")
               : result;
}

/* An RFC 3339 date, which is its midnight, or time, both in UTC. */
static int take_time(struct reading *reading, int64_t *ret_time)
{
    int result = take_date(reading, ret_time);

    if (result == DRAY_OK && reading->text[reading->at] == 'T') {
        reading->at++;
        result = take_clock(reading, ret_time);
    }
    if (result == DRAY_OK && reading->text[reading->at] != '\0')
        result = fail_at(reading, reading->at, "the date or time ends before this");
    return result;
}

static int read_time(struct dray_ctx *ctx, uint32_t row, const char *text, int64_t *time)
{
    struct reading reading = {.text = text};

    if (text == NULL || take_time(&reading, time) == DRAY_OK)
        return DRAY_OK;
    return ctx->host->fail_option(ctx, options[row].name, DRAY_NO_INDEX, reading.fault, "%s",
                                  reading.reason);
}

/* ---- Operations ---------------------------------------------------------------------------- */

/* So long ago; what lies before all times is their begin. */
static int64_t ago(int64_t now, int64_t duration)
{
    return now < INT64_MIN + duration ? INT64_MIN : now - duration;
}

static int prepare(void *self, struct dray_ctx *ctx)
{
    struct time *time = self;
    int64_t now = ctx->host->clock(ctx);

    time->from[0] = time->from[1] = INT64_MIN;
    time->to[0] = time->to[1] = INT64_MAX;
    int result = read_time(ctx, OPTION_AFTER, time->after, &time->from[0]);
    int before = read_time(ctx, OPTION_BEFORE, time->before, &time->to[0]);
    if (result == DRAY_OK)
        result = before;
    if (result == DRAY_OK && time->from[0] >= time->to[0])
        result = ctx->host->fail_option(ctx, options[OPTION_AFTER].name, DRAY_NO_INDEX, 0,
                                        "after is not earlier than before, so everything would be "
                                        "dropped");
    if (time->newer_than != DRAY_NONE)
        time->from[1] = ago(now, time->newer_than);
    if (time->older_than != DRAY_NONE)
        time->to[1] = ago(now, time->older_than);
    if (time->older_than != DRAY_NONE && time->newer_than <= time->older_than)
        result = ctx->host->fail_option(ctx, options[OPTION_NEWER_THAN].name, DRAY_NO_INDEX, 0,
                                        "newer_than is not longer than older_than, so everything "
                                        "would be dropped");
    return result;
}

/* A directory's time tells when a name in it came or went, not how old its content is: it stays. */
static int decide(void *self, struct dray_ctx *ctx, const struct dray_entry *entry,
                  struct dray_verdict *ret_verdict)
{
    static const uint32_t lower[] = {OPTION_AFTER, OPTION_NEWER_THAN};
    static const uint32_t upper[] = {OPTION_BEFORE, OPTION_OLDER_THAN};
    const struct time *time = self;
    (void)ctx;
    *ret_verdict = (struct dray_verdict){DRAY_KEEP, OPTION_AFTER, DRAY_NO_INDEX};
    if (entry->type == DRAY_DIRECTORY)
        return DRAY_OK;
    for (size_t i = 0; i < 2; i++) {
        int early = entry->mtime < time->from[i];
        if (early || (time->to[i] != INT64_MAX && entry->mtime >= time->to[i])) {
            *ret_verdict =
                (struct dray_verdict){DRAY_DROP, early ? lower[i] : upper[i], DRAY_NO_INDEX};
            break;
        }
    }
    return DRAY_OK;
}

static const struct dray_filter_operations operations = {
    .size = sizeof(operations),
    .decide = decide,
};

DRAY_PLUGIN(DRAY_KIND_FILTER, DRAY_CAP_REENTRANT, "time", "1.0.0",
            "Keep files and links by when they were last modified", struct time, options,
            &operations, .prepare = prepare);
