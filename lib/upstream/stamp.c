/* Decodes what was copied from a list: nothing is guessed, nothing left over, and every refusal
 * names the part at fault. */
#include "upstream/stamp.h"

#include "base/addr.h"
#include "base/buf.h"
#include "upstream/idna.h"
#include "upstream/url.h"

#include <strings.h>

#define SCHEME "sdns://"

enum {
    TEXT_MOST = 2048,
    PAYLOAD_MOST = TEXT_MOST * 3 / 4,
    HASH = 32,
    HASHES_MOST = PAYLOAD_MOST / (HASH + 1),
    BOOTSTRAPS_MOST = 16,
};

/* What stands in a stamp of some type, in this order. */
enum {
    PROPERTIES = 1,
    ADDRESS = 2,
    ADDRESS_MAY_BE_EMPTY = 4,
    PROVIDER = 8,
    HASHES = 16,
    HOST = 32,
    PATH = 64,
    BOOTSTRAP = 128,
};

static const struct layout {
    enum pv_stamp_type type;
    const char *protocol;
    uint16_t port;
    unsigned parts;
} layouts[] = {
    {PV_STAMP_PLAIN, "do53", 53, PROPERTIES | ADDRESS},
    {PV_STAMP_DNSCRYPT, "dnscrypt", 443, PROPERTIES | ADDRESS | PROVIDER},
#define BY_NAME PROPERTIES | ADDRESS | ADDRESS_MAY_BE_EMPTY | HASHES | HOST | BOOTSTRAP
    {PV_STAMP_DOH, "doh", 443, BY_NAME | PATH},
    {PV_STAMP_DOT, "dot", 853, BY_NAME},
    {PV_STAMP_DOQ, "doq", 853, BY_NAME},
    {PV_STAMP_ODOH, "odoh", 443, PROPERTIES | HOST | PATH},
    {PV_STAMP_DNSCRYPT_RELAY, "dnscrypt-relay", 443, ADDRESS},
    {PV_STAMP_ODOH_RELAY, "odoh-relay", 443, BY_NAME | PATH},
};

/* A stamp and all that it points to. */
struct decoded {
    struct privy_stamp stamp; /* first: it is what the caller has */
    struct pv_reader reader;
    uint8_t payload[PAYLOAD_MOST + 1];
    char address[PV_ADDR_TEXT], host[256], path[512], provider_name[256];
    uint8_t provider_key[32];
    uint8_t hashes[HASHES_MOST][HASH];
    const char *bootstrap[BOOTSTRAPS_MOST + 1];
    char texts[PAYLOAD_MOST]; /* of those */
};

/* ---- base64url ---- */

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* NULL, or what is wrong. */
static const char *decode_base64(struct decoded *d, struct pv_span s)
{
    size_t length = 0;
    unsigned bits = 0, value = 0;
    if (s.length == 0 || s.length % 4 == 1)
        return "base64url: letters are missing";
    for (size_t i = 0; i < s.length; i++) {
        int six = digit(s.at[i]);
        if (six < 0)
            return "base64url: only letters, digits, '-' and '_' stand in a stamp, and no '='";
        value = (value << 6 | (unsigned)six) & 0xFFF;
        bits += 6;
        if (bits >= 8)
            d->payload[length++] = (uint8_t)(value >> (bits -= 8));
    }
    if (value & ((1U << bits) - 1))
        return "base64url tail bits: the last letter is wrong";
    d->reader = pv_reader(d->payload, length);
    return NULL;
}

/* ---- parts ---- */

static const char truncated[] = "truncated: letters are missing at its end";

static const char *take_text(struct pv_reader *r, uint8_t length_mask, struct pv_span *ret,
                             uint8_t *ret_length)
{
    uint8_t length = pv_u8(r);
    const uint8_t *p = pv_take(r, length & length_mask);
    if (!p)
        return truncated;
    *ret = (struct pv_span){(const char *)p, length & length_mask};
    *ret_length = length;
    return NULL;
}

static const char *take(struct pv_reader *r, struct pv_span *ret)
{
    uint8_t length;
    return take_text(r, 0xFF, ret, &length);
}

/* One of a list; *ret_last: none follows. Empty ones stand for nothing. */
static const char *take_item(struct pv_reader *r, struct pv_span *ret, bool *ret_last)
{
    uint8_t length = 0;
    const char *why = take_text(r, 0x7F, ret, &length);
    *ret_last = !(length & 0x80);
    return why;
}

static const char *take_properties(struct decoded *d)
{
    const uint8_t *p = pv_take(&d->reader, 8);
    if (!p)
        return truncated;
    d->stamp.dnssec = p[0] & 1;
    d->stamp.nolog = p[0] & 2;
    d->stamp.nofilter = p[0] & 4;
    return NULL;
}

/* "HOST", "HOST:PORT", "[HOST]:PORT": apart. *ret_port is 0 without one. */
static bool split_port(struct pv_span s, struct pv_span *ret_host, uint16_t *ret_port,
                       bool *ret_bracket)
{
    const char *end = s.at + s.length;
    const char *close = s.length && *s.at == '[' ? memchr(s.at, ']', s.length) : NULL;
    const char *colon = close ? close + 1 : memchr(s.at, ':', s.length);
    *ret_port = 0;
    *ret_bracket = close;
    *ret_host = close ? (struct pv_span){s.at + 1, (size_t)(close - s.at) - 1}
                      : (struct pv_span){s.at, colon ? (size_t)(colon - s.at) : s.length};
    if (!colon || colon == end)
        return true;
    return *colon == ':' &&
           pv_port_parse((struct pv_span){colon + 1, (size_t)(end - colon) - 1}, ret_port);
}

/* No port: 0. */
static const char *address_parse(struct pv_span s, struct pv_addr *ret)
{
    struct pv_span host;
    uint16_t port;
    bool bracket;
    if (!split_port(s, &host, &port, &bracket))
        return "addr: bad port: an address is 192.0.2.1 or [2001:db8::1], then perhaps ':' and 1 "
               "to "
               "65535";
    if (!pv_addr_parse(host.at, host.length, 0, ret) ||
        ret->sa.sa_family != (bracket ? AF_INET6 : AF_INET) || pv_addr_is_any(ret))
        return bracket ? "addr: bad IPv6" : "addr: bad IPv4";
    pv_addr_set_port(ret, port);
    return NULL;
}

static const char *take_address(struct decoded *d, bool may_be_empty, struct pv_addr *ret,
                                bool *ret_any)
{
    struct pv_span s;
    const char *why = take(&d->reader, &s);
    if (why)
        return why;
    if (s.length == 0)
        return may_be_empty ? NULL : "addr: empty";
    *ret_any = true;
    return address_parse(s, ret);
}

static const char *take_provider(struct decoded *d)
{
    struct pv_span key, name;
    const char *why = take(&d->reader, &key);
    if (!why && key.length != sizeof d->provider_key)
        why = "pk: not 32 octets";
    if (!why)
        why = take(&d->reader, &name);
    if (why)
        return why;
    memcpy(d->provider_key, key.at, key.length);
    memcpy(d->provider_name, name.at, name.length);
    d->stamp.provider_key = d->provider_key;
    d->stamp.provider_name = d->provider_name;
    return strlen(d->provider_name) == name.length && pv_host_is_name(d->provider_name)
               ? NULL
               : "provider: bad name";
}

static const char *take_hashes(struct decoded *d)
{
    bool last = false;
    while (!last) {
        struct pv_span s;
        const char *why = take_item(&d->reader, &s, &last);
        if (why)
            return why;
        if (s.length == 0)
            continue;
        if (s.length != HASH)
            return "hash: not 32 octets";
        memcpy(d->hashes[d->stamp.hash_count++], s.at, HASH);
    }
    if (d->stamp.hash_count)
        d->stamp.hashes = (const uint8_t(*)[HASH])d->hashes;
    return NULL;
}

static const char *take_host(struct decoded *d, uint16_t *ret_port)
{
    static const char bad[] = "hostname: bad: neither a name nor an address";
    struct pv_span s, host;
    struct pv_addr address;
    bool bracket;
    const char *why = take(&d->reader, &s);
    if (why)
        return why;
    if (s.length == 0)
        return "hostname: empty";
    if (memchr(s.at, 0, s.length))
        return "hostname: NUL";
    if (!pv_is_utf8(s.at, s.length))
        return "hostname: not UTF-8";
    if (!split_port(s, &host, ret_port, &bracket))
        return "hostname: bad port";
    d->stamp.host = d->host;
    if (pv_addr_parse(host.at, host.length, 0, &address)) {
        char text[PV_ADDR_TEXT];
        snprintf(d->host, sizeof d->host, "%s", pv_addr_host(&address, text));
        return (address.sa.sa_family == AF_INET6) == bracket ? NULL : bad;
    }
    if (host.length > 1 && host.at[host.length - 1] == '.')
        host.length--;
    bool fits = pv_idna_to_ascii(host.at, host.length, d->host, sizeof d->host);
    return fits && !bracket && pv_host_is_name(d->host) && !pv_host_ends_in_number(d->host) ? NULL
                                                                                            : bad;
}

/* As it stands in a request: what URLs may not have becomes %XX. */
static const char *take_path(struct decoded *d)
{
    struct pv_span s;
    size_t n = 0;
    const char *why = take(&d->reader, &s);
    if (why)
        return why;
    if (s.length == 0 || *s.at != '/' || !pv_is_utf8(s.at, s.length))
        return "path: bad: it begins with '/' and is UTF-8";
    for (size_t i = 0; i < s.length; i++) {
        uint8_t c = (uint8_t)s.at[i];
        if (c <= ' ' || c == 127)
            return "path: bad: a space or a control character stands in it";
        bool as_is = c < 127 && !strchr("\"#<>\\^`|", c);
        if (n + 4 > sizeof d->path)
            return "path: bad: too long";
        n += (size_t)snprintf(d->path + n, sizeof d->path - n, as_is ? "%c" : "%%%02X", c);
    }
    d->stamp.path = d->path;
    return NULL;
}

static const char *take_bootstrap(struct decoded *d)
{
    struct pv_writer texts = pv_writer(d->texts, sizeof d->texts);
    size_t count = 0;
    bool last = pv_left(&d->reader) == 0; /* the list may be left away */
    while (!last) {
        struct pv_addr address;
        struct pv_span s;
        const char *why = take_item(&d->reader, &s, &last);
        if (!why && s.length)
            why = address_parse(s, &address);
        if (why)
            return why;
        if (s.length == 0)
            continue;
        if (count == BOOTSTRAPS_MOST)
            return "bootstrap: bad: too many";
        d->bootstrap[count++] = (const char *)texts.at;
        pv_write(&texts, s.at, s.length);
        pv_write8(&texts, 0);
    }
    d->stamp.bootstrap = count ? d->bootstrap : NULL;
    return NULL;
}

/* ---- the whole ---- */

static const char *settle_port(struct decoded *d, struct pv_addr *address, bool any,
                               uint16_t of_host, uint16_t preset)
{
    uint16_t of_address = any ? pv_addr_port(address) : 0;
    if (of_address && of_host && of_address != of_host)
        return "port given twice: the address and the host name differ in it";
    d->stamp.port = of_address ? of_address : of_host ? of_host : preset;
    if (any) {
        pv_addr_set_port(address, d->stamp.port);
        d->stamp.address = pv_addr_text(address, d->address);
    }
    return NULL;
}

static const struct layout *layout_of(unsigned type)
{
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (layouts[i].type == type)
            return &layouts[i];
    return NULL;
}

static const char *decode_payload(struct decoded *d)
{
    struct pv_addr address;
    uint16_t of_host = 0;
    bool any = false;
    const char *why = NULL;
    d->stamp.type = pv_u8(&d->reader);
    const struct layout *l = layout_of(d->stamp.type);
    if (!l)
        return "unknown protocol";
    d->stamp.protocol = l->protocol;
    if (l->parts & PROPERTIES)
        why = take_properties(d);
    if (!why && l->parts & ADDRESS)
        why = take_address(d, l->parts & ADDRESS_MAY_BE_EMPTY, &address, &any);
    if (!why && l->parts & PROVIDER)
        why = take_provider(d);
    if (!why && l->parts & HASHES)
        why = take_hashes(d);
    if (!why && l->parts & HOST)
        why = take_host(d, &of_host);
    if (!why && l->parts & PATH)
        why = take_path(d);
    if (!why && l->parts & BOOTSTRAP)
        why = take_bootstrap(d);
    if (!why && pv_left(&d->reader))
        why = "garbage after end";
    return why ? why : settle_port(d, &address, any, of_host, l->port);
}

static enum privy_status decode(struct pv_span s, struct privy_stamp **ret,
                                struct privy_error *reterr)
{
    struct decoded *d = calloc(1, sizeof *d);
    if (!d)
        return pv_error(reterr, PRIVY_ENOMEM, "stamp: no memory");
    const char *why = decode_base64(d, s);
    if (!why)
        why = decode_payload(d);
    if (why) {
        free(d);
        return pv_error(reterr, PRIVY_EINVAL, "stamp: %s", why);
    }
    *ret = &d->stamp;
    return PRIVY_OK;
}

bool pv_is_stamp(const char *text)
{
    return strncasecmp(text, SCHEME, sizeof SCHEME - 1) == 0;
}

/* sdns://RELAY/SERVER: the first one is the relay's. */
static enum privy_status decode_pair(struct pv_span relay, struct pv_span server,
                                     struct privy_stamp **ret, struct privy_error *reterr)
{
    struct privy_stamp *first = NULL, *second = NULL;
    enum privy_status status = decode(relay, &first, reterr);
    if (status == PRIVY_OK)
        status = decode(server, &second, reterr);
    if (first && first->type == PV_STAMP_DNSCRYPT_RELAY && second &&
        second->type == PV_STAMP_DNSCRYPT) {
        second->relay = first;
        *ret = second;
        return PRIVY_OK;
    }
    if (status == PRIVY_OK)
        status = pv_error(reterr, PRIVY_EINVAL,
                          "stamp: before '/' stands a relay, behind it a DNSCrypt server");
    privy_stamp_free(first);
    privy_stamp_free(second);
    return status;
}

enum privy_status privy_stamp_parse(const char *text, struct privy_stamp **ret,
                                    struct privy_error *reterr)
{
    size_t length = text ? strnlen(text, TEXT_MOST + 1) : 0;
    if (!text || !pv_is_stamp(text))
        return pv_error(reterr, PRIVY_EINVAL, "stamp: scheme: it begins with " SCHEME);
    if (length > TEXT_MOST)
        return pv_error(reterr, PRIVY_EINVAL, "stamp: longer than %d letters", TEXT_MOST);
    struct pv_span s = {text + sizeof SCHEME - 1, length - (sizeof SCHEME - 1)};
    const char *slash = memchr(s.at, '/', s.length);
    if (!slash)
        return decode(s, ret, reterr);
    struct pv_span relay = {s.at, (size_t)(slash - s.at)};
    return decode_pair(relay, (struct pv_span){slash + 1, s.length - relay.length - 1}, ret,
                       reterr);
}

void privy_stamp_free(struct privy_stamp *s)
{
    if (!s)
        return;
    free(s->relay);
    free(s);
}
