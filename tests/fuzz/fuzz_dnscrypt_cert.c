/* Certificates of DNSCrypt: none is taken that the provider has not signed, or that is out of date.
 *
 * The input is 8 octets (the time, the least serial, what is allowed, the length of strings), then
 * records, each behind its length. One whose signature is all 'S' is signed here, with the key that
 * is trusted. They are offered in a TXT reply; the octets as they are, too, as a whole reply. */
#include "base/status.h"
#include "proto/dnscrypt/cert.h"

#include <sodium.h>

enum { RECORDS = 16, HEAD = 8, BEGINNING = 72, LENGTH = 124 };

static uint8_t public[32], secret[64];
static struct pv_cert_choice choice;
static struct pv_reader signed_records[RECORDS];
static unsigned signed_count;

static const struct pv_question question = {
    .name = "\1a", .name_length = 3, .type = PV_T_TXT, .rrclass = PV_C_IN};

static void sign(uint8_t *record, size_t length)
{
    for (size_t i = 8; i < BEGINNING; i++) {
        if (length < LENGTH || record[i] != 'S')
            return;
    }
    crypto_sign_detached(record + 8, NULL, record + BEGINNING, length - BEGINNING, secret);
    signed_records[signed_count++] = pv_reader(record, length);
}

/* Is it, but for what no signature covers, one that was signed here? */
static bool was_signed(const struct pv_cert *cert)
{
    for (unsigned i = 0; i < signed_count; i++) {
        const uint8_t *record = signed_records[i].at;
        if (memcmp(cert->server, record + 72, 32) == 0 &&
            memcmp(cert->magic, record + 104, 8) == 0 && cert->serial == pv_get32(record + 112) &&
            cert->from == pv_get32(record + 116) && cert->until == pv_get32(record + 120))
            return true;
    }
    return false;
}

static void look_at_choice(void)
{
    const struct pv_cert *best = &choice.best;
    char text[100];
    pv_cert_explain(&choice, text, sizeof text);
    PV_BUG_IF((choice.verdict == PV_CERT_USABLE) != (text[0] == '\0'));
    if (choice.verdict >= PV_CERT_SPAN)
        PV_BUG_IF(!was_signed(best));
    if (choice.verdict != PV_CERT_USABLE)
        return;
    PV_BUG_IF(choice.now < best->from || choice.now > best->until);
    PV_BUG_IF(best->serial < choice.least_serial);
    PV_BUG_IF(best->construction != 2 && !(best->construction == 1 && choice.allow_xsalsa));
    PV_BUG_IF(pv_box_key_is_weak(best->server));
}

static void write_record(struct pv_writer *w, const uint8_t *record, size_t length, size_t piece)
{
    size_t pieces = (length + piece - 1) / piece;
    pv_write(w, question.name, question.name_length);
    pv_write16(w, PV_T_TXT);
    pv_write16(w, PV_C_IN);
    pv_write32(w, 60);
    pv_write16(w, (uint16_t)(length + pieces));
    for (size_t i = 0; i < length; i += piece) {
        size_t n = length - i < piece ? length - i : piece;
        pv_write8(w, (uint8_t)n);
        pv_write(w, record + i, n);
    }
}

static void offer_records(struct pv_reader in, size_t piece)
{
    static uint8_t message[PV_MESSAGE_MAX], records[PV_MESSAGE_MAX];
    struct pv_writer w = pv_writer(message, sizeof message),
                     copy = pv_writer(records, sizeof records);
    uint16_t count = 0;
    pv_header_write(&w, &(struct pv_header){.flags = PV_QR, .qdcount = 1});
    pv_write(&w, question.name, question.name_length);
    pv_write16(&w, PV_T_TXT);
    pv_write16(&w, PV_C_IN);
    while (pv_left(&in) > 2 && count < RECORDS) {
        uint16_t length = pv_u16(&in);
        const uint8_t *bytes = pv_take(&in, length);
        uint8_t *record = bytes ? pv_room(&copy, length) : NULL;
        if (!record || length > 4096)
            break;
        memcpy(record, bytes, length);
        sign(record, length);
        write_record(&w, record, length, piece);
        count++;
    }
    if (!w.full)
        pv_cert_offer_all(&choice, message, pv_written(&w), &question);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[32] = "a provider of fuzz";
    struct pv_reader in = pv_reader(data, size);
    PV_BUG_IF(sodium_init() < 0 || crypto_sign_seed_keypair(public, secret, seed) != 0);
    uint32_t now = pv_u32(&in);
    uint16_t least = pv_u16(&in);
    uint8_t allowed = pv_u8(&in), piece = pv_u8(&in);
    if (size > PV_MESSAGE_MAX || in.bad)
        return 0;
    choice = (struct pv_cert_choice){
        .provider_key = public, .now = now, .least_serial = least, .allow_xsalsa = allowed & 1};
    signed_count = 0;
    offer_records(in, piece ? piece : 1);
    look_at_choice();
    if (size > HEAD + PV_HEADER)
        pv_cert_offer_all(&choice, data + HEAD, size - HEAD, &question);
    look_at_choice();
    return 0;
}
