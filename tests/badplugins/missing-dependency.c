/* SPDX-License-Identifier: MIT */
/* Uses libdray-test-gone.so, made of missing-symbol.c, which the test then removes. */
#define NAME "missing-dependency"
#include "base.h"

extern int dray_test_something_else;
int *const dray_test_reference = &dray_test_something_else;
