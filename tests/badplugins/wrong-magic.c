/* SPDX-License-Identifier: MIT */
/* Exports an object of the right name that is something else. */
#define NAME  "wrong-magic"
#define MAGIC UINT64_C(0x4d4c4b4a49484746)
#include "base.h"
