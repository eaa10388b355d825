#include "conn/health.h"

#include "base/random.h"

/* Unanswered questions in a row after which a peer that keeps its connections up is down all the
 * same. */
enum { TIMEOUTS_MOST = 8 };
enum { STATE_UNKNOWN, STATE_UP, STATE_DOWN };

/* Of changes of state: two outages in a minute, and one line a minute of what never ends. */
enum { LINES_MOST = 4, LINES_US = 60000000 };

/* 4 trials a second where there is no other way out. */
enum { TRIAL_SPACING_US = 250000 };

#define LOAD(x)     atomic_load_explicit(&(x), memory_order_relaxed)
#define STORE(x, v) atomic_store_explicit(&(x), (v), memory_order_relaxed)

static void lock(struct pv_health *h)
{
    while (atomic_flag_test_and_set_explicit(&h->lock, memory_order_acquire))
        ;
}

static void unlock(struct pv_health *h)
{
    atomic_flag_clear_explicit(&h->lock, memory_order_release);
}

void pv_health_set_watch(struct pv_upstream *up, privy_event_callback *watch, void *arg)
{
    lock(&up->health);
    up->health.watch = watch;
    up->health.watch_arg = arg;
    unlock(&up->health);
}

void pv_health_reason(struct pv_upstream *up, char *out, size_t capacity)
{
    lock(&up->health);
    snprintf(out, capacity, "%s", LOAD(up->health.state) == STATE_DOWN ? up->health.reason : "");
    unlock(&up->health);
}

/* Is this change worth a line, or, where none were written, that it stands? Counts those that are
 * not. Under the lock. */
static bool take_line(struct pv_health *h, uint64_t now, bool changed, unsigned *ret_left_out)
{
    bool anew = !h->logs_us || now - h->logs_us >= LINES_US;
    uint32_t left_out = LOAD(h->unlogged);
    if (!changed && (left_out == 0 || !anew))
        return false;
    if (anew) { /* whoever goes on as before has one line, not all of them at once */
        h->logs_us = now;
        h->logged = left_out ? LINES_MOST - 1 : 0;
    }
    *ret_left_out = left_out;
    bool taken = h->logged < LINES_MOST;
    h->logged += taken;
    STORE(h->unlogged, taken ? 0 : left_out + 1);
    return taken;
}

static void write_line(const struct pv_upstream *up, uint32_t before, uint32_t state,
                       const char *reason, unsigned left_out)
{
    static const char *const word[] = {"unknown", "up", "down"};
    char from[16] = "", more[56] = "";
    if (before != state)
        snprintf(from, sizeof from, "%s -> ", word[before]);
    if (left_out)
        snprintf(more, sizeof more, ", after %u changes that were not logged", left_out);
    pv_log(state == STATE_DOWN ? PRIVY_LOG_WARNING : PRIVY_LOG_NOTICE, "upstream %s: %s%s%s%s%s",
           up->name, from, word[state], reason[0] ? ": " : "", reason, more);
}

/* Whoever changes the state tells it; everybody else stays silent. A peer that answers probes only
 * goes up and down without a word until it answers a question. Returns the state before. */
static uint32_t tell(struct pv_upstream *up, uint64_t now, uint32_t state, const char *reason)
{
    struct pv_health *h = &up->health;
    bool quiet = state == STATE_UP && LOAD(h->timeouts) >= TIMEOUTS_MOST;
    unsigned left_out = 0;
    if (state == STATE_UP && LOAD(h->state) == STATE_UP && LOAD(h->told) == STATE_UP &&
        LOAD(h->unlogged) == 0)
        return state;
    lock(h); /* state and reason belong together; down again may have another reason */
    uint32_t before = atomic_exchange(&h->state, state);
    uint32_t told = quiet ? state : atomic_exchange(&h->told, state);
    bool line = !quiet && take_line(h, now, told != state, &left_out);
    snprintf(h->reason, sizeof h->reason, "%s", reason);
    privy_event_callback *watch = h->watch;
    void *arg = h->watch_arg;
    unlock(h);
    if (line)
        write_line(up, told, state, reason, left_out);
    if (watch && told != state)
        watch(arg, up->name, state == STATE_UP, reason);
    return before;
}

static uint32_t as_sample(uint64_t us)
{
    return us > 60000000 ? 60000000 : us == 0 ? 1 : (uint32_t)us;
}

/* Threads may lose each other's samples: it is an estimate. */
static void smooth(_Atomic uint32_t *mean, uint32_t sample)
{
    uint64_t old = LOAD(*mean);
    uint32_t new = old ? (uint32_t)((old * 7 + sample) / 8) : sample;
    STORE(*mean, new ? new : 1);
}

/* Jacobson's estimate [RFC 6298 §2]. */
void pv_health_sample(struct pv_upstream *up, uint64_t us)
{
    struct pv_health *h = &up->health;
    uint32_t sample = as_sample(us), srtt = LOAD(h->srtt_us);
    uint32_t off = srtt > sample ? srtt - sample : sample - srtt;
    STORE(h->rttvar_us, srtt ? (uint32_t)((LOAD(h->rttvar_us) * 3ULL + off) / 4) : sample / 2);
    smooth(&h->srtt_us, sample);
    smooth(&h->cost_us, sample);
}

/* Not one of srtt's, as Karn has it: what had no answer would else prolong the wait for one. */
void pv_health_outlived(struct pv_upstream *up, uint64_t us)
{
    smooth(&up->health.cost_us, as_sample(us));
}

bool pv_health_good(struct pv_upstream *up, uint64_t now, uint64_t sent, bool probe)
{
    struct pv_health *h = &up->health;
    bool clean = LOAD(h->failures) == 0 && LOAD(h->timeouts) == 0;
    if (LOAD(h->rests_us) && sent <= LOAD(h->rests_us))
        return false;
    if (LOAD(h->state) == STATE_UP && (clean || probe) && LOAD(h->unlogged) == 0)
        return false;
    if (!probe) {
        STORE(h->timeouts, 0);
        STORE(h->failures, 0);
    }
    STORE(h->rests_us, 0);
    STORE(h->next_trial_us, 0);
    return tell(up, now, STATE_UP, "") == STATE_DOWN;
}

static uint64_t backoff(uint32_t failures)
{
    uint64_t us = PV_BACKOFF_FIRST_US;
    for (uint32_t i = 1; i < failures && us < PV_BACKOFF_LAST_US; i++)
        us *= 2;
    if (us > PV_BACKOFF_LAST_US)
        us = PV_BACKOFF_LAST_US;
    return us - us / 4 + pv_random_below((uint32_t)(us / 2));
}

/* The next step of the back-off begins. */
static void step_back(struct pv_health *h, uint64_t now)
{
    uint32_t failures = LOAD(h->failures);
    failures = failures < 16 ? failures + 1 : failures;
    STORE(h->next_trial_us, now + backoff(failures));
    STORE(h->failures, failures);
}

void pv_health_bad(struct pv_upstream *up, uint64_t now, enum pv_outcome outcome,
                   const char *reason)
{
    struct pv_health *h = &up->health;
    /* Several threads, or several connections at once, see the same outage: one step of back-off
     * for each trial (which took it), not for each witness. */
    if (LOAD(h->failures) == 0 || now >= LOAD(h->next_trial_us))
        step_back(h, now);
    STORE(h->outcome, outcome);
    tell(up, now, STATE_DOWN, reason);
}

static void strike(struct pv_upstream *up, uint64_t now, enum pv_outcome outcome,
                   const char *reason)
{
    if (atomic_fetch_add(&up->health.timeouts, 1) + 1 >= TIMEOUTS_MOST)
        pv_health_bad(up, now, outcome, reason);
}

void pv_health_timeout(struct pv_upstream *up, uint64_t now, uint64_t waited_us)
{
    pv_health_outlived(up, waited_us);
    strike(up, now, PV_TIMED_OUT, "does not answer questions");
}

void pv_health_useless(struct pv_upstream *up, uint64_t now, enum pv_outcome outcome,
                       const char *reason)
{
    strike(up, now, outcome, reason);
}

void pv_health_rest(struct pv_upstream *up, uint64_t now, uint64_t us, const char *reason)
{
    STORE(up->health.rests_us, now);
    pv_health_bad(up, now, PV_SERVER_FAILED, reason);
    if (LOAD(up->health.next_trial_us) < now + us)
        STORE(up->health.next_trial_us, now + us);
}

void pv_health_forgive(struct pv_upstream *up)
{
    STORE(up->health.next_trial_us, 0);
    STORE(up->health.rests_us, 0);
    if (LOAD(up->health.failures) > 1)
        STORE(up->health.failures, 1);
}

bool pv_health_is_down(const struct pv_upstream *up)
{
    return LOAD(up->health.state) == STATE_DOWN;
}

bool pv_health_is_doubtful(const struct pv_upstream *up)
{
    return LOAD(up->health.failures) != 0;
}

enum pv_outcome pv_health_outcome(const struct pv_upstream *up)
{
    return (enum pv_outcome)LOAD(up->health.outcome);
}

bool pv_health_take_trial(struct pv_upstream *up, uint64_t now, bool last_way_out)
{
    struct pv_health *h = &up->health;
    uint64_t spaced = LOAD(h->last_way_out_us);
    if (now < spaced || (!last_way_out && now < LOAD(h->next_trial_us)))
        return false;
    if (!atomic_compare_exchange_strong(&h->last_way_out_us, &spaced, now + TRIAL_SPACING_US))
        return false;
    if (!last_way_out)
        step_back(h, now);
    return true;
}

void pv_health_count(struct pv_upstream *up, enum pv_result result)
{
    atomic_fetch_add_explicit(&up->health.results[result], 1, memory_order_relaxed);
}

static uint64_t clamp(uint64_t v, uint64_t least, uint64_t most)
{
    return v < least ? least : v > most ? most : v;
}

uint64_t pv_health_srtt(const struct pv_upstream *up)
{
    return LOAD(up->health.srtt_us);
}

uint64_t pv_health_cost(const struct pv_upstream *up)
{
    return LOAD(up->health.cost_us);
}

uint64_t pv_health_try_timeout(const struct pv_upstream *up)
{
    uint64_t srtt = LOAD(up->health.srtt_us);
    return srtt ? clamp(srtt + 4ULL * LOAD(up->health.rttvar_us), 500000, 2000000) : 1000000;
}

uint64_t pv_health_hedge_after(const struct pv_upstream *up)
{
    return clamp(2ULL * LOAD(up->health.srtt_us), 150000, 600000);
}

uint64_t pv_health_suspect_after(const struct pv_upstream *up)
{
    return clamp(3ULL * LOAD(up->health.srtt_us), 500000, 1500000);
}
