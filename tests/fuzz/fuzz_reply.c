/* Any bytes as Accept and as every text of a reply: the page has only the tags of the template,
 * the JSON parses, and Origin is judged without harm.
 */
#include <stdlib.h>

#include "base/auto.h"
#include "base/json.h"
#include "gateway/origin.h"
#include "gateway/page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count(struct str s, char c)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        n += s.ptr[i] == c;
    }
    return n;
}

static struct str page_of(struct arena *arena, const char *text, struct str value)
{
    struct reply r = {.status = 401,
                      .text = text,
                      .title = text,
                      .message = text,
                      .alert = text,
                      .form = REPLY_FORM_LOGIN,
                      .next = value,
                      .facts = {{.key = "k", .label = "l", .value = value}},
                      .fact_count = 1};
    struct text page;
    text_init(&page, arena, 16);
    page_write(&page, &r);
    return text_str(&page);
}

static void check_json(struct arena *arena, struct str value)
{
    struct text out;
    text_init(&out, arena, 16);
    text_add_json(&out, value);
    cJSON *parsed = json_parse(text_str(&out), "reply", NULL);
    CHECK(cJSON_IsString(parsed));
    cJSON_Delete(parsed);
}

static void check_accept(struct arena *arena, struct str value)
{
    struct head h;
    head_init(&h, true);
    CHECK(head_add(&h, arena, STR("accept"), value, 4));
    CHECK(head_add(&h, arena, STR("origin"), value, 4));
    CHECK(host_parse(STR("a.example:8443"), &h.host));
    CHECK(reply_format_of(&h) <= REPLY_JSON);
    bool own = origin_is_own(&h, true);
    CHECK(!own || (str_starts(value, STR("https://")) && origin_allows_change(&h, true)));
    CHECK(own == origin_allows_change(&h, true));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    char *bytes = xmalloc(size + 1);
    if (size > 0) {
        memcpy(bytes, data, size);
    }
    bytes[size] = '\0';
    struct str value = {bytes, size};
    arena_init(&arena, 0);
    struct str clean = page_of(&arena, "x", STR("x"));
    struct str page = page_of(&arena, bytes, value);
    CHECK(count(page, '<') == count(clean, '<') && count(page, '>') == count(clean, '>'));
    CHECK(count(page, '"') == count(clean, '"') && count(page, '\'') == count(clean, '\''));
    check_json(&arena, value);
    check_accept(&arena, value);
    arena_fini(&arena);
    free(bytes);
    return 0;
}
