/* web_assets: see web_assets.h. Called by api.c for GET and HEAD on the web listener. */
#include "daemon/api/web_assets.h"

#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "daemon/api/request.h"
#include "daemon/api/web_assets_data.h"

/* Nothing from elsewhere, nothing inline, in nobody's frame. */
static const char POLICY[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

/* Pages of the UI: main.tsx shows what belongs to each. */
static const char *const pages[] = {"/",         "/worktree", "/edge",
                                    "/settings", "/devices",  "/terminal"};

static const struct web_asset *asset_find(const char *path)
{
    for (size_t i = 0; i < COUNT_OF(pages); i++) {
        if (strcmp(path, pages[i]) == 0) {
            path = "/index.html";
            break;
        }
    }
    for (size_t i = 0; i < web_asset_count; i++) {
        if (strcmp(web_assets[i].path, path) == 0) {
            return &web_assets[i];
        }
    }
    return NULL;
}

/* "q=0", "q=0.0", …: the only weights that refuse. */
static bool weight_is_zero(struct str parameters)
{
    struct str parameter;
    while (str_next(&parameters, ';', &parameter)) {
        parameter = str_trim(parameter);
        if (parameter.len >= 3 && (parameter.ptr[0] | 0x20) == 'q' && parameter.ptr[1] == '=') {
            for (size_t i = 2; i < parameter.len; i++) {
                if (parameter.ptr[i] != '0' && parameter.ptr[i] != '.') {
                    return false;
                }
            }
            return true;
        }
    }
    return false;
}

bool web_assets_accepts(const char *accept, struct str coding)
{
    if (accept == NULL) {
        return false;
    }
    struct str rest = str_of(accept);
    struct str item;
    bool by_star = false;
    while (str_next(&rest, ',', &item)) {
        struct str name;
        struct str parameters = item;
        if (!str_next(&parameters, ';', &name)) {
            continue;
        }
        name = str_trim(name);
        bool is_zero = parameters.ptr != NULL && weight_is_zero(parameters);
        if (str_eq_nocase(name, coding)) {
            return !is_zero;
        }
        by_star = by_star || (str_eq(name, STR("*")) && !is_zero);
    }
    return by_star;
}

bool web_assets_matches(const char *if_none_match, struct str etag)
{
    if (if_none_match == NULL) {
        return false;
    }
    struct str rest = str_of(if_none_match);
    struct str item;
    while (str_next(&rest, ',', &item)) {
        item = str_trim(item);
        if (str_starts(item, STR("W/"))) {
            item = (struct str){item.ptr + 2, item.len - 2};
        }
        if (str_eq(item, etag) || str_eq(item, STR("*"))) {
            return true;
        }
    }
    return false;
}

bool web_assets_serve(struct api_request *r, const char *path)
{
    const struct web_asset *asset = asset_find(path);
    if (asset == NULL) {
        return false;
    }
    const char *accept = request_header(r, "Accept-Encoding");
    const char *coding = "";
    struct str bytes = asset->plain;
    if (asset->brotli.ptr != NULL && web_assets_accepts(accept, STR("br"))) {
        coding = "br";
        bytes = asset->brotli;
    } else if (asset->gzip.ptr != NULL && web_assets_accepts(accept, STR("gzip"))) {
        coding = "gzip";
        bytes = asset->gzip;
    }
    char etag[64];
    (void)snprintf(etag, sizeof etag, "\"%s%s%s\"", asset->tag, *coding == '\0' ? "" : "-", coding);
    reply_header(r, "ETag", etag);
    reply_header(r, "Vary", "Accept-Encoding");
    reply_header(r, "Cache-Control",
                 asset->is_hashed ? "public, max-age=31536000, immutable" : "no-cache");
    reply_header(r, "Content-Security-Policy", POLICY);
    reply_header(r, "X-Content-Type-Options", "nosniff");
    reply_header(r, "Referrer-Policy", "same-origin");
    reply_header(r, "Cross-Origin-Opener-Policy", "same-origin");
    reply_header(r, "Cross-Origin-Resource-Policy", "same-origin");
    if (web_assets_matches(request_header(r, "If-None-Match"), str_of(etag))) {
        reply_bytes(r, 304, STR(""));
        return true;
    }
    char length[24];
    (void)snprintf(length, sizeof length, "%zu", bytes.len);
    reply_header(r, "Content-Length", length); /* HEAD has it too */
    reply_header(r, "Content-Type", asset->type);
    if (*coding != '\0') {
        reply_header(r, "Content-Encoding", coding);
    }
    reply_bytes(r, HTTP_STATUS_OK, bytes);
    return true;
}
