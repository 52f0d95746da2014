/* SPDX-License-Identifier: MIT */
/* Serves only hosts of a later minor version. */
#define NAME      "min-minor"
#define MIN_MINOR (DRAY_ABI_MINOR + 1)
#include "base.h"
