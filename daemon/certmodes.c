/* certmodes: see certmodes.h. Called by daemon.c before any key is read. */
#include "daemon/certmodes.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"

enum { DEPTH_MAX = 8, OTHERS = 077, HEAD_BYTES = 64 << 10 };

static void repair(int fd, const char *path, mode_t mode, mode_t wanted)
{
    char text[8];
    (void)snprintf(text, sizeof text, "%04o", (unsigned)(mode & 07777));
    if (fchmod(fd, wanted) < 0) {
        struct err err;
        (void)err_set_sys(&err, "%s", path);
        log_error("certificate", "other users may read this, and it cannot be changed; chown it",
                  LOG_STR("error", err.msg), LOG_STR("mode", text));
        return;
    }
    log_warn("certificate",
             S_ISDIR(mode) ? "other users could enter this directory; repaired"
                           : "other users could read this file; repaired, but what is in it may be "
                             "known to somebody",
             LOG_STR("path", path), LOG_STR("mode", text));
}

/* Keys, accounts and tickets, by name or by what is in them. */
static bool is_secret(int fd, const char *name)
{
    static const char *const endings[] = {".key", ".keys", "account.json", ".token", NULL};
    for (size_t i = 0; endings[i] != NULL; i++) {
        if (str_ends(str_of(name), str_of(endings[i]))) {
            return true;
        }
    }
    struct buf head = {0};
    buf_reserve(&head, HEAD_BYTES);
    ssize_t got = pread(fd, head.ptr, HEAD_BYTES, 0);
    bool found = got > 0 && memmem(head.ptr, (size_t)got, "PRIVATE KEY", 11) != NULL;
    if (got > 0) {
        explicit_bzero(head.ptr, (size_t)got);
    }
    buf_fini(&head);
    return found;
}

static void walk(int dir_fd, const char *path, int depth);

static void look_at(int dir_fd, const char *name, const char *path, int depth)
{
    struct stat st;
    autoclose int fd =
        openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return; /* a link, or gone; who needs it will say so */
    }
    if (S_ISDIR(st.st_mode)) {
        if ((st.st_mode & OTHERS) != 0) {
            repair(fd, path, st.st_mode, 0700);
        }
        if (depth < DEPTH_MAX) {
            walk(fd, path, depth + 1);
        }
    } else if (S_ISREG(st.st_mode) && (st.st_mode & OTHERS) != 0 && is_secret(fd, name)) {
        repair(fd, path, st.st_mode, st.st_mode & 0700);
    }
}

static void walk(int dir_fd, const char *path, int depth)
{
    int own = dup(dir_fd);
    DIR *dir = own < 0 ? NULL : fdopendir(own);
    if (dir == NULL) {
        if (own >= 0) {
            (void)close(own);
        }
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            autofree char *below = path_join(path, entry->d_name);
            look_at(dir_fd, entry->d_name, below, depth);
        }
    }
    (void)closedir(dir);
}

static void check_configured(const struct config *c, const struct config_ssl *ssl, const char *file)
{
    struct stat st;
    if (!ssl->enabled || file == NULL) {
        return;
    }
    autofree char *path = path_join(c->home, file);
    if (stat(path, &st) == 0 && (st.st_mode & (S_IROTH | S_IWOTH)) != 0) {
        log_warn("certificate", "every user of this machine can read this key; chmod it to 600",
                 LOG_STR("path", path));
    }
}

void certmodes_check(const struct config *config)
{
    autofree char *path = path_join(config->home, "certs");
    look_at(AT_FDCWD, path, path, 0);
    check_configured(config, &config->tunnel_ssl, config->tunnel_ssl.key);
    check_configured(config, &config->tunnel_ssl, config->tunnel_ssl.rsa_key);
    check_configured(config, &config->web_ssl, config->web_ssl.key);
    check_configured(config, &config->web_ssl, config->web_ssl.rsa_key);
}
