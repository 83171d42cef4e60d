/* json: getters over cJSON that never crash on the wrong shape, and helpers
 * to build. Slices and strings borrowed from the tree live as long as it.
 */
#ifndef WOS_BASE_JSON_H
#define WOS_BASE_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* Parses the whole text; trailing bytes other than white space are an error.
 * The error names line and column. `name` is put before it. NULL on failure. */
cJSON *json_parse(struct str text, const char *name, struct err *err);
/* Compact text, malloc'ed. */
char *json_print(const cJSON *value);
/* The member, or NULL if absent or `object` is no object (case-sensitive). */
const cJSON *json_get(const cJSON *object, const char *name);
/* The string member, or `fallback` when absent or not a string. */
const char *json_get_str(const cJSON *object, const char *name, const char *fallback);
/* Integers up to 2^53 either way only; else (1.5, 1e300) the fallback. */
int64_t json_get_int(const cJSON *object, const char *name, int64_t fallback);
bool json_get_bool(const cJSON *object, const char *name, bool fallback);
/* Adders; they take copies and return the object for chaining. Integers print
 * with every digit; who reads them back here loses those beyond 2^53. */
cJSON *json_add_str(cJSON *object, const char *name, const char *value); /* NULL adds null */
cJSON *json_add_slice(cJSON *object, const char *name, struct str value);
cJSON *json_add_int(cJSON *object, const char *name, int64_t value);
cJSON *json_add_bool(cJSON *object, const char *name, bool value);

void auto_json_(cJSON **tree);
#define autojson __attribute__((cleanup(auto_json_)))

#endif
