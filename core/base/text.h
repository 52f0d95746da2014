/* SPDX-License-Identifier: MIT */
/* text.h - sizes, durations, times, UTF-8 and the names people meant. */
#ifndef DRAY_BASE_TEXT_H
#define DRAY_BASE_TEXT_H

#include <stdint.h>

#include "core/base/buffer.h"

/* "10", "4 KiB", "1.5GB", "none" (DRAY_NONE) to bytes: B, kB/KB MB GB TB PB are powers of 1000, KiB
 * MiB GiB TiB PiB powers of 1024. 0, or DRAY_INVALID with *ret_why a static reason. */
DRAY_MUST_CHECK int dray_size_parse(const char *text, size_t length, int64_t *ret_bytes,
                                    const char **ret_why);
/* "30s", "10m", "24h", "400d", "250ms", "1h30m", "none" to nanoseconds; a bare number needs a unit.
 */
DRAY_MUST_CHECK int dray_duration_parse(const char *text, size_t length, int64_t *ret_ns,
                                        const char **ret_why);
/* A day, "2027-01-31", as the beginning of it in UTC, ns since 1970. 0; -1 for what is none; -2 for
 * one before the first year or after the last (64 bits of nanoseconds end in 2262). */
#define DRAY_FIRST_YEAR 1900
#define DRAY_LAST_YEAR  2200
DRAY_MUST_CHECK int dray_date_parse(const char *text, int64_t *ret_ns);
/* A decimal integer with optional sign; refuses overflow. */
DRAY_MUST_CHECK int dray_int_parse(const char *text, size_t length, int64_t *ret_value,
                                   const char **ret_why);

/* For people: "4.0 KiB", "1.2 s", into text; returns text. */
char *dray_size_print(uint64_t bytes, char text[static 24]);
char *dray_seconds_print(double seconds, char text[static 24]);
/* RFC 3339 UTC, whole seconds: "2026-11-23T12:34:31Z". */
char *dray_time_print(int64_t ns, char text[static 24]);
/* CLOCK_REALTIME and CLOCK_MONOTONIC in nanoseconds. */
int64_t dray_now(void);
int64_t dray_monotonic(void);

/* Length of the UTF-8 sequence at text, 0 where it is not UTF-8 (overlong and surrogates are not).
 */
size_t dray_utf8_length(const char *text, size_t length);
int dray_utf8_valid(const char *text, size_t length);
/* Is this one sequence (as dray_utf8_length measured it) a control character, C1 ones included? */
int dray_utf8_is_control(const char *sequence, size_t length);
/* The length of text without the beginning of a sequence that its end may have been cut off from.
 */
size_t dray_utf8_cut(const char *text, size_t length);
/* Append bytes as UTF-8, U+FFFD for each byte that is none. Control characters become U+FFFD when
 * `plain`. */
void dray_utf8_add(struct dray_buffer *buffer, const char *text, size_t length, int plain);
/* Standard base64 with padding. */
void dray_base64_add(struct dray_buffer *buffer, const void *data, size_t length);
/* The bytes of standard base64, with a NUL after them that *ret_length does not count. NULL when it
 * is none, in its one spelling (padded, no spaces, no stray bits), or memory is out. Frees: caller.
 */
DRAY_MUST_CHECK char *dray_base64_decode(const char *text, size_t *ret_length);
/* Sets object[key] to a path, and object[key_b64] to its bytes where it is not UTF-8. */
DRAY_MUST_CHECK int dray_json_set_path(json_t *object, const char *key, const char *path,
                                       size_t length);

/* The candidate that `word` was probably meant to be, or NULL. Damerau-Levenshtein, bounded by
 * length. */
const char *dray_nearest(const char *word, const char *const *candidates, size_t count);

#endif
