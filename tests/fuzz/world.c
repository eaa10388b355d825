#include "world.h"

#include "base/map.h"
#include "base/random.h"

#include <errno.h>

volatile bool world_own_memory;

#define ANY_NUMBER (SIZE_MAX / 2)

/* ---- the machine ---- */

static uint64_t now(void *world)
{
    return ((const struct world *)world)->now;
}

static uint64_t age_now(void *world)
{
    const struct world *w = world;
    return w->now / S + w->slept;
}

static const struct pv_machine machine;

static struct pv_sock *sock_open(struct pv_loop *loop, bool tcp, const struct pv_addr *peer,
                                 pv_sock_ready *ready, void *arg)
{
    void *its_world;
    pv_loop_machine(loop, &its_world);
    struct world *w = its_world;
    errno = w->refusal;
    if (w->refusal)
        return NULL;
    world_own_memory = true;
    struct pv_sock *s = calloc(1, sizeof *s);
    world_own_memory = false;
    PV_BUG_IF(!s);
    *s = (struct pv_sock){
        .head = {&machine}, .world = w, .tcp = tcp, .peer = *peer, .ready = ready, .arg = arg};
    pv_buf_init(&s->in, ANY_NUMBER);
    pv_buf_init(&s->out, ANY_NUMBER);
    pv_list_init(&s->heard);
    pv_list_append(&w->socks, &s->link);
    w->count++;
    if (!tcp || w->calm)
        world_ease(s);
    if (w->opened)
        w->opened(s);
    return s;
}

static void sock_want(struct pv_sock *s, unsigned events)
{
    s->wanted = events;
}

static int sock_error(struct pv_sock *s)
{
    PV_BUG_IF(!s->error && !s->connected); /* asked before it was told */
    return s->error;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static ssize_t failed(int error)
{
    errno = error;
    return -1;
}

struct world_message *world_hear(struct pv_sock *s, const void *bytes, size_t length)
{
    world_own_memory = true;
    struct world_message *m = malloc(sizeof *m + length);
    world_own_memory = false;
    PV_BUG_IF(!m);
    *m = (struct world_message){.length = length};
    memcpy(m->bytes, bytes, length);
    pv_list_append(&s->heard, &m->link);
    return m;
}

static void append(struct pv_buf *buf, const void *bytes, size_t n)
{
    world_own_memory = true;
    PV_BUG_IF(!pv_buf_append(buf, bytes, n));
    world_own_memory = false;
}

static void hear_stream(struct pv_sock *s, const void *bytes, size_t n)
{
    size_t length;
    append(&s->out, bytes, n);
    while (!s->raw && pv_buf_length(&s->out) >= 2 &&
           pv_buf_length(&s->out) >= 2 + (length = pv_get16(pv_buf_front(&s->out)))) {
        world_hear(s, pv_buf_front(&s->out) + 2, length);
        pv_buf_consume(&s->out, 2 + length);
    }
}

static ssize_t sock_send(struct pv_sock *s, const void *bytes, size_t n)
{
    if (s->error || !s->connected)
        return failed(s->error == ECONNRESET ? EPIPE : s->error ? s->error : EAGAIN);
    if (!s->tcp) {
        world_hear(s, bytes, n);
        return (ssize_t)n;
    }
    n = least(n, s->room);
    if (n == 0)
        return failed(EAGAIN);
    hear_stream(s, bytes, n);
    s->room -= n;
    return (ssize_t)n;
}

static ssize_t recv_datagram(struct pv_sock *s, void *bytes, size_t n)
{
    if (pv_buf_length(&s->in) == 0)
        return failed(EAGAIN);
    size_t length = pv_get16(pv_buf_front(&s->in));
    n = least(n, length);
    memcpy(bytes, pv_buf_front(&s->in) + 2, n);
    pv_buf_consume(&s->in, 2 + length);
    return (ssize_t)n;
}

static ssize_t sock_recv(struct pv_sock *s, void *bytes, size_t n)
{
    if (s->error)
        return failed(s->error);
    if (!s->tcp)
        return recv_datagram(s, bytes, n);
    if (s->ended && pv_buf_length(&s->in) == 0)
        return 0;
    n = least(n, least(s->readable, pv_buf_length(&s->in)));
    if (n == 0)
        return failed(EAGAIN);
    memcpy(bytes, pv_buf_front(&s->in), n);
    pv_buf_consume(&s->in, n);
    s->readable -= n;
    return (ssize_t)n;
}

static bool sock_local(struct pv_sock *s, struct pv_addr *ret)
{
    return pv_addr_parse(s->world->here, strlen(s->world->here), 0, ret);
}

static void sock_close(struct pv_sock *s)
{
    if (s->world->closing)
        s->world->closing(s);
    s->world->count--;
    pv_list_remove(&s->link);
    pv_list_each_safe (it, &s->heard)
        world_forget(pv_container(it, struct world_message, link));
    pv_buf_done(&s->in);
    pv_buf_done(&s->out);
    free(s);
}

static const struct pv_machine machine = {
    .now = now,
    .age_now = age_now,
    .open = sock_open,
    .want = sock_want,
    .error = sock_error,
    .send = sock_send,
    .recv = sock_recv,
    .local = sock_local,
    .close = sock_close,
};

/* ---- the world ---- */

void world_init(struct world *w)
{
    *w = (struct world){.now = 1000 * S, .here = "192.0.2.254"};
    pv_list_init(&w->socks);
    pv_random_seed(1);
    pv_hash("", 0); /* the first call draws its key: not from what this input is to get */
    pv_random_seed(1);
    w->loop = pv_loop_new(NULL, &machine, w);
    PV_BUG_IF(!w->loop);
}

void world_done(struct world *w)
{
    PV_BUG_IF(w->count != 0);
    PV_BUG_IF(pv_loop_busy(w->loop) || pv_loop_next_due(w->loop) != UINT64_MAX);
    pv_loop_free(w->loop);
    pv_random_seed(0);
}

struct pv_sock *world_sock(struct world *w, unsigned k)
{
    struct pv_list *at = pv_list_first(&w->socks);
    for (k = w->count ? k % w->count : 0; k > 0; k--)
        at = at->next;
    return at ? pv_container(at, struct pv_sock, link) : NULL;
}

void world_ease(struct pv_sock *s)
{
    if (s->error || s->ended)
        return;
    s->connected = true;
    s->readable = s->room = ANY_NUMBER;
}

void world_deliver(struct pv_sock *s, const void *bytes, size_t n)
{
    uint8_t length[2];
    pv_put16(length, (uint16_t)n);
    if (s->ended || s->error)
        return;
    if (!s->tcp)
        append(&s->in, length, 2);
    append(&s->in, bytes, n);
}

void world_answer(struct pv_sock *s, const uint8_t *message, size_t length)
{
    uint8_t prefix[2];
    pv_put16(prefix, (uint16_t)length);
    if (s->tcp)
        world_deliver(s, prefix, 2);
    world_deliver(s, message, length);
}

void world_forget(struct world_message *m)
{
    pv_list_remove(&m->link);
    free(m);
}

/* ---- time ---- */

static unsigned ready_for(const struct pv_sock *s)
{
    bool has_data = pv_buf_length(&s->in) > 0 && (s->readable > 0 || !s->tcp);
    bool read = s->error || has_data || (s->ended && pv_buf_length(&s->in) == 0);
    bool write = s->error || (s->connected && (s->room > 0 || !s->tcp));
    return s->wanted & ((read ? PV_SOCK_READ : 0) | (write ? PV_SOCK_WRITE : 0));
}

static struct pv_sock *next_ready(const struct world *w)
{
    pv_list_each (it, &w->socks) {
        struct pv_sock *s = pv_container(it, struct pv_sock, link);
        if (ready_for(s))
            return s;
    }
    return NULL;
}

/* Each of those that are ready once, then the end of the turn, as a loop does. */
static void turn(struct world *w)
{
    struct pv_list told, *first;
    pv_list_init(&told);
    pv_list_splice(&told, &w->socks);
    while ((first = pv_list_first(&told))) {
        struct pv_sock *s = pv_container(first, struct pv_sock, link);
        pv_list_remove(first);
        pv_list_append(&w->socks, first);
        if (ready_for(s))
            s->ready(s->arg, ready_for(s)); /* s may be gone */
    }
    pv_loop_turn(w->loop);
    if (w->peers)
        w->peers(w);
}

void world_settle(struct world *w)
{
    unsigned turns = 0;
    do {
        turn(w);
        PV_BUG_IF(++turns > 10000); /* it spins */
    } while (next_ready(w) || pv_loop_busy(w->loop) || pv_loop_next_due(w->loop) <= w->now);
}

void world_pass(struct world *w, uint64_t us)
{
    uint64_t end = w->now + us, due;
    world_settle(w);
    while ((due = pv_loop_next_due(w->loop)) <= end) {
        w->now = due > w->now ? due : w->now;
        world_settle(w);
    }
    w->now = end;
    world_settle(w);
}
