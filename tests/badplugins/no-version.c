/* SPDX-License-Identifier: MIT */
/* Has no version. */
#define NAME    "no-version"
#define VERSION NULL
#include "base.h"
