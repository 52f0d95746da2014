/* SPDX-License-Identifier: MIT */
/* Has an option whose name no workflow could hold. */
#define NAME "upper-option"
#define OPTIONS                                                                                    \
    {                                                                                              \
        "Limit", "Does nothing", NULL, NULL, 0, 9, DRAY_TYPE_INT, 0, 0, 0                          \
    }
#include "base.h"
