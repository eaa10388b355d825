#include "resolver/verify.h"

enum pv_outcome pv_verify(const struct pv_reply *reply)
{
    switch (reply->rcode) {
    case PV_NOERROR:
    case PV_NXDOMAIN:
        if (reply->truncated)
            return PV_CUT;
        return reply->lame ? PV_NOT_SERVED : PV_GOOD;
    case PV_SERVFAIL:
    case PV_REFUSED:
        return PV_SERVFAIL_OR_REFUSED;
    case PV_FORMERR:
    case PV_NOTIMP:
    case PV_NOTAUTH:
    case PV_BADVERS:
        return PV_NOT_SERVED;
    default:
        return PV_GOOD; /* relayed as it is, never cached */
    }
}

unsigned pv_verify_worth(enum pv_outcome outcome)
{
    switch (outcome) {
    case PV_CUT:
        return 3;
    case PV_SERVFAIL_OR_REFUSED:
        return 2;
    case PV_NOT_SERVED:
        return 1;
    default:
        return 0;
    }
}
