/* SPDX-License-Identifier: MIT */
/* Was built for another major version of the ABI. */
#define NAME  "wrong-major"
#define MAJOR (DRAY_ABI_MAJOR + 1)
#include "base.h"
