#include "net/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    PRIVATE_MODE = 0137, /* bits that a private file must not have */
    FILE_MOST = 256 * 1024,
    CHAIN_MOST = 8,
    DAY_S = 86400,
    SOMETIMES_S = 60,
};

enum which { CERT, KEY, PASSPHRASE, FILES };
static const char *const option_names[FILES] = {"client_cert", "client_key",
                                                "client_key_passphrase_file"};

/* What a file was when it was read. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec written, changed;
};

/* What was read. */
struct pair {
    X509 *leaf;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
};

struct pv_identity {
    char *owner, *paths[FILES];
    struct pv_identity_options files;
    pthread_mutex_t lock; /* guards the rest but for the atomics */
    struct pair pair;
    struct stamp stamps[FILES];
    int days_told; /* of the last warning; DAYS_MANY: none */
    _Atomic unsigned generation;
    _Atomic uint64_t refreshed; /* s */
    atomic_bool unasked_told;
};

#define DAYS_MANY 1000000

static void pair_done(struct pair *p)
{
    X509_free(p->leaf);
    sk_X509_pop_free(p->chain, X509_free);
    EVP_PKEY_free(p->key);
    *p = (struct pair){0};
}

/* ---- files ---- */

/* The file's octets, to be wiped; NULL with the error. Links are followed: what counts is where
 * they lead [M2]. */
static char *read_private(enum which which, const char *path, struct stamp *ret_stamp,
                          size_t *ret_length, struct privy_error *reterr)
{
    const char *option = option_names[which];
    struct stat st;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    char *text = NULL;
    if (fd < 0 || fstat(fd, &st) != 0) {
        pv_error(reterr, PRIVY_EFILE, "%s: %s: %s", option, path, strerror(errno));
    } else if (!S_ISREG(st.st_mode) || st.st_size > FILE_MOST) {
        pv_error(reterr, PRIVY_EFILE, "%s: %s is not a file, or a very large one", option, path);
    } else if (which != CERT && st.st_mode & PRIVATE_MODE) {
        pv_error(reterr, PRIVY_EFILE,
                 "%s: %s has mode %04o: others could read or change it; allowed: 0640 or less",
                 option, path, (unsigned)st.st_mode & 07777);
    } else {
        *ret_stamp = (struct stamp){st.st_dev, st.st_ino, st.st_size, st.st_mtim, st.st_ctim};
        text = OPENSSL_zalloc((size_t)st.st_size + 1);
        ssize_t n = text ? read(fd, text, (size_t)st.st_size) : -1;
        *ret_length = n < 0 ? 0 : (size_t)n;
        if (n < 0)
            pv_error(reterr, text ? PRIVY_EFILE : PRIVY_ENOMEM, "%s: %s: %s", option, path,
                     text ? strerror(errno) : "no memory");
        if (n < 0 && text) {
            OPENSSL_free(text);
            text = NULL;
        }
    }
    if (fd >= 0)
        close(fd);
    return text;
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->written.tv_sec == b->written.tv_sec && a->written.tv_nsec == b->written.tv_nsec &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static bool is_changed(const struct pv_identity *i)
{
    struct stat st;
    for (unsigned k = 0; k < FILES; k++) {
        if (!i->paths[k])
            continue;
        if (stat(i->paths[k], &st) != 0)
            return true;
        struct stamp now = {st.st_dev, st.st_ino, st.st_size, st.st_mtim, st.st_ctim};
        if (!same_stamp(&now, &i->stamps[k]))
            return true;
    }
    return false;
}

/* ---- certificate and key ---- */

struct passphrase {
    const char *text; /* NULL: there is none */
    size_t length;
    bool wanted;
};

/* Never ask on a terminal [M1]. */
static int give_passphrase(char *buffer, int size, int writing, void *arg)
{
    struct passphrase *p = arg;
    (void)writing;
    p->wanted = true;
    if (!p->text || p->length > (size_t)size)
        return -1;
    memcpy(buffer, p->text, p->length);
    return (int)p->length;
}

static enum privy_status read_key(const struct pv_identity *i, const char *pem, size_t length,
                                  struct passphrase *passphrase, struct pair *ret,
                                  struct privy_error *reterr)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)length);
    ret->key = bio ? PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, passphrase) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    if (ret->key)
        return PRIVY_OK;
    if (passphrase->wanted && !passphrase->text)
        return pv_error(reterr, PRIVY_EFILE,
                        "client_key: %s is encrypted: give client_key_passphrase_file",
                        i->paths[KEY]);
    if (passphrase->wanted)
        return pv_error(reterr, PRIVY_EFILE,
                        "client_key_passphrase_file: its first line does not unlock %s",
                        i->paths[KEY]);
    return pv_error(reterr, PRIVY_EFILE, "client_key: %s: holds no private key (PEM)",
                    i->paths[KEY]);
}

static enum privy_status read_chain(const struct pv_identity *i, const char *pem, size_t length,
                                    struct pair *ret, struct privy_error *reterr)
{
    struct passphrase none = {0};
    BIO *bio = BIO_new_mem_buf(pem, (int)length);
    ret->chain = sk_X509_new_null();
    ret->leaf = bio && ret->chain ? PEM_read_bio_X509(bio, NULL, give_passphrase, &none) : NULL;
    X509 *next = NULL;
    while (ret->leaf && sk_X509_num(ret->chain) < CHAIN_MOST &&
           (next = PEM_read_bio_X509(bio, NULL, give_passphrase, &none))) {
        if (!sk_X509_push(ret->chain, next)) {
            X509_free(next);
            break;
        }
    }
    BIO_free(bio);
    ERR_clear_error();
    if (ret->leaf)
        return PRIVY_OK;
    return pv_error(reterr, PRIVY_EFILE, "client_cert: %s: holds no certificate (PEM)",
                    i->paths[CERT]);
}

/* Would a server take it for a client's [M3, M4]? */
static enum privy_status judge(const struct pv_identity *i, const struct pair *p,
                               struct privy_error *reterr)
{
    bool pair = X509_check_private_key(p->leaf, p->key) == 1;
    bool for_clients = X509_check_purpose(p->leaf, X509_PURPOSE_SSL_CLIENT, 0) == 1;
    ERR_clear_error();
    if (!pair)
        return pv_error(reterr, PRIVY_EFILE, "client_key: %s is not the key of %s", i->paths[KEY],
                        i->paths[CERT]);
    if (!for_clients)
        return pv_error(reterr, PRIVY_EFILE,
                        "client_cert: %s is not for clients (extended key usage)", i->paths[CERT]);
    return PRIVY_OK;
}

static void wipe(char *text, size_t length)
{
    if (text)
        OPENSSL_clear_free(text, length + 1);
}

static enum privy_status read_pair(const struct pv_identity *i, char *const texts[FILES],
                                   const size_t lengths[FILES], struct pair *ret,
                                   struct privy_error *reterr)
{
    const char *phrase = texts[PASSPHRASE];
    struct passphrase passphrase = {.text = phrase, .length = phrase ? strcspn(phrase, "\r\n") : 0};
    enum privy_status status = read_chain(i, texts[CERT], lengths[CERT], ret, reterr);
    if (status == PRIVY_OK)
        status = read_key(i, texts[KEY], lengths[KEY], &passphrase, ret, reterr);
    return status == PRIVY_OK ? judge(i, ret, reterr) : status;
}

/* All files as they are now. */
static enum privy_status load(const struct pv_identity *i, struct pair *ret,
                              struct stamp stamps[FILES], struct privy_error *reterr)
{
    char *texts[FILES] = {NULL};
    size_t lengths[FILES] = {0};
    enum privy_status status = PRIVY_OK;
    for (unsigned k = 0; k < FILES && status == PRIVY_OK; k++) {
        if (!i->paths[k])
            continue;
        texts[k] = read_private((enum which)k, i->paths[k], &stamps[k], &lengths[k], reterr);
        status = texts[k] ? PRIVY_OK : PRIVY_EFILE;
    }
    if (status == PRIVY_OK)
        status = read_pair(i, texts, lengths, ret, reterr);
    for (unsigned k = 0; k < FILES; k++)
        wipe(texts[k], lengths[k]);
    if (status != PRIVY_OK)
        pair_done(ret);
    return status;
}

/* ---- dates ---- */

/* Days until it runs out, begun ones too; 0: it has. */
static int days_left(const struct pair *p)
{
    int days = 0, seconds = 0;
    if (!ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(p->leaf)))
        return DAYS_MANY;
    return days < 0 || seconds < 0 ? 0 : days + (seconds > 0);
}

/* Told at 14, 7 and 1 days, and when it has run out. */
static void warn_of_end(struct pv_identity *i)
{
    static const int steps[] = {0, 1, 7, 14};
    int left = days_left(&i->pair);
    for (unsigned k = 0; k < sizeof steps / sizeof *steps; k++) {
        if (left > steps[k])
            continue;
        if (i->days_told <= steps[k])
            return;
        i->days_told = steps[k];
        if (left == 0)
            pv_log(PRIVY_LOG_WARNING, "%s: client_cert: %s has expired", i->owner, i->paths[CERT]);
        else
            pv_log(PRIVY_LOG_WARNING, "%s: client_cert: %s expires in %d day%s", i->owner,
                   i->paths[CERT], left, left > 1 ? "s" : "");
        return;
    }
}

bool pv_identity_expired(struct pv_identity *i)
{
    pthread_mutex_lock(&i->lock);
    warn_of_end(i);
    bool expired = X509_cmp_current_time(X509_get0_notAfter(i->pair.leaf)) < 0;
    pthread_mutex_unlock(&i->lock);
    return expired;
}

/* ---- life ---- */

static bool copy_options(struct pv_identity *i, const struct pv_identity_options *o)
{
    const char *const from[FILES] = {o->cert, o->key, o->passphrase_file};
    i->owner = strdup(o->owner);
    bool good = i->owner != NULL;
    for (unsigned k = 0; k < FILES; k++) {
        i->paths[k] = from[k] ? strdup(from[k]) : NULL;
        good &= !from[k] || i->paths[k];
    }
    i->files =
        (struct pv_identity_options){i->owner, i->paths[CERT], i->paths[KEY], i->paths[PASSPHRASE]};
    return good;
}

enum privy_status pv_identity_new(const struct pv_identity_options *o, struct pv_identity **ret,
                                  struct privy_error *reterr)
{
    struct pv_identity *i = calloc(1, sizeof *i);
    if (!i)
        return pv_error(reterr, PRIVY_ENOMEM, "no memory");
    pthread_mutex_init(&i->lock, NULL);
    i->days_told = DAYS_MANY;
    enum privy_status status = copy_options(i, o) ? load(i, &i->pair, i->stamps, reterr)
                                                  : pv_error(reterr, PRIVY_ENOMEM, "no memory");
    if (status != PRIVY_OK) {
        pv_identity_free(i);
        return status;
    }
    warn_of_end(i);
    *ret = i;
    return PRIVY_OK;
}

void pv_identity_free(struct pv_identity *i)
{
    if (!i)
        return;
    pair_done(&i->pair);
    for (unsigned k = 0; k < FILES; k++)
        free(i->paths[k]);
    free(i->owner);
    pthread_mutex_destroy(&i->lock);
    free(i);
}

const struct pv_identity_options *pv_identity_files(const struct pv_identity *i)
{
    return &i->files;
}

unsigned pv_identity_generation(const struct pv_identity *i)
{
    return atomic_load(&i->generation);
}

/* ---- changes ---- */

static void adopt(struct pv_identity *i, struct pair *fresh)
{
    pair_done(&i->pair);
    i->pair = *fresh;
    i->days_told = DAYS_MANY;
    atomic_store(&i->unasked_told, false);
    atomic_fetch_add(&i->generation, 1);
    pv_log(PRIVY_LOG_NOTICE, "%s: client_cert: %s was read again", i->owner, i->paths[CERT]);
    warn_of_end(i);
}

void pv_identity_refresh(struct pv_identity *i)
{
    pthread_mutex_lock(&i->lock);
    if (is_changed(i)) {
        struct privy_error error = {0};
        struct stamp stamps[FILES] = {{0}};
        struct pair fresh = {0};
        bool good = load(i, &fresh, stamps, &error) == PRIVY_OK;
        bool news = memcmp(stamps, i->stamps, sizeof stamps) != 0;
        memcpy(i->stamps, stamps, sizeof stamps); /* it is said once */
        if (good)
            adopt(i, &fresh);
        else if (news)
            pv_log(PRIVY_LOG_ERROR, "%s: %s; the identity before it stays in use", i->owner,
                   error.message);
    }
    pthread_mutex_unlock(&i->lock);
}

void pv_identity_refresh_sometimes(struct pv_identity *i, uint64_t age_now)
{
    uint64_t last = atomic_load(&i->refreshed);
    if (age_now < last + SOMETIMES_S ||
        !atomic_compare_exchange_strong(&i->refreshed, &last, age_now))
        return;
    if (last)
        pv_identity_refresh(i);
}

/* ---- use ---- */

bool pv_identity_use(struct pv_identity *i, struct ssl_st *ssl)
{
    pthread_mutex_lock(&i->lock);
    bool good = SSL_use_cert_and_key(ssl, i->pair.leaf, i->pair.key, i->pair.chain, 1) == 1;
    pthread_mutex_unlock(&i->lock);
    ERR_clear_error();
    return good;
}

void pv_identity_issuer(struct pv_identity *i, char *out, size_t capacity)
{
    pthread_mutex_lock(&i->lock);
    X509_NAME_oneline(X509_get_issuer_name(i->pair.leaf), out, (int)capacity);
    pthread_mutex_unlock(&i->lock);
}

void pv_identity_was_asked(struct pv_identity *i, bool asked)
{
    if (asked)
        atomic_store(&i->unasked_told, false);
    else if (!atomic_exchange(&i->unasked_told, true))
        pv_log(PRIVY_LOG_WARNING, "%s: the server does not ask for our certificate", i->owner);
}
