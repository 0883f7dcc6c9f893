/* Reads clocks as a program does, next to the kernel's own answer, for the tests and the benchmark.
 *
 * clocks ask           for each line on standard input: every clock, a line each, then "."
 * clocks fork          the same in a child
 * clocks storm N SEC.. N threads look at both clocks, at one by two functions, until standard input ends; each look must be
 *                      the true time plus one of these seconds, or plus a gain of less than a
 *                      minute; prints looks, wrong looks, looks that were off the true time
 * clocks time N C T    nanoseconds that a look at clock C takes in T threads at once: the slowest
 *                      thread's best of several rounds of N looks
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef long long ns;

static ns in_ns(const struct timespec *t) { return t->tv_sec * 1000000000LL + t->tv_nsec; }

static ns kernel_ns(clockid_t id) {
    struct timespec t = {0, 0};
    syscall(SYS_clock_gettime, id, &t);
    return in_ns(&t);
}

/* NAME RESULT ERRNO TOLD_NS TRUE_NS TIDY, where tidy says that the parts are in their ranges. */
static void tell(const char *name, int result, int error, ns told, ns truth, int tidy) {
    printf("%s %d %d %lld %lld %d\n", name, result, error, told, truth, tidy);
}

static void answer(void) {
    static const clockid_t ids[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 31, 32, 33, 37,
                                    64, 999, -1, -2, -6, -7, 2147483647, -2147483647 - 1};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        struct timespec t = {-7, -7};
        char name[32];
        errno = 0;
        int result = clock_gettime(ids[i], &t), error = errno;
        ns truth = kernel_ns(ids[i]);
        snprintf(name, sizeof name, "%d", ids[i]);
        int tidy = t.tv_sec >= 0 && t.tv_nsec >= 0 && t.tv_nsec < 1000000000;
        tell(name, result, error, in_ns(&t), truth, tidy);
    }
    struct timeval v = {-7, -7};
    struct timezone z = {-7, -7};
    errno = 0;
    int result = gettimeofday(&v, &z);
    int tidy = v.tv_usec >= 0 && v.tv_usec < 1000000 && z.tz_minuteswest == 0 && z.tz_dsttime == 0;
    ns told = v.tv_sec * 1000000000LL + v.tv_usec * 1000LL;
    tell("gettimeofday", result, errno, told, kernel_ns(0), tidy);
    v.tv_sec = -7;
    result = gettimeofday(&v, NULL);
    told = v.tv_sec * 1000000000LL + v.tv_usec * 1000LL;
    tell("gettimeofday_no_zone", result, errno, told, kernel_ns(0), 1);
    struct timezone alone = {-7, -7};
    result = gettimeofday(NULL, &alone);
    tidy = alone.tz_minuteswest == 0 && alone.tz_dsttime == 0;
    tell("gettimeofday_no_time", result, errno, 0, 0, tidy);
    result = gettimeofday(NULL, NULL);
    tell("gettimeofday_nothing", result, errno, 0, 0, 1);
    time_t stored = -7, returned = time(&stored);
    tell("time", 0, errno, returned * 1000000000LL, kernel_ns(0), stored == returned);
    returned = time(NULL);
    tell("time_no_place", 0, errno, returned * 1000000000LL, kernel_ns(0), 1);
    puts(".");
    fflush(stdout);
}

static void answer_all(void) {
    char line[64];
    while (fgets(line, sizeof line, stdin)) answer();
}

static ns permitted[16];
static int permitted_count;
static volatile int over;
static unsigned long long looks, wrong, off;

static int is_permitted(ns told, ns before, ns after) {
    for (int i = 0; i < permitted_count; i++)
        if (before + permitted[i] <= told && told <= after + permitted[i]) return 1;
    return told >= before && told <= after + 60000000000LL;
}

struct count { unsigned long long looks, wrong, off; };

static void note(struct count *mine, const char *what, ns before, ns told, ns after) {
    mine->looks++;
    mine->off += told < before || told > after;
    if (!is_permitted(told, before, after)) {
        mine->wrong++;
        fprintf(stderr, "%s: told %lld between %lld and %lld\n", what, told, before, after);
    }
}

static void *storm(void *unused) {
    struct count mine = {0, 0, 0};
    while (!over) {
        for (clockid_t id = 0; id <= 1; id++) {
            struct timespec t;
            ns before = kernel_ns(id);
            clock_gettime(id, &t);
            note(&mine, id ? "monotonic clock" : "wall clock", before, in_ns(&t), kernel_ns(id));
        }
        struct timeval v;
        ns before = kernel_ns(0);
        gettimeofday(&v, NULL);
        ns after = kernel_ns(0), told = v.tv_sec * 1000000000LL + v.tv_usec * 1000LL;
        /* It cuts off what is less than a microsecond. */
        note(&mine, "gettimeofday", before - 1000, told, after);
    }
    __sync_fetch_and_add(&looks, mine.looks);
    __sync_fetch_and_add(&wrong, mine.wrong);
    __sync_fetch_and_add(&off, mine.off);
    return unused;
}

static int timed_looks;
static clockid_t timed_clock;
static ns bests[64];

static void *time_looks(void *best) {
    for (int round = 0; round < 20; round++) {
        struct timespec t;
        ns begin = kernel_ns(CLOCK_MONOTONIC);
        for (int i = 0; i < timed_looks; i++) clock_gettime(timed_clock, &t);
        ns each = (kernel_ns(CLOCK_MONOTONIC) - begin) / timed_looks;
        if (!round || each < *(ns *)best) *(ns *)best = each;
    }
    return NULL;
}

/* Does work in threads, each with a place of its own. */
static void start(pthread_t *threads, int count, void *(*work)(void *)) {
    for (int i = 0; i < count; i++) pthread_create(&threads[i], NULL, work, &bests[i]);
}

static void join(pthread_t *threads, int count) {
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
}

int main(int count, char **words) {
    const char *what = count > 1 ? words[1] : "";
    pthread_t threads[64];
    if (!strcmp(what, "ask")) {
        answer_all();
    } else if (!strcmp(what, "fork")) {
        pid_t child = fork();
        if (child == 0) {
            answer_all();
            _exit(0);
        }
        waitpid(child, NULL, 0);
    } else if (!strcmp(what, "storm") && count > 2) {
        int thread_count = atoi(words[2]);
        permitted[permitted_count++] = 0;
        for (int i = 3; i < count && permitted_count < 16; i++)
            permitted[permitted_count++] = atoll(words[i]) * 1000000000LL;
        start(threads, thread_count, storm);
        char line[64];
        while (fgets(line, sizeof line, stdin)) {
        }
        over = 1;
        join(threads, thread_count);
        printf("%llu %llu %llu\n", looks, wrong, off);
    } else if (!strcmp(what, "time") && count > 4) {
        timed_looks = atoi(words[2]);
        timed_clock = atoi(words[3]);
        int thread_count = atoi(words[4]);
        start(threads, thread_count, time_looks);
        join(threads, thread_count);
        ns most = 0;
        for (int i = 0; i < thread_count; i++) most = bests[i] > most ? bests[i] : most;
        printf("%lld\n", most);
    } else {
        return 2;
    }
    return 0;
}
