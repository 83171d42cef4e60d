/* when: see when.h. */
#include "acme/when.h"

#include <string.h>
#include <time.h>

#include "base/json.h"
#include "certs/cert.h"

int64_t when_parse(const char *text)
{
    struct tm tm = {0};
    const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (at == NULL) {
        at = strptime(text, "%Y-%m-%dt%H:%M:%S", &tm);
    }
    if (at == NULL) {
        return 0;
    }
    int64_t seconds = (int64_t)timegm(&tm);
    if (*at == '.') {
        at += 1 + strspn(at + 1, "0123456789");
    }
    if ((*at == 'Z' || *at == 'z') && at[1] == '\0') {
        return seconds;
    }
    /* "+hh:mm" */
    struct str rest = str_of(at);
    uint16_t hours;
    uint16_t minutes;
    if ((*at != '+' && *at != '-') || rest.len != 6 || at[3] != ':' ||
        !str_to_u16((struct str){at + 1, 2}, &hours) ||
        !str_to_u16((struct str){at + 4, 2}, &minutes)) {
        return 0;
    }
    int64_t offset = (int64_t)hours * 3600 + (int64_t)minutes * 60;
    return *at == '+' ? seconds - offset : seconds + offset;
}

int64_t when_get(const cJSON *object, const char *name)
{
    return when_parse(json_get_str(object, name, ""));
}

void when_add(cJSON *object, const char *name, int64_t seconds)
{
    char text[32];
    cert_time_format(seconds, text, sizeof text);
    json_add_str(object, name, seconds == 0 ? NULL : text);
}
