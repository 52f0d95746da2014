/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <stdlib.h>
#include <string.h>

int64_t command_unfit(const struct dray_strings *argv, const char *value, const char *place)
{
    size_t start = strcspn(value, "'\"`\n\r;:\\");
    int inside = 0;

    for (uint64_t i = 0; i < argv->count; i++)
        inside |= strstr(argv->items[i], place) != NULL && strcmp(argv->items[i], place) != 0;
    return inside && value[start] != '\0' ? (int64_t)start : -1;
}

/* Written to `to` where there is one. How long it is. */
static size_t fill(const char *word, const char *local, const char *remote, char *to)
{
    size_t length = 0;

    while (*word != '\0') {
        const char *piece = word;
        size_t part = 1;
        if (strncmp(word, "{local}", 7) == 0) {
            piece = local;
            word += 7;
            part = strlen(local);
        } else if (strncmp(word, "{remote}", 8) == 0) {
            piece = remote;
            word += 8;
            part = strlen(remote);
        } else {
            word += word[0] == '{' && word[1] == '{' ? 2 : 1;
        }
        if (to != NULL)
            memcpy(to + length, piece, part);
        length += part;
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
