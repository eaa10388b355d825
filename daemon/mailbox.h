/* Letters to a thread's loop: functions that it shall run. Any thread may post. */
#ifndef PRIVYDNSD_MAILBOX_H
#define PRIVYDNSD_MAILBOX_H

#include "base/list.h"

#include <event2/event_struct.h>
#include <pthread.h>

struct event_base;

struct mailbox {
    pthread_mutex_t lock;
    struct pv_list letters;
    int fd; /* tells the loop that there is something */
    struct event readable;
};

bool mailbox_init(struct mailbox *, struct event_base *); /* false: no descriptor */
void mailbox_done(struct mailbox *);                      /* what was not read is dropped */
/* Have the loop call function(arg). False: no memory, it will not. */
bool mailbox_post(struct mailbox *, void (*function)(void *arg), void *arg);

#endif
