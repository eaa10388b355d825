/* The streams under test, and a loop run until something has happened. Include unit.h first. */
#ifndef CLIENT_H
#define CLIENT_H

#include "net/stream.h"
#include "peer.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

struct client {
    struct pv_stream *stream;
    bool opened, lost;
    enum pv_stream_fault fault;
    char reason[200];
    size_t received, most_at_once;
    char first[64]; /* of what was received */
    char close_in;  /* close itself in event 'o', 'r' or 'l' */
    bool hoards;    /* consumes nothing */
    unsigned events_after_close;
    bool closed;
};

static struct event_base *base;
static struct pv_loop *loop;

static void client_close(struct client *c)
{
    pv_stream_close(c->stream);
    c->stream = NULL;
    c->closed = true;
}

static void client_event(struct client *c, char event)
{
    c->events_after_close += c->closed;
    if (c->close_in == event)
        client_close(c);
}

static void client_opened(void *arg)
{
    struct client *c = arg;
    assert_false(c->opened);
    c->opened = true;
    client_event(c, 'o');
}

static void client_received(void *arg, struct pv_buf *in)
{
    struct client *c = arg;
    assert_true(c->opened && !c->lost);
    size_t n = pv_buf_length(in), room = sizeof c->first - 1;
    if (c->received < room)
        memcpy(c->first + c->received, pv_buf_front(in),
               n < room - c->received ? n : room - c->received);
    c->most_at_once = n > c->most_at_once ? n : c->most_at_once;
    if (!c->hoards) {
        c->received += n;
        pv_buf_consume(in, n);
    }
    client_event(c, 'r');
}

static void client_lost(void *arg, enum pv_stream_fault fault, const char *reason)
{
    struct client *c = arg;
    assert_false(c->lost);
    c->lost = true;
    c->fault = fault;
    snprintf(c->reason, sizeof c->reason, "%s", reason);
    client_event(c, 'l');
}

static const struct pv_stream_events client_events = {client_opened, client_received, client_lost};

static void client_open(struct client *c, struct pv_tls_context *tls,
                        const struct pv_addr *addresses, unsigned count)
{
    struct pv_stream_options o = {.addresses = addresses,
                                  .address_count = count,
                                  .tls = tls,
                                  .in_limit = 128 * 1024,
                                  .out_limit = 256 * 1024};
    *c = (struct client){.close_in = c->close_in, .hoards = c->hoards};
    c->stream = pv_stream_open(loop, &o, &client_events, c);
    assert_non_null(c->stream);
    assert_false(c->opened || c->lost); /* never before it returns */
}

/* Run the loop until the expression is true; the test fails after 10 s. */
#define run_until(expression)                                                                      \
    do {                                                                                           \
        uint64_t give_up = pv_now(loop) + 10000000;                                                \
        struct event *tick = event_new(base, -1, EV_PERSIST, nothing, NULL);                       \
        event_add(tick, &(struct timeval){.tv_usec = 20000});                                      \
        while (!(expression) && pv_now(loop) < give_up)                                            \
            event_base_loop(base, EVLOOP_ONCE);                                                    \
        event_free(tick);                                                                          \
        assert_true(expression);                                                                   \
    } while (0)

static void nothing(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
}

static int loop_begin(void **state)
{
    (void)state;
    base = event_base_new();
    loop = pv_loop_new(base, NULL, NULL);
    return base && loop ? 0 : -1;
}

static int loop_end(void **state)
{
    (void)state;
    pv_loop_free(loop);
    event_base_free(base);
    return 0;
}

#endif
