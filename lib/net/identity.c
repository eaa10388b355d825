#include "net/identity.h"

#include "net/pair.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { SOMETIMES_S = 60 };

#define DAYS_MANY 1000000

struct pv_identity {
    char *owner, *paths[PV_PAIR_FILES];
    struct pv_identity_options files;
    pthread_mutex_t lock; /* guards the rest but for the atomics */
    struct pv_pair pair;
    struct pv_stamp stamps[PV_PAIR_FILES];
    int days_told; /* of the last warning; DAYS_MANY: none */
    bool begin_told;
    _Atomic unsigned generation;
    _Atomic uint64_t refreshed; /* s */
    atomic_bool unasked_told;
};

/* ---- dates ---- */

/* Days until it runs out, begun ones too; 0: it has. */
static int days_left(const struct pv_pair *p)
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
            pv_log(PRIVY_LOG_WARNING, "%s: client_cert: %s has expired", i->owner,
                   i->paths[PV_PAIR_CERT]);
        else
            pv_log(PRIVY_LOG_WARNING, "%s: client_cert: %s expires in %d day%s", i->owner,
                   i->paths[PV_PAIR_CERT], left, left > 1 ? "s" : "");
        return;
    }
}

static bool has_ended(const struct pv_pair *p)
{
    return X509_cmp_current_time(X509_get0_notAfter(p->leaf)) < 0;
}

static void warn_of_begin(struct pv_identity *i)
{
    bool early = X509_cmp_current_time(X509_get0_notBefore(i->pair.leaf)) > 0;
    if (early && !i->begin_told)
        pv_log(PRIVY_LOG_WARNING, "%s: client_cert: %s is not yet valid: is the clock right?",
               i->owner, i->paths[PV_PAIR_CERT]);
    i->begin_told = early;
}

bool pv_identity_expired(struct pv_identity *i)
{
    pthread_mutex_lock(&i->lock);
    warn_of_end(i);
    bool expired = has_ended(&i->pair);
    pthread_mutex_unlock(&i->lock);
    return expired;
}

/* ---- life ---- */

static bool copy_options(struct pv_identity *i, const struct pv_identity_options *o)
{
    const char *const from[PV_PAIR_FILES] = {o->cert, o->key, o->passphrase_file};
    i->owner = strdup(o->owner);
    bool good = i->owner != NULL;
    for (unsigned k = 0; k < PV_PAIR_FILES; k++) {
        i->paths[k] = from[k] ? strdup(from[k]) : NULL;
        good &= !from[k] || i->paths[k];
    }
    i->files = (struct pv_identity_options){i->owner, i->paths[PV_PAIR_CERT], i->paths[PV_PAIR_KEY],
                                            i->paths[PV_PAIR_PASSPHRASE]};
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
    enum privy_status status = copy_options(i, o)
                                   ? pv_pair_load(i->paths, &i->pair, i->stamps, reterr)
                                   : pv_error(reterr, PRIVY_ENOMEM, "no memory");
    if (status != PRIVY_OK) {
        pv_identity_free(i);
        return status;
    }
    *ret = i;
    return PRIVY_OK;
}

void pv_identity_free(struct pv_identity *i)
{
    if (!i)
        return;
    pv_pair_done(&i->pair);
    for (unsigned k = 0; k < PV_PAIR_FILES; k++)
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

/* Written again as they were, they need no new connections. */
static void adopt(struct pv_identity *i, struct pv_pair *fresh)
{
    bool same = pv_pair_same(&i->pair, fresh);
    pv_pair_done(&i->pair);
    i->pair = *fresh;
    pv_log(PRIVY_LOG_NOTICE, "%s: client_cert: %s was read again%s", i->owner,
           i->paths[PV_PAIR_CERT], same ? ", and is the same" : "");
    if (same)
        return;
    i->days_told = DAYS_MANY;
    i->begin_told = false;
    atomic_store(&i->unasked_told, false);
    atomic_fetch_add(&i->generation, 1);
}

/* What is no better than nothing does not replace what is still good. */
static enum privy_status load_next(const struct pv_identity *i, struct pv_pair *ret,
                                   struct pv_stamp stamps[PV_PAIR_FILES],
                                   struct privy_error *reterr)
{
    enum privy_status status = pv_pair_load(i->paths, ret, stamps, reterr);
    if (status != PRIVY_OK || !has_ended(ret) || has_ended(&i->pair))
        return status;
    pv_pair_done(ret);
    return pv_error(reterr, PRIVY_EFILE, "client_cert: %s has expired", i->paths[PV_PAIR_CERT]);
}

static void refresh_locked(struct pv_identity *i)
{
    struct privy_error error = {0};
    struct pv_stamp stamps[PV_PAIR_FILES] = {{0}};
    struct pv_pair fresh = {0};
    bool good = load_next(i, &fresh, stamps, &error) == PRIVY_OK;
    bool news = false;
    for (unsigned k = 0; k < PV_PAIR_FILES; k++)
        news |= !pv_stamp_same(&stamps[k], &i->stamps[k]);
    memcpy(i->stamps, stamps, sizeof stamps); /* it is said once */
    if (good)
        adopt(i, &fresh);
    else if (news)
        pv_log(PRIVY_LOG_ERROR, "%s: %s; the identity before it stays in use", i->owner,
               error.message);
}

void pv_identity_refresh(struct pv_identity *i)
{
    pthread_mutex_lock(&i->lock);
    if (pv_pair_is_changed(i->paths, i->stamps))
        refresh_locked(i);
    warn_of_begin(i);
    warn_of_end(i);
    pthread_mutex_unlock(&i->lock);
}

void pv_identity_refresh_sometimes(struct pv_identity *i, uint64_t age_now)
{
    uint64_t last = atomic_load(&i->refreshed);
    if (age_now < last + SOMETIMES_S ||
        !atomic_compare_exchange_strong(&i->refreshed, &last, age_now))
        return;
    if (!last)
        return;
    pthread_mutex_lock(&i->lock);
    bool changed = pv_pair_is_changed(i->paths, i->stamps),
         changing = changed && pv_pair_is_changing(i->paths);
    if (changed && !changing)
        refresh_locked(i);
    pthread_mutex_unlock(&i->lock);
    if (changing)
        atomic_store(&i->refreshed, last);
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

void pv_identity_was_asked(struct pv_identity *i, bool asked)
{
    if (asked)
        atomic_store(&i->unasked_told, false);
    else if (!atomic_exchange(&i->unasked_told, true))
        pv_log(PRIVY_LOG_WARNING, "%s: the server does not ask for our certificate", i->owner);
}
