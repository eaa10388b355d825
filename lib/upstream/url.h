/* Upstream URLs: tls://HOST[:PORT][#NAME], https://HOST[:PORT]/PATH[#NAME], udp://, tcp://. */
#ifndef PV_UPSTREAM_URL_H
#define PV_UPSTREAM_URL_H

#include "base/addr.h"
#include "base/status.h"

/* A piece of a text. */
struct pv_span {
    const char *at;
    size_t length;
};

struct pv_url {
    char scheme[16]; /* lower case; of a stamp, its protocol's word */
    char host[256];  /* a name (lower case, no trailing dot) or an address without brackets */
    bool is_address;
    struct pv_addr address; /* with port, when is_address */
    uint16_t port;          /* 0: the scheme's default */
    char path[512];         /* with the leading slash and any query or template; "" when none */
    char fragment[256]; /* names the certificate: a name (lower case) or an address; "" when none */
};
/* PRIVY_EINVAL with a message that says what is wrong and what was expected ("did you mean
 * tls://[::1]:853" for an unbracketed IPv6 address). Knows no scheme. */
enum privy_status pv_url_parse(const char *text, struct pv_url *ret, struct privy_error *reterr);
/* What stands behind the ':': 1 to 65535. *ret is void where it is false. */
bool pv_port_parse(struct pv_span, uint16_t *ret);
/* Letters, digits, hyphens and underscores, labels 1 to 63 octets, at most 253. */
bool pv_host_is_name(const char *text);
/* A name whose last label is a number is a mistyped IPv4 address, never a host. */
bool pv_host_ends_in_number(const char *name);

#endif
