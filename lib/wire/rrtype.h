/* Names of types. */
#ifndef PV_WIRE_RRTYPE_H
#define PV_WIRE_RRTYPE_H

#include <stdint.h>

uint16_t pv_type_parse(const char *text); /* any case, "TYPE123" [RFC 3597 §5]; 0: unknown */
const char *pv_type_text(uint16_t type, char out[16]);

#endif
