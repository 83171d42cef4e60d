/* journal: see journal.h. Called by dns01; the loop's thread. */
#include "acme/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"

enum { FILE_LIMIT = 1024 * 1024, FILE_MODE = 0600, DIR_MODE = 0700 };

struct journal {
    char *path;                     /* owned */
    struct journal_record *records; /* owned */
    size_t count;
    struct err problem;
};

static size_t find(const struct journal *j, const char *name, const char *value)
{
    size_t i = 0;
    while (i < j->count &&
           (strcmp(j->records[i].name, name) != 0 || strcmp(j->records[i].value, value) != 0)) {
        i++;
    }
    return i;
}

static void append(struct journal *j, const char *name, const char *value)
{
    j->records = xrealloc(j->records, (j->count + 1) * sizeof *j->records);
    j->records[j->count++] = (struct journal_record){xstrdup(name), xstrdup(value)};
}

static void drop(struct journal *j, size_t index)
{
    free(j->records[index].name);
    free(j->records[index].value);
    j->count--;
    memmove(&j->records[index], &j->records[index + 1], (j->count - index) * sizeof *j->records);
}

static int load(struct journal *j, struct err *err)
{
    struct buf text = {0};
    struct err why;
    if (file_read(j->path, FILE_LIMIT, &text, &why) < 0) {
        buf_fini(&text);
        if (why.code == ERR_NOT_FOUND) {
            return 0;
        }
        *err = why;
        return -1;
    }
    autojson cJSON *tree = json_parse(buf_str(&text), j->path, err);
    buf_fini(&text);
    const cJSON *records = json_get(tree, "records");
    if (tree == NULL) {
        return -1;
    }
    if (!cJSON_IsArray(records)) {
        return err_set(err, ERR_CONFIG, "%s: there is no list of records", j->path);
    }
    const cJSON *one = NULL;
    cJSON_ArrayForEach(one, records)
    {
        const char *name = json_get_str(one, "name", NULL);
        const char *value = json_get_str(one, "value", NULL);
        if (name != NULL && value != NULL && j->count < JOURNAL_RECORDS_MAX &&
            find(j, name, value) == j->count) {
            append(j, name, value);
        }
    }
    return 0;
}

static int save(const struct journal *j, struct err *err)
{
    if (j->count == 0) {
        if (unlink(j->path) != 0 && errno != ENOENT) {
            return err_set_sys(err, "%s", j->path);
        }
        return 0;
    }
    autojson cJSON *tree = cJSON_CreateObject();
    cJSON *records = cJSON_AddArrayToObject(tree, "records");
    for (size_t i = 0; i < j->count; i++) {
        cJSON *one = cJSON_CreateObject();
        json_add_str(one, "name", j->records[i].name);
        json_add_str(one, "value", j->records[i].value);
        (void)cJSON_AddItemToArray(records, one);
    }
    autofree char *text = json_print(tree);
    autofree char *dir = xstrdup(j->path);
    char *slash = strrchr(dir, '/');
    if (slash != NULL && slash != dir) {
        *slash = '\0';
        if (dir_make(dir, DIR_MODE, err) < 0) {
            return -1;
        }
    }
    return file_write_atomic(j->path, str_of(text), FILE_MODE, err);
}

struct journal *journal_new(const char *path)
{
    struct journal *j = xcalloc(1, sizeof *j);
    j->path = xstrdup(path);
    err_clear(&j->problem);
    (void)load(j, &j->problem); /* journal_problem tells */
    return j;
}

void journal_free(struct journal *j)
{
    if (j != NULL) {
        while (j->count > 0) {
            drop(j, j->count - 1);
        }
        free(j->records);
        free(j->path);
        free(j);
    }
}

const char *journal_problem(const struct journal *j)
{
    return j->problem.code == ERR_NONE ? NULL : j->problem.msg;
}

int journal_add(struct journal *j, const char *name, const char *value, struct err *err)
{
    if (find(j, name, value) < j->count) {
        return 0;
    }
    if (j->count == JOURNAL_RECORDS_MAX) {
        return err_set(err, ERR_FAILED, "%s: more than %d TXT records wait to be withdrawn",
                       j->path, JOURNAL_RECORDS_MAX);
    }
    append(j, name, value);
    if (save(j, err) < 0) {
        drop(j, j->count - 1);
        return -1;
    }
    return 0;
}

int journal_remove(struct journal *j, const char *name, const char *value, struct err *err)
{
    size_t index = find(j, name, value);
    if (index == j->count) {
        return 0;
    }
    drop(j, index);
    return save(j, err);
}

size_t journal_count(const struct journal *j)
{
    return j->count;
}

const struct journal_record *journal_at(const struct journal *j, size_t index)
{
    return &j->records[index];
}
