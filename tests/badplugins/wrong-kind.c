/* SPDX-License-Identifier: MIT */
/* Is of a kind that there is not. */
#define NAME "wrong-kind"
#define KIND 9
#include "base.h"
