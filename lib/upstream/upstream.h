/* Upstream: what the user said about one server. Immutable once added to a set, counted, shared by
 * all threads; with it what we learnt of it (health). */
#ifndef PV_UPSTREAM_UPSTREAM_H
#define PV_UPSTREAM_UPSTREAM_H

#include "upstream/stamp.h"
#include "upstream/url.h"

#include <stdatomic.h>

enum { PV_PROP_DNSSEC = 1, PV_PROP_FILTER = 2, PV_PROP_NOLOG = 4 };
/* Upstreams that agree in these are of one class: their answers may stand in for each other's. */
#define PV_PROP_CLASS (PV_PROP_DNSSEC | PV_PROP_FILTER)

/* Results as counted in metrics. */
enum pv_result {
    PV_RESULT_OK,
    PV_RESULT_TIMEOUT,
    PV_RESULT_NETWORK,
    PV_RESULT_TLS,
    PV_RESULT_HTTP,
    PV_RESULT_BAD_ANSWER,
    PV_RESULT_CANCELLED,
    PV_RESULTS
};

/* What was learnt. Atomics, but for what `lock` guards; written by conn/ only. */
struct pv_health {
    _Atomic uint32_t srtt_us, rttvar_us; /* of answers; srtt 0: no sample yet */
    _Atomic uint32_t cost_us;            /* the same, and of attempts given up, while waiting */
    _Atomic uint32_t failures;           /* in a row: steps of back-off */
    _Atomic uint32_t outcome;            /* how it failed last: enum pv_outcome of conn/proto.h */
    _Atomic uint32_t timeouts;           /* unanswered questions in a row */
    _Atomic uint64_t next_trial_us;      /* monotonic: the end of the back-off */
    _Atomic uint64_t rests_us;           /* when it asked to be left alone; 0: it does not */
    _Atomic uint64_t last_way_out_us;    /* no trial before, whatever is down; compare-and-swap */
    _Atomic uint32_t state;              /* conn/health's STATE_... */
    _Atomic uint32_t told;               /* the same, as last told to the watch, and logged */
    _Atomic uint32_t unlogged;           /* changes told that there was no line for */
    _Atomic uint64_t results[PV_RESULTS];
    _Atomic uint64_t handshakes, handshakes_resumed;
    _Atomic uint32_t connections;
    atomic_flag lock; /* guards the rest: held for a copy only */
    char reason[100]; /* why it is down */
    uint64_t logs_us; /* when the minute began in which: */
    unsigned logged;  /* so many lines were written */
    privy_event_callback *watch;
    void *watch_arg;
};

struct pv_proto;

struct pv_upstream {
    _Atomic unsigned refs;
    char *name;          /* unique in its set */
    char *operator_name; /* who runs it: the option, or the site of host or certificate name */
    char *url_text;      /* as written; where there is none, provider_name */
    struct pv_url url;
    unsigned properties;
    struct pv_addr *addresses; /* configured or literal; 0: to be looked up */
    unsigned address_count;
    char **pins;           /* NULL-ended; or NULL */
    uint8_t (*hashes)[32]; /* SHA-256 of signed parts: one is that of a certificate in its chain */
    unsigned hash_count;
    char *tls_name; /* the option, or the URL's fragment; NULL: neither is given */
    char *ca_file;
    char *client_cert, *client_key, *client_key_passphrase_file;
    char *method; /* of HTTP: "post", "get", "auto"; NULL: not given */
    bool tls13_only;
    /* DNSCrypt's. */
    char *provider_name; /* NULL: it is another protocol's */
    uint8_t provider_key[32];
    bool allow_xsalsa;      /* the construction of its older edition */
    bool ephemeral_keys;    /* a key for each query */
    struct pv_addr *relays; /* with ports; where there are any, nothing goes to it directly */
    unsigned relay_count;
    uint64_t ca_stamp; /* digest of what ca_file was when it was added (size, time, inode) */
    const struct pv_proto *proto; /* conn/proto.h; set by the set it is added to */
    void *shared; /* the protocol's state per process (trust), made by its check() */
    void (*shared_free)(void *);
    struct pv_health health;
};

/* Make one from its URL (NULL: provider_name), from what that says where it is a stamp, else NULL,
 * and from whole options; default_port where neither URL nor addresses have one. Opens no file.
 * Errors begin with the option at fault. */
enum privy_status pv_upstream_new(const char *url, const struct privy_stamp *,
                                  const struct privy_upstream_options *, uint16_t default_port,
                                  struct pv_upstream **ret, struct privy_error *reterr);
/* What a URL says that is a stamp, and no relay's; privy_stamp_free() it. */
enum privy_status pv_upstream_read_stamp(const char *url, struct privy_stamp **ret,
                                         struct privy_error *reterr);
struct pv_upstream *pv_upstream_ref(struct pv_upstream *);
void pv_upstream_unref(struct pv_upstream *);
/* Equal in everything the user said (and so in everything that decides trust)? The name counts. */
bool pv_upstream_equal(const struct pv_upstream *, const struct pv_upstream *);
bool pv_upstream_has_identity(const struct pv_upstream *);
/* The site of a host name: its last two labels (an address: itself). Written to out. */
void pv_site(const char *host, char out[256]);

#endif
