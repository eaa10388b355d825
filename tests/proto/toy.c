/* A protocol of the tests' own: "toy://ADDRESS" answers every question by itself, with that address
 * as A record. Added by the build option `protocols` alone, to prove that nothing else knows which
 * protocols there are. */
#include "conn/proto.h"

#include "base/buf.h"
#include "wire/name.h"

enum { ROOM = 16, HEADER = 12, ANSWER = 16 };

struct toy {
    bool open;
    unsigned count;
    struct pv_attempt *waiting[ROOM];
};

static void wake_now(struct pv_conn *c)
{
    pv_conn_wake_at(c, pv_now(pv_endpoint_loop(pv_conn_endpoint(c))));
}

static bool toy_open(struct pv_conn *c)
{
    wake_now(c);
    return true;
}

static unsigned toy_room(const struct pv_conn *c)
{
    const struct toy *t = pv_conn_state(c);
    return t->open ? ROOM - t->count : 0;
}

static bool toy_send(struct pv_conn *c, struct pv_attempt *a)
{
    struct toy *t = pv_conn_state(c);
    t->waiting[t->count++] = a;
    wake_now(c);
    return true;
}

static void toy_drop(struct pv_conn *c, struct pv_attempt *a)
{
    struct toy *t = pv_conn_state(c);
    for (unsigned i = 0; i < t->count; i++) {
        if (t->waiting[i] == a)
            t->waiting[i--] = t->waiting[--t->count];
    }
}

/* The query turned into its answer: header, question, one A record. */
static size_t answer(uint8_t *message, size_t length, const struct pv_addr *address)
{
    static const uint8_t record[] = {0xc0, HEADER, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4}; /* A IN 60 */
    struct pv_reader r = pv_reader(message, length);
    pv_take(&r, HEADER);
    pv_name_read_plain(&r, NULL);
    pv_take(&r, 4);
    uint8_t *end = message + (r.at - message);
    memcpy(end, record, sizeof record);
    memcpy(end + sizeof record, &address->in.sin_addr, 4);
    pv_put16(message + 2, 0x8180); /* QR RD RA */
    pv_put16(message + 6, 1);      /* answers */
    pv_put32(message + 8, 0);      /* neither authority nor OPT */
    return (size_t)(end - message) + ANSWER;
}

static void toy_wake(struct pv_conn *c)
{
    static const struct pv_conn_facts facts;
    struct toy *t = pv_conn_state(c);
    if (!t->open) {
        t->open = true;
        pv_conn_ready(c, &facts);
    }
    while (t->count) {
        struct pv_attempt *a = t->waiting[--t->count];
        uint8_t message[PV_DRESSED_MAX + ANSWER];
        size_t length = pv_attempt_dress(a, 0, false, message, PV_DRESSED_MAX);
        length = answer(message, length, &pv_endpoint_upstream(pv_conn_endpoint(c))->url.address);
        pv_attempt_answered(a, message, length);
    }
}

static void toy_close(struct pv_conn *c)
{
    struct toy *t = pv_conn_state(c);
    t->open = false;
}

const struct pv_proto pv_proto_toy[] = {
    {
        .name = "toy",
        .scheme = "toy",
        .port = 1,
        .edns_size = 1232,
        .traits = PV_TRAIT_STREAM | PV_TRAIT_PADS_ITSELF | PV_TRAIT_ID_ZERO,
        .conn_size = sizeof(struct toy),
        .open = toy_open,
        .room = toy_room,
        .send = toy_send,
        .drop = toy_drop,
        .wake_conn = toy_wake,
        .close = toy_close,
    },
    {.name = NULL},
};
