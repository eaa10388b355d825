#include "serve/request.h"

#include "base/status.h"
#include "wire/rrtype.h"

#include <stdlib.h>
#include <time.h>

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- the server's side ---- */

bool server_init(struct server *s, struct policy *policy, struct limits *limits,
                 struct stats *stats)
{
    *s = (struct server){.policy = policy_ref(policy), .limits = limits, .stats = stats};
    pv_list_init(&s->pending);
    s->scratch = malloc(PV_MESSAGE_MAX);
    return s->scratch != NULL;
}

void server_done(struct server *s)
{
    if (!s->policy)
        return;
    atomic_fetch_sub_explicit(&s->limits->inflight, s->pending_count, memory_order_relaxed);
    pv_list_each_safe (it, &s->pending)
        free(pv_container(it, struct request, link));
    free(s->scratch);
    policy_unref(s->policy);
    *s = (struct server){0};
}

void server_set_policy(struct server *s, struct policy *policy)
{
    struct policy *old = s->policy;
    s->policy = policy_ref(policy);
    policy_unref(old);
}

/* ---- judging ---- */

/* Replies made here are made anew, even where the query was signed. */
static size_t finish(struct asker asker, uint8_t *reply, size_t length, size_t capacity,
                     unsigned rcode, const struct answer_edes *edes)
{
    asker.opaque = false;
    return length ? answer_fit(&asker, reply, length, capacity, rcode, edes) : 0;
}

size_t request_refuse(const struct judged *j, uint8_t *reply, size_t capacity)
{
    const struct pv_query_view *q = &j->view;
    const struct verdict *v = &j->verdict;
    struct asker asker = j->asker;
    struct answer_edes edes = {0};
    asker.edns = v->with_opt;
    asker.keepalive = false; /* B25: bad input gets no longer answers */
    if (v->opt_at_fault)
        asker.dnssec_ok = false;
    if (v->ede >= 0)
        answer_ede_add(&edes, (uint16_t)v->ede, NULL, NULL, 0);
    size_t length = answer_empty(&q->header, v->with_question ? q->question_bytes : NULL,
                                 q->question_length, v->rcode, reply, capacity);
    return finish(asker, reply, length, capacity, v->rcode, &edes);
}

enum request_fate request_judge(const struct policy *policy, const struct arrival *arrival,
                                struct judged *ret, uint8_t *reply, size_t capacity,
                                size_t *ret_length)
{
    pv_query_parse(&ret->view, arrival->bytes, arrival->length);
    ret->verdict = verdict_of(policy, &ret->view, arrival->tcp, &arrival->peer);
    ret->asker = asker_of(&ret->view, arrival->tcp, (uint16_t)policy->config->edns_size);
    ret->asker.keepalive_value = arrival->keepalive_value;
    size_t length;
    switch (ret->verdict.kind) {
    case VERDICT_DROP:
        pv_debug("a message is dropped: %s", ret->verdict.why);
        return REQUEST_DROP;
    case VERDICT_ERROR:
        pv_debug("a query is refused: %s", ret->verdict.why);
        length = request_refuse(ret, reply, capacity);
        break;
    case VERDICT_SPECIAL:
        length = special_answer(&ret->verdict.special, &ret->view, reply, capacity);
        ret->verdict.rcode = length ? PV_RCODE(pv_get16(reply + 2)) : 0;
        length = finish(ret->asker, reply, length, capacity, ret->verdict.rcode, NULL);
        break;
    case VERDICT_HINFO:
        length = answer_hinfo(&ret->view, reply, capacity);
        length = finish(ret->asker, reply, length, capacity, PV_NOERROR, NULL);
        break;
    case VERDICT_CACHE:
    case VERDICT_FORWARD:
    case VERDICT_OPAQUE:
    default:
        return REQUEST_PENDING;
    }
    *ret_length = length;
    return length ? REQUEST_REPLIED : REQUEST_DROP;
}

/* ---- the life of a request ---- */

static struct request *request_new(struct server *s, const struct judged *j)
{
    struct request *r = malloc(sizeof *r);
    if (!r)
        return NULL;
    r->server = s;
    r->asker = j->asker;
    r->header = j->view.header;
    r->question_length = (uint16_t)j->view.question_length;
    memcpy(r->question, j->view.question_bytes, r->question_length);
    r->began_us = now_us();
    r->deliver = NULL;
    r->owner = NULL;
    pv_list_init(&r->owner_link);
    pv_list_append(&s->pending, &r->link);
    s->pending_count++;
    return r;
}

static void request_free(struct request *r)
{
    struct server *s = r->server;
    atomic_fetch_sub_explicit(&s->limits->inflight, 1, memory_order_relaxed);
    pv_list_remove(&r->owner_link);
    pv_list_remove(&r->link);
    s->pending_count--;
    free(r);
    if (!s->pending_count && s->idle)
        s->idle(s->idle_arg);
}

/* What Extended DNS Error tells of a failure without any answer. */
static void ede_of_error(struct answer_edes *edes, enum privy_status status,
                         const struct privy_error *error)
{
    uint16_t code = PV_EDE_OTHER;
    if (status == PRIVY_EUNREACHABLE || status == PRIVY_ETIMEOUT)
        code = PV_EDE_UNREACHABLE;
    else if (status == PRIVY_EPEER)
        code = PV_EDE_NETWORK;
    else if (status == PRIVY_ENOTREADY)
        code = PV_EDE_NOT_READY;
    const struct privy_attempt *last = NULL;
    for (unsigned i = 0; error && i < error->attempt_count && i < PRIVY_ERROR_ATTEMPTS; i++)
        if (*error->attempts[i].reason && (error->attempts[i].misbehaved || status != PRIVY_EPEER))
            last = &error->attempts[i];
    if (last)
        answer_ede_add(edes, code, last->upstream, last->reason, strlen(last->reason));
    else
        answer_ede_add(edes, code, NULL, NULL, 0);
}

/* What was special about an answer, then what the upstream said itself. */
static void edes_of_answer(struct answer_edes *edes, const struct privy_answer *answer,
                           const struct privy_facts *facts)
{
    uint16_t code;
    const char *text;
    size_t length;
    if (facts->failure)
        answer_ede_add(edes, PV_EDE_CACHED_ERROR, NULL, NULL, 0);
    else if (facts->stale)
        answer_ede_add(
            edes, privy_answer_rcode(answer) == PV_NXDOMAIN ? PV_EDE_STALE_NXDOMAIN : PV_EDE_STALE,
            NULL, NULL, 0);
    for (unsigned i = 0; privy_answer_ede(answer, i, &code, &text, &length); i++)
        answer_ede_add(edes, code, facts->upstream, text, length);
}

static size_t failure(struct request *r, enum privy_status status, const struct privy_error *error)
{
    uint8_t *out = r->server->scratch;
    struct answer_edes edes = {0};
    struct asker asker = r->asker;
    asker.opaque = false;
    ede_of_error(&edes, status, error);
    size_t length =
        answer_empty(&r->header, r->question, r->question_length, PV_SERVFAIL, out, PV_MESSAGE_MAX);
    return answer_fit(&asker, out, length, PV_MESSAGE_MAX, PV_SERVFAIL, &edes);
}

static size_t success(struct request *r, const struct privy_answer *answer)
{
    size_t length;
    const uint8_t *wire = privy_answer_wire(answer, &length);
    if (length < PV_HEADER || length > PV_MESSAGE_MAX)
        return failure(r, PRIVY_EPEER, NULL);
    struct answer_edes edes = {0};
    memcpy(r->server->scratch, wire, length);
    edes_of_answer(&edes, answer, privy_answer_facts(answer));
    return answer_fit(&r->asker, r->server->scratch, length, PV_MESSAGE_MAX,
                      privy_answer_rcode(answer), &edes);
}

static void request_done(void *arg, enum privy_status status, const struct privy_answer *answer,
                         const struct privy_error *error)
{
    struct request *r = arg;
    struct server *s = r->server;
    size_t length = answer ? success(r, answer) : failure(r, status, error);
    uint64_t took = now_us() - r->began_us;
    enum stats_source source =
        answer && privy_answer_facts(answer)->cached ? STATS_CACHE : STATS_UPSTREAM;
    stats_answer(s->stats, PV_RCODE(pv_get16(s->scratch + 2)), source,
                 took < UINT32_MAX ? (uint32_t)took : UINT32_MAX);
    if (r->deliver)
        r->deliver(r, s->scratch, length);
    request_free(r);
}

/* ---- handling ---- */

static void log_query(const struct judged *j, const struct arrival *a)
{
    char name[PV_NAME_TEXT], type[16], peer[PV_ADDR_TEXT];
    pv_name_to_text(j->view.question.name, name);
    pv_log(PRIVY_LOG_NOTICE, "query: %s %s from %s over %s", name,
           pv_type_text(j->view.question.type, type), pv_addr_text(&a->peer, peer),
           a->tcp ? "TCP" : "UDP");
}

static struct privy_resolver *resolver_of(const struct server *s, const struct judged *j)
{
    return s->resolvers[j->verdict.pool - s->policy->config->pools];
}

static bool from_cache(struct server *s, const struct judged *j, const struct arrival *a,
                       uint8_t *reply, size_t *ret_length)
{
    struct privy_facts facts = {0};
    struct answer_edes edes = {0};
    size_t length;
    if (privy_try(resolver_of(s, j), a->bytes, a->length, reply, PV_MESSAGE_MAX, &length, &facts) !=
        PRIVY_OK)
        return false;
    if (facts.failure)
        answer_ede_add(&edes, PV_EDE_CACHED_ERROR, NULL, NULL, 0);
    unsigned rcode = PV_RCODE(pv_get16(reply + 2));
    *ret_length = finish(j->asker, reply, length, PV_MESSAGE_MAX, rcode, &edes);
    stats_answer(s->stats, rcode, STATS_CACHE, 0);
    pv_debug("cache hit, %zu octets", *ret_length);
    return true;
}

static enum request_fate refuse(struct server *s, struct judged *j, uint16_t rcode, int ede,
                                uint8_t *reply, size_t *ret_length)
{
    j->verdict.rcode = rcode;
    j->verdict.ede = ede;
    j->verdict.with_question = true;
    j->verdict.with_opt = j->view.edns.present;
    *ret_length = request_refuse(j, reply, PV_MESSAGE_MAX);
    stats_answer(s->stats, rcode, STATS_LOCAL, 0);
    return REQUEST_REPLIED;
}

/* Take one of the places for unanswered questions, which all workers share. */
static bool take_place(struct server *s)
{
    unsigned most = s->policy->config->limits.inflight;
    if (atomic_fetch_add_explicit(&s->limits->inflight, 1, memory_order_relaxed) < most)
        return true;
    atomic_fetch_sub_explicit(&s->limits->inflight, 1, memory_order_relaxed);
    stats_count(&s->stats->refused_overload, 1);
    return false;
}

static enum request_fate ask(struct server *s, struct judged *j, const struct arrival *a,
                             uint8_t *reply, size_t *ret_length, struct request **ret_request)
{
    struct request *r = NULL;
    if (!take_place(s))
        return refuse(s, j, PV_SERVFAIL, PV_EDE_OTHER, reply, ret_length);
    r = request_new(s, j);
    if (!r) {
        atomic_fetch_sub_explicit(&s->limits->inflight, 1, memory_order_relaxed);
        return refuse(s, j, PV_SERVFAIL, PV_EDE_OTHER, reply, ret_length);
    }
    struct privy_exchange_options options = {.size = sizeof options,
                                             .query = &s->policy->config->query};
    enum privy_status status =
        privy_exchange(resolver_of(s, j), a->bytes, a->length, &options, request_done, r, NULL);
    if (status == PRIVY_OK) {
        *ret_request = r;
        return REQUEST_PENDING;
    }
    request_free(r);
    return refuse(s, j, status == PRIVY_EFORMAT ? PV_FORMERR : PV_SERVFAIL,
                  status == PRIVY_EFORMAT     ? -1
                  : status == PRIVY_ENOTREADY ? PV_EDE_NOT_READY
                                              : PV_EDE_OTHER,
                  reply, ret_length);
}

enum request_fate request_handle(struct server *s, const struct arrival *a, uint8_t *reply,
                                 size_t *ret_length, struct request **ret_request)
{
    struct judged j;
    stats_count(a->tcp ? &s->stats->queries_tcp : &s->stats->queries_udp, 1);
    enum request_fate fate = request_judge(s->policy, a, &j, reply, PV_MESSAGE_MAX, ret_length);
    if (s->policy->config->log.queries && j.view.fault == PV_FINE)
        log_query(&j, a);
    if (j.verdict.malformed)
        stats_count(&s->stats->malformed, 1);
    if (fate == REQUEST_REPLIED)
        stats_answer(s->stats, j.verdict.rcode, STATS_LOCAL, 0);
    if (fate != REQUEST_PENDING)
        return fate;
    if (j.verdict.kind != VERDICT_OPAQUE && from_cache(s, &j, a, reply, ret_length))
        return REQUEST_REPLIED;
    if (j.verdict.kind == VERDICT_CACHE)
        return refuse(s, &j, j.verdict.rcode, j.verdict.ede, reply, ret_length);
    return ask(s, &j, a, reply, ret_length, ret_request);
}
