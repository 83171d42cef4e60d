/* deployment_internal: what the deployment_*.c files share. Nobody else includes it. */
#ifndef WOS_DAEMON_DEPLOY_DEPLOYMENT_INTERNAL_H
#define WOS_DAEMON_DEPLOY_DEPLOYMENT_INTERNAL_H

#include "base/subprocess.h"
#include "daemon/deploy/deployment.h"
#include "daemon/deploy/envlist.h"
#include "daemon/deploy/initrun.h"
#include "daemon/deploy/template.h"

#define DEPLOYMENT_MAGIC 0x4445504cu
#define SERVICE_RUN_MAGIC 0x53455256u
#define PORT_RUN_MAGIC 0x504f5254u

enum service_state {
    SERVICE_CREATED,  /* known, not started yet */
    SERVICE_RUNNING,  /* its leader lives */
    SERVICE_STOPPING, /* asked to end */
    SERVICE_STOPPED,  /* ended because asked to, or its work is done */
    SERVICE_EXITED,   /* ended by itself; what it left behind is being stopped */
};

enum health_state { HEALTH_WAITING, HEALTH_HEALTHY, HEALTH_FAILED };

struct service_run;

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
};

struct service_run {
    uint32_t magic;
    struct deployment *deployment; /* borrowed: its owner */
    char *name;                    /* owned */
    struct port_run *ports;        /* owned */
    size_t port_count;
    struct subprocess *process; /* owned; the leader, or what it left behind */
    pid_t pid;
    uint64_t start_ticks;
    enum service_state state;
    int status;       /* waitpid's, when exited */
    char *started_at; /* owned */
    char *cwd;        /* owned */
    char *command;    /* owned: the shell line */
    char **env_keys;  /* owned, NULL-terminated: names that wos set */
};

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
    struct initrun *init;  /* owned while under way */
    struct buf init_tail;  /* owned: the last it wrote */
    size_t checks_left;
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
    bool initialised;
    bool failed_before;            /* the last up failed and there never was another */
    struct service_run **services; /* owned: those of the last up */
    size_t service_count;
    struct up *up;  /* owned; NULL: none runs */
    bool is_down;   /* a down runs */
    bool cancelled; /* on_done(CANCELLED) is due before the down goes on */
    loop_fn *next;  /* what the timer calls: the continuation of up or down */
    struct loop_timer timer;
    void (*on_stopped)(struct deployment *d);   /* when no process is left */
    void (*on_published)(struct deployment *d); /* when on_publish is answered */
    void (*on_withdrawn)(struct deployment *d); /* when no request reaches the services */
    char *failure_tail;                         /* owned; NULL: the last up did not fail */
    struct health_settings health;              /* for the monitor */
    struct loop_timer monitor;
};

/* deployment.c: calls fn(d) from the loop in the next turn, or after a while. */
void deployment_continue(struct deployment *d, loop_fn *fn, uint64_t delay_ms);

/* deployment_up.c: the step table. */
void up_begin(struct deployment *d);
void up_step_done(struct deployment *d);
void up_fail(struct deployment *d, enum err_code code, const char *message);
void up_launched(struct deployment *d); /* every service was started */
/* Stops what was started, then up_fail. */
void up_fail_launch(struct deployment *d, const struct err *err);
void up_free(struct deployment *d);

/* deployment_withdraw.c. Asks the core to publish the ports as they are; one of the two
 * functions is called, the first at once or later. */
void deployment_publish(struct deployment *d, void (*on_published)(struct deployment *d),
                        loop_fn *on_timeout, uint64_t timeout_ms);
/* Sets every port's route to `state` and calls on_withdrawn, from the loop, when the whole
 * gateway knows and requests under way had a moment to end: services can be stopped then
 * without anybody seeing a broken answer. */
void deployment_withdraw(struct deployment *d, enum route_state state,
                         void (*on_withdrawn)(struct deployment *d));

/* deployment_failure.c. What explains a failure: kept until the next up. */
void failure_clear(struct deployment *d);
void failure_note_output(struct deployment *d, struct str output);
/* The end of the service's log, stderr if it holds anything; borrowed, may be empty. */
const char *failure_note_service(struct deployment *d, const struct service_run *s);

/* deployment_services.c: the records. */
struct service_run *service_run_new(struct deployment *d, const char *name, size_t port_count);
void service_run_free(struct service_run *s);
void deployment_clear_services(struct deployment *d);
bool service_is_running(const struct service_run *s); /* or something of it is left */
bool service_is_done(const struct service_run *s);    /* a task that ended well */
struct service_run *deployment_find(const struct deployment *d, const char *name);
struct port_run *service_find_port(const struct service_run *s, uint16_t container_port);

/* deployment_environment.c: env_file, environment, contract into `own`; later wins. */
int service_environment(struct deployment *d, const struct manifest_service *ms,
                        const struct service_run *s, struct envlist *own, struct err *err);

/* deployment_init.c: app.init_script, then those of the selected services, dependencies
 * first, as one shell line; malloc'ed. The others are initrun's callbacks with d. */
char *up_init_script(const struct deployment *d);
void up_on_init_output(void *arg, bool is_stderr, struct str chunk);
void up_on_init_done(void *arg, int status);

/* deployment.c: stops every service through the runner; on_stopped comes from the loop,
 * also when there was none. */
void deployment_stop_all(struct deployment *d, void (*on_stopped)(struct deployment *d));
/* For runners, from the loop: everything is stopped. */
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
    /* Adds to d->state what restore needs. */
    void (*save)(struct deployment *d);
    /* Makes d->services of d->state and finds out what runs. */
    void (*restore)(struct deployment *d);
    /* Lets go of everything under way, without stopping services. May be called twice. */
    void (*release)(struct deployment *d);
};
extern const struct runner_ops runner_shell;
const struct runner_ops *runner_of(enum manifest_mode mode);

/* deployment_prepare.c: manifest, selection, ports. */
int up_prepare(struct deployment *d, enum err_code *out_code, char **out_message);
int up_assign_ports(struct deployment *d, struct err *err);

/* deployment_health.c */
void up_check_health(struct deployment *d);
void deployment_cancel_checks(struct deployment *d);
/* Arms the monitor's timer, which calls deployment_monitor. */
void deployment_monitor_start(struct deployment *d, bool at_once);
void deployment_monitor(struct deployment *d);
void port_set_route(struct port_run *p, enum route_state state);

/* deployment_state.c: state.json. */
int state_save(struct deployment *d, struct err *err);
/* Sets what the finished up means: initialized, lastUp, … . */
void state_note_up(struct deployment *d, const char *last_up, int64_t duration_ms);
/* Chooses the runner and has it fill d->services. */
void state_restore_services(struct deployment *d);
/* For runners: "ports" and "checks" into a service's entry of d->state, and a service with
 * them from an entry. */
void state_add_ports(const struct service_run *s, cJSON *service);
struct service_run *state_restore_service(struct deployment *d, const cJSON *entry);
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
