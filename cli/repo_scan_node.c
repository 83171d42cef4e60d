/* repo_scan_node: package.json, its workspaces and the tool that goes with its lock file. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/repo_scan.h"

struct tool {
    const char *lock;
    const char *install;
    const char *run;  /* "<run> dev" */
    const char *pass; /* before arguments for the script */
};

static const struct tool tools[] = {
    {"pnpm-lock.yaml", "pnpm install --frozen-lockfile", "pnpm run", ""},
    {"yarn.lock", "yarn install", "yarn run", ""},
    {"bun.lockb", "bun install", "bun run", ""},
    {"bun.lock", "bun install", "bun run", ""},
    {"package-lock.json", "npm ci", "npm run", "-- "},
    {NULL, "npm install", "npm run", "-- "}, /* also without dependencies */
};

static const struct tool *find_tool(const char *root)
{
    const struct tool *tool = tools;
    while (tool->lock != NULL && !repo_has(root, tool->lock)) {
        tool++;
    }
    return tool;
}

/* Programs that take their port as an argument; others get it as $PORT. */
static const struct server {
    const char *word; /* in the script */
    const char *arguments;
    uint16_t port;
} servers[] = {
    {"vite", "--port $WOS_SERVICE_PORT --strictPort", 5173},
    {"next ", "-p $WOS_SERVICE_PORT", 3000},
    {"astro ", "--port $WOS_SERVICE_PORT", 4321},
    {"ng serve", "--port $WOS_SERVICE_PORT", 4200},
    {"nuxt", "--port $WOS_SERVICE_PORT", 3000},
};

static const struct server *find_server(const char *script)
{
    for (size_t i = 0; i < COUNT_OF(servers); i++) {
        if (strstr(script, servers[i].word) != NULL) {
            return &servers[i];
        }
    }
    return NULL;
}

/* A service of one package.json; false if it has nothing to start. */
static bool add_package(struct repo_plan *plan, const struct tool *tool, const cJSON *package,
                        const char *name, const char *cwd)
{
    const cJSON *scripts = json_get(package, "scripts");
    const char *which = json_get(scripts, "dev") != NULL ? "dev" : "start";
    const char *script = json_get_str(scripts, which, NULL);
    if (script == NULL) {
        return false;
    }
    const struct server *server = find_server(script);
    autofree char *line =
        server == NULL ? xasprintf("%s %s", tool->run, which)
                       : xasprintf("%s %s %s%s", tool->run, which, tool->pass, server->arguments);
    struct repo_service *s = repo_add(plan, name, line, cwd, server == NULL ? 3000 : server->port);
    if (s != NULL) {
        s->sets_port = server == NULL;
        repo_note(plan, "%s%spackage.json: script %s (%s) → service %s: %s%s",
                  cwd == NULL ? "" : cwd, cwd == NULL ? "" : "/", which, script, s->name, line,
                  server == NULL ? ", port as $PORT" : "");
    }
    return true;
}

static void add_workspaces(const char *root, struct repo_plan *plan, const struct tool *tool,
                           const char *pattern)
{
    glob_t found = {0};
    autofree char *full = xasprintf("%s/%s/package.json", root, pattern);
    int rc = pattern[0] == '/' || strstr(pattern, "..") != NULL ? GLOB_NOMATCH
                                                                : glob(full, 0, NULL, &found);
    for (size_t i = 0; rc == 0 && i < found.gl_pathc; i++) {
        const char *inner = found.gl_pathv[i] + strlen(root) + 1;
        autofree char *text = repo_read(root, inner);
        autojson cJSON *package = text == NULL ? NULL : json_parse(str_of(text), inner, NULL);
        autofree char *cwd = xstrndup(inner, strlen(inner) - strlen("/package.json"));
        const char *slash = strrchr(cwd, '/');
        (void)add_package(plan, tool, package, slash == NULL ? cwd : slash + 1, cwd);
    }
    globfree(&found);
}

void repo_scan_node(const char *root, struct repo_plan *plan)
{
    struct err err = {0};
    autofree char *text = repo_read(root, "package.json");
    autojson cJSON *package = text == NULL ? NULL : json_parse(str_of(text), "package.json", &err);
    if (package == NULL) {
        if (text != NULL) {
            repo_note(plan, "package.json cannot be read: %s", err.msg);
        }
        return;
    }
    const struct tool *tool = find_tool(root);
    const cJSON *workspaces = json_get(package, "workspaces");
    const cJSON *list = cJSON_IsObject(workspaces) ? json_get(workspaces, "packages") : workspaces;
    size_t before = plan->service_count;
    const cJSON *pattern;
    cJSON_ArrayForEach(pattern, list)
    {
        if (cJSON_IsString(pattern)) {
            add_workspaces(root, plan, tool, pattern->valuestring);
        }
    }
    /* With services in workspaces the root's script usually starts all of them again. */
    if (plan->service_count == before && !add_package(plan, tool, package, "web", NULL)) {
        repo_note(plan, "package.json: neither a script dev nor start in it");
        return;
    }
    bool has_packages =
        json_get(package, "dependencies") != NULL || json_get(package, "devDependencies") != NULL;
    if (tool->lock != NULL || has_packages || list != NULL) {
        plan->install = xstrdup(tool->install);
        plan->lock_file = tool->lock == NULL ? NULL : xstrdup(tool->lock);
        repo_note(plan, "%s → first runs: %s%s", tool->lock == NULL ? "package.json" : tool->lock,
                  tool->install, tool->lock == NULL ? "" : "; node_modules is cached by it");
    }
}
