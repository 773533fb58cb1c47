/* SPDX-License-Identifier: MIT
 *
 * Tests what transcripts cannot show of the border: when memory runs out while an action is written,
 * the next step says the same action, and no event comes between.
 */
#include "test.h"

#include <string.h>

#include "../wasm/exports.c" /* from src */

#define NOW 1767225600000.0
#define OPTIONS                                                                               \
    "{\"bucket\":\"bkt\",\"key\":\"k\",\"size\":20971520,\"partSize\":5242880,\"keep\":true," \
    "\"credentials\":\"{\\\"accessKeyId\\\":\\\"A\\\",\\\"secretAccessKey\\\":\\\"s\\\"}\"}"

#define CREATED                                             \
    "server\0nobody\0"                                      \
    "<InitiateMultipartUploadResult><UploadId>U</UploadId>" \
    "</InitiateMultipartUploadResult>"

static bool short_of_memory;
static unsigned unsaid; /* how often an action had to wait */
static unsigned kinds;  /* a bit for each that was said */

static void put(const char *text)
{
    memcpy(ph_stage(), text, strlen(text));
}

static job *open_job(void)
{
    put(OPTIONS);
    intptr_t handle = ph_open(strlen(OPTIONS), NOW);
    if (handle < 0 && handle > -1000) {
        CHECK_INT(handle, PH_ERR_NOMEM);
        CHECK(short_of_memory = test_alloc_end());
        put(OPTIONS);
        handle = ph_open(strlen(OPTIONS), NOW);
    }
    return (job *)handle; // NOLINT: a handle is an address
}

static void step(job *j, ph_buf *all)
{
    int len = ph_step(j, NOW, 1);
    if (len < 0) {
        CHECK_INT(len, PH_ERR_NOMEM);
        CHECK(short_of_memory = test_alloc_end());
        if (j->unsaid)
            CHECK_INT(ph_report(j, NOW, PH_EVENT_PAUSE, 0, 0, 0, 0), PH_ERR_NOMEM);
        unsaid += j->unsaid;
        len = ph_step(j, NOW, 1);
    }
    if (CHECK(len >= 0)) {
        kinds |= 1u << (unsigned)said[KIND];
        ph_buf_add(all, ph_said(), sizeof said);
        ph_buf_add(all, ph_out(), (size_t)len);
    }
}

/* `fields` are texts behind NULs that stand before the rest. */
static int answer(job *j, ph_event_kind kind, uint32_t id, double value, unsigned fields,
                  const char *text, size_t len)
{
    memcpy(ph_stage(), text, len);
    return ph_report(j, NOW, (int)kind, id, value, fields, len);
}

#define ANSWER(j, kind, id, value, fields, text) \
    answer(j, kind, id, value, fields, text, sizeof(text) - 1)

/* Everything that is said, as one text. */
static void play(ph_buf *all)
{
    short_of_memory = false;
    ph_buf_clear(&out_text);
    job *j = open_job();
    for (int i = 0; i < 6; i++)
        step(j, all);
    int err = ANSWER(j, PH_EVENT_RESPONSE, 1, 200, 2, CREATED);
    if (err != PH_OK) {
        CHECK_INT(err, PH_ERR_NOMEM);
        CHECK(short_of_memory = test_alloc_end());
        CHECK_INT(ANSWER(j, PH_EVENT_RESPONSE, 1, 200, 2, CREATED), PH_OK);
    }
    for (int i = 0; i < 8; i++)
        step(j, all);
    ph_close(j);
    if (test_alloc_end())
        short_of_memory = true;
}

static bool contains(const ph_buf *b, ph_str text)
{
    for (ph_str rest = ph_buf_view(b); rest.len >= text.len; rest = ph_str_skip(rest, 1))
        if (ph_str_starts(rest, text))
            return true;
    return false;
}

static void test_refusals(void)
{
    static const char long_header[] = "a\0b\0";
    ph_buf all;
    ph_buf_init(&all, 1u << 16);
    test_case("what cannot be");
    CHECK_INT(ph_open(ph_text_max() + 1, NOW), PH_ERR_TOO_LONG);
    job *j = open_job();
    for (int i = 0; i < 6; i++)
        step(j, &all);
    CHECK_INT(ANSWER(j, (ph_event_kind)-1, 1, 200, 0, ""), PH_ERR_BAD_ARG);
    CHECK_INT(ANSWER(j, (ph_event_kind)(PH_EVENT_NOT_SAVED + 1), 1, 200, 0, ""), PH_ERR_BAD_ARG);
    CHECK_INT(ANSWER(j, PH_EVENT_FAILED, 1, 0, 0, ""), PH_ERR_BAD_ARG);
    CHECK_INT(ANSWER(j, PH_EVENT_RESPONSE, 1, 500, 0, "<Error>\0</Error>"), PH_ERR_BAD_ENCODING);
    CHECK_INT(ANSWER(j, PH_EVENT_HASHED, 1, 0, 2, "CRC64NVME:AAAA\0\0"), PH_ERR_BAD_ENCODING);
    CHECK_INT(ph_report(j, NOW, PH_EVENT_RESPONSE, 1, 200, 0, ph_text_max() + 1), PH_ERR_TOO_LONG);
    test_case("an answer of a thousand headers, and what was put in is wiped");
    for (size_t i = 0; i < 1000; i++)
        memcpy((char *)ph_stage() + 4 * i, long_header, 4);
    memcpy((char *)ph_stage() + 4000, "<Error/>", 8);
    CHECK_INT(ph_report(j, NOW, PH_EVENT_RESPONSE, 1, 500, 2000, 4008), PH_OK);
    static const char zeros[4008];
    CHECK_MEM(ph_stage(), zeros, sizeof zeros);
    step(j, &all);
    CHECK_INT((int)said[KIND], PH_ACTION_NOTICE);
    CHECK_INT((int)said[FIRST], PH_NOTICE_RETRY);
    ph_close(j);
    ph_buf_clear(&all);
}

int main(void)
{
    ph_buf wanted, got;
    ph_buf_init(&wanted, 1u << 16);
    ph_buf_init(&got, 1u << 16);
    ph_buf_reserve(&got, 1u << 16);
    test_case("all is said");
    play(&wanted);
    CHECK(contains(&wanted, PH_STR("\"uploadId\":\"U\"")));
    CHECK(contains(&wanted, PH_STR("CreateMultipartUpload")));
    CHECK(kinds & 1u << PH_ACTION_SAVE && kinds & 1u << PH_ACTION_HASH);
    for (unsigned n = 0; n == 0 || short_of_memory; n++) {
        test_case("allocation %u fails", n);
        ph_buf_reset(&got);
        test_alloc_fail_after(n);
        play(&got);
        if (CHECK_U64(got.len, wanted.len))
            CHECK_MEM(got.ptr, wanted.ptr, wanted.len);
    }
    CHECK(unsaid > 0);
    test_refusals();
    ph_buf_clear(&wanted);
    ph_buf_clear(&got);
    ph_buf_clear(&out_text);
    ph_close(NULL);
    return test_end();
}
