/* The DNSCrypt handler over a machine in memory: how it comes by a certificate, what it does with
 * loss, with relays, with a server that changes its key. */
#include "unit.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <time.h>

#include "../fuzz/world.h"
#include "conn/attempt.h"
#include "conn/endpoint.h"
#include "conn/health.h"
#include "proto/dnscrypt/carrier.h"
#include "scarce.h"

extern const struct pv_proto pv_proto_dnscrypt[];

static struct world world;

/* ---- the server ---- */

static struct {
    uint8_t provider_public[32], provider_secret[64];
    uint8_t public[32], secret[32];
    uint32_t serial;
    long from, until; /* of its certificate, seconds from now */
    uint16_t construction;
    bool deaf_udp, deaf_tcp;  /* to questions and for certificates */
    bool no_certificates;     /* in datagrams */
    unsigned forged;          /* datagrams with certificates that come before its own */
    unsigned lose;            /* so many questions in datagrams are lost */
    bool cut;                 /* TC=1 in datagrams */
    struct pv_addr relays[2]; /* set: what goes elsewhere fails the test */
    unsigned relay_count;
    struct pv_addr deaf_relay; /* passes nothing on */
    /* What it saw. */
    unsigned fetches, datagrams, streams, refused;
    size_t longest, last_length;
    uint8_t client[32], lost_client[32]; /* the keys of the last question, and the last lost */
    uint8_t nonces[64][12];
    unsigned nonce_count;
} server;

static void new_key(void)
{
    randombytes_buf(server.secret, sizeof server.secret);
    crypto_scalarmult_base(server.public, server.secret);
}

static size_t write_certificate(uint8_t record[124])
{
    struct pv_writer w = pv_writer(record, 124);
    uint32_t now = (uint32_t)time(NULL);
    pv_write(&w, "DNSC", 4);
    pv_write16(&w, server.construction);
    pv_write16(&w, 0);
    memset(pv_room(&w, 64), 0, 64);
    pv_write(&w, server.public, 32);
    pv_write(&w, server.public, 8);
    pv_write32(&w, server.serial);
    pv_write32(&w, now + (uint32_t)server.from);
    pv_write32(&w, now + (uint32_t)server.until);
    crypto_sign_detached(record + 8, NULL, record + 72, 52, server.provider_secret);
    return pv_written(&w);
}

/* The certificate, or so many of others. */
static void answer_with(struct pv_sock *s, const uint8_t *query, unsigned forged)
{
    uint8_t out[1500], record[124];
    struct pv_reader r = pv_reader(query + PV_HEADER, 500);
    struct pv_writer w = pv_writer(out, sizeof out);
    uint8_t name[PV_NAME_MAX];
    size_t n = pv_name_read_plain(&r, name);
    uint16_t count = (uint16_t)(forged ? forged : 1);
    pv_header_write(&w, &(struct pv_header){
                            .id = pv_get16(query), .flags = PV_QR, .qdcount = 1, .ancount = count});
    for (unsigned i = 0; i <= count; i++) { /* the question, and the owners of the records */
        pv_write(&w, name, n);
        pv_write16(&w, PV_T_TXT);
        pv_write16(&w, PV_C_IN);
        if (i == 0)
            continue;
        pv_write32(&w, 3600);
        pv_write16(&w, 125);
        pv_write8(&w, 124);
        write_certificate(record);
        record[8] ^= forged > 0;
        pv_write(&w, record, sizeof record);
    }
    world_answer(s, out, pv_written(&w));
}

static void answer_fetch(struct pv_sock *s, const uint8_t *query)
{
    for (unsigned i = 0; i < server.forged && !s->tcp; i++)
        answer_with(s, query, 8);
    answer_with(s, query, 0);
    server.fetches++;
}

/* The query, opened in place; NULL: not sealed for the key that we have. */
static uint8_t *unseal(uint8_t *packet, size_t length, uint8_t shared[32])
{
    uint8_t nonce[24] = {0}, *sealed = packet + PV_BOX_QUERY - 16;
    int bad;
    memcpy(nonce, packet + 40, 12);
    if (memcmp(packet, server.public, 8) != 0)
        return NULL;
    if (server.construction == 1)
        bad = crypto_box_beforenm(shared, packet + 8, server.secret) ||
              crypto_box_open_easy_afternm(sealed + 16, sealed, length - 52, nonce, shared);
    else
        bad = crypto_box_curve25519xchacha20poly1305_beforenm(shared, packet + 8, server.secret) ||
              crypto_box_curve25519xchacha20poly1305_open_easy_afternm(sealed + 16, sealed,
                                                                       length - 52, nonce, shared);
    return bad ? NULL : packet + PV_BOX_QUERY;
}

static void answer_sealed(struct pv_sock *s, uint8_t *packet, size_t length)
{
    uint8_t shared[32], nonce[24] = {0}, out[1024] = "r6fnvWj8", *message = out + PV_BOX_REPLY;
    uint8_t *query = unseal(packet, length, shared);
    if (!query) {
        server.refused++;
        return;
    }
    struct pv_reader r = pv_reader(query + PV_HEADER, 300);
    pv_name_read_plain(&r, (uint8_t[PV_NAME_MAX]){0});
    pv_take(&r, 4);
    size_t n = (size_t)(r.at - query);
    memcpy(server.client, packet + 8, 32);
    memcpy(nonce, packet + 40, 12);
    memcpy(server.nonces[server.nonce_count++ % 64], nonce, 12);
    nonce[20] = 1;
    memcpy(out + 8, nonce, 24);
    memcpy(message, query, n);
    pv_put16(message + 2, PV_QR | PV_RD | PV_RA | (server.cut && !s->tcp ? PV_TC : 0));
    memset(message + 6, 0, 6);
    memset(message + n, 0, 256 - n);
    message[n] = 0x80;
    if (server.construction == 1)
        crypto_box_easy_afternm(message - 16, message, 256, nonce, shared);
    else
        crypto_box_curve25519xchacha20poly1305_easy_afternm(message - 16, message, 256, nonce,
                                                            shared);
    world_answer(s, out, PV_BOX_REPLY + 256);
}

static bool is_fetch(const uint8_t *packet, size_t length)
{
    return length < 500 || memcmp(packet + 8, "\0\0\0\1", 4) == 0;
}

static void take(struct pv_sock *s, uint8_t *packet, size_t length)
{
    static const uint8_t prefix[26] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0,
                                       0,    0,    0,    0,    0,    0,    0,    0,    0,
                                       0,    0,    0xff, 0xff, 192,  0,    2,    1};
    if (server.relay_count > 0) {
        bool first = pv_addr_equal(&s->peer, &server.relays[0]);
        assert_true(first || pv_addr_equal(&s->peer, &server.relays[1]));
        assert_memory_equal(packet, prefix, sizeof prefix);
        assert_int_equal(pv_get16(packet + 26), 8443);
        packet += 28;
        length -= 28;
        if (pv_addr_equal(&s->peer, &server.deaf_relay))
            return;
    }
    bool fetch = is_fetch(packet, length) && memcmp(packet, server.public, 8) != 0;
    if (s->tcp ? server.deaf_tcp : server.deaf_udp || (fetch && server.no_certificates))
        return;
    if (fetch) {
        assert_true(server.relay_count == 0 || length >= 480);
        answer_fetch(s, packet);
        return;
    }
    server.last_length = length;
    *(s->tcp ? &server.streams : &server.datagrams) += 1;
    if (!s->tcp && server.lose > 0) {
        server.lose--;
        memcpy(server.lost_client, packet + 8, 32);
    } else {
        answer_sealed(s, packet, length);
    }
}

static void serve(struct world *w)
{
    for (unsigned k = 0; k < w->count; k++) {
        struct pv_sock *s = world_sock(w, k);
        pv_list_each_safe (it, &s->heard) {
            struct world_message *m = pv_container(it, struct world_message, link);
            if (!m->checked)
                take(s, m->bytes, m->length);
            world_forget(m);
        }
    }
}

/* ---- the upstream, and who asks it ---- */

static struct pv_upstream *up;
static struct pv_endpoint *endpoint;
static char lines[4096];

static void remember(void *arg, enum privy_log_level level, const char *line)
{
    (void)arg;
    if (level <= PRIVY_LOG_WARNING && strlen(lines) + strlen(line) + 2 < sizeof lines)
        strcat(strcat(lines, line), "\n");
}

static bool nobody_waits(void *owner, struct pv_endpoint *e)
{
    (void)owner;
    (void)e;
    return false;
}

static void nothing(void *owner, struct pv_endpoint *e)
{
    (void)owner;
    (void)e;
}

static const struct pv_endpoint_events endpoint_events = {nobody_waits, nothing, nothing, nothing};

static struct pv_addr address(const char *text)
{
    struct pv_addr a;
    assert_true(pv_addr_parse(text, strlen(text), 0, &a));
    return a;
}

static int begin(void **state)
{
    (void)state;
    memset(&server, 0, sizeof server);
    lines[0] = '\0';
    privy_log_set(remember, NULL, PRIVY_LOG_WARNING);
    world_init(&world);
    world.calm = true;
    world.peers = serve;
    crypto_sign_keypair(server.provider_public, server.provider_secret);
    new_key();
    server.serial = 5;
    server.from = -1000;
    server.until = 100000;
    server.construction = 2;
    up = calloc(1, sizeof *up);
    up->refs = 1;
    up->name = strdup("server");
    up->proto = pv_proto_dnscrypt;
    up->provider_name = strdup("2.dnscrypt-cert.example");
    memcpy(up->provider_key, server.provider_public, 32);
    up->allow_xsalsa = true;
    up->addresses = calloc(1, sizeof *up->addresses);
    up->addresses[0] = address("192.0.2.1:8443");
    up->address_count = 1;
    return 0;
}

static void start(void)
{
    struct privy_error error;
    assert_int_equal(pv_proto_dnscrypt->check(up, &error), PRIVY_OK);
    endpoint = pv_endpoint_new(world.loop, up, 2, &endpoint_events, NULL);
    assert_non_null(endpoint);
}

static int end(void **state)
{
    (void)state;
    pv_endpoint_free(endpoint);
    endpoint = NULL;
    pv_upstream_unref(up);
    world_settle(&world);
    world_done(&world);
    privy_log_set(NULL, NULL, PRIVY_LOG_WARNING);
    return 0;
}

struct asker {
    struct pv_ask ask;
    struct pv_attempt attempt;
    uint64_t begun, ended;
    bool over;
};

static void ended(struct pv_attempt *a)
{
    struct asker *q = a->owner;
    q->over = true;
    q->ended = world.now;
}

static void ask(struct asker *q, enum pv_kind kind)
{
    static const struct pv_attempt_events events = {.on_end = ended};
    *q = (struct asker){.begun = world.now};
    q->ask.question = (struct pv_question){
        .name = "\4name\7example", .name_length = 14, .type = PV_T_A, .rrclass = PV_C_IN};
    pv_attempt_init(&q->attempt, &q->ask, kind, &events, q);
    pv_endpoint_submit(endpoint, &q->attempt);
    world_settle(&world);
}

static void done(struct asker *q)
{
    pv_attempt_drop(&q->attempt, false);
}

/* Ask and let time pass until it is over, at most 4 s. */
static void ask_and_wait(struct asker *q)
{
    ask(q, PV_DATAGRAM);
    for (unsigned i = 0; i < 400 && !q->over; i++)
        world_pass(&world, 10 * MS);
}

static uint64_t assert_good(void)
{
    struct asker q;
    ask_and_wait(&q);
    assert_true(q.over);
    assert_int_equal(q.attempt.outcome, PV_GOOD);
    done(&q);
    return q.ended - q.begun;
}

static void assert_no_nonce_twice(void)
{
    for (unsigned i = 0; i < server.nonce_count && i < 64; i++) {
        for (unsigned k = 0; k < i; k++)
            assert_memory_not_equal(server.nonces[i], server.nonces[k], 12);
    }
}

/* ---- certificates ---- */

static void both_constructions(void **state)
{
    for (uint16_t i = 1; i <= 2; i++) {
        server.construction = i;
        start();
        assert_good();
        assert_int_equal(server.streams, 0);
        assert_int_equal(strstr(lines, "for XSalsa20") != NULL, i == 1);
        end(state);
        begin(state);
    }
    start();
}

static void renewed_hourly_while_in_use(void **state)
{
    (void)state;
    start();
    for (unsigned minute = 0; minute < 180; minute++) {
        assert_int_equal(assert_good(), 0);
        world_pass(&world, 20 * S);
    }
    assert_in_range(server.fetches, 2, 4); /* each after 50 to 60 minutes */
    unsigned before = server.fetches;
    world_pass(&world, 10 * 3600 * S);
    assert_int_equal(server.fetches, before); /* nobody has a use for it */
    assert_int_equal(assert_good(), 0);
    assert_int_equal(server.fetches, before + 1);
}

static void short_lived_certificates(void **state)
{
    (void)state;
    server.until = 1;
    start();
    for (unsigned second = 0; second < 10; second++) {
        assert_good();
        world_pass(&world, S);
    }
    assert_in_range(server.fetches, 9, 12);
}

static void refused_certificate(void **state)
{
    static const struct {
        long from, until;
        bool wrong_key;
        const char *reason;
    } rows[] = {
        {-100000, -90000, false, "certificate expired on "},
        {90000, 100000, false, "certificate not valid before "},
        {-1000, 1000, true, "no certificate signed by the provider key"},
    };
    for (unsigned i = 0; i < 3; i++) {
        struct asker q;
        server.from = rows[i].from;
        server.until = rows[i].until;
        if (rows[i].wrong_key)
            up->provider_key[0] ^= 1;
        start();
        ask_and_wait(&q);
        assert_int_equal(q.attempt.outcome, PV_UNTRUSTED);
        assert_non_null(strstr(q.attempt.reason, rows[i].reason));
        assert_int_equal(server.datagrams + server.streams, 0);
        done(&q);
        char *first = strstr(lines, rows[i].reason);
        assert_non_null(first);
        world_pass(&world, 10 * S);
        pv_endpoint_trial(endpoint, true);
        world_pass(&world, 10 * S);
        assert_null(strstr(first + 1, rows[i].reason)); /* once */
        end(state);
        begin(state);
    }
    start();
}

static void serial_goes_backwards(void **state)
{
    (void)state;
    server.until = 5000;
    start();
    assert_good();
    server.serial = 4;
    world_pass(&world, 10 * S);
    for (unsigned i = 0; i < 200; i++) {
        assert_good();
        world_pass(&world, 20 * S);
    }
    assert_true(server.fetches >= 2);
    assert_int_equal(server.refused, 0); /* the old one serves */
    char *first = strstr(lines, "certificate serial goes backwards: 4 after 5");
    assert_non_null(first);
    assert_null(strstr(first + 20, "serial goes backwards"));
    assert_null(strstr(lines, "down"));
}

static void key_rotates_at_once(void **state)
{
    (void)state;
    start();
    assert_good();
    for (unsigned i = 0; i < 3; i++) {
        new_key();
        server.serial++;
        assert_true(assert_good() < 1500 * MS);
        assert_int_equal(assert_good(), 0);
        world_pass(&world, 11 * S); /* it is not believed more often */
    }
    assert_no_nonce_twice();
}

/* ---- loss ---- */

static void lost_datagrams(void **state)
{
    (void)state;
    start();
    assert_int_equal(assert_good(), 0);
    server.lose = 1;
    assert_int_equal(assert_good() / (10 * MS), 80);
    server.lose = 3; /* the question, twice, and the probe between */
    assert_int_equal(assert_good() / (10 * MS), 120);
    server.lose = 10;
    assert_int_equal(assert_good() / (10 * MS), 120);
    assert_int_equal(server.streams, 1); /* at the same time as a third datagram */
    assert_no_nonce_twice();
}

static void no_datagram_gets_through(void **state)
{
    (void)state;
    server.deaf_udp = true;
    start();
    assert_true(assert_good() < 900 * MS);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(assert_good(), 0);
        world_pass(&world, 4 * S); /* they are tried now and then, and nobody waits for it */
    }
    server.deaf_udp = false;
    world_pass(&world, 40 * S);
    assert_good();
    unsigned streams = server.streams;
    assert_int_equal(assert_good(), 0);
    assert_int_equal(server.streams, streams);
}

/* As soon as a certificate comes in one, TCP is not asked at once any more. */
static void datagrams_get_through_again(void **state)
{
    (void)state;
    server.deaf_udp = true;
    server.until = 60;
    start();
    assert_good();
    unsigned fetches = server.fetches, streams = 0;
    server.deaf_udp = false;
    server.lose = 1000; /* questions; certificates come */
    for (unsigned i = 0; i < 20 && server.fetches == fetches; i++) {
        assert_int_equal(assert_good(), 0);
        streams = server.streams;
        assert_int_not_equal(streams, 0);
        world_pass(&world, 4 * S);
    }
    assert_int_equal(server.fetches, fetches + 1);
    server.lose = 0;
    assert_int_equal(assert_good(), 0);
    assert_int_equal(server.streams, streams);
}

static void certificates_only_over_tcp(void **state)
{
    (void)state;
    server.no_certificates = true;
    start();
    assert_true(assert_good() < 900 * MS);
    assert_int_equal(assert_good(), 0);
    assert_true(server.datagrams > 0);
}

/* An answer that was cut: over a stream; and from then on there is more room for answers. */
static void cut_answer(void **state)
{
    (void)state;
    struct asker q;
    start();
    assert_good();
    assert_int_equal(server.last_length, PV_BOX_QUERY + 512);
    server.cut = true;
    for (unsigned i = 1; i <= 12; i++) {
        ask(&q, PV_DATAGRAM);
        assert_int_equal(q.attempt.outcome, PV_TRUNCATED);
        done(&q);
        ask(&q, PV_STREAM);
        assert_int_equal(q.attempt.outcome, PV_GOOD);
        done(&q);
        assert_int_equal(server.last_length % 64, PV_BOX_QUERY % 64);
    }
    server.cut = false;
    assert_good();
    assert_int_equal(server.last_length, PV_BOX_QUERY + 1152);
    for (unsigned i = 0; i < 100; i++)
        assert_good();
    assert_int_equal(server.last_length, PV_BOX_QUERY + 1152 - 64);
}

static void forged_datagrams(void **state)
{
    (void)state;
    struct asker q;
    static uint8_t junk[400] = "r6fnvWj8";
    start();
    assert_good();
    server.lose = 1;
    ask(&q, PV_DATAGRAM);
    for (size_t n = 0; n < sizeof junk; n++) {
        for (unsigned k = 0; k < world.count; k++)
            world_deliver(world_sock(&world, k), junk, n);
        world_settle(&world);
    }
    assert_false(q.over);
    world_pass(&world, 900 * MS);
    assert_int_equal(q.attempt.outcome, PV_GOOD);
    assert_int_equal(server.streams, 0);
    done(&q);
}

/* "Port unreachable", once: asked again at once. */
static void refused_once(void **state)
{
    (void)state;
    struct asker q;
    start();
    assert_good();
    server.lose = 1;
    ask(&q, PV_DATAGRAM);
    for (unsigned k = 0; k < world.count; k++)
        world_sock(&world, k)->error = ECONNREFUSED;
    world_settle(&world);
    assert_int_equal(q.attempt.outcome, PV_GOOD);
    assert_false(pv_health_is_down(up));
    done(&q);
}

static void nobody_is_there(void **state)
{
    (void)state;
    struct asker q;
    start();
    assert_good();
    world.refusal = ECONNREFUSED;
    for (unsigned k = 0; k < world.count; k++)
        world_sock(&world, k)->error = ECONNREFUSED;
    ask(&q, PV_DATAGRAM);
    world_pass(&world, 10 * MS);
    assert_int_equal(q.attempt.outcome, PV_UNREACHABLE);
    assert_true(pv_health_is_down(up));
    done(&q);
}

static void dropped_in_flight(void **state)
{
    (void)state;
    struct asker q[20];
    start();
    assert_good();
    server.deaf_udp = server.deaf_tcp = true;
    for (unsigned i = 0; i < 20; i++)
        ask(&q[i], i % 4 ? PV_DATAGRAM : PV_STREAM);
    world_pass(&world, 1300 * MS);
    for (unsigned i = 0; i < 20; i++) {
        assert_false(q[i].over);
        done(&q[i]);
    }
}

/* One that is sent again is known by its name anyway. */
static void keys_for_each_question(void **state)
{
    (void)state;
    uint8_t before[32] = {0};
    up->ephemeral_keys = true;
    start();
    for (unsigned i = 0; i < 5; i++) {
        server.lose = i % 2;
        assert_good();
        assert_memory_not_equal(server.client, before, sizeof before);
        memcpy(before, server.client, sizeof before);
        if (i % 2)
            assert_memory_equal(server.lost_client, server.client, sizeof before);
    }
    assert_true(server.datagrams >= 7);
}

/* Two addresses of ours are not to be known as one's: no key goes with both. */
static void keys_for_each_address(void **state)
{
    (void)state;
    static const struct {
        const char *here;
        bool same;
    } rows[] = {
        {"192.0.2.254:1001", true},   {"192.0.2.253:1001", false}, {"[2001:db8::1]:1001", false},
        {"[2001:db8::1]:1002", true}, {"192.0.2.254:1000", false},
    };
    uint8_t before[32];
    struct asker q;
    world.here = "192.0.2.254:1000";
    start();
    ask(&q, PV_STREAM);
    done(&q);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        memcpy(before, server.client, sizeof before);
        world.here = rows[i].here;
        ask(&q, PV_STREAM);
        assert_int_equal(q.attempt.outcome, PV_GOOD);
        assert_int_equal(memcmp(server.client, before, sizeof before) == 0, rows[i].same);
        done(&q);
    }
}

/* Once, at each place that asks for it: a question fails, or none, and the next is answered. */
static void memory_runs_out(void **state)
{
    for (unsigned row = 0; row < 3; row++) {
        unsigned n = 0, count;
        do {
            struct asker q;
            server.deaf_udp = row == 1;
            server.no_certificates = row == 2;
            start();
            scarce_spares = &world_own_memory;
            scarce_begin(++n, 1);
            ask(&q, PV_DATAGRAM);
            world_pass(&world, 3 * S);
            count = scarce_end();
            done(&q);
            for (unsigned i = 0; i < 20 && pv_health_is_down(up); i++) {
                pv_endpoint_trial(endpoint, true);
                world_pass(&world, S);
            }
            assert_false(pv_health_is_down(up));
            assert_good();
            end(state);
            begin(state);
        } while (count >= n);
        assert_true(n > 5); /* so many places there are, at least */
    }
    start();
}

/* Each costs us a signature. A few cannot keep the true one from us; many are not looked at. */
static void forged_certificates(void **state)
{
    static const struct {
        unsigned datagrams;
        bool deaf_tcp;
        enum pv_outcome outcome;
    } rows[] = {{20, true, PV_GOOD}, {40, true, PV_UNTRUSTED}, {40, false, PV_GOOD}};
    for (unsigned i = 0; i < 3; i++) {
        struct asker q;
        server.forged = rows[i].datagrams;
        server.deaf_tcp = rows[i].deaf_tcp;
        start();
        ask_and_wait(&q);
        assert_int_equal(q.attempt.outcome, rows[i].outcome);
        done(&q);
        end(state);
        begin(state);
    }
    start();
}

/* ---- relays ---- */

static void with_relays(const char *deaf)
{
    up->relays = calloc(2, sizeof *up->relays);
    up->relays[0] = server.relays[0] = address("192.0.2.101:443");
    up->relays[1] = server.relays[1] = address("192.0.2.102:443");
    up->relay_count = server.relay_count = 2;
    if (deaf)
        server.deaf_relay = address(deaf);
    start();
}

/* The server itself sees nobody: take() asserts it of every packet. */
static void through_a_relay(void **state)
{
    (void)state;
    struct asker q;
    with_relays(NULL);
    assert_good();
    ask(&q, PV_STREAM);
    assert_int_equal(q.attempt.outcome, PV_GOOD);
    assert_int_equal(server.last_length, PV_BOX_QUERY + 3968);
    done(&q);
}

static void a_relay_is_deaf(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        with_relays(i ? "192.0.2.101:443" : "192.0.2.102:443");
        assert_true(assert_good() < 3000 * MS);
        for (unsigned k = 0; k < 5; k++)
            assert_good();
        assert_int_equal(assert_good(), 0);
        end(state);
        begin(state);
    }
    start();
}

static void all_relays_are_deaf(void **state)
{
    (void)state;
    struct asker q;
    server.deaf_udp = server.deaf_tcp = true;
    with_relays(NULL);
    ask_and_wait(&q);
    assert_int_equal(q.attempt.outcome, PV_UNREACHABLE);
    assert_non_null(strstr(q.attempt.reason, "no certificate"));
    done(&q);
}

static void name_that_relays_do_not_pass_on(void **state)
{
    (void)state;
    struct asker q;
    free(up->provider_name);
    up->provider_name = strdup("3.dnscrypt-cert.example");
    server.deaf_udp = server.deaf_tcp = true;
    with_relays(NULL);
    ask_and_wait(&q);
    assert_int_equal(q.attempt.outcome, PV_UNREACHABLE);
    assert_non_null(strstr(q.attempt.reason, "only names that begin with 2.dnscrypt-cert."));
    done(&q);
}

static void relay_that_is_the_server(void **state)
{
    (void)state;
    struct privy_error error;
    start();
    up->relays = calloc(1, sizeof *up->relays);
    up->relays[0] = address("192.0.2.1:443");
    up->relay_count = 1;
    free(up->shared);
    assert_int_equal(pv_proto_dnscrypt->check(up, &error), PRIVY_EINVAL);
    assert_string_equal(error.message, "relays: 192.0.2.1 is the server itself");
    up->relays[0] = address("[::ffff:192.0.2.1]:443");
    free(up->shared);
    assert_int_equal(pv_proto_dnscrypt->check(up, &error), PRIVY_EINVAL);
    assert_string_equal(error.message, "relays: ::ffff:192.0.2.1 is the server itself");
    up->relays[0] = address("192.0.2.101:443");
    up->addresses[0] = address("[::ffff:192.0.2.101]:8443");
    free(up->shared);
    assert_int_equal(pv_proto_dnscrypt->check(up, &error), PRIVY_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_constructions, begin, end),
        cmocka_unit_test_setup_teardown(renewed_hourly_while_in_use, begin, end),
        cmocka_unit_test_setup_teardown(short_lived_certificates, begin, end),
        cmocka_unit_test_setup_teardown(refused_certificate, begin, end),
        cmocka_unit_test_setup_teardown(serial_goes_backwards, begin, end),
        cmocka_unit_test_setup_teardown(key_rotates_at_once, begin, end),
        cmocka_unit_test_setup_teardown(lost_datagrams, begin, end),
        cmocka_unit_test_setup_teardown(no_datagram_gets_through, begin, end),
        cmocka_unit_test_setup_teardown(datagrams_get_through_again, begin, end),
        cmocka_unit_test_setup_teardown(certificates_only_over_tcp, begin, end),
        cmocka_unit_test_setup_teardown(cut_answer, begin, end),
        cmocka_unit_test_setup_teardown(forged_datagrams, begin, end),
        cmocka_unit_test_setup_teardown(refused_once, begin, end),
        cmocka_unit_test_setup_teardown(nobody_is_there, begin, end),
        cmocka_unit_test_setup_teardown(dropped_in_flight, begin, end),
        cmocka_unit_test_setup_teardown(keys_for_each_question, begin, end),
        cmocka_unit_test_setup_teardown(keys_for_each_address, begin, end),
        cmocka_unit_test_setup_teardown(memory_runs_out, begin, end),
        cmocka_unit_test_setup_teardown(forged_certificates, begin, end),
        cmocka_unit_test_setup_teardown(through_a_relay, begin, end),
        cmocka_unit_test_setup_teardown(a_relay_is_deaf, begin, end),
        cmocka_unit_test_setup_teardown(all_relays_are_deaf, begin, end),
        cmocka_unit_test_setup_teardown(name_that_relays_do_not_pass_on, begin, end),
        cmocka_unit_test_setup_teardown(relay_that_is_the_server, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
