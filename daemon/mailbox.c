#include "mailbox.h"

#include <event2/event.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void take_all(struct mailbox *m, struct pv_list *ret)
{
    pv_list_init(ret);
    pthread_mutex_lock(&m->lock);
    pv_list_splice(ret, &m->letters);
    pthread_mutex_unlock(&m->lock);
}

static void on_letters(evutil_socket_t fd, short what, void *arg)
{
    struct pv_list letters;
    eventfd_t ignored;
    (void)what;
    eventfd_read(fd, &ignored);
    take_all(arg, &letters);
    pv_list_each_safe (it, &letters) {
        struct letter *l = pv_container(it, struct letter, link);
        pv_list_remove(it);
        l->arrive(l);
    }
}

bool mailbox_init(struct mailbox *m, struct event_base *base)
{
    pv_list_init(&m->letters);
    pthread_mutex_init(&m->lock, NULL);
    m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (m->fd < 0)
        return false;
    event_assign(&m->readable, base, m->fd, EV_READ | EV_PERSIST, on_letters, m);
    return event_add(&m->readable, NULL) == 0;
}

void mailbox_done(struct mailbox *m)
{
    if (m->fd < 0)
        return;
    event_del(&m->readable);
    close(m->fd);
    m->fd = -1;
    pthread_mutex_destroy(&m->lock);
}

void mailbox_post(struct mailbox *m, struct letter *l, void (*arrive)(struct letter *))
{
    l->arrive = arrive;
    pthread_mutex_lock(&m->lock);
    pv_list_append(&m->letters, &l->link);
    pthread_mutex_unlock(&m->lock);
    eventfd_write(m->fd, 1);
}
