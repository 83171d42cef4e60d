/* terminal_left: see terminal_left.h. Called by terminal.c and terminals.c. */
#include "daemon/terminal_left.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/process.h"
#include "base/subprocess.h"
#include "daemon/deploy/runid.h"
#include "daemon/terminal_internal.h"

enum {
    LEFT_MAGIC = 0x6c656674,
    FILE_MAX = 64 * 1024,
    AGAIN_MS = 1000,
    GRACE_MS = 2000, /* as where a terminal is closed */
    ID_LEN = 32,
};

/* One program of a daemon that is gone. */
struct left {
    uint32_t magic;
    struct terminals_left *owner; /* borrowed */
    struct left *next;            /* owned by the list */
    char *id;                     /* owned */
    char *run_id;                 /* owned */
    struct subprocess *process;   /* owned; NULL: it has ended */
    struct hangup hangup;         /* zeroed: it was run */
};

struct terminals_left {
    uint32_t magic;
    struct terminals *ts; /* borrowed: owner */
    char *dir;            /* owned */
    struct left *items;   /* owned list */
    bool is_listed;       /* all files were read */
    struct loop_timer again;
};

static char *file_of(const char *dir, const char *id)
{
    return xasprintf("%s/%s.json", dir, id);
}

static void file_remove(const char *dir, const char *id)
{
    autofree char *path = file_of(dir, id);
    (void)unlink(path); /* gone already, or a program is looked for in vain */
}

void terminal_left_write(const struct terminal *t)
{
    if (t->owner->dir == NULL) {
        return;
    }
    char boot[PROCESS_BOOT_ID_SIZE] = "";
    autofree char *path = file_of(t->owner->dir, t->id);
    autojson cJSON *record = cJSON_CreateObject();
    (void)process_boot_id(boot);
    json_add_str(record, "bootId", boot);
    json_add_str(record, "runId", t->run_id);
    if (t->process != NULL) {
        json_add_int(record, "pid", subprocess_pid(t->process));
        json_add_int(record, "startTicks", (int64_t)subprocess_start_ticks(t->process));
    }
    cJSON *words = cJSON_AddArrayToObject(record, "hangup");
    for (char **at = t->hangup.argv; at != NULL && *at != NULL; at++) {
        cJSON_AddItemToArray(words, cJSON_CreateString(*at));
    }
    autofree char *text = json_print(record);
    struct err err = {.msg = ""};
    if (dir_make(t->owner->dir, 0700, &err) < 0 ||
        file_write_atomic(path, str_of(text), 0600, &err) < 0) {
        log_debug("terminal", "not written down", LOG_STR("error", err.msg));
    }
}

void terminal_left_remove(const struct terminal *t)
{
    if (t->owner->dir != NULL) {
        file_remove(t->owner->dir, t->id);
    }
}

static void left_free(struct left *left)
{
    subprocess_release(left->process);
    hangup_fini(&left->hangup);
    free(left->id);
    free(left->run_id);
    left->magic = 0;
    free(left);
}

static void forget_if_done(const struct left *left)
{
    if (left->process == NULL && left->hangup.argv == NULL) {
        file_remove(left->owner->dir, left->id);
    }
}

static void left_on_exit(void *arg, int status)
{
    struct left *left = arg;
    (void)status;
    CHECK(left->magic == LEFT_MAGIC);
    subprocess_release(left->process);
    left->process = NULL;
    forget_if_done(left);
}

/* The daemon died before its number was written. */
static enum process_answer left_seek(void *arg, struct process_info *out_leader)
{
    const struct left *left = arg;
    CHECK(left->magic == LEFT_MAGIC);
    return runid_find_leader(left->run_id, out_leader);
}

static struct hangup hangup_of(const cJSON *record)
{
    const cJSON *words = json_get(record, "hangup");
    size_t count = cJSON_IsArray(words) ? (size_t)cJSON_GetArraySize(words) : 0;
    autofree const char **argv = xcalloc(count + 1, sizeof *argv);
    size_t used = 0;
    const cJSON *word;
    cJSON_ArrayForEach(word, words)
    {
        if (cJSON_IsString(word)) {
            argv[used++] = word->valuestring;
        }
    }
    struct hangup hangup;
    hangup_init(&hangup, used == 0 ? NULL : argv, NULL, NULL);
    return hangup;
}

static void left_begin(struct terminals_left *l, const char *id, const cJSON *record)
{
    struct left *left = xcalloc(1, sizeof *left);
    *left = (struct left){.magic = LEFT_MAGIC,
                          .owner = l,
                          .next = l->items,
                          .id = xstrdup(id),
                          .run_id = xstrdup(json_get_str(record, "runId", "")),
                          .hangup = hangup_of(record)};
    l->items = left;
    pid_t pid = (pid_t)json_get_int(record, "pid", 0);
    if (pid == 0) {
        left->process = subprocess_seek(l->ts->loop, left_seek, left_on_exit, left, NULL);
    } else {
        left->process =
            subprocess_adopt(l->ts->loop, pid, (uint64_t)json_get_int(record, "startTicks", 0),
                             left_on_exit, left, NULL);
    }
    if (left->process != NULL) {
        (void)subprocess_signal(left->process, SIGHUP, NULL); /* the stop reaches who is left */
        subprocess_stop(left->process, GRACE_MS);
    }
    if (!hangup_run(&left->hangup, l->ts->loop)) {
        loop_timer_set(&l->again, AGAIN_MS);
    }
    forget_if_done(left);
}

static bool is_known(const struct terminals_left *l, const char *id)
{
    for (const struct left *left = l->items; left != NULL; left = left->next) {
        if (strcmp(left->id, id) == 0) {
            return true;
        }
    }
    return terminals_find(l->ts, id) != NULL;
}

/* False when the file cannot be read now. */
static bool read_record(struct terminals_left *l, const char *id)
{
    char boot[PROCESS_BOOT_ID_SIZE];
    autofree char *path = file_of(l->dir, id);
    struct buf text = {0};
    errno = 0;
    if (file_read(path, FILE_MAX, &text, NULL) < 0) {
        bool is_lasting = !process_is_want(errno);
        buf_fini(&text);
        return is_lasting;
    }
    autojson cJSON *record = json_parse(buf_str(&text), id, NULL);
    buf_fini(&text);
    bool has_booted =
        process_boot_id(boot) && strcmp(json_get_str(record, "bootId", ""), boot) != 0;
    if (record == NULL || has_booted) {
        file_remove(l->dir, id);
    } else {
        left_begin(l, id, record);
    }
    return true;
}

static bool list(struct terminals_left *l)
{
    DIR *dir = opendir(l->dir);
    if (dir == NULL) {
        return !process_is_want(errno);
    }
    bool is_all = true;
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        struct str name = str_of(e->d_name);
        if (name.len == ID_LEN + 5 && strcmp(e->d_name + ID_LEN, ".json") == 0) {
            autofree char *id = xstrndup(e->d_name, ID_LEN);
            is_all = (is_known(l, id) || read_record(l, id)) && is_all;
        }
    }
    (void)closedir(dir);
    return is_all;
}

static void left_on_again(void *arg)
{
    struct terminals_left *l = arg;
    CHECK(l->magic == LEFT_MAGIC);
    for (struct left *left = l->items; left != NULL; left = left->next) {
        if (!hangup_run(&left->hangup, l->ts->loop)) {
            loop_timer_set(&l->again, AGAIN_MS);
        }
        forget_if_done(left);
    }
    l->is_listed = l->is_listed || list(l);
    if (!l->is_listed) {
        loop_timer_set(&l->again, AGAIN_MS);
    }
}

struct terminals_left *terminals_left_new(struct terminals *ts, const char *dir)
{
    struct terminals_left *l = xcalloc(1, sizeof *l);
    *l = (struct terminals_left){.magic = LEFT_MAGIC, .ts = ts, .dir = xstrdup(dir)};
    loop_timer_init(&l->again, ts->loop, left_on_again, l);
    left_on_again(l);
    return l;
}

void terminals_left_free(struct terminals_left *l)
{
    if (l == NULL) {
        return;
    }
    CHECK(l->magic == LEFT_MAGIC);
    for (struct left *left = l->items, *next; left != NULL; left = next) {
        next = left->next;
        left_free(left);
    }
    loop_timer_fini(&l->again);
    free(l->dir);
    l->magic = 0;
    free(l);
}
