/* SPDX-License-Identifier: MIT */
/*
 * filter_fixture.h - a built filter as the host sees it: its option table filled by name, and a
 * host that remembers what it was told and has bytes to read.
 */
#ifndef DRAY_TEST_FILTER_FIXTURE_H
#define DRAY_TEST_FILTER_FIXTURE_H

#include <stdint.h>

#include <dray/plugin.h>

#define FILTER_REPORTS 8
#define FILTER_NOW     INT64_C(1700000000000000000) /* 2023-11-14T22:13:20Z */

struct filter_report {
    char option[32];
    int64_t index;
    uint64_t offset;
    char message[256];
};

struct filter_fake {
    struct dray_ctx ctx; /* first: what the plugin holds is a pointer to it */
    struct filter_report reports[FILTER_REPORTS];
    uint32_t count;
    char failure[1024]; /* what host->fail was told last */
    const char *bytes;  /* of the entry that is asked about; NULL: it cannot be opened */
    uint64_t length;
    uint64_t position;
    uint32_t opened;
    uint32_t closed;
};

struct filter_step {
    const struct dray_plugin *plugin;
    const struct dray_filter_operations *operations;
    void *self;
    struct filter_fake fake;
};

/* An instance with the table's defaults. `name` as in filter-NAME.so. */
void filter_new(struct filter_step *step, const char *name);
/* The lists live as long as the step and end with NULL. */
void filter_set_strings(struct filter_step *step, const char *name, const char *const *items);
void filter_set_number(struct filter_step *step, const char *name, int64_t value);
void filter_set_string(struct filter_step *step, const char *name, const char *value);
int filter_prepare(struct filter_step *step);
/* After a filter_prepare that succeeded; else filter_drop. */
void filter_finish(struct filter_step *step);
void filter_drop(struct filter_step *step);

/* The verdict on an entry; fails the test where it is another. */
void filter_check(struct filter_step *step, const struct dray_entry *entry, uint32_t verdict,
                  const char *option, int64_t index);
void filter_check_path(struct filter_step *step, const char *path, uint32_t type, uint32_t verdict,
                       const char *option, int64_t index);
int filter_decide(struct filter_step *step, const struct dray_entry *entry,
                  struct dray_verdict *ret_verdict);
void filter_check_report(const struct filter_step *step, uint32_t number, const char *option,
                         int64_t index, uint64_t offset, const char *message);

#endif
