/* RDATA as text. */
#ifndef PV_WIRE_TEXT_H
#define PV_WIRE_TEXT_H

#include "wire/message.h"

/* Presentation format of a checked record's RDATA; unknown or malformed: \# [RFC 3597 §5]. Like
 * snprintf: NUL-ends (capacity > 0), returns the length needed. */
size_t pv_rdata_text(const uint8_t *message, size_t message_length, uint16_t type,
                     const uint8_t *rdata, uint16_t rdata_length, char *out, size_t capacity);

/* The day, in UTC, of seconds since 1970. */
struct pv_day {
    unsigned year, month, day;
};
struct pv_day pv_day_of(uint32_t unix_time);

#endif
