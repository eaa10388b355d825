#include "proto/dnscrypt/fetch.h"

#include "base/random.h"
#include "net/sock.h"
#include "wire/edns.h"
#include "wire/reply.h"

#include <errno.h>

/* All of it ends before the limit for opening a connection does. */
enum { AGAIN_US = 400000, TCP_US = 800000, END_US = 1800000 };

enum {
    EDNS_SIZE = 1232,
    QUERY_MOST = 600,
    RELAYED_LEAST = 480, /* a relay drops replies that are longer than the query */
    DATAGRAMS = 2,
    OFFERED_MOST = 256, /* certificates in datagrams: each costs a signature, whoever sent it */
};

/* Each transmission has its own port and id. */
struct datagram {
    struct pv_fetch *fetch;
    struct pv_sock *sock;
    uint16_t id;
    unsigned relay;
};

struct pv_fetch {
    struct pv_endpoint *endpoint;
    struct pv_question question;
    struct datagram datagrams[DATAGRAMS];
    unsigned datagram_count;
    struct pv_call *call;
    uint16_t call_id;
    bool called;
    unsigned relay, call_relay;
    uint64_t begun;
    struct pv_timer timer;
    struct pv_fetch_result result;
    void (*done)(void *arg, const struct pv_fetch_result *);
    void *arg;
};

static struct pv_loop *loop_of(const struct pv_fetch *f)
{
    return pv_endpoint_loop(f->endpoint);
}

/* ---- end ---- */

void pv_fetch_cancel(struct pv_fetch *f)
{
    if (!f)
        return;
    for (unsigned i = 0; i < f->datagram_count; i++)
        pv_sock_close(f->datagrams[i].sock);
    pv_call_end(f->call);
    pv_timer_clear(loop_of(f), &f->timer);
    free(f);
}

static void finish(struct pv_fetch *f)
{
    if (!f->result.heard)
        f->result.relay = f->relay;
    f->done(f->arg, &f->result);
    pv_fetch_cancel(f);
}

static void fail(struct pv_fetch *f, const char *reason)
{
    snprintf(f->result.reason, sizeof f->result.reason, "no certificate: %s", reason);
}

/* ---- the question ---- */

bool pv_fetch_question(const struct pv_upstream *up, struct pv_question *ret)
{
    size_t length;
    const char *name = up->provider_name;
    *ret = (struct pv_question){.type = PV_T_TXT, .rrclass = PV_C_IN};
    if (!name || !pv_name_from_text(name, strlen(name), ret->name, &length))
        return false;
    ret->name_length = (uint8_t)length;
    return true;
}

/* What goes through a relay is padded: the only padding that is not sealed. */
static size_t write_query(const struct pv_fetch *f, uint16_t id, bool relayed,
                          uint8_t out[QUERY_MOST])
{
    struct pv_writer w = pv_writer(out, QUERY_MOST);
    const struct pv_question *q = &f->question;
    pv_header_write(&w, &(struct pv_header){.id = id, .flags = PV_RD, .qdcount = 1, .arcount = 1});
    pv_write(&w, q->name, q->name_length);
    pv_write16(&w, q->type);
    pv_write16(&w, q->rrclass);
    uint8_t *opt = pv_opt_begin(&w, EDNS_SIZE, 0, false);
    if (relayed)
        pv_opt_pad(&w, opt, RELAYED_LEAST);
    return pv_written(&w);
}

static uint16_t new_id(void)
{
    return (uint16_t)pv_random_below(65536);
}

/* ---- answers ---- */

static void begin_call(struct pv_fetch *f);

/* False: it is no answer to our question. */
static bool take(struct pv_fetch *f, const uint8_t *message, size_t length, uint16_t id,
                 bool *ret_cut)
{
    struct pv_reply reply;
    const char *why;
    if (!pv_reply_check(message, length, &f->question, id, &reply, &why))
        return false;
    pv_cert_offer_all(&f->result.choice, message, length, &f->question);
    f->result.heard = true;
    *ret_cut = reply.truncated;
    return true;
}

/* Is there anything left that may bring an answer? */
static bool is_at_an_end(const struct pv_fetch *f)
{
    bool open = f->call != NULL;
    for (unsigned i = 0; i < f->datagram_count; i++)
        open |= f->datagrams[i].sock != NULL;
    return f->called && !open;
}

static void close_datagram(struct datagram *d)
{
    pv_sock_close(d->sock);
    d->sock = NULL;
}

/* Somebody forges them: TCP has the last word. */
static void close_datagrams(struct pv_fetch *f)
{
    for (unsigned i = 0; i < f->datagram_count; i++)
        close_datagram(&f->datagrams[i]);
    if (is_at_an_end(f))
        finish(f);
}

/* Nobody vouches for a datagram: one that brings nothing good may be forged. One that was cut may
 * lack what only TCP brings; what it has serves if TCP fails. */
static void on_datagram(struct datagram *d, const uint8_t *message, size_t length)
{
    struct pv_fetch *f = d->fetch;
    bool cut;
    if (!take(f, message, length, d->id, &cut))
        return;
    f->result.relay = d->relay;
    if (!cut && f->result.choice.verdict == PV_CERT_USABLE) {
        finish(f);
        return;
    }
    if (!f->called)
        begin_call(f);
    if (f->result.choice.offered >= OFFERED_MOST)
        close_datagrams(f);
}

/* By the machine, or by the relay, which says so with an empty one. */
static void refused(struct datagram *d)
{
    struct pv_fetch *f = d->fetch;
    close_datagram(d);
    if (!f->called)
        begin_call(f);
    else if (is_at_an_end(f))
        finish(f);
}

static void datagram_ready(void *arg, unsigned events)
{
    struct datagram *d = arg;
    uint8_t *in = pv_loop_in(loop_of(d->fetch));
    (void)events;
    ssize_t n = pv_sock_recv(d->sock, in, PV_LOOP_IN);
    if (n > 0)
        on_datagram(d, in, (size_t)n); /* all may be over then; what else is there is told again */
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        refused(d);
}

static void connected(void *arg, const struct pv_addr *local)
{
    struct pv_fetch *f = arg;
    uint8_t query[QUERY_MOST];
    bool relayed = pv_endpoint_upstream(f->endpoint)->relay_count > 0;
    (void)local;
    f->call_id = new_id();
    pv_call_say(f->call, query, write_query(f, f->call_id, relayed, query));
}

static void answered(void *arg, uint8_t *packet, size_t length)
{
    struct pv_fetch *f = arg;
    bool cut, heard_before = f->result.heard;
    if (!take(f, packet, length, f->call_id, &cut))
        fail(f, "what came is no answer to the question for it");
    else if (!heard_before)
        f->result.over_tcp = true;
    f->result.relay = f->call_relay;
    finish(f);
}

/* Datagrams may still come, if they are not all there is. */
static void failed(void *arg, enum pv_stream_fault fault, const char *reason)
{
    struct pv_fetch *f = arg;
    (void)fault;
    fail(f, reason);
    pv_call_end(f->call);
    f->call = NULL;
    if (f->result.heard || is_at_an_end(f) || pv_now(loop_of(f)) > f->begun + TCP_US)
        finish(f);
}

/* ---- steps ---- */

static void step(struct pv_timer *);

static void arm(struct pv_fetch *f)
{
    uint64_t after = f->called ? END_US : f->datagram_count < DATAGRAMS ? AGAIN_US : TCP_US;
    pv_timer_set(loop_of(f), &f->timer, f->begun + after, step);
}

static void begin_call(struct pv_fetch *f)
{
    static const struct pv_call_events events = {connected, answered, failed};
    struct pv_way way;
    f->called = true;
    f->call_relay = f->relay++;
    if (pv_way_find(f->endpoint, f->call_relay, &way))
        f->call = pv_call_begin(loop_of(f), &way, &events, f);
    arm(f);
}

static void send_datagram(struct pv_fetch *f)
{
    struct datagram *d = &f->datagrams[f->datagram_count];
    struct pv_way way;
    uint8_t packet[PV_RELAY_PREFIX + QUERY_MOST];
    unsigned n = f->datagram_count++;
    *d = (struct datagram){.fetch = f, .id = new_id(), .relay = f->relay++};
    if (!pv_way_find(f->endpoint, d->relay, &way))
        return;
    d->sock = pv_sock_open(loop_of(f), false, &way.peers[n % way.peer_count], datagram_ready, d);
    if (!d->sock)
        return;
    pv_sock_want(d->sock, PV_SOCK_READ);
    memcpy(packet, way.prefix, way.prefix_length);
    size_t length = write_query(f, d->id, way.prefix_length > 0, packet + way.prefix_length);
    pv_sock_send(d->sock, packet, way.prefix_length + length); /* or it is lost */
}

static void step(struct pv_timer *t)
{
    struct pv_fetch *f = pv_container(t, struct pv_fetch, timer);
    if (f->called) {
        finish(f);
        return;
    }
    if (f->datagram_count < DATAGRAMS)
        send_datagram(f);
    else
        begin_call(f);
    arm(f);
}

struct pv_fetch *pv_fetch_begin(struct pv_endpoint *e, const struct pv_cert_choice *choice,
                                unsigned relay,
                                void (*done)(void *arg, const struct pv_fetch_result *), void *arg)
{
    struct pv_fetch *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->endpoint = e;
    f->result.choice = *choice;
    f->relay = relay;
    f->begun = pv_now(pv_endpoint_loop(e));
    f->done = done;
    f->arg = arg;
    fail(f, "no answer to the question for it");
    if (!pv_fetch_question(pv_endpoint_upstream(e), &f->question)) {
        free(f);
        return NULL;
    }
    send_datagram(f);
    arm(f);
    return f;
}
