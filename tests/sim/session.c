/* Connections, the server's end: how they begin, their TLS, how they end. */
#include "session.h"

#include "crypto.h"
#include "memory.h"
#include "report.h"

#include <openssl/err.h>

/* ---- the end ---- */

void session_free(struct session *s)
{
    const struct protocol *p = s->server->protocol;
    if (s->lied || s->out_of_step)
        s->server->lied_until = now_of(s->server) + 2 * S;
    pv_list_each_safe (it, &s->replies)
        answer_free(REPLY(it));
    if (p->end)
        p->end(s);
    agenda_clear(agenda_of(s->server), &s->idle);
    SSL_free(s->ssl);
    pv_list_remove(&s->link);
    s->server->session_count--;
    own_free(s->state);
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

void session_end(struct session *s, enum net_end how)
{
    const struct protocol *p = s->server->protocol;
    bool speaks = how == NET_CLOSE && (!s->ssl || SSL_is_init_finished(s->ssl));
    if (speaks && p->say_goodbye && roll(&s->server->dice, 2))
        p->say_goodbye(s);
    if (speaks && s->ssl && roll(&s->server->dice, 2)) {
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

void session_start_idle(struct session *s)
{
    struct server *server = s->server;
    if (server->mood.idle_us)
        agenda_set(agenda_of(server), &s->idle, now_of(server) + server->mood.idle_us, idle_fired);
}

/* ---- the beginning ---- */

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *length,
                       const unsigned char *offered, unsigned offered_length, void *arg)
{
    const struct server *s = arg;
    const char *ours = s->mood.no_alpn ? NULL : s->protocol->alpn;
    (void)ssl;
    for (unsigned i = 0; ours && i < offered_length; i += 1U + offered[i]) {
        *length = offered[i];
        *out = offered + i + 1;
        if (*length == strlen(ours) && memcmp(*out, ours, *length) == 0)
            return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

static int verify_client(X509_STORE_CTX *x, void *arg)
{
    const struct server *s = arg;
    bool good = crypto_identity_of(X509_STORE_CTX_get0_cert(x)) & server_accepts(s);
    X509_STORE_CTX_set_error(x, good ? X509_V_OK : X509_V_ERR_CERT_UNTRUSTED);
    return good;
}

void session_make_contexts(struct server *s)
{
    SSL_CTX_free(s->ctx);
    SSL_CTX_free(s->wrong_ctx);
    s->ctx = crypto_server(false, s->tls12);
    s->wrong_ctx = crypto_server(true, s->tls12);
    SSL_CTX_set_alpn_select_cb(s->ctx, select_alpn, s);
    SSL_CTX_set_alpn_select_cb(s->wrong_ctx, select_alpn, s);
    SSL_CTX_set_cert_verify_callback(s->ctx, verify_client, s);
}

static void start_tls(struct session *s)
{
    struct server *server = s->server;
    s->ssl = SSL_new(server->mood.wrong_cert ? server->wrong_ctx : server->ctx);
    SSL_set_bio(s->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(SSL_get_rbio(s->ssl), -1);
    SSL_set_accept_state(s->ssl);
    if (server_accepts(server) && !server->mood.wrong_cert)
        SSL_set_verify(s->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

static void draw_cut(struct session *s)
{
    struct dice *d = &s->server->dice;
    size_t after = roll(d, 2) ? roll(d, 200) : roll(d, s->server->protocol->tls ? 4000 : 1500);
    net_cut(s->conn, after + 1, (enum net_end)roll(d, 3));
}

static void *accepted(void *arg, struct net_conn *conn)
{
    struct server *server = arg;
    const struct protocol *p = server->protocol;
    const struct mood *m = &server->mood;
    struct dice *d = &server->dice;
    if (chance(d, m->slams) || (m->conns_most && server->session_count >= m->conns_most)) {
        net_end(conn, roll(d, 2) ? NET_RESET : NET_CLOSE);
        return NULL;
    }
    struct session *s = own_alloc(sizeof *s);
    s->server = server;
    s->conn = conn;
    s->mute = chance(d, m->mutes);
    s->state = own_alloc(p->state_size);
    pv_list_init(&s->replies);
    pv_list_append(&server->sessions, &s->link);
    server->session_count++;
    if (p->begin)
        p->begin(s);
    if (p->tls && !m->no_tls)
        start_tls(s);
    if (chance(d, m->cuts))
        draw_cut(s);
    if (m->stops_reading && roll(d, 2))
        net_read(conn, false);
    session_start_idle(s);
    return s;
}

/* ---- octets ---- */

void session_put(struct session *s, const uint8_t *bytes, size_t n, size_t step, uint64_t gap_us)
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

static void take_records(struct session *s, const uint8_t *bytes, size_t n)
{
    static uint8_t plain[16384];
    size_t moved;
    BIO_write(SSL_get_rbio(s->ssl), bytes, (int)n);
    ERR_clear_error();
    int result;
    bool good = true;
    while (good && (result = SSL_read_ex(s->ssl, plain, sizeof plain, &moved)) == 1)
        good = s->server->protocol->take(s, plain, moved);
    int error = good ? SSL_get_error(s->ssl, result) : SSL_ERROR_NONE;
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
    } else if (s->server->protocol->tls) { /* no TLS is spoken here */
        net_send(s->conn, greeting, sizeof greeting - 1);
        session_end(s, NET_CLOSE);
    } else if (!s->server->protocol->take(s, bytes, n)) {
        session_end(s, NET_CLOSE);
    }
}

static void datagram(struct net_host *h, uint64_t sock, const uint8_t *bytes, size_t n)
{
    const struct server *s = h->server;
    must(s->protocol->take_datagram, "server %s got a datagram", s->name);
    s->protocol->take_datagram(h, sock, bytes, n);
}

const struct net_service session_service = {accepted, received, closed, datagram};
