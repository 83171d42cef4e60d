/* runid: see runid.h. Called by runner_shell.c when a session is restored; loop thread. */
#include "daemon/deploy/runid.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "daemon/deploy/digest.h"

enum { ENVIRON_MAX = 4 * 1024 * 1024, KILL_ROUNDS = 20 };

char *runid_new(void)
{
    uint8_t bytes[16];
    CHECK(getrandom(bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes));
    return digest_hex(bytes, 2 * sizeof(bytes));
}

static bool carries(pid_t pid, const char *wanted)
{
    autofree char *path = xasprintf("/proc/%d/environ", (int)pid);
    struct buf text = {0};
    bool found = false;
    if (file_read(path, ENVIRON_MAX, &text, NULL) == 0) {
        struct str rest = buf_str(&text);
        struct str item;
        while (!found && rest.len > 0 && str_next(&rest, '\0', &item)) {
            found = str_eq(item, str_of(wanted));
        }
    }
    buf_fini(&text);
    return found;
}

static size_t each_carrier(const char *id, process_fn *fn, void *arg)
{
    autofree char *wanted = xasprintf(RUNID_VARIABLE "=%s", id);
    size_t count = 0;
    DIR *dir = opendir("/proc");
    for (struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL; e = readdir(dir)) {
        uint64_t pid = 0;
        struct process_info info;
        if (str_to_u64(str_of(e->d_name), &pid) && pid <= INT32_MAX && (pid_t)pid != getpid() &&
            process_read((pid_t)pid, &info) && info.state != 'Z' && info.state != 'X' &&
            carries((pid_t)pid, wanted)) {
            count++;
            fn(&info, arg);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return count;
}

static void note_leader(const struct process_info *info, void *arg)
{
    struct process_info *leader = arg;
    if (info->pid == info->session && info->pid == info->group) {
        *leader = *info;
    }
}

bool runid_find_leader(const char *id, struct process_info *out_leader)
{
    struct process_info leader = {0};
    (void)each_carrier(id, note_leader, &leader);
    if (leader.pid == 0) {
        return false;
    }
    *out_leader = leader;
    return true;
}

static void kill_one(const struct process_info *info, void *arg)
{
    (void)arg;
    process_signal(info, SIGKILL);
}

void runid_kill(const char *id)
{
    /* Some may be forking while they are looked at. */
    for (int i = 0; i < KILL_ROUNDS && each_carrier(id, kill_one, NULL) > 0; i++) {
        (void)usleep(1000);
    }
}
