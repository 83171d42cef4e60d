/* Any bytes as config.json give a configuration that holds its promises. */
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "daemon/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *c =
        config_parse("/nowhere", (struct str){size == 0 ? "" : (const char *)data, size});
    CHECK(c->web_port >= 1 && c->web_port <= 65535 && c->web_host != NULL);
    CHECK(c->tunnel_port >= 1 && c->tunnel_port <= 65535);
    CHECK(!c->tunnel_enabled || c->tunnel_domain != NULL);
    CHECK(!c->web_ui_enabled ||
          (c->tunnel_enabled && c->web_ui_hostname != NULL && c->web_ui_secret != NULL));
    CHECK(c->tunnel_ssl.source != SSL_FILES || !c->tunnel_ssl.enabled ||
          (c->tunnel_ssl.cert != NULL && c->tunnel_ssl.key != NULL));
    cJSON_Delete(config_problems_json(c));
    config_free(c);
    return 0;
}
