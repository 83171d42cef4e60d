/* forward: bytes from further addresses to services of this machine (serviceBind).
 *
 * A process of its own, `wos forward PORT…`, started by daemon/deploy/deployment_forward.c with
 * one listening socket per argument, from descriptor FORWARD_FIRST_FD on. Each connection
 * goes to 127.0.0.1:PORT, or ::1 where nobody listens there. Bytes only: no protocol is looked
 * at. A side that does not read stops the other at FORWARD_BUFFER bytes; half-closed connections
 * stay so. It lives as long as the deployment, whatever becomes of the daemon.
 */
#ifndef WOS_DAEMON_FORWARD_H
#define WOS_DAEMON_FORWARD_H

enum {
    FORWARD_FIRST_FD = 3,
    FORWARD_PORTS_MAX = 256,
    FORWARD_CONNECTIONS_MAX = 1024, /* more wait in the kernel's queue */
    FORWARD_BUFFER = 65536,         /* bytes per direction */
};

/* Runs until SIGTERM. `ports` are decimal numbers; the exit code. */
int forward_main(int count, char **ports);

#endif
