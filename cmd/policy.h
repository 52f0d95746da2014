/* SPDX-License-Identifier: MIT */
/* policy.h - the verbs of `dray policy`, by file. */
#ifndef DRAY_CMD_POLICY_H
#define DRAY_CMD_POLICY_H

#include "cmd/command.h"

/* policy_look.c; the verb is the first argument */
int policy_explain(const struct options *options);
int policy_test(const struct options *options);
/* policy_replay.c */
int policy_replay(const struct options *options);

#endif
