/* Letters to a thread's loop: functions that it shall run. Any thread may post, and it never fails:
 * a letter is part of what it is about. */
#ifndef PRIVYDNSD_MAILBOX_H
#define PRIVYDNSD_MAILBOX_H

#include "base/list.h"

#include <event2/event_struct.h>
#include <pthread.h>

struct event_base;

struct letter {
    struct pv_list link;
    void (*arrive)(struct letter *);
};

struct mailbox {
    pthread_mutex_t lock;
    struct pv_list letters;
    int fd; /* tells the loop that there is something */
    struct event readable;
};

bool mailbox_init(struct mailbox *, struct event_base *); /* false: no descriptor */
void mailbox_done(struct mailbox *);                      /* what was not read is forgotten */
/* Have the loop call arrive(letter). Until then the letter is the mailbox's. */
void mailbox_post(struct mailbox *, struct letter *, void (*arrive)(struct letter *));

#endif
