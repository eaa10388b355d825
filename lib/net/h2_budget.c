#include "net/h2_budget.h"

/* So many, and some for each response. */
enum {
    PERIOD_US = 10000000,
    FRAMES_MOST = 1000,
    FRAMES_EACH = 8,
    OCTETS_MOST = 1024 * 1024, /* nghttp2 does not tell of frames of unknown kinds */
    OCTETS_EACH = 16 * 1024,
};

void pv_h2_budget_octets(struct pv_h2_budget *b, uint64_t now, size_t n)
{
    if (now - b->since >= PERIOD_US)
        *b = (struct pv_h2_budget){.since = now};
    b->octets += n;
}

void pv_h2_budget_body(struct pv_h2_budget *b, size_t n)
{
    b->octets -= n < b->octets ? n : b->octets;
}

void pv_h2_budget_frame(struct pv_h2_budget *b)
{
    b->frames++;
}

void pv_h2_budget_response(struct pv_h2_budget *b)
{
    b->responses++;
}

const char *pv_h2_budget_exceeded(const struct pv_h2_budget *b)
{
    if (b->frames > FRAMES_MOST + FRAMES_EACH * b->responses)
        return "too many frames that are no part of a response";
    if (b->octets > OCTETS_MOST + (size_t)OCTETS_EACH * b->responses)
        return "too many octets that are no part of a response";
    return NULL;
}
