/* run: see run.h. Called by `wos trust` and `wos untrust`; one thread. */
#include "cli/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/subprocess.h"

enum { OUTPUT_BYTES = 16 << 10 };

struct run {
    bool done;
    int status;
    bool timed_out;
    char said[256]; /* the last line */
};

static void keep_last_line(struct run *run, struct str text)
{
    struct str rest = text;
    struct str line;
    while (str_next(&rest, '\n', &line)) {
        line = str_trim(line);
        if (line.len > 0) {
            (void)snprintf(run->said, sizeof run->said, "%.*s", STR_ARG(line));
        }
    }
}

static void run_on_end(void *arg, const struct subprocess_output *output)
{
    struct run *run = arg;
    run->done = true;
    run->status = output->status;
    run->timed_out = output->timed_out;
    keep_last_line(run, output->out);
    keep_last_line(run, output->err);
}

int run_program(struct loop *loop, const char *const *argv, uint32_t timeout_ms, struct err *err)
{
    struct subprocess_spec spec = {.argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
    struct run run = {.done = false};
    char status[64];
    if (subprocess_collect(loop, &spec, timeout_ms, OUTPUT_BYTES, run_on_end, &run, err) < 0) {
        return -1;
    }
    loop_turn(loop, false); /* what was deferred needs no event to wait for */
    while (!run.done) {
        loop_turn(loop, true);
    }
    if (run.timed_out) {
        return err_set(err, ERR_TIMEOUT, "%s took too long", argv[0]);
    }
    if (run.status != 0) {
        return err_set(err, ERR_FAILED, "%s: %s%s%s", argv[0],
                       subprocess_status_text(run.status, status, sizeof status),
                       run.said[0] == '\0' ? "" : ": ", run.said);
    }
    return 0;
}

bool run_find(const char *program, char **out)
{
    const char *path = getenv("PATH");
    autofree char *all =
        xasprintf("%s:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin", path == NULL ? "" : path);
    struct str rest = str_of(all);
    struct str part;
    while (str_next(&rest, ':', &part)) {
        if (part.len == 0 || part.ptr[0] != '/') {
            continue;
        }
        char *file = xasprintf("%.*s/%s", STR_ARG(part), program);
        if (access(file, X_OK) == 0) {
            *out = file;
            return true;
        }
        free(file);
    }
    return false;
}
