/* when: wall-clock times in JSON files, "2026-11-20T12:00:00Z". Pure; any thread. */
#ifndef WOS_ACME_WHEN_H
#define WOS_ACME_WHEN_H

#include <cjson/cJSON.h>
#include <stdint.h>

/* RFC 3339 with "Z" or an offset, fractions dropped; 0 when it is none. */
int64_t when_parse(const char *text);
int64_t when_get(const cJSON *object, const char *name);
/* 0 adds null. */
void when_add(cJSON *object, const char *name, int64_t seconds);

#endif
