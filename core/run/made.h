/* SPDX-License-Identifier: MIT */
/*
 * made.h - what is known of the directories beside a target, so that nothing else is ever removed
 * there: in a parent that others may write, any name may lead to anything. The state directory has
 * a file for each request key while such directories may be left (docs/formats.md). It names a
 * directory by its inode and when it was born, which no rename changes.
 */
#ifndef DRAY_RUN_MADE_H
#define DRAY_RUN_MADE_H

#include <stdint.h>

#include "core/base/digest.h"
#include "core/base/error.h"

enum dray_made_what {
    DRAY_MADE,      /* staging of an attempt */
    DRAY_MADE_OLD,  /* a delivery, whose place another one takes */
    DRAY_MADE_KEPT, /* staging that has become a delivery */
};

struct dray_made_line {
    enum dray_made_what what;
    uint64_t inode;
    uint64_t born;                  /* ns; 0: its file system does not say */
    char manifest[DRAY_SHA256_HEX]; /* of an old delivery; else "" */
};

struct dray_made {
    int fd; /* of the file; -1: there is none */
    struct dray_made_line *lines;
    size_t count, capacity;
};

/* The file of a request key below `directory`, made where it is missing if `make`; else there may
 * be none. */
DRAY_MUST_CHECK int dray_made_open(const char *directory, const char *request_key, int make,
                                   struct dray_made *ret_made, struct dray_error *error);
void dray_made_close(struct dray_made *made);
/* Note a directory that is held, durably. `manifest`: of an old delivery, else NULL. */
DRAY_MUST_CHECK int dray_made_note(struct dray_made *made, int held, enum dray_made_what what,
                                   const char *manifest, struct dray_error *error);
/* The newest line on a directory that is held, or NULL. */
const struct dray_made_line *dray_made_find(const struct dray_made *made, int held);
/* Nothing of what it names is left. */
void dray_made_forget(struct dray_made *made);
/* Remove the file, if nothing may be left. */
void dray_made_drop(const char *directory, const char *request_key);

#endif
