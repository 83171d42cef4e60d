/* dnsmsg: reading DNS answers (RFC 1035 section 4), which are hostile input.
 *
 * dnsmsg_open checks the whole message once: every record's frame and every owner's name
 * lie within it; compression pointers only lead backwards and are bounded. What it lets
 * through can be walked with dnsmsg_next without failing. The records' contents
 * are checked by the getters, which say false for what is malformed.
 *
 * Names come as lower-case text without the final dot ("" is the root); bytes that are not
 * printable, and dots and backslashes within a label, are written as \DDD. Everything
 * borrows from the message's bytes; no allocation; any thread.
 */
#ifndef WOS_ACME_DNSMSG_H
#define WOS_ACME_DNSMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum dns_type {
    DNS_A = 1,
    DNS_NS = 2,
    DNS_CNAME = 5,
    DNS_SOA = 6,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_CAA = 257
};
enum dns_rcode { DNS_NOERROR = 0, DNS_SERVFAIL = 2, DNS_NXDOMAIN = 3, DNS_REFUSED = 5 };
enum dns_section { DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL };

enum {
    DNS_NAME_TEXT_MAX = 1024, /* 255 octets, each at most \DDD, and NUL */
    DNS_RECORDS_MAX = 512,    /* more in one answer: malformed */
    DNS_CHAIN_MAX = 8,        /* CNAMEs followed within one answer */
    DNS_TXT_MAX = 4096        /* longer texts are cut */
};

struct dnsmsg {
    const uint8_t *bytes; /* borrowed */
    size_t len;
    uint8_t rcode;
    bool is_authoritative;
    bool is_truncated;
    uint16_t counts[3]; /* by enum dns_section */
    size_t records_at;
};

struct dnsmsg_record {
    char owner[DNS_NAME_TEXT_MAX];
    enum dns_section section;
    uint16_t type;
    uint16_t klass;
    uint32_t ttl;
    size_t data_at; /* within the message */
    size_t data_len;
};

struct dnsmsg_iter {
    const struct dnsmsg *msg; /* borrowed */
    size_t at;
    uint16_t left[3];
};

struct dnsmsg_caa {
    uint8_t flags;
    struct str tag;   /* 1 to 15 letters and digits, as sent */
    struct str value; /* any bytes */
};

/* False: malformed, or no answer. */
bool dnsmsg_open(struct dnsmsg *m, const void *bytes, size_t len);
struct dnsmsg_iter dnsmsg_records(const struct dnsmsg *m);
/* The next record of class IN; false at the end. */
bool dnsmsg_next(struct dnsmsg_iter *it, struct dnsmsg_record *out_record);

/* The name within a NS, CNAME or SOA record (of SOA the first). */
bool dnsmsg_name(const struct dnsmsg *m, const struct dnsmsg_record *r,
                 char out_name[DNS_NAME_TEXT_MAX]);
/* The strings of a TXT record joined, at most DNS_TXT_MAX bytes. */
bool dnsmsg_txt(const struct dnsmsg *m, const struct dnsmsg_record *r, struct buf *out_text);
bool dnsmsg_caa(const struct dnsmsg *m, const struct dnsmsg_record *r, struct dnsmsg_caa *out_caa);
/* 4 bytes of an A, 16 of an AAAA record; NULL for anything else. */
const uint8_t *dnsmsg_address(const struct dnsmsg *m, const struct dnsmsg_record *r);
/* Where the CNAMEs of the answer section lead from `name` (which is changed); the number of
 * steps, or -1 for a loop or more than DNS_CHAIN_MAX. */
int dnsmsg_follow(const struct dnsmsg *m, char name[DNS_NAME_TEXT_MAX]);

/* Letters, digits, "-" and "_" in labels of 1 to 63, 253 in all: what may be asked for. */
bool dns_name_is_plain(const char *name);

#endif
