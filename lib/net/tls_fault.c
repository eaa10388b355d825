/* What went wrong, in plain words. */
#include "net/tls_session.h"

#include "build_date.generated.h"
#include "net/trust.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

enum { AT_ONCE_US = 1000000 };

int pv_tls_fail(struct pv_tls *t, enum pv_tls_fault fault, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(t->reason, sizeof t->reason, format, args);
    va_end(args);
    t->fault = fault;
    t->wants = 0;
    return -1;
}

int pv_tls_fail_untrusted(struct pv_tls *t, long verdict)
{
    char text[PV_ADDR_TEXT];
    switch (verdict) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return pv_tls_fail(t, PV_TLS_UNTRUSTED, "certificate is for another name (expected %s)",
                           pv_tls_trust_expected(t->context->trust, text));
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return pv_tls_fail(t, PV_TLS_UNTRUSTED, "certificate has expired");
    case X509_V_ERR_CERT_NOT_YET_VALID:
        if (time(NULL) < PV_BUILD_DATE)
            return pv_tls_fail(t, PV_TLS_UNTRUSTED,
                               "system clock before build date: no certificate is valid yet");
        return pv_tls_fail(t, PV_TLS_UNTRUSTED,
                           "server certificate is not yet valid: is the clock right?");
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return pv_tls_fail(t, PV_TLS_UNTRUSTED, "self-signed certificate");
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return pv_tls_fail(t, PV_TLS_UNTRUSTED, "certificate is signed by an unknown authority");
    default:
        return pv_tls_fail(t, PV_TLS_UNTRUSTED, "certificate: %s",
                           X509_verify_cert_error_string(verdict));
    }
}

static int fail_sock(struct pv_tls *t, int error)
{
    const char *when = t->done ? "" : " during the TLS handshake";
    if (error == ECONNRESET || error == EPIPE)
        return pv_tls_fail(t, PV_TLS_NETWORK, "connection reset by the server%s", when);
    if (error == ENOMEM || error == ENOBUFS)
        return pv_tls_fail(t, PV_TLS_NO_MEMORY, "no memory");
    return pv_tls_fail(t, PV_TLS_NETWORK, "%s%s", strerror(error), when);
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
        return pv_tls_fail(t, PV_TLS_UNTRUSTED,
                           "the server demands a client certificate, none is configured");
    return pv_tls_fail(t, PV_TLS_UNTRUSTED, "the server rejected our certificate: %s%s", why,
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
        return pv_tls_fail(
            t, PV_TLS_UNTRUSTED,
            "closed without an answer: the server asks for a client certificate, none is "
            "configured");
    return pv_tls_fail(t, PV_TLS_UNTRUSTED,
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
            return pv_tls_fail(t, PV_TLS_PROTOCOL, "%s", older_text(t));
        if (strcmp(text, "unknown") == 0)
            return pv_tls_fail(t, PV_TLS_PROTOCOL, "TLS alert: number %d", alert);
        return pv_tls_fail(t, PV_TLS_PROTOCOL, "TLS alert: %s", text);
    }
    switch (reason) {
    case ERR_R_MALLOC_FAILURE:
        return pv_tls_fail(t, PV_TLS_NO_MEMORY, "no memory");
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_BAD_PROTOCOL_VERSION_NUMBER:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_HTTP_REQUEST:
        if (!t->done)
            return pv_tls_fail(t, PV_TLS_PROTOCOL, "no TLS: the server talks something else");
        break;
    case SSL_R_UNSUPPORTED_PROTOCOL:
        return pv_tls_fail(t, PV_TLS_PROTOCOL, "%s", older_text(t));
    }
    const char *text = ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, reason));
    return pv_tls_fail(t, PV_TLS_PROTOCOL, "TLS: %s", text ? text : "unknown error");
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

int pv_tls_classify(struct pv_tls *t, int result)
{
    int error = SSL_get_error(t->ssl, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        t->wants = error == SSL_ERROR_WANT_READ ? PV_SOCK_READ : PV_SOCK_WRITE;
        return 0;
    }
    int reason = first_reason();
    long verdict = SSL_get_verify_result(t->ssl);
    if (!t->done && verdict != X509_V_OK)
        return pv_tls_fail_untrusted(t, verdict);
    if (t->flooded)
        return pv_tls_fail(t, PV_TLS_PROTOCOL, "TLS: handshake messages without end");
    if (error == SSL_ERROR_ZERO_RETURN || t->at_end)
        return pv_tls_fail(t, PV_TLS_CLOSED, "closed by the server%s",
                           t->done ? "" : " during the TLS handshake");
    if (t->sock_error)
        return fail_sock(t, t->sock_error);
    return fail_protocol(t, reason);
}

/* A failed write says no more than that the connection is gone; why, stands in what came before. */
int pv_tls_read_failed(struct pv_tls *t, int result)
{
    bool broken = t->fault;
    int waits = pv_tls_classify(t, result);
    if ((t->fault == PV_TLS_CLOSED || t->fault == PV_TLS_NETWORK) && is_silent_verdict(t))
        return fail_silently_refused(t);
    return broken ? -1 : waits;
}
