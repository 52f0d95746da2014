# SPDX-License-Identifier: MIT
libdraycore_a_SOURCES += \
	core/conf/builder.c \
	core/conf/builder.h \
	core/conf/builder_scalar.c \
	core/conf/diagnostic.c \
	core/conf/diagnostic.h \
	core/conf/diagnostic_print.c \
	core/conf/document.c \
	core/conf/node.c \
	core/conf/node.h \
	core/conf/node_place.c \
	core/conf/schema.c \
	core/conf/schema.h \
	core/conf/source.c \
	core/conf/source.h \
	core/conf/syntax.c \
	core/conf/syntax.h \
	core/conf/syntax_value.c
