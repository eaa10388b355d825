/* libprivydns: DNS questions over encrypted transports, inside your libevent loop or blocking.
 *
 *   privy_upstreams   whom to ask: shared by threads, with what was learnt of each
 *   privy_cache       answers: shared by threads, optional
 *   privy_resolver    asks, on one event_base and so on one thread
 *   privy_client      the same without a loop: blocking, for many threads
 *
 * Names are text as people write them ("example.org", a trailing dot is allowed, \DDD and \X
 * escapes [RFC 1035 §5.1]); a name with non-ASCII letters gives PRIVY_EINVAL: its "xn--" form is
 * needed. Types and classes are the numbers of the DNS. All strings are UTF-8, NUL-ended.
 * Objects are freed by their _free, counted ones by _unref; both take NULL.
 * The library starts no thread, prints nothing, reads no file the caller did not name (but the
 * system's CA certificates) and never exits. */
#ifndef PRIVYDNS_PRIVYDNS_H
#define PRIVYDNS_PRIVYDNS_H

#include <privydns/options.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef PRIVY_API
#    define PRIVY_API __attribute__((visibility("default")))
#endif

struct event_base;
struct privy_upstreams;
struct privy_cache;
struct privy_resolver;
struct privy_query;
struct privy_answer;
struct privy_client;

enum privy_status {
    PRIVY_OK = 0,
    PRIVY_EINVAL,       /* an argument, URL or option is wrong: the error's message says which */
    PRIVY_ENOMEM,       /* no memory */
    PRIVY_EBUSY,        /* more than limits.inflight unanswered questions */
    PRIVY_EFORMAT,      /* the message is not a DNS query */
    PRIVY_EUNSUPPORTED, /* a protocol or URL scheme that this build, or no upstream, speaks; an
                         * option that the upstream's protocol lacks */
    PRIVY_EFILE,        /* a file could not be read, or holds the wrong thing */
    PRIVY_EPERM,        /* a private file that others can read; plaintext where it is not allowed */
    PRIVY_EMISS,        /* privy_try: not in the cache */
    PRIVY_EUNREACHABLE, /* no upstream could be reached or gave an answer [EDE 22] */
    PRIVY_EPEER,        /* an upstream could not be authenticated or misbehaved [EDE 23] */
    PRIVY_ETIMEOUT,     /* the deadline passed while waiting for an answer [EDE 22] */
    PRIVY_ENOTREADY,    /* no upstream's address is known yet [EDE 14] */
};

/* One attempt to get an answer: whom, how, and why it failed. */
struct privy_attempt {
    char upstream[64]; /* its name as configured, cut to fit */
    char protocol[12];
    char reason[100]; /* plain words; "" where it succeeded or still waits */
    uint32_t milliseconds;
    bool sent;       /* false: failed before anything of it was sent */
    bool misbehaved; /* could not be authenticated, or gave no proper answer */
};

#define PRIVY_ERROR_ATTEMPTS 16

/* Why a call or a query failed. Caller's storage; written on failure only. */
struct privy_error {
    enum privy_status status;
    char message[320];      /* one line, no newline */
    unsigned attempt_count; /* the attempts of a failed query, oldest first */
    struct privy_attempt attempts[PRIVY_ERROR_ATTEMPTS];
};

/* ---- options: fill with the defaults, then change what you want ---- */

PRIVY_API void privy_query_options_default(struct privy_query_options *);
PRIVY_API void privy_cache_options_default(struct privy_cache_options *);
PRIVY_API void privy_limit_options_default(struct privy_limit_options *);
PRIVY_API void privy_pool_options_default(struct privy_pool_options *);

/* ---- upstreams: whom to ask ---- */

struct privy_upstreams_options {
    size_t size;          /* sizeof this struct */
    const char *pool;     /* the set's name, part of cache keys; NULL: "default" */
    const char *protocol; /* NULL or "any", or a protocol word: use only those upstreams */
    struct privy_pool_options pool_options;
    /* Asked for the addresses of upstreams that are given by name only. Its own members must have
     * addresses. NULL: such upstreams are an error. Counted: the caller keeps its reference. */
    struct privy_upstreams *bootstrap;
};

/* Everything that can be said of one upstream beside its URL. Strings are copied; NULL is unset. */
struct privy_upstream_options {
    size_t size;               /* sizeof this struct */
    const char *name;          /* for logs and facts; default: the host, a second one "host-2" */
    const char *operator_name; /* default: the site of its host */
    const char *const *properties; /* NULL-ended: "dnssec", "filter", "nolog" */
    const char *const *addresses;  /* NULL-ended: then nothing needs looking up */
    const char *const *pins;       /* NULL-ended: "sha256/<base64>" of an SPKI [RFC 7858 §4.2] */
    const char *tls_name;          /* the name in the certificate; default: the URL's */
    const char *ca_file;           /* PEM; default: the system's */
    /* To show to servers that ask: the chain, leaf first, and its key, PEM. They are read again
     * when they change; a key that others may read or change is refused (modes up to 0640). The
     * first line of the third file unlocks the key. */
    const char *client_cert, *client_key, *client_key_passphrase_file;
    const char *tls_min; /* "1.2" or "1.3"; default: "1.2", with a client certificate "1.3" */
    /* https:// only: "post" (default), "get", or "auto": get where post is refused. */
    const char *method;
    /* DNSCrypt only. Without a stamp (url NULL): the provider's name and its public key, 64
     * hexadecimal digits, with colons or not; addresses are then needed. */
    const char *provider_name, *provider_key;
    /* NULL-ended sdns:// stamps of relays: it is reached through them only. */
    const char *const *relays;
    bool allow_xsalsa;   /* the cipher of older servers too */
    bool ephemeral_keys; /* a new key of ours for each question */
};

/* A new, empty set. previous: a set whose members are taken over, with all that was learnt and
 * their connections, where privy_upstreams_add() finds one equal in every part; or NULL. */
PRIVY_API enum privy_status privy_upstreams_new(struct privy_upstreams *previous,
                                                const struct privy_upstreams_options *,
                                                struct privy_upstreams **ret_set,
                                                struct privy_error *reterr);
/* Add one upstream: tls://HOST[:853][#NAME], https://..., sdns://..., udp:// and tcp:// (only where
 * the set's `plaintext` is true); NULL: a DNSCrypt one without a stamp (provider_name). Reads and
 * checks the files named; sends nothing. Not allowed any more once a resolver uses the set. The
 * error's message begins with the option at fault ("url", "pins", "ca_file" ...) and ": ". What
 * this build cannot speak is PRIVY_EUNSUPPORTED, and so is an option that the protocol lacks. */
PRIVY_API enum privy_status privy_upstreams_add(struct privy_upstreams *, const char *url,
                                                const struct privy_upstream_options *,
                                                struct privy_error *reterr);
PRIVY_API struct privy_upstreams *privy_upstreams_ref(struct privy_upstreams *);
PRIVY_API void privy_upstreams_unref(struct privy_upstreams *);

/* What a DNS stamp (sdns://...) says. Strings and lists that it does not have are NULL. */
struct privy_stamp {
    unsigned type;        /* its first octet */
    const char *protocol; /* "do53", "dnscrypt", "doh", "dot", "doq", "odoh"; of a relay
                           * "dnscrypt-relay", "odoh-relay" */
    bool dnssec, nolog, nofilter;
    uint16_t port;                /* the default one, where it names none */
    const char *address;          /* ADDRESS:PORT; NULL: to be looked up */
    const char *host;             /* as an IDNA A-label, or an address without brackets */
    const char *path;             /* what is not ASCII in it is %XX */
    const char *const *bootstrap; /* NULL-ended, as written: plaintext resolvers for the host, that
                                   * PrivyDNS does not ask */
    const uint8_t (*hashes)[32];  /* SHA-256 of certificates' signed parts (TBSCertificate) */
    size_t hash_count;
    const char *provider_name;
    const uint8_t *provider_key; /* 32 octets: Ed25519 */
    struct privy_stamp *relay;   /* of sdns://RELAY/SERVER */
};
/* The error's message begins with "stamp: " and the part at fault. privy_stamp_free() it. */
PRIVY_API enum privy_status privy_stamp_parse(const char *text, struct privy_stamp **ret_stamp,
                                              struct privy_error *reterr);
PRIVY_API void privy_stamp_free(struct privy_stamp *);

/* What was learnt of one upstream: a snapshot. */
struct privy_upstream_stats {
    size_t size;
    const char *name, *url, *protocol;
    bool up;            /* false: the last thing it did was to fail */
    bool client_auth;   /* has a client certificate */
    const char *reason; /* why it is down; "" when up */
    uint32_t rtt_us;    /* smoothed; 0: not measured yet */
    uint64_t attempts_ok, attempts_timeout, attempts_network, attempts_tls, attempts_http,
        attempts_bad_answer, attempts_cancelled;
    uint64_t handshakes, handshakes_resumed;
    uint32_t connections; /* opening or ready, all threads */
};
/* Calls back once for each upstream before it returns. Safe from any thread. */
PRIVY_API void privy_upstreams_stats(struct privy_upstreams *,
                                     void (*callback)(void *arg,
                                                      const struct privy_upstream_stats *),
                                     void *arg);

/* Told of each change of state of each upstream of the set, once per change in the whole process,
 * from the thread that saw it: upstream `upstream` is up now, or down for that reason. The library
 * logs the same, but of an upstream that changes all the time not every line. It runs in the middle
 * of things, so it may call nothing of the library but note what it is told. One callback per
 * upstream: the last one set; NULL removes it. */
typedef void privy_event_callback(void *arg, const char *upstream, bool up, const char *reason);
PRIVY_API void privy_event_set(struct privy_upstreams *, privy_event_callback *, void *arg);

/* ---- cache ---- */

PRIVY_API struct privy_cache *privy_cache_new(
    const struct privy_cache_options *); /* NULL: no memory */
PRIVY_API void privy_cache_flush(struct privy_cache *);
PRIVY_API struct privy_cache *privy_cache_ref(struct privy_cache *);
PRIVY_API void privy_cache_unref(struct privy_cache *);

struct privy_cache_stats {
    size_t size;
    uint64_t hits, misses, stale, evictions;
    uint64_t entries, bytes;
};
PRIVY_API void privy_cache_stats(struct privy_cache *, struct privy_cache_stats *ret);

/* ---- resolver ---- */

struct privy_resolver_options {
    size_t size; /* sizeof this struct */
    struct privy_query_options query;
    struct privy_limit_options limits;
};
PRIVY_API void privy_resolver_options_default(struct privy_resolver_options *);

/* A resolver on this loop. The set and the cache (or NULL: no cache) are counted: the caller keeps
 * its own references. options NULL: the defaults. It opens a connection to its first choice at
 * once. */
PRIVY_API enum privy_status privy_resolver_new(struct event_base *, struct privy_upstreams *,
                                               struct privy_cache *,
                                               const struct privy_resolver_options *,
                                               struct privy_resolver **ret_resolver,
                                               struct privy_error *reterr);
/* From now on use this set. Upstreams that are also in it keep their connections; the others
 * finish what they carry and close. */
PRIVY_API enum privy_status privy_resolver_set_upstreams(struct privy_resolver *,
                                                         struct privy_upstreams *);
/* Ends every query of it without calling back. Allowed inside a callback. */
PRIVY_API void privy_resolver_free(struct privy_resolver *);
/* The machine's addresses or routes changed: old connections are suspect, back-offs are void. */
PRIVY_API void privy_network_changed(struct privy_resolver *);
/* Unanswered questions of this resolver. */
PRIVY_API unsigned privy_resolver_pending(const struct privy_resolver *);

/* How a query ends: exactly once, from the loop, never inside privy_query(); not at all after
 * privy_cancel() or privy_resolver_free().
 * answer, error: one of them is NULL; both are borrowed and gone on return (but see
 * privy_answer_ref). A SERVFAIL that an upstream gave is an answer; that no upstream gave any is an
 * error. May call anything on the resolver, privy_resolver_free() too. */
typedef void privy_done(void *arg, enum privy_status status, const struct privy_answer *answer,
                        const struct privy_error *error);

/* Ask for one name, class IN. name and options are copied; options NULL: the resolver's.
 * protocol   "dot", "mtls" ... or NULL: any of the set
 * ret_query  for privy_cancel(), valid until done runs; may be NULL
 * PRIVY_OK: done will run. PRIVY_EINVAL, PRIVY_EUNSUPPORTED, PRIVY_ENOMEM, PRIVY_EBUSY: it will
 * not. */
PRIVY_API enum privy_status privy_query(struct privy_resolver *, const char *name, uint16_t type,
                                        const char *protocol, const struct privy_query_options *,
                                        privy_done *done, void *arg,
                                        struct privy_query **ret_query);

/* Pass on a whole query message (no length prefix). Question, DO, CD and AD of it count; its id and
 * letter case come back in the answer; its EDNS options do not travel. A message with TSIG or
 * SIG(0) is passed on unchanged but for the id [RFC 8945 §5.5]. PRIVY_EFORMAT: not a query. Else as
 * privy_query(); its protocol argument stands in privy_exchange_options. */
struct privy_exchange_options {
    size_t size; /* sizeof this struct */
    const char *protocol;
    const struct privy_query_options *query; /* NULL: the resolver's */
};
PRIVY_API enum privy_status privy_exchange(struct privy_resolver *, const void *wire, size_t length,
                                           const struct privy_exchange_options *, privy_done *done,
                                           void *arg, struct privy_query **ret_query);

/* The query ends without calling back; the handle is gone. */
PRIVY_API void privy_cancel(struct privy_query *);

/* The cached answer to this query message, now or never: no callback, no upstream query (but the
 * refresh of an entry that is soon due). Writes at most capacity octets.
 * PRIVY_OK: *ret_written octets, with the id and the letter case of the query, TTLs aged, no OPT.
 * PRIVY_EMISS: not there (or only stale, or it does not fit).
 * facts may be NULL; of a cached failure (SERVFAIL [RFC 9520]) `failure` is true. */
struct privy_facts;
PRIVY_API enum privy_status privy_try(struct privy_resolver *, const void *wire, size_t length,
                                      void *reply, size_t capacity, size_t *ret_written,
                                      struct privy_facts *ret_facts);

/* ---- answers ---- */

struct privy_facts {
    const char *upstream;  /* name of the one that answered; NULL: from the cache */
    const char *protocol;  /* "dot" ...; NULL: from the cache */
    uint32_t milliseconds; /* from the question to the answer */
    unsigned attempts;     /* made for it */
    bool cached, stale, failure;
    bool reused;      /* on a connection that had answered before */
    bool resumed;     /* its TLS session was resumed */
    bool client_auth; /* our certificate was presented */
    bool coalesced;   /* shared with an equal question */
};

/* The whole message: the asker's id and letter case, TTLs aged, the upstream's OPT removed (EDNS is
 * hop by hop [RFC 6891 §6.1.1]). Borrowed. */
PRIVY_API const uint8_t *privy_answer_wire(const struct privy_answer *, size_t *ret_length);
PRIVY_API unsigned privy_answer_rcode(const struct privy_answer *); /* extended, 12 bits */
PRIVY_API uint32_t privy_answer_ttl(const struct privy_answer *); /* smallest; seconds; 0 if none */
PRIVY_API const struct privy_facts *privy_answer_facts(const struct privy_answer *);
/* The i-th Extended DNS Error [RFC 8914] the upstream gave; false: no more. text is not NUL-ended.
 */
PRIVY_API bool privy_answer_ede(const struct privy_answer *, unsigned i, uint16_t *ret_code,
                                const char **ret_text, size_t *ret_length);

struct privy_record {
    char owner[1025]; /* text, escaped, with the final dot */
    uint16_t type, rrclass;
    uint8_t section; /* 1 answer, 2 authority, 3 additional */
    uint32_t ttl;
    const uint8_t *rdata; /* inside the wire; names in it may be compressed */
    uint16_t rdata_length;
};
/* Walk the records: *cursor starts at 0. False: no more. */
PRIVY_API bool privy_answer_record(const struct privy_answer *, size_t *cursor,
                                   struct privy_record *ret);
/* RDATA as text (presentation format; unknown types as \# [RFC 3597 §5]), always NUL-ended; returns
 * the length it needs without NUL. */
PRIVY_API size_t privy_record_text(const struct privy_answer *, const struct privy_record *,
                                   char *out, size_t capacity);
/* Keep an answer beyond the callback. */
PRIVY_API struct privy_answer *privy_answer_ref(const struct privy_answer *);
PRIVY_API void privy_answer_unref(struct privy_answer *);

/* ---- blocking ---- */

struct privy_client_options {
    size_t size;                                   /* sizeof this struct */
    struct privy_upstreams *upstreams;             /* counted: the caller keeps its reference */
    struct privy_cache *cache;                     /* or NULL */
    const struct privy_resolver_options *resolver; /* or NULL */
};
PRIVY_API enum privy_status privy_client_new(const struct privy_client_options *,
                                             struct privy_client **ret_client,
                                             struct privy_error *reterr);
/* Ask and wait, at most the query's deadline. Safe from many threads at once: they share the
 * connections. On PRIVY_OK the answer is the caller's, to privy_answer_unref(). */
PRIVY_API enum privy_status privy_lookup(struct privy_client *, const char *name, uint16_t type,
                                         const char *protocol, struct privy_answer **ret_answer,
                                         struct privy_error *reterr);
/* No lookup may be under way. */
PRIVY_API void privy_client_free(struct privy_client *);

/* ---- the rest ---- */

PRIVY_API const char *privy_strerror(enum privy_status);

enum privy_log_level {
    PRIVY_LOG_ERROR,
    PRIVY_LOG_WARNING,
    PRIVY_LOG_NOTICE,
    PRIVY_LOG_INFO,
    PRIVY_LOG_DEBUG
};
/* Where the library's log lines go (process-wide, NULL: nowhere, the default); from any thread that
 * runs a resolver. Lines above `most` are not built. */
PRIVY_API void privy_log_set(void (*callback)(void *arg, enum privy_log_level, const char *line),
                             void *arg, enum privy_log_level most);

/* The i-th protocol word of this build ("dot", "do53", "mtls" ...), or NULL. */
PRIVY_API const char *privy_protocols(unsigned i);
PRIVY_API const char *privy_version(void); /* "0.1.0" */
/* Type mnemonics: "AAAA" <-> 28, also "TYPE65280". 0: unknown. */
PRIVY_API uint16_t privy_type_parse(const char *text);
PRIVY_API const char *privy_type_text(uint16_t type, char out[16]);
/* "NXDOMAIN", "RCODE23"; written to out. */
PRIVY_API const char *privy_rcode_text(unsigned rcode, char out[16]);

#ifdef __cplusplus
}
#endif
#endif
