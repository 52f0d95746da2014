/* SPDX-License-Identifier: MIT */
/* Prints while it is loaded and forks a process that outlives the probe. Ill-mannered, but no
 * fault: it must be accepted. */
#include <stdio.h>
#include <unistd.h>

#define NAME "constructor-prints"
#include "base.h"

__attribute__((constructor)) static void print(void)
{
    (void)printf("{\"plugin\": {}}\nhello from a constructor\n");
    (void)fflush(stdout);
    if (fork() == 0) {
        (void)sleep(20);
        _exit(0);
    }
}
