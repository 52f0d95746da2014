/* SPDX-License-Identifier: MIT */
/* Needs a feature of the host that no host has. */
#define NAME  "unknown-needs"
#define NEEDS (UINT64_C(1) << 40)
#include "base.h"
