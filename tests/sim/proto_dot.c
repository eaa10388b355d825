/* DNS over TLS, and the frames of DNS on any stream [RFC 7858; RFC 1035 §4.2.2]. */
#include "session.h"

#include "memory.h"

void frames_end(struct session *s)
{
    struct frames *f = s->state;
    own_free(f->in);
}

bool frames_take(struct session *s, const uint8_t *bytes, size_t n)
{
    struct frames *f = s->state;
    uint8_t *in = own_alloc(f->length + n);
    if (f->length)
        memcpy(in, f->in, f->length);
    memcpy(in + f->length, bytes, n);
    own_free(f->in);
    f->in = in;
    f->length += n;
    size_t at = 0;
    for (; f->length - at >= 2; at += 2 + pv_get16(in + at)) {
        size_t length = pv_get16(in + at);
        if (f->length - at < 2 + length)
            break;
        if (s->server->protocol->take_message)
            s->server->protocol->take_message(s, in + at + 2, length);
        else
            answer_question(s->server, &(struct origin){.session = s}, in + at + 2, length);
    }
    f->length -= at;
    memmove(in, in + at, f->length);
    return true;
}

/* ---- answers ---- */

static bool bring_half(struct reply *r, const uint8_t *frame, size_t n)
{
    struct session *s = r->from.session;
    /* Before any record: what later fills the gap can be no answer. */
    size_t half = r->manner == BY_HALF ? 1 + roll(&r->server->dice, PV_HEADER + 2)
                                       : 1 + roll(&r->server->dice, (unsigned)n - 1);
    session_put(s, frame, half, 0, 0);
    s->out_of_step = true;
    if (r->manner == BY_HALF)
        return true;
    session_end(s, r->manner == BY_HALF_RESET ? NET_RESET : NET_CLOSE);
    return false;
}

static void bring_unasked(struct reply *r, uint8_t *frame, size_t n)
{
    struct session *s = r->from.session;
    uint16_t id = pv_get16(frame + 2);
    s->lied = true;
    pv_put16(frame + 2, id ^ (uint16_t)(1 + roll(&r->server->dice, 7)));
    session_put(s, frame, n, 0, 0);
    pv_put16(frame + 2, id);
    session_put(s, frame, n, 0, 0);
}

bool frames_bring(struct reply *r, uint8_t *message, size_t length)
{
    struct session *s = r->from.session;
    struct dice *d = &r->server->dice;
    static const uint8_t short_frame[8] = {0, 6};
    uint8_t *frame = message - 2;
    size_t n = length + 2;
    pv_put16(frame, (uint16_t)length);
    switch (r->manner) {
    case BY_PIECES:
        session_put(s, frame, n, 1 + roll(d, 100), roll(d, 2) ? 0 : roll(d, 1000));
        return true;
    case BY_TWICE:
        s->lied = true; /* the second may meet another question */
        session_put(s, frame, n, 0, 0);
        session_put(s, frame, n, 0, 0);
        return true;
    case BY_UNASKED:
        bring_unasked(r, frame, n);
        return true;
    case BY_DRIPS:
        s->out_of_step = true; /* what follows waits for its end */
        session_put(s, frame, n, 1 + roll(d, 3), 100 * MS + roll(d, 400 * MS));
        return true;
    case BY_SHORT_FRAME:
        s->lied = true;
        session_put(s, short_frame, sizeof short_frame, 0, 0);
        return true;
    case BY_HALF:
    case BY_HALF_CLOSE:
    case BY_HALF_RESET:
        return bring_half(r, frame, n);
    case BY_CLOSE:
    case BY_RESET:
        session_end(s, r->manner == BY_RESET ? NET_RESET : NET_CLOSE);
        return false;
    default:
        session_put(s, frame, n, 0, 0);
        return true;
    }
}

const struct protocol protocol_dot = {
    .word = "dot",
    .port = 853,
    .tls = true,
    .manners = STREAM_MANNERS,
    .state_size = sizeof(struct frames),
    .end = frames_end,
    .take = frames_take,
    .bring = frames_bring,
};
