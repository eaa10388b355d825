#include "peer.h"

#include "h2_peer.h"

#include "base/status.h"
#include "wire/edns.h"
#include "wire/message.h"

enum { MESSAGE = 1024 };

unsigned peer_number(const uint8_t *name)
{
    unsigned n = 0;
    if (name[0] < 2 || name[0] > 4 || name[1] != 'n' || memcmp(name + name[0] + 1, "\7example", 9))
        return 0;
    for (unsigned i = 2; i <= name[0]; i++)
        n = n * 10 + name[i] - '0';
    return n;
}

static uint16_t flags_of(enum deed deed)
{
    switch (deed) {
    case PEER_DENIES:
        return PV_QR | PV_RD | PV_RA | PV_NXDOMAIN;
    case PEER_FAILS:
        return PV_QR | PV_RD | PV_RA | PV_SERVFAIL;
    case PEER_CUTS:
        return PV_QR | PV_RD | PV_RA | PV_TC;
    case PEER_REFUSES:
        return PV_QR | PV_RD | PV_RA | PV_REFUSED;
    case PEER_REFERS:
        return PV_QR | PV_RD;
    default:
        return PV_QR | PV_RD | PV_RA;
    }
}

static void write_record(struct pv_writer *w, uint16_t type, const void *rdata, uint16_t length)
{
    pv_write16(w, 0xc000 | PV_HEADER);
    pv_write16(w, type);
    pv_write16(w, PV_C_IN);
    pv_write32(w, 300);
    pv_write16(w, length);
    pv_write(w, rdata, length);
}

static void write_opt(struct pv_writer *w, enum deed deed)
{
    uint8_t *opt = pv_opt_begin(w, 1232, 0, false);
    const uint8_t idle[2] = {0, 10};
    if (deed == PEER_CLOSES_SOON || deed == PEER_KEEPS_SHORTLY)
        pv_opt_add(w, opt, PV_OPT_KEEPALIVE, deed == PEER_CLOSES_SOON ? NULL : idle, 2);
    if (deed == PEER_FAILS)
        pv_opt_add(w, opt, PV_OPT_EDE, "\0\26unreachable", 13);
}

/* Returns its length. */
static size_t write_answer(const struct world_message *m, enum deed deed, uint8_t *out)
{
    static const uint8_t soa[22] = {[21] = 60};
    struct pv_reader r = pv_reader(m->bytes, m->length);
    struct pv_header h = pv_header_read(&r);
    const uint8_t *question = r.at;
    size_t name = pv_name_read_plain(&r, NULL);
    uint16_t type = pv_u16(&r);
    bool negative = deed == PEER_DENIES || (deed < PEER_REFUSES && type != PV_T_A);
    bool bare = deed == PEER_FAILS || deed == PEER_CUTS || deed == PEER_REFUSES;
    const uint8_t address[4] = {192, 0, 2, (uint8_t)peer_number(question)};
    struct pv_writer w = pv_writer(out, MESSAGE);
    h.flags = flags_of(deed);
    h.qdcount = deed != PEER_REFUSES;
    h.nscount = deed == PEER_REFERS || (negative && !bare);
    h.ancount = !bare && !h.nscount && type == PV_T_A;
    h.arcount = 1;
    pv_header_write(&w, &h);
    if (h.qdcount)
        pv_write(&w, question, name + 4);
    if (h.ancount)
        write_record(&w, PV_T_A, address, 4);
    if (h.nscount && deed == PEER_REFERS)
        write_record(&w, PV_T_NS, "", 1);
    else if (h.nscount)
        write_record(&w, PV_T_SOA, soa, sizeof soa);
    write_opt(&w, deed);
    if (deed == PEER_ADDS)
        pv_write(&w, "behind", 6);
    PV_BUG_IF(w.full);
    return pv_written(&w);
}

/* Returns its length. */
static size_t spoil(uint8_t *answer, size_t length, const struct world_message *m, enum deed deed)
{
    if (deed == PEER_OTHER_ID)
        answer[0] ^= 0x5a;
    if (deed == PEER_OTHER_NAME)
        answer[PV_HEADER + 1] ^= 2;
    if (deed == PEER_GARBLES)
        memset(answer + 2, 0xa5, length - 2);
    if (deed == PEER_BREAKS_OFF)
        return length - 20;
    if (deed != PEER_ECHOES)
        return length;
    memcpy(answer, m->bytes, m->length < length ? m->length : length);
    return m->length < length ? m->length : length;
}

void peer_does(struct pv_sock *s, struct world_message *m, enum deed deed)
{
    uint8_t answer[MESSAGE];
    size_t length = spoil(answer, write_answer(m, deed, answer), m, deed);
    for (unsigned i = 0; i < (deed == PEER_REPEATS ? 2 : 1); i++) {
        if (h2_peer_is_on(s))
            h2_peer_answers(s, m, answer, length);
        else
            world_answer(s, answer, length);
    }
    m->answered = true;
    if (deed != PEER_REMEMBERS)
        world_forget(m);
}
