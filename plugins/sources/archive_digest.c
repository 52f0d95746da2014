/* SPDX-License-Identifier: MIT */
/*
 * archive_digest.c - is the file itself what is recorded of it: its size, its SHA-256, its MD5? A
 * file that is read from end to end anyway, as a compressed tar is, is hashed on the way. What is
 * read here and there gets a pass of its own.
 */
#include "archive.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define PIECE       ((size_t)256 << 10)
#define MOST_DIGITS 64

/* One that is recorded, and the same being computed. */
struct digest {
    const char *name, *recorded;
    EVP_MD_CTX *context; /* NULL: nothing is recorded */
};

struct archive_digest {
    struct digest kinds[2];
    int done; /* compared */
};

/* ---- Options ------------------------------------------------------------------------------- */

static int check_digits(struct dray_ctx *ctx, const char *option, const char *text, size_t digits)
{
    if (text == NULL ||
        (strlen(text) == digits && strspn(text, "0123456789abcdefABCDEF") == digits))
        return DRAY_OK;
    return ctx->host->fail_option(ctx, option, DRAY_NO_INDEX, 0,
                                  "%s takes the %zu hexadecimal digits of the file's digest",
                                  option, digits);
}

int archive_prepare_digest(const char *sha256, const char *md5, struct dray_ctx *ctx)
{
    int result = check_digits(ctx, "bundle_sha256", sha256, 64);
    int other = check_digits(ctx, "bundle_md5", md5, 32);

    return result != DRAY_OK ? result : other;
}

/* ---- Computing ----------------------------------------------------------------------------- */

static int fail_library(struct reading *reading, const char *name)
{
    return reading->ctx->host->fail(reading->ctx, DRAY_UNSUPPORTED,
                                    "computing the %s of %s: OpenSSL refuses to", name,
                                    reading->options->path);
}

static int begin(struct reading *reading, struct digest *digest, const char *name,
                 const char *recorded, const EVP_MD *kind)
{
    digest->name = name;
    digest->recorded = recorded;
    if (recorded == NULL)
        return DRAY_OK;
    digest->context = EVP_MD_CTX_new();
    if (digest->context == NULL)
        return reading->ctx->host->fail(reading->ctx, DRAY_NO_MEMORY, "reading %s: out of memory",
                                        reading->options->path);
    return EVP_DigestInit_ex(digest->context, kind, NULL) == 1 ? DRAY_OK
                                                               : fail_library(reading, name);
}

int archive_digest_open(struct reading *reading)
{
    const struct archive_source *options = reading->options;

    if (options->bundle_sha256 == NULL && options->bundle_md5 == NULL)
        return DRAY_OK;
    reading->digest = calloc(1, sizeof(*reading->digest));
    if (reading->digest == NULL)
        return reading->ctx->host->fail(reading->ctx, DRAY_NO_MEMORY, "reading %s: out of memory",
                                        options->path);
    int result =
        begin(reading, &reading->digest->kinds[0], "SHA-256", options->bundle_sha256, EVP_sha256());
    return result == DRAY_OK
               ? begin(reading, &reading->digest->kinds[1], "MD5", options->bundle_md5, EVP_md5())
               : result;
}

void archive_digest_close(struct reading *reading)
{
    for (size_t i = 0; reading->digest != NULL && i < 2; i++)
        EVP_MD_CTX_free(reading->digest->kinds[i].context);
    free(reading->digest);
    reading->digest = NULL;
}

int archive_digest_add(struct reading *reading, const void *data, size_t length)
{
    for (size_t i = 0; reading->digest != NULL && i < 2; i++) {
        struct digest *digest = &reading->digest->kinds[i];
        if (digest->context != NULL && EVP_DigestUpdate(digest->context, data, length) != 1)
            return -1;
    }
    return 0;
}

/* From a place on: -1 is where the descriptor stands, which is moved. */
static int read_from(struct reading *reading, int64_t place)
{
    const struct dray_host *host = reading->ctx->host;
    char *piece = malloc(PIECE);
    ssize_t got = 1;
    int result = piece != NULL ? DRAY_OK
                               : host->fail(reading->ctx, DRAY_NO_MEMORY,
                                            "reading %s: out of memory", reading->options->path);

    while (result == DRAY_OK && got != 0) {
        got = place < 0 ? read(reading->fd, piece, PIECE) : pread(reading->fd, piece, PIECE, place);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            result = host->fail_errno(reading->ctx, errno, "reading %s", reading->options->path);
        else if (archive_digest_add(reading, piece, (size_t)got) != 0)
            result = fail_library(reading, "digest");
        place += place < 0 || got < 0 ? 0 : got;
        host->progress(reading->ctx, 0, 0);
        if (result == DRAY_OK && host->cancelled(reading->ctx))
            result = host->fail(reading->ctx, DRAY_CANCELLED, "cancelled");
    }
    free(piece);
    return result;
}

/* ---- Comparing ----------------------------------------------------------------------------- */

int archive_check_size(struct reading *reading)
{
    const struct dray_host *host = reading->ctx->host;
    int64_t size = reading->before.st_size, recorded = reading->options->bundle_size;

    if (recorded == DRAY_NONE || recorded == size)
        return DRAY_OK;
    int result = host->fail(reading->ctx, DRAY_INTEGRITY,
                            "%s has %" PRId64 " bytes, and %" PRId64 " are recorded of it",
                            reading->options->path, size, recorded);
    host->hint(reading->ctx, "fetch it again, or correct what is recorded: dray dataset set "
                             "DATASET --bundle-size SIZE");
    return result;
}

static int compare(struct reading *reading, struct digest *digest)
{
    const struct dray_host *host = reading->ctx->host;
    unsigned char bytes[EVP_MAX_MD_SIZE];
    char digits[MOST_DIGITS + 1];
    unsigned length = 0;

    if (digest->context == NULL)
        return DRAY_OK;
    if (EVP_DigestFinal_ex(digest->context, bytes, &length) != 1 ||
        2 * (size_t)length > MOST_DIGITS)
        return fail_library(reading, digest->name);
    for (unsigned i = 0; i < length; i++) {
        digits[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        digits[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    digits[2 * length] = '\0';
    if (strcasecmp(digits, digest->recorded) == 0)
        return DRAY_OK;
    int result =
        host->fail(reading->ctx, DRAY_INTEGRITY, "the %s of %s is %s, and %s is recorded of it",
                   digest->name, reading->options->path, digits, digest->recorded);
    host->hint(reading->ctx, "fetch it again, or correct what is recorded: dray dataset set "
                             "DATASET --digest KIND:DIGITS");
    return result;
}

static int compare_all(struct reading *reading)
{
    struct archive_digest *digest = reading->digest;

    digest->done = 1;
    int result = compare(reading, &digest->kinds[0]);
    return result == DRAY_OK ? compare(reading, &digest->kinds[1]) : result;
}

int archive_digest_pass(struct reading *reading)
{
    /* A preview of what need not be read stays one that does not read it. */
    if (reading->digest == NULL || reading->ctx->host->job(reading->ctx)->attempt == 0)
        return DRAY_OK;
    int result = read_from(reading, 0);
    return result == DRAY_OK ? compare_all(reading) : result;
}

int archive_digest_check(struct reading *reading)
{
    if (reading->digest == NULL || reading->digest->done || !reading->compressed)
        return DRAY_OK;
    /* Nothing is left, unless the compression ends before the file does. */
    int result = read_from(reading, -1);
    return result == DRAY_OK ? compare_all(reading) : result;
}

int archive_check_file(const struct archive_source *options, struct dray_ctx *ctx)
{
    struct reading reading = {.ctx = ctx, .options = options, .fd = -1};
    int result = archive_open_file(&reading);

    if (result == DRAY_OK)
        result = archive_check_size(&reading);
    if (result == DRAY_OK)
        result = archive_digest_open(&reading);
    if (result == DRAY_OK)
        result = archive_digest_pass(&reading);
    if (result == DRAY_OK)
        result = archive_check_unchanged(&reading);
    archive_digest_close(&reading);
    archive_close(&reading);
    return result;
}
