/* SPDX-License-Identifier: MIT */
/* Has a summary that lies where nothing is. */
#define NAME    "wild-pointer"
#define SUMMARY ((const char *)64)
#include "base.h"
