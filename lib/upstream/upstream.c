/* What the user said about one server, checked as far as that is possible without opening a file.
 */
#include "upstream/upstream.h"

#include "upstream/stamped.h"

#include <sodium.h>

#include <string.h>

struct pv_upstream *pv_upstream_ref(struct pv_upstream *u)
{
    if (u)
        atomic_fetch_add_explicit(&u->refs, 1, memory_order_relaxed);
    return u;
}

static void strings_free(char **strings)
{
    for (char **s = strings; s && *s; s++)
        free(*s);
    free(strings);
}

void pv_upstream_unref(struct pv_upstream *u)
{
    if (!u || atomic_fetch_sub_explicit(&u->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (u->shared && u->shared_free)
        u->shared_free(u->shared);
    strings_free(u->pins);
    free(u->hashes);
    free(u->addresses);
    free(u->name);
    free(u->operator_name);
    free(u->url_text);
    free(u->tls_name);
    free(u->ca_file);
    free(u->client_cert);
    free(u->client_key);
    free(u->client_key_passphrase_file);
    free(u->method);
    free(u->provider_name);
    free(u->relays);
    free(u);
}

static enum privy_status no_memory(struct privy_error *reterr)
{
    return pv_error(reterr, PRIVY_ENOMEM, "no memory");
}

/* "option: 'value' what" */
static enum privy_status refuse(struct privy_error *reterr, const char *option, const char *value,
                                const char *what)
{
    char shown[100];

    pv_escape(shown, sizeof shown, value, strlen(value));
    return pv_error(reterr, PRIVY_EINVAL, "%s: '%s' %s", option, shown, what);
}

void pv_site(const char *host, char out[256])
{
    struct pv_addr address;
    const char *from = host;
    unsigned dots = 0;

    if (!pv_addr_parse(host, strlen(host), 0, &address))
        for (const char *p = host; *p; p++)
            dots += *p == '.';
    for (; dots > 1; dots--)
        from = strchr(from, '.') + 1;
    snprintf(out, 256, "%s", from);
}

/* Names stand in log lines, metrics and error lists: short, and without anything to escape. */
static bool is_label_text(const char *text)
{
    size_t length = 0;

    for (; text[length]; length++)
        if (text[length] <= ' ' || text[length] > '~' || strchr("\"'\\", text[length]))
            return false;
    return length >= 1 && length <= 63;
}

static enum privy_status set_label(const char *option, const char *given, const char *fallback,
                                   char **ret, struct privy_error *reterr)
{
    if (given && !is_label_text(given))
        return refuse(reterr, option, given, "is not 1 to 63 printable letters without spaces");
    *ret = strdup(given ? given : fallback);
    return *ret ? PRIVY_OK : no_memory(reterr);
}

/* Who runs it: a server given by its address is known by the name in its certificate. */
static enum privy_status set_names(struct pv_upstream *u, const struct privy_upstream_options *o,
                                   struct privy_error *reterr)
{
    char site[256];
    const char *proves = u->tls_name ? u->tls_name : u->provider_name;
    enum privy_status status = set_label("name", o->name, u->url.host, &u->name, reterr);

    if (status != PRIVY_OK)
        return status;
    pv_site(u->url.is_address && proves ? proves : u->url.host, site);
    return set_label("operator", o->operator_name, site, &u->operator_name, reterr);
}

static enum privy_status set_properties(struct pv_upstream *u,
                                        const struct privy_upstream_options *o,
                                        struct privy_error *reterr)
{
    static const struct {
        const char *word;
        unsigned bit;
    } known[] = {{"dnssec", PV_PROP_DNSSEC}, {"filter", PV_PROP_FILTER}, {"nolog", PV_PROP_NOLOG}};

    if (o->properties)
        u->properties = 0; /* what the user says goes before what a stamp says */
    for (const char *const *p = o->properties; p && *p; p++) {
        unsigned bit = 0;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (strcmp(*p, known[i].word) == 0)
                bit = known[i].bit;
        if (!bit)
            return refuse(reterr, "properties", *p, "is none of: dnssec, filter, nolog");
        u->properties |= bit;
    }
    return PRIVY_OK;
}

static size_t count(const char *const *strings)
{
    size_t n = 0;

    while (strings && strings[n])
        n++;
    return n;
}

static enum privy_status set_addresses(struct pv_upstream *u,
                                       const struct privy_upstream_options *o,
                                       uint16_t default_port, struct privy_error *reterr)
{
    size_t given = count(o->addresses), n = given || !u->url.is_address ? given : 1;
    uint16_t port = u->url.port ? u->url.port : default_port;

    if (n == 0 || (given == 0 && u->addresses))
        return PRIVY_OK;
    free(u->addresses);
    u->addresses = calloc(n, sizeof *u->addresses);
    if (!u->addresses)
        return no_memory(reterr);
    for (size_t i = 0; i < given; i++) {
        const char *text = o->addresses[i];
        if (!pv_addr_parse(text, strlen(text), port, &u->addresses[i]) ||
            (port && !pv_addr_port(&u->addresses[i])))
            return refuse(reterr, "addresses", text,
                          "is not an address: expected for example 192.0.2.1, 192.0.2.1:853 or "
                          "[2001:db8::1]:853");
        if (pv_addr_is_any(&u->addresses[i]))
            return refuse(reterr, "addresses", text, "is not the address of a host");
    }
    if (given == 0) {
        u->addresses[0] = u->url.address;
        pv_addr_set_port(&u->addresses[0], port);
        if (pv_addr_is_any(&u->addresses[0]))
            return refuse(reterr, "url", u->url_text, "has an address that is not that of a host");
    }
    u->address_count = (unsigned)n;
    return PRIVY_OK;
}

static bool is_pin(const char *text)
{
    unsigned char digest[32];
    size_t length = 0;
    static const char prefix[] = "sha256/";

    if (strncmp(text, prefix, sizeof prefix - 1) != 0)
        return false;
    text += sizeof prefix - 1;
    return sodium_base642bin(digest, sizeof digest, text, strlen(text), NULL, &length, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           length == sizeof digest;
}

static enum privy_status set_pins(struct pv_upstream *u, const struct privy_upstream_options *o,
                                  struct privy_error *reterr)
{
    size_t n = count(o->pins);

    if (n == 0)
        return PRIVY_OK;
    u->pins = calloc(n + 1, sizeof *u->pins);
    if (!u->pins)
        return no_memory(reterr);
    for (size_t i = 0; i < n; i++) {
        if (!is_pin(o->pins[i]))
            return refuse(reterr, "pins", o->pins[i],
                          "is not sha256/ and the base64 of 32 octets (44 letters)");
        u->pins[i] = strdup(o->pins[i]);
        if (!u->pins[i])
            return no_memory(reterr);
    }
    return PRIVY_OK;
}

/* The certificate's name: the option or the fragment. Two that differ are a mistake: one of them
 * would silently not be checked. */
static enum privy_status set_tls_name(struct pv_upstream *u, const struct privy_upstream_options *o,
                                      struct privy_error *reterr)
{
    const char *given = o->tls_name, *fragment = u->url.fragment;
    char name[256], host[PV_ADDR_TEXT];
    struct pv_addr address;

    if (given && pv_addr_parse(given, strlen(given), 0, &address) && !pv_addr_port(&address)) {
        snprintf(name, sizeof name, "%s", pv_addr_host(&address, host));
    } else if (given) {
        if (!pv_host_is_name(given))
            return refuse(reterr, "tls_name", given, "is neither a name nor an address");
        snprintf(name, sizeof name, "%s", given);
        for (char *c = name; *c; c++)
            *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + ('a' - 'A')) : *c;
    } else {
        snprintf(name, sizeof name, "%s", fragment);
    }
    if (given && *fragment && strcmp(name, fragment) != 0)
        return refuse(reterr, "tls_name", given, "differs from the name after '#' in the URL");
    if (!*name)
        return PRIVY_OK;
    u->tls_name = strdup(name);
    return u->tls_name ? PRIVY_OK : no_memory(reterr);
}

static enum privy_status set_tls_min(struct pv_upstream *u, const struct privy_upstream_options *o,
                                     struct privy_error *reterr)
{
    if (o->tls_min && strcmp(o->tls_min, "1.2") != 0 && strcmp(o->tls_min, "1.3") != 0)
        return refuse(reterr, "tls_min", o->tls_min, "is neither 1.2 nor 1.3");
    /* TLS 1.2 shows the client's certificate to everybody on the way. */
    u->tls13_only = o->tls_min ? strcmp(o->tls_min, "1.3") == 0 : o->client_cert != NULL;
    return PRIVY_OK;
}

static enum privy_status set_file(const char *option, const char *given, char **ret,
                                  struct privy_error *reterr)
{
    if (!given)
        return PRIVY_OK;
    if (!*given)
        return pv_error(reterr, PRIVY_EINVAL, "%s: empty: expected the name of a file", option);
    *ret = strdup(given);
    return *ret ? PRIVY_OK : no_memory(reterr);
}

static enum privy_status set_files(struct pv_upstream *u, const struct privy_upstream_options *o,
                                   struct privy_error *reterr)
{
    enum privy_status status = set_file("ca_file", o->ca_file, &u->ca_file, reterr);

    if (status == PRIVY_OK)
        status = set_file("client_cert", o->client_cert, &u->client_cert, reterr);
    if (status == PRIVY_OK)
        status = set_file("client_key", o->client_key, &u->client_key, reterr);
    if (status == PRIVY_OK)
        status = set_file("client_key_passphrase_file", o->client_key_passphrase_file,
                          &u->client_key_passphrase_file, reterr);
    if (status != PRIVY_OK)
        return status;
    if (u->client_cert && !u->client_key)
        return pv_error(reterr, PRIVY_EINVAL, "client_key: missing: client_cert needs its key");
    if (u->client_key && !u->client_cert)
        return pv_error(reterr, PRIVY_EINVAL,
                        "client_cert: missing: client_key needs its certificate");
    if (u->client_key_passphrase_file && !u->client_key)
        return pv_error(reterr, PRIVY_EINVAL,
                        "client_key_passphrase_file: there is no client_key to decrypt");
    return PRIVY_OK;
}

static enum privy_status set_method(struct pv_upstream *u, const struct privy_upstream_options *o,
                                    struct privy_error *reterr)
{
    static const char *const words[] = {"post", "get", "auto"};

    if (!o->method)
        return PRIVY_OK;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(o->method, words[i]) != 0)
            continue;
        u->method = strdup(words[i]);
        return u->method ? PRIVY_OK : no_memory(reterr);
    }
    return refuse(reterr, "method", o->method, "is none of: post, get, auto");
}

static enum privy_status take_url(struct pv_upstream *u, const char *url,
                                  const struct privy_stamp *stamp,
                                  const struct privy_upstream_options *o,
                                  struct privy_error *reterr)
{
    const char *part = o->provider_name ? "provider_name" : o->provider_key ? "provider_key" : NULL;

    if (url && part)
        return pv_error(reterr, PRIVY_EINVAL, "%s: there is a url, which says it", part);
    if (stamp)
        return pv_upstream_take_stamp(u, stamp, reterr);
    if (url || !o->provider_name)
        return pv_url_parse(url, &u->url, reterr);
    return pv_upstream_take_provider(u, o, reterr);
}

static enum privy_status fill(struct pv_upstream *u, const char *url,
                              const struct privy_stamp *stamp,
                              const struct privy_upstream_options *o, uint16_t default_port,
                              struct privy_error *reterr)
{
    enum privy_status status = take_url(u, url, stamp, o, reterr);

    if (status != PRIVY_OK)
        return status;
    u->url_text = strdup(url ? url : o->provider_name);
    if (!u->url_text)
        return no_memory(reterr);
    status = set_tls_name(u, o, reterr);
    if (status == PRIVY_OK)
        status = set_names(u, o, reterr);
    if (status == PRIVY_OK)
        status = set_properties(u, o, reterr);
    if (status == PRIVY_OK)
        status = set_addresses(u, o, default_port, reterr);
    if (status == PRIVY_OK)
        status = set_pins(u, o, reterr);
    if (status == PRIVY_OK)
        status = set_method(u, o, reterr);
    if (status == PRIVY_OK)
        status = pv_upstream_take_relays(u, o, reterr);
    if (status == PRIVY_OK)
        status = set_files(u, o, reterr);
    return status == PRIVY_OK ? set_tls_min(u, o, reterr) : status;
}

enum privy_status pv_upstream_new(const char *url, const struct privy_stamp *stamp,
                                  const struct privy_upstream_options *options,
                                  uint16_t default_port, struct pv_upstream **ret,
                                  struct privy_error *reterr)
{
    struct pv_upstream *u = calloc(1, sizeof *u);
    enum privy_status status;

    if (!u)
        return no_memory(reterr);
    atomic_init(&u->refs, 1);
    status = fill(u, url, stamp, options, default_port, reterr);
    if (status != PRIVY_OK)
        pv_upstream_unref(u);
    else
        *ret = u;
    return status;
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_pins(char *const *a, char *const *b)
{
    if (!a || !b)
        return a == b;
    for (; *a && *b; a++, b++)
        if (strcmp(*a, *b) != 0)
            return false;
    return !*a && !*b;
}

static bool same_addresses(const struct pv_addr *a, const struct pv_addr *b, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!pv_addr_equal(&a[i], &b[i]))
            return false;
    return true;
}

static bool same_provider(const struct pv_upstream *a, const struct pv_upstream *b)
{
    return same(a->provider_name, b->provider_name) &&
           memcmp(a->provider_key, b->provider_key, sizeof a->provider_key) == 0 &&
           a->allow_xsalsa == b->allow_xsalsa && a->ephemeral_keys == b->ephemeral_keys &&
           a->relay_count == b->relay_count && same_addresses(a->relays, b->relays, a->relay_count);
}

static bool same_hashes(const struct pv_upstream *a, const struct pv_upstream *b)
{
    return a->hash_count == b->hash_count &&
           (a->hash_count == 0 ||
            memcmp(a->hashes, b->hashes, a->hash_count * sizeof *a->hashes) == 0);
}

bool pv_upstream_equal(const struct pv_upstream *a, const struct pv_upstream *b)
{
    return same(a->url.scheme, b->url.scheme) && same(a->url.host, b->url.host) &&
           a->url.port == b->url.port && same(a->url.path, b->url.path) &&
           same(a->tls_name, b->tls_name) && same(a->name, b->name) &&
           same(a->operator_name, b->operator_name) && a->properties == b->properties &&
           a->address_count == b->address_count &&
           same_addresses(a->addresses, b->addresses, a->address_count) && same_provider(a, b) &&
           same_pins(a->pins, b->pins) && same_hashes(a, b) && same(a->ca_file, b->ca_file) &&
           same(a->client_cert, b->client_cert) && same(a->client_key, b->client_key) &&
           same(a->client_key_passphrase_file, b->client_key_passphrase_file) &&
           same(a->method, b->method) && a->tls13_only == b->tls13_only;
}

bool pv_upstream_has_identity(const struct pv_upstream *u)
{
    return u->client_cert != NULL;
}
