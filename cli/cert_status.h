/* cert_status: certificates for people to read: one block of lines each, on stdout. */
#ifndef WOS_CLI_CERT_STATUS_H
#define WOS_CLI_CERT_STATUS_H

#include <cjson/cJSON.h>

/* A CERTIFICATE of docs/API.md: names, issuer, expiry, what comes next, the last error. */
void cert_status_print(const cJSON *cert);
/* Every member there is. */
void cert_show_print(const cJSON *cert);

#endif
