/* SPDX-License-Identifier: MIT */
/* Has no operations. */
#define NAME       "no-operations"
#define OPERATIONS NULL
#include "base.h"
