/* login: the cookie of the public web UI.
 *
 * `wos_public_auth` = "v1.<issued-at ms>.<hex HMAC-SHA256(secret, "v1.<issued-at ms>")>". There
 * is no session on the server: a new secret is what logs everybody out. Guessing is slowed down:
 * after ten wrong secrets in a minute nobody can log in until it is over.
 */
#ifndef WOS_DAEMON_API_LOGIN_H
#define WOS_DAEMON_API_LOGIN_H

#include <stdbool.h>
#include <stdint.h>

enum { LOGIN_MAX_AGE_S = 30 * 86400 };

/* `cookies` is the Cookie header (NULL: none); false without a secret. */
bool login_is_valid(const char *secret, const char *cookies);
/* The same at a given time, for tests. */
bool login_is_valid_at(const char *secret, const char *cookies, int64_t now_ms);
/* "v1.…"; malloc'ed. */
char *login_token(const char *secret, int64_t now_ms);

#endif
