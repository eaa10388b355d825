/* net/tls.h without TLS: the sock's octets as they are, behind a handshake of one octet each way.
 * The server's is its verdict: 'h' a new session, 'r' a resumed one, 'u' not to be trusted, any
 * other: not TLS. */
#include "world.h"

#include "base/status.h"
#include "net/tls.h"

#include <errno.h>

struct pv_tls_context {
    unsigned sessions;
};

struct pv_tls {
    struct pv_tls_context *context;
    struct pv_sock *sock;
    bool greeted, done;
    unsigned wants;
    struct pv_tls_facts facts;
    enum pv_tls_fault fault;
};

enum privy_status pv_tls_trust_new(const struct pv_tls_trust_options *o, struct pv_tls_trust **ret,
                                   struct privy_error *reterr)
{
    (void)o, (void)reterr;
    *ret = NULL;
    return PRIVY_OK;
}

void pv_tls_trust_free(struct pv_tls_trust *trust)
{
    (void)trust;
}

struct pv_tls_context *pv_tls_context_new(struct pv_loop *loop, const struct pv_tls_trust *trust,
                                          const char *alpn, bool alpn_required)
{
    (void)loop, (void)trust, (void)alpn, (void)alpn_required;
    return calloc(1, sizeof(struct pv_tls_context));
}

void pv_tls_context_set_identity(struct pv_tls_context *c, struct pv_identity *identity,
                                 void (*renewed)(void *arg), void *arg)
{
    (void)c, (void)identity, (void)renewed, (void)arg;
}

void pv_tls_context_refresh(struct pv_tls_context *c)
{
    (void)c;
}

void pv_tls_context_free(struct pv_tls_context *c)
{
    PV_BUG_IF(c && c->sessions != 0);
    free(c);
}

void pv_tls_tickets_drop(struct pv_tls_context *c)
{
    (void)c;
}

struct pv_tls *pv_tls_new(struct pv_tls_context *c, struct pv_sock *sock)
{
    struct pv_tls *t = calloc(1, sizeof *t);
    PV_BUG_IF(!t);
    c->sessions++;
    t->context = c;
    t->sock = sock;
    t->wants = PV_SOCK_WRITE;
    snprintf(t->facts.version, sizeof t->facts.version, "none");
    return t;
}

void pv_tls_free(struct pv_tls *t)
{
    if (!t)
        return;
    t->context->sessions--;
    free(t);
}

static int fail(struct pv_tls *t, enum pv_tls_fault fault)
{
    t->fault = fault;
    return -1;
}

/* As the sock says: octets moved, 0 wait, -1 over. */
static ssize_t moved(struct pv_tls *t, ssize_t n, unsigned event)
{
    t->wants = n < 0 ? event : PV_SOCK_READ;
    if (n > 0)
        return n;
    if (n == 0)
        return fail(t, PV_TLS_CLOSED);
    return errno == EAGAIN ? 0 : fail(t, PV_TLS_NETWORK);
}

int pv_tls_handshake(struct pv_tls *t)
{
    char verdict;
    ssize_t n = 1;
    if (t->done || t->fault)
        return t->fault ? -1 : 1;
    if (!t->greeted)
        n = moved(t, pv_sock_send(t->sock, "?", 1), PV_SOCK_WRITE);
    if (!t->greeted && n == 1)
        pv_buf_consume(&t->sock->out, 1);
    t->greeted = n == 1;
    if (n == 1)
        n = moved(t, pv_sock_recv(t->sock, &verdict, 1), PV_SOCK_READ);
    if (n != 1)
        return (int)n;
    if (verdict != 'h' && verdict != 'r')
        return fail(t, verdict == 'u' ? PV_TLS_UNTRUSTED : PV_TLS_PROTOCOL);
    t->facts.resumed = verdict == 'r';
    t->done = true;
    return 1;
}

ssize_t pv_tls_read(struct pv_tls *t, void *bytes, size_t n)
{
    if (PV_BUG_IF(!t->done) || (t->fault && t->fault != PV_TLS_NETWORK))
        return -1;
    if (t->sock->rekeys && !t->sock->room) {
        t->wants = PV_SOCK_WRITE;
        return 0;
    }
    t->sock->rekeys = false;
    return moved(t, pv_sock_recv(t->sock, bytes, n), PV_SOCK_READ);
}

ssize_t pv_tls_write(struct pv_tls *t, const void *bytes, size_t n)
{
    if (PV_BUG_IF(!t->done) || t->fault)
        return -1;
    return moved(t, pv_sock_send(t->sock, bytes, n), PV_SOCK_WRITE);
}

unsigned pv_tls_wants(const struct pv_tls *t)
{
    return t->wants;
}

void pv_tls_shutdown(struct pv_tls *t)
{
    PV_BUG_IF(!t->done);
}

const struct pv_tls_facts *pv_tls_facts(const struct pv_tls *t)
{
    return &t->facts;
}

enum pv_tls_fault pv_tls_fault(const struct pv_tls *t, const char **ret_reason)
{
    if (ret_reason)
        *ret_reason = "a fault of the fuzzer's";
    return t->fault;
}
