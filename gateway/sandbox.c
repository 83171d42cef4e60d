/* sandbox: see sandbox.h. The gateway's main thread, before there are others. */
#include "gateway/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true
#elif defined(__has_feature)
#define IS_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define IS_SANITIZED false
#endif

static void warn(const char *what)
{
    log_warn("sandbox", "goes without a part", LOG_STR("part", what),
             LOG_STR("error", strerrordesc_np(errno)));
}

/* --- the root ------------------------------------------------------------------- */

static bool write_text(const char *path, const char *text)
{
    autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
    size_t len = strlen(text);
    return fd >= 0 && write(fd, text, len) == (ssize_t)len;
}

/* In the new user namespace we are who we were: peers on the link are compared by uid. */
static bool map_self(uid_t uid, gid_t gid)
{
    char users[48];
    char groups[48];
    (void)snprintf(users, sizeof users, "%u %u 1", uid, uid);
    (void)snprintf(groups, sizeof groups, "%u %u 1", gid, gid);
    return write_text("/proc/self/setgroups", "deny") && write_text("/proc/self/uid_map", users) &&
           write_text("/proc/self/gid_map", groups);
}

static bool empty_root(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int flags = CLONE_NEWNS | CLONE_NEWIPC | (uid == 0 ? 0 : CLONE_NEWUSER);
    if (unshare(flags) != 0 || (uid != 0 && !map_self(uid, gid))) {
        return false;
    }
    /* Nothing mounted here may show outside. The old root hangs below the new one for a moment. */
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("wos-empty", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                 "size=4k,nr_inodes=2,mode=0555") == 0 &&
           chdir("/tmp") == 0 && syscall(SYS_pivot_root, ".", ".") == 0 &&
           umount2(".", MNT_DETACH) == 0 && chdir("/") == 0 &&
           mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                 NULL) == 0;
}

static bool drop_capabilities(void)
{
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
        (void)prctl(PR_CAPBSET_DROP, cap, 0, 0,
                    0); /* without CAP_SETPCAP there is nothing to drop */
    }
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    return syscall(SYS_capset, &header, none) == 0;
}

/* --- seccomp --------------------------------------------------------------------- */

/* What a running gateway needs: its loop, TCP, memory, time, threads. */
static const int allowed[] = {
    /* the loop */
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(eventfd2),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(timerfd_gettime),
    SCMP_SYS(pipe2),
    SCMP_SYS(close),
    /* bytes */
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendto),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(fstat),
    SCMP_SYS(lseek),
    SCMP_SYS(fadvise64),
    SCMP_SYS(connect),
    /* memory */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(membarrier),
    /* time and randomness */
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getrandom),
    SCMP_SYS(time),
    /* threads, signals, the end */
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(get_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_setaffinity),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(signalfd4),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(set_tid_address),
    /* questions about oneself */
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(uname),
    SCMP_SYS(getrusage),
    SCMP_SYS(getrlimit),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getcpu),
};

/* Nothing of ours, nor of libc on its own, ever does these. */
static const int deadly[] = {
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(unshare),
    SCMP_SYS(setns),
    SCMP_SYS(bpf),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(keyctl),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(kill),
    SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(bind),
    SCMP_SYS(listen),
};

/* "Argument `index` is `value`": SCMP_A0(SCMP_CMP_EQ, …) leaves a member unset, which clang minds.
 */
static struct scmp_arg_cmp is(unsigned index, scmp_datum_t value)
{
    return (struct scmp_arg_cmp){.arg = index, .op = SCMP_CMP_EQ, .datum_a = value};
}

static struct scmp_arg_cmp has(unsigned index, scmp_datum_t mask, scmp_datum_t value)
{
    return (struct scmp_arg_cmp){
        .arg = index, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

/* TCP, and each socket that is open is among the descriptors in /proc, at one number, until it is
 * closed: so the daemon knows which connections are the gateway's (daemon/gateways.h). No copies of
 * descriptors, which could change places while somebody reads the table; no call that waits with a
 * socket in its hands while its descriptor is closed; no socket as memory. */
static int add_sockets(scmp_filter_ctx filter)
{
    static const int families[] = {AF_INET, AF_INET6};
    static const int protocols[] = {0, IPPROTO_TCP};
    static const int commands[] = {F_GETFD, F_SETFD, F_GETFL};
    static const int questions[] = {FIONREAD, TCGETS}; /* isatty() of the log */
    const uint32_t allow = SCMP_ACT_ALLOW;
    const scmp_datum_t type = SOCK_STREAM | SOCK_NONBLOCK;
    int rc = 0;
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        for (size_t j = 0; j < COUNT_OF(protocols); j++) {
            rc |= seccomp_rule_add(
                filter, allow, SCMP_SYS(socket), 3, is(0, (scmp_datum_t)families[i]),
                has(1, ~(scmp_datum_t)SOCK_CLOEXEC, type), is(2, (scmp_datum_t)protocols[j]));
        }
    }
    rc |=
        seccomp_rule_add(filter, allow, SCMP_SYS(accept4), 1, has(3, SOCK_NONBLOCK, SOCK_NONBLOCK));
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        rc |= seccomp_rule_add(filter, allow, SCMP_SYS(fcntl), 1, is(1, (scmp_datum_t)commands[i]));
    }
    rc |= seccomp_rule_add(filter, allow, SCMP_SYS(fcntl), 2, is(1, F_SETFL),
                           has(2, O_NONBLOCK, O_NONBLOCK));
    for (size_t i = 0; i < COUNT_OF(questions); i++) {
        rc |=
            seccomp_rule_add(filter, allow, SCMP_SYS(ioctl), 1, is(1, (scmp_datum_t)questions[i]));
    }
    return rc;
}

/* Calls that are right with some arguments only. */
static int add_guarded(scmp_filter_ctx filter, pid_t self)
{
    const uint32_t allow = SCMP_ACT_ALLOW;
    int rc = add_sockets(filter);
    /* Threads, not processes, and with the one table of descriptors. clone3 hides its flags in
     * memory: libc then takes clone. */
    rc |= seccomp_rule_add(filter, allow, SCMP_SYS(clone), 1,
                           has(0, CLONE_THREAD | CLONE_FILES, CLONE_THREAD | CLONE_FILES));
    rc |= seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), 1,
                           SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    rc |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    /* No memory that can be run, or that is a file or socket. */
    rc |= seccomp_rule_add(filter, allow, SCMP_SYS(mmap), 2, has(2, PROT_EXEC, 0),
                           has(3, MAP_ANONYMOUS, MAP_ANONYMOUS));
    rc |= seccomp_rule_add(filter, allow, SCMP_SYS(mprotect), 1,
                           SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    /* abort() and nothing else. */
    rc |= seccomp_rule_add(filter, allow, SCMP_SYS(tgkill), 1, is(0, (scmp_datum_t)self));
    /* Reading limits, not setting them. */
    rc |= seccomp_rule_add(filter, allow, SCMP_SYS(prlimit64), 1, is(2, 0));
    rc |= seccomp_rule_add(filter, allow, SCMP_SYS(prctl), 1, is(0, PR_SET_NAME));
    rc |= seccomp_rule_add(filter, allow, SCMP_SYS(prctl), 1, is(0, PR_SET_VMA));
    /* fstat of newer libcs. */
    rc |= seccomp_rule_add(filter, allow, SCMP_SYS(newfstatat), 1,
                           SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
    return rc;
}

static bool filter_calls(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (filter == NULL) {
        return false;
    }
    int rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree: cheap per call */
    if (rc == -EOPNOTSUPP || rc == -EINVAL) {
        rc = 0;
    }
    for (size_t i = 0; i < COUNT_OF(allowed); i++) {
        rc |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    }
    for (size_t i = 0; i < COUNT_OF(deadly); i++) {
        rc |= seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, deadly[i], 0);
    }
    rc |= add_guarded(filter, getpid());
    rc = rc == 0 ? seccomp_load(filter) : rc;
    seccomp_release(filter);
    errno = -rc;
    return rc == 0;
}

struct sandbox sandbox_enter(void)
{
    struct sandbox done = {0};
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none); /* lowering is always allowed */
    if (!IS_SANITIZED) {
        done.empty_root = empty_root();
        if (!done.empty_root) {
            warn("empty root");
        }
    }
    done.no_capabilities = drop_capabilities();
    if (!done.no_capabilities) {
        warn("no capabilities");
    }
    done.no_new_privs = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    if (!done.no_new_privs) {
        warn("no new privileges");
    }
    if (!IS_SANITIZED) {
        done.seccomp = filter_calls();
        if (!done.seccomp) {
            warn("seccomp");
        }
    }
    return done;
}
