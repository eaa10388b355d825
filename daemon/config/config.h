/* The configuration of privydnsd, ready to use: read, merged, checked. Immutable once loaded;
 * counted, so that a worker may go on with the old one while a reload brings the next. */
#ifndef PRIVYDNSD_CONFIG_H
#define PRIVYDNSD_CONFIG_H

#include "config/fault.h"
#include "base/addr.h"
#include "wire/name.h"

#include <privydns/privydns.h>

#include <stdatomic.h>

struct options;
struct node;
struct arena;

/* Lists. Of strings, items[count] is NULL. */
struct config_strings {
    const char **items;
    size_t count;
};

struct config_addrs {
    struct pv_addr *items;
    size_t count;
};

struct config_prefixes {
    struct pv_prefix *items;
    size_t count;
};

struct config_zone {
    uint8_t name[PV_NAME_MAX]; /* lower case */
    size_t length;
};

struct config_zones {
    struct config_zone *items;
    size_t count;
};

/* As written; what is not set is NULL or 0. The library's view of it is in the pool's set. */
struct config_upstream {
    const char *url, *name, *operator_name;
    struct config_strings properties, addresses;
    const char *method; /* "post", "get", "auto" */
    const char *client_cert, *client_key, *client_key_passphrase_file, *ca_file;
    const char *tls_name;
    const char *tls_min; /* "1.2", "1.3" */
    struct config_strings pins, relays;
    uint32_t ephemeral_keys;
    const char *provider_name, *provider_key;
    uint32_t allow_xsalsa;
    const struct node *node; /* where it was written */
};

struct config_pool {
    const char *name;
    const char *protocol;              /* "any", or the one word */
    struct privy_pool_options options; /* strategy, trust_ad, plaintext */
    struct config_upstream *upstreams;
    size_t upstream_count;
    struct privy_upstreams *set; /* ready: everything checked, nothing sent */
    const struct node *node;     /* where it was written */
};

struct config_route {
    struct config_zones zones;
    const char *pool_name;
    const struct config_pool *pool;
    const struct node *node;
};

enum config_any { ANY_FORWARD, ANY_HINFO, ANY_REFUSE };
enum config_target { TARGET_AUTO, TARGET_SYSLOG, TARGET_STDERR };
enum config_persist { PERSIST_OFF, PERSIST_MEMORY, PERSIST_DISK };
enum config_sandbox { SANDBOX_ON, SANDBOX_LOG, SANDBOX_OFF };

struct config {
    _Atomic unsigned refs;

    struct config_addrs listen;
    struct config_prefixes allow;
    uint32_t freebind; /* bools are 0 or 1 */
    uint32_t workers;  /* 0: auto, one per CPU */
    const char *user;

    struct config_pool *pools; /* in order of the file; `default` is always among them */
    size_t pool_count;
    const struct config_pool *default_pool;
    struct config_route *routes;
    size_t route_count;
    uint32_t special;

    struct config_strings bootstrap; /* URLs */
    struct privy_upstreams *bootstrap_set;

    struct privy_cache_options cache;
    uint32_t persist; /* enum config_persist (later) */
    struct privy_query_options query;
    uint32_t edns_size;
    uint32_t any; /* enum config_any */
    struct privy_limit_options limits;
    uint32_t tcp_clients, tcp_per_client;
    uint32_t tcp_idle; /* ms */

    struct {
        uint32_t target;   /* enum config_target */
        uint32_t level;    /* enum privy_log_level */
        uint32_t facility; /* LOG_DAEMON ... of syslog.h */
        uint32_t queries;
    } log;

    const char *control;   /* "" is none, here and below (later) */
    const char *http;      /* (later) */
    const char *state_dir; /* */
    uint32_t sandbox;      /* enum config_sandbox (later) */

    bool built_in_upstreams; /* the pool `default` asks those chosen at build time */
    const struct node *tree; /* what was written, merged: for `-p` */
    struct arena *arena;     /* holds all of the above */
};

/* Read file, drop-ins, environment and flags, check everything and make the sets of upstreams.
 * previous: the configuration in use, whose upstreams are taken over where nothing of them has
 * changed; or NULL. Faults (also mere warnings) are added to faults; NULL when one is an error.
 * Sends nothing. */
struct config *config_load(const struct options *, const struct config *previous,
                           struct faults *faults);
/* From text alone, with neither environment nor flags, and without opening any file: the sets of
 * upstreams are NULL. For tests and fuzzers. */
struct config *config_from_text(const char *text, size_t length, struct faults *faults);
/* The pool of that name, or NULL. */
struct config_pool *config_find_pool(const struct config *, const char *name);
struct config *config_ref(struct config *);
void config_unref(struct config *);

/* The effective configuration as YAML that loads back to the same, with a comment where each value
 * came from. */
void config_print(const struct config *, FILE *);
/* The same without the comments: equal for equal configurations. */
void config_dump(const struct config *, FILE *);

#endif
