/* Plaintext DNS over made-up sockets: what the handlers do with octets, split and broken in every
 * way. All of proto/framed is also what DNS over TLS does, above its TLS. */
#include "unit.h"

#include "base/random.h"
#include "net/sock.h"
#include "resolver/resolver.h"

#include <errno.h>

#define MS 1000ULL
#define S  1000000ULL

enum { WIRES = 16, OCTETS = 512 * 1024, ASKERS = 5000 };

/* ---- the machine ---- */

struct pv_sock {
    struct pv_sock_head head;
    bool tcp, open, closed_by_peer, refused;
    unsigned wanted;
    pv_sock_ready *ready;
    void *arg;
    uint8_t in[OCTETS], out[OCTETS]; /* to the client; from it. Datagrams: behind 2 octets */
    size_t in_length, in_limit, out_length, out_seen, out_limit;
};

static uint64_t now_us;
static struct pv_sock wires[WIRES];
static unsigned wire_count;
static bool refuse;

static uint64_t machine_now(void *world)
{
    (void)world;
    return now_us;
}

static uint64_t machine_age(void *world)
{
    (void)world;
    return now_us / S;
}

static const struct pv_machine machine;

static struct pv_sock *wire_open(struct pv_loop *loop, bool tcp, const struct pv_addr *peer,
                                 pv_sock_ready *ready, void *arg)
{
    (void)loop, (void)peer;
    assert_true(wire_count < WIRES);
    struct pv_sock *w = &wires[wire_count++];
    memset(w, 0, sizeof *w);
    *w = (struct pv_sock){.head.machine = &machine,
                          .tcp = tcp,
                          .open = true,
                          .refused = refuse,
                          .ready = ready,
                          .arg = arg,
                          .in_limit = OCTETS,
                          .out_limit = OCTETS};
    return w;
}

static void wire_want(struct pv_sock *w, unsigned events)
{
    w->wanted = events;
}

static int wire_error(struct pv_sock *w)
{
    return w->refused ? ECONNREFUSED : 0;
}

static ssize_t wire_send(struct pv_sock *w, const void *bytes, size_t n)
{
    size_t room = w->out_limit - w->out_length;
    if (!w->tcp) {
        assert_true(n + 2 <= room);
        pv_put16(w->out + w->out_length, (uint16_t)n);
        memcpy(w->out + w->out_length + 2, bytes, n);
        w->out_length += n + 2;
        return (ssize_t)n;
    }
    if (room == 0) {
        errno = EAGAIN;
        return -1;
    }
    n = n < room ? n : room;
    memcpy(w->out + w->out_length, bytes, n);
    w->out_length += n;
    return (ssize_t)n;
}

static ssize_t wire_recv(struct pv_sock *w, void *out, size_t capacity)
{
    size_t n = w->in_length < w->in_limit ? w->in_length : w->in_limit, head = 0;
    if (n == 0) {
        errno = w->refused ? ECONNREFUSED : EAGAIN;
        return w->closed_by_peer && !w->in_length ? 0 : -1;
    }
    if (!w->tcp) {
        head = 2;
        n = pv_get16(w->in);
    }
    n = n < capacity ? n : capacity;
    memcpy(out, w->in + head, n);
    w->in_length -= n + head;
    w->in_limit -= w->in_limit == OCTETS ? 0 : n;
    memmove(w->in, w->in + head + n, w->in_length);
    return (ssize_t)n;
}

static bool wire_local(struct pv_sock *w, struct pv_addr *ret)
{
    (void)w, (void)ret;
    return false;
}

static void wire_close(struct pv_sock *w)
{
    assert_true(w->open);
    w->open = false;
}

static const struct pv_machine machine = {
    .now = machine_now,
    .age_now = machine_age,
    .open = wire_open,
    .want = wire_want,
    .error = wire_error,
    .send = wire_send,
    .recv = wire_recv,
    .local = wire_local,
    .close = wire_close,
};

/* ---- the world ---- */

static struct pv_loop *loop;
static struct privy_resolver *resolver;
static struct privy_upstreams *set;

struct asker {
    unsigned calls;
    enum privy_status status;
    unsigned rcode;
    uint8_t last; /* octet of the answer */
    uint64_t at;
};
static struct asker askers[ASKERS];

static unsigned events_of(const struct pv_sock *w)
{
    unsigned events = 0;
    if ((w->in_length && w->in_limit) || w->closed_by_peer || w->refused)
        events |= PV_SOCK_READ;
    if (w->out_length < w->out_limit)
        events |= PV_SOCK_WRITE;
    return w->open ? events & w->wanted : 0;
}

/* One turn of the loop: sockets, then timers and what is deferred. */
static bool turn(void)
{
    bool any = false;
    for (unsigned i = 0; i < wire_count; i++) {
        unsigned events = events_of(&wires[i]);
        any |= events != 0;
        if (events)
            wires[i].ready(wires[i].arg, events);
    }
    pv_loop_turn(loop);
    return any || pv_loop_busy(loop);
}

static void turns(void)
{
    unsigned n = 0;
    while (turn() || pv_loop_next_due(loop) <= now_us)
        assert_true(++n < 2000);
}

static void run(uint64_t us)
{
    uint64_t end = now_us + us;
    for (;;) {
        turns();
        uint64_t due = pv_loop_next_due(loop);
        if (due > end)
            break;
        now_us = due > now_us ? due : now_us;
    }
    now_us = end;
    turns();
}

static void begin(const char *url)
{
    struct privy_upstreams_options o = {.size = sizeof o};
    privy_pool_options_default(&o.pool_options);
    o.pool_options.plaintext = true;
    now_us = 1000 * S;
    wire_count = 0;
    refuse = false;
    memset(askers, 0, sizeof askers);
    pv_random_seed(7);
    loop = pv_loop_new(NULL, &machine, NULL);
    assert_int_equal(privy_upstreams_new(NULL, &o, &set, NULL), PRIVY_OK);
    assert_int_equal(privy_upstreams_add(set, url, NULL, NULL), PRIVY_OK);
    assert_int_equal(pv_resolver_new(loop, set, NULL, NULL, &resolver, NULL), PRIVY_OK);
    turns();
}

static int begin_tcp(void **state)
{
    (void)state;
    begin("tcp://192.0.2.1");
    return 0;
}

static int begin_udp(void **state)
{
    (void)state;
    begin("udp://192.0.2.1");
    return 0;
}

static int end(void **state)
{
    (void)state;
    privy_resolver_free(resolver);
    privy_upstreams_unref(set);
    assert_false(pv_loop_busy(loop));
    assert_int_equal(pv_loop_next_due(loop), UINT64_MAX);
    for (unsigned i = 0; i < wire_count; i++)
        assert_false(wires[i].open);
    pv_loop_free(loop);
    pv_random_seed(0);
    return 0;
}

static void done(void *arg, enum privy_status status, const struct privy_answer *answer,
                 const struct privy_error *error)
{
    struct asker *a = arg;
    size_t length;
    (void)error;
    a->calls++;
    a->status = status;
    a->at = now_us;
    if (answer) {
        const uint8_t *wire = privy_answer_wire(answer, &length);
        a->rcode = privy_answer_rcode(answer);
        a->last = wire[length - 1];
    }
}

static struct privy_query *ask(unsigned i)
{
    struct privy_query *handle;
    char name[32];
    snprintf(name, sizeof name, "n%u.example", i);
    assert_int_equal(privy_query(resolver, name, 1, NULL, NULL, done, &askers[i], &handle),
                     PRIVY_OK);
    return handle;
}

/* ---- the server ---- */

/* The next message the client has sent on this wire; 0: none. */
static size_t next_query(struct pv_sock *w, uint8_t *out)
{
    if (w->out_length - w->out_seen < 2)
        return 0;
    size_t n = pv_get16(w->out + w->out_seen);
    assert_true(w->out_seen + 2 + n <= w->out_length);
    memcpy(out, w->out + w->out_seen + 2, n);
    w->out_seen += 2 + n;
    return n;
}

/* A query becomes its answer: 192.0.2.<last>. */
static size_t make_answer(uint8_t *m, size_t length, uint8_t last)
{
    static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2};
    struct pv_reader r = pv_reader(m, length);
    pv_take(&r, PV_HEADER);
    pv_name_read_plain(&r, NULL);
    pv_take(&r, 4);
    assert_false(r.bad);
    size_t at = (size_t)(r.at - m);
    pv_put16(m + 2, PV_QR | PV_RD | PV_RA);
    memcpy(m + 6, (const uint8_t[6]){0, 1}, 6);
    memcpy(m + at, record, sizeof record);
    m[at + sizeof record] = last;
    return at + sizeof record + 1;
}

static void put(struct pv_sock *w, const uint8_t *bytes, size_t n)
{
    assert_true(w->in_length + n <= OCTETS);
    memcpy(w->in + w->in_length, bytes, n);
    w->in_length += n;
}

/* A frame, or a datagram: both have their length in front here. */
static void put_message(struct pv_sock *w, const uint8_t *message, size_t n)
{
    uint8_t length[2] = {(uint8_t)(n >> 8), (uint8_t)n};
    put(w, length, 2);
    put(w, message, n);
}

static unsigned answer_all(struct pv_sock *w)
{
    uint8_t m[2048];
    size_t n;
    unsigned count = 0;
    while ((n = next_query(w, m))) {
        put_message(w, m, make_answer(m, n, (uint8_t)(count & 255)));
        count++;
    }
    return count;
}

static void assert_answered(const struct asker *a)
{
    assert_int_equal(a->calls, 1);
    assert_int_equal(a->status, PRIVY_OK);
    assert_int_equal(a->rcode, 0);
}

/* ---- streams ---- */

/* All questions of a turn leave in one piece; answers in any order. */
static void any_order(void **state)
{
    (void)state;
    uint8_t m[50][512];
    size_t n[50];
    for (unsigned i = 0; i < 50; i++)
        ask(i);
    turns();
    for (unsigned i = 0; i < 50; i++)
        assert_true((n[i] = next_query(&wires[0], m[i])) > 0);
    for (unsigned i = 0; i < 50; i++) {
        unsigned k = (i * 17) % 50;
        put_message(&wires[0], m[k], make_answer(m[k], n[k], (uint8_t)k));
    }
    turns();
    for (unsigned i = 0; i < 50; i++) {
        assert_answered(&askers[i]);
        assert_int_equal(askers[i].last, i);
    }
    assert_int_equal(wire_count, 1);
}

/* The octets of three answers arrive in two parts, cut at each place. */
static void split_anywhere(void **state)
{
    (void)state;
    unsigned asked = 0;
    for (size_t cut = 1; cut < 140; cut++) {
        for (unsigned i = 0; i < 3; i++)
            ask(asked + i);
        turns();
        wires[0].in_limit = cut;
        assert_int_equal(answer_all(&wires[0]), 3);
        turns();
        run(1 * MS);
        wires[0].in_limit = OCTETS;
        turns();
        for (unsigned i = 0; i < 3; i++) {
            assert_answered(&askers[asked + i]);
            assert_int_equal(askers[asked + i].last, i);
        }
        asked += 3;
    }
    assert_int_equal(wire_count, 1);
}

static void octet_by_octet(void **state)
{
    (void)state;
    ask(0);
    turns();
    answer_all(&wires[0]);
    while (askers[0].calls == 0) {
        wires[0].in_limit = 1;
        turns();
    }
    assert_answered(&askers[0]);
}

/* An id nobody waits for: ignored. The same twice: the second one is one of those. */
static void unknown_ids(void **state)
{
    (void)state;
    uint8_t m[512];
    ask(0);
    turns();
    size_t n = next_query(&wires[0], m);
    n = make_answer(m, n, 9);
    m[0] ^= 1;
    put_message(&wires[0], m, n);
    turns();
    assert_int_equal(askers[0].calls, 0);
    m[0] ^= 1;
    put_message(&wires[0], m, n);
    put_message(&wires[0], m, n);
    turns();
    assert_answered(&askers[0]);
    ask(1);
    turns();
    assert_int_equal(answer_all(&wires[0]), 1);
    turns();
    assert_answered(&askers[1]);
    assert_int_equal(wire_count, 1);
}

/* A broken peer: its connection is closed, and its state with it; the next one serves. */
static void broken_answers(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 6; kind++) {
        uint8_t m[512];
        struct pv_sock *w = &wires[wire_count - 1];
        ask(2 * kind);
        ask(2 * kind + 1);
        turns();
        size_t n = next_query(w, m);
        n = make_answer(m, n, 9);
        switch (kind) {
        case 0: /* another question */
            m[PV_HEADER + 1] ^= 1;
            put_message(w, m, n);
            break;
        case 1: /* no response */
            m[2] &= 0x7f;
            put_message(w, m, n);
            break;
        case 2: /* cut short */
            put_message(w, m, n - 1);
            break;
        case 3: /* length 0 */
            put(w, (const uint8_t[2]){0, 0}, 2);
            break;
        case 4: /* length 11 */
            put_message(w, m, 11);
            break;
        case 5: /* half a frame, then the end */
            put(w, (const uint8_t[2]){0, (uint8_t)n}, 2);
            put(w, m, n / 2);
            w->closed_by_peer = true;
            break;
        }
        turns();
        assert_false(w->open);
        for (unsigned i = 0; i < 20; i++) {
            run(50 * MS);
            answer_all(&wires[wire_count - 1]);
            turns();
        }
        assert_answered(&askers[2 * kind]);
        assert_answered(&askers[2 * kind + 1]);
        assert_true(askers[2 * kind].at <= now_us);
        w = &wires[wire_count - 1];
        assert_true(w->open);
    }
    assert_int_equal(wire_count, 7);
}

/* An answer and the end in one: the answer counts. */
static void answer_then_end(void **state)
{
    (void)state;
    ask(0);
    turns();
    answer_all(&wires[0]);
    wires[0].closed_by_peer = true;
    turns();
    assert_answered(&askers[0]);
    ask(1);
    turns();
    assert_int_equal(wire_count, 2);
    answer_all(&wires[1]);
    turns();
    assert_answered(&askers[1]);
}

/* It is closed under a question: on the next one at once. */
static void closed_under_a_question(void **state)
{
    (void)state;
    ask(0);
    turns();
    answer_all(&wires[0]);
    turns();
    ask(1);
    wires[0].closed_by_peer = true;
    turns();
    assert_false(wires[0].open);
    assert_int_equal(wire_count, 2);
    answer_all(&wires[1]);
    turns();
    assert_answered(&askers[1]);
}

static void too_much_unasked(void **state)
{
    (void)state;
    static uint8_t m[60000];
    ask(0);
    turns();
    m[0] = wires[0].out[2] ^ 1; /* another id */
    for (unsigned i = 0; i < 30 && wires[0].open; i++) {
        put_message(&wires[0], m, sizeof m);
        turns();
        assert_true(i < 18);
    }
    assert_false(wires[0].open);
}

/* It reads nothing: no more than so much is queued for it, the rest waits. */
static void peer_does_not_read(void **state)
{
    (void)state;
    wires[0].out_limit = 0;
    for (unsigned i = 0; i < ASKERS; i++)
        ask(i);
    run(400 * MS);
    assert_int_equal(wires[0].out_length, 0);
    assert_true(resolver->asking == ASKERS);
    wires[0].out_limit = OCTETS;
    for (unsigned i = 0; i < 200; i++) {
        run(5 * MS);
        for (unsigned k = 0; k < wire_count; k++) {
            if (wires[k].open && wires[k].out_seen < wires[k].out_length)
                answer_all(&wires[k]);
        }
        turns();
    }
    for (unsigned i = 0; i < ASKERS; i++)
        assert_answered(&askers[i]);
}

/* The ids of abandoned questions stay reserved; at 4096 the connection is replaced. */
static void many_abandoned(void **state)
{
    (void)state;
    uint8_t m[512];
    for (unsigned i = 0; i < 4096; i++) {
        struct privy_query *q = ask(i);
        turns();
        privy_cancel(q);
        while (next_query(&wires[0], m))
            ;
        wires[0].out_length = wires[0].out_seen = 0;
        if (i == 4000)
            assert_int_equal(wire_count, 1);
    }
    turns();
    assert_int_equal(wire_count, 2);
    assert_false(wires[0].open);
    ask(4500);
    turns();
    assert_int_equal(answer_all(&wires[1]), 1);
    turns();
    assert_answered(&askers[4500]);
}

/* It is replaced once, however its reserved ids come and go while it drains. */
static void many_abandoned_while_draining(void **state)
{
    (void)state;
    enum { HELD = 20 };
    struct privy_query *held[HELD];
    uint8_t late[HELD][512];
    size_t length[HELD], n;
    for (unsigned i = 0; i < HELD; i++)
        held[i] = ask(i);
    turns();
    for (unsigned i = 0; i < 4096; i++) {
        struct privy_query *q = ask(HELD + i);
        turns();
        privy_cancel(q);
        while ((n = next_query(&wires[0], late[i % HELD])))
            length[i % HELD] = n;
        wires[0].out_length = wires[0].out_seen = 0;
    }
    turns();
    for (unsigned i = 0; i < HELD; i++) {
        put_message(&wires[0], late[i], make_answer(late[i], length[i], 1));
        turns();
        privy_cancel(held[i]);
        turns();
    }
    assert_int_equal(wire_count, 2);
    assert_false(wires[0].open);
}

/* The late answer frees its id, and shows life. */
static void abandoned_then_answered(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4999; i++) {
        struct privy_query *q = ask(i);
        turns();
        privy_cancel(q);
        answer_all(&wires[0]);
        turns();
        wires[0].out_length = wires[0].out_seen = 0;
    }
    assert_int_equal(wire_count, 1);
}

static void refused_then_not(void **state)
{
    (void)state;
    run(31 * S); /* idle: closed */
    assert_false(wires[0].open);
    refuse = true;
    ask(0);
    run(1 * S);
    assert_int_equal(askers[0].calls, 0);
    assert_in_range(wire_count, 5, 7);
    refuse = false;
    run(300 * MS);
    answer_all(&wires[wire_count - 1]);
    turns();
    assert_answered(&askers[0]);
}

/* ---- datagrams ---- */

/* What is not the answer is ignored; the true one still comes [10]. */
static void forged(void **state)
{
    (void)state;
    uint8_t m[512], f[512];
    ask(0);
    turns();
    size_t n = next_query(&wires[0], m);
    n = make_answer(m, n, 9);
    memcpy(f, m, n);
    f[1] ^= 1; /* another id */
    put_message(&wires[0], f, n);
    memcpy(f, m, n);
    f[PV_HEADER + 1] ^= 1; /* another question */
    put_message(&wires[0], f, n);
    put_message(&wires[0], m, n - 1); /* cut short */
    put_message(&wires[0], m, 11);
    put_message(&wires[0], m, 0);
    turns();
    assert_int_equal(askers[0].calls, 0);
    put_message(&wires[0], m, n);
    turns();
    assert_answered(&askers[0]);
    assert_int_equal(askers[0].last, 9);
    assert_int_equal(wire_count, 1);
}

static void cut_goes_over_tcp(void **state)
{
    (void)state;
    uint8_t m[512];
    for (unsigned i = 0; i < 5; i++) {
        ask(i);
        turns();
        size_t n = next_query(&wires[0], m);
        n = make_answer(m, n, 9);
        m[2] |= 2; /* TC */
        put_message(&wires[0], m, n);
        turns();
        assert_int_equal(askers[i].calls, 0);
        assert_int_equal(wire_count, 2);
        assert_true(wires[1].tcp);
        assert_int_equal(answer_all(&wires[1]), 1);
        turns();
        assert_answered(&askers[i]);
        assert_int_equal(askers[i].last, 0);
    }
}

/* Another source port after so many. */
static void many_datagrams(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3500; i++) {
        ask(i);
        turns();
        for (unsigned k = 0; k < wire_count; k++) {
            if (wires[k].open)
                answer_all(&wires[k]);
        }
        turns();
        assert_answered(&askers[i]);
    }
    assert_int_equal(wire_count, 4);
    for (unsigned i = 0; i < 3; i++)
        assert_false(wires[i].open);
}

/* A burst over the limit of one socket: what it carries is finished on it. */
static void burst_of_datagrams(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2500; i++)
        ask(i);
    run(10 * MS);
    for (unsigned n = 0; n < 5; n++) {
        for (unsigned k = 0; k < wire_count; k++) {
            if (wires[k].open)
                answer_all(&wires[k]);
        }
        run(10 * MS);
    }
    for (unsigned i = 0; i < 2500; i++)
        assert_answered(&askers[i]);
    assert_in_range(wire_count, 3, 12);
}

static void port_unreachable(void **state)
{
    (void)state;
    ask(0);
    turns();
    wires[0].refused = true;
    turns();
    assert_false(wires[0].open);
    run(300 * MS);
    assert_true(wire_count >= 2);
    for (unsigned k = 0; k < wire_count; k++)
        answer_all(&wires[k]);
    turns();
    assert_answered(&askers[0]);
}

#define TCP(test) cmocka_unit_test_setup_teardown(test, begin_tcp, end)
#define UDP(test) cmocka_unit_test_setup_teardown(test, begin_udp, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TCP(any_order),
        TCP(split_anywhere),
        TCP(octet_by_octet),
        TCP(unknown_ids),
        TCP(broken_answers),
        TCP(answer_then_end),
        TCP(closed_under_a_question),
        TCP(too_much_unasked),
        TCP(peer_does_not_read),
        TCP(many_abandoned),
        TCP(many_abandoned_while_draining),
        TCP(abandoned_then_answered),
        TCP(refused_then_not),
        UDP(forged),
        UDP(cut_goes_over_tcp),
        UDP(many_datagrams),
        UDP(burst_of_datagrams),
        UDP(port_unreachable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
