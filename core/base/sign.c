/* SPDX-License-Identifier: MIT */
/* sign.c - see sign.h. */
#include "core/base/sign.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/digest.h"
#include "core/base/io.h"

/* A PEM file of one Ed25519 key has about 120 bytes; one of RSA that is to be named has a few
 * thousand. */
#define LARGEST_FILE 16384
#define PUBLIC_BYTES 32
#define BEGIN        "-----BEGIN "
#define DASHES       "-----"

struct dray_key {
    EVP_PKEY *pair; /* OpenSSL overwrites a private half when it frees it */
    int is_private;
    char id[DRAY_KEY_ID_BYTES];
};

/* A key file's text, which may be a secret. */
struct secret {
    char text[LARGEST_FILE + 1];
    size_t length;
    mode_t mode; /* of the file */
};

static void secret_free(struct secret **secret)
{
    if (*secret == NULL)
        return;
    OPENSSL_cleanse(*secret, sizeof **secret);
    free(*secret);
}

static void free_memory_file(BIO **file)
{
    BIO_free(*file);
}

void dray_key_free(struct dray_key *key)
{
    if (key == NULL)
        return;
    EVP_PKEY_free(key->pair);
    free(key);
}

void dray_key_freep(struct dray_key **key)
{
    dray_key_free(*key);
    *key = NULL;
}

const char *dray_key_id(const struct dray_key *key)
{
    return key->id;
}

/* Takes the pair, also when it fails. */
static int new_key(EVP_PKEY *pair, int is_private, struct dray_key **ret_key,
                   struct dray_error *error)
{
    dray_cleanup(dray_key_freep) struct dray_key *key = calloc(1, sizeof *key);
    uint8_t public[PUBLIC_BYTES], digest[DRAY_SHA256_BYTES];
    size_t length = sizeof public;

    if (key == NULL) {
        EVP_PKEY_free(pair);
        return dray_fail_memory(error);
    }
    key->pair = pair;
    key->is_private = is_private;
    if (EVP_PKEY_get_raw_public_key(pair, public, &length) != 1 || length != PUBLIC_BYTES ||
        dray_sha256(public, length, digest) != 0)
        return dray_fail_memory(error);
    (void)dray_hex(digest, (DRAY_KEY_ID_BYTES - 1) / 2, key->id);
    *ret_key = DRAY_TAKE(key);
    return 0;
}

/* ---- Reading keys ---- */

static int check_mode(const char *path, mode_t mode, struct dray_error *error)
{
    if ((mode & (S_IRWXG | S_IRWXO)) == 0)
        return 0;
    (void)dray_fail(error, DRAY_DENIED,
                    "the private key %s can be read or written by others than its owner", path);
    dray_hint(error, "chmod 600 '%s'\nand, where others may have read it, make a new key", path);
    return DRAY_DENIED;
}

static int read_text(const char *path, struct secret *secret, struct dray_error *error)
{
    struct stat status;
    /* A pipe without a writer would hang the reader. */
    dray_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &status) != 0)
        return dray_fail_errno(error, errno, "cannot open the key %s", path);
    if (!S_ISREG(status.st_mode))
        return dray_fail(error, DRAY_INVALID, "the key %s is not a regular file", path);
    ssize_t got = dray_read_full(fd, secret->text, LARGEST_FILE);
    if (got < 0)
        return dray_fail_errno(error, errno, "cannot read the key %s", path);
    if (got == LARGEST_FILE)
        return dray_fail(error, DRAY_INVALID, "%s is no key: it has more than %d bytes", path,
                         LARGEST_FILE - 1);
    secret->length = (size_t)got;
    secret->text[got] = '\0';
    secret->mode = status.st_mode;
    return 0;
}

static int fail_kind(const char *path, int is_private, const char *what, struct dray_error *error)
{
    (void)dray_fail(error, DRAY_INVALID, "%s %s, not %s Ed25519 key in PEM", path, what,
                    is_private ? "a private" : "a public");
    if (is_private)
        dray_hint(error, "openssl genpkey -algorithm ed25519 -out FILE makes one, and so does dray "
                         "policy key FILE");
    else
        dray_hint(error, "openssl pkey -in PRIVATE -pubout -out PUBLIC writes that of a private "
                         "key");
    return DRAY_INVALID;
}

/* The label of the one PEM block: "PRIVATE KEY". */
static int find_label(const char *path, int is_private, const struct secret *secret, char *label,
                      size_t size, struct dray_error *error)
{
    const char *begin = strstr(secret->text, BEGIN);

    if (begin == NULL)
        return fail_kind(path, is_private, "holds no key", error);
    begin += strlen(BEGIN);
    if (strstr(begin, BEGIN) != NULL)
        return fail_kind(path, is_private, "holds more than one key or certificate", error);
    const char *end = strstr(begin, DASHES);
    size_t length = end == NULL ? size : (size_t)(end - begin);
    if (length >= size || memchr(begin, '\n', length) != NULL)
        return fail_kind(path, is_private, "holds no key", error);
    memcpy(label, begin, length);
    label[length] = '\0';
    return 0;
}

static int check_label(const char *path, int is_private, const struct secret *secret,
                       struct dray_error *error)
{
    char label[64];
    int result = find_label(path, is_private, secret, label, sizeof label, error);

    if (result != 0 || strcmp(label, is_private ? "PRIVATE KEY" : "PUBLIC KEY") == 0)
        return result;
    if (strcmp(label, "ENCRYPTED PRIVATE KEY") == 0 && is_private) {
        (void)dray_fail(error, DRAY_UNSUPPORTED,
                        "the private key %s is under a passphrase, which Dray does not ask for",
                        path);
        dray_hint(error, "sign with openssl pkeyutl -sign, which does (docs/policy.md)");
        return DRAY_UNSUPPORTED;
    }
    if (strcmp(label, "OPENSSH PRIVATE KEY") == 0)
        return fail_kind(path, is_private, "is a key of OpenSSH", error);
    if (strstr(label, "PRIVATE KEY") != NULL)
        return fail_kind(path, is_private, is_private ? "is of an older form" : "is a private key",
                         error);
    if (strstr(label, "PUBLIC KEY") != NULL)
        return fail_kind(path, is_private, is_private ? "is a public key" : "is of an older form",
                         error);
    return fail_kind(path, is_private, "holds no key", error);
}

/* Nobody is asked for a passphrase. */
static int no_passphrase(char *buffer, int size, int writing, void *arg)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static int parse(const char *path, int is_private, const struct secret *secret,
                 struct dray_key **ret_key, struct dray_error *error)
{
    dray_cleanup(free_memory_file) BIO *file = BIO_new_mem_buf(secret->text, (int)secret->length);

    if (file == NULL)
        return dray_fail_memory(error);
    EVP_PKEY *pair = is_private ? PEM_read_bio_PrivateKey(file, NULL, no_passphrase, NULL)
                                : PEM_read_bio_PUBKEY(file, NULL, no_passphrase, NULL);
    if (pair == NULL)
        return fail_kind(path, is_private, "is damaged", error);
    if (!EVP_PKEY_is_a(pair, "ED25519")) {
        char what[64] = "is a key of another kind";
        const char *name = EVP_PKEY_get0_type_name(pair);
        if (name != NULL && strlen(name) < 32)
            (void)snprintf(what, sizeof what, "is a key for %s", name);
        EVP_PKEY_free(pair);
        return fail_kind(path, is_private, what, error);
    }
    return new_key(pair, is_private, ret_key, error);
}

static int read_key(const char *path, int is_private, struct dray_key **ret_key,
                    struct dray_error *error)
{
    dray_cleanup(secret_free) struct secret *secret = calloc(1, sizeof *secret);

    if (secret == NULL)
        return dray_fail_memory(error);
    int result = read_text(path, secret, error);
    if (result == 0)
        result = check_label(path, is_private, secret, error);
    if (result == 0 && is_private)
        result = check_mode(path, secret->mode, error);
    return result == 0 ? parse(path, is_private, secret, ret_key, error) : result;
}

int dray_key_read_private(const char *path, struct dray_key **ret_key, struct dray_error *error)
{
    return read_key(path, 1, ret_key, error);
}

int dray_key_read_public(const char *path, struct dray_key **ret_key, struct dray_error *error)
{
    return read_key(path, 0, ret_key, error);
}

/* ---- Making one ---- */

/* The descriptor of a new file, which must not be there, not even as a link. */
static int create(const char *path, unsigned mode, struct dray_error *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode);

    if (fd >= 0 || errno != EEXIST)
        return fd >= 0 ? fd : dray_fail_errno(error, errno, "cannot make the key %s", path);
    (void)dray_fail(error, DRAY_CONFLICT, "%s is there already, and no key is ever overwritten",
                    path);
    dray_hint(error, "name another file");
    return DRAY_CONFLICT;
}

/* One half into its open file: what OpenSSL wrote into a memory file. */
static int fill(int *fd, BIO *half, unsigned mode, const char *path, struct dray_error *error)
{
    char *text = NULL;
    long length = BIO_get_mem_data(half, &text);

    if (length <= 0)
        return dray_fail_memory(error);
    /* The umask may have taken away what everybody needs of a public key. */
    if (dray_write_all(*fd, text, (size_t)length) != 0 || fchmod(*fd, (mode_t)mode) != 0 ||
        fsync(*fd) != 0 || dray_close(fd) != 0)
        return dray_fail_errno(error, errno, "cannot write the key %s", path);
    return 0;
}

static int write_pair(EVP_PKEY *pair, const char *path, const char *public_path,
                      struct dray_error *error)
{
    /* Overwritten when it is freed. */
    dray_cleanup(free_memory_file) BIO *private = BIO_new(BIO_s_secmem());
    dray_cleanup(free_memory_file) BIO *public = BIO_new(BIO_s_mem());

    if (private == NULL || public == NULL ||
        PEM_write_bio_PrivateKey(private, pair, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_PUBKEY(public, pair) != 1)
        return dray_fail_memory(error);
    dray_autoclose int private_fd = create(path, 0600, error);
    if (private_fd < 0)
        return private_fd;
    dray_autoclose int public_fd = create(public_path, 0644, error);
    int made_public = public_fd >= 0;
    int result = made_public ? fill(&public_fd, public, 0644, public_path, error) : public_fd;
    if (result == 0)
        result = fill(&private_fd, private, 0600, path, error);
    if (result != 0) {
        (void)unlink(path); /* ours, and of no use alone */
        if (made_public)
            (void)unlink(public_path);
    }
    return result;
}

int dray_key_make(const char *path, struct dray_key **ret_key, struct dray_error *error)
{
    dray_cleanup(dray_key_freep) struct dray_key *key = NULL;
    dray_autofree char *public_path = dray_format("%s.pub", path);

    if (public_path == NULL)
        return dray_fail_memory(error);
    EVP_PKEY *pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    if (pair == NULL)
        return dray_fail(error, DRAY_UNSUPPORTED, "OpenSSL makes no Ed25519 keys here");
    int result = new_key(pair, 1, &key, error);
    if (result == 0)
        result = write_pair(key->pair, path, public_path, error);
    if (result == 0)
        *ret_key = DRAY_TAKE(key);
    return result;
}

/* ---- Signing ---- */

static void free_context(EVP_MD_CTX **context)
{
    EVP_MD_CTX_free(*context);
}

int dray_sign(const struct dray_key *key, const void *data, size_t length,
              uint8_t ret_signature[static DRAY_SIGNATURE_BYTES], struct dray_error *error)
{
    dray_cleanup(free_context) EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t written = DRAY_SIGNATURE_BYTES;

    if (!key->is_private)
        return dray_fail(error, DRAY_BUG, "nothing can be signed with a public key");
    if (context == NULL ||
        EVP_DigestSignInit_ex(context, NULL, NULL, NULL, NULL, key->pair, NULL) != 1 ||
        EVP_DigestSign(context, ret_signature, &written, data, length) != 1 ||
        written != DRAY_SIGNATURE_BYTES)
        return dray_fail_memory(error);
    return 0;
}

int dray_signature_check(const struct dray_key *key, const void *data, size_t length,
                         const void *signature, size_t signature_length, struct dray_error *error)
{
    dray_cleanup(free_context) EVP_MD_CTX *context = EVP_MD_CTX_new();

    if (context == NULL ||
        EVP_DigestVerifyInit_ex(context, NULL, NULL, NULL, NULL, key->pair, NULL) != 1)
        return dray_fail_memory(error);
    /* Only 1 is a yes; what it says of a malformed signature varies. */
    return signature_length == DRAY_SIGNATURE_BYTES &&
           EVP_DigestVerify(context, signature, signature_length, data, length) == 1;
}
