/* form: the body of the login form, and the path to go on to.
 *
 * application/x-www-form-urlencoded (WHATWG URL section 5.1), read strictly:
 * what a browser would not have written is refused. Pure functions.
 */
#ifndef WOS_GATEWAY_FORM_H
#define WOS_GATEWAY_FORM_H

#include "base/arena.h"
#include "base/str.h"

enum { FORM_PATH_MAX = 2048 };

enum form_result {
    FORM_FOUND,
    FORM_ABSENT,
    FORM_MALFORMED, /* bad escape, control byte, raw non-ASCII, the same name twice */
};

/* The decoded value of `name`, in the arena. The whole body is judged. */
enum form_result form_get(struct str body, struct str name, struct arena *arena,
                          struct str *out_value);
/* True for a path on this host: begins with one '/', printable ASCII without '\', not too long.
 * Fit for Location. */
bool form_path_is_local(struct str path);

#endif
