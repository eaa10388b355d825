#include "net/trust.h"

#include <arpa/inet.h>
#include <openssl/kdf.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>

#define PIN_PREFIX "sha256/"

static bool initialized;

/* FETCHES(MD): static bool fetches_MD(const char *name) */
#define FETCHES(type)                                                                              \
    static bool fetches_##type(const char *name)                                                   \
    {                                                                                              \
        EVP_##type *it = EVP_##type##_fetch(NULL, name, NULL);                                     \
        EVP_##type##_free(it);                                                                     \
        return it;                                                                                 \
    }
FETCHES(MD)
FETCHES(CIPHER)
FETCHES(KDF)
FETCHES(MAC)
FETCHES(RAND)
FETCHES(KEYMGMT)
FETCHES(KEYEXCH)
FETCHES(SIGNATURE)

/* OpenSSL makes its list of each sort of algorithm when it needs the first one, and does without
 * what it has no memory for, until the process ends. Better now, while that can be told, than in
 * the first handshake. */
static bool has_algorithms(void)
{
    static const char *const digests[] = {"SHA1", "SHA224", "SHA256", "SHA384", "SHA512"};
    bool all = EVP_get_cipherbyname("AES-256-CBC");
    for (size_t i = 0; i < sizeof digests / sizeof *digests; i++)
        all = all && EVP_get_digestbyname(digests[i]);
    return all && fetches_MD("SHA256") && fetches_CIPHER("AES-128-GCM") &&
           fetches_KDF("TLS13-KDF") && fetches_MAC("HMAC") && fetches_RAND("CTR-DRBG") &&
           fetches_KEYMGMT("EC") && fetches_KEYEXCH("ECDH") && fetches_SIGNATURE("ECDSA");
}

static void init(void)
{
    /* Without a context OpenSSL would crash when asked for an algorithm. */
    initialized = OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1 &&
                  OSSL_LIB_CTX_get0_global_default() && has_algorithms();
}

bool pv_openssl_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init);
    return initialized;
}

/* ---- making one ---- */

static bool pin_parse(const char *text, uint8_t pin[PV_PIN_SIZE])
{
    size_t prefix = sizeof PIN_PREFIX - 1, length;
    if (strncmp(text, PIN_PREFIX, prefix) != 0)
        return false;
    const char *base64 = text + prefix, *end;
    return sodium_base642bin(pin, PV_PIN_SIZE, base64, strlen(base64), NULL, &length, &end,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           length == PV_PIN_SIZE && *end == '\0';
}

static enum privy_status take_pins(struct pv_tls_trust *t, const char *const *pins,
                                   struct privy_error *reterr)
{
    unsigned count = 0;
    while (pins && pins[count])
        count++;
    if (count == 0)
        return PRIVY_OK;
    t->pins = calloc(count, sizeof *t->pins);
    if (!t->pins)
        return pv_error(reterr, PRIVY_ENOMEM, "pins: no memory");
    for (; t->pin_count < count; t->pin_count++)
        if (!pin_parse(pins[t->pin_count], t->pins[t->pin_count]))
            return pv_error(reterr, PRIVY_EINVAL,
                            "pins: \"%.80s\" is not " PIN_PREFIX " and 44 characters of base64",
                            pins[t->pin_count]);
    return PRIVY_OK;
}

static bool take_hashes(struct pv_tls_trust *t, const struct pv_tls_trust_options *o)
{
    if (o->hash_count == 0)
        return true;
    t->hashes = calloc(o->hash_count, sizeof *t->hashes);
    if (!t->hashes)
        return false;
    memcpy(t->hashes, o->hashes, o->hash_count * sizeof *t->hashes);
    t->hash_count = o->hash_count;
    return true;
}

static bool take_address(struct pv_tls_trust *t, const char *text)
{
    unsigned char bytes[16];
    if (inet_pton(AF_INET, text, bytes) != 1 && inet_pton(AF_INET6, text, bytes) != 1)
        return false;
    t->has_address = pv_addr_parse(text, strlen(text), 0, &t->address);
    return t->has_address;
}

/* A name that is an address in words is looked for among the certificate's addresses. */
static bool take_name(struct pv_tls_trust *t, const struct pv_tls_trust_options *o)
{
    if (!o->name && o->address) {
        t->address = *o->address;
        t->has_address = true;
    }
    if (!o->name || take_address(t, o->name))
        return true;
    t->name = strdup(o->name);
    size_t length = t->name ? strlen(t->name) : 0;
    if (length > 1 && t->name[length - 1] == '.')
        t->name[length - 1] = '\0';
    return t->name;
}

static enum privy_status fill(struct pv_tls_trust *t, const struct pv_tls_trust_options *o,
                              struct privy_error *reterr)
{
    t->tls13_only = o->tls13_only;
    if (!take_name(t, o) || !take_hashes(t, o))
        return pv_error(reterr, PRIVY_ENOMEM, "tls_name: no memory");
    enum privy_status status = take_pins(t, o->pins, reterr);
    if (status != PRIVY_OK)
        return status;
    if (t->name || t->has_address)
        return pv_ca_set_get(o->ca_file, &t->cas, reterr);
    if (t->pin_count == 0)
        return pv_error(reterr, PRIVY_EINVAL,
                        "tls_name: no name, no address and no pin to know the server by");
    return PRIVY_OK;
}

enum privy_status pv_tls_trust_new(const struct pv_tls_trust_options *o, struct pv_tls_trust **ret,
                                   struct privy_error *reterr)
{
    if (!pv_openssl_init())
        return pv_error(reterr, PRIVY_ENOMEM, "OpenSSL cannot start: no memory");
    struct pv_tls_trust *t = calloc(1, sizeof *t);
    if (!t)
        return pv_error(reterr, PRIVY_ENOMEM, "no memory");
    enum privy_status status = fill(t, o, reterr);
    if (status == PRIVY_OK)
        *ret = t;
    else
        pv_tls_trust_free(t);
    return status;
}

void pv_tls_trust_free(struct pv_tls_trust *t)
{
    if (!t)
        return;
    pv_ca_set_unref(t->cas);
    free(t->name);
    free(t->pins);
    free(t->hashes);
    free(t);
}

/* ---- using it ---- */

/* Pin only: the chain proves nothing, the leaf's key is compared after the handshake, which has
 * shown that the server holds it. */
static int accept_any_chain(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

#define HOST_FLAGS (X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS)

static const uint8_t *octets_of(const struct pv_addr *a, size_t *ret_n)
{
    *ret_n = a->sa.sa_family == AF_INET ? 4 : 16;
    return a->sa.sa_family == AF_INET ? (const uint8_t *)&a->in.sin_addr
                                      : (const uint8_t *)&a->in6.sin6_addr;
}

static bool set_address(X509_VERIFY_PARAM *param, const struct pv_addr *a)
{
    size_t n;
    const uint8_t *octets = octets_of(a, &n);
    return X509_VERIFY_PARAM_set1_ip(param, octets, n);
}

bool pv_tls_trust_apply(const struct pv_tls_trust *t, SSL_CTX *ctx)
{
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (!t->cas) {
        SSL_CTX_set_cert_verify_callback(ctx, accept_any_chain, NULL);
        return true;
    }
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_depth(param, 4);
    X509_VERIFY_PARAM_set_hostflags(param, HOST_FLAGS);
    SSL_CTX_set1_cert_store(ctx, pv_ca_set_store(t->cas));
    return t->name ? X509_VERIFY_PARAM_set1_host(param, t->name, 0)
                   : set_address(param, &t->address);
}

const char *pv_tls_trust_expected(const struct pv_tls_trust *t, char out[PV_ADDR_TEXT])
{
    return t->name ? t->name : pv_addr_host(&t->address, out);
}

bool pv_tls_trust_names(const struct pv_tls_trust *t, SSL *ssl)
{
    X509 *leaf = SSL_get0_peer_certificate(ssl);
    size_t n;
    if (!t->cas)
        return true;
    if (!leaf)
        return false;
    if (t->name)
        return X509_check_host(leaf, t->name, 0, HOST_FLAGS, NULL) == 1;
    const uint8_t *octets = octets_of(&t->address, &n);
    return X509_check_ip(leaf, octets, n, 0) == 1;
}

static bool spki_hash(X509 *certificate, uint8_t hash[PV_PIN_SIZE])
{
    unsigned char *der = NULL;
    int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    if (length <= 0)
        return false;
    crypto_hash_sha256(hash, der, (unsigned long long)length);
    OPENSSL_free(der);
    return true;
}

static bool is_pinned(const struct pv_tls_trust *t, X509 *certificate)
{
    uint8_t hash[PV_PIN_SIZE];
    if (!spki_hash(certificate, hash))
        return false;
    for (unsigned i = 0; i < t->pin_count; i++)
        if (memcmp(t->pins[i], hash, sizeof hash) == 0)
            return true;
    return false;
}

static void pin_text(X509 *certificate, char out[PV_PIN_TEXT])
{
    uint8_t hash[PV_PIN_SIZE] = {0};
    spki_hash(certificate, hash);
    memcpy(out, PIN_PREFIX, sizeof PIN_PREFIX);
    sodium_bin2base64(out + sizeof PIN_PREFIX - 1, PV_PIN_TEXT - (sizeof PIN_PREFIX - 1), hash,
                      sizeof hash, sodium_base64_VARIANT_ORIGINAL);
}

bool pv_tls_trust_pins_match(const struct pv_tls_trust *t, SSL *ssl, char server[PV_PIN_TEXT])
{
    if (t->pin_count == 0)
        return true;
    X509 *leaf = SSL_get0_peer_certificate(ssl);
    STACK_OF(X509) *chain = t->cas ? SSL_get0_verified_chain(ssl) : NULL;
    if (!leaf)
        return false;
    pin_text(leaf, server);
    if (is_pinned(t, leaf))
        return true;
    for (int i = 1; chain && i < sk_X509_num(chain); i++)
        if (is_pinned(t, sk_X509_value(chain, i)))
            return true;
    return false;
}

/* The octets that were signed, as they came: the first element of the certificate's. (OpenSSL's own
 * way to them, i2d_re_X509_tbs, changes a certificate that other threads may be reading.) */
static bool signed_part_hash(X509 *certificate, uint8_t hash[PV_PIN_SIZE])
{
    unsigned char *der = NULL;
    int length = i2d_X509(certificate, &der), tag, class;
    if (length <= 0)
        return false;
    const unsigned char *at = der, *part;
    long inside;
    bool found = !(ASN1_get_object(&at, &inside, &tag, &class, length) & 0x80);
    part = at;
    found = found && !(ASN1_get_object(&at, &inside, &tag, &class, inside) & 0x80);
    if (found)
        crypto_hash_sha256(hash, part, (size_t)(at - part) + (size_t)inside);
    OPENSSL_free(der);
    return found;
}

bool pv_tls_trust_hashes_match(const struct pv_tls_trust *t, SSL *ssl)
{
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    if (t->hash_count == 0)
        return true;
    for (int i = 0; chain && i < sk_X509_num(chain); i++) {
        uint8_t hash[PV_PIN_SIZE];
        if (!signed_part_hash(sk_X509_value(chain, i), hash))
            return false;
        for (unsigned k = 0; k < t->hash_count; k++)
            if (memcmp(t->hashes[k], hash, sizeof hash) == 0)
                return true;
    }
    return false;
}
