/* SPDX-License-Identifier: MIT */
/* Has options and no table of them. */
#define NAME         "no-table"
#define OPTION_COUNT 3
#define OPTION_ROWS  NULL
#include "base.h"
