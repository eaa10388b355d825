/* EDNS(0): the OPT record, its options, and how we write ours [RFC 6891]. */
#ifndef PV_WIRE_EDNS_H
#define PV_WIRE_EDNS_H

#include "base/buf.h"

enum {
    PV_OPT_ECS = 8,
    PV_OPT_COOKIE = 10,
    PV_OPT_KEEPALIVE = 11,
    PV_OPT_PADDING = 12,
    PV_OPT_EDE = 15
};

/* Extended DNS Errors [RFC 8914 §4]. */
enum {
    PV_EDE_OTHER = 0,
    PV_EDE_STALE = 3,
    PV_EDE_CACHED_ERROR = 13,
    PV_EDE_NOT_READY = 14,
    PV_EDE_BLOCKED = 15,
    PV_EDE_PROHIBITED = 18,
    PV_EDE_STALE_NXDOMAIN = 19,
    PV_EDE_NOT_AUTHORITATIVE = 20,
    PV_EDE_NOT_SUPPORTED = 21,
    PV_EDE_UNREACHABLE = 22,
    PV_EDE_NETWORK = 23,
    PV_EDE_INVALID_QUERY_TYPE = 30
};

struct pv_edns {
    bool present;
    bool dnssec_ok;
    uint8_t version, extended_rcode; /* the upper 8 bits of the RCODE */
    uint16_t udp_size;
    struct pv_reader options; /* the RDATA */
};

/* From the parts of an OPT record: its class, its TTL, its RDATA. */
struct pv_edns pv_edns_read(uint16_t rrclass, uint32_t ttl, struct pv_reader rdata);

struct pv_option {
    uint16_t code, length;
    const uint8_t *data;
};
/* The next option; false at the end, or with r bad when it overruns [RFC 6891 §6.1.2]. */
bool pv_option_read(struct pv_reader *options, struct pv_option *ret);

/* Write the fixed part of an OPT with empty RDATA; returns where RDLENGTH stands for the calls
 * below, NULL when full. */
uint8_t *pv_opt_begin(struct pv_writer *, uint16_t udp_size, uint8_t extended_rcode,
                      bool dnssec_ok);
/* Append one option and add it to RDLENGTH. data NULL: zeros. */
void pv_opt_add(struct pv_writer *, uint8_t *rdlength, uint16_t code, const void *data, uint16_t n);
/* Pad the whole message written so far to a multiple of block with option 12, zeros [RFC 7830 §3;
 * RFC 8467 §4.1]: length (-(n + 4)) mod block. Must be the last option. */
void pv_opt_pad(struct pv_writer *, uint8_t *rdlength, unsigned block);

#endif
