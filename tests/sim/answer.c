/* What is answered, and how. */
#include "session.h"

#include "memory.h"
#include "report.h"

void answer_free(struct reply *r)
{
    agenda_clear(agenda_of(r->server), &r->task);
    pv_list_remove(&r->link);
    own_free(r);
}

/* ---- answering ---- */

static void note(const struct reply *r)
{
    struct said *said = ledger_add(r->server->ledger);
    *said = (struct said){
        .server = r->server->number,
        .content = r->wording.content,
        .question = r->view.question,
        .dnssec_ok = r->view.edns.dnssec_ok,
        .checking_disabled = r->view.header.flags & PV_CD,
        .is_signed = r->view.is_signed,
        .over_stream = r->from.session != NULL,
        .rcode = r->wording.rcode,
        .ttl = r->wording.ttl,
        .age = r->wording.age,
        .at_us = now_of(r->server),
        .at_age = (now_of(r->server) + r->server->net->slept_us) / S,
        .travel_us = r->manner == BY_DRIPS ? 300 * S : 2 * S,
    };
}

/* Returns its length; a datagram that would be too long is cut. */
static size_t compose(struct reply *r, uint8_t *out, size_t capacity)
{
    struct server *s = r->server;
    size_t room = r->from.seal.room ? r->from.seal.room : 1232, n = 0;
    size_t most = r->from.session ? capacity - s->protocol->overhead : room;
    for (unsigned i = 0; n == 0 || n > most; i++) {
        if (i > 0)
            r->wording.padding = 0;
        if (i > 1)
            r->wording.content = SAYS_CUT;
        n = reply_write(out, capacity, r->query, &r->view, &r->wording, s->ledger->count, &s->dice);
    }
    return n;
}

static void answer(struct task *t)
{
    struct reply *r = pv_container(t, struct reply, task);
    struct session *s = r->from.session;
    struct server *server = r->server;
    static uint8_t frame[2 + MESSAGE_MOST];
    size_t n = compose(r, frame + 2, sizeof frame - 2);
    trace("server %s: answers number %u: content %d, manner %d, %zu octets", server->name,
          server->ledger->count, r->wording.content, r->manner, n);
    note(r);
    pv_list_remove(&r->link);
    if (!s) {
        server->protocol->bring_datagram(r, frame + 2, n);
        answer_free(r);
        return;
    }
    s->lied |= is_lie(r->wording.content);
    s->answered++;
    bool there = server->protocol->bring(r, frame + 2, n);
    answer_free(r);
    if (!there)
        return;
    if (server->mood.answers_most && s->answered >= server->mood.answers_most)
        session_end(s, roll(&server->dice, 2) ? NET_RESET : NET_CLOSE);
    else if (pv_list_empty(&s->replies))
        session_start_idle(s);
}

void answer_relent(struct reply *r)
{
    r->manner = r->manner == BY_SILENCE ? BY_SILENCE : BY_WHOLE;
    if (r->wording.content >= SAYS_ERROR) {
        r->wording.content = SAYS_ANSWER;
        r->wording.rcode = 0;
    }
}

/* ---- questions ---- */

static enum content usual_content(struct dice *d)
{
    unsigned n = roll(d, 20);
    return n < 14    ? SAYS_ANSWER
           : n == 14 ? SAYS_ALIAS
           : n < 17  ? SAYS_NO_NAME
           : n < 19  ? SAYS_NO_DATA
                     : SAYS_NO_NAME_BARE;
}

static unsigned one_of(struct dice *d, uint32_t bits)
{
    unsigned k = roll(d, (unsigned)__builtin_popcount(bits));
    while (k--)
        bits &= bits - 1;
    return (unsigned)__builtin_ctz(bits);
}

static void decide(struct server *s, struct reply *r)
{
    const struct mood *m = &s->mood;
    uint32_t manners = m->manners & s->protocol->manners;
    enum content content = usual_content(&s->dice);
    r->manner = roll(&s->dice, 10) ? BY_WHOLE : BY_PIECES;
    if (chance(&s->dice, m->trouble)) {
        if (m->contents && (!manners || roll(&s->dice, 2)))
            content = (enum content)one_of(&s->dice, m->contents);
        else if (manners)
            r->manner = (enum manner)one_of(&s->dice, manners);
    }
    r->wording = wording_draw(&s->dice, content);
    if (r->from.session && chance(&s->dice, m->keepalives))
        r->wording.keepalive = (int)roll(&s->dice, 30) * (int)roll(&s->dice, 30);
    if (r->from.stream && roll(&s->dice, 8) == 0)
        r->wording.age = roll(&s->dice, 2) ? roll(&s->dice, 20) : roll(&s->dice, 2000);
    r->wording.address_count = s->lookup(s->arg, &r->view.question, &r->wording.addresses);
    if (r->wording.address_count && !is_lie(content) && content <= SAYS_NO_NAME_BARE)
        r->wording.content = SAYS_ANSWER;
}

/* An id stays taken until its answer is out, where answers are told apart by it. */
static void check_id(const struct session *s, uint16_t id)
{
    pv_list_each (it, &s->replies)
        must(s->lied || pv_get16(REPLY(it)->query) != id,
             "id %u was used again on a connection that had not answered it", id);
}

static void schedule(struct reply *r)
{
    struct server *server = r->server;
    struct session *s = r->from.session;
    uint64_t from = now_of(server), wait = server->mood.delay_us;
    wait += between(&server->dice, 0, server->mood.delay_more_us);
    if (s && server->mood.one_by_one && s->busy_until > from)
        from = s->busy_until;
    if (s)
        s->busy_until = from + wait;
    agenda_set(agenda_of(server), &r->task, from + wait, answer);
}

void answer_question(struct server *server, const struct origin *from, const uint8_t *bytes,
                     size_t length)
{
    struct reply *r = own_alloc(sizeof *r + length);
    struct session *s = from->session;
    char name[PV_NAME_TEXT];
    memcpy(r->query, bytes, length);
    r->length = length;
    r->server = server;
    r->from = *from;
    pv_list_init(&r->link);
    pv_query_parse(&r->view, r->query, length);
    must(r->view.fault == PV_FINE, "a query was sent that is none (fault %d)", r->view.fault);
    pv_name_to_text(r->view.question.name, name);
    server->heard(server->arg, server, &r->view, s != NULL);
    if (s && !from->stream)
        check_id(s, pv_get16(bytes));
    decide(server, r);
    trace("server %s: asked for %s %u id %u%s", server->name, name, r->view.question.type,
          pv_get16(bytes), s ? "" : " (datagram)");
    if (!s && r->manner == BY_SILENCE) {
        answer_free(r);
        return;
    }
    pv_list_append(s ? &s->replies : &server->datagrams, &r->link);
    if (r->manner != BY_SILENCE)
        schedule(r);
}
