/* Askers: who asks what, and whether what they are told is true, in time and told once. */
#ifndef SIM_ASKER_H
#define SIM_ASKER_H

#include "world.h"

struct asker {
    struct world *world;
    struct worker *worker;
    unsigned number;
    struct privy_query *handle;
    bool open;   /* will be told */
    bool inside; /* its call has not returned */
    bool cancelled, ended, own_options, is_signed, dnssec_ok, checking_disabled;
    bool unique; /* nobody else asks for this name */
    unsigned calls, tries;
    uint64_t begun, limit, grace, ended_at;
    uint64_t family; /* when the first of those who ask the same at the same time began */
    enum privy_status status;
    unsigned rcode;
    struct privy_facts facts;
    const char *protocol;
    uint16_t id;
    struct pv_question question;
    unsigned heard[SERVERS_MOST][2]; /* by whom, over a datagram or a stream */
    size_t length, question_length;
    uint8_t wire[512];
};

/* Somebody asks something. */
void asker_draw(struct world *, struct worker *);
/* This name, nothing special; the asker. */
struct asker *asker_ask(struct world *, struct worker *, const char *name, uint16_t type);
void asker_cancel(struct world *);
void asker_try(struct world *, struct worker *); /* the cache's answer, now or never */
/* A server was asked. */
void asker_heard(void *world, struct server *, const struct pv_query_view *, bool stream);
void askers_forget(struct worker *); /* its resolver is gone: they will not be told */
void askers_free(struct world *);
/* What an asker may do when it is told: the story's. */
extern void (*asker_acts)(struct world *);

#endif
