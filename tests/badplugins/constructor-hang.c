/* SPDX-License-Identifier: MIT */
/* Never comes back from being loaded; at first it floods standard error. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define NAME "constructor-hang"
#include "base.h"

__attribute__((constructor)) static void hang(void)
{
    time_t start = time(NULL);

    (void)fputs("waiting for a licence server\n", stderr);
    while (time(NULL) < start + 3)
        (void)fputs("\n\n\n\n", stderr);
    for (;;)
        (void)pause();
}
