/* SPDX-License-Identifier: MIT
 *
 * A clock that is wrong, for whole browsers: LD_PRELOAD this, and CLOCK_OFFSET_S is added to the time on
 * the wall. libfaketime changes more than that, and neither Chromium nor Firefox start with it.
 */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Browsers ask for the time again and again: the system call would make them crawl. */
static int (*quick)(clockid_t, struct timespec *);
static time_t offset;

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("CLOCK_OFFSET_S");
    void *found = dlsym(RTLD_NEXT, "clock_gettime");
    offset = text ? atol(text) : 0;
    memcpy(&quick, &found, sizeof quick);
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int err = quick ? quick(clock, out) : (int)syscall(SYS_clock_gettime, clock, out);
    if (err == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        out->tv_sec += offset;
    return err;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
