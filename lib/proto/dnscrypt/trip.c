#include "proto/dnscrypt/trip.h"

#include "base/random.h"
#include "net/sock.h"
#include "wire/message.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
    MIN_QUERY_LEN_STEP = 64,
    WHOLE_ENOUGH = 100, /* answers that were not cut, and the padding shrinks */
    PAST_MESSAGE = 512, /* room for padding behind the longest message */
};

static uint64_t now_of(const struct pv_carrier *k)
{
    return pv_now(pv_endpoint_loop(pv_conn_endpoint(k->conn)));
}

/* ---- transmissions ---- */

static uint64_t hash_of(const uint8_t nonce[PV_BOX_CLIENT_NONCE])
{
    uint64_t hash; /* it is random already */
    memcpy(&hash, nonce, sizeof hash);
    return hash;
}

static bool has_nonce(const struct pv_map_node *node, const void *nonce)
{
    const struct pv_transmission *sent = pv_container(node, struct pv_transmission, node);
    return memcmp(sent->nonce, nonce, PV_BOX_CLIENT_NONCE) == 0;
}

static const struct pv_upstream *upstream_of(const struct pv_carrier *k)
{
    return pv_endpoint_upstream(pv_conn_endpoint(k->conn));
}

/* A nonce is for one transmission: a server drops what it has seen. Keys are for one relay: it
 * would see that two of them carry the same client. */
static bool transmission_init(struct pv_transmission *sent, struct pv_trip *t,
                              const struct pv_addr *local, bool next_relay)
{
    struct pv_carrier *k = t->carrier;
    struct pv_keys **keys = &(upstream_of(k)->ephemeral_keys ? t->keys : k->keys)[next_relay];
    if (!pv_certs_keys(&k->shared->certs, local, keys))
        return false;
    sent->trip = t;
    sent->keys = pv_keys_ref(*keys);
    pv_random(sent->nonce, sizeof sent->nonce);
    return true;
}

static void transmission_done(struct pv_transmission *sent)
{
    pv_keys_unref(sent->keys);
    sent->keys = NULL;
}

/* ---- life ---- */

struct pv_trip *pv_trip_new(struct pv_carrier *k, struct pv_attempt *a)
{
    struct pv_trip *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    if (!pv_idmap_add(&k->ids, t, &t->id)) {
        free(t);
        return NULL;
    }
    t->carrier = k;
    t->attempt = a;
    t->begun = now_of(k);
    a->id = t->id;
    pv_list_append(&k->rest, &t->link);
    return t;
}

static void end_call(struct pv_trip *t)
{
    if (!t->call)
        return;
    pv_call_end(t->call);
    t->call = NULL;
    t->carrier->calls--;
    transmission_done(&t->over_tcp);
}

void pv_trip_free(struct pv_trip *t)
{
    struct pv_carrier *k = t->carrier;
    for (unsigned i = 0; i < t->datagram_count; i++) {
        pv_map_remove(&k->nonces, &t->datagrams[i].node);
        transmission_done(&t->datagrams[i]);
    }
    end_call(t);
    pv_keys_unref(t->keys[0]);
    pv_keys_unref(t->keys[1]);
    pv_idmap_take(&k->ids, t->id, NULL);
    pv_list_remove(&t->link);
    free(t);
}

/* ---- out ---- */

static_assert(PV_RELAY_PREFIX + PV_BOX_QUERY + PV_MESSAGE_MAX + PAST_MESSAGE <= PV_LOOP_OUT,
              "the longest message, its padding, and what stands before them");

static uint8_t *out_of(const struct pv_carrier *k)
{
    return pv_loop_out(pv_endpoint_loop(pv_conn_endpoint(k->conn)));
}

static size_t dress(const struct pv_trip *t, uint8_t *packet)
{
    return pv_attempt_dress(t->attempt, t->id, false, packet + PV_BOX_QUERY, PV_MESSAGE_MAX);
}

bool pv_trip_send(struct pv_trip *t)
{
    struct pv_carrier *k = t->carrier;
    uint8_t *out = out_of(k), *packet = out + k->way.prefix_length;
    size_t length = dress(t, packet);
    size_t padded = pv_box_pad_datagram(length, k->shared->min_query_len);
    struct pv_transmission *sent = &t->datagrams[t->datagram_count];
    if (length == 0 || padded > PV_MIN_QUERY_LEN_MOST || t->datagram_count == PV_TRIP_DATAGRAMS)
        return false;
    struct pv_port *port = pv_carrier_port(k);
    if (!port || !transmission_init(sent, t, &port->local, false))
        return false;
    t->datagram_count++;
    sent->node.hash = hash_of(sent->nonce);
    pv_map_insert(&k->nonces, &sent->node);
    memcpy(out, k->way.prefix, k->way.prefix_length);
    size_t n = pv_box_seal(&sent->keys->box, sent->nonce, packet, length, padded);
    n += k->way.prefix_length;
    /* One that the kernel has no room for is a lost one. */
    if (pv_sock_send(port->sock, out, n) < 0 && errno != EAGAIN && errno != ENOBUFS)
        pv_carrier_refused(k);
    k->sent++;
    return true;
}

/* Behind a relay it is a datagram that reaches the server, and the answer may be no longer. */
static size_t pad_stream(const struct pv_carrier *k, size_t length)
{
    bool large = pv_conn_kind(k->conn) == PV_STREAM; /* an answer was cut already */
    if (k->way.prefix_length == 0)
        return pv_box_pad_stream(length);
    return pv_box_pad_datagram(length, large ? PV_RELAYED_MOST : PV_MIN_QUERY_LEN_MOST);
}

/* Does the call go through another one? */
static bool changes_relay(const struct pv_trip *t)
{
    struct pv_carrier *k = t->carrier;
    unsigned relays = upstream_of(k)->relay_count;
    return relays > 0 && (t->relay - k->relay) % relays != 0;
}

static void gave_up(struct pv_trip *t, enum pv_stream_fault fault, const char *reason);

static void connected(void *arg, const struct pv_addr *local)
{
    struct pv_trip *t = arg;
    struct pv_carrier *k = t->carrier;
    struct pv_transmission *sent = &t->over_tcp;
    uint8_t *packet = out_of(k);
    size_t length = dress(t, packet);
    if (length == 0 || !transmission_init(sent, t, local, changes_relay(t))) {
        gave_up(t, PV_STREAM_NO_MEMORY, "no memory for it");
        return;
    }
    size_t padded = pad_stream(k, length);
    size_t n = pv_box_seal(&sent->keys->box, sent->nonce, packet, length, padded);
    if (!pv_call_say(t->call, packet, n))
        gave_up(t, PV_STREAM_NO_MEMORY, "no memory for it");
}

/* ---- in ---- */

static void learn_from_datagram(struct pv_carrier *k, bool cut)
{
    struct pv_dnscrypt *d = k->shared;
    k->heard = true;
    d->heard = now_of(k);
    d->is_gone = d->both_ways = false;
    if (cut && d->min_query_len < PV_MIN_QUERY_LEN_MOST)
        d->min_query_len += MIN_QUERY_LEN_STEP;
    d->whole = cut ? 0 : d->whole + 1;
    if (d->whole == WHOLE_ENOUGH) {
        d->whole = 0;
        if (d->min_query_len > PV_MIN_QUERY_LEN)
            d->min_query_len -= MIN_QUERY_LEN_STEP;
    }
}

/* Its datagrams were lost, and none of others came. True: another relay did better than ours. */
static bool learn_from_call(const struct pv_trip *t)
{
    struct pv_carrier *k = t->carrier;
    if (t->datagram_count == 0 || !pv_trip_in_silence(t))
        return false;
    if (!changes_relay(t)) {
        k->shared->both_ways = true;
        return false;
    }
    k->shared->certs.relay = t->relay;
    return true;
}

/* The message stands in what may go with the trip's call, but not before this returns. */
static void arrived(struct pv_trip *t, const uint8_t *message, size_t length, bool by_datagram)
{
    struct pv_conn *c = t->carrier->conn;
    struct pv_attempt *a = t->attempt;
    bool replace = false;
    if (by_datagram)
        learn_from_datagram(t->carrier, pv_get16(message + 2) & PV_TC);
    else
        replace = learn_from_call(t);
    pv_trip_free(t);
    pv_attempt_answered(a, message, length);
    if (replace)
        pv_conn_replace(c);
}

/* Whatever is no answer to a question of ours: keep waiting for the true one. */
void pv_trip_received(struct pv_carrier *k, uint8_t *packet, size_t length)
{
    const uint8_t *nonce = pv_box_nonce(packet, length);
    struct pv_map_node *node =
        nonce ? pv_map_find(&k->nonces, hash_of(nonce), has_nonce, nonce) : NULL;
    uint8_t *message;
    const char *why;
    struct pv_reply reply;
    size_t n;
    if (!node)
        return;
    struct pv_transmission *sent = pv_container(node, struct pv_transmission, node);
    struct pv_trip *t = sent->trip;
    if (pv_box_open(&sent->keys->box, sent->nonce, packet, length, &message, &n, &why) &&
        pv_reply_check(message, n, &t->attempt->ask->question, t->id, &reply, &why))
        arrived(t, message, n, true);
}

static void answered(void *arg, uint8_t *packet, size_t length)
{
    struct pv_trip *t = arg;
    struct pv_transmission *sent = &t->over_tcp;
    uint8_t *message;
    const char *why;
    size_t n;
    if (sent->keys &&
        pv_box_open(&sent->keys->box, sent->nonce, packet, length, &message, &n, &why))
        arrived(t, message, n, false);
    else
        gave_up(t, PV_STREAM_BROKEN, "what it sends cannot be opened");
}

/* It went out in a datagram and over TCP at once: the datagram may still be answered, and if it is
 * not TCP has another turn. */
static bool is_waiting(const struct pv_trip *t)
{
    return t->due != 0;
}

/* Where the key may be out of date its certificate is fetched again, and then this asked again. */
static void gave_up(struct pv_trip *t, enum pv_stream_fault fault, const char *reason)
{
    struct pv_carrier *k = t->carrier;
    struct pv_attempt *a = t->attempt;
    bool silent = pv_trip_in_silence(t), datagrams = pv_conn_kind(k->conn) == PV_DATAGRAM;
    end_call(t);
    if (is_waiting(t))
        return;
    if (silent && datagrams && fault == PV_STREAM_REFUSED) {
        k->shared->is_gone = true;
        pv_conn_lost(k->conn, PV_UNREACHABLE, reason);
        return;
    }
    if (fault == PV_STREAM_CLOSED && silent)
        pv_certs_doubt(&k->shared->certs);
    if (k->shared->certs.fetch && datagrams)
        return;
    pv_trip_free(t);
    pv_attempt_failed(a, fault == PV_STREAM_NO_MEMORY ? PV_NO_ROOM : PV_TIMED_OUT, reason);
}

static void failed(void *arg, enum pv_stream_fault fault, const char *reason)
{
    gave_up(arg, fault, reason);
}

bool pv_trip_call(struct pv_trip *t)
{
    static const struct pv_call_events events = {connected, answered, failed};
    struct pv_carrier *k = t->carrier;
    struct pv_endpoint *e = pv_conn_endpoint(k->conn);
    struct pv_way way;
    bool lost_twice = t->datagram_count > 1; /* perhaps the next one does better */
    t->relay = k->relay + lost_twice;
    if (t->call || !pv_way_find(e, t->relay, &way))
        return false;
    t->call = pv_call_begin(pv_endpoint_loop(e), &way, &events, t);
    k->calls += t->call != NULL;
    return t->call != NULL;
}
