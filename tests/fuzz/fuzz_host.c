/* Any bytes as a Host value: what is accepted is legal, canonical and read the
 * same way again; a label made of them is a label.
 */
#include <stdlib.h>

#include "base/auto.h"
#include "routing/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_accepted(const struct host *host)
{
    struct str name = {host->name, host->len};
    CHECK(host->len > 0 && host->len == strlen(host->name));
    for (size_t i = 0; i < name.len; i++) {
        CHECK(name.ptr[i] == ascii_lower(name.ptr[i]));
        CHECK(name.ptr[i] > ' ' && name.ptr[i] < 0x7f);
        CHECK(memchr("@%/\\?#,*", name.ptr[i], 8) == NULL);
    }
    struct host again;
    CHECK(host_parse(name, &again));
    CHECK(str_eq(name, (struct str){again.name, again.len}));
    CHECK(again.is_ip == host->is_ip && again.port == 0);
    CHECK(host_is_under(name, name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A copy of exactly this size, so that a read past the end is seen. */
    char *exact = xmalloc(size + 1);
    if (size > 0) {
        memcpy(exact, data, size);
    }
    char *value = xrealloc(exact, size == 0 ? 1 : size);
    struct str text = {value, size};
    struct host host = {.len = 0};
    if (host_parse(text, &host)) {
        check_accepted(&host);
    }
    if (host_is_domain(text)) {
        CHECK(host_parse(text, &host) && !host.is_ip && host.port == 0);
    }
    char *label = host_label_sanitise(text, "service");
    char *whole = host_service_label(label, 2, label, 3000);
    CHECK(strlen(whole) <= 63);
    CHECK(host_parse(str_of(whole), &host));
    free(whole);
    free(label);
    free(value);
    return 0;
}
