#include "server.h"

#include "crypto.h"
#include "memory.h"
#include "report.h"

#include <openssl/err.h>

enum { FRAME_MOST = 65537 };

/* One connection, the server's end. */
struct session {
    struct pv_list link; /* server->sessions */
    struct server *server;
    struct net_conn *conn;
    SSL *ssl;
    uint8_t *in;
    size_t in_length;
    unsigned answered;
    bool mute, lied, out_of_step;
    uint64_t busy_until;
    struct task idle;
    struct pv_list replies; /* questions not answered yet */
};

/* A question, until it is answered. */
struct reply {
    struct pv_list link; /* session->replies, or server->datagrams */
    struct task task;
    struct server *server;
    struct session *session; /* NULL: a datagram came */
    struct net_host *host;
    uint64_t sock;
    enum manner manner;
    struct wording wording;
    struct pv_query_view view;
    size_t length;
    uint8_t query[];
};

#define SESSION(it) pv_container(it, struct session, link)
#define REPLY(it)   pv_container(it, struct reply, link)

static struct agenda *agenda_of(const struct server *s)
{
    return s->net->agenda;
}

static uint64_t now_of(const struct server *s)
{
    return *s->net->now;
}

/* ---- moods ---- */

struct mood mood_healthy(struct dice *d)
{
    struct mood m = {.path = {.window = 262144}};
    m.path.latency_us = between(d, 100, 20 * MS);
    m.path.jitter_us = roll(d, 2) ? 0 : between(d, 0, 5 * MS);
    m.delay_us = between(d, 0, 20 * MS);
    m.delay_more_us = between(d, 0, 20 * MS);
    return m;
}

bool mood_is_healthy(const struct mood *m)
{
    return m->path.way == NET_OPEN && m->path.loss == 0 && m->trouble == 0 && m->slams == 0 &&
           m->mutes == 0 && m->cuts == 0 && !m->wrong_cert && !m->no_tls && !m->one_by_one &&
           !m->stops_reading && m->answers_most == 0 && m->conns_most == 0 &&
           m->path.latency_us + m->path.jitter_us <= 30 * MS &&
           m->delay_us + m->delay_more_us <= 50 * MS && m->path.window >= 65536 &&
           (m->idle_us == 0 || m->idle_us >= S);
}

static void session_end(struct session *, enum net_end);

void server_set_mood(struct server *s, const struct mood *m)
{
    bool was = s->healthy_since != UINT64_MAX, is = mood_is_healthy(m);
    s->mood = *m;
    if (!is)
        s->healthy_since = UINT64_MAX;
    else if (!was)
        s->healthy_since = now_of(s);
    if (!m->stops_reading)
        pv_list_each (it, &s->sessions)
            net_read(SESSION(it)->conn, true);
    net_changed(s->net);
    trace("server %s: way %d, latency %llu us, delay %llu us, trouble %u%%%s", s->name, m->path.way,
          (unsigned long long)m->path.latency_us, (unsigned long long)m->delay_us, m->trouble,
          is ? ", healthy" : "");
}

/* ---- sessions ---- */

static void reply_free(struct reply *r)
{
    agenda_clear(agenda_of(r->server), &r->task);
    pv_list_remove(&r->link);
    own_free(r);
}

static void session_free(struct session *s)
{
    if (s->lied || s->out_of_step)
        s->server->lied_until = now_of(s->server) + 2 * S;
    pv_list_each_safe (it, &s->replies)
        reply_free(REPLY(it));
    agenda_clear(agenda_of(s->server), &s->idle);
    SSL_free(s->ssl);
    pv_list_remove(&s->link);
    s->server->session_count--;
    own_free(s->in);
    own_free(s);
}

/* The resolver has closed it. */
static void closed(void *arg)
{
    session_free(arg);
}

static void drain(struct session *s, size_t step, uint64_t gap_us)
{
    BIO *out = SSL_get_wbio(s->ssl);
    size_t n = BIO_ctrl_pending(out);
    if (n == 0)
        return;
    uint8_t *bytes = own_alloc(n);
    BIO_read(out, bytes, (int)n);
    net_drip(s->conn, bytes, n, step ? step : n, gap_us);
    own_free(bytes);
}

static void session_end(struct session *s, enum net_end how)
{
    if (s->ssl && how == NET_CLOSE && SSL_is_init_finished(s->ssl) && roll(&s->server->dice, 2)) {
        SSL_shutdown(s->ssl);
        ERR_clear_error();
        drain(s, 0, 0);
    }
    net_end(s->conn, how);
    session_free(s);
}

static void idle_fired(struct task *t)
{
    struct session *s = pv_container(t, struct session, idle);
    if (pv_list_empty(&s->replies))
        session_end(s, NET_CLOSE);
}

static void start_idle(struct session *s)
{
    struct server *server = s->server;
    if (server->mood.idle_us)
        agenda_set(agenda_of(server), &s->idle, now_of(server) + server->mood.idle_us, idle_fired);
}

static bool start_tls(struct session *s)
{
    struct server *server = s->server;
    s->ssl = SSL_new(server->mood.wrong_cert ? server->wrong_ctx : server->ctx);
    SSL_set_bio(s->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(SSL_get_rbio(s->ssl), -1);
    SSL_set_accept_state(s->ssl);
    return true;
}

static void draw_cut(struct session *s)
{
    struct dice *d = &s->server->dice;
    size_t after = roll(d, 2) ? roll(d, 200) : roll(d, s->server->tls ? 4000 : 1500);
    net_cut(s->conn, after + 1, (enum net_end)roll(d, 3));
}

static void *accepted(void *arg, struct net_conn *conn)
{
    struct server *server = arg;
    struct mood *m = &server->mood;
    struct dice *d = &server->dice;
    server->accepted++;
    if (chance(d, m->slams) || (m->conns_most && server->session_count >= m->conns_most)) {
        net_end(conn, roll(d, 2) ? NET_RESET : NET_CLOSE);
        return NULL;
    }
    struct session *s = own_alloc(sizeof *s);
    s->server = server;
    s->conn = conn;
    s->mute = chance(d, m->mutes);
    pv_list_init(&s->replies);
    pv_list_append(&server->sessions, &s->link);
    server->session_count++;
    if (server->tls && !m->no_tls)
        start_tls(s);
    if (chance(d, m->cuts))
        draw_cut(s);
    if (m->stops_reading && roll(d, 2))
        net_read(conn, false);
    start_idle(s);
    return s;
}

/* ---- answering ---- */

/* Each message is one frame; over TLS one record. */
static void put(struct session *s, const uint8_t *bytes, size_t n, size_t step, uint64_t gap_us)
{
    if (!s->ssl) {
        net_drip(s->conn, bytes, n, step ? step : n, gap_us);
        return;
    }
    for (size_t done = 0, moved; done < n; done += moved) {
        ERR_clear_error();
        if (SSL_write_ex(s->ssl, bytes + done, n - done, &moved) != 1)
            return;
    }
    drain(s, step, gap_us);
}

static void bring_half(struct reply *r, const uint8_t *frame, size_t n)
{
    struct session *s = r->session;
    /* Before any record: what later fills the gap can be no answer. */
    size_t half = r->manner == BY_HALF ? 1 + roll(&r->server->dice, PV_HEADER + 2)
                                       : 1 + roll(&r->server->dice, (unsigned)n - 1);
    put(s, frame, half, 0, 0);
    s->out_of_step = true;
    if (r->manner != BY_HALF)
        session_end(s, r->manner == BY_HALF_RESET ? NET_RESET : NET_CLOSE);
}

static void bring_unasked(struct reply *r, uint8_t *frame, size_t n)
{
    uint16_t id = pv_get16(frame + 2);
    r->session->lied = true;
    pv_put16(frame + 2, id ^ (uint16_t)(1 + roll(&r->server->dice, 7)));
    put(r->session, frame, n, 0, 0);
    pv_put16(frame + 2, id);
    put(r->session, frame, n, 0, 0);
}

/* The session may be gone when this returns. */
static void bring_stream(struct reply *r, uint8_t *frame, size_t n)
{
    struct session *s = r->session;
    struct dice *d = &r->server->dice;
    static const uint8_t short_frame[8] = {0, 6};
    switch (r->manner) {
    case BY_PIECES:
        put(s, frame, n, 1 + roll(d, 100), roll(d, 2) ? 0 : roll(d, 1000));
        break;
    case BY_TWICE:
        s->lied = true; /* the second may meet another question */
        put(s, frame, n, 0, 0);
        put(s, frame, n, 0, 0);
        break;
    case BY_UNASKED:
        bring_unasked(r, frame, n);
        break;
    case BY_DRIPS:
        s->out_of_step = true; /* what follows waits for its end */
        put(s, frame, n, 1 + roll(d, 3), 100 * MS + roll(d, 400 * MS));
        break;
    case BY_SHORT_FRAME:
        s->lied = true;
        put(s, short_frame, sizeof short_frame, 0, 0);
        break;
    case BY_HALF:
    case BY_HALF_CLOSE:
    case BY_HALF_RESET:
        bring_half(r, frame, n);
        return;
    case BY_CLOSE:
    case BY_RESET:
        session_end(s, r->manner == BY_RESET ? NET_RESET : NET_CLOSE);
        return;
    default:
        put(s, frame, n, 0, 0);
        break;
    }
}

static void bring_datagram(struct reply *r, const uint8_t *bytes, size_t n)
{
    struct server *s = r->server;
    switch (r->manner) {
    case BY_HALF:
    case BY_HALF_CLOSE:
    case BY_HALF_RESET:
        net_reply(s->net, r->host, r->sock, bytes, roll(&s->dice, (unsigned)n));
        break;
    case BY_TWICE:
        net_reply(s->net, r->host, r->sock, bytes, n);
        net_reply(s->net, r->host, r->sock, bytes, n);
        break;
    case BY_CLOSE:
    case BY_RESET:
    case BY_SHORT_FRAME:
        break; /* lost */
    default:
        net_reply(s->net, r->host, r->sock, bytes, n);
        break;
    }
}

static void note(const struct reply *r)
{
    struct said *said = ledger_add(r->server->ledger);
    *said = (struct said){
        .server = r->server->number,
        .content = r->wording.content,
        .question = r->view.question,
        .dnssec_ok = r->view.edns.dnssec_ok,
        .checking_disabled = r->view.header.flags & PV_CD,
        .is_signed = r->view.is_signed,
        .over_stream = r->session != NULL,
        .rcode = r->wording.rcode,
        .ttl = r->wording.ttl,
        .at_us = now_of(r->server),
        .at_age = (now_of(r->server) + r->server->net->slept_us) / S,
        .travel_us = r->manner == BY_DRIPS ? 300 * S : 2 * S,
    };
}

/* Returns its length; a datagram that would be too long is cut. */
static size_t compose(struct reply *r, uint8_t *out, size_t capacity)
{
    struct server *s = r->server;
    size_t most = r->session ? capacity : 1232, n = 0;
    for (unsigned i = 0; n == 0 || n > most; i++) {
        if (i > 0)
            r->wording.padding = 0;
        if (i > 1)
            r->wording.content = SAYS_CUT;
        n = reply_write(out, capacity, r->query, &r->view, &r->wording, s->ledger->count, &s->dice);
    }
    return n;
}

static void answer(struct task *t)
{
    struct reply *r = pv_container(t, struct reply, task);
    struct session *s = r->session;
    static uint8_t frame[FRAME_MOST];
    size_t n = compose(r, frame + 2, sizeof frame - 2);
    trace("server %s: answers number %u: content %d, manner %d, %zu octets", r->server->name,
          r->server->ledger->count, r->wording.content, r->manner, n);
    note(r);
    pv_put16(frame, (uint16_t)n);
    pv_list_remove(&r->link);
    if (!s) {
        bring_datagram(r, frame + 2, n);
        reply_free(r);
        return;
    }
    struct server *server = r->server;
    unsigned accepted_before = server->session_count;
    s->lied |= is_lie(r->wording.content);
    s->answered++;
    bring_stream(r, frame, n + 2);
    bool ended = server->session_count < accepted_before;
    reply_free(r);
    if (ended)
        return;
    if (server->mood.answers_most && s->answered >= server->mood.answers_most)
        session_end(s, roll(&server->dice, 2) ? NET_RESET : NET_CLOSE);
    else if (pv_list_empty(&s->replies))
        start_idle(s);
}

/* ---- questions ---- */

static enum content usual_content(struct dice *d)
{
    unsigned n = roll(d, 20);
    return n < 14    ? SAYS_ANSWER
           : n == 14 ? SAYS_ALIAS
           : n < 17  ? SAYS_NO_NAME
           : n < 19  ? SAYS_NO_DATA
                     : SAYS_NO_NAME_BARE;
}

static unsigned one_of(struct dice *d, uint32_t bits)
{
    unsigned k = roll(d, (unsigned)__builtin_popcount(bits));
    while (k--)
        bits &= bits - 1;
    return (unsigned)__builtin_ctz(bits);
}

static void decide(struct server *s, struct reply *r)
{
    const struct mood *m = &s->mood;
    enum content content = usual_content(&s->dice);
    r->manner = roll(&s->dice, 10) ? BY_WHOLE : BY_PIECES;
    if (chance(&s->dice, m->trouble)) {
        if (m->contents && (!m->manners || roll(&s->dice, 2)))
            content = (enum content)one_of(&s->dice, m->contents);
        else if (m->manners)
            r->manner = (enum manner)one_of(&s->dice, m->manners);
    }
    r->wording = wording_draw(&s->dice, content);
    if (r->session && chance(&s->dice, m->keepalives))
        r->wording.keepalive = (int)roll(&s->dice, 30) * (int)roll(&s->dice, 30);
    r->wording.address_count = s->lookup(s->arg, &r->view.question, &r->wording.addresses);
    if (r->wording.address_count && !is_lie(content) && content <= SAYS_NO_NAME_BARE)
        r->wording.content = SAYS_ANSWER;
}

/* An id stays taken until its answer is out [V4]. */
static void check_id(const struct session *s, uint16_t id)
{
    pv_list_each (it, &s->replies)
        must(s->lied || pv_get16(REPLY(it)->query) != id,
             "id %u was used again on a connection that had not answered it", id);
}

static void question(struct server *server, struct session *s, struct net_host *host, uint64_t sock,
                     const uint8_t *bytes, size_t length)
{
    struct reply *r = own_alloc(sizeof *r + length);
    char name[PV_NAME_TEXT];
    memcpy(r->query, bytes, length);
    r->length = length;
    r->server = server;
    r->session = s;
    r->host = host;
    r->sock = sock;
    pv_list_init(&r->link);
    pv_query_parse(&r->view, r->query, length);
    must(r->view.fault == PV_FINE, "a query was sent that is none (fault %d)", r->view.fault);
    pv_name_to_text(r->view.question.name, name);
    server->heard(server->arg, server, &r->view, s != NULL);
    if (s)
        check_id(s, pv_get16(bytes));
    ++*(r->view.question.name_length == 1 ? &server->probes : &server->questions);
    decide(server, r);
    trace("server %s: asked for %s %u id %u%s", server->name, name, r->view.question.type,
          pv_get16(bytes), s ? "" : " (datagram)");
    if (!s && r->manner == BY_SILENCE) {
        reply_free(r);
        return;
    }
    if (s)
        pv_list_append(&s->replies, &r->link);
    else
        pv_list_append(&server->datagrams, &r->link);
    if (r->manner == BY_SILENCE)
        return;
    uint64_t from = now_of(server), wait = server->mood.delay_us;
    wait += between(&server->dice, 0, server->mood.delay_more_us);
    if (s && server->mood.one_by_one && s->busy_until > from)
        from = s->busy_until;
    if (s)
        s->busy_until = from + wait;
    agenda_set(agenda_of(server), &r->task, from + wait, answer);
}

static void datagram(struct net_host *h, uint64_t sock, const uint8_t *bytes, size_t n)
{
    question(h->server, NULL, h, sock, bytes, n);
}

/* ---- octets of a stream ---- */

static void take_frames(struct session *s, const uint8_t *bytes, size_t n)
{
    uint8_t *in = own_alloc(s->in_length + n);
    if (s->in_length)
        memcpy(in, s->in, s->in_length);
    memcpy(in + s->in_length, bytes, n);
    own_free(s->in);
    s->in = in;
    s->in_length += n;
    size_t at = 0;
    for (; s->in_length - at >= 2; at += 2 + pv_get16(s->in + at)) {
        size_t length = pv_get16(s->in + at);
        if (s->in_length - at < 2 + length)
            break;
        question(s->server, s, NULL, 0, s->in + at + 2, length);
    }
    s->in_length -= at;
    memmove(s->in, s->in + at, s->in_length);
}

static void take_records(struct session *s, const uint8_t *bytes, size_t n)
{
    static uint8_t plain[16384];
    size_t moved;
    BIO_write(SSL_get_rbio(s->ssl), bytes, (int)n);
    ERR_clear_error();
    int result;
    while ((result = SSL_read_ex(s->ssl, plain, sizeof plain, &moved)) == 1)
        take_frames(s, plain, moved);
    int error = SSL_get_error(s->ssl, result);
    drain(s, 0, 0);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        session_end(s, NET_CLOSE);
}

static void received(void *arg, const uint8_t *bytes, size_t n)
{
    struct session *s = arg;
    static const char greeting[] = "220 mail.example ready\r\n";
    if (s->mute)
        return;
    agenda_clear(agenda_of(s->server), &s->idle);
    if (s->ssl) {
        take_records(s, bytes, n);
    } else if (s->server->tls) { /* no TLS is spoken here */
        net_send(s->conn, greeting, sizeof greeting - 1);
        session_end(s, NET_CLOSE);
    } else {
        take_frames(s, bytes, n);
    }
}

/* ---- life ---- */

static const struct net_service service = {accepted, received, closed, datagram};

static void make_contexts(struct server *s)
{
    SSL_CTX_free(s->ctx);
    SSL_CTX_free(s->wrong_ctx);
    s->ctx = crypto_server(false, s->tls12);
    s->wrong_ctx = crypto_server(true, s->tls12);
}

void server_init(struct server *s, unsigned number, bool tls, bool tls12, struct net *net,
                 struct ledger *ledger, struct dice dice)
{
    *s = (struct server){
        .number = number, .tls = tls, .tls12 = tls12, .net = net, .ledger = ledger, .dice = dice};
    snprintf(s->name, sizeof s->name, "%c", 'a' + (int)number);
    pv_list_init(&s->sessions);
    pv_list_init(&s->datagrams);
    if (tls)
        make_contexts(s);
    s->healthy_since = UINT64_MAX;
}

void server_done(struct server *s)
{
    pv_list_each_safe (it, &s->sessions)
        session_free(SESSION(it));
    pv_list_each_safe (it, &s->datagrams)
        reply_free(REPLY(it));
    for (unsigned i = 0; i < s->host_count; i++)
        pv_list_remove(&s->hosts[i].link);
    SSL_CTX_free(s->ctx);
    SSL_CTX_free(s->wrong_ctx);
}

void server_add_host(struct server *s, const struct pv_addr *address, enum net_way always)
{
    struct net_host *h = &s->hosts[s->host_count];
    *h = (struct net_host){.address = *address,
                           .path = &s->mood.path,
                           .always = always,
                           .service = &service,
                           .server = s};
    s->addresses[s->host_count++] = *address;
    net_add(s->net, h);
}

void server_end_all(struct server *s, enum net_end how)
{
    s->disturbed = now_of(s);
    pv_list_each_safe (it, &s->sessions)
        session_end(SESSION(it), how);
}

void server_silence_all(struct server *s, bool silent)
{
    s->disturbed = now_of(s);
    pv_list_each (it, &s->sessions)
        net_silence(SESSION(it)->conn, silent);
}

void server_relent(struct server *s)
{
    pv_list_each (it, &s->sessions) {
        pv_list_each (at, &SESSION(it)->replies) {
            struct reply *r = REPLY(at);
            r->manner = r->manner == BY_SILENCE ? BY_SILENCE : BY_WHOLE;
            if (r->wording.content >= SAYS_ERROR) {
                r->wording.content = SAYS_ANSWER;
                r->wording.rcode = 0;
            }
        }
    }
}

void server_end_broken(struct server *s)
{
    pv_list_each_safe (it, &s->sessions) {
        struct session *c = SESSION(it);
        if (c->out_of_step || c->mute)
            session_end(c, NET_RESET);
    }
}

void server_restart(struct server *s)
{
    server_end_all(s, roll(&s->dice, 2) ? NET_RESET : NET_CLOSE);
    if (s->tls)
        make_contexts(s);
}

bool server_may_be_doubted(const struct server *s)
{
    pv_list_each (it, &s->sessions) {
        if (SESSION(it)->lied || SESSION(it)->out_of_step)
            return true;
    }
    return now_of(s) <= s->lied_until;
}
