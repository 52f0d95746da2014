/* SPDX-License-Identifier: MIT */
/* policy.h - the verbs of `dray policy`, by file. */
#ifndef DRAY_CMD_POLICY_H
#define DRAY_CMD_POLICY_H

#include "cmd/command.h"

/* policy_look.c */
int policy_explain(struct work *work);
int policy_test(struct work *work);
/* policy_replay.c */
int policy_replay(struct work *work);

#endif
