/* Any bytes as what a CA answers: problem documents, renewal information, times, Retry-After,
 * base64url. What is taken is bounded, clean and consistent.
 */
#include <stdlib.h>

#include "acme/ari.h"
#include "acme/acme_client.h"
#include "acme/jws.h"
#include "acme/when.h"
#include "base/auto.h"
#include "base/json.h"

enum { NOW = 1800000000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_json(struct str text)
{
    autojson cJSON *json = json_parse(text, "answer", NULL);
    struct failure f;
    acme_client_problem(&f, "order", 400, json);
    CHECK(f.message[0] != '\0' && strlen(f.message) < FAILURE_MESSAGE_MAX);
    for (const char *at = f.message; *at != '\0'; at++) {
        CHECK((uint8_t)*at >= 0x20 && *at != 0x7f);
    }
    struct ari ari = {.ask_at = 0};
    if (ari_read(&ari, "a.b", json, 0, NOW, NULL) == 0) {
        CHECK(ari.start > 0 && ari.start < ari.end);
        CHECK(ari.selected_at >= ari.start && ari.selected_at < ari.end);
        CHECK(ari.ask_at > NOW && ari.ask_at <= NOW + 86400);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct buf bytes = {0};
    struct buf again = {0};
    check_json(text);
    int64_t at = acme_client_retry_after(text, NOW);
    CHECK(at == 0 || (at >= NOW && at <= NOW + 8 * 86400));
    if (b64url_decode(text, &bytes, NULL) == 0) {
        b64url_encode(buf_str(&bytes), &again);
        CHECK(str_eq(buf_str(&again), text)); /* one spelling only */
    }
    autofree char *line = str_dup(text);
    (void)when_parse(line);
    buf_fini(&bytes);
    buf_fini(&again);
    return 0;
}
