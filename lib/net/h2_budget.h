/* What a server may send that is no part of a response: frames and octets cost us work. Pure. */
#ifndef PV_NET_H2_BUDGET_H
#define PV_NET_H2_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In 10 s. Starts zeroed. */
struct pv_h2_budget {
    uint64_t since; /* µs */
    unsigned frames, responses;
    size_t octets;
};

/* So many octets came; those of a body are taken back. */
void pv_h2_budget_octets(struct pv_h2_budget *, uint64_t now, size_t n);
void pv_h2_budget_body(struct pv_h2_budget *, size_t n);
/* A frame came that carries neither fields nor body. */
void pv_h2_budget_frame(struct pv_h2_budget *);
void pv_h2_budget_response(struct pv_h2_budget *);
/* What is too much of, for the log; NULL: nothing. */
const char *pv_h2_budget_exceeded(const struct pv_h2_budget *);

#endif
