/* SPDX-License-Identifier: MIT */
/* dray-runner - the sandboxed process that runs plugins; started by an engine. */
#include <string.h>
#include <unistd.h>

#include "core/run/keeper.h"
#include "core/run/runner.h"

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], DRAY_KEEPER_WORD) == 0)
        _exit(dray_keeper_main(argc, argv));
    return dray_runner_main(argc, argv);
}
