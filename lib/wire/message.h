/* The DNS message: header fields, and a walk over resource records [RFC 1035 §4]. */
#ifndef PV_WIRE_MESSAGE_H
#define PV_WIRE_MESSAGE_H

#include "wire/name.h"

#define PV_HEADER      12
#define PV_MESSAGE_MAX 65535

/* Bits of the 16-bit flags word at offset 2. */
enum {
    PV_QR = 0x8000,
    PV_AA = 0x0400,
    PV_TC = 0x0200,
    PV_RD = 0x0100,
    PV_RA = 0x0080,
    PV_Z = 0x0040,
    PV_AD = 0x0020,
    PV_CD = 0x0010
};
#define PV_OPCODE(flags) ((flags) >> 11 & 15)
#define PV_RCODE(flags)  ((flags)&15)

enum {
    PV_NOERROR = 0,
    PV_FORMERR = 1,
    PV_SERVFAIL = 2,
    PV_NXDOMAIN = 3,
    PV_NOTIMP = 4,
    PV_REFUSED = 5,
    PV_NOTAUTH = 9,
    PV_BADVERS = 16
};

enum {
    PV_T_A = 1,
    PV_T_NS = 2,
    PV_T_CNAME = 5,
    PV_T_SOA = 6,
    PV_T_PTR = 12,
    PV_T_HINFO = 13,
    PV_T_MX = 15,
    PV_T_TXT = 16,
    PV_T_SIG = 24,
    PV_T_AAAA = 28,
    PV_T_SRV = 33,
    PV_T_DNAME = 39,
    PV_T_OPT = 41,
    PV_T_DS = 43,
    PV_T_RRSIG = 46,
    PV_T_NSEC = 47,
    PV_T_DNSKEY = 48,
    PV_T_SVCB = 64,
    PV_T_HTTPS = 65,
    PV_T_NXNAME = 128,
    PV_T_TSIG = 250,
    PV_T_IXFR = 251,
    PV_T_AXFR = 252,
    PV_T_MAILB = 253,
    PV_T_MAILA = 254,
    PV_T_ANY = 255
};
enum { PV_C_IN = 1, PV_C_CH = 3, PV_C_NONE = 254, PV_C_ANY = 255 };

struct pv_header {
    uint16_t id, flags, qdcount, ancount, nscount, arcount;
};
struct pv_header pv_header_read(struct pv_reader *);
void pv_header_write(struct pv_writer *, const struct pv_header *);

/* What a question asks; the name in lower case. */
struct pv_question {
    uint8_t name[PV_NAME_MAX];
    uint8_t name_length;
    uint16_t type, rrclass;
};

struct pv_rr {
    size_t offset;     /* of the owner name in the message */
    size_t ttl_offset; /* of the 4 TTL octets */
    uint16_t type, rrclass;
    uint32_t ttl;
    struct pv_reader rdata;
};
/* Skip n questions. */
void pv_questions_skip(struct pv_reader *r, const uint8_t *message, unsigned n);

/* The next record; owner (may be NULL) gets the uncompressed owner, *ret_owner_length its length.
 * False with r bad when it is malformed; *ret_why then says how ("name runs past end",
 * "rdata past end", the reasons of pv_name_read ...). */
bool pv_rr_read(struct pv_reader *r, const uint8_t *message, uint8_t owner[PV_NAME_MAX],
                size_t *ret_owner_length, struct pv_rr *ret, const char **ret_why);
/* The next record of a checked message: the owner is skipped, its pointers not followed. */
bool pv_rr_next(struct pv_reader *r, const uint8_t *message, struct pv_rr *ret);
/* pv_rr_read without output of the owner, for all records of a message in linear time. */
bool pv_rr_check(struct pv_reader *r, const uint8_t *message, struct pv_name_memo *,
                 size_t *ret_owner_length, struct pv_rr *ret, const char **ret_why);
/* Does RDATA of the types of U6 (A, AAAA, NS, CNAME, PTR, DNAME, MX, SOA, SRV) have its form? Other
 * types: yes [RFC 3597 §3]. NULL: yes; else why not ("A rdlength", "rdata name past rdlength",
 * "name rdata length" ...). For SOA *ret_soa_minimum is set (may be NULL). */
const char *pv_rdata_check(const struct pv_rr *, const uint8_t *message, size_t message_length,
                           uint32_t *ret_soa_minimum);
/* The same, with names remembered. */
const char *pv_rdata_check_memo(const struct pv_rr *, const uint8_t *message, size_t message_length,
                                struct pv_name_memo *, uint32_t *ret_soa_minimum);

#endif
