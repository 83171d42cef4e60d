/* mail: the only door between threads: a mailbox on a loop.
 *
 * mail_post(box, fn, arg) makes the box's owner call fn(arg) in its own thread
 * in one of its next turns, in the order posted by one thread. One mutex and
 * one eventfd; nothing else locks but gateway/throttle.
 * A box is freed by its owner after every poster has stopped; letters not yet
 * read are then run (so that what they own is freed).
 */
#ifndef WOS_BASE_MAIL_H
#define WOS_BASE_MAIL_H

#include "base/err.h"
#include "base/loop.h"

struct mailbox;

struct mailbox *mail_new(struct loop *loop, struct err *err);
void mail_free(struct mailbox *box);
/* Any thread. */
void mail_post(struct mailbox *box, loop_fn *fn, void *arg);

#endif
