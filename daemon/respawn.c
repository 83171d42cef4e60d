/* respawn: see respawn.h. Called by the API, on the daemon's loop. */
#include "daemon/respawn.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/subprocess.h"

extern char **environ;

/* The daemon's environment, but with this home; NULL-terminated; the list and its first item are
 * the caller's. */
static char **environment_of(const char *home)
{
    size_t count = 0;
    while (environ[count] != NULL) {
        count++;
    }
    char **out = xcalloc(count + 2, sizeof *out);
    size_t at = 0;
    out[at++] = xasprintf("WOS_HOME=%s", home);
    for (size_t i = 0; i < count; i++) {
        if (strncmp(environ[i], "WOS_HOME=", 9) != 0) {
            out[at++] = environ[i];
        }
    }
    return out;
}

static void on_exit_ignored(void *arg, int status)
{
    (void)arg;
    (void)status;
}

int respawn_start(struct loop *loop, const char *home, struct err *err)
{
    static const char *const argv[] = {"/proc/self/exe", "restart", NULL};
    char **env = environment_of(home);
    struct subprocess_spec spec = {.argv = argv,
                                   .env = (const char *const *)env,
                                   .stdin_fd = -1,
                                   .stdout_fd = -1,
                                   .stderr_fd = -1};
    struct subprocess *p = subprocess_start(loop, &spec, on_exit_ignored, NULL, err);
    subprocess_release(p); /* it outlives us */
    free(env[0]);
    free(env);
    return p == NULL ? -1 : 0;
}
