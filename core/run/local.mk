# SPDX-License-Identifier: MIT
libdraycore_a_SOURCES += \
	core/run/ask.c \
	core/run/blame.c \
	core/run/blame.h \
	core/run/filter.c \
	core/run/hand_down.c \
	core/run/inquiry.c \
	core/run/inquiry.h \
	core/run/lint.c \
	core/run/pipe.c \
	core/run/pipe.h \
	core/run/preview.c \
	core/run/preview.h \
	core/run/preview_line.c \
	core/run/records.c \
	core/run/run.h \
	core/run/runner.c \
	core/run/runner.h \
	core/run/sandbox.c \
	core/run/sandbox.h \
	core/run/sandbox_program.c \
	core/run/schedule.c \
	core/run/services.c \
	core/run/services_program.c \
	core/run/services_tree.c \
	core/run/staging.c \
	core/run/step.c \
	core/run/steps_load.c \
	core/run/validate.c \
	core/run/validate_read.c \
	core/run/verdict_list.c \
	core/run/verdict_list.h \
	core/run/verdict_walk.c \
	core/run/verdict_walk.h \
	core/run/verdicts.c
