#include "net/tls_session.h"

#include "net/trust.h"
#include "net/watch.h"

#include <openssl/err.h>
#include <string.h>

/* Handshake messages a server may send after the handshake without any data between them. */
enum { MESSAGE_BUDGET = 64 };
enum { RECORD = 16384 }; /* octets of data at most */

/* ---- context ---- */

/* In TLS 1.2 the ticket comes before we have seen all; and a server that wants to see our
 * certificate gives tickets before it says what it thinks of it: only data is its consent. */
static bool is_settled(const struct pv_tls *t)
{
    return t->done && (!t->facts.asked || t->heard);
}

/* It lets the identity live on that it was given to: not beyond its time. */
static void keep_session(struct pv_tls *t, SSL_SESSION *session)
{
    struct pv_tls_context *c = t->context;
    if (t->generation == c->generation)
        pv_tickets_add(&c->tickets, session, &t->local, t->facts.asked, pv_age_now(c->loop));
    else
        SSL_SESSION_free(session);
}

static void keep_early(struct pv_tls *t)
{
    if (!t->early || !is_settled(t))
        return;
    keep_session(t, t->early);
    t->early = NULL;
}

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct pv_tls *t = SSL_get_app_data(ssl);
    if (is_settled(t)) {
        keep_session(t, session);
        return 1;
    }
    SSL_SESSION_free(t->early);
    t->early = session;
    return 1; /* we keep the reference */
}

/* Runs exactly when the server asks for a certificate. */
static int on_certificate_request(SSL *ssl, void *arg)
{
    struct pv_tls *t = SSL_get_app_data(ssl);
    (void)arg;
    t->facts.asked = true;
    return !t->context->identity || pv_identity_use(t->context->identity, ssl);
}

static bool set_ciphers(SSL_CTX *ctx, bool tls13_only)
{
    SSL_CTX_set_security_level(ctx, 2);
    return SSL_CTX_set_min_proto_version(ctx, tls13_only ? TLS1_3_VERSION : TLS1_2_VERSION) &&
           SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20");
}

static void set_manners(SSL_CTX *ctx)
{
    /* An end without close_notify loses nothing that DNS messages' own lengths do not show, and
     * OpenSSL would spoil the session for it. */
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
#ifdef SSL_OP_NO_RX_CERTIFICATE_COMPRESSION /* OpenSSL 3.2 */
    SSL_CTX_set_options(ctx, SSL_OP_NO_RX_CERTIFICATE_COMPRESSION |
                                 SSL_OP_NO_TX_CERTIFICATE_COMPRESSION);
#endif
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_max_cert_list(ctx, 32 * 1024);
    SSL_CTX_set_timeout(ctx, PV_TICKET_LIFE);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_new_session);
    SSL_CTX_set_cert_cb(ctx, on_certificate_request, NULL);
}

static bool set_alpn(struct pv_tls_context *c, const char *alpn)
{
    size_t length = strlen(alpn);
    if (PV_BUG_IF(length >= sizeof c->alpn))
        return false;
    unsigned char list[1 + sizeof c->alpn] = {(unsigned char)length};
    memcpy(list + 1, alpn, length);
    memcpy(c->alpn, alpn, length + 1);
    return SSL_CTX_set_alpn_protos(c->ssl_ctx, list, (unsigned)length + 1) == 0;
}

struct pv_tls_context *pv_tls_context_new(struct pv_loop *loop, const struct pv_tls_trust *trust,
                                          const char *alpn, bool alpn_required)
{
    pv_openssl_init();
    struct pv_tls_context *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->refs = 1;
    c->loop = loop;
    c->trust = trust;
    c->alpn_required = alpn_required;
    c->ssl_ctx = SSL_CTX_new(TLS_client_method());
    if (!c->ssl_ctx || !set_ciphers(c->ssl_ctx, trust->tls13_only) ||
        !pv_tls_trust_apply(trust, c->ssl_ctx) || (alpn && !set_alpn(c, alpn))) {
        pv_tls_context_free(c);
        return NULL;
    }
    set_manners(c->ssl_ctx);
    return c;
}

static void context_unref(struct pv_tls_context *c)
{
    if (--c->refs > 0)
        return;
    pv_undefer(&c->renewal);
    pv_tickets_drop(&c->tickets);
    SSL_CTX_free(c->ssl_ctx);
    free(c);
}

void pv_tls_context_free(struct pv_tls_context *c)
{
    if (!c)
        return;
    pv_watch_free(c->watch);
    c->watch = NULL;
    c->renewed = NULL;
    context_unref(c);
}

void pv_tls_tickets_drop(struct pv_tls_context *c)
{
    pv_tickets_drop(&c->tickets);
}

/* ---- identity ---- */

static void run_renewal(struct pv_deferred *d)
{
    struct pv_tls_context *c = pv_container(d, struct pv_tls_context, renewal);
    if (c->renewed)
        c->renewed(c->renewed_arg);
}

static void notice_change(struct pv_tls_context *c)
{
    unsigned generation = pv_identity_generation(c->identity);
    if (c->generation == generation)
        return;
    c->generation = generation;
    pv_tickets_drop(&c->tickets);
    pv_defer(c->loop, &c->renewal, run_renewal);
}

void pv_tls_context_refresh(struct pv_tls_context *c)
{
    if (!c->identity)
        return;
    pv_identity_refresh(c->identity);
    notice_change(c);
}

static void on_files_changed(void *arg)
{
    pv_tls_context_refresh(arg);
}

void pv_tls_context_set_identity(struct pv_tls_context *c, struct pv_identity *identity,
                                 void (*renewed)(void *arg), void *arg)
{
    const struct pv_identity_options *files = pv_identity_files(identity);
    const char *const paths[] = {files->cert, files->key, files->passphrase_file, NULL};
    c->identity = identity;
    c->generation = pv_identity_generation(identity);
    c->renewed = renewed;
    c->renewed_arg = arg;
    c->watch = pv_watch_new(c->loop, paths, on_files_changed, c); /* NULL: each minute, then */
}

/* ---- session ---- */

static void offer_ticket(struct pv_tls *t)
{
    struct pv_tls_context *c = t->context;
    SSL_SESSION *session =
        pv_tickets_take(&c->tickets, &t->local, pv_age_now(c->loop), &t->asked_before);
    if (!session)
        return;
    t->offered = SSL_set_session(t->ssl, session) == 1;
    SSL_SESSION_free(session);
}

static bool begin(struct pv_tls *t)
{
    const struct pv_tls_trust *trust = t->context->trust;
    ERR_clear_error();
    t->ssl = SSL_new(t->context->ssl_ctx);
    if (!t->ssl || !pv_tls_attach(t) || !SSL_set_app_data(t->ssl, t))
        return false;
    SSL_set_connect_state(t->ssl);
    if (trust->name && !SSL_set_tlsext_host_name(t->ssl, trust->name))
        return false;
    if (pv_sock_local(t->sock, &t->local))
        offer_ticket(t);
    return true;
}

static void check_identity(struct pv_tls *t)
{
    struct pv_tls_context *c = t->context;
    if (!c->identity)
        return;
    pv_identity_refresh_sometimes(c->identity, pv_age_now(c->loop));
    notice_change(c);
    if (pv_identity_expired(c->identity))
        pv_tls_fail(t, PV_TLS_UNTRUSTED, "our client certificate has expired");
}

struct pv_tls *pv_tls_new(struct pv_tls_context *c, struct pv_sock *sock)
{
    struct pv_tls *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->context = c;
    c->refs++;
    t->sock = sock;
    t->wants = PV_SOCK_WRITE;
    check_identity(t); /* before a ticket is offered */
    t->generation = c->generation;
    if (begin(t))
        return t;
    pv_tls_free(t);
    return NULL;
}

/* Resumed, and no answer: the server may no longer take what the session stands for (our
 * certificate of then), and a full handshake would say so. */
static bool was_resumed_in_vain(const struct pv_tls *t)
{
    return t->offered && t->fault && !t->heard && (t->wrote || !t->done);
}

void pv_tls_free(struct pv_tls *t)
{
    if (!t)
        return;
    if (was_resumed_in_vain(t))
        pv_tickets_drop(&t->context->tickets);
    /* A connection that only broke leaves its session good; OpenSSL would think it bad. */
    if (t->ssl && t->done && t->fault != PV_TLS_PROTOCOL)
        SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(t->ssl);
    SSL_SESSION_free(t->early);
    context_unref(t->context);
    free(t);
}

enum pv_tls_fault pv_tls_fault(const struct pv_tls *t, const char **ret_reason)
{
    if (ret_reason)
        *ret_reason = t->reason;
    return t->fault;
}

/* ---- handshake ---- */

/* A server that sends key updates or tickets without end must not keep us busy for ever. */
static void on_message(int sent, int version, int type, const void *bytes, size_t length, SSL *ssl,
                       void *arg)
{
    (void)version, (void)bytes, (void)length, (void)ssl;
    struct pv_tls *t = arg;
    if (!sent && type == SSL3_RT_HANDSHAKE && ++t->messages > MESSAGE_BUDGET)
        t->flooded = true;
}

static bool take_alpn(struct pv_tls *t)
{
    const unsigned char *selected;
    unsigned length;
    SSL_get0_alpn_selected(t->ssl, &selected, &length);
    const struct pv_tls_context *c = t->context;
    if (length == 0)
        return !c->alpn_required;
    if (length != strlen(c->alpn) || memcmp(selected, c->alpn, length) != 0)
        return false;
    memcpy(t->facts.alpn, c->alpn, length + 1);
    return true;
}

/* OpenSSL is content: is the rest right too? A resumed session was kept from a connection that
 * passed under this same trust, so its pin has matched. */
static int authenticate(struct pv_tls *t)
{
    const struct pv_tls_trust *trust = t->context->trust;
    char server[PV_PIN_TEXT] = "";
    t->facts.resumed = SSL_session_reused(t->ssl);
    if (!t->facts.resumed && !pv_tls_trust_names(trust, t->ssl))
        return pv_tls_fail_untrusted(t, X509_V_ERR_HOSTNAME_MISMATCH);
    if (!t->facts.resumed && !pv_tls_trust_pins_match(trust, t->ssl, server))
        return pv_tls_fail(t, PV_TLS_UNTRUSTED, "no pin matches (the server has %s)", server);
    if (!t->facts.resumed && !pv_tls_trust_hashes_match(trust, t->ssl))
        return pv_tls_fail(t, PV_TLS_UNTRUSTED,
                           "no certificate in its chain is one that the stamp names");
    if (!take_alpn(t))
        return pv_tls_fail(t, PV_TLS_PROTOCOL, "the server does not offer %s (ALPN)",
                           t->context->alpn);
    t->facts.pinned = trust->pin_count > 0;
    t->facts.asked |= t->facts.resumed && t->asked_before;
    t->facts.client_auth = t->context->identity && t->facts.asked;
    if (t->context->identity)
        pv_identity_was_asked(t->context->identity, t->facts.asked);
    snprintf(t->facts.version, sizeof t->facts.version, "%s", SSL_get_version(t->ssl));
    return 1;
}

int pv_tls_handshake(struct pv_tls *t)
{
    if (t->done || t->fault)
        return t->fault ? -1 : 1;
    ERR_clear_error();
    int result = SSL_do_handshake(t->ssl);
    if (result != 1)
        return pv_tls_classify(t, result);
    if (authenticate(t) < 0)
        return -1;
    t->done = true;
    t->since = pv_now(t->context->loop);
    t->wants = PV_SOCK_READ;
    SSL_set_msg_callback(t->ssl, on_message);
    SSL_set_msg_callback_arg(t->ssl, t);
    keep_early(t);
    return 1;
}

/* ---- data ---- */

ssize_t pv_tls_read(struct pv_tls *t, void *bytes, size_t n)
{
    if (PV_BUG_IF(!t->done) || (t->fault && t->fault != PV_TLS_NETWORK))
        return -1;
    size_t moved;
    ERR_clear_error();
    t->sock_error = 0;
    int result = SSL_read_ex(t->ssl, bytes, n, &moved);
    if (result != 1)
        return pv_tls_read_failed(t, result);
    t->messages = 0;
    t->heard = true;
    keep_early(t);
    return (ssize_t)moved;
}

ssize_t pv_tls_write(struct pv_tls *t, const void *bytes, size_t n)
{
    if (PV_BUG_IF(!t->done) || t->fault)
        return -1;
    size_t moved;
    ERR_clear_error();
    int result = SSL_write_ex(t->ssl, bytes, n < RECORD ? n : RECORD, &moved);
    t->wrote |= result == 1;
    return result == 1 ? (ssize_t)moved : pv_tls_classify(t, result);
}

unsigned pv_tls_wants(const struct pv_tls *t)
{
    return t->wants;
}

void pv_tls_shutdown(struct pv_tls *t)
{
    if (!t->done || t->fault)
        return;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
    ERR_clear_error();
}

const struct pv_tls_facts *pv_tls_facts(const struct pv_tls *t)
{
    return &t->facts;
}
