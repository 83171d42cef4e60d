/* scenario: one thing that is done while something fails.
 *
 * `run` is called in a process of its own, armed. SCENARIO_DONE: it worked all the same;
 * SCENARIO_REFUSED: it failed and said so. Whatever else it finds is printed and SCENARIO_WRONG. */
#ifndef WOS_TESTS_FAULTS_SCENARIO_H
#define WOS_TESTS_FAULTS_SCENARIO_H

#include <stdbool.h>

#include "base/err.h"

enum scenario_end { SCENARIO_DONE, SCENARIO_WRONG, SCENARIO_REFUSED };

struct scenario {
    const char *name;
    enum scenario_end (*run)(void);
    bool has_sockets; /* also with calls for sockets that fail */
};

/* Must not be seen in what a failing process says. */
#define SCENARIO_SECRET "canary-4711-canary"

/* Before any run: what the runs read. */
void parsers_prepare(void);
enum scenario_end run_snapshot(void);
enum scenario_end run_certset(void);
enum scenario_end run_h1(void);
enum scenario_end run_config(void);
enum scenario_end run_manifest(void);
enum scenario_end run_publisher(void);

void serve_prepare(void);
/* A worker answers HTTP/1.1 and HTTP/2 over TLS, from a service. */
enum scenario_end run_serve(void);

/* REFUSED when err says something, else WRONG. */
enum scenario_end scenario_refused(const struct err *err);

#endif
