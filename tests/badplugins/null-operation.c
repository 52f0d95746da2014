/* SPDX-License-Identifier: MIT */
/* Has a filter's operations without the one that counts. */
#define NAME   "null-operation"
#define DECIDE NULL
#include "base.h"
