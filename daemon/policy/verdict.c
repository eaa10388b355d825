#include "policy/verdict.h"

#include <stdlib.h>

struct policy *policy_new(struct config *config)
{
    struct policy *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->refs = 1;
    p->config = config_ref(config);
    if (!routes_init(&p->routes, config)) {
        policy_unref(p);
        return NULL;
    }
    return p;
}

struct policy *policy_ref(struct policy *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void policy_unref(struct policy *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    routes_done(&p->routes);
    config_unref(p->config);
    free(p);
}

/* ---- verdicts ---- */

static struct verdict error(const struct pv_query_view *q, uint16_t rcode, int ede, const char *why)
{
    return (struct verdict){.kind = VERDICT_ERROR,
                            .rcode = rcode,
                            .ede = ede,
                            .why = why,
                            .with_question = true,
                            .with_opt = q->edns.present};
}

static struct verdict form_error(const struct pv_query_view *q, const char *why)
{
    struct verdict v = error(q, PV_FORMERR, -1, why);
    v.malformed = true;
    return v;
}

static struct verdict opt_error(const struct pv_query_view *q, uint16_t rcode, const char *why)
{
    struct verdict v = form_error(q, why);
    v.rcode = rcode;
    v.with_opt = v.opt_at_fault = true;
    return v;
}

static struct verdict bare_error(const struct pv_query_view *q, uint16_t rcode, bool with_opt,
                                 const char *why)
{
    struct verdict v = form_error(q, why);
    v.rcode = rcode;
    v.with_question = false;
    v.with_opt = with_opt;
    return v;
}

/* Rows B1 to B10: what the parser found. */
static struct verdict of_fault(const struct pv_query_view *q)
{
    switch (q->fault) {
    case PV_FAULT_OPCODE:
        return bare_error(q, PV_NOTIMP, false, "opcode");
    case PV_FAULT_HEADER:
        return bare_error(q, PV_FORMERR, false, "question");
    case PV_FAULT_NO_QUESTION:
        return bare_error(q, PV_FORMERR, q->edns.present, "no question");
    case PV_FAULT_RECORD: {
        struct verdict v = form_error(q, "record");
        v.with_opt = false;
        return v;
    }
    case PV_FAULT_OPT:
        return opt_error(q, PV_FORMERR, "OPT");
    case PV_FAULT_VERSION:
        return opt_error(q, PV_BADVERS, "EDNS version");
    case PV_FAULT_OPTION:
        return opt_error(q, PV_FORMERR, "EDNS option");
    case PV_FAULT_SHORT:
    case PV_FAULT_RESPONSE:
    case PV_FINE:
        break;
    }
    return (struct verdict){.kind = VERDICT_DROP, .ede = -1, .why = "no query", .malformed = true};
}

static bool allowed(const struct config *config, const struct pv_addr *source)
{
    for (size_t i = 0; i < config->allow.count; i++)
        if (pv_prefix_has(&config->allow.items[i], source))
            return true;
    return false;
}

/* Rows B13 to B19: types and classes that are no ordinary question. True: *ret tells. */
static bool of_type(const struct pv_query_view *q, struct verdict *ret)
{
    uint16_t type = q->question.type, rrclass = q->question.rrclass;
    if (type == PV_T_AXFR || type == PV_T_IXFR)
        *ret = error(q, PV_REFUSED, PV_EDE_NOT_SUPPORTED, "zone transfer");
    else if (q->header.ancount || q->header.nscount)
        *ret = form_error(q, "records in a query");
    else if (type == 0 || type == PV_T_OPT || type == PV_T_TSIG)
        *ret = form_error(q, "type");
    else if (type == PV_T_NXNAME)
        *ret = error(q, PV_FORMERR, PV_EDE_INVALID_QUERY_TYPE, "type NXNAME");
    else if (type == PV_T_MAILB || type == PV_T_MAILA)
        *ret = error(q, PV_NOTIMP, PV_EDE_NOT_SUPPORTED, "type MAILA or MAILB");
    else if (rrclass == 0 || rrclass == PV_C_NONE)
        *ret = form_error(q, "class");
    else if (rrclass == PV_C_CH)
        *ret = error(q, PV_REFUSED, PV_EDE_NOT_SUPPORTED, "class CH");
    else
        return false;
    return true;
}

/* ANY, where it is not simply forwarded [RFC 8482]. */
static bool of_any(const struct config *config, const struct pv_query_view *q, bool tcp,
                   struct verdict *ret)
{
    if (q->question.type != PV_T_ANY || config->any == ANY_FORWARD)
        return false;
    if (config->any == ANY_REFUSE) {
        *ret = error(q, PV_REFUSED, PV_EDE_NOT_SUPPORTED, "type ANY");
        return true;
    }
    if (tcp || q->edns.dnssec_ok)
        return false;
    *ret = (struct verdict){.kind = VERDICT_HINFO, .ede = -1};
    return true;
}

/* Rows B19a to B22. */
static struct verdict of_name(const struct policy *p, const struct pv_query_view *q, bool tcp)
{
    const struct config *config = p->config;
    struct verdict v = {.kind = VERDICT_FORWARD, .ede = -1, .pool = config->default_pool};
    struct route_match route;
    bool routed = routes_find(&p->routes, q->question.name, q->question.name_length, &route);
    if (routed)
        v.pool = route.pool;
    bool decided =
        routed && route.zone_length > 1; /* a route, but the root's, beats special names */
    if (config->special && !decided &&
        special_find(q->question.name, q->question.name_length, &v.special) &&
        !special_forwards(&v.special, q)) {
        v.kind = VERDICT_SPECIAL;
        return v;
    }
    struct verdict any;
    if (!q->is_signed && of_any(config, q, tcp, &any))
        return any;
    if (!(q->header.flags & PV_RD)) {
        const struct config_pool *pool = v.pool;
        v = error(q, PV_REFUSED, PV_EDE_NOT_AUTHORITATIVE, "RD=0 and not cached");
        v.kind = VERDICT_CACHE;
        v.pool = pool;
    } else if (q->is_signed && q->has_ecs) {
        return error(q, PV_REFUSED, -1, "client subnet in a signed query");
    } else if (q->is_signed) {
        v.kind = VERDICT_OPAQUE;
    }
    return v;
}

struct verdict verdict_of(const struct policy *p, const struct pv_query_view *q, bool tcp,
                          const struct pv_addr *source)
{
    struct verdict v;
    if (q->fault != PV_FINE)
        return of_fault(q);
    if (tcp && q->has_keepalive && q->keepalive_length)
        return opt_error(q, PV_FORMERR, "keepalive with a timeout");
    if (!allowed(p->config, source))
        return error(q, PV_REFUSED, PV_EDE_PROHIBITED, "not in the allow list");
    if (of_type(q, &v))
        return v;
    return of_name(p, q, tcp);
}
