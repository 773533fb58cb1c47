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

static bool short_of_memory;
static unsigned unsaid; /* how often an action had to wait */

static job *open_job(void)
{
    intptr_t handle = ph_open(OPTIONS, strlen(OPTIONS), NOW);
    if (handle < 0 && handle > -1000) {
        CHECK_INT(handle, PH_ERR_NOMEM);
        CHECK(short_of_memory = test_alloc_end());
        handle = ph_open(OPTIONS, strlen(OPTIONS), NOW);
    }
    return (job *)handle; // NOLINT: a handle is an address
}

static void step(job *j, ph_buf *said)
{
    int len = ph_step(j, NOW, 1);
    if (len < 0) {
        CHECK_INT(len, PH_ERR_NOMEM);
        CHECK(short_of_memory = test_alloc_end());
        static const char event[] = "{\"kind\":\"pause\"}";
        if (j->unsaid)
            CHECK_INT(ph_report(j, NOW, event, sizeof event - 1), PH_ERR_NOMEM);
        unsaid += j->unsaid;
        len = ph_step(j, NOW, 1);
    }
    if (CHECK(len > 0))
        ph_buf_add(said, ph_out(), (size_t)len);
}

static void answer(job *j, const char *event)
{
    int err = ph_report(j, NOW, event, strlen(event));
    if (err != PH_OK) {
        CHECK_INT(err, PH_ERR_NOMEM);
        CHECK(short_of_memory = test_alloc_end());
        CHECK_INT(ph_report(j, NOW, event, strlen(event)), PH_OK);
    }
}

/* Everything that is said, as one text. */
static void play(ph_buf *said)
{
    short_of_memory = false;
    ph_buf_clear(&out_text);
    job *j = open_job();
    for (int i = 0; i < 6; i++)
        step(j, said);
    answer(j, "{\"kind\":\"response\",\"id\":1,\"status\":200,\"headers\":[],\"body\":"
              "\"<InitiateMultipartUploadResult><UploadId>U</UploadId>"
              "</InitiateMultipartUploadResult>\"}");
    for (int i = 0; i < 8; i++)
        step(j, said);
    ph_close(j);
    if (test_alloc_end())
        short_of_memory = true;
}

int main(void)
{
    ph_buf wanted, said;
    ph_buf_init(&wanted, 1u << 16);
    ph_buf_init(&said, 1u << 16);
    ph_buf_reserve(&said, 1u << 16);
    test_case("all is said");
    play(&wanted);
    ph_buf_char(&wanted, '\0');
    wanted.len--;
    CHECK(strstr(wanted.ptr, "\"kind\":\"save\"") && strstr(wanted.ptr, "uploadId\\\":\\\"U"));
    CHECK(strstr(wanted.ptr, "CreateMultipartUpload") && strstr(wanted.ptr, "\"kind\":\"hash\""));
    for (unsigned n = 0; n == 0 || short_of_memory; n++) {
        test_case("allocation %u fails", n);
        ph_buf_reset(&said);
        test_alloc_fail_after(n);
        play(&said);
        if (CHECK_U64(said.len, wanted.len))
            CHECK_MEM(said.ptr, wanted.ptr, wanted.len);
    }
    CHECK(unsaid > 0);
    ph_buf_clear(&wanted);
    ph_buf_clear(&said);
    ph_buf_clear(&out_text);
    ph_close(NULL);
    return test_end();
}
