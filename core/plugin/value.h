/* SPDX-License-Identifier: MIT */
/* value.h - one option written as text, in a workflow or as a default in a table, and what it
 * means. */
#ifndef DRAY_PLUGIN_VALUE_H
#define DRAY_PLUGIN_VALUE_H

#include "core/base/buffer.h"
#include "core/plugin/plugin.h"

/* ECMA-262 regular expressions, as JSON Schema asks for: a size, a duration, and where in a text a
 * parameter stands. */
#define DRAY_SIZE_PATTERN      "[0-9]+(\\.[0-9]+)? *([kKMGTP]?B|[KMGTP]iB)|[0-9]+"
#define DRAY_DURATION_PATTERN  "([0-9]+(\\.[0-9]+)? *(ms|s|m|h|d) *)+"
#define DRAY_PARAMETER_PATTERN "\\$\\{"

/* What a message says of a value that it quotes: at most this many bytes of it. */
#define DRAY_QUOTED 60

/* "a size (10, 4 KiB, 1.5 GB, none)", "a list of strings": what an option of the type takes. */
const char *dray_type_takes(uint32_t type);
/* Is the type one number: bool, int, size, duration, choice? Then value_number reads it. */
int dray_type_is_number(uint32_t type);
/* Bytes and alignment of the member that an option of the type fills; 0 for an unknown type. */
size_t dray_type_size(uint32_t type);
size_t dray_type_alignment(uint32_t type);

/* "takes a size (10, 4 KiB, 1.5 GB, none)", "takes fail, merge or replace". */
void dray_value_takes(const struct dray_option *option, struct dray_buffer *out);
/* The number that text means for an option of type bool, int, size, duration or choice (an index),
 * within its range. DRAY_INVALID: `why` gets what the option takes instead, to stand after the
 * option's name: takes a size (...), not "4 KX": its unit is none of ... */
DRAY_MUST_CHECK int dray_value_number(const struct dray_option *option, const char *text,
                                      size_t length, int64_t *ret_number, struct dray_buffer *why);
/* A path made absolute from base (NULL: it must be) and free of `.`, double and trailing slashes;
 * `..` stays. DRAY_INVALID with `why` as above, or DRAY_NO_MEMORY. The caller frees it. */
DRAY_MUST_CHECK int dray_value_path(const char *base, const char *text, char **ret_path,
                                    struct dray_buffer *why);
/* May this be the name of a stored secret, rather than a secret itself? */
int dray_value_is_secret_name(const char *text, size_t length);

/* The choice of that number, as it stands in "fail|merge|replace"; NULL past the last. Not
 * NUL-terminated. */
const char *dray_choice_at(const char *choices, size_t index, size_t *ret_length);
/* Its number, or -1. */
int64_t dray_choice_find(const char *choices, const char *text, size_t length);
/* The start of a text in quotes, safe to print. */
void dray_quote(struct dray_buffer *out, const char *text, size_t length);

/* The row of a plugin's table that tells of this option. Borrows its strings; the offset is 0. */
struct dray_option dray_option_row(const struct dray_option_info *info);

#endif
