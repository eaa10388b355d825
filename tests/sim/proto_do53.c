/* Plaintext: datagrams, and the same frames as in proto_dot.c. */
#include "session.h"

static void take_datagram(struct net_host *h, uint64_t sock, const uint8_t *bytes, size_t n)
{
    answer_question(h->server, &(struct origin){.host = h, .sock = sock}, bytes, n);
}

static void bring_datagram(struct reply *r, uint8_t *message, size_t n)
{
    struct server *s = r->server;
    switch (r->manner) {
    case BY_HALF:
    case BY_HALF_CLOSE:
    case BY_HALF_RESET:
        n = roll(&s->dice, (unsigned)n);
        break;
    case BY_TWICE:
        net_reply(s->net, r->from.host, r->from.sock, message, n);
        break;
    case BY_CLOSE:
    case BY_RESET:
    case BY_SHORT_FRAME:
        return; /* lost */
    default:
        break;
    }
    net_reply(s->net, r->from.host, r->from.sock, message, n);
}

const struct protocol protocol_do53 = {
    .word = "do53",
    .port = 53,
    .manners = STREAM_MANNERS,
    .state_size = sizeof(struct frames),
    .end = frames_end,
    .take = frames_take,
    .bring = frames_bring,
    .take_datagram = take_datagram,
    .bring_datagram = bring_datagram,
};
