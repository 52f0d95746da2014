/* SPDX-License-Identifier: MIT */
/* walk_folder.h - one folder's names, each with what statx says of it. Several may be listed at
 * once, by several threads. */
#ifndef DRAY_TREE_WALK_FOLDER_H
#define DRAY_TREE_WALK_FOLDER_H

#include "core/tree/internal.h"

/* One name of a folder, as statx saw it. */
struct dray_listed_name {
    const char *name;
    const char *link; /* a link's target */
    struct dray_file_identity identity;
    uint32_t name_length;
    uint32_t links; /* how many names the file has */
    uint16_t mode;
    uint8_t type;
};

/* Sorted by name. */
struct dray_folder {
    struct dray_arena arena; /* names and link targets */
    struct dray_listed_name *names;
    size_t count;
    size_t capacity;
    size_t path_length; /* of the folder below the root */
};
void dray_folder_free(struct dray_folder *folder);

/* Where a folder is, and who may stop its listing. */
struct dray_folder_place {
    struct dray_roots *roots;
    const struct dray_root *root;
    const char *path;                        /* below the root; "" is the root itself */
    const struct dray_listed_name *expected; /* what its parent's listing says; NULL for the root */
    int (*cancelled)(void *arg);             /* may be NULL; from any thread */
    void *arg;
};
/* List it. What *ret_folder holds is to be freed in any case. */
DRAY_MUST_CHECK int dray_folder_list(const struct dray_folder_place *place,
                                     struct dray_folder *ret_folder, struct dray_error *error);

/* "/" before what is below the root in a message, "" before nothing. */
const char *dray_slash_before(const char *below);

#endif
