/* A client's message on its way to an upstream and back. What goes out is the question and our own
 * OPT, to the octet; a signed message goes out as it is. The answer has the client's id and its
 * letters. The first octet says which upstream and options, the rest is the message. */
#include "peer.h"

#include "base/status.h"
#include "conn/proto.h"
#include "resolver/resolver.h"
#include "wire/query.h"

static struct pv_query_view client;
static bool told;

static void done(void *arg, enum privy_status status, const struct privy_answer *answer,
                 const struct privy_error *error)
{
    size_t length;
    (void)arg, (void)error;
    told = true;
    PV_BUG_IF(status != PRIVY_OK);
    const uint8_t *wire = privy_answer_wire(answer, &length);
    PV_BUG_IF(length < PV_HEADER + client.question_length || pv_get16(wire) != client.header.id);
    PV_BUG_IF(memcmp(wire + PV_HEADER, client.question_bytes, client.question_length) != 0);
}

static void shake_hands(struct world *w)
{
    struct pv_sock *s = world_sock(w, 0);
    if (s && s->tcp && !s->greeted)
        world_deliver(s, "h", 1);
    if (s)
        s->greeted = true;
}

static struct privy_resolver *resolver_for(struct world *w, bool tls, bool ecs_zero)
{
    struct privy_upstreams_options pool = {.size = sizeof pool};
    struct privy_upstream_options up = {.size = sizeof up};
    struct privy_resolver_options options;
    struct privy_upstreams *set;
    struct privy_resolver *r;
    world_init(w);
    w->calm = true;
    w->peers = shake_hands;
    privy_resolver_options_default(&options);
    privy_pool_options_default(&pool.pool_options);
    options.query.ecs = ecs_zero ? PRIVY_ECS_ZERO : PRIVY_ECS_STRIP;
    pool.pool_options.plaintext = true;
    PV_BUG_IF(privy_upstreams_new(NULL, &pool, &set, NULL) != PRIVY_OK);
    PV_BUG_IF(privy_upstreams_add(set, tls ? "tls://192.0.2.1" : "udp://192.0.2.1", &up, NULL));
    PV_BUG_IF(pv_resolver_new(w->loop, set, NULL, &options, &r, NULL) != PRIVY_OK);
    privy_upstreams_unref(set);
    world_settle(w);
    return r;
}

static size_t expected(uint8_t *out, const uint8_t *id, bool tls, bool ecs_zero)
{
    struct pv_writer w = pv_writer(out, 512);
    uint16_t flags = PV_RD | PV_AD | (client.header.flags & PV_CD);
    pv_header_write(
        &w, &(struct pv_header){.id = pv_get16(id), .flags = flags, .qdcount = 1, .arcount = 1});
    pv_write(&w, client.question.name, client.question.name_length);
    pv_write16(&w, client.question.type);
    pv_write16(&w, client.question.rrclass);
    uint8_t *opt = pv_opt_begin(&w, tls ? 4096 : 1232, 0, client.edns.dnssec_ok);
    if (tls)
        pv_opt_add(&w, opt, PV_OPT_KEEPALIVE, NULL, 0);
    if (ecs_zero)
        pv_opt_add(&w, opt, PV_OPT_ECS, "\0\1\0\0", 4);
    if (tls)
        pv_opt_pad(&w, opt, 128);
    return pv_written(&w);
}

static void is_rebuilt(const struct world_message *m, const uint8_t *data, size_t size, bool tls,
                       bool ecs_zero)
{
    uint8_t want[512];
    if (client.is_signed) {
        PV_BUG_IF(m->length != size || memcmp(m->bytes + 2, data + 2, size - 2) != 0);
        return;
    }
    size_t length = expected(want, m->bytes, tls, ecs_zero);
    PV_BUG_IF(m->length != length || memcmp(m->bytes, want, length) != 0);
}

static void there_and_back(struct world *w, const uint8_t *data, size_t size, bool tls,
                           bool ecs_zero)
{
    struct pv_sock *s = world_sock(w, 0);
    world_settle(w);
    PV_BUG_IF(!s || pv_list_empty(&s->heard) || s->heard.next != s->heard.prev);
    struct world_message *m = pv_container(s->heard.next, struct world_message, link);
    is_rebuilt(m, data, size, tls, ecs_zero);
    peer_does(s, m, data[0] & 1 ? PEER_ANSWERS : PEER_DENIES);
    world_settle(w);
    PV_BUG_IF(!told);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    if (size < 1 || size > PV_MESSAGE_MAX)
        return 0;
    bool tls = data[0] & 1, ecs_zero = data[0] & 2;
    struct privy_resolver *r = resolver_for(&w, tls, ecs_zero);
    told = false;
    pv_query_parse(&client, data + 1, size - 1);
    enum privy_status status = privy_exchange(r, data + 1, size - 1, NULL, done, NULL, NULL);
    PV_BUG_IF((status == PRIVY_OK) != (client.fault == PV_FINE));
    if (status == PRIVY_OK)
        there_and_back(&w, data + 1, size - 1, tls, ecs_zero);
    privy_resolver_free(r);
    world_settle(&w);
    world_done(&w);
    return 0;
}
