/* SPDX-License-Identifier: MIT */
/*
 * The words of a template: {local} and {remote} are filled in, {{ is a brace. Behind a colon stands
 * how the program that reads the word wants a value quoted.
 */
#include "command.h"

#include <stdlib.h>
#include <string.h>

/* A placeholder as it stands in a word. */
struct place {
    size_t length; /* 0: there is none */
    int remote;
    int hsi;
};

static struct place place_at(const char *word)
{
    static const struct {
        const char *text;
        int remote, hsi;
    } places[] = {
        {"{local}", 0, 0}, {"{remote}", 1, 0}, {"{local:hsi}", 0, 1}, {"{remote:hsi}", 1, 1}};

    for (size_t i = 0; i < DRAY_COUNT(places); i++)
        if (strncmp(word, places[i].text, strlen(places[i].text)) == 0)
            return (struct place){strlen(places[i].text), places[i].remote, places[i].hsi};
    return (struct place){0, 0, 0};
}

/* How long what stands here is. */
static size_t step_over(const char *word, const struct place *place)
{
    return place->length > 0 ? place->length : word[0] == '{' && word[1] == '{' ? 2 : 1;
}

/* Where a value has what ends a word in some programs; its length: nowhere. */
static size_t unfit_inside(const char *value)
{
    return strcspn(value, "'\"`\n\r;:\\");
}

/*
 * Of hsi (its reference manual, "Path Names"): paths are printable ASCII, those with a space are
 * quoted, `* ? ^ [] {}` are wildcards, `;` ends a command. That quotes take the meaning from the
 * latter is not said, so they are refused, as what could end the quotes.
 */
static size_t unfit_for_hsi(const char *value)
{
    size_t i = 0;

    while (value[i] >= ' ' && value[i] <= '~' && strchr("\"'`\\;*?^[]{}", value[i]) == NULL)
        i++;
    return i;
}

int64_t command_unfit(const struct dray_strings *argv, const char *value, int remote)
{
    size_t length = strlen(value), first = length;

    for (uint64_t i = 0; i < argv->count; i++) {
        for (const char *at = argv->items[i]; *at != '\0';) {
            const struct place place = place_at(at);
            int is_whole = at == argv->items[i] && at[place.length] == '\0';
            size_t unfit = length;
            if (place.length > 0 && place.remote == remote && (place.hsi || !is_whole))
                unfit = place.hsi ? unfit_for_hsi(value) : unfit_inside(value);
            first = unfit < first ? unfit : first;
            at += step_over(at, &place);
        }
    }
    return first < length ? (int64_t)first : -1;
}

static size_t add(char *to, size_t length, const char *piece, size_t part)
{
    if (to != NULL)
        memcpy(to + length, piece, part);
    return length + part;
}

/* Written to `to` where there is one. How long it is. */
static size_t fill(const char *word, const char *local, const char *remote, char *to)
{
    size_t length = 0;

    while (*word != '\0') {
        const struct place place = place_at(word);
        const char *value = place.remote ? remote : local;
        if (place.length == 0) {
            length = add(to, length, word, 1);
        } else {
            length = add(to, length, "\"", place.hsi ? 1 : 0);
            length = add(to, length, value, strlen(value));
            length = add(to, length, "\"", place.hsi ? 1 : 0);
        }
        word += step_over(word, &place);
    }
    return length;
}

void command_free(char **words)
{
    for (size_t i = 0; words != NULL && words[i] != NULL; i++)
        free(words[i]);
    free(words);
}

char **command_words(const struct dray_strings *argv, const char *local, const char *remote)
{
    char **words = calloc(argv->count + 1, sizeof(*words));

    for (uint64_t i = 0; words != NULL && i < argv->count; i++) {
        words[i] = calloc(1, fill(argv->items[i], local, remote, NULL) + 1);
        if (words[i] == NULL) {
            command_free(words);
            return NULL;
        }
        (void)fill(argv->items[i], local, remote, words[i]);
    }
    return words;
}
