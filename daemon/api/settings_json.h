/* settings_json: the configuration as the settings and set-up endpoints show it. */
#ifndef WOS_DAEMON_API_SETTINGS_JSON_H
#define WOS_DAEMON_API_SETTINGS_JSON_H

#include <cjson/cJSON.h>

struct daemon;

/* {"path", "exists", "raw": OBJECT|null, "effective": OBJECT, "effectiveSsl": {"web": {"source"},
 * "tunnel": {"source"}}}; secrets are in none of it. *out_secrets (may be NULL) gets the
 * keys of those that are set; the caller's. */
cJSON *settings_config_json(const struct daemon *d, cJSON **out_secrets);
/* {"web": …, "tunnel": CERTIFICATE} */
cJSON *settings_certificates_json(const struct daemon *d);
/* The value of firstRunCompleted in the file, or NULL; malloc'ed. */
char *settings_first_run(const struct daemon *d);

#endif
