/* One client's question, from its bytes to its reply. request_judge() is pure; request_handle()
 * asks the cache and, on a miss, the resolver. Never calls back before it returns. */
#ifndef PRIVYDNSD_REQUEST_H
#define PRIVYDNSD_REQUEST_H

#include "policy/verdict.h"
#include "serve/answer.h"
#include "serve/stats.h"
#include "base/list.h"

/* What all workers share of the limits. */
struct limits {
    _Atomic unsigned inflight;
};

/* One worker's side of all requests. */
struct server {
    struct policy *policy;             /* counted */
    struct privy_resolver **resolvers; /* as policy->config->pools; the worker's */
    struct limits *limits;
    struct stats *stats;
    struct pv_list pending; /* requests */
    unsigned pending_count;
    uint8_t *scratch; /* PV_MESSAGE_MAX octets: replies of misses are built here */
    /* Told when the last pending request has gone; may be NULL. */
    void (*idle)(void *arg);
    void *idle_arg;
};
bool server_init(struct server *, struct policy *, struct limits *, struct stats *);
void server_done(struct server *); /* drops what is pending; the resolvers must be gone */
void server_set_policy(struct server *, struct policy *);

/* A query as it came in. */
struct arrival {
    const uint8_t *bytes;
    size_t length;
    bool tcp;
    struct pv_addr peer;
    uint16_t keepalive_value; /* TCP: what to tell a client that asks, 100 ms units */
};

enum request_fate {
    REQUEST_DROP,    /* no reply; over TCP: close */
    REQUEST_REPLIED, /* *ret_length octets in reply */
    REQUEST_PENDING, /* *ret_request will be delivered later */
};

/* What was found out about an arrival. */
struct judged {
    struct pv_query_view view;
    struct verdict verdict;
    struct asker asker;
};
/* Parse and judge. PENDING means: to be answered from the cache or an upstream, nothing written. */
enum request_fate request_judge(const struct policy *, const struct arrival *, struct judged *ret,
                                uint8_t *reply, size_t capacity, size_t *ret_length);
/* The reply of a VERDICT_ERROR, or of VERDICT_CACHE on a miss. */
size_t request_refuse(const struct judged *, uint8_t *reply, size_t capacity);

/* A question that waits for its answer. The transport that got it fills in the part below. */
struct request {
    struct pv_list link; /* server->pending */
    struct server *server;
    struct asker asker;
    struct pv_header header;
    uint16_t question_length;
    uint8_t question[PV_NAME_MAX + 4];
    uint64_t began_us;

    void (*deliver)(struct request *, const uint8_t *reply, size_t length); /* NULL: nobody waits */
    struct pv_list owner_link;
    void *owner;
    struct pv_addr peer, local; /* UDP: whom to answer, and from where (AF_UNSPEC: the socket's) */
    uint32_t interface;
};

/* reply must have room for PV_MESSAGE_MAX octets. */
enum request_fate request_handle(struct server *, const struct arrival *, uint8_t *reply,
                                 size_t *ret_length, struct request **ret_request);

#endif
