/* SPDX-License-Identifier: MIT */
/* Is a shared object, but exports nothing of that name. */
extern int dray_test_something_else;
int dray_test_something_else = 1;
