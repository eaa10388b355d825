/* A stream of frames, cut anywhere, gives the same messages as the stream in one piece; and the ids
 * of the questions behind it are always those that a plain array of 65536 knows. */
#include "base/random.h"
#include "base/status.h"
#include "net/frame.h"
#include "net/idmap.h"

static uint8_t model[65536]; /* 0 free, 1 live, 2 reserved */

static void change_ids(struct pv_idmap *ids, const uint8_t *message)
{
    uint16_t id = pv_get16(message);
    bool reserved;
    if (message[2] < 128) {
        if (pv_idmap_add(ids, model, &id)) {
            PV_BUG_IF(model[id] != 0);
            model[id] = 1;
        }
    } else if (message[2] < 192 && model[id] == 1) {
        pv_idmap_reserve(ids, id);
        model[id] = 2;
    } else {
        void *value = pv_idmap_take(ids, id, &reserved);
        PV_BUG_IF((value != NULL) != (model[id] == 1) || reserved != (model[id] == 2));
        model[id] = 0;
    }
    PV_BUG_IF((pv_idmap_find(ids, id) != NULL) != (model[id] == 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pv_reader whole = pv_reader(data, size);
    struct pv_buf in;
    struct pv_idmap ids;
    pv_buf_init(&in, 2 + 65535);
    pv_idmap_init(&ids);
    pv_random_seed(size + 1);
    memset(model, 0, sizeof model);
    enum pv_frame_result result = PV_FRAME_NONE;
    for (size_t at = 0, cut; at < size && result != PV_FRAME_BAD; at += cut) {
        cut = 1 + pv_random_below(64) % (size - at);
        PV_BUG_IF(!pv_buf_append(&in, data + at, cut));
        const uint8_t *message;
        size_t length;
        while ((result = pv_frame_peek(&in, &message, &length)) == PV_FRAME_MESSAGE) {
            struct pv_reader expected = pv_sub(&whole, pv_u16(&whole));
            PV_BUG_IF(expected.bad || length != pv_left(&expected) ||
                      memcmp(message, expected.at, length) != 0);
            change_ids(&ids, message);
            pv_frame_next(&in);
        }
    }
    if (result == PV_FRAME_BAD)
        PV_BUG_IF(pv_u16(&whole) >= 12 || whole.bad);
    else /* what is left is less than a message */
        PV_BUG_IF(pv_left(&whole) != pv_buf_length(&in) || !pv_sub(&whole, pv_u16(&whole)).bad);
    pv_random_seed(0);
    pv_buf_done(&in);
    pv_idmap_done(&ids);
    return 0;
}
