/* DNS over HTTPS [RFC 8484], over HTTP/2 only: one request for each question. */
#include "net/h2.h"
#include "proto/doh_site.h"

#include <sodium.h>

#include <stdlib.h>
#include <string.h>

#define DNS_MESSAGE "application/dns-message"

enum {
    STREAMS_FIRST = 10,       /* until a server has told its limit */
    IDLE_MS = 60000,          /* then a connection is closed */
    REST_MOST_S = 60,         /* of a Retry-After [RFC 9110 §10.2.3] */
    GET_MOST = 2048,          /* octets of a message: servers bound their paths */
    POST_USUAL = 512,         /* octets of one, padded, of almost any name */
    SHOWN = 64,               /* octets of what is no DNS message, for the log */
    MISDIRECTED_US = 5000000, /* so long a second 421 in a row is no accident */
    CHANGED_US = 60000000,    /* so long a method that was refused is not tried again */
    HELD_US = 500000,         /* so long may a request wait for a window */
    REFUSED_MOST = 16,        /* streams of one connection, in a row: then it is no accident */
};

struct doh {
    struct pv_streamed streamed;
    unsigned streams;     /* what the last connection learnt */
    bool get;             /* POST was refused */
    uint64_t changed;     /* µs: when that was found out, or not to be so; or 0 */
    bool held;            /* the last connection let no question out */
    uint64_t misdirected; /* µs: when 421 was last taken for the connection's fault; or 0 */
};

struct doh_conn {
    struct pv_conn *conn;
    struct pv_h2 *h2;
    bool answered; /* with a DNS message */
    bool served, leaving, misdirected;
    bool watches;     /* over a request that is held back */
    unsigned refused; /* streams since the last response */
};

static struct doh_conn *doh_conn(const struct pv_conn *c)
{
    return pv_conn_state(c);
}

static struct doh *doh(const struct pv_conn *c)
{
    return pv_endpoint_state(pv_conn_endpoint(c));
}

static const struct pv_doh_site *site_of(const struct pv_conn *c)
{
    return pv_endpoint_upstream(pv_conn_endpoint(c))->shared;
}

/* ---- its endpoint ---- */

static bool start(struct pv_endpoint *e)
{
    struct doh *d = pv_endpoint_state(e);
    const struct pv_doh_site *s = pv_endpoint_upstream(e)->shared;
    d->streams = STREAMS_FIRST;
    d->get = s->method == PV_DOH_GET;
    return pv_streamed_start(e, &s->credentials, "h2", true);
}

/* ---- answers ---- */

/* The message in what came, or why it is none. */
static bool is_message(const struct pv_h2_response *r, char *why, size_t capacity)
{
    char shown[4 * SHOWN + 1];
    if (strcmp(r->type, DNS_MESSAGE) == 0 && !r->encoded && r->length >= PV_HEADER)
        return true;
    if (strcmp(r->type, DNS_MESSAGE) == 0) {
        snprintf(why, capacity,
                 r->encoded ? "bad answer: it is compressed"
                            : "bad answer: shorter than a DNS header");
        return false;
    }
    /* A captive portal, most likely. */
    pv_escape(shown, sizeof shown, r->body ? (const char *)r->body : "",
              r->length < SHOWN ? r->length : SHOWN);
    pv_debug("no DNS message but %s: %s", r->type[0] ? r->type : "something", shown);
    char type[PV_H2_TYPE_TEXT];
    pv_escape(type, sizeof type, r->type, strlen(r->type));
    snprintf(why, capacity, "bad answer: no DNS message but %s", type[0] ? type : "something");
    return false;
}

static void answered(struct pv_conn *c, struct pv_attempt *a, const struct pv_h2_response *r)
{
    char why[sizeof a->reason];
    if (!is_message(r, why, sizeof why)) {
        pv_attempt_failed(a, PV_BAD_ANSWER, why);
        return;
    }
    doh_conn(c)->answered = true;
    a->age = r->age;
    pv_attempt_answered(a, r->body, r->length);
}

/* ---- statuses [RFC 8484 §4.2.1] ---- */

/* It is about this request. */
static void fail(struct pv_conn *c, struct pv_attempt *a, const struct pv_h2_response *r,
                 const char *why)
{
    (void)c, (void)r;
    pv_attempt_failed(a, PV_SERVER_FAILED, why);
}

/* What is wrong will be wrong for the next question too, unless the connection has answered one. */
static void end_all(struct pv_conn *c, struct pv_attempt *a, const struct pv_h2_response *r,
                    const char *why)
{
    if (doh_conn(c)->answered)
        fail(c, a, r, why);
    else
        pv_conn_lost(c, PV_SERVER_FAILED, why);
}

/* Never followed [RFC 8484 §3]. */
static void redirected(struct pv_conn *c, struct pv_attempt *a, const struct pv_h2_response *r,
                       const char *why)
{
    char longer[64];
    snprintf(longer, sizeof longer, "%s: a redirect, not followed", why);
    end_all(c, a, r, longer);
}

/* A session resumed would bring the same verdict, even if the server's mind has changed. */
static void distrust(struct pv_conn *c, struct pv_attempt *a, const struct pv_h2_response *r,
                     const char *why)
{
    const struct doh *endpoint = doh(c);
    (void)a, (void)r;
    pv_tls_tickets_drop(endpoint->streamed.tls);
    pv_conn_lost(c, PV_UNTRUSTED, why);
}

/* nginx says it to our certificate, or to the lack of one: then to each request. */
static void bad_request(struct pv_conn *c, struct pv_attempt *a, const struct pv_h2_response *r,
                        const char *why)
{
    const struct pv_tls_facts *tls = pv_h2_tls_facts(doh_conn(c)->h2);
    if (!tls || !tls->asked)
        fail(c, a, r, why);
    else if (tls->client_auth)
        distrust(c, a, r, "HTTP status 400: does it accept our certificate?");
    else
        distrust(c, a, r, "HTTP status 400: the server asks for a client certificate");
}

static void rest(struct pv_conn *c, struct pv_attempt *a, const struct pv_h2_response *r,
                 const char *why)
{
    struct pv_endpoint *e = pv_conn_endpoint(c);
    uint32_t s = r->retry_after < REST_MOST_S ? r->retry_after : REST_MOST_S;
    pv_attempt_failed(a, PV_SERVER_FAILED, why);
    if (s > 0)
        pv_endpoint_rest(e, s * UINT64_C(1000000), why);
}

/* The connection has come to the wrong server, perhaps [RFC 9110 §15.5.20]: another one, once in a
 * while. */
static void misdirected(struct pv_conn *c, struct pv_attempt *a, const struct pv_h2_response *r,
                        const char *why)
{
    uint64_t now = pv_now(pv_endpoint_loop(pv_conn_endpoint(c)));
    struct doh *d = doh(c);
    bool again = d->misdirected && now < d->misdirected + MISDIRECTED_US;
    if (again && !doh_conn(c)->misdirected) {
        end_all(c, a, r, why);
        return;
    }
    d->misdirected = again ? d->misdirected : now;
    doh_conn(c)->misdirected = true;
    pv_conn_drain(c);
    pv_attempt_failed(a, PV_UNPROCESSED, why);
}

/* The other method, if it has not been refused just now: for this question again, and from now on.
 */
static bool change_method(struct pv_conn *c, struct pv_attempt *a, bool to_get)
{
    struct doh *d = doh(c);
    uint64_t now = pv_now(pv_endpoint_loop(pv_conn_endpoint(c)));
    bool just_now = d->changed && now < d->changed + CHANGED_US;
    if (site_of(c)->method != PV_DOH_AUTO || d->get == to_get || just_now)
        return false;
    d->get = to_get;
    d->changed = now;
    pv_attempt_failed(a, PV_UNPROCESSED, to_get ? "POST is refused" : "GET is refused");
    return true;
}

static void no_such_method(struct pv_conn *c, struct pv_attempt *a, const struct pv_h2_response *r,
                           const char *why)
{
    if (!change_method(c, a, true))
        end_all(c, a, r, why);
}

static void too_long(struct pv_conn *c, struct pv_attempt *a, const struct pv_h2_response *r,
                     const char *why)
{
    if (!change_method(c, a, false))
        fail(c, a, r, why);
}

typedef void on_status(struct pv_conn *, struct pv_attempt *, const struct pv_h2_response *,
                       const char *why);

static const struct {
    unsigned first, last;
    on_status *at_first, *later; /* before, and after the connection has brought an answer */
} statuses[] = {
    {300, 399, redirected, redirected},
    {400, 400, bad_request, fail},
    {401, 401, distrust, fail},
    {403, 403, distrust, fail},
    {404, 404, end_all, end_all},
    {405, 405, no_such_method, no_such_method},
    {406, 406, end_all, end_all},
    {410, 410, end_all, end_all},
    {413, 414, too_long, too_long},
    {415, 415, no_such_method, no_such_method},
    {421, 421, misdirected, misdirected},
    {429, 429, rest, rest},
    {495, 496, distrust, fail}, /* nginx: our certificate */
    {503, 503, rest, rest},
};

static void refused(struct pv_conn *c, struct pv_attempt *a, const struct pv_h2_response *r)
{
    char why[32];
    on_status *act = fail;
    snprintf(why, sizeof why, "HTTP status %u", r->status);
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        if (r->status >= statuses[i].first && r->status <= statuses[i].last)
            act = doh_conn(c)->answered ? statuses[i].later : statuses[i].at_first;
    }
    act(c, a, r, why);
}

/* ---- what the connection tells ---- */

static void opened(void *arg)
{
    struct doh_conn *d = arg;
    struct pv_conn_facts facts = pv_streamed_facts(pv_h2_tls_facts(d->h2));
    facts.idle_ms = IDLE_MS;
    pv_conn_ready(d->conn, &facts);
}

static void response(void *arg, void *request, const struct pv_h2_response *r)
{
    struct doh_conn *d = arg;
    d->served = true;
    doh(d->conn)->held = false;
    d->refused = 0;
    if (r->status >= 200 && r->status < 300)
        answered(d->conn, request, r);
    else
        refused(d->conn, request, r);
}

static void failed(void *arg, void *request, enum pv_h2_fault fault, const char *reason)
{
    struct doh_conn *d = arg;
    struct pv_endpoint *e = pv_conn_endpoint(d->conn);
    bool again = fault == PV_H2_HELD ||
                 (fault == PV_H2_UNPROCESSED && (d->leaving || d->refused++ < REFUSED_MOST));
    /* It was of no use at all: another one would not be either. */
    if (again && d->leaving && !d->served && pv_h2_awaited(d->h2) == 0) {
        pv_conn_lost(d->conn, PV_DIED_FRESH, "GOAWAY before any response");
        return;
    }
    enum pv_outcome outcome = d->leaving && d->served ? PV_LEFT_OUT : PV_UNPROCESSED;
    pv_attempt_failed(request, again ? outcome : PV_SERVER_FAILED, reason);
    if (fault == PV_H2_CALM)
        pv_endpoint_rest(e, 0, reason);
}

static void alive(void *arg)
{
    struct doh_conn *d = arg;
    pv_conn_progress(d->conn);
}

static void room_changed(void *arg)
{
    struct doh_conn *d = arg;
    struct doh *endpoint = doh(d->conn);
    unsigned streams = pv_h2_streams(d->h2);
    endpoint->streams = streams > 0 ? streams : 1; /* the next one may take some */
    pv_conn_widened(d->conn);
}

static void leaving(void *arg)
{
    struct doh_conn *d = arg;
    d->leaving = true;
    if (d->served)
        pv_conn_replace(d->conn);
    else
        pv_conn_drain(d->conn);
}

static void lost(void *arg, enum pv_stream_fault fault, const char *reason)
{
    struct doh_conn *d = arg;
    pv_conn_lost(d->conn, pv_streamed_outcome(fault), reason);
}

/* ---- what is asked of us ---- */

static bool open(struct pv_conn *c)
{
    static const struct pv_h2_events events = {opened,       response, failed, alive,
                                               room_changed, leaving,  lost};
    struct pv_endpoint *e = pv_conn_endpoint(c);
    struct doh *endpoint = pv_endpoint_state(e);
    struct doh_conn *d = doh_conn(c);
    struct pv_addr addresses[PV_ADDRESSES_MAX];
    struct pv_stream_options options = {
        .addresses = addresses,
        .address_count = pv_endpoint_addresses(e, addresses),
        .tls = endpoint->streamed.tls,
    };
    d->conn = c;
    d->h2 = pv_h2_open(pv_endpoint_loop(e), &options, endpoint->streams, &events, d);
    return d->h2 != NULL;
}

/* The server's windows do not let a question out, while others may be answered and pings are: it
 * would wait in vain. It goes to another connection, whose first window is the standard's; where
 * that was of no use either, this upstream is not. */
static void move_held(struct pv_conn *c)
{
    struct doh_conn *d = doh_conn(c);
    struct doh *endpoint = doh(c);
    if (!d->served && endpoint->held) {
        pv_conn_lost(c, PV_SERVER_FAILED, "the server's limits let no request pass");
        return;
    }
    endpoint->held = !d->served;
    pv_conn_drain(c);
    if (d->h2)
        pv_h2_take_back_held(d->h2);
}

static void watch_held(struct pv_conn *c)
{
    uint64_t since = pv_h2_held_since(doh_conn(c)->h2);
    doh_conn(c)->watches = since > 0;
    if (since > 0)
        pv_conn_wake_at(c, since + HELD_US);
}

static void wake_conn(struct pv_conn *c)
{
    struct doh_conn *d = doh_conn(c);
    uint64_t since = pv_h2_held_since(d->h2);
    if (since > 0 && pv_now(pv_endpoint_loop(pv_conn_endpoint(c))) >= since + HELD_US)
        move_held(c);
    else
        watch_held(c);
}

static unsigned room(const struct pv_conn *c)
{
    const struct doh_conn *d = doh_conn(c);
    const struct doh *endpoint = doh(c);
    return d->h2 ? pv_h2_room(d->h2, endpoint->get ? 0 : POST_USUAL) : 0;
}

static bool send_message(struct pv_conn *c, struct pv_attempt *a, const uint8_t *message,
                         size_t length)
{
    const struct pv_doh_site *s = site_of(c);
    const struct doh *endpoint = doh(c);
    struct doh_conn *d = doh_conn(c);
    char path[sizeof s->get_prefix + GET_MOST * 4 / 3 + 4];
    struct pv_h2_request request = {.scheme = "https",
                                    .authority = s->authority,
                                    .path = s->path,
                                    .type = DNS_MESSAGE,
                                    .body = message,
                                    .length = length};
    if (endpoint->get && length <= GET_MOST) {
        size_t n = (size_t)snprintf(path, sizeof path, "%s", s->get_prefix);
        sodium_bin2base64(path + n, sizeof path - n, message, length,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        request.path = path;
        request.body = NULL;
    }
    if (!pv_h2_send(d->h2, &request, a, &a->id))
        return false;
    if (!d->watches && pv_h2_is_held(d->h2, a->id))
        watch_held(c);
    return true;
}

/* The id is 0, so that equal questions are equal requests [RFC 8484 §4.1]. */
static bool send_attempt(struct pv_conn *c, struct pv_attempt *a)
{
    size_t most = pv_attempt_dressed_max(a);
    uint8_t usual[PV_DRESSED_MAX], *large = most > sizeof usual ? malloc(most) : NULL;
    uint8_t *message = large ? large : usual;
    size_t capacity = large ? most : sizeof usual;
    size_t length = pv_attempt_dress(a, 0, false, message, capacity);
    bool good = length > 0 && send_message(c, a, message, length);
    free(large);
    return good;
}

static void drop(struct pv_conn *c, struct pv_attempt *a)
{
    pv_h2_drop(doh_conn(c)->h2, a->id);
}

static void ping(struct pv_conn *c)
{
    pv_h2_ping(doh_conn(c)->h2);
}

static void close_conn(struct pv_conn *c)
{
    struct doh_conn *d = doh_conn(c);
    pv_h2_close(d->h2);
    d->h2 = NULL;
}

const struct pv_proto pv_proto_doh[] = {
    {
        .name = "doh",
        .scheme = "https",
        .port = 443,
        .edns_size = 4096,
        .traits =
            PV_TRAIT_STREAM | PV_TRAIT_TLS | PV_TRAIT_ID_ZERO | PV_TRAIT_METHOD | PV_TRAIT_STAMP,
        .stamp = PV_STAMP_DOH,
        .endpoint_size = sizeof(struct doh),
        .conn_size = sizeof(struct doh_conn),
        .check = pv_doh_site_check,
        .start = start,
        .stop = pv_streamed_stop,
        .refresh = pv_streamed_refresh,
        .open = open,
        .room = room,
        .send = send_attempt,
        .drop = drop,
        .ping = ping,
        .wake_conn = wake_conn,
        .close = close_conn,
    },
    {.name = NULL},
};
