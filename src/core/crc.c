/* SPDX-License-Identifier: MIT
 *
 * crc - three CRCs without tables in the program: long inputs are folded with sparse multiples of
 * the polynomial, which is nothing but XOR of vectors, and what is left goes through a table that is
 * made on the stack in less time than its first use takes.
 *
 * The fold: over GF(2), R(x^8) = R(x)^8, so a sparse multiple R of the polynomial stays one when
 * its exponents count bytes instead of bits. "1 is the sum of x^-d for the distances d" then says
 * that a byte may be removed when it is XORed onto the bytes d further on, for each d. Done for
 * every byte from the front, with acc[j] the byte j as it is when its turn comes:
 *
 *     acc[j] = input[j] ^ acc[j - d1] ^ acc[j - d2] ^ ...
 *
 * At the end all that counts are the last bytes, as many as the longest distance, with what was
 * XORed onto them. First few long distances do that (seven loads for 16 bytes, no latency: a
 * processor's loads are the limit), then more but shorter ones with what those left.
 *
 * On x86 with PCLMULQDQ CRC-64 and all short inputs are folded by that: the same idea, with distances
 * of 16 and 128 bytes and products instead of a sum.
 */
#include "crc.h"

#include <string.h>

#include "crc.def"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define CLMUL_TARGET __attribute__((target("pclmul,sse4.1")))
#define HAS_CLMUL() __builtin_cpu_supports("pclmul")
#endif

#define BLOCK 256u     /* bytes folded at a time; every distance is at least that */
#define TABLE_MIN 64u  /* below that, eight shifts a byte are cheaper than making the table */
#define FAR_MIN 24576u /* below that, only the near fold pays */
#define NEAR_MIN 4096u /* and below that none */
#define FAR_WINDOW 8192u
#define NEAR_WINDOW 2048u /* the longest windows */

/*
 * Polynomials are reflected: the highest bit is x^0, each bit below it one power more. So `one` is
 * the polynomial 1, and a shift to the right is a multiplication by x.
 */
typedef struct kind {
    uint64_t poly;
    uint64_t one;
    uint64_t lane; /* x^(8 * window / 4) for the window that the near fold leaves */
    uint32_t far_window, near_window;
    uint64_t by16[2], by128[2]; /* x^(8n + 63) and x^(8n - 1), highest bit first: see clmul_fold */
} kind;

static const kind kinds[] = {
#define CRC(name, bits, poly, lane, far_window, near_window, ...) \
    {poly, UINT64_C(1) << (bits - 1), lane, far_window, near_window, __VA_ARGS__},
    CRC_KINDS(CRC)
#undef CRC
};
_Static_assert(PH_ALG_CRC32C == PH_ALG_CRC64NVME + 1 && PH_ALG_CRC32 == PH_ALG_CRC64NVME + 2,
               "the kinds stand in the order of the algorithms");

static const kind *kind_of(ph_alg alg)
{
    return &kinds[alg - PH_ALG_CRC64NVME];
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

/* see crc.h; x^(8 * b_len) */
uint64_t ph_crc_shift(ph_alg alg, uint64_t b_len)
{
    const kind *k = kind_of(alg);
    uint64_t shift = k->one, square = k->one >> 8;
    for (; b_len > 0; b_len >>= 1) {
        if (b_len & 1)
            shift = multiply(k, shift, square);
        square = multiply(k, square, square);
    }
    return shift;
}

/*
 * see crc.h; A followed by B is A times x^(8 * b_len) plus B. The all-ones before and after each need
 * no care: they cancel out.
 */
uint64_t ph_crc_join(ph_alg alg, uint64_t a, uint64_t b, uint64_t b_shift)
{
    return multiply(kind_of(alg), a, b_shift) ^ b;
}

/* see crc.h */
uint64_t ph_crc_combine(ph_alg alg, uint64_t a, uint64_t b, uint64_t b_len)
{
    return ph_crc_join(alg, a, b, ph_crc_shift(alg, b_len));
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

/* What the near fold leaves, as four lanes, since a byte's look-up waits for the one before it. */
static uint64_t add_lanes(const kind *k, const uint64_t table[256], const uint8_t *p)
{
    const size_t lane = k->near_window / 4;
    uint64_t a = 0, b = 0, c = 0, d = 0;
    for (size_t i = 0; i < lane; i++) {
        a = add_byte(table, a, p[i]);
        b = add_byte(table, b, p[lane + i]);
        c = add_byte(table, c, p[2 * lane + i]);
        d = add_byte(table, d, p[3 * lane + i]);
    }
    a = multiply(k, a, k->lane) ^ b;
    a = multiply(k, a, k->lane) ^ c;
    return multiply(k, a, k->lane) ^ d;
}

/* ---- Long inputs ------------------------------------------------------------------------------- */

/* 16 bytes: a register of SSE2, NEON and WebAssembly's SIMD, two words where there is no such thing. */
typedef uint64_t vector __attribute__((vector_size(16)));

static inline vector load(const uint8_t *p)
{
    vector v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store(uint8_t *p, vector v)
{
    memcpy(p, &v, sizeof v);
}

/* Compilers make a call of a copy that is a loop, and in WebAssembly a call costs as much as this. */
static inline void copy_block(uint8_t *to, const uint8_t *from)
{
    for (size_t i = 0; i < BLOCK; i += 4 * sizeof(vector)) {
        vector a = load(from + i), b = load(from + i + 16);
        vector c = load(from + i + 32), d = load(from + i + 48);
        store(to + i, a);
        store(to + i + 16, b);
        store(to + i + 32, c);
        store(to + i + 48, d);
    }
}

/* The same, and zeros stay behind. Gives where the next one goes. */
static inline uint8_t *move_block(uint8_t *restrict to, uint8_t *restrict from)
{
    for (size_t i = 0; i < BLOCK; i += sizeof(vector)) {
        store(to + i, load(from + i));
        store(from + i, (vector){0});
    }
    return to + BLOCK;
}

/* The crc so far counts as XORed onto the first bytes. */
static void begin(uint8_t block[BLOCK], const uint8_t *p, uint64_t crc)
{
    memcpy(block, p, BLOCK);
    for (size_t i = 0; i < 8; i++)
        block[i] ^= (uint8_t)(crc >> (8 * i));
}

/*
 * Fold `len` bytes (whole blocks, more than WINDOW) down to the WINDOW bytes `out`. `acc` is a ring
 * of the last WINDOW bytes; its first block is there again behind its end, so that what lies d back
 * is always in one piece. In the last WINDOW bytes of the input acc stays zero: they only collect.
 * The distances have to be constants for the compiler to keep the places in registers.
 */
#define PLACE(d) const uint8_t *back_##d = acc + ((at - (d)) & (window - 1));
#define NOT_UNROLLED _Pragma("GCC unroll 1")
#define TERM(d) ^load(back_##d + j + k)
#define STEP(DISTANCES) store(now + j + k, load(from + j + k) DISTANCES(TERM));
#define DEFINE_FOLD(name, WINDOW, DISTANCES)                                            \
    static void name(const uint8_t *p, size_t len, uint64_t crc, uint8_t *restrict out) \
    {                                                                                   \
        enum { window = WINDOW };                                                       \
        uint8_t acc[window + BLOCK], first[BLOCK];                                      \
        const uint8_t *from = first;                                                    \
        memset(acc, 0, sizeof acc);                                                     \
        begin(first, p, crc);                                                           \
        for (size_t at = 0; len > 0; len -= BLOCK, at = (at + BLOCK) & (window - 1)) {  \
            uint8_t *now = acc + at;                                                    \
            DISTANCES(PLACE)                                                            \
            NOT_UNROLLED                                                                \
            for (size_t j = 0; j < BLOCK; j += 64) {                                    \
                for (size_t k = 0; k < 64; k += sizeof(vector))                         \
                    STEP(DISTANCES)                                                     \
            }                                                                           \
            if (len <= window)                                                          \
                out = move_block(out, now);                                             \
            if (at == 0)                                                                \
                copy_block(acc + window, acc);                                          \
            p += BLOCK;                                                                 \
            from = p;                                                                   \
        }                                                                               \
    }
#define CRC(name, bits, poly, lane, far_window, near_window, ...) \
    DEFINE_FOLD(name##_far, far_window, name##_FAR)               \
    DEFINE_FOLD(name##_near, near_window, name##_NEAR)
CRC_KINDS(CRC)
#undef CRC

typedef void fold(const uint8_t *p, size_t len, uint64_t crc, uint8_t *restrict out);

static fold *const folds[][2] = {
#define CRC(name, ...) {name##_far, name##_near},
    CRC_KINDS(CRC)
#undef CRC
};

/* `len` is whole blocks and at least NEAR_MIN. */
static uint64_t add_folded(ph_alg alg, const uint64_t table[256], uint64_t crc, const uint8_t *p,
                           size_t len)
{
    const kind *k = kind_of(alg);
    uint8_t far[FAR_WINDOW], near[NEAR_WINDOW];
    if (len >= FAR_MIN) {
        folds[alg - PH_ALG_CRC64NVME][0](p, len, crc, far);
        p = far;
        len = k->far_window;
        crc = 0;
    }
    folds[alg - PH_ALG_CRC64NVME][1](p, len, crc, near);
    return add_lanes(k, table, near);
}

static uint64_t add_portable(ph_alg alg, uint64_t crc, const uint8_t *p, size_t len)
{
    uint64_t table[256];
    make_table(kind_of(alg), table);
    if (len >= NEAR_MIN) {
        size_t whole = len - len % BLOCK;
        crc = add_folded(alg, table, crc, p, whole);
        p += whole;
        len -= whole;
    }
    return add_bytes(table, crc, p, len);
}

/* ---- Long inputs, with carry-less multiplication ------------------------------------------------- */

#ifdef HAS_CLMUL
typedef __m128i product;

CLMUL_TARGET static inline product clmul_load(const uint8_t *p)
{
    return _mm_loadu_si128((const product *)p);
}

/*
 * 16 bytes moved n bytes on: their first half times x^(8n + 64), their second times x^(8n). One
 * power less, since the product of two reflected words has its highest bit one place too low.
 */
CLMUL_TARGET static inline product clmul_fold(product v, product by, product onto)
{
    product first = _mm_clmulepi64_si128(v, by, 0x00), second = _mm_clmulepi64_si128(v, by, 0x11);
    return _mm_xor_si128(onto, _mm_xor_si128(first, second));
}

/* Eight at a time, since a product takes its time but another one can begin every other cycle. */
CLMUL_TARGET static uint64_t add_clmul(const kind *k, uint64_t crc, const uint8_t *p, size_t len)
{
    const product by128 = clmul_load((const uint8_t *)k->by128);
    const product by16 = clmul_load((const uint8_t *)k->by16);
    product sum = _mm_xor_si128(clmul_load(p), _mm_cvtsi64_si128((long long)crc));
    p += 16;
    len -= 16;
    if (len >= 240) {
        product v[8] = {sum};
        for (int i = 1; i < 8; i++)
            v[i] = clmul_load(p + 16 * (i - 1));
        for (p += 112, len -= 112; len >= 128; p += 128, len -= 128)
            for (int i = 0; i < 8; i++)
                v[i] = clmul_fold(v[i], by128, clmul_load(p + 16 * i));
        for (int i = 1; i < 8; i++)
            v[i] = clmul_fold(v[i - 1], by16, v[i]);
        sum = v[7];
    }
    for (; len >= 16; p += 16, len -= 16)
        sum = clmul_fold(sum, by16, clmul_load(p));
    uint8_t last[16];
    _mm_storeu_si128((product *)last, sum);
    return add_bitwise(k, add_bitwise(k, 0, last, sizeof last), p, len);
}
#endif

/* see crc.h */
uint64_t ph_crc_update_portable(ph_alg alg, uint64_t crc, const void *data, size_t len)
{
    const uint64_t ones = kind_of(alg)->one | (kind_of(alg)->one - 1);
    crc ^= ones;
    if (len < TABLE_MIN)
        crc = add_bitwise(kind_of(alg), crc, data, len);
    else
        crc = add_portable(alg, crc, data, len);
    return crc ^ ones;
}

/* see crc.h */
uint64_t ph_crc_update(ph_alg alg, uint64_t crc, const void *data, size_t len)
{
#ifdef HAS_CLMUL
    /* Three or four loads for 16 bytes are faster than two products, seven are not. */
    const uint64_t ones = kind_of(alg)->one | (kind_of(alg)->one - 1);
    bool few = alg != PH_ALG_CRC64NVME && len >= FAR_MIN;
    if (len >= TABLE_MIN && !few && HAS_CLMUL())
        return add_clmul(kind_of(alg), crc ^ ones, data, len) ^ ones;
#endif
    return ph_crc_update_portable(alg, crc, data, len);
}
