#include "net/tls.h"

#include "build_date.generated.h"
#include "net/ticket.h"
#include "net/trust.h"
#include "net/watch.h"

#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

/* Handshake messages a server may send after the handshake without any data between them. */
enum { MESSAGE_BUDGET = 64 };
enum { RECORD = 16384 }; /* octets of data at most */
enum { AT_ONCE_US = 1000000 };

struct pv_tls_context {
    unsigned refs; /* the owner and each session */
    struct pv_loop *loop;
    const struct pv_tls_trust *trust;
    SSL_CTX *ssl_ctx;
    char alpn[16];
    bool alpn_required;
    struct pv_tickets tickets;

    struct pv_identity *identity; /* NULL: none */
    unsigned generation;          /* of it, when the tickets were given */
    struct pv_watch *watch;
    struct pv_deferred renewal;
    void (*renewed)(void *arg);
    void *renewed_arg;
};

struct pv_tls {
    struct pv_tls_context *context;
    struct pv_sock *sock;
    SSL *ssl;
    struct pv_addr local;
    bool done;           /* handshake over, peer authenticated */
    SSL_SESSION *early;  /* a session that came before both sides are content */
    unsigned generation; /* of our identity, or an older one */
    unsigned wants, messages;
    bool flooded, at_end; /* what the BIO met */
    bool offered;         /* a session to resume */
    bool asked_before;    /* when that began, the server wanted to see a certificate */
    bool wrote, heard;    /* data, since the handshake */
    uint64_t since;       /* µs: its end */
    int sock_error;
    struct pv_tls_facts facts;
    enum pv_tls_fault fault;
    char reason[128];
};

/* ---- a BIO over the sock, so that the seam of net/sock holds for TLS too ---- */

static int bio_send(BIO *bio, const char *bytes, int n)
{
    struct pv_tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t sent = pv_sock_send(t->sock, bytes, (size_t)n);
    if (sent > 0)
        return (int)sent;
    if (sent == 0 || errno == EAGAIN || errno == EINTR)
        BIO_set_retry_write(bio);
    else
        t->sock_error = errno;
    return -1;
}

static int bio_recv(BIO *bio, char *bytes, int n)
{
    struct pv_tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (t->flooded)
        return -1;
    ssize_t received = pv_sock_recv(t->sock, bytes, (size_t)n);
    if (received > 0)
        return (int)received;
    if (received == 0)
        t->at_end = true;
    else if (errno == EAGAIN || errno == EINTR)
        BIO_set_retry_read(bio);
    else
        t->sock_error = errno;
    return received == 0 ? 0 : -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *arg)
{
    (void)number, (void)arg;
    const struct pv_tls *t = BIO_get_data(bio);
    if (command == BIO_CTRL_EOF)
        return t->at_end;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *new_bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "pv_sock");
    if (!m)
        return NULL;
    BIO_meth_set_write(m, bio_send);
    BIO_meth_set_read(m, bio_recv);
    BIO_meth_set_ctrl(m, bio_ctrl);
    return m;
}

/* The same for all; made when it is first needed and there is memory for it. */
static BIO_METHOD *bio_method(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static BIO_METHOD *method;
    pthread_mutex_lock(&lock);
    if (!method)
        method = new_bio_method();
    BIO_METHOD *m = method;
    pthread_mutex_unlock(&lock);
    return m;
}

static bool attach_bio(struct pv_tls *t)
{
    BIO_METHOD *method = bio_method();
    BIO *bio = method ? BIO_new(method) : NULL;
    if (!bio)
        return false;
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    return true;
}

/* ---- context ---- */

/* In TLS 1.2 the ticket comes before we have seen all; and a server that wants to see our
 * certificate gives tickets before it says what it thinks of it: only data is its consent. */
static bool is_settled(const struct pv_tls *t)
{
    return t->done && (!t->facts.asked || t->heard);
}

/* It lets the identity live on that it was given to: not beyond its time [V10]. */
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
    if (!t->ssl || !attach_bio(t) || !SSL_set_app_data(t->ssl, t))
        return false;
    SSL_set_connect_state(t->ssl);
    if (trust->name && !SSL_set_tlsext_host_name(t->ssl, trust->name))
        return false;
    if (pv_sock_local(t->sock, &t->local))
        offer_ticket(t);
    return true;
}

static int fail(struct pv_tls *t, enum pv_tls_fault fault, const char *format, ...) PV_PRINTF(3, 4);

static void check_identity(struct pv_tls *t)
{
    struct pv_tls_context *c = t->context;
    if (!c->identity)
        return;
    pv_identity_refresh_sometimes(c->identity, pv_age_now(c->loop));
    notice_change(c);
    if (pv_identity_expired(c->identity))
        fail(t, PV_TLS_UNTRUSTED, "our client certificate has expired");
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

/* ---- what went wrong, in plain words ---- */

static int fail(struct pv_tls *t, enum pv_tls_fault fault, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(t->reason, sizeof t->reason, format, args);
    va_end(args);
    t->fault = fault;
    t->wants = 0;
    return -1;
}

static int fail_untrusted(struct pv_tls *t, long verdict)
{
    char text[PV_ADDR_TEXT];
    switch (verdict) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return fail(t, PV_TLS_UNTRUSTED, "certificate is for another name (expected %s)",
                    pv_tls_trust_expected(t->context->trust, text));
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return fail(t, PV_TLS_UNTRUSTED, "certificate has expired");
    case X509_V_ERR_CERT_NOT_YET_VALID:
        if (time(NULL) < PV_BUILD_DATE)
            return fail(t, PV_TLS_UNTRUSTED,
                        "system clock before build date: no certificate is valid yet");
        return fail(t, PV_TLS_UNTRUSTED,
                    "server certificate is not yet valid: is the clock right?");
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return fail(t, PV_TLS_UNTRUSTED, "self-signed certificate");
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return fail(t, PV_TLS_UNTRUSTED, "certificate is signed by an unknown authority");
    default:
        return fail(t, PV_TLS_UNTRUSTED, "certificate: %s", X509_verify_cert_error_string(verdict));
    }
}

static int fail_sock(struct pv_tls *t, int error)
{
    const char *when = t->done ? "" : " during the TLS handshake";
    if (error == ECONNRESET || error == EPIPE)
        return fail(t, PV_TLS_NETWORK, "connection reset by the server%s", when);
    if (error == ENOMEM || error == ENOBUFS)
        return fail(t, PV_TLS_NO_MEMORY, "no memory");
    return fail(t, PV_TLS_NETWORK, "%s%s", strerror(error), when);
}

/* Is it about our certificate? In TLS 1.3 the server's verdict comes after the handshake
 * [RFC 8446 §4.4.2.4]. */
static bool is_verdict(const struct pv_tls *t, int alert)
{
    switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
        return t->facts.asked || t->done;
    case SSL_AD_HANDSHAKE_FAILURE: /* TLS 1.2 has no word for it */
    case SSL_AD_DECRYPT_ERROR:     /* our signature */
        return t->facts.asked && !t->heard;
    case SSL_AD_CERTIFICATE_REQUIRED:
        return true;
    default:
        return false;
    }
}

static bool accepts_issuer(const struct pv_tls *t)
{
    const STACK_OF(X509_NAME) *accepted = SSL_get0_peer_CA_list(t->ssl);
    X509 *leaf = SSL_get_certificate(t->ssl);
    if (!leaf || sk_X509_NAME_num(accepted) <= 0)
        return true; /* it does not say */
    for (int i = 0; i < sk_X509_NAME_num(accepted); i++)
        if (X509_NAME_cmp(sk_X509_NAME_value(accepted, i), X509_get_issuer_name(leaf)) == 0)
            return true;
    return false;
}

static int fail_refused(struct pv_tls *t, const char *why)
{
    if (!t->context->identity)
        return fail(t, PV_TLS_UNTRUSTED,
                    "the server demands a client certificate, none is configured");
    return fail(t, PV_TLS_UNTRUSTED, "the server rejected our certificate: %s%s", why,
                accepts_issuer(t) ? "" : "; it accepts other issuers");
}

/* It asked, was shown one or not, and closed without a word: at once, or when it was asked
 * something. */
static bool is_silent_verdict(const struct pv_tls *t)
{
    bool closed = t->at_end || t->fault == PV_TLS_CLOSED || t->sock_error == ECONNRESET ||
                  t->sock_error == EPIPE;
    bool at_once = pv_now(t->context->loop) < t->since + AT_ONCE_US;
    return closed && t->done && t->facts.asked && !t->heard && (t->wrote || at_once);
}

static int fail_silently_refused(struct pv_tls *t)
{
    if (!t->context->identity)
        return fail(t, PV_TLS_UNTRUSTED,
                    "closed without an answer: the server asks for a client certificate, none is "
                    "configured");
    return fail(t, PV_TLS_UNTRUSTED,
                "closed without an answer: does the server accept our certificate?%s",
                accepts_issuer(t) ? "" : " It accepts other issuers");
}

/* A client certificate raises the bar: TLS 1.2 would show it to everybody on the way. */
static const char *older_text(const struct pv_tls *t)
{
    return t->context->trust->tls13_only ? "the server speaks no TLS 1.3, which is asked of it"
                                         : "the server speaks only an older TLS than allowed";
}

/* OpenSSL's reason codes are mostly jargon; these happen in practice. */
static int fail_protocol(struct pv_tls *t, int reason)
{
    if (reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256) {
        int alert = reason - SSL_AD_REASON_OFFSET;
        const char *text = SSL_alert_desc_string_long(alert);
        if (is_verdict(t, alert))
            return fail_refused(t, text);
        if (alert == SSL_AD_PROTOCOL_VERSION)
            return fail(t, PV_TLS_PROTOCOL, "%s", older_text(t));
        if (strcmp(text, "unknown") == 0)
            return fail(t, PV_TLS_PROTOCOL, "TLS alert: number %d", alert);
        return fail(t, PV_TLS_PROTOCOL, "TLS alert: %s", text);
    }
    switch (reason) {
    case ERR_R_MALLOC_FAILURE:
        return fail(t, PV_TLS_NO_MEMORY, "no memory");
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_BAD_PROTOCOL_VERSION_NUMBER:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_HTTP_REQUEST:
        if (!t->done)
            return fail(t, PV_TLS_PROTOCOL, "no TLS: the server talks something else");
        break;
    case SSL_R_UNSUPPORTED_PROTOCOL:
        return fail(t, PV_TLS_PROTOCOL, "%s", older_text(t));
    }
    const char *text = ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, reason));
    return fail(t, PV_TLS_PROTOCOL, "TLS: %s", text ? text : "unknown error");
}

/* The reason of the first error OpenSSL's TLS noted, else of the first at all. */
static int first_reason(void)
{
    int reason = 0;
    unsigned long error;
    while ((error = ERR_get_error())) {
        if (ERR_GET_LIB(error) == ERR_LIB_SSL)
            return ERR_GET_REASON(error);
        if (!reason)
            reason = ERR_GET_REASON(error);
    }
    return reason;
}

/* What a call of SSL_... that moved nothing means: 0 wait, -1 over. */
static int classify(struct pv_tls *t, int result)
{
    int error = SSL_get_error(t->ssl, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        t->wants = error == SSL_ERROR_WANT_READ ? PV_SOCK_READ : PV_SOCK_WRITE;
        return 0;
    }
    int reason = first_reason();
    long verdict = SSL_get_verify_result(t->ssl);
    if (!t->done && verdict != X509_V_OK)
        return fail_untrusted(t, verdict);
    if (t->flooded)
        return fail(t, PV_TLS_PROTOCOL, "TLS: handshake messages without end");
    if (error == SSL_ERROR_ZERO_RETURN || t->at_end)
        return fail(t, PV_TLS_CLOSED, "closed by the server%s",
                    t->done ? "" : " during the TLS handshake");
    if (t->sock_error)
        return fail_sock(t, t->sock_error);
    return fail_protocol(t, reason);
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
        return fail_untrusted(t, X509_V_ERR_HOSTNAME_MISMATCH);
    if (!t->facts.resumed && !pv_tls_trust_pins_match(trust, t->ssl, server))
        return fail(t, PV_TLS_UNTRUSTED, "no pin matches (the server has %s)", server);
    if (!take_alpn(t))
        return fail(t, PV_TLS_PROTOCOL, "the server does not offer %s (ALPN)", t->context->alpn);
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
        return classify(t, result);
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

/* A failed write says no more than that the connection is gone; why, stands in what came before. */
static int read_failed(struct pv_tls *t, int result)
{
    bool broken = t->fault;
    int waits = classify(t, result);
    if ((t->fault == PV_TLS_CLOSED || t->fault == PV_TLS_NETWORK) && is_silent_verdict(t))
        return fail_silently_refused(t);
    return broken ? -1 : waits;
}

ssize_t pv_tls_read(struct pv_tls *t, void *bytes, size_t n)
{
    if (PV_BUG_IF(!t->done) || (t->fault && t->fault != PV_TLS_NETWORK))
        return -1;
    size_t moved;
    ERR_clear_error();
    t->sock_error = 0;
    int result = SSL_read_ex(t->ssl, bytes, n, &moved);
    if (result != 1)
        return read_failed(t, result);
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
    return result == 1 ? (ssize_t)moved : classify(t, result);
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
