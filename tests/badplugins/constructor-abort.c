/* SPDX-License-Identifier: MIT */
/* Gives up while it is loaded, and says why. */
#include <stdio.h>
#include <stdlib.h>

#define NAME "constructor-abort"
#include "base.h"

__attribute__((constructor)) static void give_up(void)
{
    (void)fputs("first line\nno \033[1mlicence\033[0m found\n", stderr);
    abort();
}
