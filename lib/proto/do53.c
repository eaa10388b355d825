/* Plaintext DNS, UDP and TCP [RFC 1035 §4.2]: only in pools that say `plaintext: true`. udp://
 * begins with datagrams and goes to TCP for answers that were cut; tcp:// is always a stream. */
#include "net/sock.h"
#include "proto/framed.h"

#include <errno.h>

enum {
    DATAGRAMS_A_SOCKET = 1000, /* then another source port */
    READS_A_TURN = 64,
};

/* A socket with its own random source port; ids are random: what a forger must guess [RFC 5452]. */
struct udp {
    struct pv_conn *conn;
    struct pv_sock *sock;
    struct pv_idmap ids;
    unsigned sent;
};

union do53_conn {
    struct udp udp;
    struct pv_framed tcp;
};

static struct udp *udp(const struct pv_conn *c)
{
    return pv_conn_state(c);
}

static bool is_udp(const struct pv_conn *c)
{
    return pv_conn_kind(c) == PV_DATAGRAM;
}

/* Whatever does not fit a question we sent is not an answer: keep waiting for the true one. */
static void datagram(struct udp *u, const uint8_t *bytes, size_t length)
{
    struct pv_reply reply;
    const char *why;
    if (length < PV_HEADER)
        return;
    uint16_t id = pv_get16(bytes);
    struct pv_attempt *a = pv_idmap_find(&u->ids, id);
    if (!a || !pv_reply_check(bytes, length, &a->ask->question, id, &reply, &why))
        return;
    pv_idmap_take(&u->ids, id, NULL);
    pv_attempt_answered(a, bytes, length);
}

static void udp_ready(void *arg, unsigned events)
{
    struct udp *u = arg;
    uint8_t *in = pv_loop_in(pv_endpoint_loop(pv_conn_endpoint(u->conn)));
    (void)events;
    for (unsigned i = 0; i < READS_A_TURN && u->sock; i++) {
        ssize_t n = pv_sock_recv(u->sock, in, PV_LOOP_IN);
        if (n >= 0) {
            datagram(u, in, (size_t)n);
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            pv_conn_lost(u->conn, PV_UNREACHABLE, strerror(errno));
        return;
    }
}

static bool open_udp(struct pv_conn *c)
{
    struct udp *u = udp(c);
    struct pv_endpoint *e = pv_conn_endpoint(c);
    struct pv_addr addresses[PV_ADDRESSES_MAX];
    u->conn = c;
    pv_idmap_init(&u->ids);
    if (pv_endpoint_addresses(e, addresses) > 0)
        u->sock = pv_sock_open(pv_endpoint_loop(e), false, &addresses[0], udp_ready, u);
    if (u->sock)
        pv_sock_want(u->sock, PV_SOCK_READ);
    pv_conn_wake_at(c, pv_now(pv_endpoint_loop(e))); /* ready, or not: said a moment later */
    return true;
}

static bool open(struct pv_conn *c)
{
    return is_udp(c) ? open_udp(c) : pv_framed_open(c, NULL);
}

/* A stream never asks for it. */
static void wake_conn(struct pv_conn *c)
{
    if (udp(c)->sock)
        pv_conn_ready(c, &(struct pv_conn_facts){0});
    else
        pv_conn_lost(c, PV_UNREACHABLE, "no socket to it can be opened");
}

static unsigned room(const struct pv_conn *c)
{
    if (!is_udp(c))
        return pv_framed_room(c);
    return udp(c)->sent < DATAGRAMS_A_SOCKET ? DATAGRAMS_A_SOCKET - udp(c)->sent : 0;
}

static bool send_udp(struct udp *u, struct pv_attempt *a)
{
    uint8_t *out = pv_loop_out(pv_endpoint_loop(pv_conn_endpoint(u->conn)));
    uint16_t id;
    if (!pv_idmap_add(&u->ids, a, &id))
        return false;
    a->id = id;
    size_t length = pv_attempt_dress(a, id, false, out, PV_LOOP_OUT);
    /* A datagram the kernel refuses is a lost datagram: the try timeout sees to it. */
    if (length > 0 && pv_sock_send(u->sock, out, length) < 0)
        pv_debug("a datagram was not sent: %s", strerror(errno));
    if (++u->sent == DATAGRAMS_A_SOCKET)
        pv_conn_replace(u->conn);
    return true;
}

static bool send_attempt(struct pv_conn *c, struct pv_attempt *a)
{
    return is_udp(c) ? send_udp(udp(c), a) : pv_framed_send(c, a);
}

static void drop(struct pv_conn *c, struct pv_attempt *a)
{
    if (is_udp(c))
        pv_idmap_reserve(&udp(c)->ids, (uint16_t)a->id);
    else
        pv_framed_drop(c, a);
}

static void close_conn(struct pv_conn *c)
{
    if (!is_udp(c)) {
        pv_framed_close(c);
        return;
    }
    pv_sock_close(udp(c)->sock);
    udp(c)->sock = NULL;
    pv_idmap_done(&udp(c)->ids);
}

#define DO53(scheme_, traits_)                                                                     \
    {                                                                                              \
        .name = "do53", .scheme = (scheme_), .port = 53, .edns_size = 1232,                        \
        .traits = (traits_) | PV_TRAIT_STREAM | PV_TRAIT_PLAINTEXT, .stamp = PV_STAMP_PLAIN,       \
        .conn_size = sizeof(union do53_conn), .open = open, .room = room, .send = send_attempt,    \
        .drop = drop, .wake_conn = wake_conn, .close = close_conn,                                 \
    }

const struct pv_proto pv_proto_do53[] = {
    DO53("udp", PV_TRAIT_DATAGRAM | PV_TRAIT_STAMP),
    DO53("tcp", 0),
    {.name = NULL},
};
