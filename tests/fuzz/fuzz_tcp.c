/* A TCP client of the daemon, whose octets come in pieces: each whole message has one reply with
 * its id, in any order; one that is no query ends the connection; nothing is left. The first octet
 * says how it is cut, who the client is, whether it goes without a word, and whether the upstream
 * answers. */
#include "../unit/serve.h"
#include "peer.h"

#include "base/random.h"
#include "base/status.h"
#include "resolver/resolver.h"
#include "serve/tcp_client.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/socket.h>
#include <unistd.h>

struct daemon {
    struct world world;
    struct site site;
    struct server server;
    struct limits limits;
    struct tcp_limits tcp_limits;
    struct stats stats;
    struct clients clients;
    struct privy_resolver *resolvers[3];
};

static struct event_base *base;
static int unanswered[65536]; /* by id */

static void good_peers(struct world *w)
{
    for (unsigned k = 0; k < w->count; k++) {
        struct pv_sock *s = world_sock(w, k);
        while (!pv_list_empty(&s->heard))
            peer_does(s, pv_container(s->heard.next, struct world_message, link), PEER_ANSWERS);
    }
}

static void begin(struct daemon *d, bool answers)
{
    static uint8_t reply[PV_MESSAGE_MAX];
    struct privy_upstreams_options pool = {.size = sizeof pool};
    struct privy_upstream_options up = {.size = sizeof up};
    struct privy_upstreams *set;
    base = base ? base : event_base_new();
    world_init(&d->world);
    d->world.peers = answers ? good_peers : NULL;
    d->world.refusal = answers ? 0 : ENETUNREACH;
    privy_pool_options_default(&pool.pool_options);
    pool.pool_options.plaintext = true;
    PV_BUG_IF(privy_upstreams_new(NULL, &pool, &set, NULL) != PRIVY_OK);
    PV_BUG_IF(privy_upstreams_add(set, "udp://192.0.2.1", &up, NULL) != PRIVY_OK);
    for (unsigned i = 0; i < 3; i++)
        PV_BUG_IF(pv_resolver_new(d->world.loop, set, NULL, NULL, &d->resolvers[i], NULL));
    privy_upstreams_unref(set);
    struct policy *policy = site_init(&d->site, "corp.example", "example");
    d->site.config.tcp_idle = 10000;
    d->site.config.tcp_clients = 10;
    privy_query_options_default(&d->site.config.query);
    PV_BUG_IF(!server_init(&d->server, policy, &d->limits, &d->stats));
    policy_unref(policy);
    d->server.resolvers = d->resolvers;
    PV_BUG_IF(!tcp_limits_init(&d->tcp_limits));
    d->clients = (struct clients){
        .base = base, .server = &d->server, .limits = &d->tcp_limits, .reply = reply};
    pv_list_init(&d->clients.list);
}

static void end(struct daemon *d)
{
    PV_BUG_IF(!pv_list_empty(&d->clients.list) || d->tcp_limits.clients || d->tcp_limits.unsent);
    PV_BUG_IF(d->server.pending_count != 0 || d->limits.inflight != 0);
    for (unsigned i = 0; i < 3; i++)
        privy_resolver_free(d->resolvers[i]);
    server_done(&d->server);
    tcp_limits_done(&d->tcp_limits);
    world_pass(&d->world, 60 * S);
    world_done(&d->world);
}

/* Each reply is one to a question that has none yet. */
static void hear(struct pv_buf *in)
{
    while (pv_buf_length(in) >= 2 && pv_buf_length(in) >= 2u + pv_get16(pv_buf_front(in))) {
        size_t length = pv_get16(pv_buf_front(in));
        const uint8_t *reply = pv_buf_front(in) + 2;
        PV_BUG_IF(length < PV_HEADER || !(reply[2] & 0x80));
        PV_BUG_IF(unanswered[pv_get16(reply)]-- == 0);
        pv_buf_consume(in, 2 + length);
    }
}

/* False: the daemon has closed. */
static bool settle(struct daemon *d, int fd, struct pv_buf *in)
{
    uint8_t bytes[4096];
    ssize_t n;
    for (unsigned quiet = 0; quiet < 2; quiet++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        world_settle(&d->world);
        while ((n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
            PV_BUG_IF(!pv_buf_append(in, bytes, (size_t)n));
            quiet = 0;
        }
        hear(in);
        if (n == 0 || errno != EAGAIN)
            return false;
    }
    return true;
}

/* Expect replies to what is whole by now. False: something in it is no query. */
static bool expect(const struct daemon *d, struct pv_reader *sent, const uint8_t *by_now)
{
    static uint8_t reply[PV_MESSAGE_MAX];
    struct judged j;
    size_t ignored;
    for (;;) {
        struct pv_reader next = {.at = sent->at, .end = by_now};
        size_t length = pv_u16(&next);
        const uint8_t *message = pv_take(&next, length);
        if (next.bad)
            return pv_left(&(struct pv_reader){.at = sent->at, .end = by_now}) < 2 ||
                   length >= PV_HEADER;
        struct arrival a = site_arrival(message, length, true);
        if (length < PV_HEADER ||
            request_judge(d->server.policy, &a, &j, reply, sizeof reply, &ignored) == REQUEST_DROP)
            return false;
        unanswered[pv_get16(message)]++;
        sent->at = next.at;
    }
}

static void talk(struct daemon *d, int fd, const uint8_t *data, size_t size, bool leaves)
{
    struct pv_reader sent = pv_reader(data, size);
    struct pv_buf in;
    bool good = true, open = true;
    pv_buf_init(&in, SIZE_MAX / 2);
    memset(unanswered, 0, sizeof unanswered);
    for (size_t at = 0, cut; at < size && open; at += cut) {
        cut = 1 + pv_random_below(200) % (size - at);
        good = good && expect(d, &sent, data + at + cut);
        PV_BUG_IF(send(fd, data + at, cut, MSG_NOSIGNAL) != (ssize_t)cut);
        open = settle(d, fd, &in);
        PV_BUG_IF(open != good);
    }
    if (!leaves && good) {
        shutdown(fd, SHUT_WR);
        open = settle(d, fd, &in);
        world_pass(&d->world, 5 * S);
        open = open && settle(d, fd, &in);
        PV_BUG_IF(open || pv_buf_length(&in));
        for (unsigned id = 0; id < 65536; id++)
            PV_BUG_IF(unanswered[id]);
    }
    close(fd);
    for (unsigned i = 0; i < 2; i++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        world_pass(&d->world, 5 * S);
    }
    event_base_loop(base, EVLOOP_NONBLOCK);
    pv_buf_done(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct daemon d;
    const char *peer = size && data[0] & 4 ? "192.0.2.7:4000" : "127.0.0.1:4000";
    struct pv_addr addr;
    int fds[2];
    if (size < 2 || size > 3000)
        return 0;
    d = (struct daemon){.limits = {0}};
    begin(&d, data[0] & 1);
    PV_BUG_IF(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0);
    PV_BUG_IF(!pv_addr_parse(peer, strlen(peer), 0, &addr));
    pv_random_seed(data[0] / 8 + 1);
    PV_BUG_IF(!tcp_place_take(&d.tcp_limits, 10) || !tcp_peer_take(&d.tcp_limits, &addr, 10));
    PV_BUG_IF(!client_new(&d.clients, fds[0], &addr));
    talk(&d, fds[1], data + 1, size - 1, data[0] & 2);
    end(&d);
    return 0;
}
