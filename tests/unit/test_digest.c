/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/digest.h"

static const char sha256_empty[] =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char sha256_abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char sha256_million[] =
    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

static void sha256_gives_the_published_values(void **state)
{
    uint8_t bytes[DRAY_SHA256_BYTES];
    char text[DRAY_SHA256_HEX];

    (void)state;
    assert_int_equal(dray_sha256("abc", 3, bytes), 0);
    assert_string_equal(dray_hex(bytes, sizeof bytes, text), sha256_abc);
    assert_int_equal(dray_sha256(NULL, 0, bytes), 0);
    assert_string_equal(dray_hex(bytes, sizeof bytes, text), sha256_empty);
}

static void one_object_hashes_many_messages_in_pieces(void **state)
{
    dray_cleanup(dray_digest_freep) struct dray_digest *digest = dray_digest_new(DRAY_SHA256);
    uint8_t bytes[DRAY_SHA256_BYTES];
    char text[DRAY_SHA256_HEX];
    char block[1000];

    (void)state;
    assert_non_null(digest);
    memset(block, 'a', sizeof block);
    for (int again = 0; again < 3; again++) {
        assert_int_equal(dray_digest_start(digest), 0);
        for (int i = 0; i < 1000; i++)
            assert_int_equal(dray_digest_add(digest, block, sizeof block), 0);
        assert_int_equal(dray_digest_end(digest, bytes), 0);
        assert_string_equal(dray_hex(bytes, sizeof bytes, text), sha256_million);
        /* A message that is left in the middle leaves no trace in the next. */
        assert_int_equal(dray_digest_start(digest), 0);
        assert_int_equal(dray_digest_add(digest, "junk", 4), 0);
    }
}

static void md5_gives_the_published_value(void **state)
{
    dray_cleanup(dray_digest_freep) struct dray_digest *digest = dray_digest_new(DRAY_MD5);
    uint8_t bytes[DRAY_MD5_BYTES];
    char text[2 * DRAY_MD5_BYTES + 1];

    (void)state;
    if (digest == NULL)
        skip(); /* FIPS */
    assert_int_equal(dray_digest_start(digest), 0);
    assert_int_equal(dray_digest_add(digest, "message digest", 14), 0);
    assert_int_equal(dray_digest_end(digest, bytes), 0);
    assert_string_equal(dray_hex(bytes, sizeof bytes, text), "f96b697d7cb7938d525a2f31aaf161d0");
}

static void bytes_outside_a_message_are_a_bug(void **state)
{
    dray_cleanup(dray_digest_freep) struct dray_digest *digest = dray_digest_new(DRAY_SHA256);
    uint8_t bytes[DRAY_SHA256_BYTES];

    (void)state;
    assert_int_equal(dray_digest_add(digest, "a", 1), DRAY_BUG);
    assert_int_equal(dray_digest_end(digest, bytes), DRAY_BUG);
    assert_int_equal(dray_digest_start(digest), 0);
    assert_int_equal(dray_digest_end(digest, bytes), 0);
    assert_int_equal(dray_digest_add(digest, "a", 1), DRAY_BUG);
    assert_int_equal(dray_digest_end(digest, bytes), DRAY_BUG);
}

/* RFC 4231, test cases 1, 2 and 6. */
static void hmac_gives_the_published_values(void **state)
{
    static const char what[] = "what do ya want for nothing?";
    static const char larger[] = "Test Using Larger Than Block-Size Key - Hash Key First";
    uint8_t key[131], bytes[DRAY_SHA256_BYTES];
    char text[DRAY_SHA256_HEX];

    (void)state;
    memset(key, 0x0b, 20);
    assert_int_equal(dray_hmac_sha256(key, 20, "Hi There", 8, bytes), 0);
    assert_string_equal(dray_hex(bytes, sizeof bytes, text),
                        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    assert_int_equal(dray_hmac_sha256("Jefe", 4, what, sizeof what - 1, bytes), 0);
    assert_string_equal(dray_hex(bytes, sizeof bytes, text),
                        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    assert_int_equal(dray_hmac_sha256(key, sizeof key, larger, sizeof larger - 1, bytes), 0);
    assert_string_equal(dray_hex(bytes, sizeof bytes, text),
                        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void hexadecimal_is_read_strictly(void **state)
{
    uint8_t bytes[4] = {1, 2, 3, 4};
    char text[9];

    (void)state;
    assert_int_equal(dray_unhex("00fFAb9", 3, bytes), 0);
    assert_memory_equal(bytes, "\x00\xff\xab\x04", 4);
    assert_string_equal(dray_hex(bytes, 4, text), "00ffab04");
    assert_int_equal(dray_unhex("12345g78", 4, bytes), DRAY_INVALID);
    assert_int_equal(dray_unhex("123456", 4, bytes), DRAY_INVALID); /* too short */
    assert_int_equal(dray_unhex(" 1234567", 4, bytes), DRAY_INVALID);
    assert_memory_equal(bytes, "\x00\xff\xab\x04", 4); /* untouched */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_gives_the_published_values),
        cmocka_unit_test(one_object_hashes_many_messages_in_pieces),
        cmocka_unit_test(md5_gives_the_published_value),
        cmocka_unit_test(bytes_outside_a_message_are_a_bug),
        cmocka_unit_test(hmac_gives_the_published_values),
        cmocka_unit_test(hexadecimal_is_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
