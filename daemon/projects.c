/* projects: see projects.h. Used by the API and by sessions.c. */
#include "daemon/projects.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "daemon/operations.h"

enum { FILE_MAX = 8 << 20 };

struct projects {
    char *path;     /* owned */
    cJSON *root;    /* owned: {"projects": […]} */
    cJSON *list;    /* inside root */
    bool is_unread; /* the file is there and cannot be read: it is not written */
};

static const char *const text_members[] = {"worktreeDisplayNames", "worktreeNotes"};

/* --- the file ------------------------------------------------------------------------------ */

static bool is_project(const cJSON *item)
{
    return json_get_str(item, "id", NULL) != NULL && json_get_str(item, "sourcePath", NULL) != NULL;
}

/* Takes `tree`: an object with the list, or the list alone. */
static void adopt(struct projects *p, cJSON *tree)
{
    if (cJSON_IsArray(tree)) {
        p->root = cJSON_CreateObject();
        (void)cJSON_AddItemToObject(p->root, "projects", tree);
    } else {
        p->root = tree != NULL ? tree : cJSON_CreateObject();
    }
    p->list = cJSON_GetObjectItemCaseSensitive(p->root, "projects");
    if (!cJSON_IsArray(p->list)) {
        cJSON_DeleteItemFromObjectCaseSensitive(p->root, "projects");
        p->list = cJSON_AddArrayToObject(p->root, "projects");
    }
    for (cJSON *item = p->list->child; item != NULL;) {
        cJSON *next = item->next;
        if (!is_project(item)) {
            cJSON_Delete(cJSON_DetachItemViaPointer(p->list, item));
        }
        item = next;
    }
}

/* Without a list, or one that can be read, the list is empty. -1: that says nothing. */
static int load(struct projects *p, struct err *err)
{
    struct buf text = {0};
    cJSON *tree = NULL;
    int rc = file_read(p->path, FILE_MAX, &text, err);
    if (rc == 0) {
        tree = json_parse(buf_str(&text), "projects.json", err);
        if (!cJSON_IsArray(tree) && !cJSON_IsObject(tree)) {
            cJSON_Delete(tree);
            tree = NULL;
            autofree char *aside = xasprintf("%s.bad", p->path);
            (void)rename(p->path, aside);
            log_warn("projects", "projects.json is no good and was put aside",
                     LOG_STR("error", err->msg), LOG_STR("path", aside));
        }
    }
    buf_fini(&text);
    adopt(p, tree);
    p->is_unread = rc < 0 && err->code != ERR_NOT_FOUND;
    return p->is_unread ? -1 : 0;
}

struct projects *projects_new(const char *home)
{
    struct projects *p = xcalloc(1, sizeof *p);
    struct err err = {.msg = ""};
    p->path = path_join(home, "projects.json");
    if (load(p, &err) < 0) {
        log_error("projects", "projects.json cannot be read: projects are neither known nor kept",
                  LOG_STR("error", err.msg));
    }
    return p;
}

void projects_free(struct projects *p)
{
    if (p == NULL) {
        return;
    }
    cJSON_Delete(p->root);
    free(p->path);
    free(p);
}

/* Writes the list; on an error the list is what `before` says. Takes `before`. */
static int save_or_undo(struct projects *p, cJSON *before, struct err *err)
{
    if (p->is_unread) {
        struct err why = {.msg = ""};
        cJSON_Delete(before);
        cJSON_Delete(p->root);
        return load(p, &why) < 0
                   ? err_set(err, ERR_FAILED,
                             "projects.json is not written, since what it has "
                             "cannot be read: %s",
                             why.msg)
                   : err_set(err, ERR_FAILED, "projects.json could be read only now: try again");
    }
    autofree char *text = json_print(p->root);
    if (file_write_atomic(p->path, str_of(text), 0600, err) < 0) {
        cJSON_Delete(p->root);
        p->root = NULL;
        adopt(p, before);
        return -1;
    }
    cJSON_Delete(before);
    return 0;
}

/* --- look-ups -------------------------------------------------------------------------------- */

const cJSON *projects_at(const struct projects *p, size_t index)
{
    return index > PROJECTS_MAX ? NULL : cJSON_GetArrayItem(p->list, (int)index);
}

static const cJSON *find_by(const struct projects *p, const char *member, const char *value)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, p->list)
    {
        if (strcmp(json_get_str(item, member, ""), value) == 0) {
            return item;
        }
    }
    return NULL;
}

const cJSON *projects_find(const struct projects *p, const char *id)
{
    return find_by(p, "id", id);
}

const cJSON *projects_find_source(const struct projects *p, const char *source)
{
    return find_by(p, "sourcePath", source);
}

const char *projects_id_of(const struct projects *p, const char *source)
{
    return json_get_str(projects_find_source(p, source), "id", NULL);
}

/* The same, to be changed. */
static cJSON *own(struct projects *p, const cJSON *item)
{
    cJSON *at = p->list->child;
    while (at != NULL && at != item) {
        at = at->next;
    }
    return at;
}

/* --- changes -----------------------------------------------------------------------------------
 */

static void set_member(cJSON *object, const char *name, cJSON *value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(object, name);
    (void)cJSON_AddItemToObject(object, name, value);
}

/* The slot that the fewest projects have. */
static int free_color(const struct projects *p)
{
    unsigned used[PROJECT_COLORS] = {0};
    const cJSON *item;
    cJSON_ArrayForEach(item, p->list)
    {
        int64_t slot = json_get_int(item, "colorSlot", -1);
        if (slot >= 0 && slot < PROJECT_COLORS) {
            used[slot]++;
        }
    }
    int best = 0;
    for (int i = 1; i < PROJECT_COLORS; i++) {
        best = used[i] < used[best] ? i : best;
    }
    return best;
}

static cJSON *project_new(const struct projects *p, const char *source, const char *now)
{
    const char *slash = strrchr(source, '/');
    const char *name = slash == NULL || slash[1] == '\0' ? source : slash + 1;
    autofree char *id = uuid_text();
    cJSON *item = cJSON_CreateObject();
    (void)json_add_str(item, "id", id);
    (void)json_add_str(item, "displayName", name);
    (void)json_add_str(item, "sourcePath", source);
    (void)json_add_str(item, "createdAt", now);
    (void)json_add_str(item, "lastSeenAt", now);
    (void)json_add_int(item, "colorSlot", free_color(p));
    return json_add_int(item, "order", cJSON_GetArraySize(p->list));
}

const cJSON *projects_add(struct projects *p, const char *source, bool *out_is_new, struct err *err)
{
    autofree char *now = time_text(clock_wall_ms());
    cJSON *item = own(p, projects_find_source(p, source));
    *out_is_new = item == NULL;
    if (item == NULL && cJSON_GetArraySize(p->list) >= PROJECTS_MAX) {
        (void)err_set(err, ERR_USAGE, "there are %d projects, and no more are allowed",
                      (int)PROJECTS_MAX);
        return NULL;
    }
    cJSON *before = cJSON_Duplicate(p->root, true);
    if (item == NULL) {
        (void)cJSON_AddItemToArray(p->list, project_new(p, source, now));
    } else {
        set_member(item, "lastSeenAt", cJSON_CreateString(now));
        cJSON_DeleteItemFromObjectCaseSensitive(item, "lastError");
    }
    return save_or_undo(p, before, err) < 0 ? NULL : projects_find_source(p, source);
}

static int by_order(const void *a, const void *b)
{
    int64_t x = json_get_int(*(cJSON *const *)a, "order", 0);
    int64_t y = json_get_int(*(cJSON *const *)b, "order", 0);
    return x < y ? -1 : x > y;
}

/* Moves the item to place `to` and numbers all anew. */
static void reorder(struct projects *p, cJSON *item, int64_t to)
{
    size_t count = (size_t)cJSON_GetArraySize(p->list);
    autofree cJSON **rows = xcalloc(count + 1, sizeof(cJSON *));
    (void)cJSON_DetachItemViaPointer(p->list, item);
    for (size_t i = 0; i + 1 < count; i++) {
        rows[i] = cJSON_DetachItemFromArray(p->list, 0);
    }
    qsort(rows, count - 1, sizeof *rows, by_order);
    size_t place = (size_t)to < count ? (size_t)to : count - 1;
    memmove(rows + place + 1, rows + place, (count - 1 - place) * sizeof *rows);
    rows[place] = item;
    for (size_t i = 0; i < count; i++) {
        set_member(rows[i], "order", cJSON_CreateNumber((double)i));
        (void)cJSON_AddItemToArray(p->list, rows[i]);
    }
}

static int check_changes(const cJSON *changes, struct err *err)
{
    const cJSON *name = json_get(changes, "displayName");
    const cJSON *color = json_get(changes, "colorSlot");
    const cJSON *order = json_get(changes, "order");
    if (name != NULL &&
        (!cJSON_IsString(name) || name->valuestring[strspn(name->valuestring, " ")] == '\0' ||
         !project_text_is_good(name->valuestring, PROJECT_NAME_MAX, false))) {
        return err_set(err, ERR_USAGE,
                       "displayName must have 1 to %d characters and no control characters",
                       (int)PROJECT_NAME_MAX);
    }
    int64_t slot = json_get_int(changes, "colorSlot", -1);
    if (color != NULL && (slot < 0 || slot >= PROJECT_COLORS)) {
        return err_set(err, ERR_USAGE, "colorSlot must be an integer from 0 to %d",
                       PROJECT_COLORS - 1);
    }
    int64_t place = json_get_int(changes, "order", -1);
    if (order != NULL && (place < 0 || place > PROJECTS_MAX)) {
        return err_set(err, ERR_USAGE, "order must be an integer from 0 to %d", (int)PROJECTS_MAX);
    }
    if (name == NULL && color == NULL && order == NULL) {
        return err_set(err, ERR_USAGE, "give displayName, colorSlot or order");
    }
    return 0;
}

int projects_change(struct projects *p, const char *id, const cJSON *changes, struct err *err)
{
    cJSON *item = own(p, projects_find(p, id));
    if (item == NULL) {
        return err_set(err, ERR_NOT_FOUND, "no such project");
    }
    if (check_changes(changes, err) < 0) {
        return -1;
    }
    cJSON *before = cJSON_Duplicate(p->root, true);
    if (json_get(changes, "displayName") != NULL) {
        set_member(item, "displayName",
                   cJSON_CreateString(json_get_str(changes, "displayName", "")));
    }
    if (json_get(changes, "colorSlot") != NULL) {
        set_member(item, "colorSlot",
                   cJSON_CreateNumber((double)json_get_int(changes, "colorSlot", 0)));
    }
    if (json_get(changes, "order") != NULL) {
        reorder(p, item, json_get_int(changes, "order", 0));
    }
    return save_or_undo(p, before, err);
}

int projects_remove(struct projects *p, const char *id, struct err *err)
{
    cJSON *item = own(p, projects_find(p, id));
    if (item == NULL) {
        return err_set(err, ERR_NOT_FOUND, "no such project");
    }
    cJSON *before = cJSON_Duplicate(p->root, true);
    cJSON_Delete(cJSON_DetachItemViaPointer(p->list, item));
    return save_or_undo(p, before, err);
}

/* --- texts ---------------------------------------------------------------------------------------
 */

bool project_text_is_good(const char *text, size_t limit, bool may_have_lines)
{
    size_t chars = 0;
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;
        chars += (c & 0xc0) != 0x80;
        if ((c < 0x20 && !(may_have_lines && (c == '\n' || c == '\t'))) || c == 0x7f) {
            return false;
        }
    }
    return chars <= limit;
}

const char *project_text(const cJSON *project, enum project_text what, const char *path)
{
    return json_get_str(json_get(project, text_members[what]), path, NULL);
}

int projects_set_text(struct projects *p, const char *id, enum project_text what, const char *path,
                      const char *text, struct err *err)
{
    cJSON *item = own(p, projects_find(p, id));
    size_t limit = what == PROJECT_WORKTREE_NAME ? PROJECT_NAME_MAX : PROJECT_NOTE_MAX;
    if (item == NULL) {
        return err_set(err, ERR_NOT_FOUND, "no such project");
    }
    if (text != NULL && !project_text_is_good(text, limit, what == PROJECT_WORKTREE_NOTE)) {
        return err_set(err, ERR_USAGE, "at most %zu characters and no control characters", limit);
    }
    cJSON *before = cJSON_Duplicate(p->root, true);
    cJSON *texts = cJSON_GetObjectItemCaseSensitive(item, text_members[what]);
    if (!cJSON_IsObject(texts)) {
        cJSON_DeleteItemFromObjectCaseSensitive(item, text_members[what]);
        texts = cJSON_AddObjectToObject(item, text_members[what]);
    }
    cJSON_DeleteItemFromObjectCaseSensitive(texts, path);
    if (text != NULL && *text != '\0') {
        (void)json_add_str(texts, path, text);
    }
    return save_or_undo(p, before, err);
}

int projects_edit(struct projects *p, const char *id, projects_edit_fn *edit, void *arg,
                  struct err *err)
{
    cJSON *item = own(p, projects_find(p, id));
    if (item == NULL) {
        return err_set(err, ERR_NOT_FOUND, "no such project");
    }
    cJSON *before = cJSON_Duplicate(p->root, true);
    if (edit(arg, item, err) < 0) {
        cJSON_Delete(p->root);
        p->root = NULL;
        adopt(p, before);
        return -1;
    }
    return save_or_undo(p, before, err);
}

static int error_edit(void *arg, cJSON *project, struct err *err)
{
    (void)err;
    cJSON_DeleteItemFromObjectCaseSensitive(project, "lastError");
    if (arg != NULL) {
        (void)json_add_str(project, "lastError", arg);
    }
    return 0;
}

bool projects_note_error(struct projects *p, const char *id, const char *error)
{
    struct err err = {.msg = ""};
    const cJSON *project = projects_find(p, id);
    bool was = json_get_str(project, "lastError", NULL) != NULL;
    if (project == NULL || was == (error != NULL)) {
        return false;
    }
    autofree char *copy = error == NULL ? NULL : xstrdup(error);
    if (projects_edit(p, id, error_edit, copy, &err) < 0) {
        log_warn("projects", "projects.json cannot be written", LOG_STR("error", err.msg));
    }
    return true;
}
