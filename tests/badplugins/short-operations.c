/* SPDX-License-Identifier: MIT */
/* Says that its operations are shorter than any release's. */
#define NAME            "short-operations"
#define OPERATIONS_SIZE 8
#include "base.h"
