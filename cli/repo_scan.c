/* repo_scan: see repo_scan.h. Called by cmd_init. */
#include "cli/repo_scan.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/str.h"

#define PORT_REF "$WOS_SERVICE_PORT"

void repo_note(struct repo_plan *plan, const char *fmt, ...)
{
    if (plan->note_count == REPO_NOTES_MAX) {
        return;
    }
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    plan->notes[plan->note_count++] = xstrdup(text);
}

/* Lower case letters, digits and '-'. */
static char *fit_name(const char *name)
{
    char *fit = xstrdup(name[0] == '\0' ? "web" : name);
    for (char *p = fit; *p != '\0'; p++) {
        char c = ascii_lower(*p);
        *p = (c >= 'a' && c <= 'z') || ascii_is_digit(c) ? c : '-';
    }
    return fit;
}

static bool has_service(const struct repo_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->service_count; i++) {
        if (strcmp(plan->services[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

struct repo_service *repo_add(struct repo_plan *plan, const char *name, const char *command,
                              const char *cwd, uint16_t port)
{
    if (plan->service_count == REPO_SERVICES_MAX) {
        return NULL;
    }
    char *fit = command == NULL ? xstrdup(name) : fit_name(name);
    for (int i = 2; has_service(plan, fit); i++) {
        autofree char *plain = fit_name(name);
        free(fit);
        fit = xasprintf("%s-%d", plain, i);
    }
    struct repo_service *s = &plan->services[plan->service_count++];
    *s = (struct repo_service){.name = fit,
                               .command = command == NULL ? NULL : xstrdup(command),
                               .cwd = cwd == NULL ? NULL : xstrdup(cwd),
                               .port = port};
    return s;
}

char *repo_read(const char *root, const char *name)
{
    autofree char *path = path_join(root, name);
    struct buf text = {0};
    if (file_read(path, REPO_FILE_MAX, &text, NULL) < 0) {
        buf_fini(&text);
        return NULL;
    }
    return buf_take(&text);
}

bool repo_has(const char *root, const char *name)
{
    autofree char *path = path_join(root, name);
    return file_exists(path);
}

/* "web: command" lines; the process named web, or the only one, gets a port. */
static void scan_procfile(const char *root, struct repo_plan *plan)
{
    autofree char *text = repo_read(root, "Procfile");
    struct str rest = str_of(text);
    struct str line;
    while (text != NULL && rest.len > 0 && str_next(&rest, '\n', &line)) {
        line = str_trim(line);
        if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
            line.len--;
        }
        size_t colon = str_find(line, ':');
        if (line.len == 0 || line.ptr[0] == '#' || colon == 0 || colon == line.len) {
            continue;
        }
        autofree char *name = str_dup((struct str){line.ptr, colon});
        autofree char *command =
            str_dup(str_trim((struct str){line.ptr + colon + 1, line.len - colon - 1}));
        bool listens = strcmp(name, "web") == 0 || strstr(command, "$PORT") != NULL;
        struct repo_service *s = repo_add(plan, name, command, NULL, listens ? 3000 : 0);
        if (s != NULL) {
            s->sets_port = listens;
            repo_note(plan, "Procfile: %s → service %s%s", name, s->name,
                      listens ? ", which gets its port as $PORT" : ", without a port");
        }
    }
}

/* How Python is started here: by its tool, in its virtual environment, or as it is. */
static const char *python_runner(const char *root)
{
    return repo_has(root, "uv.lock")            ? "uv run "
           : repo_has(root, "poetry.lock")      ? "poetry run "
           : repo_has(root, ".venv/bin/python") ? ".venv/bin/"
                                                : "";
}

static void scan_python(const char *root, struct repo_plan *plan)
{
    const char *run = python_runner(root);
    const char *python = strcmp(run, ".venv/bin/") == 0 ? "python" : "python3";
    if (repo_has(root, "manage.py")) {
        autofree char *line =
            xasprintf("%s%s manage.py runserver 127.0.0.1:" PORT_REF, run, python);
        (void)repo_add(plan, "web", line, NULL, 8000);
        repo_note(plan, "manage.py: Django → service web: %s", line);
        return;
    }
    autofree char *project = repo_read(root, "pyproject.toml");
    autofree char *requirements = repo_read(root, "requirements.txt");
    const char *texts[] = {project, requirements};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        bool fastapi = texts[i] != NULL && strstr(texts[i], "fastapi") != NULL;
        bool flask = texts[i] != NULL && strstr(texts[i], "lask") != NULL;
        const char *module = repo_has(root, "app/main.py") ? "app.main:app"
                             : repo_has(root, "app.py")    ? "app:app"
                                                           : "main:app";
        autofree char *line =
            fastapi ? xasprintf("%suvicorn %s --host 127.0.0.1 --port " PORT_REF, run, module)
                    : xasprintf("%sflask run --host 127.0.0.1 --port " PORT_REF, run);
        if (fastapi || flask) {
            (void)repo_add(plan, "web", line, NULL, fastapi ? 8000 : 5000);
            repo_note(plan, "%s: %s → service web: %s",
                      i == 0 ? "pyproject.toml" : "requirements.txt", fastapi ? "FastAPI" : "Flask",
                      line);
            return;
        }
    }
    if (project != NULL) {
        repo_note(plan, "pyproject.toml: no server known to wos in it; add a service by hand");
    }
}

static void add_go(struct repo_plan *plan, const char *name, const char *package)
{
    autofree char *line = xasprintf("go run %s", package);
    struct repo_service *s = repo_add(plan, name, line, NULL, 8080);
    if (s != NULL) {
        s->sets_port = true;
        repo_note(plan, "go.mod: %s → service %s, which gets its port as $PORT", package, s->name);
    }
}

static void scan_rails(const char *root, struct repo_plan *plan)
{
    static const char line[] = "bin/rails server -b 127.0.0.1 -p " PORT_REF;
    if (!repo_has(root, "bin/rails") || !repo_has(root, "Gemfile")) {
        return;
    }
    char *npm = plan->install;
    plan->install =
        npm == NULL ? xstrdup("bundle install") : xasprintf("bundle install && %s", npm);
    free(npm);
    (void)repo_add(plan, "web", line, NULL, 3000);
    repo_note(plan, "bin/rails: Rails → service web: %s", line);
    repo_note(plan, "Gemfile → first runs: bundle install");
}

static void scan_go(const char *root, struct repo_plan *plan)
{
    if (!repo_has(root, "go.mod")) {
        return;
    }
    if (repo_has(root, "main.go")) {
        add_go(plan, "web", ".");
        return;
    }
    autofree char *folder = path_join(root, "cmd");
    DIR *dir = opendir(folder);
    for (struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL; e = readdir(dir)) {
        autofree char *main_file = xasprintf("cmd/%s/main.go", e->d_name);
        if (e->d_name[0] != '.' && repo_has(root, main_file)) {
            autofree char *package = xasprintf("./cmd/%s", e->d_name);
            add_go(plan, e->d_name, package);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
}

static void scan_cargo(const char *root, struct repo_plan *plan)
{
    if (repo_has(root, "Cargo.toml") && repo_has(root, "src/main.rs")) {
        struct repo_service *s = repo_add(plan, "web", "cargo run", NULL, 8080);
        if (s != NULL) {
            s->sets_port = true;
            repo_note(plan, "Cargo.toml: src/main.rs → service %s: cargo run, port as $PORT",
                      s->name);
        }
    }
}

/* The first of the usual targets; only where nothing else says how to run it. */
static void scan_makefile(const char *root, struct repo_plan *plan)
{
    static const char *const targets[] = {"dev", "serve", "run", "start"};
    autofree char *text = repo_read(root, "Makefile");
    for (size_t i = 0; text != NULL && i < COUNT_OF(targets); i++) {
        autofree char *first = xasprintf("%s:", targets[i]);
        autofree char *other = xasprintf("\n%s:", targets[i]);
        if (strncmp(text, first, strlen(first)) == 0 || strstr(text, other) != NULL) {
            autofree char *line = xasprintf("make %s", targets[i]);
            struct repo_service *s = repo_add(plan, "web", line, NULL, 8080);
            if (s != NULL) {
                s->sets_port = true;
                repo_note(plan, "Makefile: target %s → service %s, port as $PORT", targets[i],
                          s->name);
            }
            return;
        }
    }
}

static void scan_static(const char *root, struct repo_plan *plan)
{
    if (repo_has(root, "index.html")) {
        (void)repo_add(plan, "web", "python3 -m http.server --bind 127.0.0.1 " PORT_REF, NULL,
                       8000);
        repo_note(plan, "index.html: plain files → service web: Python's http.server");
    }
}

void repo_scan(const char *root, struct repo_plan *out)
{
    static void (*const scans[])(const char *, struct repo_plan *) = {
        scan_procfile, repo_scan_node, scan_python,       scan_rails, scan_go,
        scan_cargo,    scan_makefile,  repo_scan_compose, scan_static};
    struct repo_plan *plan = out;
    for (size_t i = 0; i < COUNT_OF(scans); i++) {
        /* A Procfile says it all; the last three are for those who found nothing yet. */
        bool is_last = i >= COUNT_OF(scans) - 3;
        bool is_told = plan->service_count > 0 && repo_has(root, "Procfile");
        if (plan->service_count == 0 || (!is_last && !is_told)) {
            scans[i](root, plan);
        }
    }
    plan->has_env_file = repo_has(root, ".env");
    if (plan->has_env_file) {
        repo_note(plan, ".env: other worktrees get a copy of it (clone_volumes)");
    }
}

void repo_plan_fini(struct repo_plan *plan)
{
    for (size_t i = 0; i < plan->service_count; i++) {
        free(plan->services[i].name);
        free(plan->services[i].command);
        free(plan->services[i].cwd);
    }
    for (size_t i = 0; i < plan->note_count; i++) {
        free(plan->notes[i]);
    }
    free(plan->install);
    free(plan->lock_file);
    free(plan->compose_file);
    *plan = (struct repo_plan){0};
}
