/* cmd_exec: `wos exec`: a command where a service runs, with its environment. The daemon starts
 * it; this end is its terminal or, where standard input or output is none, its pipes. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/base64.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/launch.h"
#include "cli/wsclient.h"

enum {
    INPUT_CHUNK = 16384,
    INPUT_WINDOW = 131072, /* bytes sent that the program has not taken yet */
    SIGNAL_EXIT = 128,
};

struct exec {
    struct cli *cli; /* borrowed */
    bool is_terminal;
    struct wsclient *ws; /* owned */
    int signals;         /* owned: a signalfd */
    uint64_t sent;
    uint64_t taken;
    bool input_over;
    bool exited;
    int code;
    struct err failed;
};

static void exec_send(struct exec *x, cJSON *message)
{
    autofree char *text = json_print(message);
    wsclient_send(x->ws, str_of(text));
    cJSON_Delete(message);
}

static cJSON *message_new(const char *type)
{
    cJSON *message = cJSON_CreateObject();
    return json_add_str(message, "type", type);
}

static void add_size(cJSON *message)
{
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
        (void)json_add_int(message, "cols", size.ws_col);
        (void)json_add_int(message, "rows", size.ws_row);
    }
}

static void write_all(struct exec *x, int fd, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t put = write(fd, bytes.ptr, bytes.len);
        if (put < 0 && errno == EAGAIN) {
            struct pollfd room = {.fd = fd, .events = POLLOUT};
            (void)poll(&room, 1, -1);
        } else if (put < 0 && errno != EINTR) {
            x->exited = true; /* nobody reads any more */
            x->code = SIGNAL_EXIT + SIGPIPE;
            return;
        } else if (put > 0) {
            bytes = (struct str){bytes.ptr + put, bytes.len - (size_t)put};
        }
    }
}

static void on_output(struct exec *x, const cJSON *message)
{
    bool is_error = strcmp(json_get_str(message, "stream", ""), "stderr") == 0;
    struct buf bytes = {0};
    if (!base64_decode(str_of(json_get_str(message, "dataBase64", "")), &bytes) || bytes.len == 0) {
        buf_add_text(&bytes, json_get_str(message, "data", ""));
    }
    write_all(x, is_error ? STDERR_FILENO : STDOUT_FILENO, buf_str(&bytes));
    buf_fini(&bytes);
}

static int exit_code_of(const cJSON *how)
{
    int64_t signo = json_get_int(how, "signal", 0);
    return signo > 0 && signo < 128 ? SIGNAL_EXIT + (int)signo
                                    : (int)(json_get_int(how, "exitCode", 1) & 0xff);
}

static void exec_on_text(void *arg, struct str text)
{
    struct exec *x = arg;
    autojson cJSON *message = json_parse(text, "message", NULL);
    const char *type = json_get_str(message, "type", "");
    if (strcmp(type, "output") == 0) {
        on_output(x, message);
    } else if (strcmp(type, "taken") == 0) {
        x->taken = (uint64_t)json_get_int(message, "bytes", 0);
    } else if (strcmp(type, "exit") == 0) {
        x->exited = true;
        x->code = exit_code_of(json_get(message, "exit"));
    } else if (strcmp(type, "error") == 0) {
        (void)err_set(&x->failed, ERR_FAILED, "%s", json_get_str(message, "message", "refused"));
    }
}

static void read_input(struct exec *x)
{
    char bytes[INPUT_CHUNK];
    ssize_t got = read(STDIN_FILENO, bytes, sizeof(bytes));
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
        return;
    }
    if (got <= 0) {
        x->input_over = true;
        exec_send(x, message_new("eof"));
        return;
    }
    struct buf coded = {0};
    base64_encode((struct str){bytes, (size_t)got}, &coded);
    exec_send(x, json_add_str(message_new("input"), "dataBase64", buf_cstr(&coded)));
    buf_fini(&coded);
    x->sent += (size_t)got;
}

/* A change of size goes on; what would end this command ends it, with the terminal as it was. */
static void read_signal(struct exec *x)
{
    struct signalfd_siginfo info;
    if (read(x->signals, &info, sizeof(info)) != (ssize_t)sizeof(info)) {
        return;
    }
    if (info.ssi_signo == SIGWINCH) {
        cJSON *message = message_new("resize");
        add_size(message);
        exec_send(x, message);
        return;
    }
    x->exited = true;
    x->code = SIGNAL_EXIT + (int)info.ssi_signo;
}

static void exec_loop(struct exec *x)
{
    while (!x->exited && x->failed.code == ERR_NONE) {
        bool more = !x->input_over && x->sent - x->taken < INPUT_WINDOW;
        struct pollfd fds[] = {
            {.fd = wsclient_fd(x->ws),
             .events = (short)(POLLIN | (wsclient_wants_write(x->ws) ? POLLOUT : 0))},
            {.fd = x->signals, .events = POLLIN},
            {.fd = more ? STDIN_FILENO : -1, .events = POLLIN},
        };
        if (poll(fds, COUNT_OF(fds), -1) < 0 && errno != EINTR) {
            (void)err_set_sys(&x->failed, "poll");
            return;
        }
        if (fds[1].revents != 0) {
            read_signal(x);
        }
        if (fds[2].revents != 0) {
            read_input(x);
        }
        if (!wsclient_step(x->ws) && !x->exited && x->failed.code == ERR_NONE) {
            (void)err_set(&x->failed, ERR_FAILED, "the daemon ended the connection");
        }
    }
}

/* Where the daemon says the terminal is, as a path on its socket. */
static char *attach_path(const cJSON *answer)
{
    const char *path = json_get_str(answer, "attachPath", "");
    const char *rest = strncmp(path, "/ui/v1/", 7) == 0 ? path + 6
                       : strncmp(path, "/v1/", 4) == 0  ? path + 3
                                                        : path;
    return xasprintf("/v1%s", rest);
}

static int exec_attach(struct exec *x, const cJSON *answer, struct err *err)
{
    autofree char *socket_path = path_join(x->cli->home, "daemon.sock");
    autofree char *path = attach_path(answer);
    x->ws = wsclient_open(socket_path, path, exec_on_text, x, err);
    if (x->ws == NULL) {
        return -1;
    }
    autofree char *client = xasprintf("wos-exec-%d", (int)getpid());
    cJSON *hello = message_new("hello");
    (void)json_add_int(hello, "v", 1);
    (void)json_add_str(hello, "clientId", client);
    (void)json_add_str(hello, "desiredControl", "controller");
    (void)json_add_str(hello, "encoding", "base64");
    add_size(hello);
    exec_send(x, hello);
    return 0;
}

static int exec_session(struct exec *x, const cJSON *answer, struct err *err)
{
    static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH};
    struct termios before;
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < COUNT_OF(caught); i++) {
        (void)sigaddset(&set, caught[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    x->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (x->signals < 0) {
        return err_set_sys(err, "signalfd");
    }
    if (exec_attach(x, answer, err) < 0) {
        return -1;
    }
    bool raw = x->is_terminal && tcgetattr(STDIN_FILENO, &before) == 0;
    if (raw) {
        struct termios mode = before;
        cfmakeraw(&mode);
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &mode);
    }
    exec_loop(x);
    if (raw) {
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    }
    if (!x->exited && x->failed.code != ERR_NONE) {
        *err = x->failed;
        return -1;
    }
    return 0;
}

static int exec_start(struct exec *x, int argc, char **argv, struct err *err)
{
    autojson cJSON *request = follow_request(x->cli);
    autojson cJSON *answer = NULL;
    (void)json_add_str(request, "service", argv[0]);
    cJSON *command = cJSON_AddArrayToObject(request, "command");
    for (int i = 1; i < argc; i++) {
        cJSON_AddItemToArray(command, cJSON_CreateString(argv[i]));
    }
    (void)json_add_bool(request, "tty", x->is_terminal);
    if (x->is_terminal) {
        add_size(request);
    }
    if (launch_ensure(x->cli, NULL, NULL, err) < 0 ||
        client_call(x->cli->client, "POST", "/worktrees/exec", request, &answer, err) < 0) {
        return -1;
    }
    return exec_session(x, answer, err);
}

static int exec_run(struct cli *cli, int argc, char **argv)
{
    struct err err = {0};
    bool dashes = argc > 1 && strcmp(argv[1], "--") == 0;
    if (argc > 0 && argv[0][0] == '-') {
        (void)err_set(&err, ERR_USAGE, "the first word is the service, not '%s'", argv[0]);
        return command_fail(cli, &err);
    }
    if (argc < (dashes ? 3 : 2)) {
        (void)err_set(&err, ERR_USAGE, "exec takes a service and a command");
        return command_fail(cli, &err);
    }
    if (dashes) {
        argv[1] = argv[0];
        argv++;
        argc--;
    }
    struct exec x = {.cli = cli, .signals = -1};
    x.is_terminal = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
    int result = exec_start(&x, argc, argv, &err);
    wsclient_free(x.ws);
    if (x.signals >= 0) {
        (void)close(x.signals);
    }
    /* The command's own code, also with --json: its output is what was asked for. */
    return result < 0 ? command_fail(cli, &err) : x.code;
}

const struct command cmd_exec = {
    .name = "exec",
    .args = "SERVICE [--] COMMAND [ARGUMENT]…",
    .summary = "run a command where a service runs",
    .help = "The command gets the service's directory and environment (in Docker modes it runs in\n"
            "its container), and a terminal if this one is a terminal, pipes otherwise. The exit\n"
            "code is the command's, or 128 and the signal that ended it. Everything behind\n"
            "SERVICE belongs to the command. With --json only what keeps it from starting is an\n"
            "object: standard output is the command's.\n"
            "\n"
            "Examples:\n"
            "  wos exec web -- npm run migrate\n"
            "  wos exec web sh\n"
            "  wos exec db -- pg_dump app > app.sql\n",
    .run = exec_run,
};
