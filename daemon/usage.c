/* usage: see usage.h. Asked by the API for details and lists. */
#include "daemon/usage.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/loop.h"

enum { DEPTH_MAX = 64, CGROUP_MAX = 16384 };

/* One process, or several together. */
struct reading {
    pid_t pid;
    pid_t parent;
    pid_t session;
    uint64_t ticks;       /* processor time */
    uint64_t start_ticks; /* of the oldest process, since boot */
    uint64_t pages;
};

struct readings {
    struct reading *items; /* owned: the processes, by pid */
    size_t count;
    uint64_t at_ms;
};

struct usage {
    struct readings now;
    struct readings before;
};

struct usage *usage_new(void)
{
    return xcalloc(1, sizeof(struct usage));
}

void usage_free(struct usage *u)
{
    if (u != NULL) {
        free(u->now.items);
        free(u->before.items);
        free(u);
    }
}

/* Fields of /proc/PID/stat (proc(5)), counted from the state, which is field 3. */
static bool stat_parse(const char *text, struct reading *out)
{
    const char *paren = strrchr(text, ')');
    struct str rest = str_of(paren == NULL ? "" : paren + 1);
    struct str word;
    uint64_t values[25] = {0};
    size_t field = 2; /* the blank before the state gives an empty word first */
    while (field < 25 && str_next(&rest, ' ', &word)) {
        uint64_t value;
        values[field++] = str_to_u64(word, &value) ? value : 0;
    }
    *out = (struct reading){.parent = (pid_t)values[4],
                            .session = (pid_t)values[6],
                            .ticks = values[14] + values[15],
                            .start_ticks = values[22],
                            .pages = values[24]};
    return field == 25 && out->session > 1;
}

static bool stat_read(const char *pid, struct reading *out)
{
    char path[64];
    char text[1024];
    (void)snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (got <= 0) {
        return false;
    }
    text[got] = '\0';
    if (!stat_parse(text, out)) {
        return false;
    }
    out->pid = (pid_t)strtol(pid, NULL, 10);
    return true;
}

static int by_pid(const void *a, const void *b)
{
    const struct reading *x = a;
    const struct reading *y = b;
    return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static void read_all(struct readings *r)
{
    *r = (struct readings){.at_ms = clock_now_ms()};
    DIR *dir = opendir("/proc");
    size_t cap = 0;
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct reading item;
        if (!isdigit((unsigned char)entry->d_name[0]) || !stat_read(entry->d_name, &item)) {
            continue;
        }
        if (r->count == cap) {
            cap = cap == 0 ? 256 : cap * 2;
            r->items = xrealloc(r->items, cap * sizeof *r->items);
        }
        r->items[r->count++] = item;
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    if (r->count > 0) {
        qsort(r->items, r->count, sizeof *r->items, by_pid);
    }
}

/* Whose processes are meant. */
typedef bool member_fn(const struct readings *r, const struct reading *process, pid_t leader);

static bool is_of_session(const struct readings *r, const struct reading *process, pid_t leader)
{
    (void)r;
    return process->session == leader;
}

static bool is_descendant(const struct readings *r, const struct reading *process, pid_t leader)
{
    for (int depth = 0; process != NULL && depth < DEPTH_MAX; depth++) {
        if (process->pid == leader) {
            return true;
        }
        const struct reading key = {.pid = process->parent};
        process = bsearch(&key, r->items, r->count, sizeof key, by_pid);
    }
    return false;
}

/* False: there are none. */
static bool sum(const struct readings *r, member_fn *is_member, pid_t leader, struct reading *out)
{
    struct reading total = {.start_ticks = UINT64_MAX};
    bool any = false;
    for (size_t i = 0; i < r->count; i++) {
        const struct reading *process = &r->items[i];
        if (is_member(r, process, leader)) {
            any = true;
            total.ticks += process->ticks;
            total.pages += process->pages;
            total.start_ticks =
                process->start_ticks < total.start_ticks ? process->start_ticks : total.start_ticks;
        }
    }
    if (any) {
        *out = total;
    }
    return any;
}

static cJSON *members_json(struct usage *u, member_fn *is_member, pid_t leader)
{
    uint64_t ms = clock_now_ms();
    if (u->now.items == NULL || ms - u->now.at_ms >= USAGE_FRESH_MS) {
        free(u->before.items);
        u->before = u->now;
        read_all(&u->now);
    }
    struct reading now;
    struct reading before;
    if (!sum(&u->now, is_member, leader, &now)) {
        return NULL;
    }
    double per_second = (double)sysconf(_SC_CLK_TCK);
    double seconds = (double)u->now.at_ms / 1000 - (double)now.start_ticks / per_second;
    double ticks = (double)now.ticks;
    if (sum(&u->before, is_member, leader, &before) && before.ticks <= now.ticks) {
        seconds = (double)(u->now.at_ms - u->before.at_ms) / 1000;
        ticks -= (double)before.ticks;
    }
    double percent = seconds <= 0.01 ? 0 : ticks / per_second / seconds * 100;
    cJSON *out = cJSON_CreateObject();
    (void)cJSON_AddNumberToObject(out, "cpuPercent", (double)(int64_t)(percent * 10 + 0.5) / 10);
    return json_add_int(out, "memUsedBytes", (int64_t)now.pages * sysconf(_SC_PAGESIZE));
}

cJSON *usage_json(struct usage *u, pid_t leader)
{
    return members_json(u, is_of_session, leader);
}

/* The engine names the control group after the container. */
static bool is_of_container(pid_t pid, const char *id)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
    struct buf text = {0};
    bool is = file_read(path, CGROUP_MAX, &text, NULL) == 0 && strstr(buf_cstr(&text), id) != NULL;
    buf_fini(&text);
    return is;
}

cJSON *usage_container_json(struct usage *u, pid_t first, const char *id)
{
    return is_of_container(first, id) ? members_json(u, is_descendant, first) : NULL;
}

cJSON *usage_add(cJSON *sum, const cJSON *more)
{
    if (more == NULL) {
        return sum;
    }
    if (sum == NULL) {
        return cJSON_Duplicate(more, true);
    }
    cJSON *cpu = cJSON_GetObjectItemCaseSensitive(sum, "cpuPercent");
    cJSON *memory = cJSON_GetObjectItemCaseSensitive(sum, "memUsedBytes");
    const cJSON *more_cpu = json_get(more, "cpuPercent");
    const cJSON *more_memory = json_get(more, "memUsedBytes");
    CHECK(cpu != NULL && memory != NULL && more_cpu != NULL && more_memory != NULL);
    (void)cJSON_SetNumberValue(cpu, cpu->valuedouble + more_cpu->valuedouble);
    (void)cJSON_SetNumberValue(memory, memory->valuedouble + more_memory->valuedouble);
    return sum;
}
