/* mail: see mail.h. mail_post runs on any thread, the rest on the owner's. */
#include "base/mail.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/auto.h"

enum { MAIL_MAGIC = 0x6d61696c };

struct letter {
    loop_fn *fn;
    void *arg; /* borrowed; whoever posts says who frees it */
};

struct letters {
    struct letter *items; /* owned */
    size_t count;
    size_t cap;
};

struct mailbox {
    uint32_t magic;
    pthread_mutex_t lock;  /* guards `inbox` only */
    struct letters inbox;  /* posted, not yet fetched */
    struct letters opened; /* fetched: the owner's alone */
    int wake_fd;
    struct event *event; /* owned */
    bool reading;        /* letters are being run below us on the stack */
    bool freed;          /* mail_free came from one of them */
};

/* Swaps the posted letters out and runs them; false when there were none. */
static bool run_letters(struct mailbox *box)
{
    (void)pthread_mutex_lock(&box->lock);
    struct letters fetched = box->inbox;
    box->inbox = box->opened;
    box->inbox.count = 0;
    box->opened = fetched;
    (void)pthread_mutex_unlock(&box->lock);
    for (size_t i = 0; i < box->opened.count; i++) {
        struct letter letter = box->opened.items[i];
        letter.fn(letter.arg);
    }
    return box->opened.count > 0;
}

static void destroy(struct mailbox *box)
{
    while (run_letters(box)) {
        /* a letter may post another */
    }
    event_free(box->event);
    (void)close(box->wake_fd);
    (void)pthread_mutex_destroy(&box->lock);
    free(box->inbox.items);
    free(box->opened.items);
    box->magic = 0;
    free(box);
}

static void mail_on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct mailbox *box = arg;
    CHECK(box->magic == MAIL_MAGIC);
    eventfd_t ignored;
    (void)eventfd_read(fd, &ignored); /* only resets the counter; empty is fine */
    box->reading = true;
    (void)run_letters(box);
    box->reading = false;
    if (box->freed) {
        destroy(box);
    }
}

/* With room for more letters than are in a box at a time, as a rule: posting shall not fail. */
static struct letters letters_new(void)
{
    enum { ROOM = 256 };
    return (struct letters){.items = xcalloc(ROOM, sizeof(struct letter)), .cap = ROOM};
}

struct mailbox *mail_new(struct loop *loop, struct err *err)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        (void)err_set_sys(err, "cannot open a mailbox descriptor");
        return NULL;
    }
    struct mailbox *box = xcalloc(1, sizeof *box);
    box->magic = MAIL_MAGIC;
    box->wake_fd = fd;
    box->inbox = letters_new();
    box->opened = letters_new();
    CHECK(pthread_mutex_init(&box->lock, NULL) == 0);
    box->event = event_new(loop_base(loop), fd, EV_READ | EV_PERSIST, mail_on_wake, box);
    NEED(box->event != NULL && event_add(box->event, NULL) == 0);
    return box;
}

void mail_free(struct mailbox *box)
{
    if (box == NULL) {
        return;
    }
    CHECK(box->magic == MAIL_MAGIC && !box->freed);
    if (box->reading) {
        box->freed = true; /* the letters being run come first */
        return;
    }
    box->reading = true;
    destroy(box);
}

void mail_post(struct mailbox *box, loop_fn *fn, void *arg)
{
    CHECK(box->magic == MAIL_MAGIC);
    (void)pthread_mutex_lock(&box->lock);
    struct letters *in = &box->inbox;
    if (in->count == in->cap) {
        in->cap *= 2;
        in->items = xrealloc(in->items, in->cap * sizeof *in->items);
    }
    in->items[in->count++] = (struct letter){fn, arg};
    bool first = in->count == 1;
    if (first) {
        /* Inside the lock: once outside, the owner may have freed the box. */
        CHECK(eventfd_write(box->wake_fd, 1) == 0);
    }
    (void)pthread_mutex_unlock(&box->lock);
}
