/* mail: the only door between threads: a mailbox on a loop.
 *
 * mail_post(box, letter, fn, arg) makes the box's owner call fn(arg) in its own thread
 * in one of its next turns, in the order posted by one thread. One mutex and
 * one eventfd; nothing else locks but gateway/throttle. Posting needs no memory and cannot fail:
 * the letter is part of what it is about, and under way until fn is called.
 * A box is freed by its owner after every poster has stopped; letters not yet
 * read are then run (so that what they own is freed).
 */
#ifndef WOS_BASE_MAIL_H
#define WOS_BASE_MAIL_H

#include "base/err.h"
#include "base/loop.h"

struct mailbox;

/* Zero-initialised is one that is not under way. */
struct mail_letter {
    struct mail_letter *next;
    loop_fn *fn; /* NULL: not under way */
    void *arg;   /* borrowed */
};

struct mailbox *mail_new(struct loop *loop, struct err *err);
void mail_free(struct mailbox *box);
/* Any thread. The letter must not be under way. */
void mail_post(struct mailbox *box, struct mail_letter *letter, loop_fn *fn, void *arg);

#endif
