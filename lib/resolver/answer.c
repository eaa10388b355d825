#include "resolver/answer.h"

#include "wire/text.h"
#include "wire/rrtype.h"

struct privy_answer *pv_answer_new(size_t capacity)
{
    struct privy_answer *a = calloc(1, sizeof *a + capacity);
    if (a)
        a->refs = 1;
    return a;
}

struct privy_answer *privy_answer_ref(const struct privy_answer *a)
{
    struct privy_answer *own = (struct privy_answer *)(uintptr_t)a;
    atomic_fetch_add(&own->refs, 1);
    return own;
}

void privy_answer_unref(struct privy_answer *a)
{
    if (a && atomic_fetch_sub(&a->refs, 1) == 1)
        free(a);
}

/* ---- making ---- */

void pv_answer_fit(uint8_t *wire, size_t length, const struct pv_asker_view *v)
{
    uint16_t flags = pv_get16(wire + 2);
    flags = (uint16_t)(PV_QR | PV_RA | (flags & (PV_TC | PV_AD | 15)));
    if (v->recursion_desired)
        flags |= PV_RD;
    if (v->checking_disabled)
        flags |= PV_CD;
    if (!v->wants_ad)
        flags &= (uint16_t)~PV_AD;
    pv_put16(wire, v->id);
    pv_put16(wire + 2, flags);
    if (pv_get16(wire + 4) == 1 && length >= PV_HEADER + (size_t)v->question_length)
        memcpy(wire + PV_HEADER, v->question, v->question_length);
}

static void copy_facts(struct privy_answer *out, const struct pv_attempt *from)
{
    snprintf(out->upstream, sizeof out->upstream, "%s", from->upstream->name);
    snprintf(out->protocol, sizeof out->protocol, "%s", from->upstream->proto->name);
    out->facts.upstream = out->upstream;
    out->facts.protocol = out->protocol;
    out->facts.reused = from->reused;
    out->facts.resumed = from->resumed;
    out->facts.client_auth = from->client_auth;
    out->rcode = from->reply.rcode;
    out->ede_count = from->reply.ede_count;
    for (unsigned i = 0; i < out->ede_count; i++) {
        const struct pv_ede *ede = &from->reply.ede[i];
        size_t most = sizeof out->ede[i].text;
        out->ede[i].code = ede->code;
        out->ede[i].length = (uint16_t)(ede->text_length < most ? ede->text_length : most);
        memcpy(out->ede[i].text, ede->text, out->ede[i].length);
    }
}

/* Opaque: only the id is the asker's [RFC 8945 §5.5]. */
static struct privy_answer *make_opaque(const struct pv_asker_view *v,
                                        const struct pv_attempt *from)
{
    struct privy_answer *out = pv_answer_new(from->answer_length);
    if (!out)
        return NULL;
    memcpy(out->wire, from->answer, from->answer_length);
    out->length = from->answer_length;
    pv_put16(out->wire, v->id);
    copy_facts(out, from);
    return out;
}

static uint32_t ttl_of(const struct pv_attempt *from)
{
    return from->reply.ttl > from->age ? from->reply.ttl - from->age : 0;
}

struct privy_answer *pv_answer_make(const struct pv_entry *e, uint64_t age_now,
                                    const struct pv_asker_view *v, const struct pv_attempt *from)
{
    if (!e)
        return make_opaque(v, from);
    struct privy_answer *out = pv_answer_new(e->length);
    if (!out)
        return NULL;
    out->length = pv_entry_write(e, age_now, out->wire, e->length);
    out->rcode = PV_RCODE(pv_get16(out->wire + 2));
    out->ttl = e->ttl ? pv_entry_left(e, age_now) : from ? ttl_of(from) : 0;
    out->facts.failure = e->failure;
    pv_answer_fit(out->wire, out->length, v);
    if (from)
        copy_facts(out, from);
    else
        out->facts.cached = true;
    return out;
}

/* ---- reading ---- */

const uint8_t *privy_answer_wire(const struct privy_answer *a, size_t *ret_length)
{
    *ret_length = a->length;
    return a->wire;
}

unsigned privy_answer_rcode(const struct privy_answer *a)
{
    return a->rcode;
}

uint32_t privy_answer_ttl(const struct privy_answer *a)
{
    return a->ttl;
}

const struct privy_facts *privy_answer_facts(const struct privy_answer *a)
{
    return &a->facts;
}

bool privy_answer_ede(const struct privy_answer *a, unsigned i, uint16_t *ret_code,
                      const char **ret_text, size_t *ret_length)
{
    if (i >= a->ede_count)
        return false;
    *ret_code = a->ede[i].code;
    *ret_text = a->ede[i].text;
    *ret_length = a->ede[i].length;
    return true;
}

/* Where the records begin; the cursor of privy_answer_record() counts from 0, so 0 means here. */
static size_t skip_questions(const struct privy_answer *a)
{
    struct pv_reader r = pv_reader(a->wire, a->length);
    struct pv_header h = pv_header_read(&r);
    pv_questions_skip(&r, a->wire, h.qdcount);
    return r.bad ? a->length : (size_t)(r.at - a->wire);
}

/* Sections follow from how many records lie before. */
static uint8_t section_of(const struct pv_header *h, size_t index)
{
    if (index < h->ancount)
        return 1;
    return index < (size_t)h->ancount + h->nscount ? 2 : 3;
}

/* The cursor holds offset and index of the next record. */
bool privy_answer_record(const struct privy_answer *a, size_t *cursor, struct privy_record *ret)
{
    struct pv_reader head = pv_reader(a->wire, a->length);
    struct pv_header h = pv_header_read(&head);
    size_t offset = *cursor & 0xffff, index = *cursor >> 16;
    uint8_t owner[PV_NAME_MAX];
    size_t owner_length;
    struct pv_rr rr;
    if (offset == 0)
        offset = skip_questions(a);
    struct pv_reader r = pv_reader(a->wire, a->length);
    if (!pv_take(&r, offset) || index >= (size_t)h.ancount + h.nscount + h.arcount ||
        !pv_rr_read(&r, a->wire, owner, &owner_length, &rr, NULL))
        return false;
    pv_name_to_text(owner, ret->owner);
    ret->type = rr.type;
    ret->rrclass = rr.rrclass;
    ret->section = section_of(&h, index);
    ret->ttl = rr.ttl;
    ret->rdata = rr.rdata.at;
    ret->rdata_length = (uint16_t)pv_left(&rr.rdata);
    *cursor = (index + 1) << 16 | (size_t)(r.at - a->wire);
    return true;
}

size_t privy_record_text(const struct privy_answer *a, const struct privy_record *record, char *out,
                         size_t capacity)
{
    return pv_rdata_text(a->wire, a->length, record->type, record->rdata, record->rdata_length, out,
                         capacity);
}
