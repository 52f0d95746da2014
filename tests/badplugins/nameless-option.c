/* SPDX-License-Identifier: MIT */
/* Has an option without a name. */
#define NAME "nameless-option"
#define OPTIONS                                                                                    \
    {                                                                                              \
        NULL, "Does nothing", NULL, NULL, 0, 9, DRAY_TYPE_INT, 0, 0, 0                             \
    }
#include "base.h"
