/* web_assets_data: the files of the web UI, inside the program. The build makes the C file from
 * daemon/web (build.mjs); nothing but web_assets.c reads it.
 */
#ifndef WOS_DAEMON_API_WEB_ASSETS_DATA_H
#define WOS_DAEMON_API_WEB_ASSETS_DATA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct web_asset {
    const char *path; /* "/assets/app-AB12.js" */
    const char *type; /* of media */
    const char *tag;  /* of the plain bytes: letters, digits and '-' */
    bool is_hashed;   /* its name changes with its bytes */
    struct str plain;
    struct str gzip; /* ptr NULL: there is none; the same for brotli */
    struct str brotli;
};

extern const struct web_asset web_assets[];
extern const size_t web_asset_count;

#endif
