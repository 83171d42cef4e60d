/* runner_compose: what the files of the Docker runner share; nobody else includes it.
 *
 * runner_compose.c has the steps of operations, compose_launch.c the one that starts services,
 * compose_plan.c the files that are written, compose_caches.c the package caches in them,
 * compose_watch.c what runs, compose_state.c what is kept for the next daemon. One struct per
 * deployment, made at the first use and kept until the runner's release. Loop thread.
 */
#ifndef WOS_DAEMON_DEPLOY_RUNNER_COMPOSE_H
#define WOS_DAEMON_DEPLOY_RUNNER_COMPOSE_H

#include "daemon/deploy/compose_file.h"
#include "daemon/deploy/containers.h"
#include "daemon/deploy/deployment_internal.h"
#include "daemon/deploy/docker.h"
#include "daemon/deploy/docker_events.h"

#define COMPOSE_RUN_MAGIC 0x434f4d50u
enum { COMPOSE_ATTEMPTS_MAX = 3 };

struct compose_run;
typedef void compose_fn(struct compose_run *c);
/* err NULL: done. */
typedef void compose_service_fn(struct deployment *d, const struct err *err);

struct compose_run {
    uint32_t magic;
    struct deployment *d; /* borrowed: owner */
    struct docker_tool tool;
    struct docker_search *search; /* owned while under way */
    struct envlist env;           /* of every command */
    bool knows_caller;            /* env is that of the last up's caller, which no file keeps */
    char *project_dir;            /* owned */
    char *files[2];               /* owned: -f of every command */
    size_t file_count;
    char *other_files;              /* owned: what the user's file names, for messages; or NULL */
    bool is_launched;               /* from the first `up -d` to the end of a stop */
    bool wave_runs;                 /* a wave's command, or the look after it */
    struct loop_timer wave_timer;   /* begins the next wave */
    struct docker_command *command; /* owned: of an operation */
    docker_done_fn *on_done;        /* of the command */
    const char *run_id;             /* borrowed: of the command about to start (runid.h) */
    compose_fn *then;               /* after the tools were found */
    bool is_stopping;               /* the command ends before a stop goes on */
    char *ids;                      /* owned: container ids of a removal, one a line */
    struct subprocess *orphan;      /* owned: what a crashed daemon left at work */
    char *orphan_id;                /* owned: its run id while it is sought, or NULL */
    struct subprocess *old_events;  /* owned: a crashed daemon's watcher, until it has ended */
    char *service;                  /* owned: whom compose_service.c is at */
    compose_service_fn *service_done;
    char *explained; /* owned: the service whose end compose_explain tells of */
    int explained_status;
    struct compose_caches *caches;  /* owned while tools are asked */
    char *cache_paths[CACHE_KINDS]; /* owned: what they said */
    /* compose_watch.c */
    struct docker_command *look; /* owned: ps or inspect */
    struct docker_watch *watch;  /* owned */
    struct loop_timer look_timer;
    compose_fn *looked; /* whom a look was for; NULL: the watch alone */
    bool look_again;
    bool is_watching;
    bool look_failed;
    char *look_error; /* owned: why the last look failed */
    struct containers found;
};

/* runner_compose.c. Never NULL. */
struct compose_run *compose_of(struct deployment *d);
/* "docker compose -p … -f …" */
void compose_add_command(const struct compose_run *c, struct docker_args *args);
/* Finds the tools if they are not known, then calls fn; a failure ends the operation. */
void compose_with_tool(struct compose_run *c, compose_fn *fn);

/* Starts a command of an operation; only one at a time. Frees the arguments. With is_shown its
 * output becomes events, else it is in the result. */
void compose_command(struct compose_run *c, struct docker_args *args, bool is_shown,
                     docker_done_fn *on_done);
/* "docker compose up: exit 1: <what it said last>"; -1. */
int compose_error(struct err *err, const char *what, const struct docker_result *result);

/* A down has begun and may have freed the up: what was under way for it ends here, and what it
 * left is stopped with the rest. */
bool compose_up_is_over(const struct deployment *d);
/* The caller's environment, for this up and what follows it. */
void compose_take_environment(struct compose_run *c);
/* The up fails with what the service, which ended, said last. */
void compose_explain(struct compose_run *c, const struct service_run *s);

/* compose_launch.c: of runner_ops, and the timer's. */
void compose_launch(struct deployment *d);
void compose_wave_on_timer(void *arg);
/* No wave begins any more, nobody is waited for. */
void compose_launch_end(struct compose_run *c);
/* After a look: what of those others wait for has ended. */
void compose_launch_looked(struct compose_run *c);

/* compose_service.c: of runner_ops. */
int compose_service_check(struct deployment *d, const struct service_run *s, struct err *err);
/* done comes from the loop; the service's state is known then. Nothing else
 * may be under way. */
void compose_service_stop(struct deployment *d, struct service_run *s, compose_service_fn *done);
void compose_service_start(struct deployment *d, struct service_run *s, compose_service_fn *done);

/* Stops everything; the tools are known. Ends in deployment_on_stopped if somebody waits. */
void compose_stop_begin(struct compose_run *c);

/* compose_state.c: of runner_ops. */
void compose_save(struct deployment *d);
void compose_restore(struct deployment *d);

/* compose_plan.c: writes the files of the mode, and sets c->files, c->project_dir and, in mode
 * compose, adds to c->env what its commands get. */
int compose_plan_write(struct compose_run *c, struct err *err);

/* compose_caches.c. Asks npm, yarn and bun for their caches, where the manifest wants to know and
 * has init scripts, for 10 s at most each, then calls then(c); compose_caches_cancel ends that. */
void compose_caches_find(struct compose_run *c, compose_fn *then);
void compose_caches_cancel(struct compose_run *c);
/* Adds the caches to the service of the init scripts: as configured, else as found, else where
 * such a cache usually is, if it exists. `volumes` has room for CACHE_KINDS and is the caller's. */
void compose_caches_add(const struct compose_run *c, struct compose_service *out, char **volumes);

/* compose_watch.c. Looks at the containers once: c->found and the services' states, then
 * looked(c), also when it failed (c->look_failed). */
void compose_look(struct compose_run *c, compose_fn *looked);
/* Follows the engine's events until compose_watch_stop. */
void compose_watch_start(struct compose_run *c);
void compose_watch_stop(struct compose_run *c);
void compose_watch_init(struct compose_run *c);
/* The tools of a restored deployment were not found: tried again later. */
void compose_watch_failed(struct compose_run *c, const char *why);

#endif
