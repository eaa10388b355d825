/* A URL is written by a person, by hand: strict, and every refusal says what was expected. */
#include "upstream/url.h"

#include <string.h>

#define EXAMPLE "for example tls://9.9.9.9#dns.quad9.net"

/* 'what' goes on where "url: '<text>' " leaves off. */
static enum privy_status refuse(struct privy_error *reterr, const char *text, const char *what)
{
    char shown[100];

    pv_escape(shown, sizeof shown, text, strlen(text));
    return pv_error(reterr, PRIVY_EINVAL, "url: '%s' %s", shown, what);
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static void copy_lower(char *out, const char *in, size_t length)
{
    for (size_t i = 0; i < length; i++)
        out[i] = in[i] >= 'A' && in[i] <= 'Z' ? (char)(in[i] + ('a' - 'A')) : in[i];
    out[length] = 0;
}

bool pv_host_is_name(const char *text)
{
    size_t label = 0, length = 0;

    for (; text[length]; length++) {
        char c = text[length];
        if (c == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else if (!is_alpha(c) && !is_digit(c) && c != '-' && c != '_') {
            return false;
        } else if (++label > 63) {
            return false;
        }
    }
    return label > 0 && length <= 253;
}

bool pv_host_ends_in_number(const char *name)
{
    const char *dot = strrchr(name, '.');
    const char *last = dot ? dot + 1 : name;

    return last[strspn(last, "0123456789")] == 0;
}

/* A name, or an address without brackets and without port. NULL: done; else what is wrong. */
static const char *host_parse(struct pv_span s, char out[256], bool *ret_is_address,
                              struct pv_addr *ret_address)
{
    const char *colon = memchr(s.at, ':', s.length);
    bool one_colon = colon && !memchr(colon + 1, ':', s.length - (size_t)(colon + 1 - s.at));
    struct pv_addr address;

    if (s.length == 0)
        return "has no host: expected SCHEME://HOST, " EXAMPLE;
    if (!one_colon && *s.at != '[' && pv_addr_parse(s.at, s.length, 0, &address)) {
        char host[PV_ADDR_TEXT];
        snprintf(out, 256, "%s", pv_addr_host(&address, host));
        *ret_address = address;
        *ret_is_address = true;
        return NULL;
    }
    for (size_t i = 0; i < s.length; i++)
        if ((unsigned char)s.at[i] > 126)
            return "has a name with non-ASCII letters: write its xn-- form";
    if (s.at[s.length - 1] == '.')
        s.length--;
    if (s.length > 253)
        return "has a name longer than 253 letters";
    copy_lower(out, s.at, s.length);
    if (!pv_host_is_name(out))
        return "has a host that is neither a name nor an address";
    *ret_is_address = false;
    return pv_host_ends_in_number(out) ? "has a host that looks like an IPv4 address but is none"
                                       : NULL;
}

bool pv_port_parse(struct pv_span s, uint16_t *ret)
{
    unsigned long port = 0;

    for (size_t i = 0; i < s.length; i++) {
        if (!is_digit(s.at[i]) || i >= 5)
            return false;
        port = port * 10 + (unsigned long)(s.at[i] - '0');
    }
    *ret = (uint16_t)port;
    return port >= 1 && port <= 65535;
}

/* tls://::1 and tls://::1:853: say how it is written. */
static enum privy_status refuse_bare_ipv6(const char *text, const char *scheme, struct pv_span s,
                                          struct privy_error *reterr)
{
    static const char *const ports[] = {"853", "443"};
    struct pv_span port = {.length = 0};
    struct pv_addr address;
    char what[160], host[PV_ADDR_TEXT];

    for (size_t i = 0; i < sizeof ports / sizeof *ports && !port.length; i++) {
        size_t n = strlen(ports[i]);
        if (s.length > n + 1 && s.at[s.length - n - 1] == ':' &&
            memcmp(s.at + s.length - n, ports[i], n) == 0) {
            port = (struct pv_span){s.at + s.length - n, n};
            s.length -= n + 1;
        }
    }
    if (!pv_addr_parse(s.at, s.length, 0, &address))
        return refuse(reterr, text,
                      "has more than one ':' in its host; an IPv6 address needs "
                      "brackets, for example tls://[2001:db8::1]:853");
    snprintf(what, sizeof what,
             "has an IPv6 address without brackets: did you mean %s://[%s]%s%.*s", scheme,
             pv_addr_host(&address, host), port.length ? ":" : "", (int)port.length,
             port.length ? port.at : "");
    return refuse(reterr, text, what);
}

static enum privy_status authority_parse(const char *text, struct pv_span s, struct pv_url *u,
                                         struct privy_error *reterr)
{
    struct pv_span host = s, port = {.at = NULL};
    const char *why = NULL;
    const char *colon = memchr(s.at, ':', s.length);
    bool bracket = s.length && *s.at == '[';

    if (memchr(s.at, '@', s.length))
        return refuse(reterr, text, "has a user name ('@'), which is not supported");
    if (memchr(s.at, '?', s.length))
        return refuse(reterr, text, "has a '?' before its path; the path begins with '/'");
    if (bracket) {
        const char *close = memchr(s.at, ']', s.length);
        if (!close)
            return refuse(reterr, text, "has a '[' without ']'");
        host = (struct pv_span){s.at + 1, (size_t)(close - s.at) - 1};
        colon = close + 1 < s.at + s.length ? close + 1 : NULL;
        if (colon && *colon != ':')
            return refuse(reterr, text, "has something after ']' that is not ':PORT'");
    } else if (colon && memchr(colon + 1, ':', s.length - (size_t)(colon + 1 - s.at))) {
        return refuse_bare_ipv6(text, u->scheme, s, reterr);
    } else if (colon) {
        host.length = (size_t)(colon - s.at);
    }
    if (colon) {
        port = (struct pv_span){colon + 1, s.length - (size_t)(colon + 1 - s.at)};
        if (!pv_port_parse(port, &u->port))
            why = "has a port that is not a number from 1 to 65535";
    }
    if (bracket && !memchr(host.at, ':', host.length))
        why = "has something in brackets that is not an IPv6 address";
    if (!why)
        why = host_parse(host, u->host, &u->is_address, &u->address);
    if (why)
        return refuse(reterr, text, why);
    if (u->is_address)
        pv_addr_set_port(&u->address, u->port);
    return PRIVY_OK;
}

static const char *path_parse(struct pv_span s, char out[512])
{
    for (size_t i = 0; i < s.length; i++) {
        char c = s.at[i];
        if (c <= ' ' || c > '~' || strchr("\"<>\\^`|", c))
            return "has a character in its path that must be written as %XX";
        if (c == '%' && (i + 2 >= s.length || !is_hex(s.at[i + 1]) || !is_hex(s.at[i + 2])))
            return "has a '%' in its path without two hexadecimal digits";
    }
    if (s.length >= 512)
        return "has a path longer than 511 letters";
    memcpy(out, s.at, s.length);
    out[s.length] = 0;
    return NULL;
}

static const char *fragment_parse(struct pv_span s, char out[256])
{
    struct pv_addr address;
    bool is_address, bracket = s.length > 2 && *s.at == '[' && s.at[s.length - 1] == ']';

    if (s.length == 0)
        return "ends in '#': the name in the certificate is missing";
    if (bracket)
        s = (struct pv_span){s.at + 1, s.length - 2};
    return host_parse(s, out, &is_address, &address)
               ? "has something after '#' that is neither a name nor an address"
               : NULL;
}

/* Returns what stands after "://", NULL when there is no scheme. */
static const char *scheme_parse(const char *text, char out[16])
{
    const char *end = strstr(text, "://");
    size_t length = end ? (size_t)(end - text) : 0;

    if (length == 0 || length >= 16 || !is_alpha(*text))
        return NULL;
    for (size_t i = 0; i < length; i++)
        if (!is_alpha(text[i]) && !is_digit(text[i]) && !strchr("+-.", text[i]))
            return NULL;
    copy_lower(out, text, length);
    return end + 3;
}

enum privy_status pv_url_parse(const char *text, struct pv_url *ret, struct privy_error *reterr)
{
    struct pv_url u = {.port = 0};
    const char *why = NULL;
    enum privy_status status;

    if (!text || !*text)
        return pv_error(reterr, PRIVY_EINVAL, "url: missing: expected SCHEME://HOST, " EXAMPLE);
    const char *rest = scheme_parse(text, u.scheme);
    if (!rest)
        return refuse(reterr, text,
                      "does not begin with a scheme: expected SCHEME://HOST, " EXAMPLE);

    size_t authority = strcspn(rest, "/#"), before_fragment = strcspn(rest, "#");
    status = authority_parse(text, (struct pv_span){rest, authority}, &u, reterr);
    if (status != PRIVY_OK)
        return status;
    why = path_parse((struct pv_span){rest + authority, before_fragment - authority}, u.path);
    if (!why && rest[before_fragment]) {
        const char *fragment = rest + before_fragment + 1;
        why = fragment_parse((struct pv_span){fragment, strlen(fragment)}, u.fragment);
    }
    if (why)
        return refuse(reterr, text, why);
    *ret = u;
    return PRIVY_OK;
}
