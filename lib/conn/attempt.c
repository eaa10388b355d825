#include "conn/attempt.h"

#include "conn/conn.h"
#include "conn/endpoint.h"
#include "conn/health.h"

void pv_attempt_init(struct pv_attempt *a, const struct pv_ask *ask, enum pv_kind kind,
                     const struct pv_attempt_events *events, void *owner)
{
    pv_list_init(&a->link);
    pv_list_init(&a->of_query);
    a->ask = ask;
    a->kind = kind;
    a->events = events;
    a->owner = owner;
}

void pv_attempt_done(struct pv_attempt *a)
{
    pv_undefer(&a->ending);
    pv_undefer(&a->warning);
    free(a->answer);
    a->answer = NULL;
    pv_upstream_unref(a->upstream);
    a->upstream = NULL;
}

static enum pv_result result_of(enum pv_outcome outcome)
{
    switch (outcome) {
    case PV_GOOD:
    case PV_TRUNCATED:
        return PV_RESULT_OK;
    case PV_TIMED_OUT:
        return PV_RESULT_TIMEOUT;
    case PV_UNTRUSTED:
    case PV_TLS_FAILED:
        return PV_RESULT_TLS;
    case PV_BAD_ANSWER:
        return PV_RESULT_BAD_ANSWER;
    case PV_UNPROCESSED:
    case PV_LEFT_OUT:
    case PV_SERVER_FAILED:
        return PV_RESULT_HTTP;
    default:
        return PV_RESULT_NETWORK;
    }
}

static void run_end(struct pv_deferred *d)
{
    struct pv_attempt *a = pv_container(d, struct pv_attempt, ending);
    a->events->on_end(a);
}

/* Leave the endpoint's or connection's list. */
static void leave(struct pv_attempt *a, bool answered)
{
    struct pv_conn *c = a->conn;
    pv_list_remove(&a->link);
    a->conn = NULL;
    if (c)
        pv_conn_forget(c, a, answered);
}

static void end(struct pv_attempt *a, enum pv_outcome outcome, const char *reason, bool answered)
{
    if (PV_BUG_IF(a->outcome != PV_PENDING))
        return;
    a->outcome = outcome;
    snprintf(a->reason, sizeof a->reason, "%s", reason);
    a->done = pv_now(a->endpoint->loop);
    pv_health_count(a->endpoint->upstream, result_of(outcome));
    if (outcome == PV_SERVER_FAILED || outcome == PV_BAD_ANSWER)
        pv_health_useless(a->endpoint->upstream, a->done, outcome, a->reason);
    pv_undefer(&a->warning);
    /* Before it leaves: what leaving sets off (the end of the endpoint) comes after on_end. */
    pv_defer(a->endpoint->loop, &a->ending, run_end);
    leave(a, answered);
}

void pv_attempt_failed(struct pv_attempt *a, enum pv_outcome outcome, const char *reason)
{
    end(a, outcome, reason, false);
}

bool pv_attempt_answered(struct pv_attempt *a, const uint8_t *message, size_t length)
{
    struct pv_endpoint *e = a->endpoint;
    const char *why = "no memory";
    a->answer = malloc(length ? length : 1);
    if (!a->answer) {
        end(a, PV_NO_ROOM, why, false);
        return true;
    }
    memcpy(a->answer, message, length);
    a->answer_length = length;
    int id = e->proto->traits & PV_TRAIT_ID_ZERO ? -1 : (int)a->id;
    if (!pv_reply_check(a->answer, length, &a->ask->question, id, &a->reply, &why)) {
        char reason[sizeof a->reason];
        snprintf(reason, sizeof reason, "bad answer: %s", why);
        end(a, PV_BAD_ANSWER, reason, false);
        return false;
    }
    pv_health_sample(e->upstream, pv_now(e->loop) - a->sent);
    bool cut = a->kind == PV_DATAGRAM && a->reply.truncated;
    end(a, cut ? PV_TRUNCATED : PV_GOOD, cut ? "answer was cut" : "", true);
    pv_endpoint_answered(e, a->sent, a->ask == &e->probe_ask);
    return true;
}

void pv_attempt_drop(struct pv_attempt *a, bool slow)
{
    if (a->outcome == PV_PENDING && a->endpoint) {
        struct pv_endpoint *e = a->endpoint;
        struct pv_conn *c = a->conn;
        a->done = pv_now(e->loop);
        uint64_t waited = a->was_sent ? a->done - a->sent : 0;
        uint64_t patience = pv_health_is_doubtful(e->upstream) ? pv_health_hedge_after(e->upstream)
                                                               : pv_health_try_timeout(e->upstream);
        bool late = slow && (a->overdue || waited > patience);
        if (late)
            pv_health_timeout(e->upstream, a->done, waited);
        else if (slow && waited > pv_health_cost(e->upstream))
            pv_health_outlived(e->upstream, waited);
        pv_health_count(e->upstream, late ? PV_RESULT_TIMEOUT : PV_RESULT_CANCELLED);
        if (c && e->proto->drop)
            e->proto->drop(c, a);
        leave(a, false);
    }
    pv_attempt_done(a);
}

/* ---- dressing ---- */

static size_t dress_opaque(const struct pv_ask *ask, uint16_t id, uint8_t *out, size_t capacity)
{
    if (capacity < ask->opaque_length)
        return 0;
    memcpy(out, ask->opaque, ask->opaque_length);
    pv_put16(out, id);
    return ask->opaque_length;
}

/* RD and AD always (AD asks for the bit without DO [RFC 6840 §5.7]); CD as the client has it: who
 * does not validate passes it on [RFC 4035 §3.2.2]. */
static void write_question(struct pv_writer *w, const struct pv_ask *ask, uint16_t id)
{
    uint16_t flags = PV_RD | PV_AD | (ask->checking_disabled ? PV_CD : 0);
    pv_header_write(w, &(struct pv_header){.id = id, .flags = flags, .qdcount = 1, .arcount = 1});
    pv_write(w, ask->question.name, ask->question.name_length);
    pv_write16(w, ask->question.type);
    pv_write16(w, ask->question.rrclass);
}

size_t pv_attempt_dress(const struct pv_attempt *a, uint16_t id, bool keepalive, uint8_t *out,
                        size_t capacity)
{
    static const uint8_t ecs_none[4] = {0, 1, 0, 0}; /* IPv4, source 0, scope 0 [RFC 7871 §7.1.2] */
    const struct pv_ask *ask = a->ask;
    const struct pv_proto *proto = a->endpoint->proto;
    if (ask->opaque)
        return dress_opaque(ask, id, out, capacity);
    struct pv_writer w = pv_writer(out, capacity);
    write_question(&w, ask, id);
    uint8_t *opt = pv_opt_begin(&w, proto->edns_size, 0, ask->dnssec_ok);
    if (keepalive && proto->traits & PV_TRAIT_KEEPALIVE)
        pv_opt_add(&w, opt, PV_OPT_KEEPALIVE, NULL, 0);
    if (ask->ecs_zero)
        pv_opt_add(&w, opt, PV_OPT_ECS, ecs_none, sizeof ecs_none);
    if (ask->pad_block && !(proto->traits & (PV_TRAIT_PADS_ITSELF | PV_TRAIT_PLAINTEXT)))
        pv_opt_pad(&w, opt, ask->pad_block);
    return w.full ? 0 : pv_written(&w);
}
