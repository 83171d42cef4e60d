/* Any bytes as a client's message to a terminal, and as a program's output cut anywhere: what is
 * taken stays in its bounds, what is said is one line of JSON in UTF-8 that loses no character.
 */
#include <stdlib.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/scrollback.h"
#include "daemon/terminal_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_message(struct str text)
{
    struct terminal_message m;
    struct err err = {.msg = ""};
    if (terminal_message_parse(text, &m, &err) == 0) {
        CHECK(m.cols <= TERMINAL_SIZE_MAX && m.rows <= TERMINAL_SIZE_MAX);
        CHECK(m.data.len <= text.len);
        CHECK(m.kind == TERMINAL_MESSAGE_HELLO || (!m.binary && !m.base64 && !m.skip));
    } else {
        CHECK(err.msg[0] != '\0');
    }
    terminal_message_fini(&m);
}

static void check_said(char *text)
{
    struct err err = {.msg = ""};
    if (text != NULL) {
        autojson cJSON *message = json_parse(str_of(text), "said", &err);
        CHECK(message != NULL && strchr(text, '\n') == NULL);
    }
    free(text);
}

/* `step` bytes at a time, through a scrollback that keeps less than there is. */
static void check_output(struct str text, size_t step)
{
    struct scrollback s;
    struct terminal_speaker speaker = {0};
    uint64_t seq = 0;
    scrollback_init(&s, 64);
    for (size_t at = 0; at < text.len; at += step) {
        size_t len = text.len - at < step ? text.len - at : step;
        scrollback_add(&s, (unsigned)(at / step % 3 == 2), (struct str){text.ptr + at, len});
        scrollback_trim(&s, UINT64_MAX);
        CHECK(scrollback_end(&s) == at + len && scrollback_end(&s) - s.start <= 64);
        if (seq < s.start) {
            seq = scrollback_resume(&s, seq);
            speaker.held_len = 0;
        }
        unsigned stream;
        struct str piece = scrollback_piece(&s, seq, 16, &stream);
        CHECK(piece.len <= 16 && memcmp(piece.ptr, text.ptr + seq, piece.len) == 0);
        check_said(terminal_say_output(&speaker, seq, (enum terminal_stream)stream, piece));
        seq += piece.len;
    }
    check_said(terminal_say_rest(&speaker, seq));
    scrollback_fini(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes = xmalloc(size == 0 ? 1 : size);
    memcpy(bytes, size == 0 ? (const uint8_t *)"" : data, size);
    struct str text = {bytes, size};
    check_message(text);
    check_output(text, size == 0 ? 1 : 1 + (size_t)data[0] % 32);
    free(bytes);
    return 0;
}
