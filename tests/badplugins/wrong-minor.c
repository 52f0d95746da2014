/* SPDX-License-Identifier: MIT */
/* Was built for a later minor version: before 1.0 both numbers must be equal. */
#define NAME  "wrong-minor"
#define MINOR (DRAY_ABI_MINOR + 1)
#include "base.h"
