/* endpoints_requests: the newest lines of the access log (docs/LOGS.md), for the web UI. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/api/request.h"

enum { TAIL_BYTES = 256 << 10, LIMIT_MAX = 200, LIMIT = 50 };

/* The end of the file, from the beginning of a line on; nothing when there is no file. The current
 * directory is H. Small and in the page cache: the loop can wait for it. */
static void tail_read(struct buf *out)
{
    autoclose int fd = open("logs/access.log", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return;
    }
    off_t from = st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0;
    autofree char *bytes = xcalloc(1, TAIL_BYTES);
    ssize_t len = pread(fd, bytes, TAIL_BYTES, from);
    const char *start = bytes;
    if (from > 0 && len > 0) {
        const char *line = memchr(bytes, '\n', (size_t)len);
        start = line == NULL ? bytes + len : line + 1;
    }
    if (len > start - bytes) {
        buf_add(out, start, (size_t)(len - (start - bytes)));
    }
}

/* Refused by the gateway, before a service saw it. */
static bool is_denied(const cJSON *line)
{
    return json_get(line, "event") != NULL ||
           strcmp(json_get_str(line, "reason", "allowed"), "allowed") != 0;
}

static void handle_requests(struct api_request *r)
{
    const char *text = request_query(r, "limit");
    const char *denied = request_query(r, "denied");
    uint64_t limit = LIMIT;
    if (text != NULL && (!str_to_u64(str_of(text), &limit) || limit < 1 || limit > LIMIT_MAX)) {
        reply_error(r, 400, "validation", "limit must be from 1 to 200", NULL);
        return;
    }
    bool only_denied = denied != NULL && strcmp(denied, "1") == 0;
    struct buf tail = {0};
    tail_read(&tail);
    cJSON *out = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(out, "requests");
    struct str rest = buf_str(&tail);
    while (limit > 0 && rest.len > 0) {
        const char *end = memrchr(rest.ptr, '\n', rest.len - 1);
        size_t at = end == NULL ? 0 : (size_t)(end - rest.ptr) + 1;
        cJSON *line = json_parse((struct str){rest.ptr + at, rest.len - at}, "line", NULL);
        rest.len = at;
        if (line == NULL || (only_denied && !is_denied(line))) {
            cJSON_Delete(line);
            continue;
        }
        (void)cJSON_AddItemToArray(list, line);
        limit--;
    }
    buf_fini(&tail);
    reply_json(r, HTTP_STATUS_OK, out);
}

const struct api_endpoint api_request_endpoints[] = {
    {API_GET, "/access/requests", API_LOGGED_IN, handle_requests},
    {0, NULL, API_LOCAL, NULL},
};
