#include "resolver/next.h"

static const struct pv_next table[PV_OUTCOMES] = {
    /* outcome                  step                   free */
    [PV_DIED_IDLE] = {PV_STEP_AGAIN_FRESH, true}, /* once for each query [V8] */
    [PV_DIED_FRESH] = {PV_STEP_NEXT, false},
    [PV_UNREACHABLE] = {PV_STEP_NEXT, true},
    [PV_UNOPENED] = {PV_STEP_NEXT, true},
    [PV_UNTRUSTED] = {PV_STEP_NEXT, true},
    [PV_TLS_FAILED] = {PV_STEP_NEXT, true},
    [PV_TIMED_OUT] = {PV_STEP_NEXT, false},
    [PV_UNPROCESSED] = {PV_STEP_AGAIN, true}, /* twice for each query [W11] */
    [PV_SERVER_FAILED] = {PV_STEP_NEXT, false},
    [PV_BAD_ANSWER] = {PV_STEP_NEXT, false},
    [PV_TRUNCATED] = {PV_STEP_AGAIN_STREAM, true},
    [PV_NO_ROOM] = {PV_STEP_LATER, true},
    [PV_GOOD] = {PV_STEP_FINISH, false},
    [PV_SERVFAIL_OR_REFUSED] = {PV_STEP_ONE_ALIKE, false},
    [PV_NOT_SERVED] = {PV_STEP_NEXT_ALIKE, false},
    [PV_CUT] = {PV_STEP_ONE_ALIKE, false},
};

const struct pv_next *pv_next(enum pv_outcome outcome)
{
    return &table[outcome];
}
