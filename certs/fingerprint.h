/* fingerprint: the SHA-256 of a certificate in a PEM file, as people compare it. For those who
 * handle certificates without looking into them (the command line). Blocks on a small file.
 */
#ifndef WOS_CERTS_FINGERPRINT_H
#define WOS_CERTS_FINGERPRINT_H

#include "base/err.h"

enum { FINGERPRINT_TEXT = 65 };

/* 64 lower-case hex digits and NUL, of the first certificate in the file. */
int fingerprint_of_file(const char *path, char out[FINGERPRINT_TEXT], struct err *err);

#endif
