/* stats: see stats.h. Called by api/endpoints_stats.c. */
#include "daemon/stats.h"

#include <dirent.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/build.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/certkeeper.h"
#include "daemon/daemon.h"
#include "daemon/sessions.h"
#include "daemon/supervisor.h"

/* Resident bytes of this process; 0 if that cannot be read. */
static int64_t memory_bytes(void)
{
    struct buf text = {0};
    struct str word;
    uint64_t pages = 0;
    if (file_read("/proc/self/statm", 4096, &text, NULL) == 0) {
        struct str rest = buf_str(&text);
        (void)str_next(&rest, ' ', &word); /* the whole; the second is what is resident */
        if (!str_next(&rest, ' ', &word) || !str_to_u64(word, &pages)) {
            pages = 0;
        }
    }
    buf_fini(&text);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static int64_t open_files(void)
{
    int64_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return 0;
    }
    while (readdir(dir) != NULL) {
        count++;
    }
    (void)closedir(dir);
    return count - 3; /* ".", ".." and the directory itself */
}

enum service_class { CLASS_RUNNING, CLASS_STARTING, CLASS_FAILED, CLASS_STOPPED };

/* Of a service's state (docs/API.md, SERVICE). */
static enum service_class class_of(const char *state)
{
    static const struct {
        const char *state;
        enum service_class class;
    } classes[] = {
        {"running", CLASS_RUNNING},     {"created", CLASS_STARTING}, {"paused", CLASS_STARTING},
        {"restarting", CLASS_STARTING}, {"exited", CLASS_FAILED},
    };
    for (size_t i = 0; i < COUNT_OF(classes); i++) {
        if (strcmp(state, classes[i].state) == 0) {
            return classes[i].class;
        }
    }
    return CLASS_STOPPED;
}

static void add_services(const struct daemon *d, cJSON *out)
{
    static const char *const names[] = {[CLASS_RUNNING] = "running",
                                        [CLASS_STARTING] = "starting",
                                        [CLASS_FAILED] = "failed",
                                        [CLASS_STOPPED] = "stopped"};
    int64_t counts[COUNT_OF(names)] = {0};
    autojson cJSON *sessions = sessions_status_json(d->sessions);
    const cJSON *session;
    cJSON_ArrayForEach(session, sessions)
    {
        const cJSON *service;
        cJSON_ArrayForEach(service, json_get(session, "services"))
        {
            counts[class_of(json_get_str(service, "state", ""))]++;
        }
    }
    (void)json_add_int(out, "sessions", cJSON_GetArraySize(sessions));
    cJSON *services = cJSON_AddObjectToObject(out, "services");
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        (void)json_add_int(services, names[i], counts[i]);
    }
}

/* Seconds since the epoch of "2026-11-20T12:00:00.123Z"; 0 if it is none. */
static int64_t seconds_of(const char *text)
{
    struct tm utc = {0};
    return strptime(text, "%Y-%m-%dT%H:%M:%S", &utc) == NULL ? 0 : (int64_t)timegm(&utc);
}

static void add_certificate(const cJSON *cert, cJSON *list)
{
    const char *not_after = json_get_str(cert, "notAfter", NULL);
    if (not_after == NULL) {
        return;
    }
    cJSON *row = cJSON_CreateObject();
    const cJSON *name = cJSON_GetArrayItem(json_get(cert, "names"), 0);
    (void)json_add_str(row, "name", cJSON_IsString(name) ? name->valuestring : "");
    (void)json_add_str(row, "source", json_get_str(cert, "source", ""));
    (void)json_add_str(row, "state", json_get_str(cert, "state", ""));
    (void)json_add_str(row, "notAfter", not_after);
    (void)json_add_int(row, "notAfterSeconds", seconds_of(not_after));
    CHECK(cJSON_AddItemToArray(list, row));
}

static void add_certificates(const struct daemon *d, cJSON *out)
{
    autojson cJSON *certs = certkeeper_list_json(d->certkeeper);
    cJSON *list = cJSON_AddArrayToObject(out, "certificates");
    const cJSON *cert;
    cJSON_ArrayForEach(cert, certs)
    {
        add_certificate(cert, list);
    }
}

cJSON *stats_json(const struct daemon *d, const cJSON *gateway)
{
    int64_t now = clock_wall_ms();
    autofree char *time = time_text(now);
    cJSON *out = cJSON_CreateObject();
    (void)json_add_str(out, "time", time);
    cJSON *self = cJSON_AddObjectToObject(out, "daemon");
    (void)json_add_str(self, "version", build_version());
    (void)json_add_str(self, "build", build_id());
    (void)json_add_int(self, "startedAtMs", d->started_ms);
    (void)json_add_int(self, "uptimeMs", now - d->started_ms);
    (void)json_add_int(self, "memoryBytes", memory_bytes());
    (void)json_add_int(self, "openFiles", open_files());
    add_services(d, self);
    cJSON *snapshot = cJSON_AddObjectToObject(out, "snapshot");
    (void)json_add_int(snapshot, "generation", (int64_t)publisher_generation(d->publisher));
    (void)json_add_int(snapshot, "servedGeneration",
                       (int64_t)publisher_served_generation(d->publisher));
    add_certificates(d, out);
    (void)cJSON_AddItemToObject(
        out, "gateway", gateway == NULL ? cJSON_CreateNull() : cJSON_Duplicate(gateway, true));
    return out;
}
