/* faults: everything in scenario.h again and again, each time with another allocation (or call
 * for a socket) that fails, each time in a process of its own.
 *
 *     faults NAME memory|sockets N     one, in this process: for a debugger
 *     faults [SECONDS]     how long all may take (default 60); what does not fit is sampled, seeded
 *
 * A process may end well, refuse with an error, or abort with "out of memory", which is what
 * xmalloc does where a few bytes of our own are missing (base/auto.h). It must not crash, hang, or
 * say a secret. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/loop.h"
#include "tests/faults/inject.h"
#include "tests/faults/scenario.h"

enum { SECONDS = 60, HANG_S = 30, SAID_MAX = 4000 };

static const struct scenario scenarios[] = {
    {"snapshot", run_snapshot, false},
    {"h1", run_h1, false},
    {"config", run_config, false},
    {"manifest", run_manifest, false},
    {"publisher", run_publisher, false},
    {"serve", run_serve, true},
    {"certset", run_certset, false},
};

struct tally {
    unsigned total;
    unsigned tried;
    unsigned done;
    unsigned refused;
    unsigned aborted;
    unsigned wrong;
};

static uint64_t next_random(uint64_t *seed)
{
    *seed += 0x9e3779b97f4a7c15U;
    uint64_t z = *seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static void child(const struct scenario *s, enum inject_kind kind, unsigned nth, int said, int told)
{
    const struct rlimit none = {0};
    (void)setrlimit(RLIMIT_CORE, &none);
    CHECK(dup2(said, STDERR_FILENO) >= 0);
    (void)alarm(HANG_S);
    inject_arm(kind, nth);
    enum scenario_end end = s->run();
    unsigned count = inject_disarm();
    CHECK(write(told, &count, sizeof count) == sizeof count);
    _exit((int)end);
}

/* Runs it; how many chances to fail there were, and what it said. */
static int run(const struct scenario *s, enum inject_kind kind, unsigned nth, unsigned *out_count,
               char said[SAID_MAX + 1])
{
    int said_pipe[2];
    int told_pipe[2];
    int status;
    CHECK(pipe(said_pipe) == 0 && pipe(told_pipe) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        child(s, kind, nth, said_pipe[1], told_pipe[1]);
    }
    (void)close(said_pipe[1]);
    (void)close(told_pipe[1]);
    size_t len = 0;
    ssize_t n;
    while ((n = read(said_pipe[0], said + len, SAID_MAX - len)) > 0) {
        len += (size_t)n;
    }
    said[len] = '\0';
    *out_count = 0;
    n = read(told_pipe[0], out_count, sizeof *out_count);
    (void)close(said_pipe[0]);
    (void)close(told_pipe[0]);
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

static void judge(const struct scenario *s, enum inject_kind kind, unsigned nth, int status,
                  const char *said, struct tally *t)
{
    const char *why = NULL;
    t->tried++;
    if (strstr(said, SCENARIO_SECRET) != NULL) {
        why = "said the secret";
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == SCENARIO_DONE) {
        t->done++;
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == SCENARIO_REFUSED) {
        t->refused++;
    } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && kind == INJECT_MEMORY &&
               strstr(said, "wos: out of memory") != NULL) {
        t->aborted++;
    } else {
        why = WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "went wrong";
    }
    if (why != NULL) {
        t->wrong++;
        (void)printf("%s: %s number %u: %s\n  %s\n", s->name,
                     kind == INJECT_MEMORY ? "allocation" : "call", nth, why, said);
    }
}

/* All of a kind, or as many as `until` leaves time for, spread over all by chance. */
static struct tally try_all(const struct scenario *s, enum inject_kind kind, uint64_t until)
{
    static char said[SAID_MAX + 1];
    struct tally t = {0};
    unsigned count;
    uint64_t seed = 1;
    judge(s, kind, 0, run(s, kind, 0, &t.total, said), said, &t);
    bool works = t.done == 1;
    t.tried = t.done = 0;
    if (!works) {
        (void)printf("%s does not work when nothing fails\n  %s\n", s->name, said);
        return t;
    }
    unsigned *order = xcalloc(t.total, sizeof *order);
    for (unsigned i = 0; i < t.total; i++) {
        unsigned at = (unsigned)(next_random(&seed) % (i + 1));
        order[i] = order[at];
        order[at] = i + 1;
    }
    for (unsigned i = 0; i < t.total && clock_now_ms() < until; i++) {
        judge(s, kind, order[i], run(s, kind, order[i], &count, said), said, &t);
    }
    free(order);
    return t;
}

/* For a debugger: one of them in this process. */
static int try_one(const char *name, bool sockets, unsigned nth)
{
    for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
        if (strcmp(scenarios[i].name, name) == 0) {
            inject_arm(sockets ? INJECT_SOCKETS : INJECT_MEMORY, nth);
            enum scenario_end end = scenarios[i].run();
            (void)inject_disarm();
            return (int)end;
        }
    }
    return 1;
}

int main(int argc, char **argv)
{
    uint64_t seconds = argc > 1 ? strtoul(argv[1], NULL, 10) : SECONDS;
    unsigned wrong = 0;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    parsers_prepare();
    serve_prepare();
    if (argc == 4) {
        return try_one(argv[1], strcmp(argv[2], "sockets") == 0,
                       (unsigned)strtoul(argv[3], NULL, 10));
    }
    uint64_t left_ms = seconds * 1000;
    for (size_t i = 0; i < COUNT_OF(scenarios); i++) {
        const struct scenario *s = &scenarios[i];
        for (int kind = 0; kind < INJECT_KINDS; kind++) {
            if (kind == INJECT_SOCKETS && !s->has_sockets) {
                continue;
            }
            /* The last ones are long: each may take half of what is left. */
            uint64_t start = clock_now_ms();
            struct tally t = try_all(s, (enum inject_kind)kind, start + left_ms / 2);
            uint64_t took = clock_now_ms() - start;
            left_ms -= took < left_ms ? took : left_ms;
            wrong += t.wrong;
            (void)printf(
                "%s, %s: %u of %u tried: %u worked, %u refused, %u out of memory, %u wrong\n",
                s->name, kind == INJECT_MEMORY ? "memory" : "sockets", t.tried, t.total, t.done,
                t.refused, t.aborted, t.wrong);
        }
    }
    return wrong == 0 ? 0 : 1;
}
