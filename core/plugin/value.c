/* SPDX-License-Identifier: MIT */
/* value.c - see value.h. */
#include "core/plugin/value.h"

#include <stdalign.h>
#include <string.h>

#include "core/base/io.h"
#include "core/base/text.h"

static const struct type_row {
    const char *name;
    const char *takes;
    size_t size;
    size_t alignment;
} types[] = {
    [DRAY_TYPE_BOOL] = {"bool", "true or false", sizeof(int64_t), alignof(int64_t)},
    [DRAY_TYPE_INT] = {"int", "a whole number", sizeof(int64_t), alignof(int64_t)},
    [DRAY_TYPE_SIZE] = {"size", "a size (10, 4 KiB, 1.5 GB, none)", sizeof(int64_t),
                        alignof(int64_t)},
    [DRAY_TYPE_DURATION] = {"duration", "a duration (30s, 10m, 1h30m, none)", sizeof(int64_t),
                            alignof(int64_t)},
    [DRAY_TYPE_STRING] = {"string", "a string", sizeof(char *), alignof(char *)},
    [DRAY_TYPE_PATH] = {"path", "a path", sizeof(char *), alignof(char *)},
    [DRAY_TYPE_CHOICE] = {"choice", "one of its choices", sizeof(int64_t), alignof(int64_t)},
    [DRAY_TYPE_STRINGS] = {"strings", "a list of strings", sizeof(struct dray_strings),
                           alignof(struct dray_strings)},
    [DRAY_TYPE_MAP] = {"map", "a mapping of strings", sizeof(struct dray_map),
                       alignof(struct dray_map)},
    [DRAY_TYPE_SECRET] = {"secret", "the name of a secret", sizeof(struct dray_secret),
                          alignof(struct dray_secret)},
};

static const struct type_row *type_row(uint32_t type)
{
    return type < DRAY_COUNT(types) && types[type].name != NULL ? &types[type] : NULL;
}

const char *dray_type_name(uint32_t type)
{
    const struct type_row *row = type_row(type);

    return row == NULL ? NULL : row->name;
}

const char *dray_type_takes(uint32_t type)
{
    const struct type_row *row = type_row(type);

    return row == NULL ? "nothing" : row->takes;
}

size_t dray_type_size(uint32_t type)
{
    const struct type_row *row = type_row(type);

    return row == NULL ? 0 : row->size;
}

size_t dray_type_alignment(uint32_t type)
{
    const struct type_row *row = type_row(type);

    return row == NULL ? 1 : row->alignment;
}

int dray_type_is_number(uint32_t type)
{
    return type == DRAY_TYPE_BOOL || type == DRAY_TYPE_INT || type == DRAY_TYPE_SIZE ||
           type == DRAY_TYPE_DURATION || type == DRAY_TYPE_CHOICE;
}

struct dray_option dray_option_row(const struct dray_option_info *info)
{
    return (struct dray_option){.name = info->name,
                                .help = info->help,
                                .fallback = info->fallback,
                                .choices = info->choices,
                                .min = info->min,
                                .max = info->max,
                                .type = info->type,
                                .flags = info->flags};
}

void dray_quote(struct dray_buffer *out, const char *text, size_t length)
{
    size_t shown = 0;

    while (shown < length) {
        size_t taken = dray_utf8_length(text + shown, length - shown);
        if (taken == 0)
            taken = 1;
        if (shown + taken > DRAY_QUOTED)
            break;
        shown += taken;
    }
    dray_buffer_text(out, "\"");
    dray_utf8_add(out, text, shown, 1);
    dray_buffer_text(out, shown < length ? "...\"" : "\"");
}

const char *dray_choice_at(const char *choices, size_t index, size_t *ret_length)
{
    const char *at = choices;

    for (size_t i = 0; i < index; i++) {
        at = strchr(at, '|');
        if (at == NULL)
            return NULL;
        at++;
    }
    *ret_length = strcspn(at, "|");
    return at;
}

int64_t dray_choice_find(const char *choices, const char *text, size_t length)
{
    const char *choice;
    size_t choice_length;

    for (size_t i = 0; (choice = dray_choice_at(choices, i, &choice_length)) != NULL; i++)
        if (choice_length == length && memcmp(choice, text, length) == 0)
            return (int64_t)i;
    return -1;
}

/* takes fail, merge or replace */
void dray_value_takes(const struct dray_option *option, struct dray_buffer *why)
{
    const char *choice;
    size_t length;

    dray_buffer_text(why, "takes ");
    if (option->type != DRAY_TYPE_CHOICE) {
        dray_buffer_text(why, dray_type_takes(option->type));
        return;
    }
    for (size_t i = 0; (choice = dray_choice_at(option->choices, i, &length)) != NULL; i++) {
        if (i > 0)
            dray_buffer_text(why, choice[length] == '\0' ? " or " : ", ");
        dray_buffer_add(why, choice, length);
    }
}

static int refuse(const struct dray_option *option, const char *text, size_t length,
                  const char *reason, struct dray_buffer *why)
{
    dray_value_takes(option, why);
    dray_buffer_text(why, ", not ");
    dray_quote(why, text, length);
    if (reason != NULL)
        dray_buffer_format(why, ": %s", reason);
    return DRAY_INVALID;
}

/* A bound as it would be written: 5.0 MiB, 90s, 12. */
static void add_bound(const struct dray_option *option, int64_t bound, struct dray_buffer *why)
{
    char size[24];

    if (option->type == DRAY_TYPE_SIZE && bound >= 0)
        dray_buffer_text(why, dray_size_print((uint64_t)bound, size));
    else if (option->type == DRAY_TYPE_DURATION)
        dray_buffer_format(why, "%gs", (double)bound / 1e9);
    else
        dray_buffer_format(why, "%lld", (long long)bound);
}

static int check_range(const struct dray_option *option, const char *text, size_t length,
                       int64_t number, struct dray_buffer *why)
{
    if (number >= option->min && number <= option->max)
        return 0;
    dray_buffer_text(why, number < option->min ? "takes at least " : "takes at most ");
    add_bound(option, number < option->min ? option->min : option->max, why);
    dray_buffer_text(why, ", not ");
    dray_quote(why, text, length);
    return DRAY_INVALID;
}

/* The core schema's spellings. */
static int parse_bool(const char *text, size_t length, int64_t *ret_number)
{
    static const char *const spellings[] = {"false", "true", "False", "True", "FALSE", "TRUE"};

    for (size_t i = 0; i < DRAY_COUNT(spellings); i++)
        if (strlen(spellings[i]) == length && memcmp(spellings[i], text, length) == 0) {
            *ret_number = (int64_t)(i % 2);
            return 0;
        }
    return DRAY_INVALID;
}

int dray_value_number(const struct dray_option *option, const char *text, size_t length,
                      int64_t *ret_number, struct dray_buffer *why)
{
    const char *reason = NULL;
    int64_t number = 0;
    int result = DRAY_INVALID;

    if (option->type == DRAY_TYPE_BOOL)
        result = parse_bool(text, length, &number);
    else if (option->type == DRAY_TYPE_INT)
        result = dray_int_parse(text, length, &number, &reason);
    else if (option->type == DRAY_TYPE_SIZE)
        result = dray_size_parse(text, length, &number, &reason);
    else if (option->type == DRAY_TYPE_DURATION)
        result = dray_duration_parse(text, length, &number, &reason);
    else if (option->type == DRAY_TYPE_CHOICE && option->choices != NULL) {
        number = dray_choice_find(option->choices, text, length);
        result = number < 0 ? DRAY_INVALID : 0;
    }
    if (result != 0)
        return refuse(option, text, length, reason, why);
    if (option->type != DRAY_TYPE_BOOL && option->type != DRAY_TYPE_CHOICE)
        result = check_range(option, text, length, number, why);
    if (result == 0)
        *ret_number = number;
    return result;
}

int dray_value_path(const char *base, const char *text, char **ret_path, struct dray_buffer *why)
{
    char *path;

    if (text[0] == '\0' || text[0] == '~') {
        dray_buffer_text(why, "takes a path, not ");
        dray_quote(why, text, strlen(text));
        if (text[0] == '~')
            dray_buffer_text(why, ": only a shell knows what ~ stands for");
        return DRAY_INVALID;
    }
    if (base == NULL && text[0] != '/') {
        dray_buffer_text(why, "takes an absolute path here, not ");
        dray_quote(why, text, strlen(text));
        return DRAY_INVALID;
    }
    path = dray_path_absolute(base != NULL ? base : "/", text);
    if (path == NULL)
        return DRAY_NO_MEMORY;
    *ret_path = path;
    return 0;
}

static int is_hex(char letter)
{
    return (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'f');
}

/* Names are lower case and short. Keys and tokens, which people paste here, are neither, or are a
 * long run of hexadecimal digits. */
int dray_value_is_secret_name(const char *text, size_t length)
{
    size_t run = 0;

    if (length == 0 || length > 64 || text[0] == '.' || text[0] == '-' || text[0] == '_')
        return 0;
    for (size_t i = 0; i < length; i++) {
        int letter = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9');
        if (!letter && text[i] != '.' && text[i] != '-' && text[i] != '_')
            return 0;
        run = is_hex(text[i]) ? run + 1 : 0;
        if (run >= 32)
            return 0;
    }
    return 1;
}
