/* SPDX-License-Identifier: MIT */
/* dray-runner - the sandboxed process that runs plugins; started by an engine. */
#include "core/run/runner.h"

int main(int argc, char **argv)
{
    return dray_runner_main(argc, argv);
}
