/* Any bytes as what a peer wrote: the redacted target is bounded and redacting it again
 * changes nothing; the line made of it is one JSON object and no value of a token is in it.
 */
#include <stdlib.h>

#include "base/auto.h"
#include "base/json.h"
#include "gateway/access_line.h"
#include "gateway/redact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(struct str text, struct str path)
{
    char *line = xmalloc(ACCESS_LINE_MAX);
    const struct access_entry entry = {
        .host = text,
        .worktree = text,
        .service = text,
        .method = text,
        .path = path,
        .upgrade = text,
    };
    size_t len = access_line_format(&entry, line);
    CHECK(len <= ACCESS_LINE_MAX && line[len - 1] == '\n');
    CHECK(memchr(line, '\n', len - 1) == NULL);
    struct err err = {0};
    autojson cJSON *tree = json_parse((struct str){line, len - 1}, "line", &err);
    CHECK(tree != NULL);
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str canaries[] = {
        {"?token=CANARY", 13}, {"?a=%2fb%3ftoken%3dCANARY", 24}, {"?%7B%22token%22:CANARY", 22}};
    enum { CANARY_MAX = 24 };
    char *exact = xmalloc(size + CANARY_MAX); /* the last bytes stay unused at first */
    char *out = xmalloc(REDACT_MAX);
    char *again = xmalloc(REDACT_MAX);
    if (size > 0) {
        memcpy(exact, data, size);
    }
    struct str text = {exact, size};
    struct str path = redact_target(text, out);
    CHECK(path.len <= REDACT_MAX);
    struct str second = redact_target(path, again);
    CHECK(str_eq(path, second));
    check_line(text, path);
    /* Whatever comes before it, a parameter called token is found. */
    for (size_t i = 0; i < COUNT_OF(canaries); i++) {
        memcpy(exact + size, canaries[i].ptr, canaries[i].len);
        path = redact_target((struct str){exact, size + canaries[i].len}, out);
        CHECK(path.len == 0 ||
              memmem(path.ptr, path.len, canaries[i].ptr, canaries[i].len) == NULL);
    }
    free(again);
    free(out);
    free(exact);
    return 0;
}
