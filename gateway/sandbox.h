/* sandbox: what the gateway process gives up before it reads a byte from a stranger.
 *
 * sandbox_enter is called once, by gateway_main, in its only thread, when everything that
 * needs a file is done; threads made later inherit all of it:
 *   - no new privileges, no capabilities, no core dumps;
 *   - an empty root: a mount namespace (with a user namespace where the user is not root)
 *     whose only file system is an empty read-only tmpfs;
 *   - seccomp: no program can be run, no process made, no file opened, no address but those of
 *     TCP sockets dialled, no memory made executable. What libc may try on its own gets EPERM;
 *     execve, fork, ptrace and the like end the process.
 * Each part is put on if the system lets it; what is missing is logged and shown by
 * `wos status --all --json`. A build with a sanitizer goes without the root and seccomp: its
 * runtime opens files to report.
 */
#ifndef WOS_GATEWAY_SANDBOX_H
#define WOS_GATEWAY_SANDBOX_H

#include <stdbool.h>

struct sandbox {
    bool no_new_privs;
    bool no_capabilities;
    bool empty_root;
    bool seccomp;
};

struct sandbox sandbox_enter(void);

#endif
