#include "resolver/next.h"

static const struct pv_next table[PV_OUTCOMES] = {
    /* outcome                  step                   free   replays */
    [PV_DIED_IDLE] = {PV_STEP_AGAIN_FRESH, true, 1}, /* the close and the query crossed */
    [PV_DIED_FRESH] = {PV_STEP_NEXT, false, 0},
    [PV_UNREACHABLE] = {PV_STEP_NEXT, true, 0},
    [PV_UNOPENED] = {PV_STEP_NEXT, true, 0},
    [PV_UNTRUSTED] = {PV_STEP_NEXT, true, 0},
    [PV_TLS_FAILED] = {PV_STEP_NEXT, true, 0},
    [PV_TIMED_OUT] = {PV_STEP_NEXT, false, 0},
    [PV_UNPROCESSED] = {PV_STEP_AGAIN, true, 2}, /* one that never takes it is of no use */
    [PV_LEFT_OUT] = {PV_STEP_AGAIN, true, 16},   /* the oldest are served first */
    [PV_SERVER_FAILED] = {PV_STEP_NEXT, false, 0},
    [PV_BAD_ANSWER] = {PV_STEP_NEXT, false, 0},
    [PV_TRUNCATED] = {PV_STEP_AGAIN_STREAM, true, 0},
    [PV_NO_ROOM] = {PV_STEP_LATER, true, 0},
    [PV_GOOD] = {PV_STEP_FINISH, false, 0},
    [PV_SERVFAIL_OR_REFUSED] = {PV_STEP_ONE_ALIKE, false, 0},
    [PV_NOT_SERVED] = {PV_STEP_NEXT_ALIKE, false, 0},
    [PV_CUT] = {PV_STEP_ONE_ALIKE, false, 0},
};

const struct pv_next *pv_next(enum pv_outcome outcome)
{
    return &table[outcome];
}
