/* TTLs inside a stored message: aging in place [RFC 2181 §5.2; RFC 8767 §4]. */
#ifndef PV_WIRE_TTL_H
#define PV_WIRE_TTL_H

#include "base/buf.h"

/* Subtract age from the TTL at each offset, floor 0, then hold each to [0, cap]. */
void pv_ttl_age(uint8_t *message, const uint16_t *offsets, unsigned count, uint32_t age,
                uint32_t cap);
/* Set each TTL (stale answers: 30). */
void pv_ttl_set(uint8_t *message, const uint16_t *offsets, unsigned count, uint32_t ttl);
/* Lower every record of an RRset (same owner, type, class in one section) to its smallest TTL
 * [RFC 2181 §5.2], in place; done once before storing. length: a checked, stripped message. */
void pv_ttl_level(uint8_t *message, size_t length);

#endif
