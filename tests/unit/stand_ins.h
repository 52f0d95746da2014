/* SPDX-License-Identifier: MIT */
/*
 * stand_ins.h - planning without any plugin being loaded: option tables (with the linker's --wrap
 * they stand in the registry's place) and an asker that answers for them.
 *
 * Plugins: source/directory, source/archive, filter/glob, filter/size, filter/listed,
 * transform/mask, push/hpfs, push/cloud; push/broken is refused. The asker objects to patterns with
 * `**` inside a word. push/hpfs delivers to hpfs:PATH; it finds a delivery at paths that contain
 * "delivered", something at those with "occupied", and fails for "missing", "forbidden" and "busy".
 */
#ifndef DRAY_TESTS_STAND_INS_H
#define DRAY_TESTS_STAND_INS_H

#include "core/plan/plan.h"

/* An asker's function. */
int stand_ins_answer(void *arg, const json_t *request, json_t **ret_answer,
                     struct dray_error *error);
/* Make all plugins now, so that no allocation of theirs is counted later. */
void stand_ins_make(void);
/* What is kept of the plugins while the process lives, and the recipes. */
void stand_ins_free(void);

/* In the place of the registry's. */
int __wrap_dray_registry_find(struct dray_registry *registry, uint32_t kind, const char *name,
                              const struct dray_plugin_info **ret_plugin, struct dray_error *error);
const char *const *__wrap_dray_registry_names(struct dray_registry *registry, uint32_t kind,
                                              size_t *ret_count);

/* Saved recipes: each text of a name is its next version. One called `locked` cannot be read. */
void stand_ins_save(const char *name, const char *text);
void stand_ins_forget(void);
extern const struct dray_recipes stand_ins_recipes;

#endif
