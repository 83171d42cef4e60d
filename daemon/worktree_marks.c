/* worktree_marks: see worktree_marks.h. Used by the API and by worktree_changes. */
#include "daemon/worktree_marks.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/json.h"
#include "base/loop.h"
#include "daemon/operations.h"
#include "daemon/projects.h"
#include "daemon/statuses.h"

static const char board_member[] = "worktreeBoard";
static const char comments_member[] = "worktreeComments";

/* What one change is about; the texts are borrowed for the call. */
struct mark {
    const char *path;
    const cJSON *given;
    const char *id;
    const char *text;
};

/* The object `name` of the project, made when it is none. */
static cJSON *object_of(cJSON *project, const char *name)
{
    cJSON *object = cJSON_GetObjectItemCaseSensitive(project, name);
    if (!cJSON_IsObject(object)) {
        cJSON_DeleteItemFromObjectCaseSensitive(project, name);
        object = cJSON_AddObjectToObject(project, name);
    }
    return object;
}

/* --- the board ------------------------------------------------------------------------------ */

void worktree_marks_add(cJSON *summary, const cJSON *project, const struct statuses *statuses,
                        const char *path)
{
    const cJSON *place = json_get(json_get(project, board_member), path);
    const char *id = json_get_str(place, "statusId", NULL);
    if (id != NULL && statuses_find(statuses, id) != NULL) {
        (void)json_add_str(summary, "workflowStatusId", id);
    }
    if (json_get(place, "order") != NULL) {
        (void)json_add_int(summary, "workflowOrder", json_get_int(place, "order", 0));
    }
}

/* Sets the member to a copy of the value; null removes, NULL leaves it. */
static void take(cJSON *place, const char *member, const cJSON *value)
{
    if (value == NULL) {
        return;
    }
    cJSON_DeleteItemFromObjectCaseSensitive(place, member);
    if (!cJSON_IsNull(value)) {
        (void)cJSON_AddItemToObject(place, member, cJSON_Duplicate(value, true));
    }
}

static int place_edit(void *arg, cJSON *project, struct err *err)
{
    (void)err;
    const struct mark *mark = arg;
    cJSON *board = object_of(project, board_member);
    cJSON *place = object_of(board, mark->path);
    take(place, "statusId", json_get(mark->given, "workflowStatusId"));
    take(place, "order", json_get(mark->given, "workflowOrder"));
    if (place->child == NULL) {
        cJSON_DeleteItemFromObjectCaseSensitive(board, mark->path);
    }
    return 0;
}

int worktree_marks_place(struct projects *p, const char *project_id,
                         const struct statuses *statuses, const char *path, const cJSON *given,
                         struct err *err)
{
    const cJSON *id = json_get(given, "workflowStatusId");
    const cJSON *order = json_get(given, "workflowOrder");
    int64_t place = json_get_int(given, "workflowOrder", -1);
    if (id == NULL && order == NULL) {
        return err_set(err, ERR_USAGE, "give workflowStatusId or workflowOrder");
    }
    if (id != NULL && !cJSON_IsNull(id) &&
        statuses_find(statuses, cJSON_GetStringValue(id)) == NULL) {
        return err_set(err, ERR_USAGE, "workflowStatusId must be the id of a status, or null");
    }
    if (order != NULL && !cJSON_IsNull(order) && (place < 0 || place > WORKTREE_ORDER_MAX)) {
        return err_set(err, ERR_USAGE, "workflowOrder must be an integer from 0 to %d, or null",
                       (int)WORKTREE_ORDER_MAX);
    }
    struct mark mark = {.path = path, .given = given};
    return projects_edit(p, project_id, place_edit, &mark, err);
}

/* --- comments -------------------------------------------------------------------------------- */

const cJSON *worktree_comments(const cJSON *project, const char *path)
{
    const cJSON *list = json_get(json_get(project, comments_member), path);
    return cJSON_IsArray(list) ? list : NULL;
}

static int comment_add_edit(void *arg, cJSON *project, struct err *err)
{
    const struct mark *mark = arg;
    cJSON *all = object_of(project, comments_member);
    cJSON *list = cJSON_GetObjectItemCaseSensitive(all, mark->path);
    if (!cJSON_IsArray(list)) {
        cJSON_DeleteItemFromObjectCaseSensitive(all, mark->path);
        list = cJSON_AddArrayToObject(all, mark->path);
    }
    if (cJSON_GetArraySize(list) >= WORKTREE_COMMENTS_MAX) {
        return err_set(err, ERR_USAGE, "there are %d comments, and no more are allowed",
                       (int)WORKTREE_COMMENTS_MAX);
    }
    autofree char *now = time_text(clock_wall_ms());
    cJSON *comment = cJSON_CreateObject();
    (void)json_add_str(comment, "id", mark->id);
    (void)json_add_str(comment, "text", mark->text);
    (void)json_add_str(comment, "createdAt", now);
    (void)cJSON_AddItemToArray(list, comment);
    return 0;
}

int worktree_comment_add(struct projects *p, const char *project_id, const char *path,
                         const char *text, char **out_id, struct err *err)
{
    *out_id = NULL;
    if (text == NULL || text[strspn(text, " \t\n")] == '\0' ||
        !project_text_is_good(text, WORKTREE_COMMENT_MAX, true)) {
        return err_set(err, ERR_USAGE,
                       "text must have 1 to %d characters and no control characters",
                       (int)WORKTREE_COMMENT_MAX);
    }
    char *id = uuid_text();
    struct mark mark = {.path = path, .id = id, .text = text};
    if (projects_edit(p, project_id, comment_add_edit, &mark, err) < 0) {
        free(id);
        return -1;
    }
    *out_id = id;
    return 0;
}

static int comment_remove_edit(void *arg, cJSON *project, struct err *err)
{
    const struct mark *mark = arg;
    cJSON *all = object_of(project, comments_member);
    cJSON *list = cJSON_GetObjectItemCaseSensitive(all, mark->path);
    cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        if (strcmp(json_get_str(item, "id", ""), mark->id) == 0) {
            cJSON_Delete(cJSON_DetachItemViaPointer(list, item));
            if (list->child == NULL) {
                cJSON_DeleteItemFromObjectCaseSensitive(all, mark->path);
            }
            return 0;
        }
    }
    return err_set(err, ERR_NOT_FOUND, "no such comment");
}

int worktree_comment_remove(struct projects *p, const char *project_id, const char *path,
                            const char *comment_id, struct err *err)
{
    struct mark mark = {.path = path, .id = comment_id};
    return projects_edit(p, project_id, comment_remove_edit, &mark, err);
}

/* --- the end ---------------------------------------------------------------------------------- */

static int forget_edit(void *arg, cJSON *project, struct err *err)
{
    (void)err;
    const struct mark *mark = arg;
    cJSON_DeleteItemFromObjectCaseSensitive(object_of(project, board_member), mark->path);
    cJSON_DeleteItemFromObjectCaseSensitive(object_of(project, comments_member), mark->path);
    return 0;
}

int worktree_marks_forget(struct projects *p, const char *project_id, const char *path)
{
    struct mark mark = {.path = path};
    return projects_edit(p, project_id, forget_edit, &mark, NULL);
}
