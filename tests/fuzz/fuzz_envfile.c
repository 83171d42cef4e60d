/* Any bytes as an env file: an error names the file and is the config's, values stay within the
 * bound, and a value written in single quotes reads the same again. */
#include <stdlib.h>

#include "base/auto.h"
#include "daemon/deploy/envfile.h"

enum { TOTAL_MAX = 4 * 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* "KEY='value'"; a backslash before a quote of ours would be a quote, so those are left out. */
static void check_again(const char *item)
{
    struct str rest = str_of(item);
    size_t at = str_find(rest, '=');
    struct str value = {rest.ptr + at + 1, rest.len - at - 1};
    if (str_find(value, '\'') < value.len || str_ends(value, STR("\\"))) {
        return;
    }
    struct buf text = {0};
    struct envlist list = {0};
    struct err err = {.msg = ""};
    buf_add_str(&text, (struct str){rest.ptr, at});
    buf_add_text(&text, "='");
    buf_add_str(&text, value);
    buf_add_text(&text, "'\n");
    CHECK(envfile_parse(buf_str(&text), "x", NULL, &list, &err) == 0);
    CHECK(list.count == 1 && strcmp(list.items[0], item) == 0);
    envlist_fini(&list);
    buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const outside[] = {"HOME=/home/x", "EMPTY=", NULL};
    struct envlist environment = {0};
    struct envlist list = {0};
    struct err err = {.msg = ""};
    size_t total = 0;
    envlist_add_all(&environment, outside);
    if (envfile_parse((struct str){(const char *)data, size}, "x", &environment, &list, &err) < 0) {
        CHECK(err.code == ERR_CONFIG && str_starts(str_of(err.msg), STR("x:")));
    }
    for (size_t i = 0; i < list.count; i++) {
        total += strlen(list.items[i]);
        check_again(list.items[i]);
    }
    CHECK(total <= TOTAL_MAX + size);
    envlist_fini(&list);
    envlist_fini(&environment);
    return 0;
}
