/* SPDX-License-Identifier: MIT */
/* runner.h - the runner process: started by an engine, told on its standard input what to run
 * (docs/formats.md). */
#ifndef DRAY_RUN_RUNNER_H
#define DRAY_RUN_RUNNER_H

/* The descriptors that a preview is written to, of the list that stands for its source, of the
 * record of the catalog's dataset, and of the lock of a source's slot, which a program inherits.
 * Descriptor 3 is the page for blame (blame.h), 2 the log. */
#define DRAY_PREVIEW_FD  4
#define DRAY_LISTING_FD  5
#define DRAY_RECORDED_FD 6
#define DRAY_SLOT_FD     7
/* Exit status of a runner whose engine went away. */
#define DRAY_RUNNER_ORPHANED 70

/* The body of the dray-runner program: 0 when it told the engine how everything ended. */
int dray_runner_main(int argc, char **argv);

#endif
