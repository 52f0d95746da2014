/* SPDX-License-Identifier: MIT */
/* Has two options of one name. */
#define NAME "two-options"
#define OPTIONS                                                                                    \
    DRAY_OPTION_INT(struct instance, limit, "10", 0, 100, "Does nothing"),                         \
        DRAY_OPTION_INT(struct instance, limit, "20", 0, 100, "Does nothing either")
#include "base.h"
