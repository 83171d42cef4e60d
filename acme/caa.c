/* caa: see caa.h. Called by doctor; the loop's thread. */
#include "acme/caa.h"

#include <stdio.h>
#include <stdlib.h>

#include "acme/nameservers.h"
#include "base/auto.h"

enum { CAA_MAGIC = 0x63616120, FLAG_CRITICAL = 0x80, IDENTITIES_MAX = 8, MESSAGE_MAX = 512 };

struct caa {
    uint32_t magic;
    struct loop *loop;     /* borrowed */
    struct lookup *lookup; /* owned */
    struct lookup_server resolvers[LOOKUP_SERVERS_MAX];
    size_t resolver_count;
    char name[256];        /* without "*." */
    const char *candidate; /* within name */
    bool is_wildcard;
    char *identities[IDENTITIES_MAX]; /* owned */
    size_t identity_count;
    char *account_uri; /* owned; may be NULL */
    caa_done_fn *done;
    void *arg; /* borrowed */
};

/* What the records of one set say about us. */
struct set {
    unsigned issue; /* properties seen */
    unsigned issuewild;
    bool issue_allows;
    bool issuewild_allows;
    bool has_unknown_critical;
    bool is_other_account; /* named, but for another account or method */
    char first[128];       /* what the deciding kind of property says, for the message */
};

static void destroy(struct caa *c)
{
    lookup_cancel(c->lookup);
    for (size_t i = 0; i < c->identity_count; i++) {
        free(c->identities[i]);
    }
    free(c->account_uri);
    c->magic = 0;
    free(c);
}

static void finish(struct caa *c, enum caa_verdict verdict, const char *message)
{
    struct caa_result result = {verdict, message};
    c->done(c->arg, &result);
    destroy(c);
}

/* The parameters of an issue value: "; accounturi=… ; validationmethods=dns-01,http-01". */
static bool parameters_allow(const struct caa *c, struct str rest)
{
    struct str one;
    while (rest.ptr != NULL && str_next(&rest, ';', &one)) {
        size_t equals = str_find(one, '=');
        if (equals == one.len) {
            continue;
        }
        struct str name = str_trim((struct str){one.ptr, equals});
        struct str value = str_trim((struct str){one.ptr + equals + 1, one.len - equals - 1});
        if (str_eq_nocase(name, STR("accounturi")) && c->account_uri != NULL &&
            !str_eq(value, str_of(c->account_uri))) {
            return false;
        }
        if (str_eq_nocase(name, STR("validationmethods")) && !str_list_has(value, STR("dns-01"))) {
            return false;
        }
    }
    return true;
}

static bool value_allows(const struct caa *c, struct str value, struct set *set)
{
    size_t semicolon = str_find(value, ';');
    struct str issuer = str_trim((struct str){value.ptr, semicolon});
    for (size_t i = 0; i < c->identity_count; i++) {
        if (!str_eq_nocase(issuer, str_of(c->identities[i]))) {
            continue;
        }
        struct str rest = {value.ptr + semicolon, value.len - semicolon};
        if (parameters_allow(c, rest)) {
            return true;
        }
        set->is_other_account = true;
    }
    return false;
}

static void read_property(const struct caa *c, const struct dnsmsg_caa *p, struct set *set)
{
    bool is_issue = str_eq_nocase(p->tag, STR("issue"));
    bool is_wild = str_eq_nocase(p->tag, STR("issuewild"));
    if (!is_issue && !is_wild) {
        bool is_known = str_eq_nocase(p->tag, STR("iodef")) ||
                        str_eq_nocase(p->tag, STR("issuemail")) ||
                        str_eq_nocase(p->tag, STR("contactemail")) ||
                        str_eq_nocase(p->tag, STR("contactphone"));
        set->has_unknown_critical |= !is_known && (p->flags & FLAG_CRITICAL) != 0;
        return;
    }
    bool allows = value_allows(c, p->value, set);
    set->issue += is_issue;
    set->issuewild += is_wild;
    set->issue_allows |= is_issue && allows;
    set->issuewild_allows |= is_wild && allows;
    if (is_wild == (c->is_wildcard && set->issuewild > 0)) {
        int len = snprintf(set->first, sizeof set->first, "%.*s \"%.*s\"", STR_ARG(p->tag),
                           p->value.len > 90 ? 90 : (int)p->value.len, p->value.ptr);
        for (int i = 0; i < len && set->first[i] != '\0'; i++) {
            char byte = set->first[i];
            set->first[i] = (char)(byte < ' ' || byte > '~' ? '?' : byte);
        }
    }
}

/* The set at c->candidate decides. */
static void decide(struct caa *c, const struct set *set)
{
    char message[MESSAGE_MAX];
    const char *ca = c->identity_count > 0 ? c->identities[0] : "the CA";
    bool by_wild = c->is_wildcard && set->issuewild > 0;
    bool is_restricted = by_wild || set->issue > 0;
    bool allows = by_wild ? set->issuewild_allows : set->issue_allows;
    if (set->has_unknown_critical) {
        (void)snprintf(
            message, sizeof message,
            "A CAA record of %s has a critical property that CAs do not know: remove it.",
            c->candidate);
        finish(c, CAA_FORBIDDEN, message);
    } else if (!is_restricted || allows) {
        (void)snprintf(message, sizeof message, "The CAA records of %s allow it.", c->candidate);
        finish(c, CAA_ALLOWED, message);
    } else if (set->is_other_account) {
        (void)snprintf(message, sizeof message,
                       "The CAA records of %s name %s only for another account or without dns-01: "
                       "correct accounturi or validationmethods.",
                       c->candidate, ca);
        finish(c, CAA_FORBIDDEN, message);
    } else {
        (void)snprintf(message, sizeof message,
                       "The CAA records of %s (%s) do not allow it: add %s CAA 0 %s \"%s\".",
                       c->candidate, set->first, c->candidate, by_wild ? "issuewild" : "issue", ca);
        finish(c, CAA_FORBIDDEN, message);
    }
}

static void ask(struct caa *c);

static void caa_on_answer(void *arg, const struct lookup_answer *answer)
{
    struct caa *c = arg;
    CHECK(c->magic == CAA_MAGIC);
    c->lookup = NULL;
    if (answer->result != LOOKUP_ANSWERED) {
        char message[MESSAGE_MAX];
        (void)snprintf(message, sizeof message,
                       "The CAA records of %s could not be asked for (%s): a CA refuses then, so "
                       "repair the zone's name servers.",
                       c->candidate, answer->text);
        finish(c, CAA_UNKNOWN, message);
        return;
    }
    struct set set = {.issue = 0};
    unsigned records = 0;
    struct dnsmsg_iter it = dnsmsg_records(answer->msg);
    struct dnsmsg_record r;
    while (dnsmsg_next(&it, &r)) {
        struct dnsmsg_caa property;
        if (r.section == DNS_ANSWER && r.type == DNS_CAA) {
            records++;
            if (dnsmsg_caa(answer->msg, &r, &property)) {
                read_property(c, &property, &set);
            }
        }
    }
    if (records > 0) {
        decide(c, &set);
        return;
    }
    const char *dot = strchr(c->candidate, '.');
    if (dot == NULL) {
        finish(c, CAA_ALLOWED, "There are no CAA records: any CA may issue.");
        return;
    }
    c->candidate = dot + 1;
    ask(c);
}

static void ask(struct caa *c)
{
    struct lookup_query query = {.name = c->candidate,
                                 .type = DNS_CAA,
                                 .servers = c->resolvers,
                                 .server_count = c->resolver_count,
                                 .recurse = true};
    c->lookup = lookup_start(c->loop, &query, caa_on_answer, c);
}

struct caa *caa_check(struct loop *loop, const struct acme_settings *settings,
                      const struct caa_query *query, caa_done_fn *done, void *arg)
{
    struct caa *c = xcalloc(1, sizeof *c);
    c->magic = CAA_MAGIC;
    c->loop = loop;
    c->done = done;
    c->arg = arg;
    c->is_wildcard = str_starts(str_of(query->name), STR("*."));
    (void)snprintf(c->name, sizeof c->name, "%s", query->name + (c->is_wildcard ? 2 : 0));
    c->candidate = c->name;
    for (size_t i = 0; i < query->identity_count && i < IDENTITIES_MAX; i++) {
        c->identities[c->identity_count++] = xstrdup(query->identities[i]);
    }
    c->account_uri = query->account_uri == NULL ? NULL : xstrdup(query->account_uri);
    c->resolver_count = nameservers_resolvers(settings, c->resolvers);
    ask(c);
    return c;
}

void caa_cancel(struct caa *c)
{
    if (c != NULL) {
        CHECK(c->magic == CAA_MAGIC);
        destroy(c);
    }
}
