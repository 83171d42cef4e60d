/* client: the daemon's API, spoken over H/daemon.sock (docs/API.md).
 *
 * The client has a loop of its own; each call runs it until the answer is
 * there, so a command reads from top to bottom. While client_catch_interrupt
 * is in force, Ctrl-C ends a wait with ERR_FAILED and client_interrupted tells.
 *
 *     autojson cJSON *detail = NULL;
 *     if (client_call(client, "GET", "/worktrees?path=…", NULL, &detail, err) < 0) …
 *
 * An answer of 400 and up is a failure: `err` gets its message and a code
 * (session-busy: ERR_BUSY, config-invalid: ERR_CONFIG, …); the word and the
 * whole body stay with the client until the next call.
 */
#ifndef WOS_CLI_CLIENT_H
#define WOS_CLI_CLIENT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"

struct client;

/* Does not connect yet. */
struct client *client_new(const char *home, struct err *err);
void client_free(struct client *client);
struct loop *client_loop(struct client *client);

/* `path` follows "/v1"; `body` may be NULL. The answer is the caller's. */
int client_call(struct client *client, const char *method, const char *path, const cJSON *body,
                cJSON **out_answer, struct err *err);
/* The answer as it is, appended to out: for what is no JSON. */
int client_text(struct client *client, const char *path, struct buf *out, struct err *err);
/* The daemon's health, at most 5 s. ERR_NOT_FOUND: nobody listens there. */
int client_health(struct client *client, cJSON **out_health, struct err *err);

/* One line of a stream; false ends it. */
typedef bool client_line_fn(void *arg, const cJSON *line);
/* Reads an NDJSON answer to its end, however long that takes. Empty lines are
 * heartbeats and skipped. */
int client_stream(struct client *client, const char *path, client_line_fn *on_line, void *arg,
                  struct err *err);

/* Of the last failed call: the daemon's error word, or NULL when no answer came. */
const char *client_error_word(const struct client *client);
/* The body of that answer, or NULL. Borrowed until the next call. */
const cJSON *client_error_body(const struct client *client);
/* The code that a word of the API's error table stands for. */
enum err_code client_word_code(const char *word);

/* From now on Ctrl-C and SIGTERM end the wait instead of the program. May be called again. */
int client_catch_interrupt(struct client *client, struct err *err);
bool client_interrupted(const struct client *client);
/* Sleeps, unless interrupted. */
void client_sleep(struct client *client, uint32_t ms);

#endif
