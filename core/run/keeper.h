/* SPDX-License-Identifier: MIT */
/* keeper.h - `dray-runner --keep PARENT PROGRAM WORD...`: PROGRAM runs in the process group that
 * this process leads, from which nothing that it starts gets away. */
#ifndef DRAY_RUN_KEEPER_H
#define DRAY_RUN_KEEPER_H

#include "core/base/error.h"

#define DRAY_KEEPER_WORD "--keep"
/* Its descriptors: where it writes the report, once the program has ended; and the lock of the
 * source's slot, if there is one, which the program inherits: the place is taken while any of them
 * lives. */
#define DRAY_KEEPER_REPORT 3
#define DRAY_KEEPER_SLOT   4

struct dray_keeper_report {
    struct dray_error error; /* of class 0: it was started, and */
    int status;              /* ended so, as from waitpid */
};

/* The body of the process: its exit status. */
int dray_keeper_main(int argc, char **argv);

#endif
