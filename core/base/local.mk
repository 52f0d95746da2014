# SPDX-License-Identifier: MIT
libdraycore_a_SOURCES += \
	core/base/base64.c \
	core/base/beneath.c \
	core/base/beneath.h \
	core/base/buffer.c \
	core/base/buffer.h \
	core/base/digest.c \
	core/base/digest.h \
	core/base/error.c \
	core/base/error.h \
	core/base/io.c \
	core/base/io.h \
	core/base/log.c \
	core/base/log.h \
	core/base/memory.c \
	core/base/memory.h \
	core/base/number.c \
	core/base/path.c \
	core/base/path.h \
	core/base/pool.c \
	core/base/pool.h \
	core/base/process.c \
	core/base/process.h \
	core/base/remove.c \
	core/base/sign.c \
	core/base/sign.h \
	core/base/text.c \
	core/base/text.h
