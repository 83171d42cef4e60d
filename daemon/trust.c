/* trust: see trust.h. Called by the publisher for each snapshot; the daemon's thread. */
#include "daemon/trust.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "certs/localca.h"
#include "routing/snapshot.h"

static const char system_store[] = "/etc/ssl/certs/ca-certificates.crt";

static void add_file(const char *path, size_t limit, struct buf *out)
{
    struct buf text = {0};
    struct err err = {0};
    if (file_read(path, limit, &text, &err) == 0) {
        buf_add_str(out, buf_str(&text));
        buf_add_char(out, '\n');
    } else if (err.code != ERR_NOT_FOUND) {
        log_warn("trust", "these authorities are not trusted for services that speak TLS",
                 LOG_STR("error", err.msg));
    }
    buf_fini(&text);
}

void trust_read(const char *home, const struct route *routes, uint32_t count, struct buf *out)
{
    enum { LOCAL_MAX = 64 * 1024 };
    for (uint32_t i = 0; i < count; i++) {
        if (routes[i].backend == BACKEND_HTTPS) {
            autofree char *certs_dir = path_join(home, "certs");
            autofree char *local = localca_ca_path(certs_dir);
            add_file(local, LOCAL_MAX, out);
            add_file(system_store, SNAPSHOT_PEM_MAX - LOCAL_MAX - 2, out);
            return;
        }
    }
}
