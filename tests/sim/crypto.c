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
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

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

/* ---- certificates, the same in every process ---- */

enum who { SERVER, WRONG_SERVER, OLD_CLIENT, NEW_CLIENT, WHO };

static EVP_PKEY *key(enum who who)
{
    static EVP_PKEY *keys[WHO];
    unsigned char raw[32];
    memset(raw, (int)who + 1, sizeof raw);
    if (!keys[who])
        keys[who] = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, raw, sizeof raw);
    return keys[who];
}

static X509 *make(enum who who)
{
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    ASN1_TIME_set_string(X509_getm_notBefore(x), "20200101000000Z");
    ASN1_TIME_set_string(X509_getm_notAfter(x), "99991231235959Z");
    X509_set_pubkey(x, key(who));
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"sim", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:*.sim.test");
    if (!names || !X509_add_ext(x, names, -1) || !X509_sign(x, key(who), NULL))
        abort();
    X509_EXTENSION_free(names);
    return x;
}

static X509 *certificate(enum who who)
{
    static X509 *certificates[WHO];
    if (!certificates[who])
        certificates[who] = make(who);
    return certificates[who];
}

const char *crypto_pin(bool wrong)
{
    static char pins[2][52];
    unsigned char *der = NULL, hash[32];
    if (pins[wrong][0])
        return pins[wrong];
    int length =
        i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate(wrong ? WRONG_SERVER : SERVER)), &der);
    if (length <= 0 || !EVP_Digest(der, (size_t)length, hash, NULL, EVP_sha256(), NULL))
        abort();
    OPENSSL_free(der);
    memcpy(pins[wrong], "sha256/", 7);
    EVP_EncodeBlock((unsigned char *)pins[wrong] + 7, hash, sizeof hash);
    return pins[wrong];
}

/* ---- files, of no file system ---- */

int __real_clock_gettime(clockid_t, struct timespec *);
int __wrap_clock_gettime(clockid_t, struct timespec *);

/* They are old from the beginning: whether one has just been written is told by the time of day,
 * which is not the world's. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
    int failed = __real_clock_gettime(clock, ts);
    if (clock == CLOCK_REALTIME)
        ts->tv_sec += 60;
    return failed;
}

static void write_cert(FILE *file, enum who who)
{
    if (!PEM_write_X509(file, certificate(who)))
        abort();
}

static void write_key(FILE *file, enum who who)
{
    if (!PEM_write_PrivateKey(file, key(who), NULL, NULL, 0, NULL, NULL))
        abort();
}

/* Its descriptor; it stays open. */
static int make_file(void (*write)(FILE *, enum who), enum who who)
{
    int fd = memfd_create("sim", 0);
    FILE *file = fd < 0 || fchmod(fd, 0600) != 0 ? NULL : fdopen(fd, "w");
    if (!file)
        abort();
    write(file, who);
    if (fflush(file) != 0)
        abort();
    return fd;
}

const char *crypto_ca_file(void)
{
    static char path[40];
    if (!path[0])
        snprintf(path, sizeof path, "/proc/self/fd/%d", make_file(write_cert, SERVER));
    return path;
}

/* ---- clients ---- */

enum { IDENTITIES = 8 };

/* What the two names of an identity lead to changes with their descriptors. */
static struct {
    int cert, key;
    char cert_path[40], key_path[40];
} identities[IDENTITIES];

static void make_identity(unsigned i)
{
    identities[i].cert = make_file(write_cert, OLD_CLIENT);
    identities[i].key = make_file(write_key, OLD_CLIENT);
    snprintf(identities[i].cert_path, sizeof identities[i].cert_path, "/proc/self/fd/%d",
             identities[i].cert);
    snprintf(identities[i].key_path, sizeof identities[i].key_path, "/proc/self/fd/%d",
             identities[i].key);
}

void crypto_identity_files(unsigned i, const char **ret_cert, const char **ret_key)
{
    *ret_cert = identities[i].cert_path;
    *ret_key = identities[i].key_path;
}

void crypto_identity_set(unsigned i, bool new_cert, bool new_key)
{
    static int certs[2], keys[2];
    if (!certs[0]) {
        for (unsigned k = 0; k < 2; k++) {
            certs[k] = make_file(write_cert, OLD_CLIENT + k);
            keys[k] = make_file(write_key, OLD_CLIENT + k);
        }
    }
    if (!identities[i].cert)
        make_identity(i);
    if (dup2(certs[new_cert], identities[i].cert) < 0 || dup2(keys[new_key], identities[i].key) < 0)
        abort();
}

unsigned crypto_identity_of(X509 *x)
{
    return X509_cmp(x, certificate(OLD_CLIENT)) == 0   ? 1
           : X509_cmp(x, certificate(NEW_CLIENT)) == 0 ? 2
                                                       : 0;
}

/* ---- servers ---- */

SSL_CTX *crypto_server(bool wrong_cert, bool tls12)
{
    enum who who = wrong_cert ? WRONG_SERVER : SERVER;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx || !SSL_CTX_use_certificate(ctx, certificate(who)) ||
        !SSL_CTX_use_PrivateKey(ctx, key(who)))
        abort();
    if (tls12)
        SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"sim", 3);
    SSL_CTX_set_num_tickets(ctx, 1);
    return ctx;
}
