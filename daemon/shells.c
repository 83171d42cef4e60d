/* shells: see shells.h. Called by api/endpoints_terminals.c and, as their observer, by the
 * terminals; loop thread. */
#include "daemon/shells.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/daemon.h"
#include "daemon/deploy/deployment_exec.h"
#include "daemon/deploy/envlist.h"
#include "daemon/deploy/worktree.h"
#include "daemon/events.h"
#include "daemon/projects.h"
#include "daemon/terminal.h"

enum {
    SHELLS_MAGIC = 0x7368656c,
    LOOK_MS = 3000, /* whether the worktrees are still there */
    MINUTE_MS = 60000,
};

struct shell {
    struct terminal *terminal; /* owned by the terminals, until TERMINAL_REMOVED */
    char *path;                /* owned, as all texts */
    char *project_id;          /* or NULL */
    char *service;             /* or NULL */
    char *title;
    char *created_at;
};

struct shells {
    uint32_t magic;
    struct daemon *d;               /* borrowed */
    struct shell items[SHELLS_MAX]; /* oldest first */
    size_t count;
    unsigned numbered; /* titles given so far */
    char *program;     /* owned: the user's shell */
    struct loop_timer look;
};

static struct shell *shell_of(struct shells *s, const struct terminal *t)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->items[i].terminal == t) {
            return &s->items[i];
        }
    }
    return NULL;
}

static struct shell *shell_find(struct shells *s, const char *id)
{
    for (size_t i = 0; i < s->count; i++) {
        if (strcmp(terminal_id(s->items[i].terminal), id) == 0) {
            return &s->items[i];
        }
    }
    return NULL;
}

/* --- what is told -------------------------------------------------------------------------- */

static cJSON *exit_json(int status)
{
    cJSON *how = cJSON_CreateObject();
    if (status != -1 && WIFSIGNALED(status)) {
        (void)json_add_int(how, "signal", WTERMSIG(status));
    } else {
        (void)json_add_int(how, "exitCode", status == -1 ? 1 : WEXITSTATUS(status));
    }
    return how;
}

static cJSON *shell_json(const struct shell *shell)
{
    const struct terminal *t = shell->terminal;
    autofree char *attach = xasprintf("/ui/v1/terminals/%s/attach", terminal_id(t));
    uint16_t cols;
    uint16_t rows;
    terminal_size(t, &cols, &rows);
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "id", terminal_id(t));
    (void)json_add_str(out, "attachPath", attach);
    (void)json_add_str(out, "title", shell->title);
    (void)json_add_str(out, "path", shell->path);
    (void)json_add_str(out, "sessionName", terminal_session(t));
    if (shell->service != NULL) {
        (void)json_add_str(out, "service", shell->service);
    }
    (void)json_add_str(out, "createdAt", shell->created_at);
    (void)json_add_int(out, "cols", cols);
    (void)json_add_int(out, "rows", rows);
    (void)json_add_int(out, "viewers", (int64_t)terminal_viewers(t));
    (void)json_add_str(out, "state", terminal_is_running(t) ? "running" : "exited");
    if (!terminal_is_running(t)) {
        (void)cJSON_AddItemToObject(out, "exit", exit_json(terminal_status(t)));
    }
    return out;
}

static void shell_tell(const struct shells *s, const struct shell *shell, const char *type)
{
    const struct event_about about = {.project_id = shell->project_id,
                                      .session = terminal_session(shell->terminal),
                                      .worktree_path = shell->path};
    cJSON *event = cJSON_CreateObject();
    (void)json_add_str(event, "type", type);
    (void)cJSON_AddItemToObject(event, "terminal", shell_json(shell));
    events_emit(s->d->events, &about, event);
}

static void shell_drop(struct shells *s, struct shell *shell)
{
    free(shell->path);
    free(shell->project_id);
    free(shell->service);
    free(shell->title);
    free(shell->created_at);
    size_t at = (size_t)(shell - s->items);
    s->count--;
    memmove(shell, shell + 1, (s->count - at) * sizeof *shell);
}

static void shells_on_change(void *arg, const struct terminal *t, enum terminal_change change)
{
    static const char *const types[] = {"terminal.attached", "terminal.detached", "terminal.exited",
                                        "terminal.removed"};
    struct shells *s = arg;
    CHECK(s->magic == SHELLS_MAGIC);
    struct shell *shell = shell_of(s, t);
    if (shell == NULL) { /* of `wos exec` */
        return;
    }
    shell_tell(s, shell, types[change]);
    if (change == TERMINAL_REMOVED) {
        shell_drop(s, shell);
    }
}

/* --- what is run ------------------------------------------------------------------------------ */

/* Set for the daemon by whoever started it, or what only the daemon is to know. */
static bool is_of_the_daemon(const struct config *c, struct str name)
{
    static const char *const names[] = {"NOTIFY_SOCKET",  "LISTEN_PID",    "LISTEN_FDS",
                                        "LISTEN_FDNAMES", "INVOCATION_ID", "JOURNAL_STREAM",
                                        "WATCHDOG_PID",   "WATCHDOG_USEC", "MANAGERPID"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (str_eq(name, str_of(names[i]))) {
            return true;
        }
    }
    if (str_starts(name, STR("WOS_")) && !str_eq(name, STR("WOS_HOME"))) {
        return true;
    }
    const char *tokens[] = {c->tunnel_ssl.api_token_env, c->web_ssl.api_token_env};
    for (size_t i = 0; i < COUNT_OF(tokens); i++) {
        if (tokens[i] != NULL && str_eq(name, str_of(tokens[i]))) {
            return true;
        }
    }
    return false;
}

static void plan_env(const struct shells *s, struct envlist *out)
{
    for (char **item = environ; *item != NULL; item++) {
        struct str text = str_of(*item);
        size_t at = str_find(text, '=');
        struct str name = {text.ptr, at};
        if (at < text.len && !is_of_the_daemon(s->d->config, name)) {
            envlist_set(out, name, (struct str){text.ptr + at + 1, text.len - at - 1});
        }
    }
    envlist_set(out, STR("TERM"), STR("xterm-256color"));
    envlist_set(out, STR("COLORTERM"), STR("truecolor"));
}

void shells_plan(const struct shells *s, const struct worktree *wt, struct exec_plan *out)
{
    struct envlist env = {0};
    plan_env(s, &env);
    *out = (struct exec_plan){.argv = xcalloc(3, sizeof(char *)),
                              .env = xcalloc(env.count + 1, sizeof(char *)),
                              .cwd = xstrdup(wt->root)};
    out->argv[0] = xstrdup(s->program);
    out->argv[1] = xstrdup("-l"); /* what a service manager gave the daemon is not much */
    const char *const *items = envlist_array(&env);
    for (size_t i = 0; i < env.count; i++) {
        out->env[i] = xstrdup(items[i]);
    }
    envlist_fini(&env);
}

const char *shells_program(const struct shells *s)
{
    return s->program;
}

cJSON *shells_open(struct shells *s, const struct shell_spec *spec, struct err *err)
{
    const struct config *c = s->d->config;
    size_t max = c->terminals_max < SHELLS_MAX ? c->terminals_max : SHELLS_MAX;
    if (s->count >= max) {
        (void)err_set(err, ERR_BUSY, "%zu terminals are open; close one first (terminals.max)",
                      s->count);
        return NULL;
    }
    const struct terminal_spec terminal = {
        .argv = (const char *const *)spec->plan->argv,
        .env = (const char *const *)spec->plan->env,
        .cwd = spec->plan->cwd,
        .hangup = (const char *const *)spec->plan->hangup,
        .session = spec->wt->session_name,
        .cols = spec->cols,
        .rows = spec->rows,
        .linger_ms = c->terminals_idle_minutes * MINUTE_MS,
        .keep_ms = SHELLS_KEEP_MS,
        .replay_bytes = (size_t)c->terminals_scrollback_kb * 1024,
    };
    struct terminal *t = terminal_open(s->d->terminals, &terminal, err);
    if (t == NULL) {
        return NULL;
    }
    struct shell *shell = &s->items[s->count++];
    const char *project = projects_id_of(s->d->projects, spec->wt->source);
    s->numbered++;
    *shell = (struct shell){
        .terminal = t,
        .path = xstrdup(spec->wt->root),
        .project_id = project == NULL ? NULL : xstrdup(project),
        .service = spec->service == NULL ? NULL : xstrdup(spec->service),
        .title =
            spec->title != NULL
                ? xstrdup(spec->title)
                : xasprintf("%s %u", spec->service == NULL ? "shell" : spec->service, s->numbered),
        .created_at = time_text(clock_wall_ms()),
    };
    loop_timer_set(&s->look, LOOK_MS);
    shell_tell(s, shell, "terminal.started");
    return shell_json(shell);
}

/* --- asked for
 * ------------------------------------------------------------------------------------ */

cJSON *shells_list(const struct shells *s, const char *path)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < s->count; i++) {
        if (path == NULL || strcmp(s->items[i].path, path) == 0) {
            (void)cJSON_AddItemToArray(list, shell_json(&s->items[i]));
        }
    }
    return list;
}

bool shells_title_is_good(const char *title)
{
    size_t len = strlen(title);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)title[i] < 0x20 || title[i] == 0x7f) {
            return false;
        }
    }
    return len > 0 && len <= SHELLS_TITLE_MAX;
}

cJSON *shells_rename(struct shells *s, const char *id, const char *title)
{
    struct shell *shell = shell_find(s, id);
    if (shell == NULL) {
        return NULL;
    }
    free(shell->title);
    shell->title = xstrdup(title);
    shell_tell(s, shell, "terminal.updated");
    return shell_json(shell);
}

bool shells_close(struct shells *s, const char *id)
{
    struct shell *shell = shell_find(s, id);
    if (shell != NULL) {
        terminal_end(shell->terminal);
    }
    return shell != NULL;
}

/* --- life
 * ---------------------------------------------------------------------------------------------- */

/* A worktree that somebody removed without wos takes its shells with it. */
static void shells_on_look(void *arg)
{
    struct shells *s = arg;
    CHECK(s->magic == SHELLS_MAGIC);
    for (size_t i = 0; i < s->count; i++) {
        struct stat st;
        if (terminal_is_running(s->items[i].terminal) && stat(s->items[i].path, &st) < 0) {
            terminal_end(s->items[i].terminal);
        }
    }
    if (s->count > 0) {
        loop_timer_set(&s->look, LOOK_MS);
    }
}

static char *shell_program(void)
{
    const char *of_env = getenv("SHELL");
    if (of_env != NULL && *of_env == '/' && access(of_env, X_OK) == 0) {
        return xstrdup(of_env);
    }
    const struct passwd *user = getpwuid(geteuid());
    if (user != NULL && user->pw_shell != NULL && access(user->pw_shell, X_OK) == 0) {
        return xstrdup(user->pw_shell);
    }
    return xstrdup("/bin/sh");
}

struct shells *shells_new(struct daemon *d)
{
    struct shells *s = xcalloc(1, sizeof *s);
    s->magic = SHELLS_MAGIC;
    s->d = d;
    s->program = shell_program();
    loop_timer_init(&s->look, d->loop, shells_on_look, s);
    terminals_observe(d->terminals, shells_on_change, s);
    return s;
}

void shells_free(struct shells *s)
{
    if (s == NULL) {
        return;
    }
    CHECK(s->magic == SHELLS_MAGIC);
    terminals_observe(s->d->terminals, NULL, NULL);
    loop_timer_fini(&s->look);
    while (s->count > 0) {
        shell_drop(s, &s->items[s->count - 1]);
    }
    free(s->program);
    s->magic = 0;
    free(s);
}
