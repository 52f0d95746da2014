/* SPDX-License-Identifier: MIT */
/* digest.c - see digest.h. */
#include "core/base/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

struct dray_digest {
    EVP_MD *method; /* fetched once: looking it up costs more than hashing a small message */
    EVP_MD_CTX *context;
    int begun; /* between start and end */
};

struct dray_digest *dray_digest_new(enum dray_digest_kind kind)
{
    struct dray_digest *digest = calloc(1, sizeof *digest);

    if (digest == NULL)
        return NULL;
    digest->method = EVP_MD_fetch(NULL, kind == DRAY_SHA256 ? "SHA256" : "MD5", NULL);
    digest->context = EVP_MD_CTX_new();
    if (digest->method == NULL || digest->context == NULL) {
        dray_digest_free(digest);
        return NULL;
    }
    return digest;
}

void dray_digest_free(struct dray_digest *digest)
{
    if (digest == NULL)
        return;
    EVP_MD_CTX_free(digest->context);
    EVP_MD_free(digest->method);
    free(digest);
}

void dray_digest_freep(struct dray_digest **digest)
{
    dray_digest_free(*digest);
    *digest = NULL;
}

int dray_digest_start(struct dray_digest *digest)
{
    digest->begun = EVP_DigestInit_ex2(digest->context, digest->method, NULL) == 1;
    return digest->begun ? 0 : DRAY_BUG;
}

int dray_digest_add(struct dray_digest *digest, const void *data, size_t length)
{
    if (!digest->begun)
        return DRAY_BUG;
    if (length == 0)
        return 0;
    return EVP_DigestUpdate(digest->context, data, length) == 1 ? 0 : DRAY_BUG;
}

int dray_digest_end(struct dray_digest *digest, uint8_t *ret_bytes)
{
    if (!digest->begun)
        return DRAY_BUG;
    digest->begun = 0;
    return EVP_DigestFinal_ex(digest->context, ret_bytes, NULL) == 1 ? 0 : DRAY_BUG;
}

int dray_sha256(const void *data, size_t length, uint8_t ret_bytes[static DRAY_SHA256_BYTES])
{
    dray_cleanup(dray_digest_freep) struct dray_digest *digest = dray_digest_new(DRAY_SHA256);

    if (digest == NULL)
        return DRAY_BUG;
    int result = dray_digest_start(digest);
    if (result == 0)
        result = dray_digest_add(digest, data, length);
    return result == 0 ? dray_digest_end(digest, ret_bytes) : result;
}

int dray_hmac_sha256(const void *key, size_t key_length, const void *data, size_t length,
                     uint8_t ret_bytes[static DRAY_SHA256_BYTES])
{
    unsigned size = 0;

    return HMAC(EVP_sha256(), key, (int)key_length, data, length, ret_bytes, &size) &&
                   size == DRAY_SHA256_BYTES
               ? 0
               : DRAY_BUG;
}

char *dray_hex(const uint8_t *bytes, size_t count, char *text)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < count; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * count] = '\0';
    return text;
}

static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

int dray_unhex(const char *text, size_t count, uint8_t *ret_bytes)
{
    /* All digits are looked at before a byte is stored. A NUL is no digit and ends the search. */
    for (size_t i = 0; i < 2 * count; i++)
        if (digit_value(text[i]) < 0)
            return DRAY_INVALID;
    for (size_t i = 0; i < count; i++)
        ret_bytes[i] = (uint8_t)(digit_value(text[2 * i]) * 16 + digit_value(text[2 * i + 1]));
    return 0;
}
