/* SPDX-License-Identifier: MIT */
/* Crashes while it is loaded. */
#define NAME "constructor-crash"
#include "base.h"

__attribute__((constructor)) static void crash(void)
{
    *(volatile int *)16 = 1;
}
