/* SPDX-License-Identifier: MIT */
/* command.h - the words of a command, filled in. */
#ifndef DRAY_PLUGINS_COMMAND_H
#define DRAY_PLUGINS_COMMAND_H

#include <dray/plugin.h>

/* A byte of a value ({remote}, else {local}) that a word of the template must not get: one that the
 * program could take for a word's end, where the value stands inside of a longer one, or that its
 * quoting rule cannot keep. Its offset, or -1: there is none. */
int64_t command_unfit(const struct dray_strings *argv, const char *value, int remote);
/* The words with {local} and {remote} filled in, quoted for hsi where {remote:hsi} says so, and {{
 * as a brace; NULL behind the last. NULL: no memory. The caller frees each, and the list. */
char **command_words(const struct dray_strings *argv, const char *local, const char *remote);
void command_free(char **words);

#endif
