/* SPDX-License-Identifier: MIT */
/* preview_line.c - one line of a preview. There are as many as there are entries: nothing here is
 * formatted twice, and text is copied in runs. */
#include <string.h>

#include "core/base/text.h"
#include "core/run/preview.h"

/* ---- Text ---- */

/* The bytes from here on that stand in a line as they are: ASCII that prints, and nothing that JSON
 * writes otherwise. */
static size_t plain_run(const char *text, size_t length)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    size_t i = 0;

    for (; i + sizeof(uint64_t) <= length; i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, text + i, sizeof(word));
        uint64_t quote = word ^ (ones * '"'), slash = word ^ (ones * '\\');
        /* The top bit of a byte is set where it is below 0x20, above 0x7e, or one of the two. */
        uint64_t odd =
            (word - ones * 0x20) | (word + ones) | word | (quote - ones) | (slash - ones);
        if (odd & tops)
            break;
    }
    while (i < length && text[i] >= 0x20 && text[i] < 0x7f && text[i] != '"' && text[i] != '\\')
        i++;
    return i;
}

static void add_json_character(struct dray_buffer *out, const char *text, size_t step)
{
    unsigned char c = (unsigned char)*text;

    if (c == '"' || c == '\\')
        dray_buffer_format(out, "\\%c", c);
    else if (c < 0x20)
        dray_buffer_format(out, "\\u%04x", c);
    else if (step == 0)
        dray_buffer_text(out, "\xef\xbf\xbd");
    else
        dray_buffer_add(out, text, step);
}

/* 0 where some of it is not UTF-8. */
static int add_json_text(struct dray_buffer *out, const char *text, size_t length)
{
    int valid = 1;

    dray_buffer_add(out, "\"", 1);
    for (size_t i = 0; i < length;) {
        size_t run = plain_run(text + i, length - i);
        dray_buffer_add(out, text + i, run);
        i += run;
        if (i == length)
            break;
        size_t step = (unsigned char)text[i] < 0x80 ? 1 : dray_utf8_length(text + i, length - i);
        add_json_character(out, text + i, step);
        valid = valid && step > 0;
        i += step ? step : 1;
    }
    dray_buffer_add(out, "\"", 1);
    return valid;
}

static void add_number(struct dray_buffer *out, uint64_t number)
{
    char digits[24];
    size_t at = sizeof(digits);

    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    dray_buffer_add(out, digits + at, sizeof(digits) - at);
}

/* ---- Reasons ---- */

int dray_reasons_init(struct dray_reasons *reasons, const struct dray_step_run *filter,
                      const struct dray_preview_format *format)
{
    const struct dray_plugin *plugin = &filter->instance->loaded->plugin;

    *reasons = (struct dray_reasons){.filter = filter, .format = format};
    reasons->starts = calloc((size_t)plugin->option_count + 1, sizeof(*reasons->starts));
    if (!reasons->starts)
        return DRAY_NO_MEMORY;
    for (uint32_t i = 0; i < plugin->option_count; i++) {
        const json_t *value = json_object_get(filter->step->with, plugin->options[i].name);
        reasons->starts[i] = reasons->slot_count;
        reasons->slot_count += 1 + json_array_size(value);
    }
    reasons->starts[plugin->option_count] = reasons->slot_count;
    reasons->slots = calloc(reasons->slot_count + 1, sizeof(*reasons->slots));
    return reasons->slots ? 0 : DRAY_NO_MEMORY;
}

void dray_reasons_free(struct dray_reasons *reasons)
{
    for (size_t i = 0; reasons->slots && i < reasons->slot_count; i++)
        dray_buffer_free(&reasons->slots[i]);
    free(reasons->slots);
    free(reasons->starts);
    dray_buffer_free(&reasons->undecided);
}

static void render(const struct dray_reasons *reasons, const struct dray_decision *decision,
                   struct dray_buffer *out)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer by = {.cap = 4096}, why = {.cap = 64u << 10};
    const struct dray_step *step = reasons->filter->step;

    if (decision->verdict == DRAY_UNDECIDED) {
        if (step->origin.policy)
            dray_buffer_format(&by, "policy:%s/%s", step->origin.policy, step->origin.rule);
        else
            dray_buffer_text(&by, step->id);
        dray_buffer_text(&why, "needs content");
    } else {
        dray_rule_print(step, reasons->filter->instance->loaded, decision->option, decision->index,
                        &by, &why);
    }
    const char *by_text = by.data ? by.data : "", *why_text = why.data ? why.data : "";
    *out = (struct dray_buffer){.cap = 1u << 20};
    if (reasons->format->json) {
        dray_buffer_text(out, ", \"by\": ");
        (void)add_json_text(out, by_text, strlen(by_text));
        dray_buffer_text(out, ", \"why\": ");
        (void)add_json_text(out, why_text, strlen(why_text));
    } else {
        dray_buffer_format(out, "  %s  %s", by_text, why_text);
    }
}

const struct dray_buffer *dray_reasons_get(struct dray_reasons *reasons,
                                           const struct dray_decision *decision)
{
    struct dray_buffer *slot = &reasons->undecided;

    if (decision->verdict != DRAY_UNDECIDED) {
        size_t start = reasons->starts[decision->option];
        size_t end = reasons->starts[decision->option + 1];
        /* An index beyond the list is as good as none. */
        size_t number = decision->index < 0 || (size_t)decision->index + 1 >= end - start
                            ? 0
                            : (size_t)decision->index + 1;
        slot = &reasons->slots[start + number];
    }
    if (!slot->data)
        render(reasons, decision, slot);
    return slot;
}

/* ---- Lines ---- */

static const char *verdict_name(unsigned verdict)
{
    return verdict == DRAY_KEEP ? "keep" : verdict == DRAY_DROP ? "drop" : "undecided";
}

static void add_json_path(struct dray_buffer *out, const char *key, const char *path, size_t length)
{
    dray_buffer_text(out, "\"");
    dray_buffer_text(out, key);
    dray_buffer_text(out, "\": ");
    if (add_json_text(out, path, length))
        return;
    dray_buffer_text(out, ", \"");
    dray_buffer_text(out, key);
    dray_buffer_text(out, "_b64\": \"");
    dray_base64_add(out, path, length);
    dray_buffer_text(out, "\"");
}

static void add_json_line(struct dray_buffer *out, const struct dray_tree_entry *entry,
                          unsigned verdict, const char *target)
{
    dray_buffer_text(out, "{");
    add_json_path(out, "path", entry->path, entry->path_length);
    dray_buffer_text(out, ", \"size\": ");
    add_number(out, entry->bytes);
    if (target) {
        dray_buffer_text(out, ", \"target\": ");
        (void)add_json_text(out, target, strlen(target));
    }
    dray_buffer_text(out, ", \"verdict\": \"");
    dray_buffer_text(out, verdict_name(verdict));
    dray_buffer_add(out, "\"", 1);
    const char *from = entry->from;
    if (!from && entry->type == DRAY_FILE && !(entry->flags & DRAY_ENTRY_OURS))
        from = entry->at;
    if (from) {
        dray_buffer_text(out, ", ");
        add_json_path(out, "from", from, strlen(from));
    }
}

static void add_plain_path(struct dray_buffer *out, const char *path, size_t length)
{
    for (size_t i = 0; i < length;) {
        size_t run = plain_run(path + i, length - i);
        dray_buffer_add(out, path + i, run);
        i += run;
        if (i == length)
            break;
        size_t step = (unsigned char)path[i] < 0x80 ? 1 : dray_utf8_length(path + i, length - i);
        dray_utf8_add(out, path + i, step ? step : 1, 1);
        i += step ? step : 1;
    }
}

static void add_text_line(struct dray_buffer *out, const struct dray_tree_entry *entry,
                          unsigned verdict)
{
    static const char spaces[] = "           ";
    char size[24];
    const char *what = entry->type == DRAY_FILE   ? dray_size_print(entry->bytes, size)
                       : entry->type == DRAY_LINK ? "link"
                                                  : "dir";
    size_t length = strlen(what);

    dray_buffer_text(out, verdict == DRAY_UNDECIDED ? "?   " : verdict_name(verdict));
    dray_buffer_add(out, spaces, length < 10 ? 11 - length : 1);
    dray_buffer_add(out, what, length);
    dray_buffer_add(out, spaces, 2);
    if (entry->from) {
        add_plain_path(out, entry->from, strlen(entry->from));
        dray_buffer_text(out, " -> ");
    }
    add_plain_path(out, entry->path, entry->path_length);
}

void dray_preview_line(struct dray_buffer *out, const struct dray_preview_format *format,
                       const struct dray_tree_entry *entry, unsigned verdict, const char *target,
                       const struct dray_buffer *reason)
{
    if (format->json)
        add_json_line(out, entry, verdict, target);
    else
        add_text_line(out, entry, verdict);
    if (reason && reason->data)
        dray_buffer_add(out, reason->data, reason->length);
    dray_buffer_text(out, format->json ? "}\n" : "\n");
}
