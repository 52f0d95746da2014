/* SPDX-License-Identifier: MIT */
/* Has a summary that would write to the terminal. */
#define NAME    "bad-summary"
#define SUMMARY "Keeps \033[2J everything"
#include "base.h"
