/* mail: see mail.h. mail_post runs on any thread, the rest on the owner's. */
#include "base/mail.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/auto.h"

enum { MAIL_MAGIC = 0x6d61696c };

struct mailbox {
    uint32_t magic;
    pthread_mutex_t lock;      /* guards the letters, posted and not yet fetched */
    struct mail_letter *first; /* borrowed: whoever posts says who frees it */
    struct mail_letter **last;
    int wake_fd;
    struct event *event; /* owned */
    bool reading;        /* letters are being run below us on the stack */
    bool freed;          /* mail_free came from one of them */
};

/* Takes the posted letters out and runs them; false when there were none. */
static bool run_letters(struct mailbox *box)
{
    (void)pthread_mutex_lock(&box->lock);
    struct mail_letter *letter = box->first;
    box->first = NULL;
    box->last = &box->first;
    (void)pthread_mutex_unlock(&box->lock);
    bool any = letter != NULL;
    while (letter != NULL) {
        struct mail_letter *next = letter->next;
        loop_fn *fn = letter->fn;
        letter->fn = NULL; /* who is called may post it again, or free it */
        fn(letter->arg);
        letter = next;
    }
    return any;
}

static void destroy(struct mailbox *box)
{
    while (run_letters(box)) {
        /* a letter may post another */
    }
    event_free(box->event);
    (void)close(box->wake_fd);
    (void)pthread_mutex_destroy(&box->lock);
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
    box->last = &box->first;
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

void mail_post(struct mailbox *box, struct mail_letter *letter, loop_fn *fn, void *arg)
{
    CHECK(box->magic == MAIL_MAGIC && letter->fn == NULL);
    *letter = (struct mail_letter){.fn = fn, .arg = arg};
    (void)pthread_mutex_lock(&box->lock);
    bool first = box->first == NULL;
    *box->last = letter;
    box->last = &letter->next;
    if (first) {
        /* Inside the lock: once outside, the owner may have freed the box. */
        CHECK(eventfd_write(box->wake_fd, 1) == 0);
    }
    (void)pthread_mutex_unlock(&box->lock);
}
