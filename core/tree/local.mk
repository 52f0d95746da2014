# SPDX-License-Identifier: MIT
libdraycore_a_SOURCES += \
	core/tree/attributes.c \
	core/tree/attributes.h \
	core/tree/bag.c \
	core/tree/bag.h \
	core/tree/builder.c \
	core/tree/bytes.c \
	core/tree/bytes.h \
	core/tree/compare.c \
	core/tree/copy.c \
	core/tree/copy_ranges.c \
	core/tree/destination.c \
	core/tree/destination.h \
	core/tree/fingerprint.c \
	core/tree/identity.c \
	core/tree/identity.h \
	core/tree/internal.h \
	core/tree/listing.c \
	core/tree/listing.h \
	core/tree/manifest.c \
	core/tree/manifest.h \
	core/tree/order.c \
	core/tree/path.c \
	core/tree/proof.c \
	core/tree/proof.h \
	core/tree/recorded.c \
	core/tree/recorded.h \
	core/tree/roots.c \
	core/tree/source_folder.c \
	core/tree/symlinks.c \
	core/tree/tree.c \
	core/tree/tree.h \
	core/tree/walk.c \
	core/tree/walk.h \
	core/tree/walk_folder.c \
	core/tree/walk_folder.h
