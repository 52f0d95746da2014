# SPDX-License-Identifier: MIT
libdraycore_a_SOURCES += \
	core/store/attempts.c \
	core/store/cancel.c \
	core/store/checkpoints.c \
	core/store/datasets.c \
	core/store/internal.h \
	core/store/jobs.c \
	core/store/locks.c \
	core/store/past.c \
	core/store/place.c \
	core/store/recipes.c \
	core/store/policies.c \
	core/store/rows.c \
	core/store/schema.c \
	core/store/sql.c \
	core/store/states.c \
	core/store/store.c \
	core/store/store.h \
	core/store/take_up.c \
	core/store/verdicts.c
