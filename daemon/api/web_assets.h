/* web_assets: the web UI's files, answered over HTTP (RFC 9110 8.8.3, 12.5.3, 13.1.2).
 *
 * They are the same for everybody and hold nothing secret: also who is not logged in gets
 * them, since the login form is one of them. Every page of the UI is the same file. One thread: the
 * daemon's loop; no state.
 */
#ifndef WOS_DAEMON_API_WEB_ASSETS_H
#define WOS_DAEMON_API_WEB_ASSETS_H

#include <stdbool.h>

#include "base/str.h"

struct api_request;

/* Answers a GET or HEAD of a file or page of the UI. False, and nothing done, when `path`
 * is neither. */
bool web_assets_serve(struct api_request *r, const char *path);

/* True when an Accept-Encoding (NULL: none) takes the coding: named, or by "*", with a weight
 * that is not 0. For tests too. */
bool web_assets_accepts(const char *accept, struct str coding);
/* True when an If-None-Match (NULL: none) names the entity tag, with its quotes, or is "*". */
bool web_assets_matches(const char *if_none_match, struct str etag);

#endif
