/* SPDX-License-Identifier: MIT */
/* digest.h - SHA-256 and MD5 through OpenSSL's EVP. One object hashes many messages, one at a time.
 */
#ifndef DRAY_BASE_DIGEST_H
#define DRAY_BASE_DIGEST_H

#include <stdint.h>

#include "core/base/error.h"

#define DRAY_SHA256_BYTES 32
#define DRAY_MD5_BYTES    16
#define DRAY_SHA256_HEX   (2 * DRAY_SHA256_BYTES + 1)

enum dray_digest_kind { DRAY_SHA256, DRAY_MD5 };

struct dray_digest;
/* NULL when memory is out or the library refuses (MD5 under FIPS). */
DRAY_MUST_CHECK struct dray_digest *dray_digest_new(enum dray_digest_kind kind);
void dray_digest_free(struct dray_digest *digest);
void dray_digest_freep(struct dray_digest **digest);
/* Begin a message anew. These three return 0 or DRAY_BUG. */
DRAY_MUST_CHECK int dray_digest_start(struct dray_digest *digest);
DRAY_MUST_CHECK int dray_digest_add(struct dray_digest *digest, const void *data, size_t length);
/* 32 or 16 bytes. */
DRAY_MUST_CHECK int dray_digest_end(struct dray_digest *digest, uint8_t *ret_bytes);
/* All at once. */
DRAY_MUST_CHECK int dray_sha256(const void *data, size_t length,
                                uint8_t ret_bytes[static DRAY_SHA256_BYTES]);
/* HMAC (RFC 2104) with SHA-256. */
DRAY_MUST_CHECK int dray_hmac_sha256(const void *key, size_t key_length, const void *data,
                                     size_t length, uint8_t ret_bytes[static DRAY_SHA256_BYTES]);
/* Lower-case hexadecimal with a NUL: 2 * count + 1 characters. Returns text. */
char *dray_hex(const uint8_t *bytes, size_t count, char *text);
/* The bytes of 2 * count hexadecimal digits of either case: 0, or DRAY_INVALID. */
DRAY_MUST_CHECK int dray_unhex(const char *text, size_t count, uint8_t *ret_bytes);

#endif
