/* statuses: see statuses.h. Used by the API. */
#include "daemon/statuses.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/operations.h"
#include "daemon/projects.h"

enum { FILE_MAX = 1 << 20 };

struct statuses {
    char *path;     /* owned */
    cJSON *list;    /* owned */
    bool is_unread; /* the file is there and cannot be read: it is not written */
};

/* --- the file ------------------------------------------------------------------------------ */

static bool is_status(const cJSON *item)
{
    return json_get_str(item, "id", NULL) != NULL && json_get_str(item, "name", NULL) != NULL;
}

/* The list of the file's object, without what is no status; takes the tree. NULL: there is none. */
static cJSON *list_of(cJSON *tree)
{
    cJSON *list = cJSON_DetachItemFromObjectCaseSensitive(tree, "statuses");
    cJSON_Delete(tree);
    if (!cJSON_IsArray(list)) {
        cJSON_Delete(list);
        return NULL;
    }
    for (cJSON *item = list->child; item != NULL;) {
        cJSON *next = item->next;
        if (!is_status(item)) {
            cJSON_Delete(cJSON_DetachItemViaPointer(list, item));
        }
        item = next;
    }
    return list;
}

/* Without a list, or one that can be read, the list is empty. -1: that says nothing. */
static int load(struct statuses *s, struct err *err)
{
    struct buf text = {0};
    s->list = NULL;
    int rc = file_read(s->path, FILE_MAX, &text, err);
    if (rc == 0) {
        s->list = list_of(json_parse(buf_str(&text), "statuses.json", err));
        if (s->list == NULL) {
            autofree char *aside = xasprintf("%s.bad", s->path);
            (void)rename(s->path, aside);
            log_warn("statuses", "statuses.json is no good and was put aside",
                     LOG_STR("error", err->msg), LOG_STR("path", aside));
        }
    }
    buf_fini(&text);
    if (s->list == NULL) {
        s->list = cJSON_CreateArray();
    }
    s->is_unread = rc < 0 && err->code != ERR_NOT_FOUND;
    return s->is_unread ? -1 : 0;
}

struct statuses *statuses_new(const char *home)
{
    struct statuses *s = xcalloc(1, sizeof *s);
    struct err err = {.msg = ""};
    s->path = path_join(home, "statuses.json");
    if (load(s, &err) < 0) {
        log_error("statuses", "statuses.json cannot be read: statuses are neither known nor kept",
                  LOG_STR("error", err.msg));
    }
    return s;
}

void statuses_free(struct statuses *s)
{
    if (s == NULL) {
        return;
    }
    cJSON_Delete(s->list);
    free(s->path);
    free(s);
}

static void set_member(cJSON *object, const char *name, cJSON *value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(object, name);
    (void)cJSON_AddItemToObject(object, name, value);
}

/* Numbers the list anew and writes it; on an error the list is `before`, which is taken. */
static int save_or_undo(struct statuses *s, cJSON *before, struct err *err)
{
    if (s->is_unread) {
        struct err why = {.msg = ""};
        cJSON_Delete(before);
        cJSON_Delete(s->list);
        return load(s, &why) < 0
                   ? err_set(err, ERR_FAILED,
                             "statuses.json is not written, since what it has "
                             "cannot be read: %s",
                             why.msg)
                   : err_set(err, ERR_FAILED, "statuses.json could be read only now: try again");
    }
    int64_t place = 0;
    cJSON *item;
    cJSON_ArrayForEach(item, s->list)
    {
        set_member(item, "order", cJSON_CreateNumber((double)place++));
    }
    autojson cJSON *root = cJSON_CreateObject();
    (void)cJSON_AddItemReferenceToObject(root, "statuses", s->list);
    autofree char *text = json_print(root);
    if (file_write_atomic(s->path, str_of(text), 0600, err) < 0) {
        cJSON_Delete(s->list);
        s->list = before;
        return -1;
    }
    cJSON_Delete(before);
    return 0;
}

/* --- look-ups ------------------------------------------------------------------------------ */

const cJSON *statuses_list(const struct statuses *s)
{
    return s->list;
}

static cJSON *own(const struct statuses *s, const char *id)
{
    cJSON *item;
    cJSON_ArrayForEach(item, s->list)
    {
        if (id != NULL && strcmp(json_get_str(item, "id", ""), id) == 0) {
            return item;
        }
    }
    return NULL;
}

const cJSON *statuses_find(const struct statuses *s, const char *id)
{
    return own(s, id);
}

/* --- changes ------------------------------------------------------------------------------- */

static int check(const cJSON *given, bool is_new, struct err *err)
{
    const cJSON *name = json_get(given, "name");
    const cJSON *color = json_get(given, "colorSlot");
    const cJSON *order = is_new ? NULL : json_get(given, "order");
    if ((name == NULL && is_new) ||
        (name != NULL &&
         (!cJSON_IsString(name) || name->valuestring[strspn(name->valuestring, " ")] == '\0' ||
          !project_text_is_good(name->valuestring, PROJECT_NAME_MAX, false)))) {
        return err_set(err, ERR_USAGE,
                       "name must have 1 to %d characters and no control characters",
                       (int)PROJECT_NAME_MAX);
    }
    int64_t slot = json_get_int(given, "colorSlot", -1);
    if (color != NULL && (slot < 0 || slot >= PROJECT_COLORS)) {
        return err_set(err, ERR_USAGE, "colorSlot must be an integer from 0 to %d",
                       PROJECT_COLORS - 1);
    }
    int64_t place = json_get_int(given, "order", -1);
    if (order != NULL && (place < 0 || place > STATUSES_MAX)) {
        return err_set(err, ERR_USAGE, "order must be an integer from 0 to %d", (int)STATUSES_MAX);
    }
    if (name == NULL && color == NULL && order == NULL) {
        return err_set(err, ERR_USAGE, "give name, colorSlot or order");
    }
    return 0;
}

static void take(cJSON *item, const cJSON *given)
{
    if (json_get(given, "name") != NULL) {
        set_member(item, "name", cJSON_CreateString(json_get_str(given, "name", "")));
    }
    if (json_get(given, "colorSlot") != NULL) {
        set_member(item, "colorSlot",
                   cJSON_CreateNumber((double)json_get_int(given, "colorSlot", 0)));
    }
}

const cJSON *statuses_add(struct statuses *s, const cJSON *given, struct err *err)
{
    int count = cJSON_GetArraySize(s->list);
    if (check(given, true, err) < 0) {
        return NULL;
    }
    if (count >= STATUSES_MAX) {
        (void)err_set(err, ERR_USAGE, "there are %d statuses, and no more are allowed",
                      (int)STATUSES_MAX);
        return NULL;
    }
    cJSON *before = cJSON_Duplicate(s->list, true);
    autofree char *id = uuid_text();
    cJSON *item = cJSON_CreateObject();
    (void)json_add_str(item, "id", id);
    (void)json_add_int(item, "colorSlot", count % PROJECT_COLORS);
    take(item, given);
    (void)cJSON_AddItemToArray(s->list, item);
    return save_or_undo(s, before, err) < 0 ? NULL : item;
}

int statuses_change(struct statuses *s, const char *id, const cJSON *changes, struct err *err)
{
    cJSON *item = own(s, id);
    if (item == NULL) {
        return err_set(err, ERR_NOT_FOUND, "no such status");
    }
    if (check(changes, false, err) < 0) {
        return -1;
    }
    cJSON *before = cJSON_Duplicate(s->list, true);
    take(item, changes);
    if (json_get(changes, "order") != NULL) {
        int place = (int)json_get_int(changes, "order", 0); /* checked: at most STATUSES_MAX */
        (void)cJSON_DetachItemViaPointer(s->list, item);
        if (place >= cJSON_GetArraySize(s->list)) {
            (void)cJSON_AddItemToArray(s->list, item);
        } else {
            (void)cJSON_InsertItemInArray(s->list, place, item);
        }
    }
    return save_or_undo(s, before, err);
}

int statuses_remove(struct statuses *s, const char *id, struct err *err)
{
    cJSON *item = own(s, id);
    if (item == NULL) {
        return err_set(err, ERR_NOT_FOUND, "no such status");
    }
    cJSON *before = cJSON_Duplicate(s->list, true);
    cJSON_Delete(cJSON_DetachItemViaPointer(s->list, item));
    return save_or_undo(s, before, err);
}
