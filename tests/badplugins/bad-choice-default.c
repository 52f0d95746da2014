/* SPDX-License-Identifier: MIT */
/* Has a default that is none of its choices. */
#define NAME    "bad-choice-default"
#define OPTIONS DRAY_OPTION_CHOICE(struct instance, limit, "never", "fail|merge", "Does nothing")
#include "base.h"
