/* deployment_internal: what the deployment_*.c files share. Nobody else includes it. */
#ifndef WOS_DAEMON_DEPLOY_DEPLOYMENT_INTERNAL_H
#define WOS_DAEMON_DEPLOY_DEPLOYMENT_INTERNAL_H

#include "base/subprocess.h"
#include "daemon/deploy/deployment.h"
#include "daemon/deploy/envlist.h"
#include "daemon/deploy/initrun.h"
#include "daemon/deploy/template.h"
#include "daemon/store/store.h"

#define DEPLOYMENT_MAGIC 0x4445504cu
#define SERVICE_RUN_MAGIC 0x53455256u
#define PORT_RUN_MAGIC 0x504f5254u

enum service_state {
    SERVICE_CREATED,    /* known, not started yet */
    SERVICE_RUNNING,    /* its leader lives */
    SERVICE_STOPPING,   /* asked to end */
    SERVICE_STOPPED,    /* ended because asked to, or its work is done */
    SERVICE_EXITED,     /* ended by itself; what it left behind is being stopped */
    SERVICE_RESTARTING, /* containers only, like the following */
    SERVICE_PAUSED,
    SERVICE_UNKNOWN, /* the engine does not answer */
};

enum health_state { HEALTH_WAITING, HEALTH_HEALTHY, HEALTH_FAILED };

struct service_run;
struct setup;

struct port_run {
    uint32_t magic;
    struct service_run *service; /* borrowed: its owner */
    uint16_t container_port;
    uint16_t host_port;
    struct publish_options options; /* a copy of its own */
    bool check_enabled;
    bool allow_failure;
    char *path; /* owned: of the check */
    int expect; /* 0: below 500 */
    struct health_settings settings;
    char *hostname; /* owned; NULL: no route */
    char *url;      /* owned; NULL: no route */
    char *error;    /* owned; why there is no route */
    enum route_state route;
    enum health_state health;
    int observed;               /* status of the last answer, 0 none */
    char *message;              /* owned: why it failed */
    struct health_check *check; /* owned while under way */
    bool silence_told;          /* by that check: nothing listens */
};

struct service_run {
    uint32_t magic;
    struct deployment *deployment; /* borrowed: its owner */
    char *name;                    /* owned */
    bool is_dep;                   /* of `deps`: never published */
    struct port_run *ports;        /* owned */
    size_t port_count;
    char *container;            /* owned: its id in the Docker modes, or NULL */
    int restart_count;          /* of the container, by the engine */
    pid_t container_pid;        /* of its first process, by the engine; 0: none */
    struct subprocess *process; /* owned; the leader, or what it left behind */
    pid_t pid;
    uint64_t start_ticks;
    enum service_state state;
    int status;       /* waitpid's, when exited */
    char *started_at; /* owned */
    char *cwd;        /* owned */
    char *command;    /* owned: the shell line */
    char **env_keys;  /* owned, NULL-terminated: names that wos set */
    char *mark;       /* owned: the run id of what runs, or of what it left behind; or NULL */
    char *run_id;     /* owned: of the start that is about to be made (runid.h), or NULL */
    bool launched;    /* during an up: its start was asked for */
    bool is_starting; /* and is not answered yet: readiness_on_started */
    bool in_wave;     /* compose_launch.c: of the command under way */
    bool ready;       /* during an up: what depends on it may start */
    struct loop_timer settle;
};

struct deployment;
/* Starts one service of an up. 1: readiness_on_started follows; -1: the up fails and stops what
 * it started. */
typedef int service_start_fn(struct deployment *d, const struct manifest_service *ms,
                             struct service_run *s, struct err *err);

/* One running `up`. */
struct up {
    char *operation_id; /* owned; may be NULL */
    bool force;
    bool no_tunnel;
    char **services; /* owned, NULL-terminated, or NULL */
    char *target;    /* owned or NULL */
    struct template_argument *arguments;
    size_t argument_count;
    struct envlist base_env;                  /* the caller's */
    char *domain;                             /* owned or NULL */
    char *service_bind;                       /* owned or NULL */
    char *head;                               /* owned or NULL */
    struct manifest *manifest;                /* owned */
    const struct manifest_service **selected; /* owned array, dependency first */
    size_t selected_count;
    size_t step;
    bool step_open;        /* a "running" event was sent for the step */
    bool released;         /* what ran before is stopped */
    bool services_started; /* from here on a failure leaves them */
    struct setup *setup;   /* owned while under way */
    bool setup_done;       /* an up may come by twice, when it looks for other ports */
    bool caches_saved;
    struct initrun *init;     /* owned while under way */
    bool init_done;           /* not again when the ports are chosen anew */
    struct port_set excluded; /* host ports that turned out to be taken */
    struct envlist init_env;
    struct buf init_tail;     /* owned: the last it wrote */
    unsigned launch_attempts; /* with how many sets of ports */
    size_t checks_left;
    bool judging;            /* the health step waits for checks_left to become 0 */
    service_start_fn *start; /* readiness: starts one service; NULL: not launching */
    uint64_t started_ms;
    enum err_code fail_code; /* kept while services are stopped after a failed start */
    char *fail_message;      /* owned */
};

struct deployment {
    uint32_t magic;
    struct deployment_env env; /* borrowed inside */
    struct worktree wt;
    struct deployment_ops ops;
    void *arg;                       /* borrowed */
    cJSON *state;                    /* owned: state.json's object, never NULL */
    enum manifest_mode mode;         /* of the last up */
    const struct runner_ops *runner; /* of that mode; never NULL */
    struct compose_run *compose;     /* owned by runner_compose.c, or NULL */
    char *stop_error;                /* owned: why the last stop failed, or NULL */
    bool initialised;
    bool failed_before;            /* the last up failed and there never was another */
    struct service_run **services; /* owned: those of the last up */
    size_t service_count;
    struct up *up;                 /* owned; NULL: none runs */
    struct service_action *action; /* owned by deployment_service.c; NULL: none runs */
    bool is_down;                  /* a down runs */
    bool cancelled;                /* on_done(CANCELLED) is due before the down goes on */
    loop_fn *next;                 /* what the timer calls: the continuation of up or down */
    struct loop_timer timer;
    void (*on_stopped)(struct deployment *d);   /* when no process is left */
    void (*on_published)(struct deployment *d); /* when on_publish is answered */
    void (*on_withdrawn)(struct deployment *d); /* when no request reaches the services */
    char *failure_tail;                         /* owned; NULL: the last up did not fail */
    struct subprocess *old_init;     /* owned: what a crashed daemon's init script left, or NULL */
    struct subprocess *forward;      /* owned: of serviceBind, or NULL */
    char *forward_id;                /* owned: its run id while it is sought, or NULL */
    loop_fn *forward_stopped;        /* what goes on when it has ended */
    struct loop_timer forward_again; /* it died: the next one */
    uint64_t forward_started_ms;
    unsigned forward_deaths;       /* soon after their start, in a row */
    loop_fn *strays_ended;         /* what goes on then: deployment_strays.c */
    uint64_t strays_kill_ms;       /* 0: none were looked for yet */
    struct health_settings health; /* for the monitor */
    struct loop_timer monitor;
    unsigned calm_rounds; /* of the monitor: nothing was different since */
};

/* deployment.c: calls fn(d) from the loop in the next turn, or after a while. */
void deployment_continue(struct deployment *d, loop_fn *fn, uint64_t delay_ms);

/* deployment.c: everything is copied. */
struct up *up_new(const struct deployment_request *request);

/* deployment_up.c: the step table. */
void up_begin(struct deployment *d);
void up_step_done(struct deployment *d);
void up_fail(struct deployment *d, enum err_code code, const char *message);
void up_launched(struct deployment *d); /* every service was started */
/* From here on services stay when the up fails. -1: the state cannot be saved, the up failed. */
int up_keep_services(struct deployment *d);
/* Goes back to choosing host ports, without those excluded. Nothing may run. */
void up_again_from_ports(struct deployment *d);
void up_exclude_port(struct deployment *d, uint16_t port);
/* Stops what was started, then up_fail. */
void up_fail_launch(struct deployment *d, const struct err *err);
void up_free(struct deployment *d);
/* Clones, caches or init scripts are going to run, and may make files that are not there yet. */
bool up_will_make_files(const struct deployment *d);

/* deployment_withdraw.c. Asks the core to publish the ports as they are; one of the two
 * functions is called, the first at once or later. */
void deployment_publish(struct deployment *d, void (*on_published)(struct deployment *d),
                        loop_fn *on_timeout, uint64_t timeout_ms);
/* Sets every port's route to `state` and calls on_withdrawn, from the loop, when the whole
 * gateway knows and requests under way had a moment to end: services can be stopped then
 * without anybody seeing a broken answer. */
void deployment_withdraw(struct deployment *d, enum route_state state,
                         void (*on_withdrawn)(struct deployment *d));

/* deployment_strays.c: ends what the stopped services left outside of their groups; `on_ended`
 * comes later, by the deployment's timer. */
void strays_end(struct deployment *d, loop_fn *on_ended);
/* deployment_forward.c: serviceBind where services are processes. Says what does not work in
 * the log; the state is the caller's to save. */
void forward_start(struct deployment *d);
void forward_on_again(void *arg); /* of d->forward_again */
void forward_restore(struct deployment *d);
/* Calls then(d) when its ports are free, at once or later. */
void forward_stop(struct deployment *d, loop_fn *then);

/* deployment_failure.c. What explains a failure: kept until the next up. */
void failure_clear(struct deployment *d);
void failure_note_output(struct deployment *d, struct str output);
/* The end of the service's log, stderr if it holds anything; borrowed, may be empty. */
const char *failure_note_service(struct deployment *d, const struct service_run *s);

/* "service web ended during up (exit 1)" and what it last said. malloc'ed. */
char *service_exit_text(struct deployment *d, const struct service_run *s);

/* deployment_services.c: the records. */
struct service_run *service_run_new(struct deployment *d, const char *name, size_t port_count);
void service_run_free(struct service_run *s);
void deployment_clear_services(struct deployment *d);
bool service_is_running(const struct service_run *s); /* or something of it is left */
bool service_is_done(const struct service_run *s);    /* a task that ended well */
struct service_run *deployment_find(const struct deployment *d, const char *name);
struct port_run *service_find_port(const struct service_run *s, uint16_t container_port);

/* deployment_service.c: one service of several. Its status while that runs. */
const char *service_action_status(const struct deployment *d);
bool service_action_is_of(const struct deployment *d, const struct service_run *s);
void service_action_free(struct deployment *d);
/* A check of the service is over. */
void service_action_checked(struct deployment *d);
/* For runners: what service_stop and service_start end in, from the loop; err NULL: nothing of it
 * is left, or it was started. */
void deployment_service_stopped(struct deployment *d, const struct err *err);
void deployment_service_started(struct deployment *d, const struct err *err);
/* … the same as stopped, after what the service left behind was ended. */
void deployment_service_gone(struct deployment *d);
/* The service's process ended, because it was asked to or by itself; true when that was expected or
 * is told now. For runners that watch processes. */
bool deployment_service_exited(struct deployment *d, const struct service_run *s, bool was_asked);
/* Makes d->up with what service_environment needs, and finds the service; up_free it after. */
int deployment_service_prepare(struct deployment *d, const struct manifest_service **out_service,
                               struct err *err);

/* deployment_environment.c: env_file, environment, contract into `own`; later wins. */
int service_environment(struct deployment *d, const struct manifest_service *ms,
                        const struct service_run *s, struct envlist *own, struct err *err);

/* deployment_setup.c: clones and caches; both end in up_step_done or up_fail. */
void setup_begin(struct deployment *d);
void setup_save_begin(struct deployment *d);
/* Ends the copying. Before the manifest is freed. NULL is allowed. */
void setup_free(struct setup *s);

/* The hosts that Vite's server answers. */
#define ENVIRONMENT_HOSTS "__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS"
/* The parts: a manifest's pairs with templates expanded (path names them in errors), and what
 * wos itself promises. decides_hosts: the service sets ENVIRONMENT_HOSTS somewhere else than in
 * `own`, which must not set it again. The check is for the time before ports are chosen. */
int environment_check(struct deployment *d, const struct manifest_pair *pairs, size_t count,
                      const char *path, struct err *err);
int environment_expand(struct deployment *d, const struct manifest_pair *pairs, size_t count,
                       const char *path, struct envlist *own, struct err *err);
void environment_add_contract(const struct deployment *d, const struct service_run *s,
                              bool decides_hosts, struct envlist *own);

/* deployment_init.c: app.init_script, then those of the selected services, dependencies
 * first, as one shell line; malloc'ed. The others are initrun's callbacks with d. */
char *up_init_script(const struct deployment *d);
/* The environment of init scripts, with a run id that is in state.json first; -1: it cannot be
 * saved. Borrowed until the up ends. */
int up_init_environment(struct deployment *d, const char *const **out_env, struct err *err);
void up_on_init_output(void *arg, bool is_stderr, struct str chunk);
void up_on_init_done(void *arg, int status);

/* deployment.c: stops every service through the runner; on_stopped comes from the loop,
 * also when there was none. */
void deployment_stop_all(struct deployment *d, void (*on_stopped)(struct deployment *d));
/* For runners, from the loop: everything is stopped, or d->stop_error says why not. */
void deployment_on_stopped(void *arg);

/* runner_*.c: how services run. More than six functions: one per step of an operation.
 * init, launch and status are steps of an up and end in up_step_done or up_fail, launch in
 * up_launched or up_fail_launch; at once or later. */
struct runner_ops {
    const char *backend; /* in state.json: "shell" or "docker" */
    /* Runs the script; ends in up_on_init_done. */
    void (*init)(struct deployment *d, const char *script);
    void (*launch)(struct deployment *d);
    void (*status)(struct deployment *d);
    /* Stops everything, whatever an up that ended was doing; ends in deployment_on_stopped. */
    void (*stop)(struct deployment *d);
    /* What service_start would fail at, as far as it can be known while the service still runs. */
    int (*service_check)(struct deployment *d, const struct service_run *s, struct err *err);
    /* One service; end in deployment_service_stopped and deployment_service_started. NULL: this
     * runner cannot. */
    void (*service_stop)(struct deployment *d, struct service_run *s);
    void (*service_start)(struct deployment *d, struct service_run *s);
    /* Adds to d->state what restore needs. */
    void (*save)(struct deployment *d);
    /* Makes d->services of d->state and finds out what runs. */
    void (*restore)(struct deployment *d);
    /* Lets go of everything under way, without stopping services. May be called twice. */
    void (*release)(struct deployment *d);
};
extern const struct runner_ops runner_shell;
extern const struct runner_ops runner_compose;
const struct runner_ops *runner_of(enum manifest_mode mode);

/* deployment_prepare.c: manifest, selection, ports. */
int up_prepare(struct deployment *d, enum err_code *out_code, char **out_message);
int up_assign_ports(struct deployment *d, struct err *err);

/* deployment_check.c: what the selected services need and does not depend on what runs: NULL, or
 * every mistake, one a line, malloc'ed. */
char *up_check_services(struct deployment *d, enum err_code *out_code);
/* The same of one service that is to be started anew, after deployment_service_prepare. */
int service_check(struct deployment *d, const struct manifest_service *ms, struct err *err);

/* deployment_readiness.c: starts the selected services, each when those it depends on are
 * ready, and ends in up_launched, up_fail_launch or, when one that others wait for fails,
 * up_fail. For runners that start services one by one. */
void readiness_begin(struct deployment *d, service_start_fn *start);
/* A service whose start took a while runs; from the loop. */
void readiness_on_started(struct service_run *s);
/* Ends the launch: the up fails, the reason and who was not started because of it are told; what
 * runs stays. */
void readiness_fail(struct deployment *d, const char *reason);
/* A service's checks are over or it has ended: nothing happens outside of readiness_begin. */
void readiness_on_checked(struct service_run *s);
void readiness_on_ended(struct service_run *s);
void readiness_on_settled(void *arg); /* the timer of a service_run */

/* deployment_health.c */
/* The checks of an up for one service's ports that have none yet. */
void service_begin_checks(struct service_run *s);
/* Why the port's check failed; the end of the service's log goes to the events. malloc'ed. */
char *health_failure_text(struct deployment *d, const struct port_run *p);
void up_check_health(struct deployment *d);
void deployment_cancel_checks(struct deployment *d);
/* Until it is healthy or has failed; ends in service_action_checked. */
void port_check_service(struct port_run *p);
/* Arms the monitor's timer, which calls deployment_monitor. */
void deployment_monitor_start(struct deployment *d, bool at_once);
void deployment_monitor(struct deployment *d);
void port_set_route(struct port_run *p, enum route_state state);
/* At the end of an operation: what ended while it ran has no routes. */
void deployment_withdraw_ended(struct deployment *d);

/* deployment_state.c: state.json. */
int state_save(struct deployment *d, struct err *err);
/* A new deploymentId, for the up that begins. */
void state_new_id(struct deployment *d);
/* Sets what the finished up means: initialized, lastUp, … . */
void state_note_up(struct deployment *d, const char *last_up, int64_t duration_ms);
/* Chooses the runner and has it fill d->services. */
void state_restore_services(struct deployment *d);
/* For runners: "ports" and "checks" into a service's entry of d->state, and a service with
 * them from an entry. */
void state_add_ports(const struct service_run *s, cJSON *service);
struct service_run *state_restore_service(struct deployment *d, const cJSON *entry);
/* "state" ("stopped" or "exited") and "waitStatus" (waitpid's, -1: not known) of one that ended;
 * restoring is false where the entry says nothing of an end. */
void state_add_end(const struct service_run *s, cJSON *service);
bool state_restore_end(struct service_run *s, const cJSON *entry);
/* Replaces or adds; takes the value. */
void state_set(cJSON *object, const char *key, cJSON *value);
/* The member, made an empty object if it is none. */
cJSON *state_object(cJSON *object, const char *key);
uint16_t state_port(const struct deployment *d, const char *service, uint16_t container_port);
const char *state_hostname(const struct deployment *d, const char *service,
                           uint16_t container_port);
void state_set_hostname(struct deployment *d, const char *service, uint16_t container_port,
                        const char *hostname);

/* deployment_events.c */
void event_step(struct deployment *d, const char *id, const char *state, const char *message);
void event_log(struct deployment *d, const char *channel, const char *stream, struct str chunk);
void event_send(struct deployment *d, cJSON *event);

#endif
