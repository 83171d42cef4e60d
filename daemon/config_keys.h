/* config_keys: every key of config.json, one table row each.
 *
 * A row says where the value goes in struct config, what is allowed, what it is
 * without the file and what it means to a person. Rows of type KEY_OTHER
 * are of other parts: config_other.c checks their form and keeps logging.modules, nothing uses the
 * others.
 */
#ifndef WOS_DAEMON_CONFIG_KEYS_H
#define WOS_DAEMON_CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_type {
    KEY_BOOL,     /* bool */
    KEY_INT,      /* uint32_t within min..max */
    KEY_DURATION, /* uint32_t milliseconds: a number of them, or "1.5s", "200ms", "3m" */
    KEY_STRING,   /* char *, owned; not blank */
    KEY_WORD,     /* uint32_t: index of the word in `words`, separated by '|' */
    KEY_IPS,      /* struct config_ips: at most `max` addresses and CIDR prefixes */
    KEY_TEXTS,    /* struct config_texts: a list of texts, none blank */
    KEY_OTHER,    /* nothing is stored */
};

struct config_key {
    const char *path; /* "tunnel.serviceTunnels.enabled" */
    enum config_type type;
    size_t offset; /* in struct config */
    uint32_t min;
    uint32_t max;
    const char *words;    /* KEY_WORD: the list; KEY_OTHER: what is allowed, for people */
    const char *fallback; /* as it would be written, without quotes; NULL: unset */
    bool is_secret;       /* never printed */
    const char *doc;      /* one sentence or two */
};

extern const struct config_key config_keys[];
extern const size_t config_key_count;

/* NULL when there is no such key. */
const struct config_key *config_key_find(const char *path);
/* True if some key's path begins with `path` and a dot. */
bool config_key_is_block(const char *path);
/* The key (or block) closest in spelling, or NULL when none is close. Borrowed. */
const char *config_key_nearest(const char *path);
/* Keys whose changed value applies at once, or to the next `wos up`; the others with `wos
 * restart`. One that ends in a dot is a whole block. */
extern const char *const config_live_keys[];
extern const size_t config_live_key_count;
bool config_key_is_live(const char *path);
/* False for rows of what this version only checks. */
bool config_key_is_used(const struct config_key *key);
/* "an integer from 1 to 65535", "true or false", …, for messages and docs. */
void config_key_allowed(const struct config_key *key, char *out, size_t size);

#endif
