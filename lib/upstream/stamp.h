/* DNS stamps: sdns:// and a server's protocol, addresses, names and keys in base64url. */
#ifndef PV_UPSTREAM_STAMP_H
#define PV_UPSTREAM_STAMP_H

#include "base/status.h"

/* The first octet. */
enum pv_stamp_type {
    PV_STAMP_PLAIN = 0,
    PV_STAMP_DNSCRYPT = 1,
    PV_STAMP_DOH = 2,
    PV_STAMP_DOT = 3,
    PV_STAMP_DOQ = 4,
    PV_STAMP_ODOH = 5,
    PV_STAMP_DNSCRYPT_RELAY = 0x81,
    PV_STAMP_ODOH_RELAY = 0x85,
};

/* Does it begin with sdns://? */
bool pv_is_stamp(const char *text);

#endif
