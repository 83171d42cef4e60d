/* store: session directories. Called by deployment and by the core's listings;
 * daemon thread. Files are small, so reading them blocks for no time that counts. */
#include "daemon/store/store.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/str.h"

enum { STATE_MAX = 4 * 1024 * 1024 };

char *store_session_dir(const char *home, const char *session)
{
    return xasprintf("%s/sessions/%s", home, session);
}

char *store_state_path(const char *home, const char *session)
{
    return xasprintf("%s/sessions/%s/state.json", home, session);
}

static char *store_failure_path(const char *home, const char *session)
{
    return xasprintf("%s/sessions/%s/last-up-failure.json", home, session);
}

char *store_log_path(const char *home, const char *session, const char *service, const char *stream)
{
    autofree char *name = xstrdup(service);
    for (char *p = name; *p != '\0'; p++) {
        char c = ascii_lower(*p);
        bool ok = (c >= 'a' && c <= 'z') || ascii_is_digit(c) || c == '.' || c == '_' || c == '-';
        if (!ok) {
            *p = '_';
        }
    }
    return xasprintf("%s/sessions/%s/shell/logs/%s.%s.log", home, session, name, stream);
}

static cJSON *store_load_object(const char *path, struct err *err)
{
    struct buf text = {0};
    cJSON *tree = NULL;
    if (file_read(path, STATE_MAX, &text, err) == 0) {
        tree = json_parse(buf_str(&text), path, err);
    }
    buf_fini(&text);
    if (tree != NULL && !cJSON_IsObject(tree)) {
        cJSON_Delete(tree);
        (void)err_set(err, ERR_CONFIG, "%s: not a JSON object", path);
        return NULL;
    }
    return tree;
}

cJSON *store_load_state(const char *home, const char *session, struct err *err)
{
    autofree char *path = store_state_path(home, session);
    return store_load_object(path, err);
}

static int store_save_object(const char *home, const char *session, const char *path,
                             const cJSON *object, struct err *err)
{
    autofree char *dir = store_session_dir(home, session);
    autofree char *text = json_print(object);
    if (dir_make(dir, 0700, err) < 0) {
        return -1;
    }
    return file_write_atomic(path, str_of(text), 0600, err);
}

int store_save_state(const char *home, const char *session, const cJSON *state, struct err *err)
{
    autofree char *path = store_state_path(home, session);
    return store_save_object(home, session, path, state, err);
}

int store_remove(const char *home, const char *session, struct err *err)
{
    autofree char *dir = store_session_dir(home, session);
    return path_remove_all(dir, err);
}

int store_save_failure(const char *home, const char *session, const char *message,
                       const char *operation_id, const char *step, struct err *err)
{
    autojson cJSON *object = cJSON_CreateObject();
    autofree char *now = store_timestamp();
    json_add_str(object, "failedAt", now);
    json_add_str(object, "message", message);
    if (operation_id != NULL) {
        json_add_str(object, "operationId", operation_id);
    }
    if (step != NULL) {
        json_add_str(object, "step", step);
    }
    autofree char *path = store_failure_path(home, session);
    return store_save_object(home, session, path, object, err);
}

void store_clear_failure(const char *home, const char *session)
{
    autofree char *path = store_failure_path(home, session);
    (void)unlink(path); /* absent is the wished state */
}

cJSON *store_load_failure(const char *home, const char *session)
{
    autofree char *path = store_failure_path(home, session);
    return store_load_object(path, NULL);
}

static int name_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **store_list(const char *home)
{
    autofree char *path = xasprintf("%s/sessions", home);
    size_t count = 0;
    size_t cap = 8;
    char **names = xcalloc(cap, sizeof(*names));
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        autofree char *child = xasprintf("%s/%s", path, entry->d_name);
        struct stat st;
        if (entry->d_name[0] == '.' || stat(child, &st) < 0 || !S_ISDIR(st.st_mode)) {
            continue;
        }
        if (count + 2 > cap) {
            cap *= 2;
            names = xrealloc(names, cap * sizeof(*names));
        }
        names[count++] = xstrdup(entry->d_name);
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    names[count] = NULL;
    if (count > 1) {
        qsort(names, count, sizeof(*names), name_compare);
    }
    return names;
}

void store_names_free(char **names)
{
    for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
        free(names[i]);
    }
    free(names);
}

static void port_set_add_state(struct port_set *set, const cJSON *state)
{
    const cJSON *service;
    cJSON_ArrayForEach(service, json_get(state, "portAssignments"))
    {
        const cJSON *host;
        cJSON_ArrayForEach(host, service)
        {
            if (cJSON_IsNumber(host) && host->valueint > 0 && host->valueint <= 65535) {
                uint8_t bit = (uint8_t)(1u << (host->valueint % 8));
                set->bits[host->valueint / 8] = (uint8_t)(set->bits[host->valueint / 8] | bit);
            }
        }
    }
}

void store_collect_ports(const char *home, store_wanted_fn *wanted, void *arg, struct port_set *out)
{
    *out = (struct port_set){0};
    char **names = store_list(home);
    for (size_t i = 0; names[i] != NULL; i++) {
        if (wanted != NULL && !wanted(arg, names[i])) {
            continue;
        }
        autojson cJSON *state = store_load_state(home, names[i], NULL);
        port_set_add_state(out, state);
    }
    store_names_free(names);
}

char *store_timestamp(void)
{
    int64_t now = clock_wall_ms();
    time_t seconds = (time_t)(now / 1000);
    struct tm tm;
    char text[32];
    (void)gmtime_r(&seconds, &tm);
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    return xasprintf("%s.%03dZ", text, (int)(now % 1000));
}
