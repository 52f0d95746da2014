/* SPDX-License-Identifier: MIT */
/* Calls a function that nobody has: it was linked without -z defs. */
#define NAME "undefined-symbol"
#include "base.h"

extern int dray_test_nobody_has_this(void);
int (*const dray_test_reference)(void) = dray_test_nobody_has_this;
