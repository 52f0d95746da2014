/* SPDX-License-Identifier: MIT */
/* Ends the process while it is loaded, as if all were well. */
#include <stdlib.h>

#define NAME "constructor-exit"
#include "base.h"

__attribute__((constructor)) static void leave(void)
{
    exit(0);
}
