#include "net/stream.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

enum { STAGGER_US = 250000 };
enum { RECORD = 16384 };           /* what one write passes on at most */
enum { READ_PER_WAKE_UP = 65536 }; /* then it is the turn of others */

enum { MANY_ANSWERS = 16, ACKNOWLEDGE_US = 1000 };

enum state { CONNECTING, HANDSHAKE, OPEN, LOST };

/* One address of the race. */
struct runner {
    struct pv_stream *stream;
    struct pv_sock *sock;
    struct pv_addr peer;
};

struct pv_stream {
    struct pv_loop *loop;
    const struct pv_stream_events *events;
    void *arg;
    enum state state;
    struct pv_sock *sock; /* the winner's */
    struct pv_tls_context *tls_context;
    struct pv_tls *tls;
    struct pv_addr peer;
    struct pv_buf in, out;
    bool blocked;      /* a write waits for room */
    bool read_blocked; /* a read waits for it (TLS) */

    struct pv_timer stagger, acknowledge;
    struct pv_deferred flush; /* what this turn wrote leaves */
    struct pv_deferred more;  /* more to read than one wake-up may, or a fault to tell */
    unsigned inside;          /* events under way: freed after them */
    bool closed;

    enum pv_stream_fault fault; /* noted while connecting, told later */
    char reason[128];
    unsigned count, next; /* runners; those before next have started */
    struct runner runners[];
};

static void on_sock(void *arg, unsigned events);

/* ---- end ---- */

static void close_race(struct pv_stream *s)
{
    for (unsigned i = 0; i < s->next; i++) {
        if (s->runners[i].sock != s->sock)
            pv_sock_close(s->runners[i].sock);
        s->runners[i].sock = NULL;
    }
    s->next = s->count;
    pv_timer_clear(s->loop, &s->stagger);
}

static void destroy(struct pv_stream *s)
{
    close_race(s);
    pv_timer_clear(s->loop, &s->acknowledge);
    pv_undefer(&s->flush);
    pv_undefer(&s->more);
    pv_tls_free(s->tls);
    pv_sock_close(s->sock);
    pv_buf_done(&s->in);
    pv_buf_done(&s->out);
    free(s);
}

/* After a call of an event: is the stream still there? */
static bool survives(struct pv_stream *s)
{
    s->inside--;
    if (!s->closed)
        return true;
    if (s->inside == 0)
        destroy(s);
    return false;
}

static void lost(struct pv_stream *s, enum pv_stream_fault fault, const char *reason)
{
    close_race(s);
    pv_undefer(&s->flush);
    pv_undefer(&s->more);
    if (s->sock)
        pv_sock_want(s->sock, 0);
    s->state = LOST;
    s->inside++;
    s->events->lost(s->arg, fault, reason);
    survives(s);
}

static void lost_to_errno(struct pv_stream *s, int error)
{
    if (error == ECONNRESET || error == EPIPE)
        lost(s, PV_STREAM_CLOSED, "connection reset by the server");
    else
        lost(s, PV_STREAM_CLOSED, strerror(error));
}

static void lost_to_tls(struct pv_stream *s)
{
    const char *reason;
    switch (pv_tls_fault(s->tls, &reason)) {
    case PV_TLS_UNTRUSTED:
        lost(s, PV_STREAM_UNTRUSTED, reason);
        return;
    case PV_TLS_NO_MEMORY:
        lost(s, PV_STREAM_NO_MEMORY, reason);
        return;
    case PV_TLS_CLOSED:
    case PV_TLS_NETWORK:
        lost(s, s->state == OPEN ? PV_STREAM_CLOSED : PV_STREAM_TLS, reason);
        return;
    default:
        lost(s, PV_STREAM_TLS, reason);
        return;
    }
}

/* ---- open: data ---- */

/* While TLS cannot read before it has written, what may be read is no news. */
static void want(struct pv_stream *s)
{
    unsigned read = s->read_blocked ? 0 : PV_SOCK_READ;
    unsigned write = s->blocked || s->read_blocked ? PV_SOCK_WRITE : 0;
    pv_sock_want(s->sock, read | write);
}

enum moved { MOVED, WAIT, END, BROKEN };

static enum moved read_some(struct pv_stream *s, void *bytes, size_t n, size_t *ret_n)
{
    ssize_t got = s->tls ? pv_tls_read(s->tls, bytes, n) : pv_sock_recv(s->sock, bytes, n);
    s->read_blocked = s->tls && got == 0 && pv_tls_wants(s->tls) & PV_SOCK_WRITE;
    if (got > 0) {
        *ret_n = (size_t)got;
        return MOVED;
    }
    if (s->tls)
        return got == 0 ? WAIT : BROKEN;
    if (got == 0)
        return END;
    return errno == EAGAIN || errno == EINTR ? WAIT : BROKEN;
}

static bool deliver(struct pv_stream *s)
{
    s->inside++;
    s->events->received(s->arg, &s->in);
    return survives(s);
}

/* Read what is there, as far as one wake-up may, into the queue. */
static enum moved fill(struct pv_stream *s, size_t *ret_total)
{
    uint8_t chunk[RECORD];
    size_t total = 0;
    enum moved moved = MOVED;
    while (total < READ_PER_WAKE_UP) {
        size_t room = s->in.limit - pv_buf_length(&s->in), n;
        if (room == 0)
            break;
        moved = read_some(s, chunk, room < sizeof chunk ? room : sizeof chunk, &n);
        if (moved != MOVED)
            break;
        if (!pv_buf_append(&s->in, chunk, n)) {
            errno = ENOMEM;
            moved = BROKEN;
            break;
        }
        total += n;
    }
    *ret_total = total;
    return moved;
}

static void on_more(struct pv_deferred *d);

/* False: the stream is lost or gone. */
static bool read_all(struct pv_stream *s)
{
    size_t total;
    enum moved moved = fill(s, &total);
    int error = errno;
    if (total > 0 && !deliver(s))
        return false;
    if (s->state != OPEN)
        return false;
    if (moved == WAIT) {
        want(s);
        if (total == 0) /* TLS's own: a ticket, with data held behind it */
            pv_sock_hasten(s->sock);
        return true;
    }
    if (moved == MOVED && pv_buf_length(&s->in) < s->in.limit) {
        /* The sock may not tell of what TLS has already taken from it. */
        pv_defer(s->loop, &s->more, on_more);
        return true;
    }
    if (moved == MOVED)
        lost(s, PV_STREAM_FULL, "more unread octets than the limit");
    else if (moved == END)
        lost(s, PV_STREAM_CLOSED, "closed by the server");
    else if (s->tls && pv_tls_fault(s->tls, NULL))
        lost_to_tls(s);
    else if (error == ENOMEM)
        lost(s, PV_STREAM_NO_MEMORY, "no memory");
    else
        lost_to_errno(s, error);
    return false;
}

static enum moved write_some(struct pv_stream *s)
{
    size_t n = pv_buf_length(&s->out);
    ssize_t put = s->tls ? pv_tls_write(s->tls, pv_buf_front(&s->out), n < RECORD ? n : RECORD)
                         : pv_sock_send(s->sock, pv_buf_front(&s->out), n);
    if (put > 0) {
        pv_buf_consume(&s->out, (size_t)put);
        return MOVED;
    }
    if (put == 0 || (!s->tls && (errno == EAGAIN || errno == EINTR)))
        return WAIT;
    return BROKEN;
}

/* False: the stream is lost or gone. */
static bool write_all(struct pv_stream *s)
{
    enum moved moved = MOVED;
    while (moved == MOVED && pv_buf_length(&s->out) > 0)
        moved = write_some(s);
    int error = errno;
    s->blocked = moved == WAIT;
    if (moved != BROKEN) {
        want(s);
        return true;
    }
    if (!read_all(s)) /* answers that came before the end count */
        return false;
    if (s->tls)
        lost_to_tls(s);
    else
        lost_to_errno(s, error);
    return false;
}

static void on_flush(struct pv_deferred *d)
{
    struct pv_stream *s = pv_container(d, struct pv_stream, flush);
    if (s->state == OPEN && pv_buf_length(&s->out) == 0)
        pv_sock_hasten(s->sock);
    else
        write_all(s);
}

static void on_acknowledge(struct pv_timer *t)
{
    struct pv_stream *s = pv_container(t, struct pv_stream, acknowledge);
    if (s->state == OPEN)
        pv_sock_hasten(s->sock);
}

static void flush_later(struct pv_stream *s)
{
    if (s->state == OPEN && !s->blocked && pv_buf_length(&s->out) > 0)
        pv_defer_flush(s->loop, &s->flush, on_flush);
}

static void move_data(struct pv_stream *s, unsigned events)
{
    bool read_again = s->read_blocked || events & PV_SOCK_READ;
    if (events & PV_SOCK_WRITE && !write_all(s))
        return;
    if (read_again)
        read_all(s);
}

/* ---- opening ---- */

static void become_open(struct pv_stream *s)
{
    s->state = OPEN;
    want(s);
    s->inside++;
    s->events->opened(s->arg);
    if (!survives(s) || s->state != OPEN)
        return;
    flush_later(s);
    if (s->tls) /* the handshake may have taken more from the sock than its own octets */
        read_all(s);
}

static void shake_hands(struct pv_stream *s)
{
    int done = pv_tls_handshake(s->tls);
    if (done > 0)
        become_open(s);
    else if (done < 0)
        lost_to_tls(s);
    if (done == 0) {
        pv_sock_want(s->sock, pv_tls_wants(s->tls));
        pv_sock_hasten(s->sock);
    }
}

static void won(struct pv_stream *s, const struct runner *r)
{
    s->sock = r->sock;
    s->peer = r->peer;
    close_race(s);
    if (!s->tls_context) {
        become_open(s);
        return;
    }
    s->state = HANDSHAKE;
    s->tls = pv_tls_new(s->tls_context, s->sock);
    if (s->tls)
        shake_hands(s);
    else
        lost(s, PV_STREAM_NO_MEMORY, "no memory");
}

static void note_failure(struct pv_stream *s, const struct runner *r, int error)
{
    char text[PV_ADDR_TEXT];
    s->fault = error == ENOMEM ? PV_STREAM_NO_MEMORY : PV_STREAM_REFUSED;
    snprintf(s->reason, sizeof s->reason, "cannot connect to %s: %s", pv_addr_text(&r->peer, text),
             strerror(error));
}

static bool runs(const struct pv_stream *s)
{
    for (unsigned i = 0; i < s->next; i++)
        if (s->runners[i].sock)
            return true;
    return false;
}

static void on_stagger(struct pv_timer *t);

/* Let the next address run; the one after it a little later. */
static void start_next(struct pv_stream *s)
{
    bool started = false;
    while (!started && s->next < s->count) {
        struct runner *r = &s->runners[s->next++];
        r->sock = pv_sock_open(s->loop, true, &r->peer, on_sock, r);
        started = r->sock;
        if (started)
            pv_sock_want(r->sock, PV_SOCK_WRITE);
        else
            note_failure(s, r, errno);
    }
    if (s->next < s->count)
        pv_timer_set(s->loop, &s->stagger, pv_now(s->loop) + STAGGER_US, on_stagger);
    else
        pv_timer_clear(s->loop, &s->stagger);
    if (!started && !runs(s))
        pv_defer(s->loop, &s->more, on_more);
}

static void on_stagger(struct pv_timer *t)
{
    start_next(pv_container(t, struct pv_stream, stagger));
}

static void on_more(struct pv_deferred *d)
{
    struct pv_stream *s = pv_container(d, struct pv_stream, more);
    if (s->state == OPEN)
        read_all(s);
    else
        lost(s, s->fault, s->reason);
}

static void on_connected(struct pv_stream *s, struct runner *r)
{
    int error = pv_sock_error(r->sock);
    if (error == 0) {
        won(s, r);
        return;
    }
    note_failure(s, r, error);
    pv_sock_close(r->sock);
    r->sock = NULL;
    start_next(s);
}

static void on_sock(void *arg, unsigned events)
{
    struct runner *r = arg;
    struct pv_stream *s = r->stream;
    if (s->state == CONNECTING)
        on_connected(s, r);
    else if (s->state == HANDSHAKE)
        shake_hands(s);
    else if (s->state == OPEN)
        move_data(s, events);
}

struct pv_stream *pv_stream_open(struct pv_loop *l, const struct pv_stream_options *o,
                                 const struct pv_stream_events *events, void *arg)
{
    struct pv_stream *s = calloc(1, sizeof *s + o->address_count * sizeof s->runners[0]);
    if (!s)
        return NULL;
    s->loop = l;
    s->events = events;
    s->arg = arg;
    s->tls_context = o->tls;
    pv_buf_init(&s->in, o->in_limit);
    pv_buf_init(&s->out, o->out_limit);
    s->count = o->address_count;
    for (unsigned i = 0; i < s->count; i++)
        s->runners[i] = (struct runner){.stream = s, .peer = o->addresses[i]};
    s->fault = PV_STREAM_REFUSED;
    snprintf(s->reason, sizeof s->reason, "no address to connect to");
    start_next(s);
    return s;
}

/* ---- what the owner asks ---- */

bool pv_stream_write(struct pv_stream *s, const void *bytes, size_t n)
{
    if (s->state == LOST || !pv_buf_append(&s->out, bytes, n))
        return false;
    flush_later(s);
    return true;
}

uint8_t *pv_stream_reserve(struct pv_stream *s, size_t n)
{
    return s->state == LOST ? NULL : pv_buf_reserve(&s->out, n);
}

void pv_stream_wrote(struct pv_stream *s, size_t n)
{
    pv_buf_grew(&s->out, n);
    flush_later(s);
}

/* With many under way the next write is near, and waiting for it lets the server send in larger
 * pieces: a third of the work on both sides. */
void pv_stream_expect(struct pv_stream *s, unsigned answers)
{
    if (s->state != OPEN || s->blocked)
        return;
    if (answers < MANY_ANSWERS)
        pv_defer_flush(s->loop, &s->flush, on_flush);
    else if (!s->acknowledge.due)
        pv_timer_set(s->loop, &s->acknowledge, pv_now(s->loop) + ACKNOWLEDGE_US, on_acknowledge);
}

/* What is queued, then the end of TLS: as far as it goes without waiting. */
static void say_goodbye(struct pv_stream *s)
{
    while (!s->blocked && pv_buf_length(&s->out) > 0 && write_some(s) == MOVED)
        ;
    if (s->tls)
        pv_tls_shutdown(s->tls);
}

void pv_stream_close(struct pv_stream *s)
{
    if (!s || s->closed)
        return;
    s->closed = true;
    if (s->state == OPEN)
        say_goodbye(s);
    if (s->inside == 0) {
        destroy(s);
        return;
    }
    s->state = LOST;
    close_race(s);
    pv_undefer(&s->flush);
    pv_undefer(&s->more);
    if (s->sock)
        pv_sock_want(s->sock, 0);
}

size_t pv_stream_unsent(const struct pv_stream *s)
{
    return pv_buf_length(&s->out);
}

const struct pv_addr *pv_stream_peer(const struct pv_stream *s)
{
    return s->sock ? &s->peer : NULL;
}

bool pv_stream_local(const struct pv_stream *s, struct pv_addr *ret)
{
    return s->sock && pv_sock_local(s->sock, ret);
}

const struct pv_tls_facts *pv_stream_tls_facts(const struct pv_stream *s)
{
    return s->tls ? pv_tls_facts(s->tls) : NULL;
}
