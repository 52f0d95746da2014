/* SPDX-License-Identifier: MIT */
/* manifest.h - lists of digests as sha256sum reads them, and tree.jsonl, which also holds what
 * digests cannot. */
#ifndef DRAY_TREE_MANIFEST_H
#define DRAY_TREE_MANIFEST_H

#include "core/base/buffer.h"
#include "core/tree/tree.h"

/* One line "HEX  PATH\n", names with backslash, newline or carriage return escaped as coreutils
 * does. */
void dray_manifest_add(struct dray_buffer *out, const uint8_t *digest, size_t digest_bytes,
                       const char *path, size_t length);
/* Read a manifest of sha256sum or md5sum (text and binary marks, lines with a tag, escaped names,
 * `./` in front, CRLF; empty lines and those that begin with `#` are skipped, as there): calls
 * `line` for each and passes on what it returns when that is not 0, with the place where it is
 * DRAY_INVALID and has none; a line that is none of these is DRAY_INVALID with its number, one with
 * a digest of another kind DRAY_UNSUPPORTED. */
DRAY_MUST_CHECK int dray_manifest_read(const char *name, const char *text, size_t length,
                                       int (*line)(void *arg, const uint8_t *digest,
                                                   size_t digest_bytes, const char *path,
                                                   size_t path_length, struct dray_error *error),
                                       void *arg, struct dray_error *error);
/* One line of tree.jsonl: {"path", "type", "size"?, "mode", "mtime", "sha256"?, "link"?,
 * "same_as"?}. The type is "file", "directory" or "link", the mode four octal digits as text, the
 * mtime nanoseconds since 1970; what is not UTF-8 has its bytes beside it as KEY_b64. Returns
 * out->failed. */
DRAY_MUST_CHECK int dray_tree_line(struct dray_buffer *out, const struct dray_tree_entry *entry,
                                   const uint8_t *sha256, const struct dray_tree_entry *same_as);

#endif
