/* access_print: see access_print.h. Called by access_logs.c. */
#include "cli/access_print.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/auto.h"
#include "base/json.h"

int access_filter_status(struct access_filter *filter, const char *text, struct err *err)
{
    bool is_class =
        strlen(text) == 3 && text[0] >= '1' && text[0] <= '5' && strcmp(text + 1, "xx") == 0;
    uint16_t status = 0;
    if (is_class) {
        filter->status_class = text[0] - '0';
        return 0;
    }
    if (!str_to_u16(str_of(text), &status) || status < 100 || status > 599) {
        return err_set(err, ERR_USAGE, "--status takes 404 or 5xx, not '%s'", text);
    }
    filter->status = status;
    return 0;
}

/* The host itself, or its first label. */
static bool is_host(const char *host, const char *wanted)
{
    size_t len = strlen(wanted);
    return strncasecmp(host, wanted, len) == 0 &&
           (host[len] == '\0' || host[len] == ':' || host[len] == '.');
}

bool access_filter_has(const struct access_filter *filter, const cJSON *line)
{
    int status = (int)json_get_int(line, "status", 0);
    if (filter->host != NULL && !is_host(json_get_str(line, "host", ""), filter->host) &&
        !is_host(json_get_str(line, "route", ""), filter->host)) {
        return false;
    }
    if (filter->worktree != NULL &&
        strcmp(json_get_str(line, "worktree", ""), filter->worktree) != 0) {
        return false;
    }
    return (filter->status == 0 || status == filter->status) &&
           (filter->status_class == 0 || status / 100 == filter->status_class);
}

/* "12:00:00" of today's lines and others': with the date, local. */
static void add_time(struct buf *out, const char *text)
{
    struct tm utc = {0};
    struct tm local;
    char shown[32];
    if (strptime(text, "%Y-%m-%dT%H:%M:%S", &utc) == NULL) {
        buf_add_text(out, "?");
        return;
    }
    time_t at = timegm(&utc);
    (void)localtime_r(&at, &local);
    (void)strftime(shown, sizeof shown, "%Y-%m-%d %H:%M:%S", &local);
    buf_add_text(out, shown);
}

/* Control characters, those of Unicode too, would move the cursor. */
static void add_text(struct buf *out, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if ((uint8_t)*at == 0xc2 && ((uint8_t)at[1] & 0xe0) == 0x80) {
            at++;
            buf_add_char(out, '?');
        } else {
            buf_add_char(out, (uint8_t)*at < 0x20 || *at == 0x7f ? '?' : *at);
        }
    }
}

static void add_bytes(struct buf *out, int64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double n = (double)bytes;
    size_t unit = 0;
    while (n >= 1000 && unit + 1 < COUNT_OF(units)) {
        n /= 1000;
        unit++;
    }
    buf_printf(out, unit == 0 || n >= 100 ? "%.0f%s" : "%.1f%s", n, units[unit]);
}

static void add_duration(struct buf *out, const cJSON *line)
{
    const cJSON *item = json_get(line, "ms");
    double ms = cJSON_IsNumber(item) ? item->valuedouble : 0;
    if (ms < 10) {
        buf_printf(out, "%.1fms", ms);
    } else if (ms < 10000) {
        buf_printf(out, "%.0fms", ms);
    } else {
        buf_printf(out, "%.1fs", ms / 1000);
    }
}

static void add_tinted(struct buf *out, const struct print_style *style, const char *color,
                       const char *text)
{
    if (style->color && color != NULL) {
        buf_printf(out, "\033[%sm", color);
    }
    add_text(out, text);
    if (style->color && color != NULL) {
        buf_add_text(out, "\033[0m");
    }
}

static const char *status_color(int status)
{
    return status >= 500 || status == 0 ? "31" : status >= 400 ? "33" : status >= 300 ? "36" : "32";
}

/* What is out of the ordinary, at the end of the line. */
static void add_remarks(struct buf *out, const cJSON *line, const struct print_style *style)
{
    const char *reason = json_get_str(line, "reason", "allowed");
    const char *aborted = json_get_str(line, "aborted", NULL);
    const char *error = json_get_str(line, "upstreamError", NULL);
    const char *upgrade = json_get_str(line, "upgrade", NULL);
    if (strcmp(reason, "allowed") != 0) {
        buf_add_text(out, "  ");
        add_tinted(out, style, "33", reason);
    }
    if (upgrade != NULL) {
        buf_add_text(out, "  ");
        add_tinted(out, style, "2", upgrade);
    }
    if (error != NULL) {
        buf_add_text(out, "  ");
        add_tinted(out, style, "31", error);
    }
    if (aborted != NULL) {
        autofree char *text = xasprintf("aborted by %s", aborted);
        buf_add_text(out, "  ");
        add_tinted(out, style, "31", text);
    }
}

void access_print_line(const cJSON *line, const struct print_style *style, struct buf *out)
{
    int status = (int)json_get_int(line, "status", 0);
    char text[8] = "---";
    add_time(out, json_get_str(line, "time", ""));
    buf_add_text(out, "  ");
    if (json_get_str(line, "event", NULL) != NULL) {
        add_tinted(out, style, "33", "refused");
        buf_add_text(out, "  ");
        add_text(out, json_get_str(line, "reason", ""));
        buf_add_text(out, "  ");
        add_text(out, json_get_str(line, "detail", ""));
        buf_add_text(out, "  ");
        add_tinted(out, style, "2", json_get_str(line, "peer", "?"));
        buf_add_char(out, '\n');
        return;
    }
    if (status > 0 && status < 1000) {
        (void)snprintf(text, sizeof text, "%d", status);
    }
    add_tinted(out, style, status_color(status), text);
    buf_add_text(out, "  ");
    add_text(out, json_get_str(line, "method", "-"));
    buf_add_text(out, "  ");
    add_text(out, json_get_str(line, "host", "-"));
    add_text(out, json_get_str(line, "path", ""));
    buf_add_text(out, "  ");
    add_duration(out, line);
    buf_add_text(out, "  ");
    add_bytes(out, json_get_int(line, "out", 0));
    buf_add_text(out, "  ");
    add_tinted(out, style, "2", json_get_str(line, "peer", "?"));
    add_remarks(out, line, style);
    buf_add_char(out, '\n');
}
