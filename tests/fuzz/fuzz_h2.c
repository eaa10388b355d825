/* An HTTP/2 client connection against any server. The first octet of the input says what we do from
 * inside what it tells; then comes a story, an octet for each event:
 *
 *   0 a request (GET)   1 a request (POST)   2 one is dropped   3 a ping   4 time passes
 *   5 octets come: LENGTH, octets            6 the server closes           7 we close
 *   8 and up: a frame comes: TYPE, FLAGS, STREAM, LENGTH, octets
 *
 * Each request ends at most once, and only after it began; nothing is told after the end; what is
 * held stays within bounds; nothing is left. */
#include "world.h"

#include "base/status.h"
#include "net/h2.h"

enum { REQUESTS = 64, STREAMS = 16 };

static struct world world;
static struct pv_h2 *h2;
static bool open, leaving, gone;
enum { ASKS_WHEN_ROOM = 1, ASKS_AT_ONCE = 2, DROPS_ANOTHER = 4 };
static unsigned manners;
static struct request {
    uint32_t id;
    bool sent, ended;
} requests[REQUESTS];
static unsigned count;

static const uint8_t *at, *end;

static unsigned octet(void)
{
    return at < end ? *at++ : 0;
}

/* ---- what we do, also from inside what it tells ---- */

static void ask(bool get)
{
    static const uint8_t body[40];
    const struct pv_h2_request what = {.scheme = "https",
                                       .authority = "dns.example",
                                       .path = "/dns-query?dns=AAAA",
                                       .type = "application/dns-message",
                                       .body = get ? NULL : body,
                                       .length = sizeof body};
    if (!h2 || count == REQUESTS || pv_h2_room(h2, 0) == 0)
        return;
    struct request *r = &requests[count++];
    PV_BUG_IF(leaving);
    r->sent = true; /* what was held back may end from inside */
    PV_BUG_IF(!pv_h2_send(h2, &what, r, &r->id));
}

static void drop(unsigned k)
{
    struct request *r = count > 0 ? &requests[k % count] : NULL; /* others may come meanwhile */
    if (!h2 || !r || r->ended)
        return;
    r->ended = true;
    pv_h2_drop(h2, r->id);
}

/* ---- what it tells ---- */

static void close_it(void)
{
    gone = true;
    pv_h2_close(h2);
    h2 = NULL;
}

static void opened(void *arg)
{
    (void)arg;
    PV_BUG_IF(open || gone);
    open = true;
}

static void ends(struct request *r)
{
    PV_BUG_IF(gone || !r->sent || r->ended);
    r->ended = true;
}

static void response(void *arg, void *request, const struct pv_h2_response *r)
{
    (void)arg;
    ends(request);
    PV_BUG_IF(r->status < 200 || r->status > 999 || r->length > PV_H2_BODY_MOST);
    PV_BUG_IF(r->fields > PV_H2_FIELDS_MOST || r->field_octets > PV_H2_FIELD_OCTETS_MOST);
    if (manners & ASKS_AT_ONCE)
        ask(false);
    if (manners & DROPS_ANOTHER)
        drop(r->status);
    if (r->status == 299)
        close_it();
}

static void failed(void *arg, void *request, enum pv_h2_fault fault, const char *reason)
{
    (void)arg, (void)fault;
    ends(request);
    PV_BUG_IF(!reason[0]);
    if (count % 5 == 4)
        close_it();
}

static void alive(void *arg)
{
    (void)arg;
    PV_BUG_IF(gone);
}

static void room_changed(void *arg)
{
    (void)arg;
    PV_BUG_IF(gone);
    if (manners & ASKS_WHEN_ROOM)
        ask(true);
}

static void is_leaving(void *arg)
{
    (void)arg;
    PV_BUG_IF(gone || leaving);
    leaving = true;
}

static void lost(void *arg, enum pv_stream_fault fault, const char *reason)
{
    (void)arg;
    PV_BUG_IF(gone || fault == PV_STREAM_FINE || !reason[0]);
    close_it();
}

/* ---- what happens ---- */

static void deliver(const uint8_t *bytes, size_t n)
{
    struct pv_sock *s = world_sock(&world, 0);
    if (s && !s->ended)
        world_deliver(s, bytes, n);
}

static void some_octets(void)
{
    size_t n = octet();
    n = n < (size_t)(end - at) ? n : (size_t)(end - at);
    deliver(at, n);
    at += n;
}

static void frame(unsigned type)
{
    uint8_t head[9] = {0};
    uint8_t flags = (uint8_t)octet(), stream = (uint8_t)octet(), n = (uint8_t)octet();
    head[2] = n < (size_t)(end - at) ? n : (uint8_t)(end - at);
    head[3] = (uint8_t)(type % 12);
    head[4] = flags;
    head[8] = stream;
    deliver(head, sizeof head);
    deliver(at, head[2]);
    at += head[2];
}

static void event(unsigned what)
{
    struct pv_sock *s = world_sock(&world, 0);
    switch (what) {
    case 0:
    case 1:
        ask(what == 0);
        break;
    case 2:
        drop(octet());
        break;
    case 3:
        if (h2 && open)
            pv_h2_ping(h2);
        break;
    case 4:
        world_pass(&world, octet() * 100 * MS);
        if (h2 && open && pv_h2_held_since(h2))
            pv_h2_take_back_held(h2);
        break;
    case 5:
        some_octets();
        break;
    case 6:
        if (s)
            s->ended = true;
        break;
    case 7:
        if (h2)
            close_it();
        break;
    default:
        frame(what - 8);
    }
    world_settle(&world);
    PV_BUG_IF(h2 && pv_h2_room(h2, 0) > pv_h2_streams(h2));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pv_h2_events events = {opened,       response,   failed, alive,
                                               room_changed, is_leaving, lost};
    struct pv_addr address;
    const struct pv_stream_options options = {.addresses = &address, .address_count = 1};
    PV_BUG_IF(!pv_addr_parse("192.0.2.1:443", 13, 0, &address));
    world_init(&world);
    world.calm = true;
    open = leaving = gone = false;
    count = 0;
    memset(requests, 0, sizeof requests);
    h2 = pv_h2_open(world.loop, &options, STREAMS, &events, NULL);
    PV_BUG_IF(!h2);
    world_settle(&world);
    at = data;
    end = data + size;
    manners = octet() % 8;
    while (at < end)
        event(octet() % 20);
    if (h2)
        close_it();
    world_settle(&world);
    world_done(&world);
    return 0;
}
