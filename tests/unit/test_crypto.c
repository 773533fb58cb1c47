/* SPDX-License-Identifier: MIT
 *
 * Tests crypto: the published vectors of SHA-256, SHA-1, MD5 (FIPS 180, RFC 3174, RFC 1321) and
 * HMAC-SHA-256 (RFC 4231), at every split, with forks, and that states may be copied.
 */
#include "test.h"
#include "core/crypto.h"
#include "core/enc.h"

#include <string.h>

static void check_hex(const uint8_t *got, size_t len, const char *want)
{
    ph_buf b;
    ph_buf_init(&b, 1000);
    ph_enc_hex(&b, got, len);
    CHECK_STR(ph_buf_view(&b), want);
    ph_buf_clear(&b);
}

static const struct {
    ph_alg alg;
    const char *input;
    const char *digest;
} digests[] = {
    {PH_ALG_SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {PH_ALG_SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {PH_ALG_SHA256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {PH_ALG_SHA1, "", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
    {PH_ALG_SHA1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
    {PH_ALG_SHA1, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
    {PH_ALG_MD5, "", "d41d8cd98f00b204e9800998ecf8427e"},
    {PH_ALG_MD5, "abc", "900150983cd24fb0d6963f7d28e17f72"},
    {PH_ALG_MD5, "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
     "57edf4a22be3c955ac49da2e2107b67a"},
};

static void update(ph_alg alg, void *state, const void *data, size_t len)
{
    const uint8_t *from = data;
    ph_md_update(alg, &state, &from, 1, len);
}

static void test_digests(void)
{
    uint64_t aligned[PH_MD_STATE / 8 + 1];
    uint8_t out[PH_DIGEST_MAX], fork_out[PH_DIGEST_MAX];
    for (size_t i = 0; i < COUNT(digests); i++) {
        const char *input = digests[i].input;
        size_t len = strlen(input);
        for (size_t split = 0; split <= len; split++) {
            test_case("digest %zu split at %zu", i, split);
            unsigned char *state = (unsigned char *)aligned + split % 8; /* any alignment */
            ph_md_init(state, digests[i].alg);
            update(digests[i].alg, state, test_guard(input, split), split);
            uint64_t fork[PH_MD_STATE / 8];
            memcpy(fork, state, PH_MD_STATE);
            ph_md_out(state, out); /* changes nothing */
            update(digests[i].alg, state, test_guard(input + split, len - split), len - split);
            check_hex(out, ph_md_out(state, out), digests[i].digest);
            for (size_t k = split; k < len; k++)
                update(digests[i].alg, fork, input + k, 1);
            CHECK_U64(ph_md_out(fork, fork_out), strlen(digests[i].digest) / 2);
            CHECK_MEM(fork_out, out, strlen(digests[i].digest) / 2);
        }
        if (digests[i].alg == PH_ALG_SHA256) {
            ph_sha256(test_guard(input, len), len, out);
            check_hex(out, PH_SHA256_LEN, digests[i].digest);
        }
    }
    test_case("a million times a");
    static char block[1000];
    memset(block, 'a', sizeof block);
    ph_md_init(aligned, PH_ALG_SHA256);
    for (size_t i = 0; i < 1000; i++)
        update(PH_ALG_SHA256, aligned, block, sizeof block);
    check_hex(out, ph_md_out(aligned, out),
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    ph_md_init(aligned, PH_ALG_SHA1);
    for (size_t i = 0; i < 1000; i++)
        update(PH_ALG_SHA1, aligned, block, sizeof block);
    check_hex(out, ph_md_out(aligned, out), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    test_case("nothing at all");
    ph_sha256(NULL, 0, out);
    check_hex(out, PH_SHA256_LEN, digests[0].digest);
}

/* RFC 4231, but its case 5, which is cut short; `count` times the byte where a text is NULL. */
static void test_hmac(void)
{
    static const struct {
        const char *key;
        int key_byte;
        size_t key_len;
        const char *data;
        int data_byte;
        size_t data_len;
        const char *mac;
    } cases[] = {
        {NULL, 0x0b, 20, "Hi There", 0, 8,
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"Jefe", 0, 4, "what do ya want for nothing?", 0, 28,
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {NULL, 0xaa, 20, NULL, 0xdd, 50,
         "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
        {"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16"
         "\x17\x18\x19",
         0, 25, NULL, 0xcd, 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
        {NULL, 0xaa, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 0, 54,
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        {NULL, 0xaa, 131,
         "This is a test using a larger than block-size key and a larger than block-size data. The "
         "key needs to be hashed before being used by the HMAC algorithm.",
         0, 152, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
        {"", 0, 0, "", 0, 0, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        test_case("RFC 4231, %zu", i);
        uint8_t key[200], data[200], mac[PH_SHA256_LEN];
        memset(key, cases[i].key_byte, sizeof key);
        memset(data, cases[i].data_byte, sizeof data);
        if (cases[i].key)
            memcpy(key, cases[i].key, cases[i].key_len);
        if (cases[i].data)
            memcpy(data, cases[i].data, cases[i].data_len);
        ph_hmac_sha256(key, cases[i].key_len, test_guard(data, cases[i].data_len),
                       cases[i].data_len, mac);
        check_hex(mac, sizeof mac, cases[i].mac);
    }
    test_case("the result may take the key's place, as SigV4's key derivation likes it");
    uint8_t chain[PH_SHA256_LEN] = "Jefe";
    ph_hmac_sha256(chain, 4, "what do ya want for nothing?", 28, chain);
    check_hex(chain, sizeof chain, cases[1].mac);
}

static void test_equal(void)
{
    test_case("equal");
    uint8_t a[64] = {0}, b[64] = {0};
    CHECK(ph_equal_secret(a, b, sizeof a));
    CHECK(ph_equal_secret(NULL, NULL, 0));
    for (size_t i = 0; i < sizeof a; i++) {
        for (unsigned bit = 1; bit < 256; bit <<= 1) {
            b[i] = (uint8_t)bit;
            CHECK(!ph_equal_secret(a, b, sizeof a));
            CHECK(ph_equal_secret(a, b, i));
        }
        b[i] = 0;
    }
}

int main(void)
{
    test_digests();
    test_hmac();
    test_equal();
    return test_end();
}
