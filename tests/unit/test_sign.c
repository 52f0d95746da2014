/* SPDX-License-Identifier: MIT */
/* Ed25519 keys and signatures: what is read, what is refused, and that a signature is of one text
 * by one key. That OpenSSL's own programs agree is shown by tests/scenario/test_policy_sign.py. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/base/digest.h"
#include "core/base/io.h"
#include "core/base/sign.h"

/* The first key pair of RFC 8032, 7.1, as PEM; the message is empty. */
static const char rfc_private[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
    "-----END PRIVATE KEY-----\n";
static const char rfc_signature[] = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901"
                                    "555fb8821590a33bacc61e39701cf9b46b"
                                    "d25bf5f0595bbe24655141438e7a100b";
static const char rfc_public[] = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

static const char encrypted[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGbMFcGCSqGSIb3DQEFDTBK\n"
                                "-----END ENCRYPTED PRIVATE KEY-----\n";
static const char of_openssh[] = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n"
                                 "-----END OPENSSH PRIVATE KEY-----\n";
static const char of_rsa[] = "-----BEGIN RSA PRIVATE KEY-----\nMIICXAIBAAKBgQ\n"
                             "-----END RSA PRIVATE KEY-----\n";
static const char certificate[] = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
static const char x25519[] = "-----BEGIN PUBLIC KEY-----\n"
                             "MCowBQYDK2VuAyEAhSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=\n"
                             "-----END PUBLIC KEY-----\n";
static const char damaged[] = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyE\n"
                              "-----END PUBLIC KEY-----\n";

struct fixture {
    char directory[64];
    char path[96], public_path[100];
    struct dray_error error;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (fixture == NULL)
        return -1;
    (void)snprintf(fixture->directory, sizeof fixture->directory, "/tmp/dray-test-sign-XXXXXX");
    *state = fixture;
    if (mkdtemp(fixture->directory) == NULL)
        return -1;
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/key", fixture->directory);
    (void)snprintf(fixture->public_path, sizeof fixture->public_path, "%s.pub", fixture->path);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    int result = dray_remove_tree(AT_FDCWD, fixture->directory, &fixture->error);

    free(fixture);
    return result;
}

#define WITH_DIRECTORY(TEST) cmocka_unit_test_setup_teardown(TEST, setup, teardown)

static void write_key(struct fixture *fixture, const char *text, unsigned mode)
{
    assert_int_equal(dray_write_file(fixture->path, text, strlen(text), mode, &fixture->error), 0);
}

static struct dray_key *read_private(struct fixture *fixture)
{
    struct dray_key *key = NULL;

    if (dray_key_read_private(fixture->path, &key, &fixture->error) != 0)
        fail_msg("%s", fixture->error.message);
    return key;
}

#define REFUSED(CLASS, TEXT, CALL)                                                                 \
    do {                                                                                           \
        struct dray_key *none_ = NULL;                                                             \
        assert_int_equal(CALL(fixture->path, &none_, &fixture->error), CLASS);                     \
        assert_null(none_);                                                                        \
        assert_int_equal(fixture->error.class_, CLASS);                                            \
        if (strstr(fixture->error.message, TEXT) == NULL)                                          \
            fail_msg("\"%s\" does not say \"%s\"", fixture->error.message, TEXT);                  \
    } while (0)

static void a_published_key_gives_its_published_signature_and_id(void **state)
{
    struct fixture *fixture = *state;
    uint8_t signature[DRAY_SIGNATURE_BYTES], public[32], digest[DRAY_SHA256_BYTES];
    char hex[2 * DRAY_SIGNATURE_BYTES + 1];

    write_key(fixture, rfc_private, 0600);
    dray_cleanup(dray_key_freep) struct dray_key *key = read_private(fixture);
    assert_int_equal(dray_sign(key, "", 0, signature, &fixture->error), 0);
    assert_string_equal(dray_hex(signature, sizeof signature, hex), rfc_signature);
    assert_int_equal(dray_unhex(rfc_public, sizeof public, public), 0);
    assert_int_equal(dray_sha256(public, sizeof public, digest), 0);
    assert_string_equal(dray_key_id(key), dray_hex(digest, 8, hex));
}

static void a_signature_is_of_one_text_by_one_key(void **state)
{
    struct fixture *fixture = *state;
    static const char text[] = "0123 every byte counts";
    uint8_t signature[DRAY_SIGNATURE_BYTES];
    char other[sizeof text];
    dray_cleanup(dray_key_freep) struct dray_key *key = NULL, *public = NULL, *stranger = NULL;

    assert_int_equal(dray_key_make(fixture->path, &key, &fixture->error), 0);
    assert_int_equal(dray_key_read_public(fixture->public_path, &public, &fixture->error), 0);
    assert_string_equal(dray_key_id(key), dray_key_id(public));
    assert_int_equal(dray_sign(key, text, sizeof text, signature, &fixture->error), 0);
    assert_int_equal(dray_signature_check(public, text, sizeof text, signature, sizeof signature,
                                          &fixture->error),
                     1);
    for (size_t i = 0; i < sizeof text; i++) {
        memcpy(other, text, sizeof text);
        other[i] ^= 1;
        assert_int_equal(dray_signature_check(public, other, sizeof text, signature,
                                              sizeof signature, &fixture->error),
                         0);
    }
    for (size_t i = 0; i < sizeof signature; i++) {
        signature[i] ^= 0x80;
        assert_int_equal(dray_signature_check(public, text, sizeof text, signature,
                                              sizeof signature, &fixture->error),
                         0);
        signature[i] ^= 0x80;
    }
    for (size_t length = 0; length < sizeof signature; length++)
        assert_int_equal(
            dray_signature_check(public, text, sizeof text, signature, length, &fixture->error), 0);
    write_key(fixture, rfc_private, 0600);
    stranger = read_private(fixture);
    assert_int_equal(dray_signature_check(stranger, text, sizeof text, signature, sizeof signature,
                                          &fixture->error),
                     0);
}

static void a_public_key_signs_nothing(void **state)
{
    struct fixture *fixture = *state;
    uint8_t signature[DRAY_SIGNATURE_BYTES];
    dray_cleanup(dray_key_freep) struct dray_key *key = NULL, *public = NULL;

    assert_int_equal(dray_key_make(fixture->path, &key, &fixture->error), 0);
    assert_int_equal(dray_key_read_public(fixture->public_path, &public, &fixture->error), 0);
    assert_int_equal(dray_sign(public, "x", 1, signature, &fixture->error), DRAY_BUG);
}

static void a_new_pair_has_its_modes_and_overwrites_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    dray_cleanup(dray_key_freep) struct dray_key *key = NULL;
    mode_t before = umask(077);

    assert_int_equal(dray_key_make(fixture->path, &key, &fixture->error), 0);
    (void)umask(before);
    assert_int_equal(stat(fixture->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(stat(fixture->public_path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0644);
    REFUSED(DRAY_CONFLICT, "is there already", dray_key_make);
    /* Half a pair is not overwritten either, and the other half is not left behind. */
    assert_int_equal(unlink(fixture->path), 0);
    REFUSED(DRAY_CONFLICT, "key.pub is there already", dray_key_make);
    assert_int_equal(access(fixture->path, F_OK), -1);
    assert_int_equal(unlink(fixture->public_path), 0);
    assert_int_equal(symlink("/nonexistent/elsewhere", fixture->path), 0);
    REFUSED(DRAY_CONFLICT, "is there already", dray_key_make);
}

static void a_private_key_that_others_may_read_is_refused(void **state)
{
    struct fixture *fixture = *state;
    static const unsigned modes[] = {0640, 0604, 0620, 0602, 0644, 0666, 0610};

    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        write_key(fixture, rfc_private, modes[i]);
        REFUSED(DRAY_DENIED, "by others than its owner", dray_key_read_private);
        assert_non_null(strstr(fixture->error.hint, "chmod 600 '"));
        assert_non_null(strstr(fixture->error.hint, fixture->path));
    }
    write_key(fixture, rfc_private, 0400);
    dray_key_free(read_private(fixture));
}

static void what_is_no_private_key_is_named(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *text, *said;
        int class_;
    } cases[] = {
        {"", "holds no key, not a private Ed25519 key in PEM", DRAY_INVALID},
        {"-----BEGIN ", "holds no key", DRAY_INVALID},
        {x25519, "is a public key, not a private", DRAY_INVALID},
        {encrypted, "is under a passphrase", DRAY_UNSUPPORTED},
        {of_openssh, "is a key of OpenSSH", DRAY_INVALID},
        {of_rsa, "is of an older form", DRAY_INVALID},
        {certificate, "holds no key", DRAY_INVALID},
        {"-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n", "is damaged",
         DRAY_INVALID},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_key(fixture, cases[i].text, 0600);
        REFUSED(cases[i].class_, cases[i].said, dray_key_read_private);
    }
    /* Which of the two would be meant? */
    dray_autofree char *two = dray_format("%s%s", rfc_private, rfc_private);
    write_key(fixture, two, 0600);
    REFUSED(DRAY_INVALID, "more than one key", dray_key_read_private);
}

static void what_is_no_public_key_is_named(void **state)
{
    struct fixture *fixture = *state;

    write_key(fixture, rfc_private, 0600);
    REFUSED(DRAY_INVALID, "is a private key, not a public", dray_key_read_public);
    assert_non_null(strstr(fixture->error.hint, "-pubout"));
    write_key(fixture, x25519, 0644);
    REFUSED(DRAY_INVALID, "is a key for X25519", dray_key_read_public);
    write_key(fixture, damaged, 0644);
    REFUSED(DRAY_INVALID, "is damaged", dray_key_read_public);
    write_key(fixture, certificate, 0644);
    REFUSED(DRAY_INVALID, "holds no key", dray_key_read_public);
}

static void a_key_file_that_cannot_be_one_is_refused(void **state)
{
    struct fixture *fixture = *state;
    dray_autofree char *large = calloc(1, 20001);

    REFUSED(DRAY_NOT_FOUND, "cannot open the key", dray_key_read_private);
    memset(large, 'x', 20000);
    write_key(fixture, large, 0600);
    REFUSED(DRAY_INVALID, "it has more than", dray_key_read_private);
    assert_int_equal(unlink(fixture->path), 0);
    assert_int_equal(mkdir(fixture->path, 0700), 0);
    REFUSED(DRAY_INVALID, "is not a regular file", dray_key_read_public);
    assert_int_equal(rmdir(fixture->path), 0);
    assert_int_equal(mkfifo(fixture->path, 0600), 0);
    REFUSED(DRAY_INVALID, "is not a regular file", dray_key_read_private);
}

static void no_message_holds_anything_of_a_private_key(void **state)
{
    struct fixture *fixture = *state;
    dray_autofree char *text = strdup(rfc_private);

    text[40] = '!'; /* within the base64 */
    write_key(fixture, text, 0600);
    REFUSED(DRAY_INVALID, "is damaged", dray_key_read_private);
    for (const char *at = text + 28; at + 8 < text + 92; at++) {
        char piece[9] = {0};
        memcpy(piece, at, 8);
        assert_null(strstr(fixture->error.message, piece));
        assert_null(strstr(fixture->error.hint, piece));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(a_published_key_gives_its_published_signature_and_id),
        WITH_DIRECTORY(a_signature_is_of_one_text_by_one_key),
        WITH_DIRECTORY(a_public_key_signs_nothing),
        WITH_DIRECTORY(a_new_pair_has_its_modes_and_overwrites_nothing),
        WITH_DIRECTORY(a_private_key_that_others_may_read_is_refused),
        WITH_DIRECTORY(what_is_no_private_key_is_named),
        WITH_DIRECTORY(what_is_no_public_key_is_named),
        WITH_DIRECTORY(a_key_file_that_cannot_be_one_is_refused),
        WITH_DIRECTORY(no_message_holds_anything_of_a_private_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
