/* cert_status: see cert_status.h. Called by `wos cert`; one thread. */
#include "cli/cert_status.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "cli/certwatch.h"
#include "cli/print.h"

static void add_line(struct buf *out, const char *label, const char *text)
{
    if (text == NULL || *text == '\0') {
        return;
    }
    size_t from = out->len;
    buf_printf(out, "  %-12s %s", label, text);
    for (size_t i = from; i < out->len; i++) { /* shown, never obeyed */
        if ((unsigned char)out->ptr[i] < ' ' || out->ptr[i] == 0x7f) {
            out->ptr[i] = '?';
        }
    }
    buf_add_char(out, '\n');
}

static void add_member(struct buf *out, const cJSON *cert, const char *label, const char *member)
{
    add_line(out, label, json_get_str(cert, member, NULL));
}

static void add_names(struct buf *out, const cJSON *cert)
{
    struct buf names = {0};
    const cJSON *name = NULL;
    cJSON_ArrayForEach(name, json_get(cert, "names"))
    {
        buf_printf(&names, "%s%s", names.len == 0 ? "" : ", ",
                   cJSON_IsString(name) ? name->valuestring : "?");
    }
    add_line(out, "names", buf_cstr(&names));
    buf_fini(&names);
}

static void add_when(struct buf *out, const char *label, const char *before, const char *iso,
                     const char *reason)
{
    char relative[48];
    struct buf text = {0};
    if (iso == NULL) {
        return;
    }
    certwatch_relative(iso, relative, sizeof relative);
    buf_printf(&text, "%s%s", before, iso);
    if (relative[0] != '\0') {
        buf_printf(&text, " (%s)", relative);
    }
    if (reason != NULL && *reason != '\0') {
        buf_printf(&text, ": %s", reason);
    }
    add_line(out, label, buf_cstr(&text));
    buf_fini(&text);
}

static void add_error(struct buf *out, const cJSON *cert)
{
    const cJSON *error = json_get(cert, "lastError");
    const char *message = json_get_str(error, "message", NULL);
    if (message != NULL) {
        add_line(out, "error", message);
        add_when(out, "", "at ", json_get_str(error, "at", NULL), NULL);
    }
}

void cert_status_print(const cJSON *cert)
{
    struct buf out = {0};
    char next[32];
    const char *source = json_get_str(cert, "source", "disabled");
    buf_printf(&out, "%s\n", json_get_str(cert, "listenerKind", "?"));
    add_line(&out, "source", source);
    add_member(&out, cert, "directory", "directory");
    add_member(&out, cert, "state", "state");
    add_member(&out, cert, "step", "step");
    add_names(&out, cert);
    add_member(&out, cert, "issuer", "issuer");
    add_when(&out, "until", "", json_get_str(cert, "notAfter", NULL), NULL);
    (void)snprintf(next, sizeof next, "%.20s ", json_get_str(cert, "nextAction", "look"));
    add_when(&out, "next", next, json_get_str(cert, "nextAt", NULL),
             json_get_str(cert, "nextReason", NULL));
    add_member(&out, cert, "warning", "warning");
    add_error(&out, cert);
    print_flush(stdout, &out);
    buf_fini(&out);
}

void cert_show_print(const cJSON *cert)
{
    struct buf out = {0};
    buf_printf(&out, "%s\n", json_get_str(cert, "listenerKind", "?"));
    add_member(&out, cert, "source", "source");
    add_member(&out, cert, "state", "state");
    const cJSON *name = NULL;
    cJSON_ArrayForEach(name, json_get(cert, "names"))
    {
        add_line(&out, "name", cJSON_IsString(name) ? name->valuestring : "?");
    }
    add_member(&out, cert, "subject", "subject");
    add_member(&out, cert, "issuer", "issuer");
    add_member(&out, cert, "fingerprint", "fingerprint");
    add_member(&out, cert, "from", "notBefore");
    add_member(&out, cert, "until", "notAfter");
    add_member(&out, cert, "chain", "path");
    add_member(&out, cert, "CA", "caPath");
    add_member(&out, cert, "account", "accountUrl");
    add_member(&out, cert, "warning", "warning");
    add_member(&out, json_get(cert, "lastError"), "error", "message");
    print_flush(stdout, &out);
    buf_fini(&out);
}
