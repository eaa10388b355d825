#include "net/ticket.h"

#include <string.h>

static void remove_at(struct pv_tickets *t, unsigned i)
{
    SSL_SESSION_free(t->newest_first[i].session);
    t->count--;
    memmove(&t->newest_first[i], &t->newest_first[i + 1],
            (t->count - i) * sizeof t->newest_first[0]);
}

/* Seconds for which a session may be used: what the server said, a day at most, and not longer
 * than the certificate that was verified for it. */
static uint64_t life(SSL_SESSION *session)
{
    uint64_t limit = PV_TICKET_LIFE, hint = SSL_SESSION_get_ticket_lifetime_hint(session);
    if (hint > 0 && hint < limit)
        limit = hint;
    int days, seconds;
    X509 *leaf = SSL_SESSION_get0_peer(session);
    if (!leaf || !ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(leaf)))
        return 0;
    int64_t left = (int64_t)days * 86400 + seconds;
    if (left <= 0)
        return 0;
    return (uint64_t)left < limit ? (uint64_t)left : limit;
}

void pv_tickets_add(struct pv_tickets *t, SSL_SESSION *session, const struct pv_addr *local,
                    bool asked, uint64_t now)
{
    struct pv_ticket ticket = {session, *local, asked, now + life(session)};
    if (ticket.expires <= now) {
        SSL_SESSION_free(session);
        return;
    }
    if (t->count == PV_TICKETS)
        remove_at(t, PV_TICKETS - 1);
    memmove(&t->newest_first[1], &t->newest_first[0], t->count * sizeof ticket);
    t->newest_first[0] = ticket;
    t->count++;
}

SSL_SESSION *pv_tickets_take(struct pv_tickets *t, const struct pv_addr *local, uint64_t now,
                             bool *ret_asked)
{
    for (unsigned i = 0; i < t->count;) {
        struct pv_ticket *ticket = &t->newest_first[i];
        if (ticket->expires <= now || !SSL_SESSION_is_resumable(ticket->session)) {
            remove_at(t, i);
            continue;
        }
        if (pv_addr_same_host(&ticket->local, local)) {
            SSL_SESSION *session = ticket->session;
            SSL_SESSION_up_ref(session);
            *ret_asked = ticket->asked;
            if (SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION)
                remove_at(t, i);
            return session;
        }
        i++;
    }
    return NULL;
}

void pv_tickets_drop(struct pv_tickets *t)
{
    while (t->count > 0)
        remove_at(t, t->count - 1);
}
