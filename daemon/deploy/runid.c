/* runid: see runid.h. Called by the runners when a session is restored; loop thread. */
#include "daemon/deploy/runid.h"

#include <dirent.h>
#include <errno.h>
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

/* What one look at all processes has seen. */
struct look {
    struct process_info leader; /* the oldest session leader that carries the id; zeroed: none */
    struct process_info member; /* the oldest that carries it and leads none; zeroed: none */
    size_t count;               /* who carry it */
    bool is_unknown;            /* some could not be looked at, or signalled */
};

/* A process that has ended, or is another user's, carries nothing. */
static bool is_wanted(struct str item, const char *const *ids, size_t count)
{
    struct str name = STR(RUNID_VARIABLE "=");
    bool found = false;
    if (str_starts(item, name)) {
        struct str id = {item.ptr + name.len, item.len - name.len};
        for (size_t i = 0; !found && i < count; i++) {
            found = str_eq(id, str_of(ids[i]));
        }
    }
    return found;
}

static bool carries(pid_t pid, const char *const *ids, size_t count, struct look *look)
{
    autofree char *path = xasprintf("/proc/%d/environ", (int)pid);
    struct buf text = {0};
    bool found = false;
    errno = 0;
    if (file_read(path, ENVIRON_MAX, &text, NULL) == 0) {
        struct str rest = buf_str(&text);
        struct str item;
        while (!found && rest.len > 0 && str_next(&rest, '\0', &item)) {
            found = is_wanted(item, ids, count);
        }
    } else {
        look->is_unknown = look->is_unknown || process_is_want(errno);
    }
    buf_fini(&text);
    return found;
}

static void keep_older(struct process_info *kept, const struct process_info *info)
{
    if (kept->pid == 0 || info->start_ticks < kept->start_ticks) {
        *kept = *info;
    }
}

static void look_at(pid_t pid, const char *const *ids, size_t count, int signo, struct look *look)
{
    struct process_info info;
    if (!process_read(pid, &info)) {
        look->is_unknown = look->is_unknown || process_is_want(errno);
        return;
    }
    if (info.state == 'Z' || info.state == 'X' || !carries(pid, ids, count, look)) {
        return;
    }
    look->count++;
    bool is_leader = info.pid == info.session && info.pid == info.group;
    keep_older(is_leader ? &look->leader : &look->member, &info);
    if (signo != 0 && !process_signal(&info, signo)) {
        look->is_unknown = true;
    }
}

/* Signals those who carry one of the ids, with signo 0 nobody. */
static struct look look_for(const char *const *ids, size_t count, int signo)
{
    struct look look = {0};
    DIR *dir = opendir("/proc");
    look.is_unknown = dir == NULL;
    for (struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL; e = readdir(dir)) {
        uint64_t pid = 0;
        if (str_to_u64(str_of(e->d_name), &pid) && pid <= INT32_MAX && (pid_t)pid != getpid()) {
            look_at((pid_t)pid, ids, count, signo, &look);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return look;
}

/* Whom a member's session was led by: a number nobody else can get while the session lasts. */
static enum process_answer find_gone_leader(const struct process_info *member,
                                            struct process_info *out_leader)
{
    struct process_info leader = *member;
    leader.pid = leader.group = member->session;
    struct process_info info;
    if (process_read(member->session, &info)) { /* it carries no id: it has ended, or is not ours */
        leader.start_ticks = info.start_ticks;
        if (info.state != 'Z' && info.state != 'X') {
            return PROCESS_NONE;
        }
    } else if (process_is_want(errno)) {
        return PROCESS_UNKNOWN;
    }
    *out_leader = leader;
    return PROCESS_FOUND;
}

enum process_answer runid_find_leader(const char *id, struct process_info *out_leader)
{
    struct look look = look_for(&id, 1, 0);
    if (look.leader.pid != 0) {
        *out_leader = look.leader;
        return PROCESS_FOUND;
    }
    if (look.is_unknown) {
        return PROCESS_UNKNOWN;
    }
    return look.member.pid == 0 ? PROCESS_NONE : find_gone_leader(&look.member, out_leader);
}

enum process_answer runid_kill(const char *id)
{
    struct look look = look_for(&id, 1, SIGKILL);
    /* Some may be forking while they are looked at. */
    for (int i = 1; i < KILL_ROUNDS && look.count > 0 && !look.is_unknown; i++) {
        (void)usleep(1000);
        look = look_for(&id, 1, SIGKILL);
    }
    return look.is_unknown ? PROCESS_UNKNOWN : PROCESS_NONE;
}

enum process_answer runid_signal(const char *const *ids, size_t count, int signo)
{
    struct look look = look_for(ids, count, signo);
    return look.is_unknown ? PROCESS_UNKNOWN : look.count > 0 ? PROCESS_FOUND : PROCESS_NONE;
}
