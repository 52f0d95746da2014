/* SPDX-License-Identifier: MIT */
/* Appends a byte to the file that DRAY_TEST_MARK names whenever it is loaded, so that a test can
 * count how often that was. */
#include <stdio.h>
#include <stdlib.h>

#define NAME "leaves-mark"
#include "base.h"

__attribute__((constructor)) static void leave_mark(void)
{
    const char *path = getenv("DRAY_TEST_MARK");
    FILE *file = path == NULL ? NULL : fopen(path, "a");

    if (file != NULL) {
        (void)fputc('x', file);
        (void)fclose(file);
    }
}
