#include "resolver/upstreams.h"

#include "base/map.h"
#include "conn/health.h"
#include "proto/registry.h"

#include <sys/stat.h>

static bool word_known(const char *word)
{
    return !word || strcmp(word, "any") == 0 || pv_proto_word_known(word);
}

static struct privy_upstreams *set_new(const struct privy_upstreams_options *o)
{
    struct privy_upstreams *set = calloc(1, sizeof *set);
    if (!set)
        return NULL;
    set->refs = 1;
    set->options = o->pool_options;
    set->pool = strdup(o->pool ? o->pool : "default");
    set->pool_hash = set->pool ? pv_hash(set->pool, strlen(set->pool)) : 0;
    if (o->protocol && strcmp(o->protocol, "any") != 0)
        set->protocol = strdup(o->protocol);
    set->bootstrap = o->bootstrap ? privy_upstreams_ref(o->bootstrap) : NULL;
    return set;
}

enum privy_status privy_upstreams_new(struct privy_upstreams *previous,
                                      const struct privy_upstreams_options *options,
                                      struct privy_upstreams **ret_set, struct privy_error *reterr)
{
    struct privy_upstreams_options o = {.size = sizeof o};
    if (options)
        o = *options;
    else
        privy_pool_options_default(&o.pool_options);
    if (!word_known(o.protocol))
        return pv_error(reterr, PRIVY_EUNSUPPORTED, "protocol: this build has no '%s'", o.protocol);
    struct privy_upstreams *set = set_new(&o);
    if (!set || !set->pool || (o.protocol && strcmp(o.protocol, "any") != 0 && !set->protocol)) {
        privy_upstreams_unref(set);
        return pv_error(reterr, PRIVY_ENOMEM, "no memory");
    }
    if (previous) {
        pv_upstreams_seal(previous); /* complete: lets go of its own, so that no chain grows */
        set->previous = privy_upstreams_ref(previous);
    }
    *ret_set = set;
    return PRIVY_OK;
}

struct privy_upstreams *privy_upstreams_ref(struct privy_upstreams *set)
{
    atomic_fetch_add(&set->refs, 1);
    return set;
}

void privy_upstreams_unref(struct privy_upstreams *set)
{
    if (!set || atomic_fetch_sub(&set->refs, 1) > 1)
        return;
    for (unsigned i = 0; i < set->count; i++)
        pv_upstream_unref(set->members[i]);
    free(set->members);
    free(set->pool);
    free(set->protocol);
    privy_upstreams_unref(set->previous);
    privy_upstreams_unref(set->bootstrap);
    free(set);
}

/* From here on it is what its resolvers see; who went before can go. */
void pv_upstreams_seal(struct privy_upstreams *set)
{
    if (atomic_exchange(&set->sealed, true))
        return;
    privy_upstreams_unref(set->previous);
    set->previous = NULL;
}

/* ---- adding ---- */

/* "tls://..." */
static enum privy_status find_scheme(const char *url, const struct pv_proto **ret,
                                     struct privy_error *reterr)
{
    char scheme[16] = "";
    const char *end = strstr(url, "://");
    if (!end || end == url || (size_t)(end - url) >= sizeof scheme)
        return pv_error(reterr, end ? PRIVY_EUNSUPPORTED : PRIVY_EINVAL,
                        "url: '%s' is not an upstream: expected tls://HOST or the like", url);
    for (size_t i = 0; i < (size_t)(end - url); i++)
        scheme[i] = url[i] >= 'A' && url[i] <= 'Z' ? (char)(url[i] + 32) : url[i];
    *ret = pv_proto_by_scheme(scheme);
    return *ret ? PRIVY_OK
                : pv_error(reterr, PRIVY_EUNSUPPORTED, "url: this build cannot speak '%s://'",
                           scheme);
}

/* A stamp says its protocol; what has neither stamp nor URL is of the only one that may. */
static enum privy_status find_proto(const char *url, const struct privy_stamp *stamp,
                                    const struct pv_proto **ret, struct privy_error *reterr)
{
    if (url && !stamp)
        return find_scheme(url, ret, reterr);
    *ret = pv_proto_by_stamp(stamp ? stamp->type : PV_STAMP_DNSCRYPT);
    if (*ret)
        return PRIVY_OK;
    return stamp ? pv_error(reterr, PRIVY_EUNSUPPORTED, "url: %s is not built in", stamp->protocol)
                 : pv_error(reterr, PRIVY_EUNSUPPORTED, "provider_name: DNSCrypt is not built in");
}

static bool name_taken(const struct privy_upstreams *set, const char *name)
{
    for (unsigned i = 0; i < set->count; i++) {
        if (strcmp(set->members[i]->name, name) == 0)
            return true;
    }
    return false;
}

/* A given name must be new; a derived one is made so: "host-2". */
static enum privy_status settle_name(const struct privy_upstreams *set, struct pv_upstream *up,
                                     bool given, struct privy_error *reterr)
{
    if (!name_taken(set, up->name))
        return PRIVY_OK;
    if (given)
        return pv_error(reterr, PRIVY_EINVAL, "name: '%s' is the name of another upstream",
                        up->name);
    size_t room = strlen(up->name) + 12;
    char *name = malloc(room);
    if (!name)
        return pv_error(reterr, PRIVY_ENOMEM, "no memory");
    for (unsigned n = 2; n == 2 || name_taken(set, name); n++)
        snprintf(name, room, "%s-%u", up->name, n);
    free(up->name);
    up->name = name;
    return PRIVY_OK;
}

/* A file replaced under the same name makes another upstream of it. (Not one of an identity: that
 * is read again while it is used.) */
static uint64_t file_stamp(const char *path)
{
    struct stat st;
    uint64_t facts[4];
    if (!path || stat(path, &st) != 0)
        return 0;
    facts[0] = (uint64_t)st.st_ino;
    facts[1] = (uint64_t)st.st_size;
    facts[2] = (uint64_t)st.st_mtim.tv_sec;
    facts[3] = (uint64_t)st.st_mtim.tv_nsec;
    return pv_hash(facts, sizeof facts);
}

static struct pv_upstream *in_previous(const struct privy_upstreams *set,
                                       const struct pv_upstream *up)
{
    for (unsigned i = 0; set->previous && i < set->previous->count; i++) {
        struct pv_upstream *old = set->previous->members[i];
        if (old->ca_stamp == up->ca_stamp && pv_upstream_equal(old, up))
            return pv_upstream_ref(old);
    }
    return NULL;
}

/* An option that its protocol does not have would be read by nobody, and protect nothing. */
static enum privy_status check_options(const struct pv_proto *proto,
                                       const struct privy_upstream_options *o,
                                       struct privy_error *reterr)
{
    static const char no_tls[] = "has no TLS", no_provider[] = "is not DNSCrypt";
    const struct {
        const char *option;
        bool given;
        unsigned trait;
        const char *lack;
    } options[] = {
        {"pins", o->pins && o->pins[0], PV_TRAIT_TLS, no_tls},
        {"tls_name", o->tls_name, PV_TRAIT_TLS, no_tls},
        {"tls_min", o->tls_min, PV_TRAIT_TLS, no_tls},
        {"ca_file", o->ca_file, PV_TRAIT_TLS, no_tls},
        {"client_cert", o->client_cert, PV_TRAIT_TLS, no_tls},
        {"method", o->method, PV_TRAIT_METHOD, "has no methods"},
        {"relays", o->relays && o->relays[0], PV_TRAIT_PROVIDER, no_provider},
        {"allow_xsalsa", o->allow_xsalsa, PV_TRAIT_PROVIDER, no_provider},
        {"ephemeral_keys", o->ephemeral_keys, PV_TRAIT_PROVIDER, no_provider},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (options[i].given && !(proto->traits & options[i].trait))
            return pv_error(reterr, PRIVY_EUNSUPPORTED, "%s: %s %s", options[i].option, proto->name,
                            options[i].lack);
    return PRIVY_OK;
}

/* Is it allowed in this set? The same upstream may be in one set and not in another. */
static enum privy_status admit(const struct privy_upstreams *set, struct pv_upstream *up,
                               struct privy_error *reterr)
{
    const struct pv_proto *proto = up->proto;
    if (proto->traits & PV_TRAIT_PLAINTEXT && !set->options.plaintext)
        return pv_error(reterr, PRIVY_EPERM,
                        "url: %s:// is not encrypted: allowed only where the pool says "
                        "`plaintext: true`",
                        proto->scheme);
    if (up->address_count == 0 && !set->bootstrap)
        return pv_error(reterr, PRIVY_EINVAL,
                        "url: no address for '%s': give `addresses`, or `bootstrap`", up->url.host);
    return PRIVY_OK;
}

/* Is it complete? Reads its files, once. */
static enum privy_status check(struct pv_upstream *up, struct privy_error *reterr)
{
    const struct pv_proto *proto = up->proto;
    return proto->check ? proto->check(up, reterr) : PRIVY_OK;
}

static bool append(struct privy_upstreams *set, struct pv_upstream *up)
{
    struct pv_upstream **more = realloc(set->members, (set->count + 1) * sizeof *more);
    if (!more)
        return false;
    set->members = more;
    set->members[set->count++] = up;
    return true;
}

static enum privy_status add(struct privy_upstreams *set, const char *url,
                             const struct privy_stamp *stamp,
                             const struct privy_upstream_options *o, struct privy_error *reterr)
{
    const struct pv_proto *proto = NULL;
    struct pv_upstream *up = NULL;
    enum privy_status status = find_proto(url, stamp, &proto, reterr);
    if (!proto)
        return status;
    status = pv_upstream_new(url, stamp, o, proto->port, &up, reterr);
    if (status != PRIVY_OK)
        return status;
    up->proto = proto;
    up->ca_stamp = file_stamp(up->ca_file);
    status = settle_name(set, up, o->name, reterr);
    if (status == PRIVY_OK)
        status = admit(set, up, reterr);
    if (status == PRIVY_OK)
        status = check_options(proto, o, reterr);
    struct pv_upstream *old = status == PRIVY_OK ? in_previous(set, up) : NULL;
    if (old) {
        pv_upstream_unref(up);
        up = old;
    } else if (status == PRIVY_OK) {
        status = check(up, reterr);
    }
    if (status == PRIVY_OK && !append(set, up))
        status = pv_error(reterr, PRIVY_ENOMEM, "no memory");
    if (status != PRIVY_OK)
        pv_upstream_unref(up);
    return status;
}

enum privy_status privy_upstreams_add(struct privy_upstreams *set, const char *url,
                                      const struct privy_upstream_options *options,
                                      struct privy_error *reterr)
{
    struct privy_upstream_options o = {.size = sizeof o};
    struct privy_stamp *stamp = NULL;
    enum privy_status status = PRIVY_OK;
    /* A program compiled with an older header has fewer members: the others are unset. */
    if (options && options->size < offsetof(struct privy_upstream_options, name))
        return pv_error(reterr, PRIVY_EINVAL, "size: not set in the upstream's options");
    if (options)
        memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    if (atomic_load(&set->sealed))
        return pv_error(reterr, PRIVY_EINVAL, "url: the set is in use already");
    if (url && pv_is_stamp(url))
        status = pv_upstream_read_stamp(url, &stamp, reterr);
    if (status == PRIVY_OK)
        status = add(set, url, stamp, &o, reterr);
    privy_stamp_free(stamp);
    return status;
}

/* ---- looking ---- */

void privy_event_set(struct privy_upstreams *set, privy_event_callback *callback, void *arg)
{
    for (unsigned i = 0; i < set->count; i++)
        pv_health_set_watch(set->members[i], callback, arg);
}

void privy_upstreams_stats(struct privy_upstreams *set,
                           void (*callback)(void *, const struct privy_upstream_stats *), void *arg)
{
    for (unsigned i = 0; i < set->count; i++) {
        struct pv_upstream *up = set->members[i];
        const struct pv_health *h = &up->health;
        char reason[100];
        pv_health_reason(up, reason, sizeof reason);
        struct privy_upstream_stats stats = {
            .size = sizeof stats,
            .name = up->name,
            .url = up->url_text,
            .protocol = up->proto->name,
            .up = !pv_health_is_down(up),
            .client_auth = pv_upstream_has_identity(up),
            .reason = reason,
            .rtt_us = (uint32_t)pv_health_srtt(up),
            .attempts_ok = h->results[PV_RESULT_OK],
            .attempts_timeout = h->results[PV_RESULT_TIMEOUT],
            .attempts_network = h->results[PV_RESULT_NETWORK],
            .attempts_tls = h->results[PV_RESULT_TLS],
            .attempts_http = h->results[PV_RESULT_HTTP],
            .attempts_bad_answer = h->results[PV_RESULT_BAD_ANSWER],
            .attempts_cancelled = h->results[PV_RESULT_CANCELLED],
            .handshakes = h->handshakes,
            .handshakes_resumed = h->handshakes_resumed,
            .connections = h->connections,
        };
        callback(arg, &stats);
    }
}
