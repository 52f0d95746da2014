# SPDX-License-Identifier: MIT
# Transforms; how a plugin is built stands in plugins/local.mk.

plugin_modules += plugins/transform-rename.la

plugins_transform_rename_la_SOURCES = \
	plugins/transforms/rename.c \
	plugins/transforms/rename.h \
	plugins/transforms/rename_check.c \
	plugins/transforms/rename_link.c \
	plugins/transforms/rename_path.c \
	plugins/transforms/rename_regex.c \
	plugins/transforms/rename_safe.c \
	plugins/transforms/rename_sort.c \
	plugins/transforms/rename_tree.c
plugins_transform_rename_la_LDFLAGS = $(plugin_link_flags)
plugins_transform_rename_la_LIBADD = $(PCRE2_LIBS) $(UTF8PROC_LIBS)
