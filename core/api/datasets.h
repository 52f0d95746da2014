/* SPDX-License-Identifier: MIT */
/* datasets.h - what the files share that work on the catalog. */
#ifndef DRAY_API_DATASETS_H
#define DRAY_API_DATASETS_H

#include "core/api/internal.h"

/* Put what is said of a dataset (docs/formats.md, without its files) into a row; what is not said
 * stays, null is not known. A relative source starts from `base`; `merge`: labels that are not
 * named stay. DRAY_INVALID with the reason. */
DRAY_MUST_CHECK int dray_dataset_say(struct dray_dataset_row *row, json_t *said, const char *base,
                                     int merge, struct dray_error *error);
/* The same of one file. `file` points into the rest; `path` is freed by the caller, also after a
 * failure. */
struct dray_dataset_file_said {
    struct dray_dataset_file file;
    char *path;
    char sha256[65], md5[33];
};
DRAY_MUST_CHECK int dray_dataset_file_say(json_t *said, struct dray_dataset_file_said *ret_file,
                                          struct dray_error *error);
/* The one that fits; a row without id where none does. */
DRAY_MUST_CHECK int dray_dataset_first(struct dray_api *api,
                                       const struct dray_dataset_wanted *wanted,
                                       struct dray_dataset_row *ret_row, struct dray_error *error);

/* The one that a user means. */
DRAY_MUST_CHECK int dray_dataset_of(struct dray_api *api, const char *reference,
                                    struct dray_dataset_row *ret_row, struct dray_error *error);

/* The list of files that the catalog has of a plan's dataset, in a file of its own that is read
 * from its beginning, and what a preview calls it. The caller closes and frees them, also after a
 * failure. */
DRAY_MUST_CHECK int dray_dataset_listing(struct dray_api *api, const struct dray_plan *plan,
                                         int *ret_fd, char **ret_name, struct dray_error *error);

#endif
