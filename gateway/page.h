/* page: a reply as a HTML document. One template, one style sheet inside the
 * page, no script, nothing loaded from anywhere; readable without the style.
 * Pure; worker threads.
 */
#ifndef WOS_GATEWAY_PAGE_H
#define WOS_GATEWAY_PAGE_H

#include "gateway/reply.h"
#include "gateway/text.h"

/* Appends the document. */
void page_write(struct text *out, const struct reply *r);
/* What is between <style> and </style>. */
struct str page_style(void);
/* Content-Security-Policy for it: this style sheet and a form to this host, nothing else. */
#define PAGE_POLICY                                                                                \
    "default-src 'none'; style-src 'sha256-" PAGE_STYLE_HASH                                       \
    "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
/* Base64 of the style sheet's SHA-256; a unit test says what it has to be. */
#define PAGE_STYLE_HASH "GwxLyHzt4YX9OChrIedL5aflKvDzcUJEbzeHddiHph4="

#endif
