/* SPDX-License-Identifier: MIT */
/* Has an option without a line of help. */
#define NAME "helpless-option"
#define OPTIONS                                                                                    \
    {                                                                                              \
        "limit", NULL, NULL, NULL, 0, 9, DRAY_TYPE_INT, 0, 0, 0                                    \
    }
#include "base.h"
