/* Session tickets of one upstream on one thread: few, short-lived, used once in TLS 1.3 [RFC 8446
 * App. C.4], and only from the local address they were given to, so that nobody can follow us from
 * network to network. */
#ifndef PV_NET_TICKET_H
#define PV_NET_TICKET_H

#include "base/addr.h"

#include <openssl/ssl.h>

enum { PV_TICKETS = 8, PV_TICKET_LIFE = 86400 };

struct pv_ticket {
    SSL_SESSION *session;
    struct pv_addr local;
    bool asked;       /* the server wanted to see a client's certificate */
    uint64_t expires; /* pv_age_now() */
};

struct pv_tickets {
    struct pv_ticket newest_first[PV_TICKETS];
    unsigned count;
};

/* Keep a session of a connection that was authenticated; takes it over. */
void pv_tickets_add(struct pv_tickets *, SSL_SESSION *, const struct pv_addr *local, bool asked,
                    uint64_t now);
/* One to try, the caller's to SSL_SESSION_free(); NULL: none. */
SSL_SESSION *pv_tickets_take(struct pv_tickets *, const struct pv_addr *local, uint64_t now,
                             bool *ret_asked);
void pv_tickets_drop(struct pv_tickets *);

#endif
