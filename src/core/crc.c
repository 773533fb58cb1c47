/* SPDX-License-Identifier: MIT
 *
 * crc - three CRCs without tables in the program: long inputs are folded with a sparse multiple of
 * the polynomial, which is nothing but XOR of words, and what is left goes through a table that is
 * made on the stack in less time than its first use takes.
 *
 * The fold: over GF(2), R(x^8) = R(x)^8, so a sparse multiple R of the polynomial stays one when
 * its exponents count bytes instead of bits. "1 is the sum of x^-d for the distances d" then says
 * that a byte may be removed when it is XORed onto the bytes d further on, for each d. Done for
 * every byte from the front, with acc[j] the byte j as it is when its turn comes:
 *
 *     acc[j] = input[j] ^ acc[j - d1] ^ acc[j - d2] ^ ...
 *
 * At the end all that counts are the last WINDOW bytes with what was XORed onto them. Distances
 * of over a thousand bytes keep loads clear of stores that are still under way.
 */
#include "crc.h"

#include <string.h>

#define WINDOW 8192 /* bytes of acc that are kept; every distance is at most WINDOW - BLOCK */
#define BLOCK 256   /* bytes folded at a time; every distance is at least that */
#define FOLD_MIN (4 * WINDOW)
#define TABLE_MIN 64 /* below that, eight shifts a byte are cheaper than making the table */

/* The distances. That they are right shows in any input above FOLD_MIN; see test_crc.c. */
#define CRC64NVME_DISTANCES(X) X(4760) X(5101) X(5610) X(7653) X(7660) X(7767)
#define CRC32C_DISTANCES(X) X(1747) X(2830) X(5321)
#define CRC32_DISTANCES(X) X(1927) X(2181) X(4018)
#define ITEM(d) d,

/*
 * Polynomials are reflected: the highest bit is x^0, each bit below it one power more. So `one` is
 * the polynomial 1, and a shift to the right is a multiplication by x.
 */
typedef struct kind {
    uint64_t poly;
    uint64_t one;
    uint64_t lane; /* x^(8 * WINDOW / 4) modulo the polynomial */
    uint16_t distance[6];
} kind;

static const kind crc64nvme = {UINT64_C(0x9a6c9329ac4bc9b5),
                               UINT64_C(1) << 63,
                               UINT64_C(0x59ccb2c07aa6c9b4),
                               {CRC64NVME_DISTANCES(ITEM)}};
static const kind crc32c = {0x82f63b78, UINT64_C(1) << 31, 0x0d65762a, {CRC32C_DISTANCES(ITEM)}};
static const kind crc32 = {0xedb88320, UINT64_C(1) << 31, 0x4d47bae0, {CRC32_DISTANCES(ITEM)}};

static const kind *kind_of(ph_alg alg)
{
    return alg == PH_ALG_CRC64NVME ? &crc64nvme : alg == PH_ALG_CRC32C ? &crc32c : &crc32;
}

/* ---- Arithmetic modulo the polynomial ---------------------------------------------------------- */

/* `v` times x. */
static uint64_t times_x(const kind *k, uint64_t v)
{
    return (v >> 1) ^ (k->poly & (0 - (v & 1)));
}

static uint64_t multiply(const kind *k, uint64_t a, uint64_t b)
{
    uint64_t product = 0;
    for (uint64_t bit = k->one; bit != 0; bit >>= 1) {
        product ^= b & (0 - (uint64_t)((a & bit) != 0));
        b = times_x(k, b);
    }
    return product;
}

uint64_t ph_crc_combine(ph_alg alg, uint64_t a, uint64_t b, uint64_t b_len)
{
    /*
     * A followed by B is A times x^(8 * b_len) plus B. The all-ones before and after each need no
     * care: they cancel out.
     */
    const kind *k = kind_of(alg);
    uint64_t square = k->one >> 8;
    for (; b_len > 0; b_len >>= 1) {
        if (b_len & 1)
            a = multiply(k, a, square);
        square = multiply(k, square, square);
    }
    return a ^ b;
}

/* ---- Short inputs ------------------------------------------------------------------------------ */

static uint64_t add_bitwise(const kind *k, uint64_t crc, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = times_x(k, crc);
    }
    return crc;
}

/* table[i] is i, as the byte that leaves at the right, times x^8. */
static void make_table(const kind *k, uint64_t table[256])
{
    uint64_t power = 1; /* the highest power there is: one more, and it leaves */
    table[0] = 0;
    for (size_t bit = 128; bit > 0; bit >>= 1) {
        power = times_x(k, power);
        for (size_t i = 0; i < 256; i += 2 * bit)
            table[i + bit] = table[i] ^ power;
    }
}

static uint64_t add_byte(const uint64_t table[256], uint64_t crc, uint8_t byte)
{
    return table[(crc ^ byte) & 0xff] ^ (crc >> 8);
}

static uint64_t add_bytes(const uint64_t table[256], uint64_t crc, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        crc = add_byte(table, crc, p[i]);
    return crc;
}

/* WINDOW bytes as four lanes, since a byte's table look-up waits for the one before it. */
static uint64_t add_window(const kind *k, const uint64_t table[256], uint64_t crc, const uint8_t *p)
{
    const size_t lane = WINDOW / 4;
    uint64_t b = 0, c = 0, d = 0;
    for (size_t i = 0; i < lane; i++) {
        crc = add_byte(table, crc, p[i]);
        b = add_byte(table, b, p[lane + i]);
        c = add_byte(table, c, p[2 * lane + i]);
        d = add_byte(table, d, p[3 * lane + i]);
    }
    crc = multiply(k, crc, k->lane) ^ b;
    crc = multiply(k, crc, k->lane) ^ c;
    return multiply(k, crc, k->lane) ^ d;
}

/* ---- Long inputs ------------------------------------------------------------------------------- */

static uint64_t load(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static void store(uint8_t *p, uint64_t word)
{
    memcpy(p, &word, sizeof word);
}

/*
 * Fold a block. `acc` is where it belongs in a ring of WINDOW bytes that is there twice, one copy
 * behind the other: so what lies d bytes back is always in one piece, at WINDOW - d further on.
 * The distances have to be constants for the compiler to make vectors of this.
 */
#define TERM(d) ^load(acc + (WINDOW - (d)) + i)
#define DEFINE_FOLD(name, DISTANCES)                                   \
    static void name(uint8_t *restrict acc, const uint8_t *restrict p) \
    {                                                                  \
        for (size_t i = 0; i < BLOCK; i += 8) {                        \
            uint64_t word = load(p + i) DISTANCES(TERM);               \
            store(acc + i, word);                                      \
            store(acc + WINDOW + i, word);                             \
        }                                                              \
    }
DEFINE_FOLD(fold_crc64nvme, CRC64NVME_DISTANCES)
DEFINE_FOLD(fold_crc32c, CRC32C_DISTANCES)
DEFINE_FOLD(fold_crc32, CRC32_DISTANCES)

static void xor_into(uint8_t *to, const uint8_t *from, size_t len)
{
    size_t i = 0;
    for (; i + 8 <= len; i += 8)
        store(to + i, load(to + i) ^ load(from + i));
    for (; i < len; i++)
        to[i] ^= from[i];
}

/* `len` is a multiple of BLOCK and above WINDOW. */
static uint64_t add_folded(ph_alg alg, const uint64_t table[256], uint64_t crc, const uint8_t *p,
                           size_t len)
{
    const kind *k = kind_of(alg);
    uint8_t ring[2 * WINDOW] = {0}, last[WINDOW];
    size_t at = 0;
    for (size_t left = len; left > WINDOW; left -= BLOCK, p += BLOCK) {
        if (alg == PH_ALG_CRC64NVME)
            fold_crc64nvme(ring + at, p);
        else if (alg == PH_ALG_CRC32C)
            fold_crc32c(ring + at, p);
        else
            fold_crc32(ring + at, p);
        if (left == len) { /* what came before counts as XORed onto the first bytes */
            for (size_t i = 0; i < 8; i++) {
                ring[i] ^= (uint8_t)(crc >> (8 * i));
                ring[WINDOW + i] = ring[i];
            }
        }
        at = (at + BLOCK) % WINDOW;
    }
    memcpy(last, p, WINDOW);
    for (size_t i = 0; i < 6 && k->distance[i] > 0; i++)
        xor_into(last, ring + at + WINDOW - k->distance[i], k->distance[i]);
    return add_window(k, table, 0, last);
}

uint64_t ph_crc_update(ph_alg alg, uint64_t crc, const void *data, size_t len)
{
    const kind *k = kind_of(alg);
    const uint64_t ones = k->one | (k->one - 1);
    const uint8_t *p = data;
    if (len < TABLE_MIN)
        return add_bitwise(k, crc ^ ones, p, len) ^ ones;

    uint64_t table[256];
    make_table(k, table);
    size_t odd = len % BLOCK;
    crc = add_bytes(table, crc ^ ones, p, odd);
    p += odd;
    len -= odd;
    if (len >= FOLD_MIN)
        return add_folded(alg, table, crc, p, len) ^ ones;
    for (; len >= WINDOW; len -= WINDOW, p += WINDOW)
        crc = add_window(k, table, crc, p);
    return add_bytes(table, crc, p, len) ^ ones;
}
