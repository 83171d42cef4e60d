/* client: see client.h. Called by the commands, in the one thread there is. */
#include "cli/client.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/fetch.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

enum {
    HEALTH_TIMEOUT_MS = 5000,
    CALL_TIMEOUT_MS = 60000,
    ANSWER_LIMIT_BYTES = 64 << 20,
    LINE_LIMIT_BYTES = 8 << 20,
};

struct client {
    struct loop *loop;          /* owned */
    struct fetch_client *fetch; /* owned */
    char *socket_path;          /* owned */
    cJSON *error_body;          /* owned: of the last failed call, or NULL */
    bool catches_interrupt;
    bool interrupted;
    bool timer_fired;
};

/* One request under way, on the stack of the function that waits. */
struct exchange_wait {
    struct client *client; /* borrowed */
    struct fetch *fetch;   /* borrowed: NULL once done */
    bool done;
    bool timed_out;
    int status;
    struct buf body;   /* the answer; of a stream, the line not yet complete */
    struct err failed; /* why there was no answer */
    /* Streams only: */
    client_line_fn *on_line;
    void *line_arg;
    bool ended_by_reader;
    bool too_long;
};

struct client *client_new(const char *home, struct err *err)
{
    struct client *client = xcalloc(1, sizeof *client);
    client->socket_path = path_join(home, "daemon.sock");
    client->loop = loop_new(err);
    if (client->loop != NULL) {
        client->fetch = fetch_client_new(client->loop, err);
    }
    if (client->fetch == NULL) {
        client_free(client);
        return NULL;
    }
    return client;
}

void client_free(struct client *client)
{
    if (client == NULL) {
        return;
    }
    if (client->fetch != NULL) {
        fetch_client_free(client->fetch);
    }
    if (client->loop != NULL) {
        loop_free(client->loop);
    }
    cJSON_Delete(client->error_body);
    free(client->socket_path);
    free(client);
}

struct loop *client_loop(struct client *client)
{
    return client->loop;
}

/* Hands every complete line on; false when the reader has had enough. */
static bool wait_take_lines(struct exchange_wait *wait)
{
    for (;;) {
        struct str have = buf_str(&wait->body);
        size_t len = str_find(have, '\n');
        if (len == have.len) {
            wait->too_long = len > LINE_LIMIT_BYTES;
            return !wait->too_long;
        }
        struct str text = str_trim((struct str){have.ptr, len});
        autojson cJSON *line = text.len == 0 ? NULL : json_parse(text, "stream", NULL);
        buf_consume(&wait->body, len + 1);
        if (line != NULL && !wait->on_line(wait->line_arg, line)) {
            wait->ended_by_reader = true;
            return false;
        }
    }
}

static bool client_on_data(void *arg, struct str piece)
{
    struct exchange_wait *wait = arg;
    buf_add_str(&wait->body, piece);
    return wait_take_lines(wait);
}

static void client_on_done(void *arg, const struct fetch_response *response)
{
    struct exchange_wait *wait = arg;
    wait->done = true;
    wait->fetch = NULL;
    wait->status = response->status;
    wait->timed_out = response->timed_out;
    buf_add_str(&wait->body, response->body);
    if (response->error != NULL) {
        (void)err_set(&wait->failed, response->timed_out ? ERR_TIMEOUT : ERR_FAILED, "%s",
                      response->error);
    }
}

/* Runs the loop until the answer is there. -1 when there is none. */
static int client_wait(struct client *client, struct exchange_wait *wait, struct err *err)
{
    loop_turn(client->loop, false); /* a fetch gets its events at the end of a turn */
    while (!wait->done && !client->interrupted) {
        loop_turn(client->loop, true);
    }
    if (!wait->done) {
        fetch_cancel(wait->fetch);
        return err_set(err, ERR_FAILED, "interrupted");
    }
    if (wait->ended_by_reader) {
        return 0;
    }
    if (wait->too_long) {
        return err_set(err, ERR_FAILED, "the daemon sent a line of more than %d bytes",
                       (int)LINE_LIMIT_BYTES);
    }
    if (wait->status == 0 || wait->failed.code != ERR_NONE) {
        if (wait->timed_out) {
            return err_set(err, ERR_TIMEOUT, "the daemon does not answer (%s)",
                           client->socket_path);
        }
        return err_set(err, ERR_NOT_FOUND, "no daemon answers at %s: %s", client->socket_path,
                       wait->failed.msg);
    }
    return 0;
}

static void client_start(struct client *client, const char *method, const char *path,
                         const char *body, uint32_t timeout_ms, struct exchange_wait *wait)
{
    autofree char *url = xasprintf("http://localhost/v1%s", path);
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    struct fetch_request request = {
        .method = method,
        .url = url,
        .unix_socket = client->socket_path,
        .headers = body == NULL ? NULL : headers,
        .body = str_of(body),
        .timeout_ms = timeout_ms,
        .body_limit = ANSWER_LIMIT_BYTES,
        .on_data = wait->on_line == NULL ? NULL : client_on_data,
    };
    wait->client = client;
    cJSON_Delete(client->error_body);
    client->error_body = NULL;
    wait->fetch = fetch_start(client->fetch, &request, client_on_done, wait);
}

enum err_code client_word_code(const char *word)
{
    static const struct {
        const char *word;
        enum err_code code;
    } words[] = {
        {"validation", ERR_USAGE},          {"not-a-worktree", ERR_CONFIG},
        {"config-missing", ERR_CONFIG},     {"config-invalid", ERR_CONFIG},
        {"session-busy", ERR_BUSY},         {"not-found", ERR_NOT_FOUND},
        {"forbidden", ERR_REFUSED},         {"name-taken", ERR_REFUSED},
        {"tunnel-disabled", ERR_FAILED},    {"certificate-busy", ERR_BUSY},
        {"certificate-source", ERR_CONFIG},
    };
    for (size_t i = 0; word != NULL && i < COUNT_OF(words); i++) {
        if (strcmp(words[i].word, word) == 0) {
            return words[i].code;
        }
    }
    return ERR_FAILED;
}

/* Turns an answer of 400 and up into an error; keeps its body. Takes it. */
static int client_refused(struct client *client, int status, cJSON *answer, struct err *err)
{
    const char *word = json_get_str(answer, "error", "");
    const char *message = json_get_str(answer, "message", NULL);
    client->error_body = answer;
    if (message == NULL) {
        return err_set(err, ERR_FAILED, "the daemon answered %d without a reason", status);
    }
    return err_set(err, client_word_code(word), "%s", message);
}

static int client_exchange(struct client *client, const char *method, const char *path,
                           const cJSON *body, uint32_t timeout_ms, cJSON **out_answer,
                           struct err *err)
{
    autofree char *text = body == NULL ? NULL : json_print(body);
    struct exchange_wait wait = {0};
    client_start(client, method, path, text, timeout_ms, &wait);
    int result = client_wait(client, &wait, err);
    cJSON *answer = NULL;
    if (result == 0) {
        struct err reason = {0};
        answer = json_parse(buf_str(&wait.body), "the daemon's answer", &reason);
        if (answer == NULL) {
            result = err_set(err, ERR_FAILED, "%s", reason.msg); /* nobody's configuration */
        }
    }
    buf_fini(&wait.body);
    if (result < 0) {
        return -1;
    }
    if (wait.status >= 400) {
        return client_refused(client, wait.status, answer, err);
    }
    *out_answer = answer;
    return 0;
}

int client_call(struct client *client, const char *method, const char *path, const cJSON *body,
                cJSON **out_answer, struct err *err)
{
    return client_exchange(client, method, path, body, CALL_TIMEOUT_MS, out_answer, err);
}

int client_text(struct client *client, const char *path, struct buf *out, struct err *err)
{
    struct exchange_wait wait = {0};
    client_start(client, "GET", path, NULL, CALL_TIMEOUT_MS, &wait);
    int result = client_wait(client, &wait, err);
    if (result == 0 && wait.status >= 400) {
        result = client_refused(client, wait.status,
                                json_parse(buf_str(&wait.body), "answer", NULL), err);
    } else if (result == 0) {
        buf_add_str(out, buf_str(&wait.body));
    }
    buf_fini(&wait.body);
    return result;
}

int client_health(struct client *client, cJSON **out_health, struct err *err)
{
    return client_exchange(client, "GET", "/health", NULL, HEALTH_TIMEOUT_MS, out_health, err);
}

/* A refused stream arrives through on_line like any other: its only line is the
 * error object. Remembered here so that it can be told from an event. */
struct stream_gate {
    client_line_fn *on_line;
    void *arg;
    cJSON *refusal; /* owned: NULL, or the error object */
};

static bool stream_on_line(void *arg, const cJSON *line)
{
    struct stream_gate *gate = arg;
    if (cJSON_IsString(json_get(line, "error")) && json_get(line, "sequence") == NULL) {
        cJSON_Delete(gate->refusal);
        gate->refusal = cJSON_Duplicate(line, 1);
        return true;
    }
    return gate->on_line(gate->arg, line);
}

int client_stream(struct client *client, const char *path, client_line_fn *on_line, void *arg,
                  struct err *err)
{
    struct stream_gate gate = {.on_line = on_line, .arg = arg};
    struct exchange_wait wait = {.on_line = stream_on_line, .line_arg = &gate};
    client_start(client, "GET", path, NULL, 0, &wait);
    int result = client_wait(client, &wait, err);
    if (result == 0 && wait.body.len > 0 && !wait.ended_by_reader) {
        buf_add_char(&wait.body, '\n'); /* a last line without its newline */
        (void)wait_take_lines(&wait);
    }
    buf_fini(&wait.body);
    if (result == 0 && wait.status >= 400) {
        return client_refused(client, wait.status, gate.refusal, err);
    }
    cJSON_Delete(gate.refusal);
    return result;
}

const char *client_error_word(const struct client *client)
{
    return json_get_str(client->error_body, "error", NULL);
}

const cJSON *client_error_body(const struct client *client)
{
    return client->error_body;
}

static void client_on_signal(int signo, void *arg)
{
    struct client *client = arg;
    (void)signo; /* both mean the same here */
    client->interrupted = true;
}

int client_catch_interrupt(struct client *client, struct err *err)
{
    static const int signals[] = {SIGINT, SIGTERM};
    if (client->catches_interrupt) {
        return 0;
    }
    if (loop_watch_signals(client->loop, signals, COUNT_OF(signals), client_on_signal, client,
                           err) < 0) {
        return -1;
    }
    client->catches_interrupt = true;
    return 0;
}

bool client_interrupted(const struct client *client)
{
    return client->interrupted;
}

static void client_on_timer(void *arg)
{
    struct client *client = arg;
    client->timer_fired = true;
}

void client_sleep(struct client *client, uint32_t ms)
{
    struct loop_timer timer;
    loop_timer_init(&timer, client->loop, client_on_timer, client);
    client->timer_fired = false;
    loop_timer_set(&timer, ms);
    while (!client->timer_fired && !client->interrupted) {
        loop_turn(client->loop, true);
    }
    loop_timer_fini(&timer);
}
