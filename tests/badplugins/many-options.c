/* SPDX-License-Identifier: MIT */
/* Says that it has more options than anybody could want. */
#define NAME         "many-options"
#define OPTION_COUNT 100000
#include "base.h"
