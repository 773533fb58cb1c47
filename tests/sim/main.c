/* SPDX-License-Identifier: MIT
 *
 * sim - whole uploads by the million: FIRST and the number of seeds, shared out to processes. A
 * seed that fails is run again and its transcript printed.
 *
 *     sim [--first N] [--jobs N] [--stop N] [--quiet] SEEDS
 *     sim --seed N                                 one seed, with its transcript
 */
#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "world.h"

#define JOBS_MAX 64
#define SHOWN 3

/* What a process has found out, in memory that all share. */
typedef struct tally {
    uint64_t seed; /* that it is at */
    uint64_t runs, done, failed, requests, faults, twice;
    uint64_t bugs;
    uint64_t bad[SHOWN];
    size_t memory;
    uint64_t codes[1024];
} tally;

static void count(tally *t, const sim_result *r)
{
    t->runs++;
    t->done += r->done;
    t->failed += !r->done;
    t->requests += r->requests;
    t->faults += r->faults;
    if (!r->done)
        t->codes[-r->err]++;
    if (r->memory > t->memory)
        t->memory = r->memory;
}

static bool run_one(uint64_t seed, tally *t)
{
    sim_result r, again;
    t->seed = seed;
    sim_run(seed, NULL, &r);
    count(t, &r);
    if (!r.bug[0] && seed % SIM_TWICE == 0 && r.parts < 100) {
        sim_run(seed, NULL, &again);
        t->twice++;
        if (again.hash != r.hash)
            snprintf(r.bug, sizeof r.bug, "another run of the same seed");
    }
    if (r.bug[0]) {
        printf("seed %llu: %s\n", (unsigned long long)seed, r.bug);
        fflush(stdout);
    }
    return r.bug[0] == '\0';
}

static void work(tally *t, uint64_t first, uint64_t count_, uint64_t step, uint64_t stop)
{
    for (uint64_t i = 0; i < count_; i += step) {
        if (run_one(first + i, t))
            continue;
        if (t->bugs < SHOWN)
            t->bad[t->bugs] = first + i;
        if (++t->bugs >= stop)
            break;
    }
}

static int show(uint64_t seed)
{
    sim_result r;
    sim_run(seed, stdout, &r);
    printf("# seed %llu: %s\n", (unsigned long long)seed, r.bug[0] ? r.bug : "as it should be");
    fflush(stdout);
    return r.bug[0] != '\0';
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t n = strtoull(text, &end, 10);
    if (*end || !*text) {
        fprintf(stderr, "sim: %s is no number\n", text);
        exit(2);
    }
    return n;
}

/* One process for each job: a crash is one seed's, and is named. */
static uint64_t share_out(tally *t, uint64_t jobs, uint64_t first, uint64_t seeds, uint64_t stop)
{
    uint64_t bugs = 0;
    pid_t pids[JOBS_MAX];
    for (uint64_t j = 0; j < jobs; j++) {
        fflush(NULL);
        pids[j] = fork();
        if (pids[j] == 0) {
            work(&t[j], first + j, seeds > j ? seeds - j : 0, jobs, stop);
            exit(EXIT_SUCCESS); /* not _exit: who counts what was run, or leaked, counts it here */
        }
    }
    for (uint64_t j = 0; j < jobs; j++) {
        int status;
        waitpid(pids[j], &status, 0);
        if (status) {
            printf("seed %llu crashes (status %d)\n", (unsigned long long)t[j].seed, status);
            t[j].bad[t[j].bugs < SHOWN ? t[j].bugs : 0] = t[j].seed;
            t[j].bugs++;
        }
        bugs += t[j].bugs;
    }
    return bugs;
}

static void report(const tally *t, uint64_t jobs, double began)
{
    tally all = {0};
    for (uint64_t j = 0; j < jobs; j++) {
        all.runs += t[j].runs;
        all.done += t[j].done;
        all.failed += t[j].failed;
        all.requests += t[j].requests;
        all.faults += t[j].faults;
        all.twice += t[j].twice;
        all.memory = t[j].memory > all.memory ? t[j].memory : all.memory;
        for (size_t i = 0; i < 1024; i++)
            all.codes[i] += t[j].codes[i];
    }
    double s = seconds() - began;
    printf("%llu uploads: %llu done, %llu failed as they had to (", (unsigned long long)all.runs,
           (unsigned long long)all.done, (unsigned long long)all.failed);
    const char *comma = "";
    for (size_t i = 0; i < 1024; i++)
        if (all.codes[i]) {
            printf("%s%s %llu", comma, ph_err_name(-(int)i), (unsigned long long)all.codes[i]);
            comma = ", ";
        }
    printf(
        ")\n%llu requests, %llu faults, at most %zu KiB, %llu run twice; %.1f s, %.0f a second\n",
        (unsigned long long)all.requests, (unsigned long long)all.faults, all.memory >> 10,
        (unsigned long long)all.twice, s, (double)all.runs / s);
}

int main(int argc, char **argv)
{
    uint64_t first = 1, seeds = 0, jobs = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN), stop = 1;
    bool one = false, quiet = false;
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (more && strcmp(argv[i], "--first") == 0)
            first = number(argv[++i]);
        else if (more && strcmp(argv[i], "--jobs") == 0)
            jobs = number(argv[++i]);
        else if (more && strcmp(argv[i], "--stop") == 0)
            stop = number(argv[++i]);
        else if (more && strcmp(argv[i], "--seed") == 0) {
            first = number(argv[++i]);
            one = true;
        } else if (strcmp(argv[i], "--quiet") == 0)
            quiet = true;
        else
            seeds = number(argv[i]);
    }
    if (one)
        return show(first);
    if (jobs < 1 || jobs > JOBS_MAX)
        jobs = 2;
    tally *t =
        mmap(NULL, jobs * sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (t == MAP_FAILED)
        return 2;
    double began = seconds();
    uint64_t bugs = share_out(t, jobs, first, seeds, stop), shown = 0;
    for (uint64_t j = 0; j < jobs && !quiet; j++)
        for (uint64_t i = 0; i < t[j].bugs && i < SHOWN && shown < SHOWN; i++, shown++) {
            fflush(NULL);
            pid_t pid = fork();
            if (pid == 0)
                _exit(show(t[j].bad[i]));
            waitpid(pid, NULL, 0);
        }
    report(t, jobs, began);
    printf("%s passed, %llu failed\n", bugs ? "0" : "1", (unsigned long long)bugs);
    return bugs != 0;
}
