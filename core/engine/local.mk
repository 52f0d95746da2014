# SPDX-License-Identifier: MIT
libdraycore_a_SOURCES += \
	core/engine/ask.c \
	core/engine/attempt.c \
	core/engine/cancel.c \
	core/engine/deliver.c \
	core/engine/deliver.h \
	core/engine/engine.h \
	core/engine/journal.c \
	core/engine/launch.c \
	core/engine/launch.h \
	core/engine/recorded.c \
	core/engine/retry.c \
	core/engine/scratch.c \
	core/engine/slots.c \
	core/engine/standing.c \
	core/engine/verify.c
