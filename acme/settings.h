/* settings: what the configuration says about one certificate from a CA. Borrowed from the
 * daemon's config for as long as the renewer lives; strings may be NULL where said. Read only.
 */
#ifndef WOS_ACME_SETTINGS_H
#define WOS_ACME_SETTINGS_H

#include <stddef.h>
#include <stdint.h>

enum acme_provider { ACME_PROVIDER_HOOK, ACME_PROVIDER_CLOUDFLARE };
enum acme_key_type {
    ACME_KEY_ECDSA_P256,
    ACME_KEY_ECDSA_P384,
    ACME_KEY_RSA_2048,
    ACME_KEY_RSA_4096
};

struct acme_settings {
    const char *directory;     /* as meta.json has it: "staging", "production" or the URL */
    const char *directory_url; /* where the directory is */
    const char *ca_file;       /* PEM trusted for it; NULL: the system's */
    const char *email;
    const char *profile;         /* NULL: the CA's default */
    const char *preferred_chain; /* common name in an issuer of the chain wanted; NULL: the first */
    enum acme_key_type key_type;
    const char *eab_kid;      /* NULL: none */
    const char *eab_hmac_key; /* base64url; secret */

    enum acme_provider provider;
    const char *create_command; /* hook */
    const char *delete_command;
    uint32_t hook_timeout_ms;  /* 60000 */
    const char *api_token;     /* cloudflare; secret; NULL: token_problem says why */
    const char *token_problem; /* "the environment variable X is not set" */
    const char *api_base_url;  /* "https://api.cloudflare.com/client/v4" */
    const char *zone_id;       /* NULL: looked up */

    const char *const *resolvers; /* "address:port", "name:port"; empty: the zone's authorities */
    size_t resolver_count;
    const char
        *bootstrap_resolvers; /* "a:53,b:53" for finding the authorities; NULL: resolv.conf */
    uint16_t authority_port;  /* of the authorities; 0: 53. For tests */
    uint32_t propagation_ms;  /* extra wait after the records are seen */
    uint32_t propagation_timeout_ms; /* 120000 */
};

#endif
