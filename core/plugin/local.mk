# SPDX-License-Identifier: MIT
libdraycore_a_SOURCES += \
	core/plugin/ask.c \
	core/plugin/cache.c \
	core/plugin/describe.c \
	core/plugin/descriptor.c \
	core/plugin/descriptor.h \
	core/plugin/examine.c \
	core/plugin/examine.h \
	core/plugin/info.c \
	core/plugin/info.h \
	core/plugin/instance.c \
	core/plugin/load.c \
	core/plugin/load.h \
	core/plugin/manual.c \
	core/plugin/options.c \
	core/plugin/options.h \
	core/plugin/plugin.h \
	core/plugin/probe.c \
	core/plugin/registry.c \
	core/plugin/schema.c \
	core/plugin/trust.c \
	core/plugin/value.c \
	core/plugin/value.h
