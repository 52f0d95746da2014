# SPDX-License-Identifier: MIT
libdraycore_a_SOURCES += \
	core/api/api.c \
	core/api/api.h \
	core/api/claims.c \
	core/api/configuration.c \
	core/api/configuration.h \
	core/api/configuration_hpfs.c \
	core/api/configuration_scratch.c \
	core/api/configuration_sources.c \
	core/api/cost.c \
	core/api/dataset_import.c \
	core/api/dataset_listing.c \
	core/api/dataset_said.c \
	core/api/dataset_verify.c \
	core/api/datasets.c \
	core/api/datasets.h \
	core/api/emptied.c \
	core/api/explain.c \
	core/api/gc.c \
	core/api/init.c \
	core/api/internal.h \
	core/api/jobs.c \
	core/api/overlap.c \
	core/api/overlap.h \
	core/api/policies.c \
	core/api/push.c \
	core/api/recipes.c \
	core/api/reference.c \
	core/api/replay.c \
	core/api/replay.h \
	core/api/replay_compare.c \
	core/api/replay_past.c \
	core/api/verify.c
