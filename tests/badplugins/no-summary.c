/* SPDX-License-Identifier: MIT */
/* Has an empty summary. */
#define NAME    "no-summary"
#define SUMMARY ""
#include "base.h"
