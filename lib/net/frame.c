#include "net/frame.h"

#include "base/status.h"

enum { HEADER = 12 }; /* the least a DNS message has */

enum pv_frame_result pv_frame_peek(const struct pv_buf *in, const uint8_t **ret_message,
                                   size_t *ret_length)
{
    if (pv_buf_length(in) < 2)
        return PV_FRAME_NONE;
    struct pv_reader r = pv_reader(pv_buf_front(in), pv_buf_length(in));
    size_t length = pv_u16(&r);
    if (length < HEADER)
        return PV_FRAME_BAD;
    const uint8_t *message = pv_take(&r, length);
    if (!message)
        return PV_FRAME_NONE;
    *ret_message = message;
    *ret_length = length;
    return PV_FRAME_MESSAGE;
}

void pv_frame_next(struct pv_buf *in)
{
    const uint8_t *message;
    size_t length;
    if (PV_BUG_IF(pv_frame_peek(in, &message, &length) != PV_FRAME_MESSAGE))
        return;
    pv_buf_consume(in, 2 + length);
}
