/* acme_settings: what config.json says about a CA, as the certificate engine wants it
 * (acme/settings.h): directories by name, paths relative to H, the API token from wherever it is
 * kept. Control plane; blocks on the token's small file.
 */
#ifndef WOS_DAEMON_ACME_SETTINGS_H
#define WOS_DAEMON_ACME_SETTINGS_H

#include "acme/settings.h"
#include "daemon/config.h"

struct acme_config {
    struct acme_settings settings; /* borrows from the configuration and from below */
    const struct config *config;   /* borrowed */
    const struct config_ssl *ssl;  /* of the above */
    char *ca_file;                 /* owned or NULL */
    char *token;                   /* owned or NULL; secret */
    char *token_problem;           /* owned or NULL */
};

/* `ssl` lies in `config`; both are borrowed until acme_config_fini. */
void acme_config_init(struct acme_config *c, const struct config *config,
                      const struct config_ssl *ssl);
/* Reads the token's file anew. Nothing may borrow from the settings meanwhile. */
void acme_config_look(struct acme_config *c);
void acme_config_fini(struct acme_config *c);

#endif
