/* SPDX-License-Identifier: MIT */
/* Crashes when it is unloaded, which never happens: it must be accepted. */
#define NAME "destructor-crash"
#include "base.h"

__attribute__((destructor)) static void crash(void)
{
    *(volatile int *)16 = 1;
}
