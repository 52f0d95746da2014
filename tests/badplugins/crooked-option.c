/* SPDX-License-Identifier: MIT */
/* Has an option whose member no compiler would put there. */
#define NAME "crooked-option"
#define OPTIONS                                                                                    \
    {                                                                                              \
        "limit", "Does nothing", NULL, NULL, 0, 9, DRAY_TYPE_INT, 0, 4, 0                          \
    }
#include "base.h"
