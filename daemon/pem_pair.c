/* pem_pair: see pem_pair.h. */
#include "daemon/pem_pair.h"

#include "certs/issue.h"

void pem_pair_fini(struct pem_pair *pair)
{
    buf_fini(&pair->chain);
    issue_buf_wipe(&pair->key);
}

void pem_pair_set(struct pem_pair *pair, struct str chain, struct str key)
{
    pem_pair_fini(pair); /* growing would leave a copy of the old key behind */
    buf_add_str(&pair->chain, chain);
    buf_reserve(&pair->key, key.len + 1);
    buf_add_str(&pair->key, key);
}
