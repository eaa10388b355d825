#include "peer.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST(x)                                                                                    \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                \
            ERR_print_errors_fp(stderr);                                                           \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- certificates ---- */

static void extend(X509 *x, const struct cert *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer ? issuer->x509 : x, x, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    MUST(extension && X509_add_ext(x, extension, -1));
    X509_EXTENSION_free(extension);
}

struct cert cert_make(const struct cert_options *o)
{
    static atomic_long serial = 1;
    struct cert c = {X509_new(), EVP_EC_gen("P-256")};
    MUST(c.x509 && c.key);
    int from = o->from_day || o->to_day ? o->from_day : -1;
    int to = o->from_day || o->to_day ? o->to_day : 30;
    X509_set_version(c.x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c.x509), atomic_fetch_add(&serial, 1));
    X509_gmtime_adj(X509_getm_notBefore(c.x509), from * 86400L);
    X509_gmtime_adj(X509_getm_notAfter(c.x509), to * 86400L);
    X509_set_pubkey(c.x509, c.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(c.x509), "CN", MBSTRING_ASC,
                               (const unsigned char *)o->common_name, -1, -1, 0);
    const struct cert *issuer = o->issuer ? o->issuer : &c;
    X509_set_issuer_name(c.x509, X509_get_subject_name(issuer->x509));
    extend(c.x509, o->issuer, NID_basic_constraints, o->ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (o->alt)
        extend(c.x509, o->issuer, NID_subject_alt_name, o->alt);
    if (o->usage)
        extend(c.x509, o->issuer, NID_ext_key_usage, o->usage);
    MUST(X509_sign(c.x509, issuer->key, EVP_sha256()));
    return c;
}

void cert_done(struct cert *c)
{
    X509_free(c->x509);
    EVP_PKEY_free(c->key);
}

void cert_pin(const struct cert *c, char out[52])
{
    unsigned char *der = NULL, hash[SHA256_DIGEST_LENGTH];
    int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(c->x509), &der);
    MUST(length > 0);
    SHA256(der, (size_t)length, hash);
    OPENSSL_free(der);
    memcpy(out, "sha256/", 7);
    EVP_EncodeBlock((unsigned char *)out + 7, hash, sizeof hash);
}

void cert_write(const struct cert *c, const char *path)
{
    FILE *file = fopen(path, "w");
    MUST(file && PEM_write_X509(file, c->x509));
    fclose(file);
}

/* ---- servers ---- */

void peer_echo(struct peer *p, SSL *ssl, int fd)
{
    char bytes[16384];
    for (;;) {
        long n = ssl ? SSL_read(ssl, bytes, sizeof bytes) : read(fd, bytes, sizeof bytes);
        if (n <= 0) {
            if (ssl && SSL_get_error(ssl, (int)n) != SSL_ERROR_ZERO_RETURN)
                p->unclean = true;
            return;
        }
        if ((ssl ? SSL_write(ssl, bytes, (int)n) : write(fd, bytes, (size_t)n)) != n)
            return;
    }
}

/* FNV-1a: enough to tell tickets apart. */
static uint64_t fingerprint(const unsigned char *bytes, size_t n)
{
    uint64_t hash = 14695981039346656037u;
    while (n--)
        hash = (hash ^ *bytes++) * 1099511628211u;
    return hash;
}

static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    struct peer *p = arg;
    const unsigned char *psk;
    size_t length;
    p->hellos++;
    p->early += SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_early_data, &psk, &length) == 1;
    if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_psk, &psk, &length) || length < 4)
        return SSL_CLIENT_HELLO_SUCCESS;
    size_t id_length = (size_t)psk[2] << 8 | psk[3];
    uint64_t ticket = fingerprint(psk + 4, id_length);
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < p->ticket_count; i++)
        p->tickets_again += p->tickets[i] == ticket;
    if (p->ticket_count < PEER_TICKETS)
        p->tickets[p->ticket_count++] = ticket;
    pthread_mutex_unlock(&p->lock);
    return SSL_CLIENT_HELLO_SUCCESS;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_length,
                   const unsigned char *in, unsigned in_length, void *arg)
{
    (void)ssl, (void)in, (void)in_length;
    const struct peer *p = arg;
    if (!p->options.alpn)
        return SSL_TLSEXT_ERR_NOACK;
    if (!*p->options.alpn)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = (const unsigned char *)p->options.alpn;
    *out_length = (unsigned char)strlen(p->options.alpn);
    return SSL_TLSEXT_ERR_OK;
}

static int on_sni(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    struct peer *p = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    pthread_mutex_lock(&p->lock);
    snprintf(p->sni, sizeof p->sni, "%s", name ? name : "");
    pthread_mutex_unlock(&p->lock);
    return SSL_TLSEXT_ERR_OK;
}

static void on_message(int sent, int version, int type, const void *bytes, size_t length, SSL *ssl,
                       void *arg)
{
    (void)version, (void)ssl, (void)length;
    struct peer *p = arg;
    if (!sent && type == SSL3_RT_INNER_CONTENT_TYPE &&
        *(const unsigned char *)bytes == SSL3_RT_APPLICATION_DATA)
        p->data_records++;
}

static int on_client_certificate(X509_STORE_CTX *store, void *arg)
{
    const struct peer *p = arg;
    X509_STORE_CTX_set_error(store, p->options.verdict);
    return p->options.verdict == X509_V_OK;
}

static void make_context(struct peer *p)
{
    const struct peer_options *o = &p->options;
    p->ctx = SSL_CTX_new(TLS_server_method());
    MUST(p->ctx && SSL_CTX_use_certificate(p->ctx, o->cert->x509) &&
         SSL_CTX_use_PrivateKey(p->ctx, o->cert->key));
    if (o->chain)
        MUST(SSL_CTX_add1_chain_cert(p->ctx, o->chain->x509));
    if (o->version)
        MUST(SSL_CTX_set_min_proto_version(p->ctx, o->version) &&
             SSL_CTX_set_max_proto_version(p->ctx, o->version));
    SSL_CTX_set_session_id_context(p->ctx, (const unsigned char *)"peer", 4);
    SSL_CTX_set_client_hello_cb(p->ctx, on_client_hello, p);
    SSL_CTX_set_alpn_select_cb(p->ctx, on_alpn, p);
    SSL_CTX_set_tlsext_servername_callback(p->ctx, on_sni);
    SSL_CTX_set_tlsext_servername_arg(p->ctx, p);
    SSL_CTX_set_msg_callback(p->ctx, on_message);
    if (o->early_data) {
        SSL_CTX_set_options(p->ctx, SSL_OP_NO_ANTI_REPLAY); /* tickets that stand alone */
        MUST(SSL_CTX_set_max_early_data(p->ctx, 16384));
    }
    if (o->wants_client_cert)
        SSL_CTX_set_verify(p->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(p->ctx, on_client_certificate, p);
}

struct accepted {
    struct peer *peer;
    int fd;
};

static void note_client(struct peer *p, SSL *ssl)
{
    X509 *leaf = SSL_get0_peer_certificate(ssl);
    pthread_mutex_lock(&p->lock);
    p->client[0] = '\0';
    if (leaf)
        X509_NAME_get_text_by_NID(X509_get_subject_name(leaf), NID_commonName, p->client,
                                  sizeof p->client);
    pthread_mutex_unlock(&p->lock);
}

static void serve_tls(struct peer *p, int fd)
{
    SSL *ssl = SSL_new(p->ctx);
    MUST(ssl && SSL_set_fd(ssl, fd));
    SSL_set_msg_callback_arg(ssl, p);
    if (SSL_accept(ssl) == 1) {
        note_client(p, ssl);
        p->handshakes++;
        p->resumed += (unsigned)SSL_session_reused(ssl);
        p->options.serve(p, ssl, fd);
    } else {
        p->failed++;
    }
    SSL_free(ssl);
    ERR_clear_error();
}

static void *connection_thread(void *arg)
{
    struct accepted a = *(struct accepted *)arg;
    free(arg);
    /* Here only: the side under test must not raise it. */
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    if (a.peer->ctx)
        serve_tls(a.peer, a.fd);
    else
        a.peer->options.serve(a.peer, NULL, a.fd);
    close(a.fd);
    a.peer->ended++;
    return NULL;
}

static void *listener_thread(void *arg)
{
    struct peer *p = arg;
    for (;;) {
        int fd = accept(p->listener, NULL, NULL);
        if (fd < 0) /* shut down by peer_stop() */
            return NULL;
        struct accepted *a = malloc(sizeof *a);
        MUST(a && p->accepted < PEER_CONNECTIONS);
        *a = (struct accepted){p, fd};
        MUST(pthread_create(&p->threads[p->accepted], NULL, connection_thread, a) == 0);
        p->accepted++;
    }
}

static int bind_any(uint16_t *ret_port)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = in6addr_any};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof any;
    int off = 0, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        MUST(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0);
        MUST(bind(fd, (struct sockaddr *)&any, sizeof any) == 0);
    } else { /* a machine without IPv6 */
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        MUST(fd >= 0 && bind(fd, (struct sockaddr *)&any4, sizeof any4) == 0);
    }
    MUST(getsockname(fd, (struct sockaddr *)&any, &size) == 0);
    *ret_port = ntohs(any.sin6_port); /* at the same place in both families */
    return fd;
}

struct peer *peer_start(const struct peer_options *o)
{
    struct peer *p = calloc(1, sizeof *p);
    MUST(p);
    p->options = *o;
    if (!o->serve)
        p->options.serve = peer_echo;
    pthread_mutex_init(&p->lock, NULL);
    if (o->cert)
        make_context(p);
    p->listener = bind_any(&p->port);
    MUST(listen(p->listener, 16) == 0);
    MUST(pthread_create(&p->thread, NULL, listener_thread, p) == 0);
    return p;
}

void peer_stop(struct peer *p)
{
    shutdown(p->listener, SHUT_RDWR);
    pthread_join(p->thread, NULL);
    close(p->listener);
    for (unsigned i = 0; i < p->accepted; i++)
        pthread_join(p->threads[i], NULL);
    SSL_CTX_free(p->ctx);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

struct pv_addr loopback(uint16_t port)
{
    return (struct pv_addr){.in = {.sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
}

struct pv_addr loopback6(uint16_t port)
{
    return (struct pv_addr){
        .in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback}};
}

uint16_t closed_port(void)
{
    uint16_t port;
    close(bind_any(&port));
    return port;
}
