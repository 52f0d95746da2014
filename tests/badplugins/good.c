/* SPDX-License-Identifier: MIT */
/* Breaks nothing: what the others are compared with. */
#define NAME "good"
#include "base.h"
