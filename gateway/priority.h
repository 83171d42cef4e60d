/* priority: the `priority` field of RFC 9218 (u=0…7, i), a dictionary of
 * structured fields (RFC 8941). Pure; any bytes give an answer. */
#ifndef WOS_GATEWAY_PRIORITY_H
#define WOS_GATEWAY_PRIORITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { PRIORITY_URGENCY_DEFAULT = 3, PRIORITY_URGENCY_MAX = 7 };

struct priority {
    uint8_t urgency;  /* 0 first … 7 last */
    bool incremental; /* useful in parts: shares the connection with its equals */
};

/* Changes what the field names and leaves the rest. False, and nothing changed:
 * not a dictionary. Members that are unknown, of another type or out of range
 * are skipped (RFC 9218 section 4). */
bool priority_parse(struct str value, struct priority *p);

#endif
