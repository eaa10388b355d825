/* Socket addresses: text to address and back, comparison, prefixes. */
#ifndef PV_BASE_ADDR_H
#define PV_BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct pv_addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    };
};

#define PV_ADDR_TEXT 64 /* "[addr%scope]:port" with NUL */

/* "192.0.2.1", "192.0.2.1:853", "[2001:db8::1]:853", "2001:db8::1", "[fe80::1%2]:53". No names.
 * Without a port, default_port. False: not such an address; nothing written. */
bool pv_addr_parse(const char *text, size_t length, uint16_t default_port, struct pv_addr *ret);
const char *pv_addr_text(const struct pv_addr *, char out[PV_ADDR_TEXT]); /* with port */
const char *pv_addr_host(const struct pv_addr *, char out[PV_ADDR_TEXT]); /* without, no brackets */
socklen_t pv_addr_size(const struct pv_addr *);
uint16_t pv_addr_port(const struct pv_addr *);
void pv_addr_set_port(struct pv_addr *, uint16_t port);
/* Address and port. An IPv4-mapped IPv6 address is its IPv4 address. */
bool pv_addr_equal(const struct pv_addr *, const struct pv_addr *);
bool pv_addr_same_host(const struct pv_addr *, const struct pv_addr *); /* address only */
bool pv_addr_is_loopback(const struct pv_addr *);
bool pv_addr_is_any(const struct pv_addr *);

/* A prefix such as 192.0.2.0/24; a bare address is a full-length prefix. An IPv4-mapped IPv6
 * address matches IPv4 prefixes. */
struct pv_prefix {
    struct pv_addr addr;
    unsigned bits;
};
bool pv_prefix_parse(const char *text, size_t length,
                     struct pv_prefix *ret); /* host bits must be 0 */
bool pv_prefix_has(const struct pv_prefix *, const struct pv_addr *);
const char *pv_prefix_text(const struct pv_prefix *, char out[PV_ADDR_TEXT]);

#endif
