/* SPDX-License-Identifier: MIT */
/* Has an option that would be written beyond the instance. */
#define NAME          "outside-option"
#define INSTANCE_SIZE 4
#include "base.h"
