/* daemon: the control process, where the parts are wired together.
 *
 * daemon_main runs one daemon for `home` until it is told to stop; the exit
 * code. `foreground` prints where it listens. One event loop, one thread.
 * Everything hanging on a struct daemon lives as long as it.
 */
#ifndef WOS_DAEMON_DAEMON_H
#define WOS_DAEMON_DAEMON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/fetch.h"
#include "base/loop.h"
#include "daemon/config.h"
#include "daemon/operations.h"
#include "daemon/publisher.h"

struct access_log_file;
struct api;
struct certjobs;
struct certkeeper;
struct json_log;
struct login;
struct changes;
struct channel_logs;
struct events;
struct gitfacts;
struct logins;
struct projects;
struct sessions;
struct shells;
struct statuses;
struct published;
struct supervisor;
struct terminals;
struct usage;
struct worktree_changes;

enum daemon_end { DAEMON_END_STOP, DAEMON_END_RESTART };

struct daemon {
    const char *home;   /* owned; absolute, real path */
    char *daemon_id;    /* owned; UUID */
    char *started_at;   /* owned */
    int64_t started_ms; /* wall clock */
    struct loop *loop;  /* owned, and all below */
    struct config *config;
    struct json_log *json_log;
    struct fetch_client *fetch;
    struct operations *operations;
    struct events *events;
    struct channel_logs *channel_logs;
    struct changes *changes;
    struct worktree_changes *worktree_changes;
    struct projects *projects;
    struct statuses *statuses;
    struct gitfacts *gitfacts;
    struct usage *usage;
    struct terminals *terminals;
    struct shells *shells;
    struct publisher *publisher;
    struct certkeeper *certkeeper;
    struct certjobs *certjobs;
    struct logins *logins;
    struct published *published;
    struct supervisor *supervisor;
    struct access_log_file *access_log; /* NULL without a tunnel */
    struct sessions *sessions;
    struct login *login; /* of the public UI */
    struct api *api;
    int lock_fd;
    bool on_terminal; /* SIGHUP means that it went away */
    struct loop_timer end_timer;
    enum daemon_end end;
};

#define DAEMON_PROTOCOL "3"    /* of daemon.json and /health */
#define DAEMON_API_VERSION "1" /* of the API */

int daemon_main(const char *home, bool foreground);
/* Writes H/daemon.json, which says where the daemon listens. */
void daemon_write_metadata(const struct daemon *d);
/* config.json was saved: takes over what applies without a restart and publishes it. */
void daemon_reload_config(struct daemon *d);
/* The keys whose values in config.json wait for a restart, as a JSON list, empty for a file that
 * cannot be read; the caller's. */
cJSON *daemon_restart_keys(const struct daemon *d);
/* Ends the daemon in 50 ms. STOP ends the gateway too, RESTART leaves it serving. */
void daemon_end(struct daemon *d, enum daemon_end how);

#endif
