#include "resolver/failure.h"

#include "conn/attempt.h"
#include "conn/health.h"
#include "resolver/select.h"

#define ATTEMPT(it) pv_container(it, struct pv_attempt, of_query)

static void note(struct privy_attempt *out, const struct pv_upstream *up, const char *reason)
{
    const struct pv_proto *proto = up->proto;
    snprintf(out->upstream, sizeof out->upstream, "%s", up->name);
    snprintf(out->protocol, sizeof out->protocol, "%s", proto->name);
    snprintf(out->reason, sizeof out->reason, "%s", reason);
}

static bool misbehaved(enum pv_outcome outcome)
{
    return outcome == PV_UNTRUSTED || outcome == PV_TLS_FAILED || outcome == PV_BAD_ANSWER ||
           outcome == PV_SERVER_FAILED;
}

/* One that still waits on an upstream that is down: is that to blame? */
static bool is_to_blame(const struct pv_attempt *a)
{
    bool waits = a->outcome == PV_PENDING && pv_health_is_down(a->upstream);
    return misbehaved(waits ? pv_health_outcome(a->upstream) : a->outcome);
}

static void note_attempt(struct privy_attempt *out, const struct pv_attempt *a, uint64_t now)
{
    uint64_t end = a->done ? a->done : now;
    const char *reason = a->reason;
    char of_upstream[100];
    out->misbehaved = is_to_blame(a);
    if (a->outcome == PV_PENDING && out->misbehaved) {
        pv_health_reason(a->upstream, of_upstream, sizeof of_upstream);
        reason = of_upstream;
    } else if (a->outcome == PV_PENDING) {
        reason = a->was_sent ? "no answer in time" : "no connection in time";
    } else if (a->answer && reason[0] == '\0') {
        reason = "its answer is an error";
    }
    note(out, a->upstream, reason);
    out->milliseconds = (uint32_t)((end - a->begun) / 1000);
    out->sent = a->was_sent;
}

static bool was_given(const struct pv_query *q, const struct pv_upstream *up)
{
    pv_list_each (it, &q->attempts) {
        if (ATTEMPT(it)->upstream == up)
            return true;
    }
    return false;
}

/* The attempts, then those that were down all the time and so were not even tried. */
enum privy_status pv_failure(const struct pv_query *q, struct privy_error *ret)
{
    struct privy_error unwanted, *out = ret ? ret : &unwanted;
    enum privy_status status = q->attempt_count ? PRIVY_EUNREACHABLE : PRIVY_ENOTREADY;
    unsigned n = 0;
    pv_list_each (it, &q->attempts) {
        const struct pv_attempt *a = ATTEMPT(it);
        if (is_to_blame(a))
            status = PRIVY_EPEER;
        else if (a->outcome == PV_PENDING && a->was_sent && status == PRIVY_EUNREACHABLE)
            status = PRIVY_ETIMEOUT;
        if (n < PRIVY_ERROR_ATTEMPTS)
            note_attempt(&out->attempts[n++], a, pv_now(q->resolver->loop));
    }
    pv_list_each (it, &q->resolver->endpoints) {
        const struct pv_endpoint *e = pv_container(it, struct pv_endpoint, link);
        char reason[100];
        if (!pv_health_is_down(e->upstream) || !pv_select_allows(q, e) || was_given(q, e->upstream))
            continue;
        bool bad = misbehaved(pv_health_outcome(e->upstream));
        if (bad)
            status = PRIVY_EPEER;
        else if (status == PRIVY_ENOTREADY)
            status = PRIVY_EUNREACHABLE;
        pv_health_reason(e->upstream, reason, sizeof reason);
        if (n < PRIVY_ERROR_ATTEMPTS) {
            out->attempts[n] = (struct privy_attempt){0};
            out->attempts[n].misbehaved = bad;
            note(&out->attempts[n++], e->upstream, reason);
        }
    }
    out->attempt_count = n;
    return status;
}
