/* terminal_protocol: see terminal_protocol.h. Called by the API's attach endpoint. */
#include "daemon/terminal_protocol.h"

#include <stdlib.h>
#include <sys/wait.h>

#include "base/auto.h"
#include "base/base64.h"
#include "base/json.h"
#include "daemon/deploy/shell.h"

static uint16_t read_size(const cJSON *message, const char *name)
{
    int64_t value = json_get_int(message, name, 0);
    return value < 0 ? 0 : value > TERMINAL_SIZE_MAX ? TERMINAL_SIZE_MAX : (uint16_t)value;
}

static int read_hello(const cJSON *message, struct terminal_message *out, struct err *err)
{
    int64_t version = json_get_int(message, "v", TERMINAL_PROTOCOL_VERSION);
    int64_t since = json_get_int(message, "since", 0);
    if (version != TERMINAL_PROTOCOL_VERSION) {
        return err_set(err, ERR_REFUSED, "terminal protocol %lld is unknown; this daemon speaks %d",
                       (long long)version, TERMINAL_PROTOCOL_VERSION);
    }
    out->since = since < 0 ? 0 : (uint64_t)since;
    out->base64 = strcmp(json_get_str(message, "encoding", ""), "base64") == 0;
    out->binary = strcmp(json_get_str(message, "encoding", ""), "binary") == 0;
    out->skip = json_get_bool(message, "skip", false);
    return 0;
}

static int read_input(const cJSON *message, struct terminal_message *out, struct err *err)
{
    const char *data = json_get_str(message, "data", NULL);
    const char *base64 = json_get_str(message, "dataBase64", NULL);
    if (data == NULL && base64 == NULL) {
        return err_set(err, ERR_REFUSED, "input without data");
    }
    if (base64 != NULL && !base64_decode(str_of(base64), &out->data)) {
        return err_set(err, ERR_REFUSED, "dataBase64 is not base64");
    }
    if (base64 == NULL) {
        buf_add_text(&out->data, data);
    }
    return 0;
}

int terminal_message_parse(struct str text, struct terminal_message *out, struct err *err)
{
    *out = (struct terminal_message){0};
    if (text.len > TERMINAL_MESSAGE_MAX) {
        return err_set(err, ERR_REFUSED, "a message of more than %d bytes", TERMINAL_MESSAGE_MAX);
    }
    autojson cJSON *message = json_parse(text, "message", err);
    if (message == NULL) {
        return -1;
    }
    const char *type = json_get_str(message, "type", NULL);
    if (type == NULL) {
        return err_set(err, ERR_REFUSED, "a message without a type");
    }
    out->cols = read_size(message, "cols");
    out->rows = read_size(message, "rows");
    if (strcmp(type, "hello") == 0) {
        out->kind = TERMINAL_MESSAGE_HELLO;
        return read_hello(message, out, err);
    }
    if (strcmp(type, "input") == 0) {
        out->kind = TERMINAL_MESSAGE_INPUT;
        return read_input(message, out, err);
    }
    out->kind = strcmp(type, "resize") == 0 ? TERMINAL_MESSAGE_RESIZE
                : strcmp(type, "eof") == 0  ? TERMINAL_MESSAGE_EOF
                                            : TERMINAL_MESSAGE_OTHER;
    return 0;
}

void terminal_message_fini(struct terminal_message *message)
{
    buf_fini(&message->data);
}

static char *output_text(uint64_t seq, enum terminal_stream stream, const char *name,
                         const char *data)
{
    autojson cJSON *message = cJSON_CreateObject();
    json_add_str(message, "type", "output");
    json_add_int(message, "seq", (int64_t)seq);
    if (stream == TERMINAL_STDERR) {
        json_add_str(message, "stream", "stderr");
    }
    json_add_str(message, name, data);
    return json_print(message);
}

/* How many bytes at the end are the start of a character that may go on. */
static size_t open_end(struct str data)
{
    for (size_t back = 1; back <= 3 && back <= data.len; back++) {
        uint8_t byte = (uint8_t)data.ptr[data.len - back];
        if ((byte & 0xc0) == 0x80) {
            continue;
        }
        size_t whole = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
        return back < whole ? back : 0;
    }
    return 0;
}

char *terminal_say_output(struct terminal_speaker *speaker, uint64_t seq,
                          enum terminal_stream stream, struct str data)
{
    struct buf text = {0};
    if (data.len == 0) {
        return NULL;
    }
    if (speaker->base64) {
        base64_encode(data, &text);
        char *message = output_text(seq, stream, "dataBase64", buf_cstr(&text));
        buf_fini(&text);
        return message;
    }
    buf_add(&text, speaker->held, speaker->held_len);
    buf_add_str(&text, data);
    seq -= speaker->held_len;
    speaker->held_len = open_end(buf_str(&text));
    text.len -= speaker->held_len;
    memcpy(speaker->held, text.ptr + text.len, speaker->held_len);
    struct buf clean = {0};
    shell_clean_text(buf_str(&text), &clean);
    char *message = text.len == 0 ? NULL : output_text(seq, stream, "data", buf_cstr(&clean));
    buf_fini(&text);
    buf_fini(&clean);
    return message;
}

char *terminal_say_rest(struct terminal_speaker *speaker, uint64_t seq)
{
    if (speaker->held_len == 0) {
        return NULL;
    }
    seq -= speaker->held_len;
    speaker->held_len = 0;
    return output_text(seq, TERMINAL_STDOUT, "data", "\xef\xbf\xbd");
}

char *terminal_say_taken(uint64_t bytes)
{
    autojson cJSON *message = cJSON_CreateObject();
    json_add_str(message, "type", "taken");
    json_add_int(message, "bytes", (int64_t)bytes);
    return json_print(message);
}

void terminal_binary_head(uint64_t seq, uint8_t out[TERMINAL_BINARY_HEAD])
{
    for (size_t i = 0; i < TERMINAL_BINARY_HEAD; i++) {
        out[i] = (uint8_t)(seq >> (8 * (TERMINAL_BINARY_HEAD - 1 - i)));
    }
}

char *terminal_say_size(uint16_t cols, uint16_t rows)
{
    autojson cJSON *message = cJSON_CreateObject();
    json_add_str(message, "type", "size");
    json_add_int(message, "cols", cols);
    json_add_int(message, "rows", rows);
    return json_print(message);
}

char *terminal_say_answers(bool yours)
{
    autojson cJSON *message = cJSON_CreateObject();
    json_add_str(message, "type", "answers");
    json_add_bool(message, "yours", yours);
    return json_print(message);
}

static char *say_seq(const char *type, uint64_t seq)
{
    autojson cJSON *message = cJSON_CreateObject();
    json_add_str(message, "type", type);
    json_add_int(message, "seq", (int64_t)seq);
    return json_print(message);
}

char *terminal_say_attached(uint64_t seq)
{
    return say_seq("attached", seq);
}

char *terminal_say_skipped(uint64_t seq)
{
    return say_seq("skipped", seq);
}

char *terminal_say_exit(int status)
{
    autojson cJSON *message = cJSON_CreateObject();
    json_add_str(message, "type", "exit");
    cJSON *how = cJSON_AddObjectToObject(message, "exit");
    if (status != -1 && WIFSIGNALED(status)) {
        json_add_int(how, "signal", WTERMSIG(status));
    } else {
        json_add_int(how, "exitCode", status == -1 ? 1 : WEXITSTATUS(status));
    }
    return json_print(message);
}

char *terminal_say_error(const char *message)
{
    autojson cJSON *error = cJSON_CreateObject();
    json_add_str(error, "type", "error");
    json_add_bool(error, "fatal", true);
    json_add_str(error, "message", message);
    return json_print(error);
}
