/* propagation_wait: see propagation.h. Names are taken one after the other (all were written
 * before), the servers of a name are asked together, in rounds with growing pauses. The loop's
 * thread.
 *
 * A server counts as showing a record from the first time it does. One that has given no
 * usable answer (SERVFAIL, REFUSED, no authority) in LAME_ROUNDS rounds, or in fewer that it let
 * pass in silence, is left out, as resolvers leave it out, if another one shows the record. */
#include <stdio.h>
#include <stdlib.h>

#include "acme/nameservers.h"
#include "acme/propagation_impl.h"
#include "base/auto.h"

enum {
    LAME_ROUNDS = 3,
    SILENT_COUNTS = 2, /* rounds: each took all the tries of a lookup */
    FIRST_PAUSE_MS = 250,
    LONGEST_PAUSE_MS = 8000,
    DEFAULT_TIMEOUT_MS = 120000,
    SAID_MAX = 400
};

struct wait;

struct server {
    struct wait *wait; /* borrowed: whose part this is */
    struct nameserver id;
    struct lookup *lookup; /* owned; NULL: not being asked */
    bool has_shown;
    bool was_usable;
    unsigned failed_rounds;
    char said[SAID_MAX];
};

struct wanted {
    char *name;  /* owned, lower-case */
    char *value; /* owned */
};

struct wait {
    struct propagation base;              /* first */
    struct loop *loop;                    /* borrowed */
    const struct acme_settings *settings; /* borrowed */
    struct wanted *records;               /* owned */
    size_t record_count;
    size_t current;             /* the record whose name is being asked for */
    struct nameservers *finder; /* owned; NULL: servers are known, or a pause */
    char problem[400];          /* why the servers are not known */
    struct server servers[NAMESERVERS_MAX];
    size_t server_count; /* 0: not known */
    size_t pending;
    size_t told; /* what the last note said, plus one */
    uint64_t pause_ms;
    bool is_settling;        /* everything is seen: the extra wait */
    struct loop_timer timer; /* the pause, the extra wait */
    struct loop_timer deadline;
    propagation_note_fn *note;
    propagation_done_fn *done;
    void *arg; /* borrowed */
};

static void wait_destroy(struct propagation *p)
{
    struct wait *w = (struct wait *)p;
    nameservers_cancel(w->finder);
    for (size_t i = 0; i < NAMESERVERS_MAX; i++) {
        lookup_cancel(w->servers[i].lookup);
    }
    for (size_t i = 0; i < w->record_count; i++) {
        free(w->records[i].name);
        free(w->records[i].value);
    }
    free(w->records);
    loop_timer_fini(&w->timer);
    loop_timer_fini(&w->deadline);
    w->base.magic = 0;
    free(w);
}

static const char *current_name(const struct wait *w)
{
    return w->records[w->current].name;
}

/* "ns1.example.com (1.2.3.4)", or the address of a resolver. */
static void server_label(const struct server *s, char *out, size_t size)
{
    char address[LOOKUP_SERVER_TEXT];
    lookup_server_text(&s->id.at, address);
    (void)snprintf(out, size, s->id.name[0] == '\0' ? "%s%s" : "%s (%s)",
                   s->id.name[0] == '\0' ? "" : s->id.name, address);
}

static void propagation_on_deadline(void *arg)
{
    struct wait *w = arg;
    CHECK(w->base.magic == PROPAGATION_MAGIC);
    struct buf list = {0};
    bool has_answers = w->server_count == 0 || w->settings->resolver_count > 0;
    for (size_t i = 0; i < w->server_count; i++) {
        const struct server *s = &w->servers[i];
        has_answers = has_answers || s->was_usable;
        char label[320];
        server_label(s, label, sizeof label);
        if (!s->has_shown) {
            buf_printf(&list, "%s%s: %s", list.len > 0 ? ", " : "", label,
                       s->said[0] == '\0' ? "no answer yet" : s->said);
        }
    }
    struct failure failure;
    failure_set(&failure, "propagation",
                "The TXT record %s did not appear everywhere within %u s%s: %s.", current_name(w),
                (w->settings->propagation_timeout_ms == 0 ? DEFAULT_TIMEOUT_MS
                                                          : w->settings->propagation_timeout_ms) /
                    1000,
                has_answers ? "" : " (if this host cannot ask them, set resolvers)",
                w->server_count > 0     ? buf_cstr(&list)
                : w->problem[0] != '\0' ? w->problem
                                        : "the name servers of its zone were not found in time");
    buf_fini(&list);
    w->done(w->arg, &failure);
    wait_destroy(&w->base);
}

static void pause_and_go_on(struct wait *w)
{
    loop_timer_set(&w->timer, w->pause_ms);
    w->pause_ms = w->pause_ms * 2 < LONGEST_PAUSE_MS ? w->pause_ms * 2 : LONGEST_PAUSE_MS;
}

/* The values of the current name that the answer's TXT records hold; *out_others counts the rest.
 */
static size_t count_values(struct wait *w, const struct dnsmsg *m, size_t *out_others)
{
    char owner[DNS_NAME_TEXT_MAX];
    (void)snprintf(owner, sizeof owner, "%s", current_name(w));
    if (dnsmsg_follow(m, owner) < 0) {
        return 0;
    }
    size_t wanted = 0;
    size_t shown = 0;
    for (size_t i = 0; i < w->record_count; i++) {
        if (strcmp(w->records[i].name, current_name(w)) != 0) {
            continue;
        }
        wanted++;
        bool is_there = false;
        *out_others = 0;
        struct dnsmsg_iter it = dnsmsg_records(m);
        struct dnsmsg_record r;
        while (dnsmsg_next(&it, &r)) {
            struct buf text = {0};
            if (r.section == DNS_ANSWER && r.type == DNS_TXT && strcmp(r.owner, owner) == 0 &&
                dnsmsg_txt(m, &r, &text)) {
                bool is_it = str_eq(buf_str(&text), str_of(w->records[i].value));
                is_there |= is_it;
                *out_others += !is_it;
            }
            buf_fini(&text);
        }
        shown += is_there;
    }
    return shown == wanted ? SIZE_MAX : shown;
}

static void read_answer(struct server *s, const struct lookup_answer *answer)
{
    struct wait *w = s->wait;
    bool is_authority = s->id.name[0] != '\0';
    if (answer->result != LOOKUP_ANSWERED) {
        (void)snprintf(s->said, sizeof s->said, "%s", answer->text);
        s->failed_rounds += answer->result == LOOKUP_TIMEOUT ? SILENT_COUNTS : 1;
        return;
    }
    if (is_authority && !answer->msg->is_authoritative) {
        (void)snprintf(s->said, sizeof s->said, "not authoritative for the zone");
        s->failed_rounds++;
        return;
    }
    s->was_usable = true;
    size_t others = 0;
    size_t shown = count_values(w, answer->msg, &others);
    s->has_shown = shown == SIZE_MAX;
    if (shown == 0 && others == 0) {
        (void)snprintf(s->said, sizeof s->said, "%s",
                       answer->msg->rcode == DNS_NOERROR ? "no such record" : answer->text);
    } else {
        (void)snprintf(s->said, sizeof s->said, "%s",
                       shown == 0 ? "other values only" : "not all of the values");
    }
}

static void ask_all(struct wait *w);
static void start_name(struct wait *w);

/* The next name that was not asked for, or the end. */
static void name_is_seen(struct wait *w)
{
    for (size_t i = w->current + 1; i < w->record_count; i++) {
        bool is_new = true;
        for (size_t before = 0; before < i; before++) {
            is_new = is_new && strcmp(w->records[before].name, w->records[i].name) != 0;
        }
        if (is_new) {
            w->current = i;
            start_name(w);
            return;
        }
    }
    w->is_settling = true;
    loop_timer_clear(&w->deadline);
    loop_timer_set(&w->timer, w->settings->propagation_ms);
}

static void tell(struct wait *w, size_t shown, size_t left_out)
{
    size_t state = shown * NAMESERVERS_MAX + left_out + 1;
    if (w->note == NULL || w->told == state) {
        return;
    }
    w->told = state;
    char text[160];
    char tail[64] = "";
    if (left_out > 0) {
        (void)snprintf(tail, sizeof tail, "; %zu of them %s no usable answer", left_out,
                       left_out == 1 ? "gives" : "give");
    }
    (void)snprintf(text, sizeof text, "%zu of %zu %s%s the record%s", shown, w->server_count,
                   w->servers[0].id.name[0] == '\0' ? "resolver" : "name server",
                   w->server_count == 1 ? " shows" : "s show", tail);
    w->note(w->arg, text);
}

static void end_round(struct wait *w)
{
    size_t shown = 0;
    size_t left_out = 0;
    for (size_t i = 0; i < w->server_count; i++) {
        const struct server *s = &w->servers[i];
        shown += s->has_shown;
        left_out += !s->was_usable && s->failed_rounds >= LAME_ROUNDS;
    }
    bool is_done = shown > 0 && shown + left_out == w->server_count;
    /* The callback may not cancel: it gets text only, at a point where nothing is touched after. */
    tell(w, shown, left_out);
    if (is_done) {
        name_is_seen(w);
    } else {
        pause_and_go_on(w);
    }
}

static void propagation_on_txt(void *arg, const struct lookup_answer *answer)
{
    struct server *s = arg;
    struct wait *w = s->wait;
    CHECK(w->base.magic == PROPAGATION_MAGIC);
    s->lookup = NULL;
    read_answer(s, answer);
    if (--w->pending == 0) {
        end_round(w);
    }
}

static void ask_all(struct wait *w)
{
    for (size_t i = 0; i < w->server_count; i++) {
        struct server *s = &w->servers[i];
        if (s->has_shown) {
            continue;
        }
        struct lookup_query query = {.name = current_name(w),
                                     .type = DNS_TXT,
                                     .servers = &s->id.at,
                                     .server_count = 1,
                                     .recurse = s->id.name[0] == '\0'};
        w->pending++;
        s->lookup = lookup_start(w->loop, &query, propagation_on_txt, s);
    }
}

static void propagation_on_servers(void *arg, const struct nameservers_found *found,
                                   const char *problem)
{
    struct wait *w = arg;
    CHECK(w->base.magic == PROPAGATION_MAGIC);
    w->finder = NULL;
    if (found == NULL) {
        (void)snprintf(w->problem, sizeof w->problem, "%s", problem);
        pause_and_go_on(w);
        return;
    }
    w->server_count = found->count;
    for (size_t i = 0; i < found->count; i++) {
        w->servers[i] = (struct server){.wait = w, .id = found->servers[i]};
    }
    ask_all(w);
}

/* Finds out whom to ask for the current name; resolvers are known. */
static void start_name(struct wait *w)
{
    w->pause_ms = FIRST_PAUSE_MS;
    w->told = 0;
    w->server_count = 0;
    if (w->settings->resolver_count == 0) {
        w->finder =
            nameservers_find(w->loop, w->settings, current_name(w), propagation_on_servers, w);
        return;
    }
    struct lookup_server resolvers[LOOKUP_SERVERS_MAX];
    w->server_count = nameservers_resolvers(w->settings, resolvers);
    for (size_t i = 0; i < w->server_count; i++) {
        w->servers[i] = (struct server){.wait = w, .id = {.at = resolvers[i]}};
    }
    (void)snprintf(w->problem, sizeof w->problem, "none of the resolvers is an address");
    ask_all(w);
}

static void propagation_on_timer(void *arg)
{
    struct wait *w = arg;
    CHECK(w->base.magic == PROPAGATION_MAGIC);
    if (w->is_settling) {
        w->done(w->arg, NULL);
        wait_destroy(&w->base);
    } else if (w->server_count > 0) {
        ask_all(w);
    } else {
        w->finder =
            nameservers_find(w->loop, w->settings, current_name(w), propagation_on_servers, w);
    }
}

struct propagation *propagation_wait(struct loop *loop, const struct acme_settings *settings,
                                     const struct propagation_record *records, size_t count,
                                     propagation_note_fn *note, propagation_done_fn *done,
                                     void *arg)
{
    struct wait *w = xcalloc(1, sizeof *w);
    w->base = (struct propagation){PROPAGATION_MAGIC, wait_destroy};
    w->loop = loop;
    w->settings = settings;
    w->note = note;
    w->done = done;
    w->arg = arg;
    loop_timer_init(&w->timer, loop, propagation_on_timer, w);
    loop_timer_init(&w->deadline, loop, propagation_on_deadline, w);
    w->records = xcalloc(count + 1, sizeof *w->records);
    w->record_count = count;
    for (size_t i = 0; i < count; i++) {
        w->records[i].name = xstrdup(records[i].name);
        w->records[i].value = xstrdup(records[i].value);
        for (char *p = w->records[i].name; *p != '\0'; p++) {
            *p = ascii_lower(*p);
        }
    }
    if (count == 0) {
        w->is_settling = true;
        loop_timer_set(&w->timer, 0);
        return &w->base;
    }
    loop_timer_set(&w->deadline, settings->propagation_timeout_ms == 0
                                     ? DEFAULT_TIMEOUT_MS
                                     : settings->propagation_timeout_ms);
    start_name(w);
    return &w->base;
}
