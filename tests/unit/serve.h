/* A policy made by hand, for the tests of what the daemon does with a query. */
#ifndef SERVE_H
#define SERVE_H

#include "policy/verdict.h"
#include "serve/request.h"

#include <assert.h>

#define LOCAL "127.0.0.0/8"

struct site {
    struct pv_prefix allow;
    struct config_pool pools[3];
    struct config_route routes[2];
    struct config_zone zones[2];
    struct config config;
    struct policy *policy;
};

static inline void site_zone(struct config_zone *zone, const char *text)
{
    bool good = pv_name_from_text(text, strlen(text), zone->name, &zone->length);
    assert(good);
    (void)good;
}

/* The defaults; route: a zone that pool 1 answers for, outer: one of pool 2; each may be NULL. */
static inline struct policy *site_init(struct site *s, const char *route, const char *outer)
{
    const char *texts[] = {route, outer};
    *s = (struct site){.pools = {{.name = "default"}, {.name = "one"}, {.name = "two"}}};
    bool good = pv_prefix_parse(LOCAL, strlen(LOCAL), &s->allow);
    assert(good);
    (void)good;
    struct config *c = &s->config;
    c->refs = 1;
    c->allow = (struct config_prefixes){&s->allow, 1};
    c->pools = s->pools;
    c->pool_count = 3;
    c->default_pool = &s->pools[0];
    c->special = 1;
    c->edns_size = 1232;
    c->limits.inflight = 10;
    c->routes = s->routes;
    for (size_t i = 0; i < 2; i++) {
        if (!texts[i])
            continue;
        struct config_zone *zone = &s->zones[c->route_count];
        site_zone(zone, texts[i]);
        s->routes[c->route_count++] =
            (struct config_route){{zone, 1}, NULL, &s->pools[i + 1], NULL};
    }
    return s->policy = policy_new(c);
}

static inline struct arrival site_arrival(const uint8_t *bytes, size_t length, bool tcp)
{
    static const char peer[] = "127.0.0.1:4000";
    struct arrival a = {.bytes = bytes, .length = length, .tcp = tcp, .keepalive_value = 100};
    bool good = pv_addr_parse(peer, sizeof peer - 1, 0, &a.peer);
    assert(good);
    (void)good;
    return a;
}

/* A query message: RD set, with OPT where udp_size is not 0. Returns its length. */
static inline size_t site_query(uint8_t *out, size_t capacity, const char *name, uint16_t type,
                                uint16_t rrclass, uint16_t udp_size, bool dnssec_ok)
{
    struct pv_writer w = pv_writer(out, capacity);
    struct pv_header h = {.id = 0x1234, .flags = PV_RD, .qdcount = 1, .arcount = udp_size != 0};
    uint8_t wire[PV_NAME_MAX];
    size_t length = 0;
    bool good = pv_name_from_text(name, strlen(name), wire, &length);
    assert(good);
    (void)good;
    pv_header_write(&w, &h);
    pv_write(&w, wire, length);
    pv_write16(&w, type);
    pv_write16(&w, rrclass);
    if (udp_size)
        pv_opt_begin(&w, udp_size, 0, dnssec_ok);
    return pv_written(&w);
}

#endif
