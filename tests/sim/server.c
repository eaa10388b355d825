/* A server's moods and its life. */
#include "session.h"

#include "report.h"

/* ---- moods ---- */

struct mood mood_healthy(struct dice *d)
{
    struct mood m = {.path = {.window = 262144}};
    m.path.latency_us = between(d, 100, 20 * MS);
    m.path.jitter_us = roll(d, 2) ? 0 : between(d, 0, 5 * MS);
    m.delay_us = between(d, 0, 20 * MS);
    m.delay_more_us = between(d, 0, 20 * MS);
    return m;
}

bool mood_is_healthy(const struct mood *m)
{
    return m->path.way == NET_OPEN && m->path.loss == 0 && m->trouble == 0 && m->slams == 0 &&
           m->mutes == 0 && m->cuts == 0 && !m->wrong_cert && !m->no_tls && !m->no_alpn &&
           !m->narrow && !m->shut && !m->no_window && !m->one_by_one && !m->stops_reading &&
           m->answers_most == 0 && m->conns_most == 0 &&
           m->path.latency_us + m->path.jitter_us <= 30 * MS &&
           m->delay_us + m->delay_more_us <= 50 * MS && m->path.window >= 65536 &&
           (m->idle_us == 0 || m->idle_us >= S);
}

unsigned server_accepts(const struct server *s)
{
    return s->mood.wants_stranger ? STRANGER : s->accepts;
}

static bool is_healthy(const struct server *s)
{
    unsigned accepts = server_accepts(s);
    return mood_is_healthy(&s->mood) && (!accepts || accepts & s->identity);
}

/* What decides it has changed. */
static void note_health(struct server *s)
{
    bool was = s->healthy_since != UINT64_MAX, is = is_healthy(s);
    if (!is)
        s->healthy_since = UINT64_MAX;
    else if (!was)
        s->healthy_since = now_of(s);
}

void server_set_mood(struct server *s, const struct mood *m)
{
    s->mood = *m;
    note_health(s);
    pv_list_each (it, &s->sessions) {
        if (!m->stops_reading)
            net_read(SESSION(it)->conn, true);
        if (s->protocol->mood_changed)
            s->protocol->mood_changed(SESSION(it));
    }
    net_changed(s->net);
    trace("server %s: way %d, latency %llu us, delay %llu us, trouble %u%%%s", s->name, m->path.way,
          (unsigned long long)m->path.latency_us, (unsigned long long)m->delay_us, m->trouble,
          s->healthy_since != UINT64_MAX ? ", healthy" : "");
}

/* Tickets of those it does not accept any more are worth nothing. */
void server_set_identities(struct server *s, unsigned accepts, unsigned shown)
{
    trace("server %s: accepts identities %u, is shown %u", s->name, accepts, shown);
    if (s->accepts & ~accepts)
        session_make_contexts(s);
    s->accepts = accepts;
    s->identity = shown;
    note_health(s);
}

/* ---- life ---- */

void server_init(struct server *s, unsigned number, const struct protocol *protocol, bool tls12,
                 struct net *net, struct ledger *ledger, struct dice dice)
{
    *s = (struct server){.number = number,
                         .protocol = protocol,
                         .tls12 = tls12,
                         .net = net,
                         .ledger = ledger,
                         .dice = dice};
    snprintf(s->name, sizeof s->name, "%c", 'a' + (int)number);
    pv_list_init(&s->sessions);
    pv_list_init(&s->datagrams);
    if (protocol->tls)
        session_make_contexts(s);
    s->healthy_since = UINT64_MAX;
}

void server_done(struct server *s)
{
    pv_list_each_safe (it, &s->sessions)
        session_free(SESSION(it));
    pv_list_each_safe (it, &s->datagrams)
        answer_free(REPLY(it));
    for (unsigned i = 0; i < s->host_count; i++)
        pv_list_remove(&s->hosts[i].link);
    SSL_CTX_free(s->ctx);
    SSL_CTX_free(s->wrong_ctx);
}

void server_add_host(struct server *s, const struct pv_addr *address, enum net_way always)
{
    struct net_host *h = &s->hosts[s->host_count];
    *h = (struct net_host){.address = *address,
                           .path = &s->mood.path,
                           .always = always,
                           .service = &session_service,
                           .server = s};
    s->addresses[s->host_count++] = *address;
    net_add(s->net, h);
}

void server_end_all(struct server *s, enum net_end how)
{
    s->disturbed = now_of(s);
    pv_list_each_safe (it, &s->sessions)
        session_end(SESSION(it), how);
}

void server_silence_all(struct server *s, bool silent)
{
    s->disturbed = now_of(s);
    pv_list_each (it, &s->sessions)
        net_silence(SESSION(it)->conn, silent);
}

void server_relent(struct server *s)
{
    pv_list_each (it, &s->sessions) {
        pv_list_each (at, &SESSION(it)->replies)
            answer_relent(REPLY(at));
    }
}

void server_end_broken(struct server *s)
{
    pv_list_each_safe (it, &s->sessions) {
        struct session *c = SESSION(it);
        if (c->out_of_step || c->mute)
            session_end(c, NET_RESET);
    }
}

void server_restart(struct server *s)
{
    server_end_all(s, roll(&s->dice, 2) ? NET_RESET : NET_CLOSE);
    if (s->protocol->tls)
        session_make_contexts(s);
}

bool server_may_be_doubted(const struct server *s)
{
    pv_list_each (it, &s->sessions) {
        if (SESSION(it)->lied || SESSION(it)->out_of_step)
            return true;
    }
    return now_of(s) <= s->lied_until;
}
