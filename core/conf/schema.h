/* SPDX-License-Identifier: MIT */
/* schema.h - what plain scalars mean in YAML 1.2's core schema (YAML 1.2.2, 10.3.2). Used within
 * core/conf only. */
#ifndef DRAY_CONF_SCHEMA_H
#define DRAY_CONF_SCHEMA_H

#include <stdint.h>

/* The empty text, ~, null, Null, NULL. */
int dray_schema_is_null(const char *text);
/* 1 and *ret, or 0: true, True, TRUE, false, False, FALSE; no other word. */
int dray_schema_bool(const char *text, int *ret);
/* 1: *ret is set. -1: an integer beyond 64 bits. 0: none. Decimal, 0o17 and 0x1F. A decimal with
 * zeros in front is a string here: people write permissions, postal codes and run numbers so, and
 * mean their digits. */
int dray_schema_int(const char *text, int64_t *ret);
/* Decimal fractions and exponents, infinities, .nan; integers too. */
int dray_schema_is_float(const char *text);

#endif
