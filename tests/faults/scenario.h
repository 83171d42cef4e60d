/* scenario: one thing that is done while something fails.
 *
 * `run` is called armed, again and again in one process. SCENARIO_DONE: it worked all the same;
 * SCENARIO_REFUSED: it failed and said so. Whatever else it finds is printed and SCENARIO_WRONG.
 * It leaves nothing behind. */
#ifndef WOS_TESTS_FAULTS_SCENARIO_H
#define WOS_TESTS_FAULTS_SCENARIO_H

#include <stdbool.h>

#include "base/err.h"

enum scenario_end { SCENARIO_DONE, SCENARIO_WRONG, SCENARIO_REFUSED };

struct scenario {
    const char *name;
    enum scenario_end (*run)(unsigned which);
    unsigned which;
    bool is_gateway; /* also with calls for sockets that fail; and the process must not end */
};

/* Must not be seen in what a failing process says. */
#define SCENARIO_SECRET "canary-4711-canary"

/* Before any run: what the runs read. */
void parsers_prepare(void);
enum scenario_end run_snapshot(unsigned which);
enum scenario_end run_certset(unsigned which);
enum scenario_end run_h1(unsigned which);
enum scenario_end run_config(unsigned which);
enum scenario_end run_manifest(unsigned which);
enum scenario_end run_publisher(unsigned which);

void serve_prepare(void);
/* A worker gets one request of the kind `which` (below SERVE_KINDS), while things
 * fail, and then another client's, which has to be answered. */
enum { SERVE_KINDS = 21 };
const char *serve_name(unsigned which);
enum scenario_end run_serve(unsigned which);

/* What the main thread does while a worker serves: 0 the daemon asks for counts, 1 it publishes. */
enum scenario_end run_tend(unsigned which);

/* REFUSED when err says something, else WRONG. */
enum scenario_end scenario_refused(const struct err *err);

#endif
