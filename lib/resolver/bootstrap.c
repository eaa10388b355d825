#include "resolver/bootstrap.h"

#include <privydns/privydns.h>

#include <arpa/inet.h>

enum { TTL_LEAST_S = 60, TTL_MOST_S = 86400, AGAIN_AFTER_US = 1000000 };

struct lookup {
    struct pv_list link;
    struct pv_bootstrap *bootstrap;
    struct pv_endpoint *endpoint;
    struct family {
        struct lookup *lookup;
        struct privy_query *query; /* NULL: not under way */
    } families[2];
    uint64_t again; /* µs: not before */
    struct pv_addr found[PV_ADDRESSES_MAX];
    unsigned count;
    uint32_t ttl;
    char reason[100];
};

struct pv_bootstrap {
    struct privy_resolver *master, *resolver;
    struct pv_list lookups;
};

struct pv_bootstrap *pv_bootstrap_new(struct privy_resolver *master)
{
    struct pv_bootstrap *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->master = master;
    pv_list_init(&b->lookups);
    if (!master->set->bootstrap ||
        pv_resolver_new(master->loop, master->set->bootstrap, NULL, &master->options, &b->resolver,
                        NULL) != PRIVY_OK) {
        free(b);
        return NULL;
    }
    return b;
}

void pv_bootstrap_free(struct pv_bootstrap *b)
{
    if (!b)
        return;
    privy_resolver_free(b->resolver);
    pv_list_each_safe (it, &b->lookups)
        free(pv_container(it, struct lookup, link));
    free(b);
}

static void append(struct lookup *l, const struct privy_record *record)
{
    struct pv_addr *to = &l->found[l->count];
    if (l->count == PV_ADDRESSES_MAX || record->section != 1)
        return;
    *to = (struct pv_addr){0};
    if (record->type == PV_T_A && record->rdata_length == 4) {
        to->in.sin_family = AF_INET;
        memcpy(&to->in.sin_addr, record->rdata, 4);
    } else if (record->type == PV_T_AAAA && record->rdata_length == 16) {
        to->in6.sin6_family = AF_INET6;
        memcpy(&to->in6.sin6_addr, record->rdata, 16);
    } else {
        return;
    }
    const struct pv_url *url = &l->endpoint->upstream->url;
    pv_addr_set_port(to, url->port ? url->port : l->endpoint->proto->port);
    l->count++;
    if (record->ttl < l->ttl)
        l->ttl = record->ttl;
}

/* The families take turns, so that a broken one costs one stagger of the race [RFC 8305 §4]. */
static void interleave(struct lookup *l)
{
    struct pv_addr out[PV_ADDRESSES_MAX];
    unsigned n = 0;
    bool v6 = true;
    while (n < l->count) {
        unsigned i = 0;
        while (i < l->count && (l->found[i].sa.sa_family != (v6 ? AF_INET6 : AF_INET)))
            i++;
        if (i < l->count) {
            out[n++] = l->found[i];
            l->found[i].sa.sa_family = AF_UNSPEC;
        }
        v6 = !v6;
    }
    memcpy(l->found, out, n * sizeof *out);
}

static void finish(struct lookup *l)
{
    struct pv_loop *loop = l->bootstrap->master->loop;
    l->again = pv_now(loop) + AGAIN_AFTER_US;
    if (l->count == 0) {
        char reason[100];
        snprintf(reason, sizeof reason, "its address cannot be looked up: %.60s", l->reason);
        pv_endpoint_no_addresses(l->endpoint, reason);
        return;
    }
    interleave(l);
    uint32_t ttl = l->ttl < TTL_LEAST_S ? TTL_LEAST_S : l->ttl;
    pv_endpoint_set_addresses(l->endpoint, l->found, l->count, ttl < TTL_MOST_S ? ttl : TTL_MOST_S);
}

static bool under_way(const struct lookup *l)
{
    return l->families[0].query || l->families[1].query;
}

static void done(void *arg, enum privy_status status, const struct privy_answer *answer,
                 const struct privy_error *error)
{
    struct family *f = arg;
    struct lookup *l = f->lookup;
    struct privy_record record;
    size_t cursor = 0;
    (void)error;
    if (!answer)
        snprintf(l->reason, sizeof l->reason, "%s", privy_strerror(status));
    while (answer && privy_answer_record(answer, &cursor, &record))
        append(l, &record);
    f->query = NULL;
    if (!under_way(l))
        finish(l);
}

static struct lookup *find(struct pv_bootstrap *b, const struct pv_endpoint *e)
{
    pv_list_each (it, &b->lookups) {
        struct lookup *l = pv_container(it, struct lookup, link);
        if (l->endpoint == e)
            return l;
    }
    return NULL;
}

static struct lookup *lookup_new(struct pv_bootstrap *b, struct pv_endpoint *e)
{
    struct lookup *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->bootstrap = b;
    l->endpoint = e;
    l->families[0].lookup = l->families[1].lookup = l;
    pv_list_append(&b->lookups, &l->link);
    return l;
}

void pv_bootstrap_lookup(struct pv_bootstrap *b, struct pv_endpoint *e)
{
    static const uint16_t types[2] = {PV_T_AAAA, PV_T_A};
    struct lookup *l = b ? find(b, e) : NULL;
    if (b && !l)
        l = lookup_new(b, e);
    if (!l || under_way(l) || pv_now(e->loop) < l->again)
        return;
    l->count = 0;
    l->ttl = UINT32_MAX;
    snprintf(l->reason, sizeof l->reason, "it has none");
    l->again = pv_now(e->loop) + AGAIN_AFTER_US;
    for (unsigned i = 0; i < 2; i++) {
        enum privy_status status = privy_query(b->resolver, e->upstream->url.host, types[i], NULL,
                                               NULL, done, &l->families[i], &l->families[i].query);
        if (status != PRIVY_OK)
            snprintf(l->reason, sizeof l->reason, "%s", privy_strerror(status));
    }
    if (!under_way(l))
        finish(l); /* neither could be asked */
}

void pv_bootstrap_set_upstreams(struct pv_bootstrap *b, struct privy_upstreams *set)
{
    if (b && set)
        privy_resolver_set_upstreams(b->resolver, set);
}

void pv_bootstrap_network_changed(struct pv_bootstrap *b)
{
    if (b)
        privy_network_changed(b->resolver);
}

void pv_bootstrap_forget(struct pv_bootstrap *b, const struct pv_endpoint *e)
{
    struct lookup *l = b ? find(b, e) : NULL;
    if (!l)
        return;
    for (unsigned i = 0; i < 2; i++) {
        if (l->families[i].query)
            privy_cancel(l->families[i].query);
    }
    pv_list_remove(&l->link);
    free(l);
}
