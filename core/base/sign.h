/* SPDX-License-Identifier: MIT */
/*
 * sign.h - Ed25519 keys and signatures (RFC 8032) through OpenSSL's EVP. Keys are the PEM files
 * that `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write; a signature is its 64
 * bytes, as `openssl pkeyutl -sign -rawin` writes them. No message holds anything of a private key.
 */
#ifndef DRAY_BASE_SIGN_H
#define DRAY_BASE_SIGN_H

#include <stdint.h>

#include "core/base/error.h"

#define DRAY_SIGNATURE_BYTES 64
/* A key's id: the first 16 digits of the SHA-256 of its 32 public bytes, and a NUL. */
#define DRAY_KEY_ID_BYTES 17

struct dray_key;
/* The key of a file that only its owner may read; DRAY_DENIED when others may too. DRAY_INVALID
 * for a file that holds anything but one private Ed25519 key in the clear. */
DRAY_MUST_CHECK int dray_key_read_private(const char *path, struct dray_key **ret_key,
                                          struct dray_error *error);
/* A public key, for dray_signature_check. DRAY_INVALID for a file that holds anything else. */
DRAY_MUST_CHECK int dray_key_read_public(const char *path, struct dray_key **ret_key,
                                         struct dray_error *error);
/* A new pair: the private key into a new file of mode 0600, the public one into a new file of that
 * name and `.pub`, mode 0644. DRAY_CONFLICT when either is there; nothing is left after a failure.
 */
DRAY_MUST_CHECK int dray_key_make(const char *path, struct dray_key **ret_key,
                                  struct dray_error *error);
void dray_key_free(struct dray_key *key);
void dray_key_freep(struct dray_key **key);

/* Of both halves of a pair the same. Lives as long as the key. */
const char *dray_key_id(const struct dray_key *key);

/* Sign bytes with a private key. */
DRAY_MUST_CHECK int dray_sign(const struct dray_key *key, const void *data, size_t length,
                              uint8_t ret_signature[static DRAY_SIGNATURE_BYTES],
                              struct dray_error *error);
/* 1: the signature is of these bytes by this key; 0: it is not; or a class. */
DRAY_MUST_CHECK int dray_signature_check(const struct dray_key *key, const void *data,
                                         size_t length, const void *signature,
                                         size_t signature_length, struct dray_error *error);

#endif
