/* SPDX-License-Identifier: MIT */
/* Has an option that is required and has a default. */
#define NAME    "required-default"
#define OPTIONS DRAY_OPTION_STRING(struct instance, text, DRAY_OPTION_REQUIRED, "a", "Does nothing")
#include "base.h"
