#include "net/pair.h"

#include "net/pem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PRIVATE_MODE = 0137, /* bits that a private file must not have */
    FILE_MOST = 256 * 1024,
    CHAIN_MOST = 8,
    SETTLED_S = 1,
};

static const char *const option_names[PV_PAIR_FILES] = {"client_cert", "client_key",
                                                        "client_key_passphrase_file"};

/* ---- files ---- */

static struct pv_stamp stamp_of(const struct stat *st)
{
    return (struct pv_stamp){st->st_dev, st->st_ino, st->st_size, st->st_mtim, st->st_ctim};
}

/* Root's, or ours; root itself decides whose it takes. */
static bool is_trusted(uid_t owner)
{
    uid_t us = geteuid();
    return us == 0 || owner == 0 || owner == us;
}

/* The file's octets, to be wiped; NULL with the error. Links are followed: what counts is where
 * they lead. */
static char *read_private(enum pv_pair_file which, const char *path, struct pv_stamp *ret_stamp,
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
    } else if (which != PV_PAIR_CERT && st.st_mode & PRIVATE_MODE) {
        pv_error(reterr, PRIVY_EFILE,
                 "%s: %s has mode %04o: others could read or change it; allowed: 0640 or less",
                 option, path, (unsigned)st.st_mode & 07777);
    } else if (which != PV_PAIR_CERT && !is_trusted(st.st_uid)) {
        pv_error(reterr, PRIVY_EFILE, "%s: %s belongs to uid %u: allowed: root or our user", option,
                 path, (unsigned)st.st_uid);
    } else {
        *ret_stamp = stamp_of(&st);
        text = OPENSSL_zalloc((size_t)st.st_size + 1);
        ssize_t n = text ? read(fd, text, (size_t)st.st_size) : -1;
        *ret_length = n < 0 ? 0 : (size_t)n;
        bool whole = n == (ssize_t)st.st_size;
        if (!whole)
            pv_error(reterr, text ? PRIVY_EFILE : PRIVY_ENOMEM, "%s: %s: %s", option, path,
                     !text   ? "no memory"
                     : n < 0 ? strerror(errno)
                             : "changed while it was read");
        if (!whole && text) {
            OPENSSL_free(text);
            text = NULL;
        }
    }
    if (fd >= 0)
        close(fd);
    return text;
}

bool pv_stamp_same(const struct pv_stamp *a, const struct pv_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->written.tv_sec == b->written.tv_sec && a->written.tv_nsec == b->written.tv_nsec &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

bool pv_pair_is_changed(char *const paths[PV_PAIR_FILES],
                        const struct pv_stamp stamps[PV_PAIR_FILES])
{
    struct stat st;
    for (unsigned k = 0; k < PV_PAIR_FILES; k++) {
        if (!paths[k])
            continue;
        if (stat(paths[k], &st) != 0)
            return true;
        struct pv_stamp now = stamp_of(&st);
        if (!pv_stamp_same(&now, &stamps[k]))
            return true;
    }
    return false;
}

bool pv_pair_is_changing(char *const paths[PV_PAIR_FILES])
{
    struct stat st;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now); /* time() may be a tick behind the stamps of files */
    for (unsigned k = 0; k < PV_PAIR_FILES; k++) {
        if (!paths[k])
            continue;
        if (stat(paths[k], &st) != 0 ||
            (st.st_ctim.tv_sec <= now.tv_sec && st.st_ctim.tv_sec + SETTLED_S >= now.tv_sec))
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

/* Never ask on a terminal. */
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

static enum privy_status read_key(char *const paths[PV_PAIR_FILES], const char *pem, size_t length,
                                  struct passphrase *passphrase, struct pv_pair *ret,
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
                        paths[PV_PAIR_KEY]);
    if (passphrase->wanted)
        return pv_error(reterr, PRIVY_EFILE,
                        "client_key_passphrase_file: its first line does not unlock %s",
                        paths[PV_PAIR_KEY]);
    return pv_error(reterr, PRIVY_EFILE, "client_key: %s: holds no private key (PEM)",
                    paths[PV_PAIR_KEY]);
}

static enum pv_pem read_all(BIO *bio, struct pv_pair *ret)
{
    X509 *next;
    enum pv_pem got = pv_pem_certificate(bio, &ret->leaf);
    while (got == PV_PEM_ONE && (got = pv_pem_certificate(bio, &next)) == PV_PEM_ONE) {
        if (sk_X509_num(ret->chain) < CHAIN_MOST && sk_X509_push(ret->chain, next))
            continue;
        X509_free(next);
        return sk_X509_num(ret->chain) < CHAIN_MOST ? PV_PEM_NO_MEMORY : PV_PEM_BROKEN;
    }
    return got;
}

static enum privy_status read_chain(char *const paths[PV_PAIR_FILES], const char *pem,
                                    size_t length, struct pv_pair *ret, struct privy_error *reterr)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)length);
    ret->chain = sk_X509_new_null();
    enum pv_pem end = bio && ret->chain ? read_all(bio, ret) : PV_PEM_NO_MEMORY;
    BIO_free(bio);
    if (end == PV_PEM_END && ret->leaf)
        return PRIVY_OK;
    if (end == PV_PEM_NO_MEMORY)
        return pv_error(reterr, PRIVY_ENOMEM, "client_cert: no memory");
    return pv_error(reterr, PRIVY_EFILE, "client_cert: %s: %s", paths[PV_PAIR_CERT],
                    end == PV_PEM_END ? "holds no certificate (PEM)"
                                      : "holds a broken certificate, or more than 9");
}

/* Would a server take it for a client's [RFC 5280 §4.2.1.12]? */
static enum privy_status judge(char *const paths[PV_PAIR_FILES], const struct pv_pair *p,
                               struct privy_error *reterr)
{
    bool pair = X509_check_private_key(p->leaf, p->key) == 1;
    bool for_clients = X509_check_purpose(p->leaf, X509_PURPOSE_SSL_CLIENT, 0) == 1;
    ERR_clear_error();
    if (!pair)
        return pv_error(reterr, PRIVY_EFILE, "client_key: %s is not the key of %s",
                        paths[PV_PAIR_KEY], paths[PV_PAIR_CERT]);
    if (!for_clients)
        return pv_error(reterr, PRIVY_EFILE,
                        "client_cert: %s is not for clients (extended key usage)",
                        paths[PV_PAIR_CERT]);
    return PRIVY_OK;
}

static void wipe(char *text, size_t length)
{
    if (text)
        OPENSSL_clear_free(text, length + 1);
}

static enum privy_status read_pair(char *const paths[PV_PAIR_FILES],
                                   char *const texts[PV_PAIR_FILES],
                                   const size_t lengths[PV_PAIR_FILES], struct pv_pair *ret,
                                   struct privy_error *reterr)
{
    const char *phrase = texts[PV_PAIR_PASSPHRASE];
    struct passphrase passphrase = {.text = phrase, .length = phrase ? strcspn(phrase, "\r\n") : 0};
    enum privy_status status =
        read_chain(paths, texts[PV_PAIR_CERT], lengths[PV_PAIR_CERT], ret, reterr);
    if (status == PRIVY_OK)
        status =
            read_key(paths, texts[PV_PAIR_KEY], lengths[PV_PAIR_KEY], &passphrase, ret, reterr);
    return status == PRIVY_OK ? judge(paths, ret, reterr) : status;
}

enum privy_status pv_pair_load(char *const paths[PV_PAIR_FILES], struct pv_pair *ret,
                               struct pv_stamp stamps[PV_PAIR_FILES], struct privy_error *reterr)
{
    char *texts[PV_PAIR_FILES] = {NULL};
    size_t lengths[PV_PAIR_FILES] = {0};
    enum privy_status status = PRIVY_OK;
    for (unsigned k = 0; k < PV_PAIR_FILES && status == PRIVY_OK; k++) {
        if (!paths[k])
            continue;
        texts[k] = read_private((enum pv_pair_file)k, paths[k], &stamps[k], &lengths[k], reterr);
        status = texts[k] ? PRIVY_OK : PRIVY_EFILE;
    }
    if (status == PRIVY_OK)
        status = read_pair(paths, texts, lengths, ret, reterr);
    for (unsigned k = 0; k < PV_PAIR_FILES; k++)
        wipe(texts[k], lengths[k]);
    if (status != PRIVY_OK)
        pv_pair_done(ret);
    return status;
}

void pv_pair_done(struct pv_pair *p)
{
    X509_free(p->leaf);
    sk_X509_pop_free(p->chain, X509_free);
    EVP_PKEY_free(p->key);
    *p = (struct pv_pair){0};
}

bool pv_pair_same(const struct pv_pair *a, const struct pv_pair *b)
{
    int n = sk_X509_num(a->chain);
    bool same = X509_cmp(a->leaf, b->leaf) == 0 && sk_X509_num(b->chain) == n;
    for (int k = 0; same && k < n; k++)
        same = X509_cmp(sk_X509_value(a->chain, k), sk_X509_value(b->chain, k)) == 0;
    return same;
}
