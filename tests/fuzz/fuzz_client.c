/* Any fields about the client, from a trusted proxy: whoever it turns out to be,
 * all between it and us are trusted, and the same chain told anew leads to
 * the same client.
 *
 * Input: lines; one that begins with 'x' is an X-Forwarded-For, with 'h' a
 * -Host, with 'p' a -Proto, all others a Forwarded. */
#include <arpa/inet.h>
#include <stdlib.h>

#include "base/auto.h"
#include "gateway/client_address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct ip_prefix proxies[] = {
    {.bytes = {10}, .family = 4, .bits = 8},
    {.bytes = {0xfd}, .family = 6, .bits = 8},
};
static const struct peer_list trusted = {proxies, COUNT_OF(proxies)};

static void fill(struct head *h, struct arena *arena, struct str text)
{
    struct str line;
    head_init(h, true);
    while (str_next(&text, '\n', &line)) {
        struct str name = STR("forwarded");
        struct str value = arena_str(arena, line);
        if (line.len > 0 && strchr("xhp", line.ptr[0]) != NULL) {
            name = line.ptr[0] == 'x'   ? STR("X-Forwarded-For")
                   : line.ptr[0] == 'h' ? STR("x-forwarded-host")
                                        : STR("x-forwarded-proto");
            value = (struct str){value.ptr + 1, value.len - 1};
        }
        if (!head_value_is_legal(value) || !head_add(h, arena, name, value, 200)) {
            return;
        }
    }
}

/* The number of proxies passed. */
static size_t check_told(const struct head_told *told)
{
    size_t count = 0;
    struct host host;
    struct str via = told->via;
    struct str part;
    CHECK(told->host.len == 0 || host_parse(told->host, &host));
    CHECK(head_value_is_legal(told->via) && head_value_is_legal(told->via_forwarded));
    CHECK(via.len == 0 || str_starts(via, STR(", ")));
    if (via.len > 0) {
        via.ptr++;
        via.len--;
    }
    while (via.len > 0 && str_next(&via, ',', &part)) {
        struct sockaddr_in6 hop;
        CHECK(client_address_parse(str_trim(part), &hop));
        CHECK(peer_list_has(&trusted, (const struct sockaddr *)&hop));
        count++;
    }
    CHECK(count <= CLIENT_HOPS_MAX);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct head head;
    struct sockaddr_in6 peer = {.sin6_family = AF_INET6};
    struct sockaddr_in6 client;
    struct sockaddr_in6 again;
    struct head_told told;
    arena_init(&arena, 0);
    fill(&head, &arena, (struct str){(const char *)data, size});
    CHECK(!client_address_find(&head, &trusted, (const struct sockaddr *)&peer, &arena, &client,
                               &told));
    peer.sin6_addr.s6_addr[0] = 0xfd;
    CHECK(client_address_find(&head, &trusted, (const struct sockaddr *)&peer, &arena, &client,
                              &told));
    size_t hops = check_told(&told);
    /* The chain without ourselves, as the next proxy would tell it. */
    char text[64];
    char text_again[64];
    peer_format((const struct sockaddr *)&client, text, sizeof text);
    const char *chain = arena_printf(&arena, "x%s%.*s", text, STR_ARG(told.via));
    fill(&head, &arena, str_of(chain));
    CHECK(client_address_find(&head, &trusted, (const struct sockaddr *)&peer, &arena, &again,
                              &told));
    peer_format((const struct sockaddr *)&again, text_again, sizeof text_again);
    CHECK(hops == CLIENT_HOPS_MAX || strcmp(text, text_again) == 0);
    arena_fini(&arena);
    return 0;
}
