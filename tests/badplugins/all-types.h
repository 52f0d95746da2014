/* SPDX-License-Identifier: MIT */
/* all-types.h - the instance of all-types.c and long-rows.c, for the tests that look into it. */
#ifndef DRAY_TESTS_ALL_TYPES_H
#define DRAY_TESTS_ALL_TYPES_H

#include <dray/plugin.h>

struct all_types {
    int64_t yes, number, size, duration, choice;
    const char *text, *path;
    struct dray_strings list;
    struct dray_map map;
    struct dray_secret key;
    const char *must;
    int64_t *destroyed; /* no option: a test sets it to count */
};

#endif
