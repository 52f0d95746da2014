/* SPDX-License-Identifier: MIT */
/* Has a default that its own range refuses. */
#define NAME    "bad-default"
#define OPTIONS DRAY_OPTION_INT(struct instance, limit, "900", 0, 100, "Does nothing")
#include "base.h"
