/* SPDX-License-Identifier: MIT */
/* log.c - see log.h. */
#include "core/base/log.h"

#include <string.h>
#include <time.h>

#include "core/base/io.h"
#include "core/base/text.h"

/* A record holds names from outside: no text of it, and no record, grows without bound. */
#define LONGEST_TEXT   ((size_t)4096)
#define LONGEST_RECORD ((size_t)256 << 10)

static const char *level_name(uint32_t level)
{
    switch (level) {
    case DRAY_LOG_DEBUG:
        return "debug";
    case DRAY_LOG_INFO:
        return "info";
    default:
        return "warn";
    }
}

/* As much of a text as is logged; *ret_cut says that it is not all. */
static size_t text_length(const char *text, int *ret_cut)
{
    size_t length = strnlen(text, LONGEST_TEXT + 1);

    *ret_cut = length > LONGEST_TEXT;
    return *ret_cut ? dray_utf8_cut(text, LONGEST_TEXT) : length;
}

/* A JSON string, RFC 8259. All that is not printable ASCII or plain UTF-8 is escaped or replaced.
 */
static void add_json_text(struct dray_buffer *line, const char *text)
{
    int cut;
    size_t length = text_length(text, &cut);

    dray_buffer_text(line, "\"");
    for (size_t i = 0; i < length;) {
        size_t taken = dray_utf8_length(text + i, length - i);
        if (taken == 1 && (text[i] == '"' || text[i] == '\\'))
            dray_buffer_format(line, "\\%c", text[i]);
        else if (taken == 1 && dray_utf8_is_control(text + i, 1))
            dray_buffer_format(line, "\\u%04x", (unsigned)text[i]);
        else if (taken == 2 && dray_utf8_is_control(text + i, 2))
            dray_buffer_format(line, "\\u%04x", (unsigned)(unsigned char)text[i + 1]);
        else
            dray_utf8_add(line, text + i, taken == 0 ? 1 : taken, 0);
        i += taken == 0 ? 1 : taken;
    }
    dray_buffer_text(line, cut ? "\xe2\x80\xa6\"" : "\"");
}

static void add_json_member(struct dray_buffer *line, const char *key, const char *text)
{
    dray_buffer_format(line, ",\"%s\":", key);
    add_json_text(line, text);
}

static void add_json_field(struct dray_buffer *line, const struct dray_log_field *field)
{
    int cut;

    add_json_text(line, field->key);
    dray_buffer_text(line, ":");
    if (field->type != DRAY_FIELD_TEXT) {
        dray_buffer_format(line, "%lld", (long long)field->number);
    } else if (field->text == NULL) {
        dray_buffer_text(line, "null");
    } else {
        add_json_text(line, field->text);
        /* Bytes that are no text are kept, as in every JSON of Dray. */
        size_t length = text_length(field->text, &cut);
        if (!dray_utf8_valid(field->text, length)) {
            dray_buffer_format(line, ",\"%s_b64\":\"", field->key);
            dray_base64_add(line, field->text, length);
            dray_buffer_text(line, "\"");
        }
    }
}

static void add_json(struct dray_buffer *line, const struct dray_log *log, uint32_t level,
                     const char *step, const char *event, const struct dray_log_field *fields,
                     size_t count)
{
    char time_text[24];

    dray_buffer_format(line, "{\"time\":\"%s\",\"level\":\"%s\"",
                       dray_time_print(dray_now(), time_text), level_name(level));
    if (log->job != NULL)
        add_json_member(line, "job", log->job);
    if (log->attempt > 0)
        dray_buffer_format(line, ",\"attempt\":%lld", (long long)log->attempt);
    if (step != NULL)
        add_json_member(line, "step", step);
    add_json_member(line, "event", event);
    dray_buffer_text(line, ",\"fields\":{");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            dray_buffer_text(line, ",");
        add_json_field(line, &fields[i]);
    }
    dray_buffer_text(line, "}}\n");
}

/* Text for people, in quotes where it would not be seen as one word. */
static void add_word(struct dray_buffer *line, const char *text)
{
    int cut;
    size_t length = text_length(text, &cut);
    int quoted = length == 0 || strcspn(text, " =\"\\") < length;

    if (quoted)
        dray_buffer_text(line, "\"");
    for (size_t i = 0; i < length;) {
        size_t plain = strcspn(text + i, "\"\\");
        if (plain > length - i)
            plain = length - i;
        dray_utf8_add(line, text + i, plain, 1);
        i += plain;
        if (i < length)
            dray_buffer_format(line, "\\%c", text[i++]);
    }
    if (cut)
        dray_buffer_text(line, "\xe2\x80\xa6");
    if (quoted)
        dray_buffer_text(line, "\"");
}

static void add_field(struct dray_buffer *line, const struct dray_log_field *field)
{
    char size[24];

    dray_buffer_format(line, " %s=", field->key);
    switch (field->type) {
    case DRAY_FIELD_TEXT:
        if (field->text != NULL)
            add_word(line, field->text);
        break;
    case DRAY_FIELD_INT:
        dray_buffer_format(line, "%lld", (long long)field->number);
        break;
    case DRAY_FIELD_SIZE:
        dray_buffer_text(line, dray_size_print((uint64_t)field->number, size));
        break;
    }
}

static void add_human(struct dray_buffer *line, const struct dray_log *log, uint32_t level,
                      const char *step, const char *event, const struct dray_log_field *fields,
                      size_t count)
{
    time_t now = (time_t)(dray_now() / INT64_C(1000000000));
    struct tm parts = {0};

    /* The clock on the reader's wall; the JSON line has the date and is UTC. */
    (void)localtime_r(&now, &parts);
    dray_buffer_format(line, "%02d:%02d:%02d %-5s", parts.tm_hour, parts.tm_min, parts.tm_sec,
                       level_name(level));
    if (log->job != NULL) {
        dray_buffer_text(line, " job ");
        add_word(line, log->job);
    }
    if (step != NULL) {
        dray_buffer_text(line, " step ");
        add_word(line, step);
    }
    dray_buffer_text(line, log->job != NULL || step != NULL ? ": " : " ");
    dray_utf8_add(line, event, strnlen(event, LONGEST_TEXT), 1);
    for (size_t i = 0; i < count; i++)
        add_field(line, &fields[i]);
    dray_buffer_text(line, "\n");
}

void dray_log_write(const struct dray_log *log, uint32_t level, const char *step, const char *event,
                    const struct dray_log_field *fields, size_t count)
{
    static const char lost[] = "a log record was lost: it was too long, or memory is out\n";
    static const char lost_json[] =
        "{\"level\":\"warn\",\"event\":\"a log record was lost: it was too long, "
        "or memory is out\",\"fields\":{}}\n";
    dray_cleanup(dray_buffer_free) struct dray_buffer line = {.cap = LONGEST_RECORD};

    if (level < log->level)
        return;
    if (log->json)
        add_json(&line, log, level, step, event, fields, count);
    else
        add_human(&line, log, level, step, event, fields, count);
    /* A log that cannot be written is no reason to fail a delivery, and there is nowhere to say so.
     */
    if (line.failed == 0)
        (void)!dray_write_all(log->fd, line.data, line.length);
    else if (log->json)
        (void)!dray_write_all(log->fd, lost_json, sizeof lost_json - 1);
    else
        (void)!dray_write_all(log->fd, lost, sizeof lost - 1);
}
