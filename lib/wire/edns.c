#include "wire/edns.h"

struct pv_edns pv_edns_read(uint16_t rrclass, uint32_t ttl, struct pv_reader rdata)
{
    return (struct pv_edns){.present = true,
                            .dnssec_ok = ttl & 0x8000,
                            .version = (uint8_t)(ttl >> 16),
                            .extended_rcode = (uint8_t)(ttl >> 24),
                            .udp_size = rrclass,
                            .options = rdata};
}

bool pv_option_read(struct pv_reader *options, struct pv_option *ret)
{
    if (options->bad || pv_left(options) == 0)
        return false;
    struct pv_option option = {.code = pv_u16(options)};
    option.length = pv_u16(options);
    option.data = pv_take(options, option.length);
    if (options->bad)
        return false;
    *ret = option;
    return true;
}

uint8_t *pv_opt_begin(struct pv_writer *w, uint16_t udp_size, uint8_t extended_rcode,
                      bool dnssec_ok)
{
    uint8_t *p = pv_room(w, 11);
    if (!p)
        return NULL;
    memset(p, 0, 11); /* the root, version 0, RDLENGTH 0 */
    pv_put16(p + 1, 41);
    pv_put16(p + 3, udp_size);
    p[5] = extended_rcode;
    p[7] = dnssec_ok ? 0x80 : 0;
    return p + 9;
}

void pv_opt_add(struct pv_writer *w, uint8_t *rdlength, uint16_t code, const void *data, uint16_t n)
{
    uint8_t *p = rdlength ? pv_room(w, 4u + n) : NULL;
    if (!p)
        return;
    pv_put16(p, code);
    pv_put16(p + 2, n);
    if (data && n)
        memcpy(p + 4, data, n);
    else
        memset(p + 4, 0, n);
    pv_put16(rdlength, (uint16_t)(pv_get16(rdlength) + 4 + n));
}

void pv_opt_pad(struct pv_writer *w, uint8_t *rdlength, unsigned block)
{
    if (block == 0)
        return;
    unsigned over = (unsigned)((pv_written(w) + 4) % block);
    pv_opt_add(w, rdlength, PV_OPT_PADDING, NULL, (uint16_t)(over ? block - over : 0));
}
