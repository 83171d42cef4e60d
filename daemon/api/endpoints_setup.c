/* endpoints_setup: whether this home was set up, and directories for who types a path. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/api/guard.h"
#include "daemon/api/request.h"
#include "daemon/api/settings_json.h"
#include "daemon/config_edit.h"
#include "daemon/daemon.h"
#include "daemon/operations.h"
#include "daemon/projects.h"

enum {
    ENTRIES_MAX = 200,
    LOOKED_AT_MAX = 20000, /* entries of one directory: no request may take long */
    PATH_BYTES_MAX = 4096,
};

static void handle_setup_status(struct api_request *r)
{
    autofree char *first_run = settings_first_run(r->d);
    int64_t count = 0;
    while (projects_at(r->d->projects, (size_t)count) != NULL) {
        count++;
    }
    cJSON *out = cJSON_CreateObject();
    (void)json_add_bool(out, "setupRequired", first_run == NULL && !r->d->config->exists);
    (void)cJSON_AddItemToObject(out, "globalConfig", settings_config_json(r->d, NULL));
    (void)json_add_int(out, "projectCount", count);
    (void)json_add_str(out, "firstRunCompleted", first_run);
    reply_json(r, 200, out);
}

/* The program's file in PATH, or NULL; malloc'ed. */
static char *program_find(const char *name)
{
    const char *at = getenv("PATH");
    while (at != NULL && *at != '\0') {
        size_t len = strcspn(at, ":");
        autofree char *path = xasprintf("%.*s/%s", (int)len, at, name);
        if (len > 0 && access(path, X_OK) == 0) {
            return xstrdup(path);
        }
        at += len + (at[len] == ':');
    }
    return NULL;
}

/* What is there for wos to use. The engine itself is not asked: that may take long. */
static void handle_environment(struct api_request *r)
{
    static const char *const programs[] = {"git", "docker", "docker-compose", "tmux"};
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "platform", "linux");
    (void)json_add_str(out, "home", r->d->home);
    cJSON *tools = cJSON_AddArrayToObject(out, "tools");
    for (size_t i = 0; i < COUNT_OF(programs); i++) {
        autofree char *path = program_find(programs[i]);
        cJSON *tool = cJSON_CreateObject();
        (void)json_add_str(tool, "name", programs[i]);
        (void)json_add_bool(tool, "available", path != NULL);
        if (path != NULL) {
            (void)json_add_str(tool, "path", path);
        }
        (void)cJSON_AddItemToArray(tools, tool);
    }
    reply_json(r, HTTP_STATUS_OK, out);
}

/* Writes firstRunCompleted, once: later calls answer with the first time. */
static int complete(struct daemon *d, struct err *err)
{
    autofree char *now = time_text(clock_wall_ms());
    autojson cJSON *value = cJSON_CreateString(now);
    struct config_edit *edit = config_edit_open(d->home, err);
    int rc = edit == NULL ? -1 : config_edit_set(edit, "firstRunCompleted", value, err);
    if (rc == 0) {
        rc = config_edit_save(edit, err);
    }
    config_edit_close(edit);
    if (rc == 0) {
        daemon_reload_config(d);
    }
    return rc;
}

static void handle_complete(struct api_request *r)
{
    struct err err = {.msg = ""};
    autofree char *before = settings_first_run(r->d);
    if (before == NULL && complete(r->d, &err) < 0) {
        reply_err(r, &err);
        return;
    }
    autofree char *now = settings_first_run(r->d);
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "firstRunCompleted", now);
    reply_json(r, HTTP_STATUS_OK, out);
}

/* --- directories -------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of the directories in `path` that are not hidden; at most LOOKED_AT_MAX entries are looked
 * at. -1 with errno. */
static int names_read(const char *path, char ***out_names, size_t *out_count)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return -1;
    }
    char **names = NULL;
    size_t count = 0;
    const struct dirent *entry;
    for (size_t i = 0; i < LOOKED_AT_MAX && (entry = readdir(dir)) != NULL; i++) {
        bool may_be =
            entry->d_type == DT_DIR || entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN;
        if (entry->d_name[0] == '.' || !may_be) {
            continue;
        }
        names = xrealloc(names, (count + 1) * sizeof *names);
        names[count++] = xstrdup(entry->d_name);
    }
    (void)closedir(dir);
    if (count > 0) {
        qsort(names, count, sizeof *names, by_text);
    }
    *out_names = names;
    *out_count = count;
    return 0;
}

static cJSON *entries_json(const char *path, char **names, size_t count)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < count && cJSON_GetArraySize(list) < ENTRIES_MAX; i++) {
        autofree char *whole = path_join(path, names[i]);
        autofree char *git = path_join(whole, ".git");
        struct stat st;
        if (stat(whole, &st) < 0 || !S_ISDIR(st.st_mode)) {
            continue;
        }
        cJSON *entry = cJSON_CreateObject();
        (void)json_add_str(entry, "path", whole);
        (void)json_add_str(entry, "name", names[i]);
        (void)json_add_bool(entry, "isGitWorktree", file_exists(git));
        (void)cJSON_AddItemToArray(list, entry);
    }
    return list;
}

static void reply_errno(struct api_request *r, const char *path, int error)
{
    int status = error == ENOENT ? 404 : error == EACCES || error == EPERM ? 403 : 400;
    autofree char *message = xasprintf("%s: %s", path, strerror(error));
    reply_error(r, status,
                error == ENOENT                     ? "not-found"
                : error == EACCES || error == EPERM ? "permission-denied"
                                                    : "not-directory",
                message, NULL);
}

/* "/a/b/c" → "/a/b", in place; false at the root. */
static bool path_up(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == NULL || path[1] == '\0') {
        return false;
    }
    slash[slash == path ? 1 : 0] = '\0';
    return true;
}

static void handle_directories(struct api_request *r)
{
    if (!guard_terminal(r)) {
        return;
    }
    const char *asked = request_query(r, "path");
    const char *user_home = getenv("HOME");
    asked = asked == NULL || *asked == '\0' ? user_home : asked;
    if (asked == NULL || *asked != '/' || strlen(asked) > PATH_BYTES_MAX) {
        reply_error(r, 400, "validation", "path must be an absolute path", NULL);
        return;
    }
    autofree char *path = xstrdup(asked);
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') {
        path[--len] = '\0';
    }
    /* Half a name is being typed: what is beside it. */
    if (access(path, F_OK) < 0 && errno == ENOENT && !path_up(path)) {
        reply_errno(r, asked, ENOENT);
        return;
    }
    char **names = NULL;
    size_t count = 0;
    if (names_read(path, &names, &count) < 0) {
        reply_errno(r, path, errno);
        return;
    }
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "path", path);
    (void)cJSON_AddItemToObject(out, "entries", entries_json(path, names, count));
    for (size_t i = 0; i < count; i++) {
        free(names[i]);
    }
    free(names);
    reply_json(r, 200, out);
}

const struct api_endpoint api_setup_endpoints[] = {
    {API_GET, "/setup/status", API_LOCAL, handle_setup_status},
    {API_GET, "/setup/environment", API_LOCAL, handle_environment},
    {API_POST, "/setup/complete", API_LOCAL, handle_complete},
    {API_GET, "/filesystem/directories", API_LOGGED_IN, handle_directories},
    {0, NULL, API_LOCAL, NULL},
};
