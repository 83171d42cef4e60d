/* Any bytes as a policy: the first line is a peer, the next ones entries of the class's list, those
 * after an empty line of the route's own. What is read as a prefix prints and reads the same again;
 * a policy allows a peer exactly when both lists do.
 */
#include <arpa/inet.h>
#include <stdlib.h>

#include "base/auto.h"
#include "routing/policy.h"

enum { ENTRIES_MAX = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool peer_parse(struct str text, struct sockaddr_storage *out)
{
    char copy[INET6_ADDRSTRLEN];
    *out = (struct sockaddr_storage){.ss_family = AF_UNSPEC};
    if (text.len == 0 || text.len >= sizeof copy) {
        return false;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    if (inet_pton(AF_INET, copy, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        return true;
    }
    if (inet_pton(AF_INET6, copy, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        return true;
    }
    return false;
}

static void check_prefix(const struct ip_prefix *prefix)
{
    char text[IP_PREFIX_TEXT];
    struct ip_prefix again;
    CHECK(prefix->family == 4 || prefix->family == 6);
    CHECK(prefix->bits <= (prefix->family == 4 ? 32 : 128));
    ip_prefix_format(prefix, text);
    CHECK(ip_prefix_parse(str_of(text), &again, NULL) == 0);
    CHECK(memcmp(prefix, &again, sizeof again) == 0);
}

static bool list_allows(const struct ip_prefix *items, uint32_t count, const struct sockaddr *peer)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ip_prefix_has(&items[i], peer)) {
            return true;
        }
    }
    return count == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size};
    struct str line = STR_NONE;
    struct sockaddr_storage peer;
    struct ip_prefix lists[2][ENTRIES_MAX];
    uint32_t counts[2] = {0, 0};
    unsigned list = 0;
    if (size == 0) {
        return 0;
    }
    (void)str_next(&rest, '\n', &line);
    (void)peer_parse(line, &peer);
    while (rest.ptr != NULL && str_next(&rest, '\n', &line)) {
        struct err err = {.code = ERR_NONE, .msg = ""};
        struct ip_prefix prefix;
        if (line.len == 0) {
            list = 1;
        } else if (ip_prefix_parse(line, &prefix, &err) < 0) {
            CHECK(err.code == ERR_CONFIG && err.msg[0] != '\0');
        } else if (counts[list] < ENTRIES_MAX) {
            check_prefix(&prefix);
            lists[list][counts[list]++] = prefix;
        }
    }
    const struct sockaddr *address = (const struct sockaddr *)&peer;
    const struct policy policy = {.allow = lists[0],
                                  .allow_count = counts[0],
                                  .route_allow = lists[1],
                                  .route_allow_count = counts[1]};
    bool allowed =
        list_allows(lists[0], counts[0], address) && list_allows(lists[1], counts[1], address);
    CHECK(policy_allows(&policy, address) == allowed);
    return 0;
}
