#include "unit.h"

#include "base/random.h"
#include "net/loop.h"
#include "net/sock.h"

#include <event2/event.h>
#include <time.h>
#include <unistd.h>

/* A machine whose clock stands where we put it. */
static uint64_t virtual_now(void *world)
{
    return *(const uint64_t *)world;
}

static uint64_t virtual_age(void *world)
{
    return *(const uint64_t *)world / 1000000;
}

static const struct pv_machine virtual_machine = {.now = virtual_now, .age_now = virtual_age};

/* ---- the wheel against a model ---- */

enum { TIMERS = 3000 };

struct alarm {
    struct pv_timer timer;
    uint64_t due; /* 0: idle */
};

static struct pv_loop *wheel_loop;
static uint64_t wheel_now, last_fired_tick;
static unsigned fired;

static void alarm_fires(struct pv_timer *t)
{
    struct alarm *a = pv_container(t, struct alarm, timer);
    assert_true(a->due != 0);
    assert_true(t->due == 0);
    assert_true(wheel_now >= a->due); /* never early */
    assert_true((a->due + 999) / 1000 >= last_fired_tick);
    last_fired_tick = (a->due + 999) / 1000;
    a->due = 0;
    fired++;
    if (pv_random_below(4) == 0) { /* its function may set it again, now and in the past too */
        a->due = wheel_now - 500 + pv_random_below(100000);
        pv_timer_set(wheel_loop, t, a->due, alarm_fires);
        last_fired_tick = a->due / 1000 < last_fired_tick ? 0 : last_fired_tick;
    }
}

/* Delays from microseconds to weeks, so that every level is used. */
static uint64_t some_delay(void)
{
    return pv_random_below(UINT32_C(1) << (1 + pv_random_below(31))) *
           (uint64_t)(1 + pv_random_below(1000));
}

static uint64_t model_next(const struct alarm *alarms)
{
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < TIMERS; i++)
        if (alarms[i].due && alarms[i].due < next)
            next = alarms[i].due;
    return next;
}

static void change_some(struct alarm *alarms)
{
    for (unsigned n = pv_random_below(20); n; n--) {
        struct alarm *a = &alarms[pv_random_below(TIMERS)];
        if (pv_random_below(3) == 0) {
            pv_timer_clear(wheel_loop, &a->timer);
            a->due = 0;
            continue;
        }
        a->due = wheel_now + 1 + some_delay();
        pv_timer_set(wheel_loop, &a->timer, a->due, alarm_fires);
    }
}

static void check_next(const struct alarm *alarms)
{
    uint64_t next = model_next(alarms), told = pv_loop_next_due(wheel_loop);
    if (next == UINT64_MAX) {
        assert_true(told == UINT64_MAX);
        return;
    }
    uint64_t tick = (next + 999) / 1000 * 1000;
    assert_true(told == (tick < wheel_now ? wheel_now / 1000 * 1000 : tick));
}

static void random_timers_fire_in_order_and_never_early(void **state)
{
    (void)state;
    static struct alarm alarms[TIMERS];
    pv_random_seed(7);
    wheel_now = 123456789;
    wheel_loop = pv_loop_new(NULL, &virtual_machine, &wheel_now);
    assert_non_null(wheel_loop);
    for (unsigned step = 0; step < 20000; step++) {
        change_some(alarms);
        check_next(alarms);
        if (pv_random_below(2))
            wheel_now += pv_random_below(3000);
        else if (pv_loop_next_due(wheel_loop) != UINT64_MAX)
            wheel_now = pv_loop_next_due(wheel_loop) + pv_random_below(2) * some_delay();
        last_fired_tick = 0;
        pv_loop_turn(wheel_loop);
        for (unsigned i = 0; i < TIMERS; i++) /* none is a whole tick late */
            assert_true(!alarms[i].due || alarms[i].due / 1000 >= wheel_now / 1000 - 1);
    }
    assert_true(fired > 10000);
    for (unsigned i = 0; i < TIMERS; i++)
        pv_timer_clear(wheel_loop, &alarms[i].timer);
    assert_true(pv_loop_next_due(wheel_loop) == UINT64_MAX);
    pv_loop_free(wheel_loop);
    pv_random_seed(0);
}

/* ---- deferral ---- */

struct note {
    struct pv_deferred deferred;
    struct pv_timer timer;
    struct pv_loop *loop;
    struct note *other;
    char letter;
};

static char story[64];

static void tell(const struct note *n)
{
    size_t length = strlen(story);
    assert_true(length + 1 < sizeof story);
    story[length] = n->letter;
    story[length + 1] = '\0';
}

static struct note *note(struct pv_deferred *d)
{
    return pv_container(d, struct note, deferred);
}

static void run_tell(struct pv_deferred *d)
{
    tell(note(d));
}

static void run_again(struct pv_deferred *d)
{
    tell(note(d));
    pv_defer(note(d)->loop, d, run_again);
}

static void run_undefer_other(struct pv_deferred *d)
{
    tell(note(d));
    pv_undefer(&note(d)->other->deferred);
}

static void run_flush_other(struct pv_deferred *d)
{
    tell(note(d));
    pv_defer_flush(note(d)->loop, &note(d)->other->deferred, run_tell);
}

static void run_defer_other(struct pv_deferred *d)
{
    tell(note(d));
    pv_defer(note(d)->loop, &note(d)->other->deferred, run_tell);
}

static void run_free_loop(struct pv_deferred *d)
{
    tell(note(d));
    pv_loop_free(note(d)->loop);
}

static uint64_t still = 1000000;

static struct pv_loop *notes_begin(struct note *notes, size_t n)
{
    struct pv_loop *l = pv_loop_new(NULL, &virtual_machine, &still);
    assert_non_null(l);
    memset(notes, 0, n * sizeof *notes);
    for (size_t i = 0; i < n; i++) {
        notes[i].letter = (char)('a' + i);
        notes[i].loop = l;
    }
    story[0] = '\0';
    return l;
}

static void deferred_run_in_order_then_flushes(void **state)
{
    (void)state;
    struct note n[4];
    struct pv_loop *l = notes_begin(n, 4);
    pv_defer_flush(l, &n[0].deferred, run_tell);
    pv_defer(l, &n[1].deferred, run_tell);
    n[2].other = &n[3];
    pv_defer(l, &n[2].deferred, run_flush_other);
    pv_defer(l, &n[1].deferred, run_tell); /* once is enough */
    assert_true(pv_loop_busy(l));
    pv_loop_turn(l);
    assert_string_equal(story, "bcad");
    assert_false(pv_loop_busy(l));
    pv_loop_free(l);
}

static void deferred_while_running_waits_for_the_next_turn(void **state)
{
    (void)state;
    struct note n[1];
    struct pv_loop *l = notes_begin(n, 1);
    pv_defer(l, &n[0].deferred, run_again);
    pv_loop_turn(l);
    assert_string_equal(story, "a");
    assert_true(pv_loop_busy(l));
    pv_loop_turn(l);
    assert_string_equal(story, "aa");
    pv_loop_free(l);
    assert_false(n[0].deferred.queued); /* forgotten: undefer does no harm */
    pv_undefer(&n[0].deferred);
}

static void undefer_while_running(void **state)
{
    (void)state;
    struct note n[3];
    struct pv_loop *l = notes_begin(n, 3);
    n[0].other = &n[1];
    pv_defer(l, &n[0].deferred, run_undefer_other);
    pv_defer(l, &n[1].deferred, run_tell);
    pv_defer(l, &n[2].deferred, run_tell);
    pv_loop_turn(l);
    assert_string_equal(story, "ac");
    pv_loop_free(l);
}

static void timer_free_loop(struct pv_timer *t)
{
    struct note *n = pv_container(t, struct note, timer);
    tell(n);
    pv_loop_free(n->loop);
}

static void loop_freed_inside_what_it_runs(void **state)
{
    (void)state;
    struct note n[3];
    struct pv_loop *l = notes_begin(n, 3);
    pv_defer(l, &n[0].deferred, run_tell);
    pv_defer(l, &n[1].deferred, run_free_loop);
    pv_defer(l, &n[2].deferred, run_tell);
    pv_loop_turn(l);
    assert_string_equal(story, "ab");
    assert_false(n[2].deferred.queued);

    l = notes_begin(n, 3);
    pv_timer_set(l, &n[0].timer, 1, timer_free_loop);
    pv_timer_set(l, &n[1].timer, 2, timer_free_loop);
    pv_defer(l, &n[2].deferred, run_tell);
    pv_loop_turn(l);
    assert_string_equal(story, "a");
    assert_true(n[1].timer.due == 0);
}

/* ---- on libevent, with the real clock ---- */

static uint64_t monotonic_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t fired_at;

static void note_time(struct pv_timer *t)
{
    (void)t;
    fired_at = monotonic_us();
}

static void real_timers_are_not_early(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct pv_loop *l = pv_loop_new(base, NULL, NULL);
    assert_non_null(l);
    for (unsigned ms = 1; ms <= 20; ms += 3) {
        struct pv_timer never = {0}, timer = {0};
        pv_timer_set(l, &never, pv_now(l) + 100, note_time); /* armed for nothing */
        uint64_t due = pv_now(l) + ms * 1000;
        pv_timer_set(l, &timer, due, note_time);
        pv_timer_clear(l, &never);
        assert_int_equal(event_base_loop(base, 0), 1); /* ends by itself: nothing is left */
        assert_true(fired_at >= due);
        assert_true(fired_at < due + 200000); /* other work on this machine */
    }
    pv_loop_free(l);
    event_base_free(base);
}

static void on_pipe(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    char byte;
    struct note *n = arg;
    assert_int_equal(read(fd, &byte, 1), 1);
    tell(n);
    n->other->letter = 'D';
    pv_defer(n->loop, &n->other->deferred, run_tell);
}

static void deferred_run_after_all_descriptors_of_the_turn(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct note n[4];
    pv_loop_free(notes_begin(n, 4));
    struct pv_loop *l = pv_loop_new(base, NULL, NULL);
    int pipes[3][2];
    struct event *events[3];
    for (unsigned i = 0; i < 3; i++) {
        n[i].loop = l;
        n[i].other = &n[3];
        assert_int_equal(pipe(pipes[i]), 0);
        assert_int_equal(write(pipes[i][1], "x", 1), 1);
        events[i] = event_new(base, pipes[i][0], EV_READ | EV_PERSIST, on_pipe, &n[i]);
        event_add(events[i], NULL);
    }
    event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(strlen(story), 4);
    assert_int_equal(story[3], 'D');
    for (unsigned i = 0; i < 3; i++) {
        event_free(events[i]);
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
    pv_loop_free(l);
    event_base_free(base);
}

/* One that defers itself for ever must not keep a descriptor from its turn. */
static void deferring_does_not_starve_descriptors(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct note n[3];
    pv_loop_free(notes_begin(n, 3));
    struct pv_loop *l = pv_loop_new(base, NULL, NULL);
    n[0].loop = n[1].loop = l;
    n[1].other = &n[2];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct event *event = event_new(base, ends[0], EV_READ, on_pipe, &n[1]);
    event_add(event, NULL);
    pv_defer(l, &n[0].deferred, run_again);
    for (unsigned turn = 0; turn < 3; turn++)
        event_base_loop(base, EVLOOP_ONCE);
    assert_string_equal(story, "aaa");
    assert_int_equal(write(ends[1], "x", 1), 1);
    event_base_loop(base, EVLOOP_ONCE);
    event_base_loop(base, EVLOOP_ONCE);
    assert_non_null(strchr(story, 'b'));
    assert_non_null(strchr(story, 'D'));
    event_free(event);
    close(ends[0]);
    close(ends[1]);
    pv_loop_free(l);
    event_base_free(base);
}

static void pass_time(unsigned ms)
{
    uint64_t until = monotonic_us() + ms * 1000;
    while (monotonic_us() < until)
        continue;
}

static struct pv_loop *slow_loop;

static void slow_callback(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    pass_time(1);
    uint64_t first = pv_now(slow_loop);
    pass_time(3);
    assert_true(pv_now(slow_loop) == first); /* one time for the turn */
    pv_now_refresh(slow_loop);
    assert_true(pv_now(slow_loop) >= first + 3000);
}

static void now_is_of_this_turn(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    slow_loop = pv_loop_new(base, NULL, NULL);
    uint64_t before = pv_now(slow_loop);
    pass_time(2);
    assert_true(pv_now(slow_loop) >= before + 2000); /* outside the loop it does not stand still */
    struct event *events[2];
    for (unsigned i = 0; i < 2; i++) {
        events[i] = event_new(base, -1, 0, slow_callback, NULL);
        event_active(events[i], EV_TIMEOUT, 0);
        event_base_loop(base, EVLOOP_ONCE);
        event_free(events[i]);
    }
    assert_true(pv_now(slow_loop) / 1000000 <= pv_age_now(slow_loop) + 1);
    pv_loop_free(slow_loop);
    event_base_free(base);
}

static void loop_freed_inside_on_libevent(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct note n[2];
    pv_loop_free(notes_begin(n, 2));
    n[0].loop = pv_loop_new(base, NULL, NULL);
    pv_defer(n[0].loop, &n[0].deferred, run_free_loop);
    pv_defer(n[0].loop, &n[1].deferred, run_tell);
    assert_int_equal(event_base_loop(base, 0), 1); /* no event of the loop is left */
    assert_string_equal(story, "a");
    event_base_free(base);
}

/* ---- libevent without memory: a base whose heap of timers is full ---- */

enum { HEAP = 8 }; /* it grows when there are so many */

static bool memory_is_out;

static void *some_realloc(void *p, size_t n)
{
    return memory_is_out ? NULL : realloc(p, n);
}

static struct event_base *full_base(struct event *fillers[HEAP])
{
    event_set_mem_functions(malloc, some_realloc, free);
    struct event_base *base = event_base_new();
    for (unsigned i = 0; i < HEAP; i++) {
        fillers[i] = event_new(base, -1, 0, slow_callback, NULL);
        assert_int_equal(event_add(fillers[i], &(struct timeval){.tv_sec = 3600}), 0);
    }
    return base;
}

static void free_full_base(struct event_base *base, struct event *fillers[HEAP])
{
    for (unsigned i = 0; i < HEAP; i++)
        event_free(fillers[i]);
    event_base_free(base);
}

static void timers_survive_a_lack_of_memory(void **state)
{
    (void)state;
    struct event *fillers[HEAP];
    struct event_base *base = full_base(fillers);
    struct note n[1];
    pv_loop_free(notes_begin(n, 1));
    struct pv_loop *l = n[0].loop = pv_loop_new(base, NULL, NULL);
    struct pv_timer timer = {0};
    uint64_t due = pv_now(l) + 1000;
    fired_at = 0;
    memory_is_out = true;
    pv_timer_set(l, &timer, due, note_time);
    memory_is_out = false;
    pv_defer(l, &n[0].deferred, run_tell); /* anything that happens in the loop */
    while (fired_at == 0)
        event_base_loop(base, EVLOOP_ONCE);
    assert_true(fired_at >= due);
    pv_loop_free(l);
    free_full_base(base, fillers);
}

static void deferred_survive_a_lack_of_memory(void **state)
{
    (void)state;
    struct event *fillers[HEAP];
    struct event_base *base = full_base(fillers);
    struct note n[2];
    pv_loop_free(notes_begin(n, 2));
    n[0].loop = n[1].loop = pv_loop_new(base, NULL, NULL);
    n[0].other = &n[1];
    memory_is_out = true;
    pv_defer(n[0].loop, &n[0].deferred, run_defer_other);
    event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_string_equal(story, "ab");
    memory_is_out = false;
    pv_loop_free(n[0].loop);
    free_full_base(base, fillers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_timers_fire_in_order_and_never_early),
        cmocka_unit_test(deferred_run_in_order_then_flushes),
        cmocka_unit_test(deferred_while_running_waits_for_the_next_turn),
        cmocka_unit_test(undefer_while_running),
        cmocka_unit_test(loop_freed_inside_what_it_runs),
        cmocka_unit_test(real_timers_are_not_early),
        cmocka_unit_test(deferred_run_after_all_descriptors_of_the_turn),
        cmocka_unit_test(deferring_does_not_starve_descriptors),
        cmocka_unit_test(now_is_of_this_turn),
        cmocka_unit_test(loop_freed_inside_on_libevent),
        cmocka_unit_test(timers_survive_a_lack_of_memory),
        cmocka_unit_test(deferred_survive_a_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
