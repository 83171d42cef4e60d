/* Programs behind a terminal and behind pipes. Nothing here waits for a fixed time. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/process.h"
#include "daemon/terminal_internal.h"
#include "daemon/terminal_left.h"

struct watcher {
    struct buf out;
    struct buf errors;
    uint64_t next;
    uint64_t taken;
    int exits;
    int status;
    int skips;
    int answers;       /* 0: not told yet; 1, 2: told no, yes */
    size_t answers_at; /* output before that */
    uint16_t cols, rows;
    struct terminal_attachment *attachment;
    size_t detach_after; /* bytes; 0: never */
};

struct world {
    struct loop *loop;
    struct terminals *ts;
    struct watcher a, b;
};

static void on_output(void *arg, uint64_t seq, enum terminal_stream stream, struct str data)
{
    struct watcher *w = arg;
    assert_true(data.len > 0);
    assert_int_equal(seq, w->next);
    w->next = seq + data.len;
    buf_add_str(stream == TERMINAL_STDERR ? &w->errors : &w->out, data);
    if (w->detach_after != 0 && w->out.len >= w->detach_after) {
        terminal_detach(w->attachment);
        w->attachment = NULL;
    }
}

static void on_exit_seen(void *arg, int status)
{
    struct watcher *w = arg;
    w->exits++;
    w->status = status;
}

static void on_taken(void *arg, uint64_t total)
{
    struct watcher *w = arg;
    w->taken = total;
}

static const struct terminal_ops ops = {on_output, on_exit_seen, on_taken, NULL, NULL, NULL};

static void on_size(void *arg, uint16_t cols, uint16_t rows)
{
    struct watcher *w = arg;
    w->cols = cols;
    w->rows = rows;
}

static void on_skip(void *arg, uint64_t seq)
{
    struct watcher *w = arg;
    assert_true(seq > w->next);
    w->skips++;
    w->next = seq;
}

static void on_answers(void *arg, bool yours)
{
    struct watcher *w = arg;
    assert_int_not_equal(w->answers, yours ? 2 : 1);
    w->answers_at = w->out.len;
    w->answers = yours ? 2 : 1;
}

static const struct terminal_ops skipping = {on_output, on_exit_seen, on_taken,
                                             on_size,   on_skip,      on_answers};

static int set_up(void **state)
{
    struct world *w = xcalloc(1, sizeof(*w));
    (void)signal(SIGPIPE, SIG_IGN);
    w->loop = loop_new(NULL);
    w->ts = terminals_new(w->loop, NULL);
    *state = w;
    return 0;
}

static void watcher_fini(struct watcher *w)
{
    buf_fini(&w->out);
    buf_fini(&w->errors);
}

static int tear_down(void **state)
{
    struct world *w = *state;
    terminals_free(w->ts);
    loop_free(w->loop);
    watcher_fini(&w->a);
    watcher_fini(&w->b);
    free(w);
    return 0;
}

static struct terminal *open_shell(struct world *w, const char *script, bool use_pipes)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct terminal_spec spec = {
        .argv = argv, .session = "s", .cols = 100, .rows = 30, .use_pipes = use_pipes};
    struct err err = {0};
    struct terminal *t = terminal_open(w->ts, &spec, &err);
    if (t == NULL) {
        fail_msg("%s", err.msg);
    }
    return t;
}

static void attach(struct terminal *t, struct watcher *w, uint64_t since)
{
    w->next = since;
    w->attachment = terminal_attach(t, since, &ops, w, NULL);
    assert_non_null(w->attachment);
}

static void run_until_exit(struct world *w, struct watcher *watcher)
{
    while (watcher->exits == 0) {
        loop_turn(w->loop, true);
    }
    assert_int_equal(watcher->exits, 1);
}

static void run_until_text(struct world *w, struct watcher *watcher, const char *text)
{
    while (strstr(buf_cstr(&watcher->out), text) == NULL) {
        assert_int_equal(watcher->exits, 0);
        loop_turn(w->loop, true);
    }
}

static void run_until_gone(struct world *w, const char *id)
{
    while (terminals_find(w->ts, id) != NULL) {
        loop_turn(w->loop, true);
    }
}

static void test_terminal(void **state)
{
    struct world *w = *state;
    struct terminal *t = open_shell(w,
                                    "test -t 0 && test -t 1 && test -t 2 && stty size && tty >&2\n"
                                    "echo ready; read line; echo \"got $line\"\n"
                                    "trap 'stty size; exit 7' WINCH; echo trapped\n"
                                    "while :; do read more; done",
                                    false);
    assert_string_equal(terminal_session(t), "s");
    assert_int_equal(strlen(terminal_id(t)), 32);
    assert_ptr_equal(terminals_find(w->ts, terminal_id(t)), t);
    attach(t, &w->a, 0);
    run_until_text(w, &w->a, "ready\r\n");
    assert_non_null(strstr(buf_cstr(&w->a.out), "30 100\r\n"));
    assert_non_null(strstr(buf_cstr(&w->a.out), "/dev/pts/"));
    assert_true(terminal_write(t, STR("typed\r")));
    run_until_text(w, &w->a, "got typed\r\n");
    run_until_text(w, &w->a, "trapped");
    terminal_resize(t, 91, 9999);
    /* A shell runs a trap once its builtin is over. */
    run_until_text(w, &w->a, "1000 91");
    run_until_exit(w, &w->a);
    assert_int_equal(WEXITSTATUS(w->a.status), 7);
    autofree char *id = xstrdup(terminal_id(t));
    /* Who comes later gets the whole story too. */
    attach(t, &w->b, 0);
    run_until_exit(w, &w->b);
    assert_string_equal(buf_cstr(&w->b.out), buf_cstr(&w->a.out));
    terminal_detach(w->a.attachment);
    terminal_detach(w->b.attachment);
    run_until_gone(w, id);
}

static void test_interrupt_key(void **state)
{
    struct world *w = *state;
    struct terminal *t = open_shell(w, "echo ready; exec sleep 1000", false);
    attach(t, &w->a, 0);
    run_until_text(w, &w->a, "ready");
    assert_true(terminal_write(t, STR("\003")));
    run_until_exit(w, &w->a);
    assert_true(WIFSIGNALED(w->a.status) && WTERMSIG(w->a.status) == SIGINT);
}

static void test_pipes(void **state)
{
    struct world *w = *state;
    struct terminal *t =
        open_shell(w, "test -t 0 || echo no terminal; cat; echo bad >&2; exit 3", true);
    attach(t, &w->a, 0);
    static char block[100000];
    memset(block, 'x', sizeof(block));
    block[777] = '\0'; /* any byte passes */
    assert_true(terminal_write(t, (struct str){block, sizeof(block)}));
    assert_true(terminal_write(t, STR("end")));
    terminal_close_input(t);
    run_until_exit(w, &w->a);
    assert_int_equal(WEXITSTATUS(w->a.status), 3);
    assert_int_equal(w->a.out.len, 12 + sizeof(block) + 3);
    assert_memory_equal(w->a.out.ptr + 12, block, sizeof(block));
    assert_string_equal(buf_cstr(&w->a.errors), "bad\n");
    assert_int_equal(w->a.taken, sizeof(block) + 3);
}

static void test_input_is_bounded(void **state)
{
    struct world *w = *state;
    struct terminal *t = open_shell(w, "exec sleep 1000", true);
    attach(t, &w->a, 0);
    autofree char *much = xcalloc(1, TERMINAL_INPUT_MAX + 1);
    assert_false(terminal_write(t, (struct str){much, TERMINAL_INPUT_MAX + 1}));
    assert_true(terminal_write(t, (struct str){much, TERMINAL_INPUT_MAX}));
    assert_false(terminal_write(t, STR("x")));
    terminals_end_session(w->ts, "other");
    terminals_end_session(w->ts, "s");
    run_until_exit(w, &w->a);
    assert_true(WIFSIGNALED(w->a.status));
}

/* Nothing is lost or dropped: a megabyte passes a watcher that pauses, and one who
 * comes late gets the newest part. */
static void test_much_output(void **state)
{
    struct world *w = *state;
    struct terminal *t =
        open_shell(w,
                   "i=0; while [ $i -lt 20000 ]; do echo \"line $i ..........................."
                   "..............\"; i=$((i+1)); done",
                   true);
    attach(t, &w->a, 0);
    size_t seen = 0;
    for (int i = 0; i < 20 && w->a.exits == 0; i++) {
        terminal_pause(w->a.attachment, true);
        loop_turn(w->loop, true); /* the pause is known */
        seen = w->a.out.len;
        loop_turn(w->loop, false);
        assert_int_equal(w->a.out.len, seen);
        terminal_pause(w->a.attachment, false);
        while (w->a.out.len == seen && w->a.exits == 0) {
            loop_turn(w->loop, true);
        }
    }
    run_until_exit(w, &w->a);
    assert_int_equal(w->a.status, 0);
    assert_true(w->a.out.len > (size_t)4 * TERMINAL_REPLAY);
    w->b.next = w->a.out.len - TERMINAL_REPLAY;
    w->b.attachment = terminal_attach(t, 0, &ops, &w->b, NULL);
    run_until_exit(w, &w->b);
    assert_int_equal(w->b.out.len, TERMINAL_REPLAY);
    assert_memory_equal(w->b.out.ptr, w->a.out.ptr + w->a.out.len - TERMINAL_REPLAY,
                        TERMINAL_REPLAY);
}

static void attach_skipping(struct terminal *t, struct watcher *w)
{
    w->attachment = terminal_attach(t, 0, &skipping, w, NULL);
    assert_non_null(w->attachment);
}

/* One that may skip and does not read holds up neither the program nor the other. */
static void test_a_slow_watcher_skips(void **state)
{
    struct world *w = *state;
    struct terminal *t = open_shell(
        w, "stty -echo; read x; yes 123456789 | head -c 3000000; echo END; read x", false);
    attach_skipping(t, &w->a);
    attach_skipping(t, &w->b);
    terminal_pause(w->a.attachment, true);
    assert_true(terminal_write(t, STR("\r")));
    run_until_text(w, &w->b, "END");
    assert_int_equal(w->a.out.len, 0);
    terminal_pause(w->a.attachment, false);
    run_until_text(w, &w->a, "END");
    assert_int_equal(w->a.skips, 1);
    assert_int_equal(w->b.skips, 0);
    assert_true(w->a.out.len <= TERMINAL_REPLAY);
    assert_memory_equal(w->a.out.ptr, "123456789\r\n", 11); /* from the start of a line */
    assert_int_equal(w->a.cols, 100);
    terminal_resize(t, 0, 50);
    while (w->a.rows != 50 || w->b.rows != 50) {
        loop_turn(w->loop, true);
    }
    assert_true(w->a.cols == 1 && w->b.cols == 1);
}

static void run_until_answers(struct world *w, int a, int b)
{
    while (w->a.answers != a || w->b.answers != b) {
        loop_turn(w->loop, true);
    }
}

/* What a program asks of its terminal is answered by one of those who watch. */
static void test_one_answers(void **state)
{
    enum { NO = 1, YES = 2 };
    struct world *w = *state;
    struct watcher exact = {0};
    struct terminal *t = open_shell(w, "stty -echo; echo one; read x; echo two; read x", false);
    attach_skipping(t, &w->a);
    run_until_text(w, &w->a, "one");
    assert_true(w->a.answers == YES && w->a.answers_at == 0);
    attach_skipping(t, &w->b);
    run_until_answers(w, NO, YES); /* who came last */
    terminal_pause(w->b.attachment, true);
    assert_true(terminal_write(t, STR("\r")));
    terminal_act(w->a.attachment);
    run_until_text(w, &w->a, "two");
    assert_true(w->a.answers == YES && w->b.answers == YES);
    size_t before = w->b.out.len;
    terminal_pause(w->b.attachment, false);
    run_until_answers(w, YES, NO);             /* who typed last */
    assert_int_equal(w->b.answers_at, before); /* told before what came after it */
    terminal_detach(w->a.attachment);
    w->a.answers = NO;
    run_until_answers(w, NO, YES);                                /* who is left */
    exact.attachment = terminal_attach(t, 0, &ops, &exact, NULL); /* one that is not told */
    run_until_answers(w, NO, NO);
    terminal_detach(exact.attachment);
    run_until_answers(w, NO, YES);
    watcher_fini(&exact);
}

struct changes_seen {
    int of[TERMINAL_REMOVED + 1];
};

static void on_change(void *arg, const struct terminal *t, enum terminal_change change)
{
    struct changes_seen *seen = arg;
    assert_string_equal(terminal_session(t), "s");
    seen->of[change]++;
}

static void test_an_end_is_kept(void **state)
{
    struct world *w = *state;
    struct changes_seen seen = {0};
    const char *const argv[] = {"sh", "-c", "echo bye; exit 5", NULL};
    struct terminal_spec spec = {.argv = argv, .session = "s", .keep_ms = 3600000};
    terminals_observe(w->ts, on_change, &seen);
    struct terminal *t = terminal_open(w->ts, &spec, NULL);
    autofree char *id = xstrdup(terminal_id(t));
    attach_skipping(t, &w->a);
    run_until_exit(w, &w->a);
    terminal_detach(w->a.attachment);
    loop_turn(w->loop, false);
    loop_turn(w->loop, false);
    assert_ptr_equal(terminals_find(w->ts, id), t);
    assert_false(terminal_is_running(t));
    attach_skipping(t, &w->b);
    run_until_exit(w, &w->b);
    assert_int_equal(WEXITSTATUS(w->b.status), 5);
    assert_string_equal(buf_cstr(&w->b.out), "bye\r\n");
    terminal_detach(w->b.attachment);
    terminal_end(t); /* closed: it is not kept any more */
    run_until_gone(w, id);
    assert_int_equal(seen.of[TERMINAL_ATTACHED], 2);
    assert_int_equal(seen.of[TERMINAL_DETACHED], 2);
    assert_int_equal(seen.of[TERMINAL_EXITED], 1);
    assert_int_equal(seen.of[TERMINAL_REMOVED], 1);
    terminals_observe(w->ts, NULL, NULL);
}

static void test_detach_in_callback_and_linger(void **state)
{
    struct world *w = *state;
    const char *const argv[] = {"sh", "-c", "echo 1234567890; exec sleep 1000", NULL};
    struct terminal_spec spec = {.argv = argv, .linger_ms = 1};
    struct terminal *t = terminal_open(w->ts, &spec, NULL);
    autofree char *id = xstrdup(terminal_id(t));
    w->a.detach_after = 5;
    attach(t, &w->a, 0);
    run_until_gone(w, id); /* nobody is left: it is ended */
    assert_int_equal(w->a.exits, 0);
}

static void read_all(const char *path, struct buf *out)
{
    buf_consume(out, out->len);
    (void)file_read(path, 1000, out, NULL);
}

static size_t count_of(struct buf *text, const char *word)
{
    size_t count = 0;
    const char *at = buf_cstr(text);
    while ((at = strstr(at, word)) != NULL) {
        count++;
        at++;
    }
    return count;
}

/* As before its number was written down. */
static void forget_number(struct terminal *t)
{
    t->process = NULL;
    terminal_left_write(t);
}

/* A daemon that opens terminals and is killed. Their programs do not mind their end, nor do those
 * they start; behind pipes they die with it, and only those they started are left. */
static void be_killed(const char *home, const char *said, const char *hung)
{
    struct terminals *ts = terminals_new(loop_new(NULL), home);
    autofree char *script =
        xasprintf("trap \"\" HUP; (sleep 600; :) & echo $$ $! end >> %s; wait; :", said);
    const char *const argv[] = {"sh", "-c", script, NULL};
    const char *const hangup[] = {"sh", "-c", "printf x >> \"$0\"", hung, NULL};
    struct terminal_spec spec = {.argv = argv, .hangup = hangup, .use_pipes = true};
    (void)terminal_open(ts, &spec, NULL);
    forget_number(terminal_open(ts, &spec, NULL));
    spec.use_pipes = false;
    forget_number(terminal_open(ts, &spec, NULL));
    struct buf text = {0};
    while (count_of(&text, "end\n") < 3) {
        (void)usleep(1000);
        read_all(said, &text);
    }
    (void)kill(getpid(), SIGKILL);
}

/* The next daemon ends what they left, whom they started, and what only a hangup reaches. */
static void test_a_killed_daemon_leaves_nothing(void **state)
{
    struct world *w = *state;
    char home[] = "/tmp/wos-left-XXXXXX";
    assert_non_null(mkdtemp(home));
    autofree char *said = path_join(home, "said");
    autofree char *hung = path_join(home, "hung");
    autofree char *dir = path_join(home, "terminals");
    pid_t killed = fork();
    assert_true(killed >= 0);
    if (killed == 0) {
        be_killed(home, said, hung);
    }
    assert_int_equal(waitpid(killed, NULL, 0), killed);
    assert_int_equal(rmdir(dir), -1); /* they are written down there */
    struct terminals *next = terminals_new(w->loop, home);
    while (rmdir(dir) < 0) {
        loop_turn(w->loop, true);
    }
    struct buf text = {0};
    while (text.len < 3) {
        (void)usleep(1000);
        read_all(hung, &text);
    }
    assert_string_equal(buf_cstr(&text), "xxx");
    read_all(said, &text);
    int pids[6];
    assert_int_equal(sscanf(buf_cstr(&text), "%d %d end %d %d end %d %d end", &pids[0], &pids[1],
                            &pids[2], &pids[3], &pids[4], &pids[5]),
                     6);
    for (size_t i = 0; i < COUNT_OF(pids); i++) {
        struct process_info info = {.state = 'Z'};
        assert_true(!process_read(pids[i], &info) || info.state == 'Z');
    }
    buf_fini(&text);
    terminals_free(next);
    assert_int_equal(path_remove_all(home, NULL), 0);
}

static void test_limits_and_errors(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    const char *const nothing[] = {"/nonexistent/program", NULL};
    struct terminal_spec spec = {.argv = nothing};
    assert_null(terminal_open(w->ts, &spec, &err));
    assert_non_null(strstr(err.msg, "/nonexistent/program"));
    const char *const argv[] = {"sleep", "1000", NULL};
    spec.argv = argv;
    for (int i = 0; i < TERMINALS_MAX; i++) {
        assert_non_null(terminal_open(w->ts, &spec, &err));
    }
    assert_null(terminal_open(w->ts, &spec, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_null(terminals_find(w->ts, ""));
}

/* What reaches further than signals runs once for a terminal that is ended while its program runs,
 * however that comes about. */
static void test_hangup(void **state)
{
    struct world *w = *state;
    char path[] = "/tmp/wos-hangup-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    const char *const argv[] = {"sh", "-c", "sleep 600", NULL};
    const char *const ended[] = {"sh", "-c", "true", NULL};
    const char *const hangup[] = {"sh", "-c", "printf x >> \"$0\"", path, NULL};
    struct terminal_spec spec = {.argv = argv, .hangup = hangup};
    struct terminal *closed = terminal_open(w->ts, &spec, NULL);
    spec.use_pipes = true;
    assert_non_null(terminal_open(w->ts, &spec, NULL)); /* until the daemon ends */
    spec.argv = ended;
    struct terminal *over = terminal_open(w->ts, &spec, NULL);
    attach(over, &w->a, 0);
    run_until_exit(w, &w->a);
    terminal_end(over);
    autofree char *id = xstrdup(terminal_id(closed));
    terminal_end(closed);
    terminal_end(closed);
    run_until_gone(w, id);
    terminals_free(w->ts);
    w->ts = terminals_new(w->loop, NULL);
    struct stat st = {0};
    while (st.st_size < 2) {
        assert_int_equal(fstat(fd, &st), 0);
        (void)usleep(10000);
    }
    assert_int_equal(st.st_size, 2);
    (void)close(fd);
    (void)unlink(path);
}

/* Nobody resizes it: what passes a terminal on hears of the size until the other side must have it.
 */
static void test_a_container_is_told_the_size_again(void **state)
{
    struct world *w = *state;
    const char *const argv[] = {
        "sh", "-c", "trap 'echo told; exit 7' WINCH\nwhile :; do read more; done", NULL};
    const char *const hangup[] = {"true", NULL};
    const struct terminal_spec spec = {.argv = argv, .hangup = hangup};
    attach(terminal_open(w->ts, &spec, NULL), &w->a, 0);
    run_until_exit(w, &w->a);
    assert_string_equal(buf_cstr(&w->a.out), "told\r\n");
    assert_int_equal(WEXITSTATUS(w->a.status), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_terminal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_interrupt_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pipes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_input_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_much_output, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_slow_watcher_skips, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_end_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_detach_in_callback_and_linger, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hangup, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_container_is_told_the_size_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_killed_daemon_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits_and_errors, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
