/* faults: everything in scenario.h again and again, each time with another allocation (or call
 * for a socket) that fails, none left out; and with several in a row.
 *
 *     faults               all, in two processes side by side
 *     faults NAME memory|sockets N [BURST]     one, in this process: for a debugger
 *
 * A scenario runs many times in one process; where that ends by it, the next failure gets another
 * process. A run may end well or refuse with an error. What starts a gateway may abort with "out
 * of memory", which is what xmalloc does (base/auto.h); a gateway that serves must not. Nothing may
 * crash, hang, keep memory or say a secret. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "tests/faults/inject.h"
#include "tests/faults/scenario.h"

enum {
    HANG_S = 60,
    SAID_MAX = 4000,
    WORKERS = 2,
    PARSERS = 8,
    WARM = 2
}; /* PARSERS: all but serve.c's requests */

static const struct mode {
    const char *name;
    enum inject_kind kind;
    unsigned burst;
    unsigned step; /* from one run to the next */
} modes[] = {
    {"each allocation", INJECT_MEMORY, 1, 1},   {"3 in a row", INJECT_MEMORY, 3, 3},
    {"20 in a row", INJECT_MEMORY, 20, 7},      {"all from there on", INJECT_MEMORY, 1U << 30, 7},
    {"each socket call", INJECT_SOCKETS, 1, 1},
};

enum { MODES = COUNT_OF(modes), SCENARIOS = PARSERS + SERVE_KINDS };

static struct scenario scenarios[SCENARIOS] = {
    {"snapshot", run_snapshot, 0, false}, {"head", run_h1, 0, false},
    {"config", run_config, 0, false},     {"manifest", run_manifest, 0, false},
    {"certset", run_certset, 0, false},   {"publisher", run_publisher, 0, false},
    {"statistics", run_tend, 0, true},    {"publishing", run_tend, 1, true},
};

struct tally {
    unsigned total;
    unsigned tried;
    unsigned done;
    unsigned refused;
    unsigned aborted;
    unsigned wrong;
};

/* Shared by the processes: what came of it, and which one is being tried. */
static struct shared {
    struct tally tallies[WORKERS][SCENARIOS][MODES];
    unsigned at[WORKERS];
} * shared;

static enum scenario_end run_once(const struct scenario *s, const struct mode *m, unsigned nth,
                                  unsigned *out_count, long *out_kept)
{
    long before = inject_live();
    (void)alarm(HANG_S);
    inject_arm(m->kind, nth, m->burst);
    enum scenario_end end = s->run(s->which);
    *out_count = inject_disarm();
    *out_kept = inject_live() - before;
    return end;
}

/* Asked of what serves; libyaml loses a block where its stack cannot grow. Libraries keep something
 * the first time: what is kept each time is ours. */
static bool keeps_memory(const struct scenario *s, const struct mode *m, unsigned nth, long kept)
{
    unsigned count;
    long again = kept;
    for (int i = 0; i < WARM && again > 0; i++) {
        (void)run_once(s, m, nth, &count, &again);
    }
    return again > 0;
}

static void add_end(struct tally *t, enum scenario_end end)
{
    t->tried++;
    t->done += end == SCENARIO_DONE ? 1 : 0;
    t->refused += end == SCENARIO_REFUSED ? 1 : 0;
    t->wrong += end == SCENARIO_WRONG ? 1 : 0;
}

/* From `nth` on in this process, which ends with it. */
static void child(const struct scenario *s, const struct mode *m, unsigned me, unsigned nth,
                  struct tally *t)
{
    const struct rlimit none = {0};
    unsigned count;
    long kept;
    (void)setrlimit(RLIMIT_CORE, &none);
    for (int i = 0; i < WARM; i++) {
        shared->at[me] = 0;
        if (run_once(s, m, 0, &count, &kept) != SCENARIO_DONE) {
            (void)fprintf(stderr, "it does not work when nothing fails\n");
            _exit(1);
        }
    }
    t->total = count;
    for (; nth <= t->total; nth += WORKERS * m->step) {
        shared->at[me] = nth;
        enum scenario_end end = run_once(s, m, nth, &count, &kept);
        if (end != SCENARIO_WRONG && kept > 0 && s->is_gateway && keeps_memory(s, m, nth, kept)) {
            (void)fprintf(stderr, "%ld blocks of memory are not freed\n", kept);
            end = SCENARIO_WRONG;
        }
        add_end(t, end);
        if (end == SCENARIO_WRONG) {
            _exit(1);
        }
    }
    _exit(0);
}

static size_t read_all(int fd, char said[SAID_MAX + 1])
{
    char rest[512];
    size_t len = 0;
    for (;;) {
        bool full = len == SAID_MAX;
        ssize_t n = read(fd, full ? rest : said + len, full ? sizeof rest : SAID_MAX - len);
        if (n <= 0) {
            said[len] = '\0';
            return len;
        }
        len += full ? 0 : (size_t)n;
    }
}

/* Runs from `nth` on in a process of its own, up to what ends it. True: it came to the end. */
static bool run_from(const struct scenario *s, const struct mode *m, unsigned me, unsigned nth,
                     struct tally *t)
{
    static char said[SAID_MAX + 1];
    int pipes[2];
    int status;
    unsigned wrong = t->wrong;
    CHECK(pipe(pipes) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(dup2(pipes[1], STDERR_FILENO) >= 0);
        (void)close(pipes[0]);
        (void)close(pipes[1]);
        child(s, m, me, nth, t);
    }
    (void)close(pipes[1]);
    (void)read_all(pipes[0], said);
    (void)close(pipes[0]);
    CHECK(waitpid(pid, &status, 0) == pid);
    const char *why = NULL;
    bool ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (strstr(said, SCENARIO_SECRET) != NULL) {
        why = "said the secret";
    } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && !s->is_gateway &&
               m->kind == INJECT_MEMORY && strstr(said, "wos: out of memory") != NULL) {
        t->tried++;
        t->aborted++;
    } else if (!ended) {
        why = WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "went wrong";
        t->tried += t->wrong == wrong ? 1 : 0;
    }
    if (why != NULL) {
        t->wrong = wrong + 1;
        (void)printf("%s, %s, number %u: %s\n  %s\n", s->name, m->name, shared->at[me], why, said);
    }
    return ended;
}

static void try_all(const struct scenario *s, const struct mode *m, unsigned me, struct tally *t)
{
    unsigned nth = 1 + me * m->step;
    do {
        if (run_from(s, m, me, nth, t) || shared->at[me] == 0) {
            return;
        }
        nth = shared->at[me] + WORKERS * m->step;
    } while (nth <= t->total);
}

static void work(unsigned me)
{
    for (size_t i = 0; i < SCENARIOS; i++) {
        for (size_t k = 0; k < MODES; k++) {
            if (modes[k].kind == INJECT_MEMORY || scenarios[i].is_gateway) {
                try_all(&scenarios[i], &modes[k], me, &shared->tallies[me][i][k]);
            }
        }
    }
}

/* True: nothing was wrong, and nothing left out. */
static bool report(size_t i, size_t k)
{
    struct tally sum = {0};
    unsigned points = 0;
    bool left_out = false;
    for (size_t me = 0; me < WORKERS; me++) {
        const struct tally *t = &shared->tallies[me][i][k];
        unsigned first = 1 + (unsigned)me * modes[k].step;
        unsigned all = t->total < first ? 0 : (t->total - first) / (WORKERS * modes[k].step) + 1;
        points += all;
        left_out = left_out || t->tried != all;
        sum.tried += t->tried;
        sum.done += t->done;
        sum.refused += t->refused;
        sum.aborted += t->aborted;
        sum.wrong += t->wrong;
    }
    if (modes[k].kind == INJECT_SOCKETS && !scenarios[i].is_gateway) {
        return true;
    }
    (void)printf("%s, %s: %u of %u points: %u worked, %u refused, %u out of memory, %u wrong\n",
                 scenarios[i].name, modes[k].name, sum.tried, points, sum.done, sum.refused,
                 sum.aborted, sum.wrong);
    /* What the gateway answers itself needs no socket. */
    return sum.wrong == 0 && !left_out && (points > 0 || modes[k].kind == INJECT_SOCKETS);
}

/* For a debugger: one of them in this process. */
static int try_one(char **argv, unsigned burst)
{
    for (size_t i = 0; i < SCENARIOS; i++) {
        if (strcmp(scenarios[i].name, argv[1]) == 0) {
            struct mode m = {"", strcmp(argv[2], "sockets") == 0 ? INJECT_SOCKETS : INJECT_MEMORY,
                             burst, 1};
            unsigned count;
            long kept;
            (void)run_once(&scenarios[i], &m, 0, &count, &kept);
            (void)run_once(&scenarios[i], &m, 0, &count, &kept);
            int end = (int)run_once(&scenarios[i], &m, (unsigned)strtoul(argv[3], NULL, 10), &count,
                                    &kept);
            (void)printf("%d, %u calls, %ld blocks kept\n", end, count, kept);
            return end;
        }
    }
    return 1;
}

int main(int argc, char **argv)
{
    bool fine = true;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned i = 0; i < SERVE_KINDS; i++) {
        scenarios[PARSERS + i] = (struct scenario){serve_name(i), run_serve, i, true};
    }
    parsers_prepare();
    serve_prepare();
    if (argc >= 4) {
        return try_one(argv, argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 1);
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    for (unsigned me = 0; me < WORKERS; me++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            work(me);
            _exit(0);
        }
    }
    for (unsigned me = 0; me < WORKERS; me++) {
        int status;
        CHECK(wait(&status) > 0);
        fine = fine && status == 0;
    }
    for (size_t i = 0; i < SCENARIOS; i++) {
        for (size_t k = 0; k < MODES; k++) {
            fine = report(i, k) && fine;
        }
    }
    return fine ? 0 : 1;
}
