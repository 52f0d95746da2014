/* SPDX-License-Identifier: MIT */
/* Has a choice of nothing. */
#define NAME    "no-choices"
#define OPTIONS DRAY_OPTION_CHOICE(struct instance, limit, NULL, NULL, "Does nothing")
#include "base.h"
