/* fuzz_manifest: any bytes as deploy.yaml. Whatever comes, the reader must answer
 * with errors or a manifest whose references hold. */
#include <stdint.h>
#include <stdlib.h>

#include "base/auto.h"
#include "daemon/deploy/manifest.h"
#include "daemon/deploy/order.h"
#include "daemon/deploy/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest *m = manifest_parse((struct str){(const char *)data, size}, "fuzz.yaml");
    autofree char *errors = manifest_errors_text(m);
    autofree char *warnings = manifest_warnings_text(m);
    (void)warnings; /* that it can be made is the point */
    if (manifest_ok(m)) {
        CHECK(errors[0] == '\0');
        autofree const struct manifest_service **sorted = order_services(m, NULL, NULL);
        CHECK(sorted != NULL);
        for (size_t i = 0; i < m->service_count; i++) {
            const struct manifest_service *s = &m->services[i];
            CHECK(manifest_find(m, s->name) == s);
            CHECK(s->script_count > 0 || m->mode != MANIFEST_SHELL);
            CHECK(s->image != NULL || m->mode != MANIFEST_GENERATED);
            for (size_t j = 0; j < s->environment_count; j++) {
                CHECK(template_check(str_of(s->environment[j].value), m, NULL) == 0);
            }
        }
    } else {
        CHECK(errors[0] != '\0');
    }
    manifest_free(m);
    return 0;
}
