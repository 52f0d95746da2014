# SPDX-License-Identifier: MIT
libdraycore_a_SOURCES += \
	core/engine/ask.c \
	core/engine/attempt.c \
	core/engine/bring.c \
	core/engine/cancel.c \
	core/engine/deliver.c \
	core/engine/deliver.h \
	core/engine/engine.h \
	core/engine/gc.c \
	core/engine/journal.c \
	core/engine/launch.c \
	core/engine/launch.h \
	core/engine/recorded.c \
	core/engine/retry.c \
	core/engine/room.c \
	core/engine/scratch.c \
	core/engine/slots.c \
	core/engine/staged.c \
	core/engine/staged.h \
	core/engine/staged_list.c \
	core/engine/standing.c \
	core/engine/verify.c
