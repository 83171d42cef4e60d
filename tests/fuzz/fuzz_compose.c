/* fuzz_compose: any bytes as the user's compose file. What is written again must be readable,
 * and mean the same when it goes through once more. */
#include <stdint.h>
#include <stdlib.h>

#include "base/auto.h"
#include "daemon/deploy/compose_base.h"
#include "daemon/deploy/containers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct compose_base first = {0};
    struct compose_base second = {0};
    struct err err = {0};
    if (compose_base_make(text, "fuzz.yml", "/w", &first, &err) == 0 && first.text.len < 65536) {
        CHECK(compose_base_make(buf_str(&first.text), "again.yml", "/w", &second, &err) == 0);
        CHECK(first.service_count == second.service_count);
    } else {
        CHECK(first.text.len > 0 || err.msg[0] != '\0');
    }
    compose_base_fini(&first);
    compose_base_fini(&second);
    struct containers list = {0};
    if (containers_parse(text, &list, NULL) == 0) {
        (void)containers_find(&list, "web");
        containers_fini(&list);
    }
    return 0;
}
