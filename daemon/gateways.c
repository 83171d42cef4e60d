/* gateways: see gateways.h. gateway_spawn.c adds; api/peer.c asks. */
#include "daemon/gateways.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/process.h"
#include "base/socket_holder.h"

#define LIST "gateways.json"
#define LOST "gateways.json.unreadable"

enum { LIST_BYTES_MAX = 64 << 10 };

static bool is_list(const cJSON *all)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, all)
    {
        if (json_get_int(item, "pid", 0) <= 0 || json_get_int(item, "start", 0) <= 0) {
            return false;
        }
    }
    return cJSON_IsArray(all);
}

/* What the file says; the caller's. NULL when it cannot be read now (ERR_SYSTEM), or is no list
 * (any other). */
static cJSON *file_list(struct err *err)
{
    struct buf text = {0};
    struct err why = {.msg = ""};
    cJSON *all = NULL;
    if (file_read(LIST, LIST_BYTES_MAX, &text, &why) == 0) {
        all = json_parse(buf_str(&text), LIST, NULL);
        (void)err_set(&why, ERR_CONFIG, "%s is not a list of gateways", LIST); /* used below */
    } else if (why.code == ERR_NOT_FOUND) {
        all = cJSON_CreateArray();
    }
    buf_fini(&text);
    if (!is_list(all)) {
        cJSON_Delete(all);
        *err = why;
        return NULL;
    }
    return all;
}

/* False for one that may live: /proc cannot always be read. */
static bool is_gone(pid_t pid, uint64_t start)
{
    uint64_t now = process_start_ticks(pid);
    return now == 0 ? errno == ESRCH : now != start;
}

/* [{"pid", "start"}] of what was started and lives; the caller's. NULL when the file cannot be
 * read. */
static cJSON *list_read(struct err *err)
{
    autojson cJSON *all = file_list(err);
    if (all == NULL) {
        return NULL;
    }
    cJSON *living = cJSON_CreateArray();
    const cJSON *item;
    cJSON_ArrayForEach(item, all)
    {
        pid_t pid = (pid_t)json_get_int(item, "pid", 0);
        uint64_t start = (uint64_t)json_get_int(item, "start", 0);
        if (!is_gone(pid, start)) {
            (void)cJSON_AddItemToArray(living, cJSON_Duplicate(item, true));
        }
    }
    return living;
}

/* A new list; who was in the old one is not known any more, and LOST says so from now on. */
static cJSON *list_give_up(struct err *err)
{
    log_error("gateways",
              "gateways of earlier starts are not known any more: whether a connection is of this "
              "machine cannot be told until the file is removed, once none of them lives",
              LOG_STR("file", LOST), LOG_STR("error", err->msg));
    if (rename(LIST, LOST) < 0) {
        (void)err_set_sys(err, "cannot put %s aside", LIST); /* NULL tells */
        return NULL;
    }
    return cJSON_CreateArray();
}

int gateways_add(pid_t pid, struct err *err)
{
    struct err why = {.msg = ""};
    autojson cJSON *list = list_read(&why);
    if (list == NULL && why.code != ERR_SYSTEM) {
        list = list_give_up(&why);
    }
    if (list == NULL) {
        *err = why;
        return -1;
    }
    uint64_t start = process_start_ticks(pid);
    if (start == 0) {
        return err_set_sys(err, "cannot tell since when process %d runs", (int)pid);
    }
    cJSON *item = cJSON_CreateObject();
    (void)json_add_int(item, "pid", pid);
    (void)json_add_int(item, "start", (int64_t)start);
    (void)cJSON_AddItemToArray(list, item);
    autofree char *text = json_print(list);
    return file_write_atomic(LIST, str_of(text), 0600, err);
}

static enum gateways_answer worse(enum gateways_answer so_far, enum socket_holder one)
{
    enum gateways_answer answer = one == SOCKET_HELD           ? GATEWAYS_HAVE
                                  : one == SOCKET_HELD_UNKNOWN ? GATEWAYS_MAY_HAVE
                                                               : GATEWAYS_HAVE_NOT;
    return answer > so_far ? answer : so_far;
}

static bool may_be_lost(void)
{
    return access(LOST, F_OK) == 0 || errno != ENOENT;
}

enum gateways_answer gateways_ask(uint64_t inode)
{
    struct err err = {.msg = ""};
    autojson cJSON *list = list_read(&err);
    bool is_whole = list != NULL && !may_be_lost();
    enum gateways_answer answer = !is_whole ? GATEWAYS_MAY_HAVE : GATEWAYS_HAVE_NOT;
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        pid_t pid = (pid_t)json_get_int(item, "pid", 0);
        answer = worse(answer, socket_holder_ask(pid, inode));
    }
    /* After theirs: what they send us is either still there, or here by now. */
    return answer == GATEWAYS_HAVE_NOT ? worse(answer, socket_holder_ask_self(inode)) : answer;
}
