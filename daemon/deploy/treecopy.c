/* treecopy: see treecopy.h. Called by deployment_setup.c; loop thread. */
#include "daemon/deploy/treecopy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "daemon/deploy/shell.h"

#define TREECOPY_MAGIC 0x74637079u
enum { TOLD_MAX = 8192, TOLD_LINES = 3 };

struct treecopy {
    uint32_t magic;
    struct loop *loop;          /* borrowed */
    struct subprocess *process; /* owned */
    int errors;                 /* owned: what cp complains about */
    char *from;                 /* owned */
    char *to;                   /* owned */
    char *partial;              /* owned */
    treecopy_fn *on_done;
    void *arg; /* borrowed */
};

struct removal {
    struct subprocess *process; /* owned */
};

static void treecopy_free(struct treecopy *copy)
{
    subprocess_release(copy->process);
    if (copy->errors >= 0) {
        (void)close(copy->errors);
    }
    free(copy->from);
    free(copy->to);
    free(copy->partial);
    copy->magic = 0;
    free(copy);
}

static void removal_on_exit(void *arg, int status)
{
    struct removal *removal = arg;
    (void)status; /* what is left is met again by the next removal */
    subprocess_release(removal->process);
    free(removal);
}

void tree_remove_later(struct loop *loop, const char *path)
{
    const char *const argv[] = {"rm", "-rf", "--", path, NULL};
    struct subprocess_spec spec = {.argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
    struct removal *removal = xcalloc(1, sizeof(*removal));
    removal->process = subprocess_start(loop, &spec, removal_on_exit, removal, NULL);
    if (removal->process == NULL) {
        free(removal);
    }
}

/* "<folder of path>/<prefix><base name>-", malloc'ed; its length up to the folder in *out_dir. */
static char *neighbour(const char *path, const char *prefix, size_t *out_dir)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    size_t start = len;
    while (start > 0 && path[start - 1] != '/') {
        start--;
    }
    *out_dir = start;
    return xasprintf("%.*s%s%.*s-", (int)start, path, prefix, (int)(len - start), path + start);
}

static char *neighbour_new(const char *path, const char *prefix)
{
    size_t dir = 0;
    autofree char *stem = neighbour(path, prefix, &dir);
    uint32_t number = 0;
    CHECK(getrandom(&number, sizeof(number), 0) == (ssize_t)sizeof(number));
    return xasprintf("%s%08x", stem, (unsigned)number);
}

/* What a crash left of earlier copies and trash of the same destination. */
static void remove_leftovers(struct loop *loop, const char *path, const char *prefix)
{
    size_t dir_len = 0;
    autofree char *stem = neighbour(path, prefix, &dir_len);
    autofree char *dir_path = dir_len == 0 ? xstrdup(".") : xstrndup(path, dir_len);
    const char *name = stem + dir_len;
    DIR *dir = opendir(dir_path);
    if (dir == NULL) {
        return;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (strncmp(entry->d_name, name, strlen(name)) == 0 &&
            strlen(entry->d_name) == strlen(name) + 8) {
            autofree char *left = path_join(dir_path, entry->d_name);
            tree_remove_later(loop, left);
        }
    }
    (void)closedir(dir);
}

int tree_trash(struct loop *loop, const char *path, struct err *err)
{
    remove_leftovers(loop, path, TREECOPY_TRASH);
    autofree char *trash = neighbour_new(path, TREECOPY_TRASH);
    if (rename(path, trash) < 0) {
        return errno == ENOENT || errno == ENOTDIR ? 0 : err_set_sys(err, "cannot move %s", path);
    }
    tree_remove_later(loop, trash);
    return 0;
}

/* The last lines cp wrote, on one line. */
static char *complaint(const struct treecopy *copy)
{
    char raw[TOLD_MAX];
    off_t size = lseek(copy->errors, 0, SEEK_END);
    ssize_t got = pread(copy->errors, raw, sizeof(raw), size > TOLD_MAX ? size - TOLD_MAX : 0);
    char *text = shell_text_tail((struct str){raw, got < 0 ? 0 : (size_t)got}, TOLD_LINES);
    for (char *p = text; *p != '\0'; p++) {
        *p = *p == '\n' ? ' ' : *p;
    }
    return text;
}

static int treecopy_finish(const struct treecopy *copy, int status, struct err *err)
{
    if (status != 0) {
        char buf[64];
        autofree char *text = complaint(copy);
        return err_set(err, ERR_FAILED, "copying %s to %s: %s", copy->from, copy->to,
                       text[0] == '\0' ? subprocess_status_text(status, buf, sizeof(buf)) : text);
    }
    if (renameat2(AT_FDCWD, copy->partial, AT_FDCWD, copy->to, RENAME_NOREPLACE) == 0) {
        return 0;
    }
    /* Not every file system knows the flag. */
    if (errno != EINVAL || file_exists(copy->to) || rename(copy->partial, copy->to) < 0) {
        return err_set_sys(err, "cannot give the copy its name %s", copy->to);
    }
    return 0;
}

static void treecopy_on_exit(void *arg, int status)
{
    struct treecopy *copy = arg;
    CHECK(copy->magic == TREECOPY_MAGIC);
    struct err err = {0};
    int rc = treecopy_finish(copy, status, &err);
    if (rc < 0) {
        tree_remove_later(copy->loop, copy->partial);
    }
    treecopy_fn *on_done = copy->on_done;
    void *on_done_arg = copy->arg;
    treecopy_free(copy);
    on_done(on_done_arg, rc < 0 ? &err : NULL);
}

static int make_parent(const char *to, struct err *err)
{
    const char *slash = strrchr(to, '/');
    if (slash == NULL || slash == to) {
        return 0;
    }
    autofree char *parent = xstrndup(to, (size_t)(slash - to));
    return dir_make(parent, 0755, err);
}

struct treecopy *treecopy_start(struct loop *loop, const char *from, const char *to,
                                treecopy_fn *on_done, void *arg, struct err *err)
{
    if (make_parent(to, err) < 0) {
        return NULL;
    }
    remove_leftovers(loop, to, TREECOPY_PARTIAL);
    struct treecopy *copy = xcalloc(1, sizeof(*copy));
    *copy = (struct treecopy){.magic = TREECOPY_MAGIC,
                              .loop = loop,
                              .errors = memfd_create("wos-copy", MFD_CLOEXEC),
                              .from = xstrdup(from),
                              .to = xstrdup(to),
                              .partial = neighbour_new(to, TREECOPY_PARTIAL),
                              .on_done = on_done,
                              .arg = arg};
    const char *const argv[] = {"cp", "-a",       "--reflink=auto", "-T",
                                "--", copy->from, copy->partial,    NULL};
    struct subprocess_spec spec = {.argv = argv,
                                   .stdin_fd = -1,
                                   .stdout_fd = -1,
                                   .stderr_fd = copy->errors,
                                   .dies_with_us = true};
    copy->process = subprocess_start(loop, &spec, treecopy_on_exit, copy, err);
    if (copy->process == NULL) {
        treecopy_free(copy);
        return NULL;
    }
    return copy;
}

void treecopy_cancel(struct treecopy *copy)
{
    if (copy == NULL) {
        return;
    }
    CHECK(copy->magic == TREECOPY_MAGIC);
    (void)subprocess_signal(copy->process, SIGKILL, NULL); /* gone already is as good */
    tree_remove_later(copy->loop, copy->partial);
    treecopy_free(copy);
}
