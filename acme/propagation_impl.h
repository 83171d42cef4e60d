/* propagation_impl: what propagation.c and propagation_wait.c share; nobody else includes it. */
#ifndef WOS_ACME_PROPAGATION_IMPL_H
#define WOS_ACME_PROPAGATION_IMPL_H

#include <stdint.h>

#include "acme/propagation.h"

/* First in both kinds of handle. */
struct propagation {
    uint32_t magic;
    void (*destroy)(struct propagation *p);
};

enum { PROPAGATION_MAGIC = 0x70726f70 };

#endif
