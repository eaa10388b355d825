#include "proto/dnscrypt/cert.h"

#include "wire/text.h"

#include <sodium.h>
#include <stdio.h>

enum {
    SIGNATURE_AT = 8,
    SIGNED_AT = 72, /* to the end, extensions included */
    LENGTH = 124,   /* without extensions */
    RESERVED_ZEROS = 7,
    RECORDS_MOST = 64, /* looked at in one reply: each costs a signature */
};

bool pv_cert_equal(const struct pv_cert *a, const struct pv_cert *b)
{
    return a->construction == b->construction && a->serial == b->serial && a->from == b->from &&
           a->until == b->until && memcmp(a->server, b->server, sizeof a->server) == 0 &&
           memcmp(a->magic, b->magic, sizeof a->magic) == 0;
}

/* ---- one ---- */

static struct pv_cert read_fields(const uint8_t *record)
{
    struct pv_cert c = {
        .construction = pv_get16(record + 4),
        .serial = pv_get32(record + 112),
        .from = pv_get32(record + 116),
        .until = pv_get32(record + 120),
    };
    memcpy(c.server, record + SIGNED_AT, sizeof c.server);
    memcpy(c.magic, record + 104, sizeof c.magic);
    return c;
}

/* Seven zeros begin a QUIC packet, 0xff eight times what is for a relay; and with the magic of
 * replies a query could not be told from one. */
static bool is_reserved(const uint8_t magic[PV_BOX_MAGIC])
{
    static const uint8_t zeros[RESERVED_ZEROS],
        ones[PV_BOX_MAGIC] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    return memcmp(magic, zeros, sizeof zeros) == 0 || memcmp(magic, ones, sizeof ones) == 0 ||
           memcmp(magic, pv_box_reply_magic, PV_BOX_MAGIC) == 0;
}

enum pv_cert_verdict pv_cert_check(const uint8_t *record, size_t length,
                                   const uint8_t provider_key[PV_BOX_KEY], uint32_t now,
                                   struct pv_cert *ret)
{
    if (length < LENGTH)
        return PV_CERT_SHORT;
    *ret = read_fields(record);
    if (memcmp(record, "DNSC", 4) != 0)
        return PV_CERT_MAGIC;
    if (ret->construction != PV_X25519_XSALSA20 && ret->construction != PV_X25519_XCHACHA20)
        return PV_CERT_UNKNOWN;
    if (crypto_sign_verify_detached(record + SIGNATURE_AT, record + SIGNED_AT, length - SIGNED_AT,
                                    provider_key) != 0)
        return PV_CERT_SIGNATURE;
    if (ret->from >= ret->until)
        return PV_CERT_SPAN;
    if (is_reserved(ret->magic))
        return PV_CERT_RESERVED;
    if (pv_box_key_is_weak(ret->server))
        return PV_CERT_WEAK;
    return now < ret->from ? PV_CERT_EARLY : now > ret->until ? PV_CERT_LATE : PV_CERT_USABLE;
}

/* ---- one of many ---- */

static bool is_better(const struct pv_cert *a, const struct pv_cert *b)
{
    if (a->serial != b->serial)
        return a->serial > b->serial;
    if (a->construction != b->construction)
        return a->construction > b->construction;
    return a->from > b->from;
}

/* The one in use stays while nothing has a higher serial: there are servers that sign all of theirs
 * with the same one, and not all of a provider's machines have the newest at the same time. */
static bool takes_its_place(const struct pv_cert_choice *c, const struct pv_cert *cert)
{
    const struct pv_cert *best = &c->best;
    if (cert->serial == best->serial && c->current && pv_cert_equal(best, c->current))
        return false;
    if (cert->serial == best->serial && c->current && pv_cert_equal(cert, c->current))
        return true;
    return is_better(cert, best);
}

void pv_cert_offer(struct pv_cert_choice *c, const uint8_t *record, size_t length)
{
    struct pv_cert cert = {0};
    enum pv_cert_verdict verdict = pv_cert_check(record, length, c->provider_key, c->now, &cert);
    c->offered++;
    if (verdict == PV_CERT_USABLE && cert.construction == PV_X25519_XSALSA20 && !c->allow_xsalsa)
        verdict = PV_CERT_UNWANTED;
    else if (verdict == PV_CERT_USABLE && cert.serial < c->least_serial)
        verdict = PV_CERT_BACKWARDS;
    if (verdict < c->verdict)
        return;
    if (verdict > c->verdict || takes_its_place(c, &cert))
        c->best = cert;
    c->verdict = verdict;
}

/* ---- out of a reply ---- */

/* The character-strings of one record, as raw octets. */
static bool join(struct pv_reader rdata, uint8_t *out, size_t *ret_length)
{
    size_t n = 0;
    while (pv_left(&rdata) > 0) {
        uint8_t length = pv_u8(&rdata);
        const uint8_t *string = pv_take(&rdata, length);
        if (!string || length > PV_CERT_RECORD_MOST - n)
            return false;
        memcpy(out + n, string, length);
        n += length;
    }
    *ret_length = n;
    return true;
}

bool pv_cert_next_record(struct pv_reader *r, const uint8_t *message,
                         const struct pv_question *question, uint8_t *out, size_t *ret_length)
{
    uint8_t owner[PV_NAME_MAX];
    size_t owner_length;
    const char *why;
    struct pv_rr rr;
    while (pv_rr_read(r, message, owner, &owner_length, &rr, &why)) {
        bool ours = rr.type == PV_T_TXT && rr.rrclass == PV_C_IN &&
                    owner_length == question->name_length &&
                    pv_name_equal(owner, question->name, owner_length);
        if (ours && join(rr.rdata, out, ret_length))
            return true;
    }
    return false;
}

void pv_cert_offer_all(struct pv_cert_choice *c, const uint8_t *message, size_t length,
                       const struct pv_question *question)
{
    uint8_t record[PV_CERT_RECORD_MOST];
    struct pv_reader r = pv_reader(message, length);
    struct pv_header header = pv_header_read(&r);
    size_t n;
    pv_questions_skip(&r, message, header.qdcount);
    for (unsigned i = 0; i < RECORDS_MOST; i++) {
        if (!pv_cert_next_record(&r, message, question, record, &n))
            return;
        pv_cert_offer(c, record, n);
    }
}

/* ---- in words ---- */

static void date(uint32_t unix_time, char out[32])
{
    struct pv_day d = pv_day_of(unix_time);
    snprintf(out, 32, "%04u-%02u-%02u", d.year, d.month, d.day);
}

void pv_cert_explain(const struct pv_cert_choice *c, char *out, size_t capacity)
{
    static const char *const text[] = {
        [PV_CERT_NONE] = "the server has no certificate for this provider name",
        [PV_CERT_SHORT] = "the server has no certificate for this provider name",
        [PV_CERT_MAGIC] = "the server has no certificate for this provider name",
        [PV_CERT_UNKNOWN] = "no certificate with a construction that is known here",
        [PV_CERT_SIGNATURE] = "no certificate signed by the provider key",
        [PV_CERT_SPAN] = "certificate ends before it begins",
        [PV_CERT_RESERVED] = "certificate with a reserved client-magic",
        [PV_CERT_WEAK] = "certificate with a weak key",
        [PV_CERT_UNWANTED] = "no certificate but for XSalsa20, and allow_xsalsa is off",
    };
    char day[32];
    switch (c->verdict) {
    case PV_CERT_EARLY:
        date(c->best.from, day);
        snprintf(out, capacity, "certificate not valid before %s: check the clock", day);
        return;
    case PV_CERT_LATE:
        date(c->best.until, day);
        snprintf(out, capacity, "certificate expired on %s: check the clock", day);
        return;
    case PV_CERT_BACKWARDS:
        snprintf(out, capacity, "certificate serial goes backwards: %u after %u",
                 (unsigned)c->best.serial, (unsigned)c->least_serial);
        return;
    default:
        snprintf(out, capacity, "%s", c->verdict == PV_CERT_USABLE ? "" : text[c->verdict]);
    }
}
