/* RAND_set_rand_method() is deprecated in favour of providers, a hundred times its size. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto.h"

#include "dice.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct dice dice;

static int draw(unsigned char *out, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++, v >>= 8) {
        if (i % 8 == 0)
            v = dice_next(&dice);
        out[i] = (unsigned char)v;
    }
    return 1;
}

static int ready(void)
{
    return 1;
}

void crypto_seed(uint64_t seed)
{
    static const RAND_METHOD method = {.bytes = draw, .pseudorand = draw, .status = ready};
    RAND_set_rand_method(&method);
    dice = dice_for(seed, 1);
}

/* ---- two certificates, the same in every process ---- */

static EVP_PKEY *key(bool wrong)
{
    static EVP_PKEY *keys[2];
    unsigned char raw[32];
    memset(raw, wrong ? 2 : 1, sizeof raw);
    if (!keys[wrong])
        keys[wrong] = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, raw, sizeof raw);
    return keys[wrong];
}

static X509 *make(bool wrong)
{
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    ASN1_TIME_set_string(X509_getm_notBefore(x), "20200101000000Z");
    ASN1_TIME_set_string(X509_getm_notAfter(x), "99991231235959Z");
    X509_set_pubkey(x, key(wrong));
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"sim", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:*.sim.test");
    if (!names || !X509_add_ext(x, names, -1) || !X509_sign(x, key(wrong), NULL))
        abort();
    X509_EXTENSION_free(names);
    return x;
}

static X509 *certificate(bool wrong)
{
    static X509 *certificates[2];
    if (!certificates[wrong])
        certificates[wrong] = make(wrong);
    return certificates[wrong];
}

const char *crypto_pin(bool wrong)
{
    static char pins[2][52];
    unsigned char *der = NULL, hash[32];
    if (pins[wrong][0])
        return pins[wrong];
    int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate(wrong)), &der);
    if (length <= 0 || !EVP_Digest(der, (size_t)length, hash, NULL, EVP_sha256(), NULL))
        abort();
    OPENSSL_free(der);
    memcpy(pins[wrong], "sha256/", 7);
    EVP_EncodeBlock((unsigned char *)pins[wrong] + 7, hash, sizeof hash);
    return pins[wrong];
}

const char *crypto_ca_file(void)
{
    static char path[40];
    if (path[0])
        return path;
    int fd = memfd_create("sim-ca", 0);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file || !PEM_write_X509(file, certificate(false)) || fflush(file) != 0)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd); /* stays open */
    return path;
}

SSL_CTX *crypto_server(bool wrong_cert, bool tls12)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx || !SSL_CTX_use_certificate(ctx, certificate(wrong_cert)) ||
        !SSL_CTX_use_PrivateKey(ctx, key(wrong_cert)))
        abort();
    if (tls12)
        SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"sim", 3);
    SSL_CTX_set_num_tickets(ctx, 1);
    return ctx;
}
