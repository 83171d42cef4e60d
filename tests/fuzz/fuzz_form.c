/* Any bytes as a login form: what is taken decodes to something without controls, and a path
 * that counts as local is one that a browser keeps on this host.
 */
#include <stdlib.h>

#include "base/auto.h"
#include "gateway/form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    char *exact = xmalloc(size + 1);
    if (size > 0) {
        memcpy(exact, data, size);
    }
    char *bytes = xrealloc(exact, size == 0 ? 1 : size);
    struct str body = {bytes, size};
    struct str next;
    arena_init(&arena, 0);
    if (form_get(body, STR("next"), &arena, &next) == FORM_FOUND) {
        CHECK(next.len <= size);
        for (size_t i = 0; i < next.len; i++) {
            CHECK((uint8_t)next.ptr[i] >= 0x20 && next.ptr[i] != 0x7f);
        }
        if (form_path_is_local(next)) {
            CHECK(next.ptr[0] == '/' && (next.len == 1 || (next.ptr[1] != '/')));
            CHECK(memchr(next.ptr, '\\', next.len) == NULL);
        }
    }
    (void)form_path_is_local(body);
    arena_fini(&arena);
    free(bytes);
    return 0;
}
