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

/* ---- what there is to say: found under the lock, said without it ---- */

struct news {
    bool read, same; /* another pair, or the same again, was read */
    bool refused;    /* what was read, for the reason in error */
    struct privy_error error;
    bool early; /* it is not valid yet */
    int days;   /* until it runs out; DAYS_MANY: nothing to say */
};

static void say(const struct pv_identity *i, const struct news *n)
{
    const char *cert = i->paths[PV_PAIR_CERT];
    if (n->read)
        pv_log(PRIVY_LOG_NOTICE, "%s: client_cert: %s was read again%s", i->owner, cert,
               n->same ? ", and is the same" : "");
    if (n->refused)
        pv_log(PRIVY_LOG_ERROR, "%s: %s; the identity before it stays in use", i->owner,
               n->error.message);
    if (n->early)
        pv_log(PRIVY_LOG_WARNING, "%s: client_cert: %s is not yet valid: is the clock right?",
               i->owner, cert);
    if (n->days == 0)
        pv_log(PRIVY_LOG_WARNING, "%s: client_cert: %s has expired", i->owner, cert);
    else if (n->days < DAYS_MANY)
        pv_log(PRIVY_LOG_WARNING, "%s: client_cert: %s expires in %d day%s", i->owner, cert,
               n->days, n->days > 1 ? "s" : "");
}

/* ---- dates ---- */

/* Days until it runs out, begun ones too; 0: it has. */
static int days_left(const struct pv_pair *p)
{
    int days = 0, seconds = 0;
    if (!ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(p->leaf)))
        return DAYS_MANY;
    return days < 0 || seconds < 0 ? 0 : days + (seconds > 0);
}

/* To be told at 14, 7 and 1 days, and when it has run out. */
static int end_to_tell(struct pv_identity *i)
{
    static const int steps[] = {0, 1, 7, 14};
    int left = days_left(&i->pair);
    for (unsigned k = 0; k < sizeof steps / sizeof *steps; k++) {
        if (left > steps[k])
            continue;
        if (i->days_told <= steps[k])
            return DAYS_MANY;
        i->days_told = steps[k];
        return left;
    }
    return DAYS_MANY;
}

static bool has_ended(const struct pv_pair *p)
{
    return X509_cmp_current_time(X509_get0_notAfter(p->leaf)) < 0;
}

static bool beginning_to_tell(struct pv_identity *i)
{
    bool told = i->begin_told;
    i->begin_told = X509_cmp_current_time(X509_get0_notBefore(i->pair.leaf)) > 0;
    return i->begin_told && !told;
}

bool pv_identity_expired(struct pv_identity *i)
{
    struct news news = {.days = DAYS_MANY};
    pthread_mutex_lock(&i->lock);
    news.days = end_to_tell(i);
    bool expired = has_ended(&i->pair);
    pthread_mutex_unlock(&i->lock);
    say(i, &news);
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

static bool same_stamps(const struct pv_stamp a[PV_PAIR_FILES],
                        const struct pv_stamp b[PV_PAIR_FILES])
{
    for (unsigned k = 0; k < PV_PAIR_FILES; k++)
        if (!pv_stamp_same(&a[k], &b[k]))
            return false;
    return true;
}

/* Written again as they were, they need no new connections. fresh becomes what was before. */
static void adopt(struct pv_identity *i, struct pv_pair *fresh, struct news *news)
{
    struct pv_pair old = i->pair;
    news->read = true;
    news->same = pv_pair_same(&old, fresh);
    i->pair = *fresh;
    *fresh = old;
    if (news->same)
        return;
    i->days_told = DAYS_MANY;
    i->begin_told = false;
    atomic_store(&i->unasked_told, false);
    atomic_fetch_add(&i->generation, 1);
}

/* What was read of files that were `before` so; another thread may have been first. */
static void judge(struct pv_identity *i, enum privy_status status,
                  const struct pv_stamp before[PV_PAIR_FILES],
                  const struct pv_stamp now[PV_PAIR_FILES], struct pv_pair *fresh,
                  struct news *news)
{
    if (!same_stamps(before, i->stamps) || status == PRIVY_ENOMEM) /* later */
        return;
    memcpy(i->stamps, now, sizeof i->stamps); /* a refusal is said once */
    /* What is no better than nothing does not replace what is still good. */
    if (status == PRIVY_OK && has_ended(fresh) && !has_ended(&i->pair))
        status = pv_error(&news->error, PRIVY_EFILE, "client_cert: %s has expired",
                          i->paths[PV_PAIR_CERT]);
    if (status == PRIVY_OK)
        adopt(i, fresh, news);
    else
        news->refused = !same_stamps(before, now);
}

/* Files are read without the lock, which each handshake takes. */
static void refresh(struct pv_identity *i, struct news *news)
{
    struct pv_stamp before[PV_PAIR_FILES], now[PV_PAIR_FILES] = {{0}};
    struct pv_pair fresh = {0};
    pthread_mutex_lock(&i->lock);
    memcpy(before, i->stamps, sizeof before);
    pthread_mutex_unlock(&i->lock);
    if (!pv_pair_is_changed(i->paths, before))
        return;
    enum privy_status status = pv_pair_load(i->paths, &fresh, now, &news->error);
    pthread_mutex_lock(&i->lock);
    judge(i, status, before, now, &fresh, news);
    pthread_mutex_unlock(&i->lock);
    pv_pair_done(&fresh);
}

void pv_identity_refresh(struct pv_identity *i)
{
    struct news news = {.days = DAYS_MANY};
    refresh(i, &news);
    pthread_mutex_lock(&i->lock);
    news.early = beginning_to_tell(i);
    news.days = end_to_tell(i);
    pthread_mutex_unlock(&i->lock);
    say(i, &news);
}

void pv_identity_refresh_sometimes(struct pv_identity *i, uint64_t age_now)
{
    struct news news = {.days = DAYS_MANY};
    uint64_t last = atomic_load(&i->refreshed);
    if (age_now < last + SOMETIMES_S ||
        !atomic_compare_exchange_strong(&i->refreshed, &last, age_now))
        return;
    if (last && pv_pair_is_changing(i->paths))
        atomic_store(&i->refreshed, last);
    else if (last)
        refresh(i, &news);
    say(i, &news);
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
    if (!asked && !atomic_exchange(&i->unasked_told, true)) /* of many servers some may ask */
        pv_log(PRIVY_LOG_WARNING, "%s: the server does not ask for our certificate", i->owner);
}
