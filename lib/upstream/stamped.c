#include "upstream/stamped.h"

#include <sodium.h>

#include <string.h>

static enum privy_status no_memory(struct privy_error *reterr)
{
    return pv_error(reterr, PRIVY_ENOMEM, "no memory");
}

/* ---- from a stamp ---- */

enum privy_status pv_upstream_read_stamp(const char *url, struct privy_stamp **ret,
                                         struct privy_error *reterr)
{
    struct privy_stamp *stamp = NULL;
    struct privy_error error;
    enum privy_status status = privy_stamp_parse(url, &stamp, &error);
    if (status != PRIVY_OK)
        return pv_error(reterr, status, "url: %s", error.message);
    if (stamp->type == PV_STAMP_DNSCRYPT_RELAY) {
        privy_stamp_free(stamp);
        return pv_error(reterr, PRIVY_EINVAL,
                        "url: it is the stamp of a relay: name it in `relays` of a server");
    }
    *ret = stamp;
    return PRIVY_OK;
}

static enum privy_status take_hashes(struct pv_upstream *u, const struct privy_stamp *s,
                                     struct privy_error *reterr)
{
    if (s->hash_count == 0)
        return PRIVY_OK;
    u->hashes = calloc(s->hash_count, sizeof *u->hashes);
    if (!u->hashes)
        return no_memory(reterr);
    memcpy(u->hashes, s->hashes, s->hash_count * sizeof *u->hashes);
    u->hash_count = (unsigned)s->hash_count;
    return PRIVY_OK;
}

static bool add_address(struct pv_addr **list, unsigned *count, const char *text)
{
    struct pv_addr *more = realloc(*list, (*count + 1) * sizeof *more);
    if (!more)
        return false;
    *list = more;
    pv_addr_parse(text, strlen(text), 0, &more[(*count)++]);
    return true;
}

/* Known by its name, or by its address. */
static void take_host(struct pv_upstream *u, const struct privy_stamp *s)
{
    struct pv_url *url = &u->url;
    snprintf(url->scheme, sizeof url->scheme, "%s", s->protocol);
    snprintf(url->path, sizeof url->path, "%s", s->path ? s->path : "");
    url->port = s->port;
    if (s->host)
        snprintf(url->host, sizeof url->host, "%s", s->host);
    else
        pv_addr_host(&u->addresses[0], url->host);
    url->is_address = pv_addr_parse(url->host, strlen(url->host), s->port, &url->address);
}

enum privy_status pv_upstream_take_stamp(struct pv_upstream *u, const struct privy_stamp *s,
                                         struct privy_error *reterr)
{
    if ((s->address && !add_address(&u->addresses, &u->address_count, s->address)) ||
        (s->relay && !add_address(&u->relays, &u->relay_count, s->relay->address)))
        return no_memory(reterr);
    take_host(u, s);
    u->properties = (s->dnssec ? PV_PROP_DNSSEC : 0U) | (s->nolog ? PV_PROP_NOLOG : 0U) |
                    (s->nofilter ? 0U : PV_PROP_FILTER);
    if (s->provider_name) {
        u->provider_name = strdup(s->provider_name);
        if (!u->provider_name)
            return no_memory(reterr);
        memcpy(u->provider_key, s->provider_key, sizeof u->provider_key);
    }
    return take_hashes(u, s, reterr);
}

/* ---- without one ---- */

static bool key_parse(const char *text, uint8_t key[32])
{
    size_t length;
    const char *end;
    return sodium_hex2bin(key, 32, text, strlen(text), ":", &length, &end) == 0 && length == 32 &&
           !*end;
}

enum privy_status pv_upstream_take_provider(struct pv_upstream *u,
                                            const struct privy_upstream_options *o,
                                            struct privy_error *reterr)
{
    struct pv_addr first;
    const char *address = o->addresses ? o->addresses[0] : NULL;
    if (!pv_host_is_name(o->provider_name)) {
        char shown[100];
        pv_escape(shown, sizeof shown, o->provider_name, strlen(o->provider_name));
        return pv_error(reterr, PRIVY_EINVAL, "provider_name: '%s' is not a name", shown);
    }
    if (!o->provider_key)
        return pv_error(reterr, PRIVY_EINVAL,
                        "provider_key: missing: provider_name needs the provider's public key");
    if (!key_parse(o->provider_key, u->provider_key))
        return pv_error(reterr, PRIVY_EINVAL,
                        "provider_key: it is not a public key: 64 hexadecimal digits");
    if (!address || !pv_addr_parse(address, strlen(address), 0, &first))
        return pv_error(reterr, PRIVY_EINVAL,
                        "addresses: %s: provider_name needs the server's addresses",
                        address ? "the first one is none" : "missing");
    u->provider_name = strdup(o->provider_name);
    if (!u->provider_name)
        return no_memory(reterr);
    snprintf(u->url.scheme, sizeof u->url.scheme, "dnscrypt");
    pv_addr_host(&first, u->url.host);
    u->url.is_address = pv_addr_parse(u->url.host, strlen(u->url.host), 0, &u->url.address);
    return PRIVY_OK;
}

/* ---- besides ---- */

static enum privy_status add_relay(struct pv_upstream *u, const char *text,
                                   struct privy_error *reterr)
{
    struct privy_stamp *stamp = NULL;
    struct privy_error error;
    enum privy_status status = privy_stamp_parse(text, &stamp, &error);
    char shown[200];
    pv_escape(shown, sizeof shown, text, strlen(text));
    if (status == PRIVY_OK && stamp->type != PV_STAMP_DNSCRYPT_RELAY)
        status = pv_error(&error, PRIVY_EINVAL, "stamp: it is one of %s", stamp->protocol);
    if (status != PRIVY_OK)
        pv_error(reterr, status, "relays: '%s' is not a relay's %s", shown, error.message);
    else if (!add_address(&u->relays, &u->relay_count, stamp->address))
        status = no_memory(reterr);
    privy_stamp_free(stamp);
    return status;
}

enum privy_status pv_upstream_take_relays(struct pv_upstream *u,
                                          const struct privy_upstream_options *o,
                                          struct privy_error *reterr)
{
    enum privy_status status = PRIVY_OK;
    u->allow_xsalsa = o->allow_xsalsa;
    u->ephemeral_keys = o->ephemeral_keys;
    for (const char *const *r = o->relays; r && *r && status == PRIVY_OK; r++)
        status = add_relay(u, *r, reterr);
    return status;
}
