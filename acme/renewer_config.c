/* renewer_config: what a renewer's failures depend on (renewer_impl.h): other settings deserve
 * another attempt at once. Only a retry that is waited for comes forward by that: when a
 * certificate that is served is due has nothing to do with it. */
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>

#include "acme/pending.h"
#include "acme/renewer_impl.h"
#include "base/file.h"

enum { FILE_MAX = 1024 * 1024 };

/* Wipes the text. */
static void hash_end(struct buf *text, char out[ACME_STATE_HASH_MAX])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    (void)SHA256((const uint8_t *)text->ptr, text->len, digest);
    OPENSSL_cleanse(text->ptr, text->len);
    buf_fini(text);
    for (size_t i = 0; i < (ACME_STATE_HASH_MAX - 1) / 2; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
    }
}

/* What is hashed here stays as it is: state files of older versions have this hash, and a new
 * version is no reason to try again. Another setting goes into way_hash. */
static void config_hash(const struct renewer *r, char out[ACME_STATE_HASH_MAX])
{
    const struct acme_settings *s = r->spec.settings;
    autofree char *names = pending_names(r->spec.names, r->spec.name_count);
    const char *const texts[] = {
        names,        s->directory, s->directory_url, s->ca_file,         s->email,
        s->profile,   s->eab_kid,   s->eab_hmac_key,  s->create_command,  s->delete_command,
        s->api_token, s->zone_id,   s->api_base_url,  s->preferred_chain,
    };
    struct buf all = {0};
    buf_printf(&all, "%d %d\n", (int)s->provider, (int)s->key_type);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        buf_add_text(&all, texts[i] == NULL ? "" : texts[i]);
        buf_add_char(&all, '\n');
    }
    hash_end(&all, out);
}

/* Nothing when it cannot be read. */
static void add_file(struct buf *out, const char *path)
{
    struct buf text = {0};
    if (path != NULL && file_read(path, FILE_MAX, &text, NULL) == 0) {
        buf_add_str(out, buf_str(&text));
    }
    buf_fini(&text);
}

/* How a TXT record gets into DNS and is looked for there, and whom to believe to be the CA: all
 * of which it has no part in itself. */
static void way_hash(const struct renewer *r, char out[ACME_STATE_HASH_MAX])
{
    const struct acme_settings *s = r->spec.settings;
    struct buf all = {0};
    buf_printf(&all, "%u %u %u\n", s->hook_timeout_ms, s->propagation_ms,
               s->propagation_timeout_ms);
    for (size_t i = 0; i < s->resolver_count; i++) {
        buf_add_text(&all, s->resolvers[i]);
        buf_add_char(&all, '\n');
    }
    add_file(&all, s->ca_file);
    hash_end(&all, out);
}

void renewer_look_config(struct renewer *r)
{
    char config[ACME_STATE_HASH_MAX];
    char way[ACME_STATE_HASH_MAX];
    struct acme_state *state = &r->state;
    config_hash(r, config);
    way_hash(r, way);
    if (strcmp(config, state->config) == 0 && strcmp(way, state->way) == 0) {
        return;
    }
    if (strcmp(config, state->config) != 0) {
        state->not_until = 0;
        state->ca_until = 0;
        state->failures = 0;
    } else if (state->way[0] != '\0') {     /* older versions wrote none */
        state->not_until = state->ca_until; /* what the CA said is waited for */
        state->failures = 0;
    }
    memcpy(state->config, config, sizeof config);
    memcpy(state->way, way, sizeof way);
    renewer_save(r);
}
