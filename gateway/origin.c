/* origin: see origin.h. Worker threads; no state. */
#include "gateway/origin.h"

/* How many fields of that name there are; the last one's value. */
static unsigned find_all(const struct head *h, struct str name, struct str *out_value)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        if (str_eq_nocase(h->fields[i].name, name)) {
            *out_value = h->fields[i].value;
            count++;
        }
    }
    return count;
}

static bool is_own(const struct head *request, bool https, struct str origin)
{
    struct str scheme = https ? STR("https://") : STR("http://");
    uint16_t usual = https ? 443 : 80;
    struct host from;
    if (!str_starts(origin, scheme) ||
        !host_parse((struct str){origin.ptr + scheme.len, origin.len - scheme.len}, &from)) {
        return false;
    }
    const struct host *to = &request->host;
    return from.len == to->len && memcmp(from.name, to->name, from.len) == 0 &&
           (from.port == 0 ? usual : from.port) == (to->port == 0 ? usual : to->port);
}

bool origin_is_own(const struct head *request, bool https)
{
    struct str origin = STR_NONE;
    return find_all(request, STR("origin"), &origin) == 1 && is_own(request, https, origin);
}

bool origin_allows_change(const struct head *request, bool https)
{
    struct str origin = STR_NONE;
    struct str site = STR_NONE;
    unsigned count = find_all(request, STR("origin"), &origin);
    if (count == 1 && is_own(request, https, origin)) {
        return true;
    }
    if (count > 1 || (count == 1 && !str_eq(origin, STR("null"))) ||
        find_all(request, STR("sec-fetch-site"), &site) != 1) {
        return false;
    }
    return str_eq(site, STR("same-origin")) || (count == 0 && str_eq(site, STR("none")));
}
