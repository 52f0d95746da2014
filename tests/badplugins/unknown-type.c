/* SPDX-License-Identifier: MIT */
/* Has an option of a type that there is not. */
#define NAME "unknown-type"
#define OPTIONS                                                                                    \
    {                                                                                              \
        "limit", "Does nothing", NULL, NULL, 0, 0, 77, 0, 0, 0                                     \
    }
#include "base.h"
