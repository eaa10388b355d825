#include "wire/message.h"

struct pv_header pv_header_read(struct pv_reader *r)
{
    struct pv_header h = {.id = pv_u16(r)};
    h.flags = pv_u16(r);
    h.qdcount = pv_u16(r);
    h.ancount = pv_u16(r);
    h.nscount = pv_u16(r);
    h.arcount = pv_u16(r);
    return h;
}

void pv_header_write(struct pv_writer *w, const struct pv_header *h)
{
    pv_write16(w, h->id);
    pv_write16(w, h->flags);
    pv_write16(w, h->qdcount);
    pv_write16(w, h->ancount);
    pv_write16(w, h->nscount);
    pv_write16(w, h->arcount);
}

/* What stands behind the owner. */
static bool read_rest(struct pv_reader *r, const uint8_t *message, struct pv_rr *rr,
                      const char **ret_why)
{
    rr->type = pv_u16(r);
    rr->rrclass = pv_u16(r);
    rr->ttl_offset = (size_t)(r->at - message);
    rr->ttl = pv_u32(r);
    uint16_t length = pv_u16(r);
    if (ret_why)
        *ret_why = r->bad ? "record cut" : "rdata past end";
    rr->rdata = pv_sub(r, length);
    return !r->bad;
}

void pv_questions_skip(struct pv_reader *r, const uint8_t *message, unsigned n)
{
    for (unsigned i = 0; i < n && !r->bad; i++) {
        pv_name_read(r, message, NULL, NULL);
        pv_take(r, 4);
    }
}

bool pv_rr_read(struct pv_reader *r, const uint8_t *message, uint8_t owner[PV_NAME_MAX],
                size_t *ret_owner_length, struct pv_rr *ret, const char **ret_why)
{
    struct pv_rr rr = {.offset = (size_t)(r->at - message)};
    size_t n = pv_name_read(r, message, owner, ret_why);
    if (!n || !read_rest(r, message, &rr, ret_why))
        return false;
    if (ret_owner_length)
        *ret_owner_length = n;
    *ret = rr;
    return true;
}

bool pv_rr_next(struct pv_reader *r, const uint8_t *message, struct pv_rr *ret)
{
    struct pv_rr rr = {.offset = (size_t)(r->at - message)};
    pv_name_skip(r);
    if (!read_rest(r, message, &rr, NULL))
        return false;
    *ret = rr;
    return true;
}

bool pv_rr_check(struct pv_reader *r, const uint8_t *message, struct pv_name_memo *memo,
                 size_t *ret_owner_length, struct pv_rr *ret, const char **ret_why)
{
    struct pv_rr rr = {.offset = (size_t)(r->at - message)};
    size_t n = pv_name_check(r, message, memo, ret_why);
    if (!n || !read_rest(r, message, &rr, ret_why))
        return false;
    *ret_owner_length = n;
    *ret = rr;
    return true;
}

/* A name inside RDATA: it may point before it, and must end within it. */
struct rdata {
    struct pv_reader rest; /* to the end of the message */
    const uint8_t *end;
    const uint8_t *message;
    struct pv_name_memo *memo; /* or NULL */
};

static const char *rdata_name(struct rdata *d)
{
    const char *why = NULL;
    pv_name_check(&d->rest, d->message, d->memo, &why);
    if (why)
        return why;
    return d->rest.at > d->end ? "rdata name past rdlength" : NULL;
}

/* RDATA that is `fixed` octets and a name. */
static const char *check_name(struct rdata *d, size_t fixed, const char *short_why)
{
    if ((size_t)(d->end - d->rest.at) <= fixed)
        return short_why;
    pv_take(&d->rest, fixed);
    const char *why = rdata_name(d);
    if (why)
        return why;
    return d->rest.at < d->end ? "name rdata length" : NULL;
}

static const char *check_soa(struct rdata *d, uint32_t *ret_minimum)
{
    const char *why = rdata_name(d);
    if (!why)
        why = rdata_name(d);
    if (why)
        return why;
    if (d->end - d->rest.at != 20)
        return "SOA rdata";
    if (ret_minimum)
        *ret_minimum = pv_get32(d->end - 4);
    return NULL;
}

const char *pv_rdata_check_memo(const struct pv_rr *rr, const uint8_t *message,
                                size_t message_length, struct pv_name_memo *memo,
                                uint32_t *ret_soa_minimum)
{
    struct rdata d = {.message = message, .memo = memo, .end = rr->rdata.end};
    d.rest = (struct pv_reader){.at = rr->rdata.at, .end = message + message_length};
    switch (rr->type) {
    case PV_T_A:
        return pv_left(&rr->rdata) == 4 ? NULL : "A rdlength";
    case PV_T_AAAA:
        return pv_left(&rr->rdata) == 16 ? NULL : "AAAA rdlength";
    case PV_T_NS:
    case PV_T_CNAME:
    case PV_T_PTR:
    case PV_T_DNAME:
        return check_name(&d, 0, "name rdata length");
    case PV_T_MX:
        return check_name(&d, 2, "MX rdata");
    case PV_T_SRV:
        return check_name(&d, 6, "SRV rdata");
    case PV_T_SOA:
        return check_soa(&d, ret_soa_minimum);
    default:
        return NULL;
    }
}

const char *pv_rdata_check(const struct pv_rr *rr, const uint8_t *message, size_t message_length,
                           uint32_t *ret_soa_minimum)
{
    return pv_rdata_check_memo(rr, message, message_length, NULL, ret_soa_minimum);
}
