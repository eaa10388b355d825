#include "proto/dnscrypt/certs.h"

#include "base/random.h"
#include "build_date.generated.h"

#include <time.h>

#define SECOND UINT64_C(1000000)

enum {
    HOURLY_S = 3000,       /* and up to 600 more */
    HOURLY_SPREAD_S = 600, /* an hour at most */
    BEFORE_END_S = 600,
    RETRY_FIRST_S = 10,
    RETRY_LAST_S = 300,
    DOUBT_EVERY_S = 10,
};

static uint32_t wall_clock(void)
{
    return (uint32_t)time(NULL);
}

static uint64_t now_of(const struct pv_certs *c)
{
    return pv_now(pv_endpoint_loop(c->endpoint));
}

static const struct pv_upstream *upstream_of(const struct pv_certs *c)
{
    return pv_endpoint_upstream(c->endpoint);
}

/* ---- keys ---- */

static struct pv_keys *make_keys(struct pv_certs *c, const struct pv_addr *local)
{
    struct pv_key_pair pair;
    struct pv_keys *k = pv_keys_new(&c->key_store);
    if (!k)
        return NULL;
    k->generation = c->generation;
    k->local = *local;
    pv_key_pair_new(&pair);
    bool good = pv_box_init(&k->box, c->cert.construction, c->cert.magic, c->cert.server, &pair);
    pv_key_pair_wipe(&pair);
    if (good)
        return k;
    pv_keys_unref(k);
    return NULL;
}

bool pv_certs_keys(struct pv_certs *c, const struct pv_addr *local, struct pv_keys **keys)
{
    struct pv_keys *k = *keys;
    if (k && k->generation == c->generation && pv_addr_same_host(&k->local, local))
        return true;
    k = make_keys(c, local);
    if (!k)
        return false;
    pv_keys_unref(*keys);
    *keys = k;
    return true;
}

/* ---- when ---- */

bool pv_certs_usable(const struct pv_certs *c)
{
    uint32_t now = wall_clock();
    return c->has && c->cert.from <= now && now <= c->cert.until;
}

/* The end is looked at too: nothing else would tell who waits in vain. */
static void set_alarm(struct pv_certs *c)
{
    uint64_t at = c->due;
    if (c->has) {
        uint32_t now = wall_clock();
        uint64_t left = now <= c->cert.until ? c->cert.until - now + UINT64_C(1) : 0;
        if (now_of(c) + left * SECOND < at)
            at = now_of(c) + left * SECOND;
    }
    pv_endpoint_wake_at(c->endpoint, at);
}

/* Hourly, and ahead of the end: by ten minutes, or half of what is left where that is less. */
static void plan_renewal(struct pv_certs *c)
{
    uint64_t after = HOURLY_S + pv_random_below(HOURLY_SPREAD_S), left = 0;
    uint32_t now = wall_clock();
    if (now < c->cert.until)
        left = c->cert.until - now;
    left = left > 2 * BEFORE_END_S ? left - BEFORE_END_S : left / 2 + 1;
    c->due = now_of(c) + (left < after ? left : after) * SECOND;
    set_alarm(c);
}

static void plan_retry(struct pv_certs *c)
{
    uint64_t after = RETRY_FIRST_S;
    for (unsigned i = 0; i < c->failures && after < RETRY_LAST_S; i++)
        after *= 2;
    c->failures++;
    c->due = now_of(c) + (after < RETRY_LAST_S ? after : RETRY_LAST_S) * SECOND;
    set_alarm(c);
}

/* ---- what a fetch brings ---- */

/* Told once, not by each thread. */
static bool is_news(const struct pv_certs *c, enum pv_cert_verdict verdict)
{
    struct pv_certs_shared *shared = upstream_of(c)->shared;
    return atomic_exchange(&shared->verdict, verdict) != verdict;
}

static void adopt(struct pv_certs *c, const struct pv_fetch_result *r)
{
    const struct pv_cert *new = &r->choice.best;
    bool changed = !c->has || !pv_cert_equal(new, &c->cert);
    c->cert = *new;
    c->has = true;
    c->least_serial = new->serial;
    c->generation++;
    c->failures = 0;
    c->relay = r->relay;
    plan_renewal(c);
    if (changed)
        pv_log(PRIVY_LOG_INFO, "upstream %s: certificate with serial %u", upstream_of(c)->name,
               (unsigned)new->serial);
    if (is_news(c, PV_CERT_USABLE) && new->construction == PV_X25519_XSALSA20)
        pv_log(PRIVY_LOG_WARNING,
               "upstream %s: its certificate is for XSalsa20, of an older edition of the protocol",
               upstream_of(c)->name);
    c->events->renewed(c->endpoint, r, changed);
}

/* Why what was good is no longer. */
static void explain_end(const struct pv_certs *c, char *out, size_t capacity)
{
    bool early = wall_clock() < c->cert.from; /* the clock was set */
    const struct pv_cert_choice past = {.verdict = early ? PV_CERT_EARLY : PV_CERT_LATE,
                                        .best = c->cert};
    pv_cert_explain(&past, out, capacity);
}

/* Relays look at its name, which a query for certificates shows. */
static bool relays_serve(const struct pv_upstream *up)
{
    return strncmp(up->provider_name, "2.dnscrypt-cert.", 16) == 0;
}

static void explain(const struct pv_certs *c, const struct pv_fetch_result *r, char *out,
                    size_t capacity)
{
    bool shows_none = r->heard && r->choice.verdict == PV_CERT_NONE;
    if (shows_none && c->has && !pv_certs_usable(c))
        explain_end(c, out, capacity);
    else if (!r->heard && upstream_of(c)->relay_count > 0 && !relays_serve(upstream_of(c)))
        snprintf(out, capacity,
                 "no certificate: relays pass on only names that begin with 2.dnscrypt-cert.");
    else if (!r->heard)
        snprintf(out, capacity, "%s", r->reason);
    else if (r->choice.verdict == PV_CERT_EARLY && r->choice.now < PV_BUILD_DATE)
        snprintf(out, capacity, "system clock before build date: no certificate is valid yet");
    else
        pv_cert_explain(&r->choice, out, capacity);
}

/* The one there is serves to its end. */
static void go_without(struct pv_certs *c, const struct pv_fetch_result *r)
{
    char reason[100];
    explain(c, r, reason, sizeof reason);
    c->relay = r->relay;
    plan_retry(c);
    if (pv_certs_usable(c)) {
        if (r->heard && is_news(c, r->choice.verdict))
            pv_log(PRIVY_LOG_WARNING, "upstream %s: not renewed, the old certificate is kept: %s",
                   upstream_of(c)->name, reason);
    } else {
        c->has = false;
    }
    c->events->missing(c->endpoint, r->heard ? PV_UNTRUSTED : PV_UNREACHABLE, reason);
}

static void fetched(void *arg, const struct pv_fetch_result *r)
{
    struct pv_certs *c = arg;
    c->fetch = NULL;
    if (r->choice.verdict == PV_CERT_USABLE)
        adopt(c, r);
    else
        go_without(c, r);
}

bool pv_certs_fetch(struct pv_certs *c)
{
    const struct pv_upstream *up = upstream_of(c);
    const struct pv_cert_choice choice = {
        .provider_key = up->provider_key,
        .now = wall_clock(),
        .allow_xsalsa = up->allow_xsalsa,
        .least_serial = c->least_serial,
        .current = c->has ? &c->cert : NULL,
    };
    if (!c->fetch)
        c->fetch = pv_fetch_begin(c->endpoint, &choice, c->relay, fetched, c);
    return c->fetch != NULL;
}

/* ---- for the handler ---- */

void pv_certs_init(struct pv_certs *c, struct pv_endpoint *e, const struct pv_certs_events *events)
{
    c->endpoint = e;
    c->events = events;
    c->relay = pv_random_below(UINT16_MAX);
    pv_key_store_init(&c->key_store);
}

void pv_certs_done(struct pv_certs *c)
{
    pv_fetch_cancel(c->fetch);
    c->fetch = NULL;
    pv_key_store_done(&c->key_store);
}

bool pv_certs_want(struct pv_certs *c)
{
    bool old = now_of(c) >= c->due;
    if (pv_certs_usable(c) && !old)
        return true;
    return pv_certs_fetch(c) || pv_certs_usable(c);
}

void pv_certs_doubt(struct pv_certs *c)
{
    if (now_of(c) < c->doubt_from)
        return;
    c->doubt_from = now_of(c) + DOUBT_EVERY_S * SECOND;
    pv_certs_fetch(c);
}

/* An idle process is not woken: who needs it next has it renewed. */
void pv_certs_wake(struct pv_certs *c, bool idle)
{
    char reason[100];
    bool ended = c->has && !pv_certs_usable(c);
    if (ended) {
        c->has = false;
        explain_end(c, reason, sizeof reason);
    }
    if (!idle && now_of(c) >= c->due && !pv_certs_fetch(c))
        plan_retry(c);
    else if (!idle && now_of(c) < c->due)
        set_alarm(c);
    if (ended)
        c->events->missing(c->endpoint, PV_UNTRUSTED, reason);
}
