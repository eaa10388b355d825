#include "serve/tcp_client.h"

#include "base/buf.h"
#include "base/status.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define UNANSWERED_MOST 64           /* here we stop reading until some are answered */
#define UNSENT_MOST     (256 * 1024) /* the same, octets */
#define UNSENT_TOTAL    (32u << 20)  /* of all clients; who makes it more is closed */
#define FRAME_MOST      (2 + PV_MESSAGE_MAX)
#define READ_SMALL      4096
#define READ_LARGE      16384
#define FRAME_MS        5000 /* to finish a message that was begun */
#define WRITE_MS        5000 /* without the client taking anything */

struct client {
    struct pv_list link;
    struct clients *all;
    struct pv_addr peer;
    int fd;
    struct event readable, writable, timer, work;
    struct pv_buf in, out;
    size_t accounted; /* of `out`, in limits->unsent */
    struct pv_list requests;
    unsigned unanswered;
    bool reading, writing;                /* the events are pending */
    bool read_full;                       /* the last read filled its room */
    bool ended;                           /* nothing more is read */
    bool broken;                          /* no memory for something it needs: close */
    uint64_t idle_at, frame_at, write_at; /* deadlines in ms, 0: none */
    uint64_t timer_at;                    /* when the timer fires, 0: not set */
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static const struct config *config_of(const struct client *c)
{
    return c->all->server->policy->config;
}

/* ---- the end ---- */

static void account(struct client *c)
{
    size_t now = pv_buf_length(&c->out);
    size_t total = atomic_fetch_add_explicit(&c->all->limits->unsent, now - c->accounted,
                                             memory_order_relaxed) +
                   now - c->accounted;
    if (now > c->accounted && total > UNSENT_TOTAL)
        c->broken = true;
    c->accounted = now;
}

static void client_close(struct client *c)
{
    struct clients *all = c->all;
    pv_list_each_safe (it, &c->requests) {
        struct request *r = pv_container(it, struct request, owner_link);
        r->deliver = NULL;
        pv_list_remove(&r->owner_link);
    }
    pv_list_remove(&c->link);
    event_del(&c->readable);
    event_del(&c->writable);
    event_del(&c->timer);
    event_del(&c->work);
    close(c->fd);
    pv_buf_done(&c->in);
    pv_buf_done(&c->out);
    account(c);
    tcp_peer_give(all->limits, &c->peer);
    tcp_place_give(all->limits);
    free(c);
    if (all->gone)
        all->gone(all->arg);
}

/* ---- out ---- */

static void queue_reply(struct client *c, const uint8_t *reply, size_t length)
{
    uint8_t *p = pv_buf_reserve(&c->out, 2 + length);
    if (!p) {
        c->broken = true;
        return;
    }
    pv_put16(p, (uint16_t)length);
    memcpy(p + 2, reply, length);
    pv_buf_grew(&c->out, 2 + length);
}

/* A question is answered. Only note it: this runs inside the resolver's callback. */
static void deliver(struct request *r, const uint8_t *reply, size_t length)
{
    struct client *c = r->owner;
    pv_list_remove(&r->owner_link);
    c->unanswered--;
    queue_reply(c, reply, length);
    event_active(&c->work, EV_TIMEOUT, 0);
}

/* Hand the kernel what it takes. False: the connection is gone. */
static bool flush(struct client *c)
{
    while (pv_buf_length(&c->out)) {
        ssize_t n =
            send(c->fd, pv_buf_front(&c->out), pv_buf_length(&c->out), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM))
            return true;
        if (n < 0)
            return false;
        pv_buf_consume(&c->out, (size_t)n);
        c->write_at = 0; /* it takes something: the clock begins anew */
    }
    return true;
}

/* ---- in ---- */

static bool is_full(const struct client *c)
{
    return c->unanswered >= UNANSWERED_MOST || pv_buf_length(&c->out) >= UNSENT_MOST;
}

/* Octets of the frame at the front, 0 while it is not whole. */
static size_t whole_frame(const struct client *c)
{
    size_t have = pv_buf_length(&c->in);
    if (have < 2)
        return 0;
    size_t frame = 2 + (size_t)pv_get16(pv_buf_front(&c->in));
    return have >= frame ? frame : 0;
}

/* No message is that short: not even waited for. */
static bool is_hopeless(const struct client *c)
{
    return pv_buf_length(&c->in) >= 2 && pv_get16(pv_buf_front(&c->in)) < PV_HEADER;
}

/* What to tell of our idle limit: none where connections are getting scarce [RFC 7828 §3.3.2]. */
static uint16_t keepalive_value(const struct client *c)
{
    const struct config *config = config_of(c);
    unsigned most = tcp_limits_most(c->all->limits, config->tcp_clients);
    unsigned now = atomic_load_explicit(&c->all->limits->clients, memory_order_relaxed);
    uint32_t units = config->tcp_idle / 100;
    if (now * 10ull > most * 9ull)
        return 0;
    return units < UINT16_MAX ? (uint16_t)units : UINT16_MAX;
}

/* Answer or ask the message at the front. False: no query, close. */
static bool handle_message(struct client *c, size_t frame)
{
    struct arrival a = {.bytes = pv_buf_front(&c->in) + 2,
                        .length = frame - 2,
                        .tcp = true,
                        .peer = c->peer,
                        .keepalive_value = keepalive_value(c)};
    struct request *r;
    size_t length;
    switch (request_handle(c->all->server, &a, c->all->reply, &length, &r)) {
    case REQUEST_DROP:
        return false;
    case REQUEST_REPLIED:
        queue_reply(c, c->all->reply, length);
        break;
    case REQUEST_PENDING:
        r->deliver = deliver;
        r->owner = c;
        pv_list_append(&c->requests, &r->owner_link);
        c->unanswered++;
        break;
    }
    pv_buf_consume(&c->in, frame);
    c->frame_at = 0;
    return true;
}

static bool handle_messages(struct client *c, uint64_t now)
{
    size_t frame = 0;
    bool any = false;
    while (!is_hopeless(c) && !is_full(c) && (frame = whole_frame(c))) {
        if (!handle_message(c, frame))
            return false;
        any = true;
    }
    if (any) {
        c->idle_at = now + config_of(c)->tcp_idle;
        pv_list_remove(&c->link);
        pv_list_append(&c->all->list, &c->link);
    }
    return !is_hopeless(c);
}

/* ---- clocks ---- */

static void set_timer(struct client *c, uint64_t now)
{
    const uint64_t all[] = {c->idle_at, c->frame_at, c->write_at};
    uint64_t next = 0;
    for (size_t i = 0; i < 3; i++)
        if (all[i] && (!next || all[i] < next))
            next = all[i];
    if (!next || (c->timer_at && c->timer_at <= next))
        return; /* one that fires early only looks again */
    uint64_t wait = next > now ? next - now : 0;
    struct timeval tv = {.tv_sec = (time_t)(wait / 1000),
                         .tv_usec = (suseconds_t)(wait % 1000 * 1000)};
    c->timer_at = next;
    if (event_add(&c->timer, &tv) != 0)
        c->broken = true;
}

static void set_deadlines(struct client *c, uint64_t now)
{
    bool owes = c->unanswered || pv_buf_length(&c->out);
    if (!pv_buf_length(&c->in) || !c->reading)
        c->frame_at = 0; /* while we do not read, it is not the client's delay */
    else if (!c->frame_at)
        c->frame_at = now + FRAME_MS;
    if (!pv_buf_length(&c->out))
        c->write_at = 0;
    else if (!c->write_at)
        c->write_at = now + WRITE_MS;
    if (!c->idle_at && !owes)
        c->idle_at = now + config_of(c)->tcp_idle;
    set_timer(c, now);
}

/* ---- the pump ---- */

static void want(struct client *c, struct event *event, bool *is, bool wanted)
{
    if (*is == wanted)
        return;
    if (!wanted)
        event_del(event);
    else if (event_add(event, NULL) != 0)
        c->broken = true;
    *is = wanted;
}

/* Is everything answered that can be? */
static bool is_finished(const struct client *c)
{
    return c->ended && !c->unanswered && !pv_buf_length(&c->out) && !whole_frame(c);
}

/* Handle what was read, send what is ready, and wait for the right things. May close. */
static void pump(struct client *c)
{
    uint64_t now = now_ms();
    bool good;
    do {
        good = handle_messages(c, now);
        good = flush(c) && good;
        account(c);
    } while (good && !c->broken && !is_full(c) && whole_frame(c));
    if (!good || c->broken || is_finished(c)) {
        client_close(c);
        return;
    }
    want(c, &c->readable, &c->reading, !c->ended && !is_full(c));
    want(c, &c->writable, &c->writing, pv_buf_length(&c->out) > 0);
    set_deadlines(c, now);
    if (c->broken)
        client_close(c);
}

static void on_work(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    pump(arg);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct client *c = arg;
    size_t room = c->read_full ? READ_LARGE : READ_SMALL;
    uint8_t *p = pv_buf_reserve(&c->in, room);
    (void)what;
    ssize_t n = p ? recv(fd, p, room, MSG_DONTWAIT) : -1;
    if (n < 0 && p && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        client_close(c);
        return;
    }
    pv_buf_grew(&c->in, (size_t)n);
    c->read_full = (size_t)n == room;
    if (n == 0)
        c->ended = true; /* it may still be reading */
    pump(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct client *c = arg;
    uint64_t now = now_ms();
    (void)fd, (void)what;
    c->timer_at = 0;
    if ((c->frame_at && c->frame_at <= now) || (c->write_at && c->write_at <= now)) {
        client_close(c);
        return;
    }
    if (c->idle_at && c->idle_at <= now) {
        if (!c->unanswered && !pv_buf_length(&c->out)) {
            client_close(c);
            return;
        }
        c->idle_at = 0; /* not idle: it waits for us. The clock begins when all is sent. */
    }
    set_timer(c, now);
    if (c->broken)
        client_close(c);
}

/* ---- the life of it ---- */

bool client_new(struct clients *all, int fd, const struct pv_addr *peer)
{
    struct client *c = calloc(1, sizeof *c);
    if (!c) {
        close(fd);
        tcp_peer_give(all->limits, peer);
        tcp_place_give(all->limits);
        return false;
    }
    c->all = all;
    c->peer = *peer;
    c->fd = fd;
    pv_list_init(&c->requests);
    pv_list_append(&all->list, &c->link);
    pv_buf_init(&c->in, FRAME_MOST + READ_LARGE);
    pv_buf_init(&c->out, UNSENT_MOST + UNANSWERED_MOST * (size_t)FRAME_MOST);
    event_assign(&c->readable, all->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->writable, all->base, fd, EV_WRITE | EV_PERSIST, on_work, c);
    event_assign(&c->timer, all->base, -1, 0, on_timer, c);
    event_assign(&c->work, all->base, -1, 0, on_work, c);
    want(c, &c->readable, &c->reading, true);
    c->idle_at = now_ms() + config_of(c)->tcp_idle;
    set_timer(c, now_ms());
    if (!c->broken)
        return true;
    client_close(c);
    return false;
}

void clients_finish(struct clients *all)
{
    pv_list_each_safe (it, &all->list) {
        struct client *c = pv_container(it, struct client, link);
        c->ended = true;
        pump(c);
    }
}

void clients_close(struct clients *all)
{
    pv_list_each_safe (it, &all->list)
        client_close(pv_container(it, struct client, link));
}

bool clients_make_room(struct clients *all, const struct pv_addr *peer)
{
    pv_list_each (it, &all->list) {
        struct client *c = pv_container(it, struct client, link);
        if (c->unanswered || pv_buf_length(&c->out) || (peer && !pv_addr_same_host(&c->peer, peer)))
            continue;
        client_close(c);
        return true;
    }
    return false;
}
