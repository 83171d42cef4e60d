/* Any bytes as a priority field: in range, unchanged when refused, and the same
 * again behind its own canonical form. */
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "gateway/priority.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *exact = xmalloc(size == 0 ? 1 : size);
    if (size > 0) {
        memcpy(exact, data, size);
    }
    struct priority p = {5, true};
    bool legal = priority_parse((struct str){exact, size}, &p);
    CHECK(p.urgency <= PRIORITY_URGENCY_MAX);
    CHECK(legal || (p.urgency == 5 && p.incremental));
    char text[16];
    (void)snprintf(text, sizeof text, "u=%u, i=?%d", p.urgency, p.incremental);
    struct priority again = {0, false};
    CHECK(priority_parse(str_of(text), &again));
    CHECK(again.urgency == p.urgency && again.incremental == p.incremental);
    free(exact);
    return 0;
}
