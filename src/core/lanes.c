/* SPDX-License-Identifier: MIT
 *
 * lanes - one source (lanes.inc) of vectors, which compilers make of whatever the machine has: SIMD
 * of WebAssembly, SSE2, AVX2, NEON. Where a machine has no vectors, nothing here is used. On x86,
 * SHA-256 and SHA-1 have instructions of their own, with which one message is as fast as eight are.
 */
#include "lanes.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define HAS_AVX2() __builtin_cpu_supports("avx2")
#ifndef __clang__ /* which has no name for it to ask for, up to version 18 at least */
#define SHA_TARGET __attribute__((target("sha,sse4.1")))
#define HAS_SHA() (__builtin_cpu_supports("sha") && __builtin_cpu_supports("sse4.1"))
#endif
#endif

#if defined(__wasm_simd128__) || defined(__SSE2__) || defined(__ARM_NEON)
#define HAS_VECTORS
#endif

/* From how many messages on the lanes are worth it: eight cost as much as two to four one by one. */
#define WORTH(alg) ((alg) == PH_ALG_SHA256 ? 4 : 3)

#ifdef HAS_VECTORS
static const uint32_t sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static const uint32_t md5_k[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

typedef uint32_t word __attribute__((vector_size(4 * PH_LANES)));
typedef uint32_t four __attribute__((vector_size(16)));
typedef uint8_t sixteen __attribute__((vector_size(16)));

/* Four words of a message. */
static inline four load_four(const uint8_t *p, bool swap)
{
    sixteen v;
    memcpy(&v, p, sizeof v);
    if (swap)
        v = __builtin_shufflevector(v, v, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
    return (four)v;
}

/* Four words of four messages, to where word i of all stands side by side. */
static inline void transpose(uint32_t *to, const uint8_t *const data[4], size_t at, bool swap)
{
    four a = load_four(data[0] + at, swap), b = load_four(data[1] + at, swap);
    four c = load_four(data[2] + at, swap), d = load_four(data[3] + at, swap);
    four ab01 = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    four ab23 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    four cd01 = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    four cd23 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    four row[4] = {__builtin_shufflevector(ab01, cd01, 0, 1, 4, 5),
                   __builtin_shufflevector(ab01, cd01, 2, 3, 6, 7),
                   __builtin_shufflevector(ab23, cd23, 0, 1, 4, 5),
                   __builtin_shufflevector(ab23, cd23, 2, 3, 6, 7)};
    for (size_t i = 0; i < 4; i++)
        memcpy(to + i * PH_LANES, &row[i], sizeof row[i]);
}

/* One function for all, and loops that stay loops: here the size of the code counts. */
#define NOT_INLINED __attribute__((noinline))
#define NOT_UNROLLED _Pragma("GCC unroll 1")

/* The next block of each message: word i of all lanes side by side. */
NOT_INLINED static void load(word w[16], const uint8_t *const data[], size_t at, bool swap)
{
    NOT_UNROLLED
    for (size_t i = 0; i < 32; i += 4)
        transpose((uint32_t *)(w + i % 16) + i / 16 * 4, data + i / 16 * 4, at + 4 * (i % 16),
                  swap);
}

/* The chaining values as words, and back. */
NOT_INLINED static void get(word *v, uint32_t *const value[], size_t count)
{
    NOT_UNROLLED
    for (size_t i = 0; i < PH_LANES * count; i++)
        ((uint32_t *)v)[i] = value[i % PH_LANES][i / PH_LANES];
}

NOT_INLINED static void put(const word *v, uint32_t *const value[], size_t count)
{
    NOT_UNROLLED
    for (size_t i = 0; i < PH_LANES * count; i++)
        value[i % PH_LANES][i / PH_LANES] = ((const uint32_t *)v)[i];
}

#define ROL(v, n) ((v) << (n) | (v) >> (32 - (n)))

#define SHA256_ROUND(a, b, c, d, e, f, g, h, word)                           \
    h += (ROL(e, 26) ^ ROL(e, 21) ^ ROL(e, 7)) + (g ^ (e & (f ^ g))) + word; \
    d += h;                                                                  \
    h += (ROL(a, 30) ^ ROL(a, 19) ^ ROL(a, 10)) + ((a & b) | (c & (a | b)));

/* Then the letters are back at their places. `word` gives the i-th of the message, with its constant. */
#define SHA256_EIGHT(word)                            \
    SHA256_ROUND(a, b, c, d, e, f, g, h, word(i))     \
    SHA256_ROUND(h, a, b, c, d, e, f, g, word(i + 1)) \
    SHA256_ROUND(g, h, a, b, c, d, e, f, word(i + 2)) \
    SHA256_ROUND(f, g, h, a, b, c, d, e, word(i + 3)) \
    SHA256_ROUND(e, f, g, h, a, b, c, d, word(i + 4)) \
    SHA256_ROUND(d, e, f, g, h, a, b, c, word(i + 5)) \
    SHA256_ROUND(c, d, e, f, g, h, a, b, word(i + 6)) \
    SHA256_ROUND(b, c, d, e, f, g, h, a, word(i + 7))

#define NAME(function) function##_plain
#define TARGET
#include "lanes.inc"
#undef NAME
#undef TARGET

#ifdef HAS_AVX2
#define NAME(function) function##_avx2
#define TARGET __attribute__((target("avx2")))
#include "lanes.inc"
#undef NAME
#undef TARGET
#endif

/* One block of one message; its words stand PH_LANES apart, with their constants. */
static void sha256_block(uint32_t value[8], const uint32_t *w)
{
    uint32_t a = value[0], b = value[1], c = value[2], d = value[3];
    uint32_t e = value[4], f = value[5], g = value[6], h = value[7];
#define WORD(i) w[PH_LANES * (i)]
    NOT_UNROLLED
    for (size_t i = 0; i < 64; i += 8) {
        SHA256_EIGHT(WORD)
    }
#undef WORD
    const uint32_t more[8] = {a, b, c, d, e, f, g, h};
    for (size_t i = 0; i < 8; i++)
        value[i] += more[i];
}

/* A single message: of eight blocks at a time, the words are expanded side by side. */
static void sha256_alone(uint32_t value[8], const uint8_t *p, size_t blocks)
{
    while (blocks > 0) {
        size_t n = blocks < PH_LANES ? blocks : PH_LANES;
        const uint8_t *data[PH_LANES];
        word w[64];
        for (size_t i = 0; i < PH_LANES; i++)
            data[i] = p + (i < n ? 64 * i : 0);
        load(w, data, 0, true);
        sha256_expand_plain(w);
        NOT_UNROLLED
        for (size_t i = 0; i < 64; i++)
            w[i] += sha256_k[i];
        for (size_t i = 0; i < n; i++)
            sha256_block(value, (const uint32_t *)w + i);
        p += 64 * n;
        blocks -= n;
    }
}

typedef void kernel(uint32_t *const value[], const uint8_t *const data[], size_t blocks);

/* Lanes that no message needs repeat the first one, into a value that nobody looks at. */
static bool digest(kernel *k, uint32_t *const value[], const uint8_t *const data[], size_t count,
                   size_t blocks)
{
    uint32_t *all_value[PH_LANES], spare[PH_LANES][8];
    const uint8_t *all_data[PH_LANES];
    for (size_t i = 0; i < PH_LANES; i++) {
        if (i >= count)
            memset(spare[i], 0, sizeof spare[i]);
        all_value[i] = i < count ? value[i] : spare[i];
        all_data[i] = data[i < count ? i : 0];
    }
    k(all_value, all_data, blocks);
    return true;
}
#endif

/* ---- SHA-256 and SHA-1 by x86's own instructions ------------------------------------------------- */

#ifdef HAS_SHA
/* Four rounds, and the four words of the message that come sixteen rounds later. */
#define SHA256_FOUR(i)                                                            \
    {                                                                             \
        __m128i k = _mm_loadu_si128((const __m128i *)(sha256_k + 4 * (i)));       \
        __m128i sum = _mm_add_epi32(w[(i)&3], k);                                 \
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);                            \
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));   \
        sum = _mm_sha256msg1_epu32(w[(i)&3], w[((i) + 1) & 3]);                   \
        k = _mm_alignr_epi8(w[((i) + 3) & 3], w[((i) + 2) & 3], 4);               \
        w[(i)&3] = _mm_sha256msg2_epu32(_mm_add_epi32(sum, k), w[((i) + 3) & 3]); \
    }

SHA_TARGET static void sha256_ni(uint32_t value[8], const uint8_t *p, size_t blocks)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((__m128i *)value), 0xb1);
    __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((__m128i *)(value + 4)), 0x1b);
    __m128i abef = _mm_alignr_epi8(abcd, efgh, 8), cdgh = _mm_blend_epi16(efgh, abcd, 0xf0);
    for (; blocks > 0; blocks--, p += 64) {
        const __m128i before_abef = abef, before_cdgh = cdgh;
        __m128i w[4];
        for (size_t i = 0; i < 4; i++)
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * i)), swap);
        for (size_t i = 0; i < 16; i += 4) {
            SHA256_FOUR(i)
            SHA256_FOUR(i + 1)
            SHA256_FOUR(i + 2)
            SHA256_FOUR(i + 3)
        }
        abef = _mm_add_epi32(abef, before_abef);
        cdgh = _mm_add_epi32(cdgh, before_cdgh);
    }
    abcd = _mm_shuffle_epi32(abef, 0x1b);
    efgh = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)value, _mm_blend_epi16(abcd, efgh, 0xf0));
    _mm_storeu_si128((__m128i *)(value + 4), _mm_alignr_epi8(efgh, abcd, 8));
}

/* `e` is what the fifth letter adds up from: what abcd was four rounds ago. */
#define SHA1_FOUR(i, F)                                                                        \
    {                                                                                          \
        __m128i sum = i ? _mm_sha1nexte_epu32(e, w[(i)&3]) : _mm_add_epi32(e, w[(i)&3]);       \
        e = abcd;                                                                              \
        abcd = _mm_sha1rnds4_epu32(abcd, sum, F);                                              \
        sum = _mm_sha1msg1_epu32(w[(i)&3], w[((i) + 1) & 3]);                                  \
        w[(i)&3] = _mm_sha1msg2_epu32(_mm_xor_si128(sum, w[((i) + 2) & 3]), w[((i) + 3) & 3]); \
    }
#define SHA1_TWENTY(F)                             \
    for (size_t i = 5 * (F); i < 5 * (F) + 5; i++) \
    SHA1_FOUR(i, F)

SHA_TARGET static void sha1_ni(uint32_t value[5], const uint8_t *p, size_t blocks)
{
    const __m128i swap = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((__m128i *)value), 0x1b);
    __m128i e = _mm_set_epi32((int)value[4], 0, 0, 0);
    for (; blocks > 0; blocks--, p += 64) {
        const __m128i before_abcd = abcd, before_e = e;
        __m128i w[4];
        for (size_t i = 0; i < 4; i++)
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * i)), swap);
        SHA1_TWENTY(0)
        SHA1_TWENTY(1)
        SHA1_TWENTY(2)
        SHA1_TWENTY(3)
        e = _mm_sha1nexte_epu32(e, before_e);
        abcd = _mm_add_epi32(abcd, before_abcd);
    }
    _mm_storeu_si128((__m128i *)value, _mm_shuffle_epi32(abcd, 0x1b));
    value[4] = (uint32_t)_mm_extract_epi32(e, 3);
}
#endif

/* ---- The ways ------------------------------------------------------------------------------------ */

#ifdef HAS_VECTORS
#define PICK(alg, set) \
    ((alg) == PH_ALG_SHA256 ? sha256_##set : (alg) == PH_ALG_SHA1 ? sha1_##set : md5_##set)
#endif

/* see lanes.h */
bool ph_lanes_digest_by(ph_lanes_way way, ph_alg alg, uint32_t *const value[],
                        const uint8_t *const data[], size_t count, size_t blocks)
{
#ifdef HAS_SHA
    if (way == PH_LANES_SHA && alg != PH_ALG_MD5 && HAS_SHA()) {
        for (size_t i = 0; i < count; i++)
            (alg == PH_ALG_SHA256 ? sha256_ni : sha1_ni)(value[i], data[i], blocks);
        return true;
    }
#endif
#ifdef HAS_AVX2
    if (way == PH_LANES_AVX2 && count >= WORTH(alg) && HAS_AVX2())
        return digest(PICK(alg, avx2), value, data, count, blocks);
#endif
#ifdef HAS_VECTORS
    if (way == PH_LANES_VECTORS && alg == PH_ALG_SHA256 && count < WORTH(alg)) {
        for (size_t i = 0; i < count; i++)
            sha256_alone(value[i], data[i], blocks);
        return true;
    }
    if (way == PH_LANES_VECTORS && count >= WORTH(alg))
        return digest(PICK(alg, plain), value, data, count, blocks);
#endif
    (void)way, (void)alg, (void)value, (void)data, (void)count, (void)blocks;
    return false;
}

/* see lanes.h */
bool ph_lanes_digest(ph_alg alg, uint32_t *const value[], const uint8_t *const data[], size_t count,
                     size_t blocks)
{
    for (int way = PH_LANES_WAYS - 1; way >= 0; way--)
        if (ph_lanes_digest_by((ph_lanes_way)way, alg, value, data, count, blocks))
            return true;
    return false;
}
