/* DNS messages on a byte stream: a two-octet length before each [RFC 1035 §4.2.2; RFC 7766 §8]. */
#ifndef PV_NET_FRAME_H
#define PV_NET_FRAME_H

#include "base/buf.h"

enum pv_frame_result { PV_FRAME_NONE, PV_FRAME_MESSAGE, PV_FRAME_BAD };

/* The first whole message at the front of in, borrowed until pv_frame_next() or new input; BAD: a
 * length under 12. */
enum pv_frame_result pv_frame_peek(const struct pv_buf *in, const uint8_t **ret_message,
                                   size_t *ret_length);
void pv_frame_next(struct pv_buf *in); /* drop it */

#endif
