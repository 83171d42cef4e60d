/* logs: see logs.h. Files are looked at four times a second while somebody follows; a file that
 * is another one than before, or shorter, is that of a new start and is read from its beginning. */
#include "daemon/api/logs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/loop.h"
#include "daemon/api/log_tail.h"
#include "daemon/api/logs_container.h"
#include "daemon/api/request.h"
#include "daemon/daemon.h"
#include "daemon/deploy/compose_exec.h"
#include "daemon/deploy/shell.h"
#include "daemon/sessions.h"

enum {
    TAIL_BYTES = 256 << 10,
    CHUNK_BYTES = 32 << 10,
    TURN_BYTES = 1 << 20, /* at most this much of a file at a time */
    LOOK_MS = 250,
    HEARTBEAT_MS = 15000,
    OLD_SERVICES_MAX = 200,
};

struct log_file {
    char *service; /* owned */
    const char *stream;
    char *path; /* owned */
    off_t at;
    struct log_identity identity; /* of the file `at` is meant for */
};

struct follower {
    struct stream *stream;  /* owned until its end */
    char *session;          /* owned */
    struct log_file *files; /* owned */
    size_t count;
    size_t tail_lines;                 /* of each file at the start; 0: TAIL_BYTES */
    struct container_log **containers; /* owned: of the Docker modes, instead of files */
    size_t container_count;
    size_t containers_left; /* not at their end yet, when not following */
    uint64_t sequence;
    uint64_t sent_ms;
    struct loop_timer timer;
};

static void follower_free(struct follower *f)
{
    loop_timer_fini(&f->timer);
    for (size_t i = 0; i < f->count; i++) {
        free(f->files[i].service);
        free(f->files[i].path);
    }
    for (size_t i = 0; i < f->container_count; i++) {
        container_log_free(f->containers[i]);
    }
    free(f->containers);
    free(f->files);
    free(f->session);
    free(f);
}

static void send_lines(struct follower *f, const char *service, const char *name, struct str chunk,
                       bool is_past)
{
    autofree char *now = time_text(clock_wall_ms());
    autofree char *channel = xasprintf("service:%s", service);
    autojson cJSON *line = cJSON_CreateObject();
    (void)json_add_str(line, "sessionName", f->session);
    (void)json_add_int(line, "sequence", (int64_t)++f->sequence);
    (void)json_add_str(line, "timestamp", now);
    (void)json_add_str(line, "channel", channel);
    (void)json_add_str(line, "service", service);
    (void)json_add_str(line, "stream", name);
    struct buf clean = {0};
    shell_clean_text(chunk, &clean); /* a service may write anything; JSON is UTF-8 without NUL */
    (void)json_add_slice(line, "chunk", buf_str(&clean));
    buf_fini(&clean);
    if (is_past) {
        (void)json_add_bool(line, "past", true);
    }
    autofree char *text = json_print(line);
    autofree char *whole = xasprintf("%s\n", text);
    stream_send(f->stream, str_of(whole), false);
    f->sent_ms = clock_now_ms();
}

/* Bytes to send now: up to the last newline or, failing that, the last whole character. */
static size_t whole_part(const char *bytes, size_t len)
{
    const char *newline = memrchr(bytes, '\n', len);
    if (newline != NULL) {
        return (size_t)(newline - bytes) + 1;
    }
    size_t cut = len;
    while (cut > 0 && len - cut < 3 && ((uint8_t)bytes[cut - 1] & 0xc0) == 0x80) {
        cut--; /* continuation bytes */
    }
    return cut > 1 && (uint8_t)bytes[cut - 1] >= 0xc0 ? cut - 1 : len;
}

static void file_send(struct follower *f, struct log_file *file)
{
    autoclose int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return;
    }
    struct log_identity identity = log_identity_of(fd);
    bool is_past = file->at < 0;
    if (is_past) {
        file->at = log_tail_start(fd, st.st_size, TAIL_BYTES, f->tail_lines);
    } else if (st.st_size < file->at || !log_identity_same(&identity, &file->identity)) {
        file->at = 0;
    }
    file->identity = identity;
    char bytes[CHUNK_BYTES];
    for (off_t sent = 0; sent < TURN_BYTES;) {
        ssize_t n = pread(fd, bytes, sizeof bytes, file->at);
        if (n <= 0) {
            return;
        }
        size_t len = whole_part(bytes, (size_t)n);
        send_lines(f, file->service, file->stream, (struct str){bytes, len}, is_past);
        file->at += (off_t)len;
        sent += (off_t)len;
    }
}

static void follower_on_timer(void *arg)
{
    struct follower *f = arg;
    for (size_t i = 0; i < f->count; i++) {
        file_send(f, &f->files[i]);
    }
    if (clock_now_ms() - f->sent_ms >= HEARTBEAT_MS) {
        stream_send(f->stream, STR("\n"), false);
        f->sent_ms = clock_now_ms();
    }
    loop_timer_set(&f->timer, LOOK_MS);
}

static void follower_on_close(void *arg)
{
    follower_free(arg);
}

static void add_file(struct follower *f, const struct deployment *deployment, const char *service,
                     const char *stream)
{
    f->files = xrealloc(f->files, (f->count + 1) * sizeof *f->files);
    f->files[f->count++] = (struct log_file){
        .service = xstrdup(service),
        .stream = stream,
        .path = deployment_log_path(deployment, service, stream),
        .at = -1,
    };
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Nothing runs: what earlier runs left, by name. */
static void add_old_files(struct follower *f, const struct deployment *deployment)
{
    static const char suffix[] = ".stdout.log";
    autofree char *some = deployment_log_path(deployment, "x", "stdout");
    char *slash = strrchr(some, '/');
    *slash = '\0';
    DIR *dir = opendir(some);
    char *names[OLD_SERVICES_MAX];
    size_t count = 0;
    const struct dirent *entry;
    while (dir != NULL && count < OLD_SERVICES_MAX && (entry = readdir(dir)) != NULL) {
        size_t len = strlen(entry->d_name);
        if (len >= sizeof suffix &&
            strcmp(entry->d_name + len - (sizeof suffix - 1), suffix) == 0) {
            names[count++] = xstrndup(entry->d_name, len - (sizeof suffix - 1));
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    if (count > 0) {
        qsort(names, count, sizeof *names, by_name);
    }
    for (size_t i = 0; i < count; i++) {
        add_file(f, deployment, names[i], "stdout");
        add_file(f, deployment, names[i], "stderr");
        free(names[i]);
    }
}

/* The files of one service, or of all. */
static void add_files(struct follower *f, const struct deployment *deployment,
                      const char *only_service)
{
    autojson cJSON *services = deployment_services_json(deployment);
    const cJSON *service;
    cJSON_ArrayForEach(service, services)
    {
        const char *name = json_get_str(service, "service", "");
        if (only_service == NULL || strcmp(name, only_service) == 0) {
            add_file(f, deployment, name, "stdout");
            add_file(f, deployment, name, "stderr");
        }
    }
    if (f->count == 0 && only_service != NULL) {
        /* Not running now; an earlier run may have left its log. */
        autofree char *out = deployment_log_path(deployment, only_service, "stdout");
        if (access(out, R_OK) == 0) {
            add_file(f, deployment, only_service, "stdout");
            add_file(f, deployment, only_service, "stderr");
        }
    } else if (f->count == 0) {
        add_old_files(f, deployment);
    }
}

static void follower_on_lines(void *arg, const char *service, const char *stream, struct str lines)
{
    send_lines(arg, service, stream, lines, false);
}

static void follower_on_container_end(void *arg)
{
    struct follower *f = arg;
    if (--f->containers_left == 0) {
        stream_end(f->stream);
        follower_free(f);
    }
}

/* In the Docker modes: one log per service that has a container. */
static void add_containers(struct follower *f, struct daemon *d,
                           const struct deployment *deployment, const char *only_service,
                           bool is_following)
{
    autojson cJSON *services = deployment_services_json(deployment);
    const cJSON *service;
    f->containers =
        xcalloc((size_t)cJSON_GetArraySize(services) + 1, sizeof(struct container_log *));
    cJSON_ArrayForEach(service, services)
    {
        const char *name = json_get_str(service, "service", "");
        if (only_service == NULL || strcmp(name, only_service) == 0) {
            f->containers[f->container_count++] =
                container_log_new(d, f->session, name, f->tail_lines, is_following,
                                  follower_on_lines, follower_on_container_end, f);
        }
    }
    f->containers_left = f->container_count;
}

static void no_logs(struct api_request *r, const struct deployment *d, const char *service)
{
    struct buf text = {0};
    if (service == NULL) {
        buf_add_text(&text, "no service has run here yet");
    } else {
        autojson cJSON *services = deployment_services_json(d);
        const cJSON *item;
        const char *between = "; services: ";
        buf_printf(&text, "no service named %.100s has run here", service);
        cJSON_ArrayForEach(item, services)
        {
            buf_printf(&text, "%s%s", between, json_get_str(item, "service", ""));
            between = ", ";
        }
    }
    reply_error(r, 404, "not-found", buf_cstr(&text), NULL);
    buf_fini(&text);
}

void logs_follow(struct api_request *r, const struct session *session, const char *service,
                 bool is_following)
{
    struct follower *f = xcalloc(1, sizeof *f);
    loop_timer_init(&f->timer, r->d->loop, follower_on_timer, f);
    f->session = xstrdup(session_name(session));
    f->sent_ms = clock_now_ms();
    f->tail_lines = log_tail_lines(request_query(r, "tail"));
    if (compose_exec_applies(session_deployment(session))) {
        add_containers(f, r->d, session_deployment(session), service, is_following);
    } else {
        add_files(f, session_deployment(session), service);
    }
    if (f->count + f->container_count == 0) {
        follower_free(f);
        no_logs(r, session_deployment(session), service);
        return;
    }
    f->stream = stream_open(r, follower_on_close, f);
    if (is_following || f->container_count > 0) {
        follower_on_timer(f);
        return;
    }
    for (size_t i = 0; i < f->count; i++) {
        file_send(f, &f->files[i]);
    }
    stream_end(f->stream);
    follower_free(f);
}

void logs_handle(struct api_request *r)
{
    const struct session *session = sessions_find(r->d->sessions, r->param);
    const char *service = request_query(r, "service");
    const char *follow = request_query(r, "follow");
    if (session == NULL) {
        reply_error(r, 404, "not-found", "no such session", NULL);
        return;
    }
    logs_follow(r, session, service,
                follow != NULL && (strcmp(follow, "1") == 0 || strcmp(follow, "true") == 0));
}
