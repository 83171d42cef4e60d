/* terminal_protocol: the JSON messages between a terminal and an attached client (version 1).
 *
 * One text message each. From the client:
 *     {"type":"hello","v":1,"clientId","cols","rows","desiredControl":"controller",
 *      "since"?:N, "encoding"?:"base64"|"binary", "skip"?:true}           first, once
 *     {"type":"input","data":S} or {"type":"input","dataBase64":S}
 *     {"type":"eof"}                                 end of input, where there is no PTY
 *     {"type":"resize","cols":N,"rows":N}
 * From the daemon:
 *     {"type":"output","seq":N,"data":S,"stream"?:"stderr"}   or "dataBase64" after such a hello
 *     {"type":"taken","bytes":N}       the program has read all input so far, N bytes; a client
 *                                      keeps at most TERMINAL_INPUT_MAX bytes beyond that under way
 *     {"type":"exit","exit":{"exitCode":N}}  or  {"exit":{"signal":N}}
 *     {"type":"attached","seq":N}            after a hello with "skip", first: output before N was
 *                                      there already; what it asks a terminal is not to be answered
 *     {"type":"size","cols":N,"rows":N}      after such a hello: now, and when it changes
 *     {"type":"answers","yours":B}           after such a hello: whether what the program asks of a
 *                                            terminal from now on is this client's to answer
 *     {"type":"skipped","seq":N}             after such a hello: output goes on there
 *     {"type":"error","fatal":true,"message":S}
 * "data" is UTF-8: a character cut by the end of a chunk comes with the next one, bytes that
 * are no UTF-8 become U+FFFD; base64 carries any byte. After a hello with "binary" output comes in
 * binary messages, TERMINAL_BINARY_HEAD bytes of seq (big endian) and the bytes themselves, and
 * a binary message of the client is input. With "skip" a client that is slow loses output instead
 * of holding the program up. No I/O; everything returned is malloc'ed.
 */
#ifndef WOS_DAEMON_TERMINAL_PROTOCOL_H
#define WOS_DAEMON_TERMINAL_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "daemon/terminal.h"

enum {
    TERMINAL_PROTOCOL_VERSION = 1,
    TERMINAL_MESSAGE_MAX = 1 << 20,
    TERMINAL_BINARY_HEAD = 8,
};

enum terminal_message_kind {
    TERMINAL_MESSAGE_OTHER, /* a type this version does not know: ignored */
    TERMINAL_MESSAGE_HELLO,
    TERMINAL_MESSAGE_INPUT,
    TERMINAL_MESSAGE_EOF,
    TERMINAL_MESSAGE_RESIZE,
};

struct terminal_message {
    enum terminal_message_kind kind;
    uint16_t cols, rows; /* hello and resize; 0 where not given */
    uint64_t since;
    bool base64;
    bool binary;
    bool skip;
    struct buf data; /* owned: input */
};

/* ERR_REFUSED says what is wrong with it. */
int terminal_message_parse(struct str text, struct terminal_message *out, struct err *err);
void terminal_message_fini(struct terminal_message *message);

/* What one client was told so far. Zero-initialised is a new one; nothing to free. */
struct terminal_speaker {
    bool base64;
    char held[4]; /* the start of a character, not sent yet */
    size_t held_len;
};

/* NULL when nothing is to be sent yet. */
char *terminal_say_output(struct terminal_speaker *speaker, uint64_t seq,
                          enum terminal_stream stream, struct str data);
/* What was held back, before the exit; NULL if nothing. */
char *terminal_say_rest(struct terminal_speaker *speaker, uint64_t seq);
/* The head of a binary output message. */
void terminal_binary_head(uint64_t seq, uint8_t out[TERMINAL_BINARY_HEAD]);
char *terminal_say_taken(uint64_t bytes);
char *terminal_say_attached(uint64_t seq);
char *terminal_say_size(uint16_t cols, uint16_t rows);
char *terminal_say_answers(bool yours);
char *terminal_say_skipped(uint64_t seq);
char *terminal_say_exit(int status);
char *terminal_say_error(const char *message);

#endif
