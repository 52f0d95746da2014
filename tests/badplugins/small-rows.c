/* SPDX-License-Identifier: MIT */
/* Says that a row of its options is shorter than any release's. */
#define NAME        "small-rows"
#define OPTION_SIZE 8
#include "base.h"
