#include "base/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* Decimal digits only, no sign, no more than `most`. */
static bool parse_number(const char *text, size_t length, uint32_t most, uint32_t *ret)
{
    uint64_t v = 0;
    if (length == 0 || length > 10)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(text[i] - '0');
    }
    if (v > most)
        return false;
    *ret = (uint32_t)v;
    return true;
}

/* An address without brackets and port; IPv6 with "%2" behind it where it has a scope. */
static bool parse_host(const char *text, size_t length, struct pv_addr *ret)
{
    char copy[INET6_ADDRSTRLEN];
    const char *percent = memchr(text, '%', length);
    size_t n = percent ? (size_t)(percent - text) : length;
    uint32_t scope = 0;
    if (n == 0 || n >= sizeof copy || memchr(text, '\0', n))
        return false;
    if (percent && !parse_number(percent + 1, length - n - 1, UINT32_MAX, &scope))
        return false;
    memcpy(copy, text, n);
    copy[n] = '\0';

    struct pv_addr a = {0};
    if (inet_pton(AF_INET6, copy, &a.in6.sin6_addr) == 1) {
        a.in6.sin6_family = AF_INET6;
        a.in6.sin6_scope_id = scope;
    } else if (!percent && inet_pton(AF_INET, copy, &a.in.sin_addr) == 1) {
        a.in.sin_family = AF_INET;
    } else {
        return false;
    }
    *ret = a;
    return true;
}

bool pv_addr_parse(const char *text, size_t length, uint16_t default_port, struct pv_addr *ret)
{
    const char *host = text, *end = text + length, *colon = memchr(text, ':', length);
    const char *host_end = end, *port = NULL;
    if (length && *text == '[') {
        host++;
        host_end = memchr(host, ']', length - 1);
        if (!host_end || !memchr(host, ':', (size_t)(host_end - host)))
            return false;
        if (host_end + 1 < end) {
            if (host_end[1] != ':')
                return false;
            port = host_end + 2;
        }
    } else if (colon && !memchr(colon + 1, ':', (size_t)(end - colon - 1))) {
        host_end = colon; /* one colon: not IPv6 */
        port = colon + 1;
    }

    struct pv_addr a;
    uint32_t number = default_port;
    if (!parse_host(host, (size_t)(host_end - host), &a))
        return false;
    if (port && !parse_number(port, (size_t)(end - port), UINT16_MAX, &number))
        return false;
    pv_addr_set_port(&a, (uint16_t)number);
    *ret = a;
    return true;
}

const char *pv_addr_host(const struct pv_addr *a, char out[PV_ADDR_TEXT])
{
    out[0] = '\0';
    if (a->sa.sa_family == AF_INET)
        inet_ntop(AF_INET, &a->in.sin_addr, out, PV_ADDR_TEXT);
    if (a->sa.sa_family != AF_INET6)
        return out;
    inet_ntop(AF_INET6, &a->in6.sin6_addr, out, PV_ADDR_TEXT);
    size_t n = strlen(out);
    if (a->in6.sin6_scope_id)
        snprintf(out + n, PV_ADDR_TEXT - n, "%%%u", (unsigned)a->in6.sin6_scope_id);
    return out;
}

const char *pv_addr_text(const struct pv_addr *a, char out[PV_ADDR_TEXT])
{
    char host[PV_ADDR_TEXT];
    unsigned port = pv_addr_port(a);
    pv_addr_host(a, host);
    if (a->sa.sa_family == AF_INET6)
        snprintf(out, PV_ADDR_TEXT, "[%.54s]:%u", host, port);
    else
        snprintf(out, PV_ADDR_TEXT, "%.54s:%u", host, port);
    return out;
}

socklen_t pv_addr_size(const struct pv_addr *a)
{
    return a->sa.sa_family == AF_INET6 ? sizeof a->in6 : sizeof a->in;
}

uint16_t pv_addr_port(const struct pv_addr *a)
{
    return ntohs(a->sa.sa_family == AF_INET6 ? a->in6.sin6_port : a->in.sin_port);
}

void pv_addr_set_port(struct pv_addr *a, uint16_t port)
{
    if (a->sa.sa_family == AF_INET6)
        a->in6.sin6_port = htons(port);
    else
        a->in.sin_port = htons(port);
}

/* The octets of the address; an IPv4-mapped one gives its IPv4. */
static const uint8_t *octets(const struct pv_addr *a, unsigned *ret_bits)
{
    bool v6 = a->sa.sa_family == AF_INET6;
    if (v6 && !IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr)) {
        *ret_bits = 128;
        return a->in6.sin6_addr.s6_addr;
    }
    *ret_bits = 32;
    return v6 ? a->in6.sin6_addr.s6_addr + 12 : (const uint8_t *)&a->in.sin_addr;
}

bool pv_addr_same_host(const struct pv_addr *a, const struct pv_addr *b)
{
    unsigned bits, others;
    const uint8_t *p = octets(a, &bits), *q = octets(b, &others);
    if (bits != others || memcmp(p, q, bits / 8) != 0)
        return false;
    return bits == 32 || a->in6.sin6_scope_id == b->in6.sin6_scope_id;
}

bool pv_addr_equal(const struct pv_addr *a, const struct pv_addr *b)
{
    return pv_addr_same_host(a, b) && pv_addr_port(a) == pv_addr_port(b);
}

bool pv_addr_is_loopback(const struct pv_addr *a)
{
    unsigned bits;
    const uint8_t *p = octets(a, &bits);
    return bits == 32 ? p[0] == 127 : IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
}

bool pv_addr_is_any(const struct pv_addr *a)
{
    unsigned bits;
    const uint8_t *p = octets(a, &bits);
    for (unsigned i = 0; i < bits / 8; i++)
        if (p[i])
            return false;
    return true;
}

static bool host_bits_clear(const uint8_t *p, unsigned from, unsigned bits)
{
    for (unsigned i = from; i < bits; i++)
        if (p[i / 8] & 0x80 >> i % 8)
            return false;
    return true;
}

bool pv_prefix_parse(const char *text, size_t length, struct pv_prefix *ret)
{
    const char *slash = memchr(text, '/', length);
    size_t n = slash ? (size_t)(slash - text) : length;
    struct pv_prefix p;
    if (!parse_host(text, n, &p.addr))
        return false;
    bool v6 = p.addr.sa.sa_family == AF_INET6;
    uint32_t most = v6 ? 128 : 32, bits = most;
    if (slash && !parse_number(slash + 1, length - n - 1, most, &bits))
        return false;
    const uint8_t *octet = v6 ? p.addr.in6.sin6_addr.s6_addr : (const uint8_t *)&p.addr.in.sin_addr;
    if (!host_bits_clear(octet, bits, most))
        return false;
    p.bits = bits;
    *ret = p;
    return true;
}

bool pv_prefix_has(const struct pv_prefix *prefix, const struct pv_addr *a)
{
    bool v6 = prefix->addr.sa.sa_family == AF_INET6;
    unsigned bits = 128;
    const uint8_t *want =
        v6 ? prefix->addr.in6.sin6_addr.s6_addr : (const uint8_t *)&prefix->addr.in.sin_addr;
    const uint8_t *have;
    if (v6 && a->sa.sa_family == AF_INET6)
        have = a->in6.sin6_addr.s6_addr;
    else
        have = octets(a, &bits);
    if (bits != (v6 ? 128 : 32))
        return false;
    unsigned whole = prefix->bits / 8, rest = prefix->bits % 8;
    if (memcmp(want, have, whole) != 0)
        return false;
    return rest == 0 || (want[whole] ^ have[whole]) >> (8 - rest) == 0;
}

const char *pv_prefix_text(const struct pv_prefix *p, char out[PV_ADDR_TEXT])
{
    char host[PV_ADDR_TEXT];
    snprintf(out, PV_ADDR_TEXT, "%.58s/%u", pv_addr_host(&p->addr, host), p->bits % 1000);
    return out;
}
