/* TCP: two flows of chunks, each chunk arriving at its time and in order; what is sent over a
 * broken path waits for it to heal, as retransmission does. */
#include "net.h"

#include "memory.h"
#include "report.h"

#include <errno.h>

enum { USER_TIMEOUT_US = 3000000 }; /* what net/sock.c asks of the kernel */

enum kind { DATA, FIN, RST };

struct chunk {
    struct chunk *next;
    uint64_t at;
    enum kind kind;
    size_t length;
    uint8_t bytes[];
};

/* ---- connections ---- */

static void flow_init(struct flow *f)
{
    f->last = &f->first;
}

static void flow_purge(struct net_conn *c, struct flow *f)
{
    while (f->first) {
        struct chunk *first = f->first;
        f->first = first->next;
        own_free(first);
    }
    f->last = &f->first;
    f->bytes = 0;
    f->held = false;
    agenda_clear(c->net->agenda, &f->task);
}

void tcp_free(struct net_conn *c)
{
    flow_purge(c, &c->up);
    flow_purge(c, &c->down);
    agenda_clear(c->net->agenda, &c->opening);
    agenda_clear(c->net->agenda, &c->timeout);
    agenda_clear(c->net->agenda, &c->cutting);
    pv_list_remove(&c->link);
    own_free(c);
}

static void free_if_over(struct net_conn *c)
{
    if (!c->busy && !c->sock && !c->session && !c->up.first)
        tcp_free(c);
}

/* ---- flows ---- */

static bool is_silent(const struct net_conn *c)
{
    enum net_way way = net_way(c->host);
    return c->silent || c->severed || c->lost || (way != NET_OPEN && way != NET_REFUSES);
}

static bool is_held(const struct net_conn *c, const struct flow *f)
{
    return is_silent(c) || (f == &c->up && c->unread);
}

static void up_arrives(struct task *);
static void down_arrives(struct task *);

static void arm(struct net_conn *c, struct flow *f, uint64_t at)
{
    agenda_set(c->net->agenda, &f->task, at, f == &c->up ? up_arrives : down_arrives);
}

static void push_at(struct net_conn *c, struct flow *f, enum kind kind, const void *bytes, size_t n,
                    uint64_t at)
{
    struct chunk *chunk = own_alloc(sizeof *chunk + n);
    if (c->severed) {
        own_free(chunk);
        return;
    }
    *chunk = (struct chunk){.at = at > f->latest ? at : f->latest, .kind = kind, .length = n};
    if (n)
        memcpy(chunk->bytes, bytes, n);
    f->latest = chunk->at;
    f->bytes += n;
    bool first = !f->first;
    *f->last = chunk;
    f->last = &chunk->next;
    if (first)
        arm(c, f, chunk->at);
}

static void push(struct net_conn *c, struct flow *f, enum kind kind, const void *bytes, size_t n)
{
    push_at(c, f, kind, bytes, n, *c->net->now + net_delay(c->net, c->host));
}

static void timed_out(struct task *t)
{
    struct net_conn *c = pv_container(t, struct net_conn, timeout);
    trace("net: connection %llu timed out", (unsigned long long)c->serial);
    net_sever(c);
    if (!c->sock)
        return;
    c->sock->error = ETIMEDOUT;
    c->sock->reset = true;
}

/* What was sent and is not acknowledged: the kernel gives up in the end. */
static void hold(struct net_conn *c, struct flow *f)
{
    f->held = true;
    if (f == &c->up && is_silent(c) && f->first->kind == DATA && !c->timeout.place)
        agenda_set(c->net->agenda, &c->timeout, f->first->at + USER_TIMEOUT_US, timed_out);
}

static struct chunk *take(struct net_conn *c, struct flow *f)
{
    struct chunk *chunk = f->first;
    if (!chunk || chunk->at > *c->net->now)
        return NULL;
    if (is_held(c, f)) {
        hold(c, f);
        return NULL;
    }
    f->held = false;
    f->first = chunk->next;
    if (!f->first)
        f->last = &f->first;
    f->bytes -= chunk->length;
    report_mix(*c->net->now << 20 ^ c->serial << 4 ^ chunk->length << 1 ^ (f == &c->up));
    return chunk;
}

static void arm_next(struct net_conn *c, struct flow *f)
{
    if (f->first && !f->held && !f->task.place)
        arm(c, f, f->first->at > *c->net->now ? f->first->at : *c->net->now);
}

/* ---- to the server ---- */

static void arrives_at_server(struct net_conn *c, const struct chunk *chunk)
{
    void *session = c->session;
    if (!session) {
        if (chunk->kind == DATA && c->sock)
            push(c, &c->down, RST, NULL, 0);
        return;
    }
    if (chunk->kind == DATA) {
        c->host->service->received(session, chunk->bytes, chunk->length);
        return;
    }
    c->session = NULL;
    c->host->service->closed(session);
}

static void up_arrives(struct task *t)
{
    struct net_conn *c = pv_container(t, struct net_conn, up.task);
    struct chunk *chunk;
    c->busy++;
    agenda_clear(c->net->agenda, &c->timeout);
    while ((chunk = take(c, &c->up))) {
        arrives_at_server(c, chunk);
        own_free(chunk);
    }
    c->busy--;
    arm_next(c, &c->up);
    free_if_over(c);
}

/* ---- to the resolver ---- */

static void append(struct pv_sock *s, const uint8_t *bytes, size_t n)
{
    if (s->in_length + n > s->in_room) {
        size_t room = (s->in_length + n) * 2;
        uint8_t *more = own_alloc(room);
        if (s->in_length)
            memcpy(more, s->in, s->in_length);
        own_free(s->in);
        s->in = more;
        s->in_room = room;
    }
    memcpy(s->in + s->in_length, bytes, n);
    s->in_length += n;
}

static void arrives_at_resolver(struct net_conn *c, const struct chunk *chunk)
{
    struct pv_sock *s = c->sock;
    if (!s || s->eof || s->reset)
        return;
    trace("net: connection %llu: %zu octets to the resolver%s", (unsigned long long)c->serial,
          chunk->length,
          chunk->kind == FIN   ? ", end"
          : chunk->kind == RST ? ", reset"
                               : "");
    if (chunk->kind == DATA) {
        append(s, chunk->bytes, chunk->length);
    } else if (chunk->kind == FIN) {
        s->eof = true;
    } else {
        s->reset = true;
        s->error = ECONNRESET;
    }
}

static void down_arrives(struct task *t)
{
    struct net_conn *c = pv_container(t, struct net_conn, down.task);
    struct chunk *chunk;
    while ((chunk = take(c, &c->down))) {
        arrives_at_resolver(c, chunk);
        own_free(chunk);
    }
    arm_next(c, &c->down);
}

/* ---- opening ---- */

static void connected(struct task *t)
{
    struct net_conn *c = pv_container(t, struct net_conn, opening);
    if (c->sock && !c->severed)
        c->sock->connected = true;
    free_if_over(c);
}

static void refused(struct task *t)
{
    struct net_conn *c = pv_container(t, struct net_conn, opening);
    c->severed = true;
    if (c->sock)
        c->sock->error = net_way(c->host) == NET_UNREACHABLE ? EHOSTUNREACH : ECONNREFUSED;
    free_if_over(c);
}

static void syn_arrives(struct task *t)
{
    struct net_conn *c = pv_container(t, struct net_conn, opening);
    struct agenda *agenda = c->net->agenda;
    uint64_t now = *c->net->now, back = now + net_delay(c->net, c->host);
    enum net_way way = net_way(c->host);
    if (!c->sock) {
        tcp_free(c);
    } else if (c->silent || way == NET_DROPS || way == NET_NO_ROUTE) {
        /* sent again after 1 s, 2 s more, 4 s more */
        agenda_set(agenda, t, now + (1000000ULL << c->syns++), syn_arrives);
    } else if (way != NET_OPEN) {
        agenda_set(agenda, t, back, refused);
    } else {
        c->busy++;
        c->down.latest = back;
        c->session = c->host->service->accepted(c->host->server, c);
        c->busy--;
        agenda_set(agenda, t, back, connected);
    }
}

void tcp_open(struct pv_sock *s)
{
    struct net_conn *c = own_alloc(sizeof *c);
    c->net = s->net;
    c->host = s->host;
    c->sock = s;
    c->serial = s->serial;
    c->begun = *s->net->now;
    flow_init(&c->up);
    flow_init(&c->down);
    s->conn = c;
    pv_list_append(&s->net->conns, &c->link);
    agenda_set(s->net->agenda, &c->opening, *s->net->now + net_delay(s->net, s->host), syn_arrives);
}

/* ---- the resolver's end ---- */

void tcp_close(struct pv_sock *s)
{
    struct net_conn *c = s->conn;
    c->sock = NULL;
    flow_purge(c, &c->down);
    agenda_clear(c->net->agenda, &c->timeout);
    if (c->session && !c->severed) /* unread octets make a reset of it */
        push(c, &c->up, s->in_length ? RST : FIN, NULL, 0);
    else if (!c->session && !c->opening.place)
        flow_purge(c, &c->up);
    if (!c->opening.place)
        free_if_over(c);
}

size_t tcp_room(const struct pv_sock *s)
{
    size_t window = s->host->path->window, used = s->conn->up.bytes;
    return used < window ? window - used : 0;
}

ssize_t tcp_send(struct pv_sock *s, const void *bytes, size_t n)
{
    struct net *net = s->net;
    if (s->error) {
        errno = net_take_error(s);
        return -1;
    }
    if (s->reset) {
        errno = EPIPE;
        return -1;
    }
    size_t room = tcp_room(s);
    if (net->short_of_buffers && n > 1 && roll(&net->dice, 2))
        n = 1 + roll(&net->dice, (unsigned)n);
    n = n < room ? n : room;
    if (n == 0) {
        errno = EAGAIN;
        return -1;
    }
    push(s->conn, &s->conn->up, DATA, bytes, n);
    return (ssize_t)n;
}

ssize_t tcp_recv(struct pv_sock *s, void *bytes, size_t n)
{
    if (s->in_length) {
        n = n < s->in_length ? n : s->in_length;
        memcpy(bytes, s->in, n);
        s->in_length -= n;
        memmove(s->in, s->in + n, s->in_length);
        return (ssize_t)n;
    }
    if (s->error) {
        errno = net_take_error(s);
        return -1;
    }
    if (s->eof || s->reset)
        return 0;
    errno = EAGAIN;
    return -1;
}

/* ---- the server's end ---- */

/* A moment later: the session may be in the middle of sending. */
static void cut(struct task *t)
{
    struct net_conn *c = pv_container(t, struct net_conn, cutting);
    void *session = c->session;
    if (c->cut_how == NET_SILENCE) {
        c->lost = true;
        return;
    }
    push(c, &c->down, c->cut_how == NET_RESET ? RST : FIN, NULL, 0);
    c->session = NULL;
    if (session)
        c->host->service->closed(session);
    free_if_over(c);
}

/* Returns how much of it goes out before the cut. */
static size_t until_cut(struct net_conn *c, size_t n)
{
    if (!c->cuts)
        return n;
    n = n < c->cut_after ? n : c->cut_after;
    c->cut_after -= n;
    if (c->cut_after == 0 && !c->cutting.place)
        agenda_set(c->net->agenda, &c->cutting, *c->net->now, cut);
    return n;
}

void net_drip(struct net_conn *c, const void *bytes, size_t n, size_t step, uint64_t gap_us)
{
    const uint8_t *p = bytes;
    size_t most = until_cut(c, n);
    uint64_t at = *c->net->now + net_delay(c->net, c->host);
    for (size_t i = 0; i < most; i += step, at += gap_us)
        push_at(c, &c->down, DATA, p + i, most - i < step ? most - i : step, at);
}

void net_send(struct net_conn *c, const void *bytes, size_t n)
{
    net_drip(c, bytes, n, n ? n : 1, 0);
}

/* What has not been sent yet is not sent any more. */
static void forget_unsent(struct net_conn *c)
{
    const struct net_path *path = c->host->path;
    uint64_t sent = *c->net->now + path->latency_us + path->jitter_us;
    struct chunk **last = &c->down.first;
    while (*last && (*last)->at <= sent)
        last = &(*last)->next;
    c->down.latest = sent < c->down.latest ? sent : c->down.latest;
    c->down.last = last;
    while (*last) {
        struct chunk *rest = *last;
        *last = rest->next;
        c->down.bytes -= rest->length;
        own_free(rest);
    }
    if (!c->down.first)
        agenda_clear(c->net->agenda, &c->down.task);
}

void net_end(struct net_conn *c, enum net_end how)
{
    c->session = NULL;
    if (how == NET_RESET)
        forget_unsent(c);
    agenda_clear(c->net->agenda, &c->cutting);
    if (how == NET_SILENCE)
        net_sever(c);
    else
        push(c, &c->down, how == NET_RESET ? RST : FIN, NULL, 0);
    if (!c->opening.place)
        free_if_over(c);
}

void net_cut(struct net_conn *c, size_t after, enum net_end how)
{
    c->cuts = true;
    c->cut_after = after;
    c->cut_how = how;
}

static void go_on(struct net_conn *c, struct flow *f)
{
    if (!f->first || !f->held || is_held(c, f))
        return;
    f->held = false;
    agenda_clear(c->net->agenda, &c->timeout);
    arm(c, f, *c->net->now + between(&c->net->dice, 1000, 200000)); /* the next retransmission */
}

void net_read(struct net_conn *c, bool reads)
{
    c->unread = !reads;
    go_on(c, &c->up);
}

/* ---- the story's ---- */

void net_silence(struct net_conn *c, bool silent)
{
    c->silent = silent;
    go_on(c, &c->up);
    go_on(c, &c->down);
}

void net_sever(struct net_conn *c)
{
    c->severed = true;
    flow_purge(c, &c->up);
    flow_purge(c, &c->down);
    agenda_clear(c->net->agenda, &c->timeout);
}

void net_changed(struct net *n)
{
    pv_list_each (it, &n->conns) {
        struct net_conn *c = pv_container(it, struct net_conn, link);
        go_on(c, &c->up);
        go_on(c, &c->down);
    }
}

static void hurry(struct net_conn *c, struct flow *f, uint64_t most)
{
    for (struct chunk *chunk = f->first; chunk; chunk = chunk->next)
        chunk->at = chunk->at < most ? chunk->at : most;
    f->latest = f->latest < most ? f->latest : most;
    if (f->first && f->task.place && f->task.at > most)
        arm(c, f, most);
}

void net_hurry(struct net *n, uint64_t us)
{
    pv_list_each (it, &n->conns) {
        struct net_conn *c = pv_container(it, struct net_conn, link);
        hurry(c, &c->up, *n->now + us);
        hurry(c, &c->down, *n->now + us);
        if (c->opening.place && c->opening.at > *n->now + us && !is_silent(c) && !c->syns)
            agenda_set(n->agenda, &c->opening, *n->now + us, c->opening.run);
    }
}

/* A router or the server says at last that it is gone. */
static void reset(struct net_conn *c)
{
    void *session = c->session;
    c->severed = c->silent = c->lost = false;
    c->busy++;
    c->session = NULL;
    if (session)
        c->host->service->closed(session);
    flow_purge(c, &c->up);
    flow_purge(c, &c->down);
    agenda_clear(c->net->agenda, &c->opening);
    agenda_clear(c->net->agenda, &c->timeout);
    agenda_clear(c->net->agenda, &c->cutting);
    if (c->sock) {
        c->sock->reset = true;
        c->sock->error = ECONNRESET;
    }
    c->busy--;
    free_if_over(c);
}

void net_reset_broken(struct net *n)
{
    pv_list_each_safe (it, &n->conns) {
        struct net_conn *c = pv_container(it, struct net_conn, link);
        if (is_silent(c) || c->unread)
            reset(c);
    }
}
