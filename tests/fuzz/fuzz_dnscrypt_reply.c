/* Sealed replies of DNSCrypt: one is opened if it is what the server has sealed for that nonce,
 * with that key, in every octet; and then the message is the server's.
 *
 * The input is the construction, how long the padding is and whether it is right, where an octet is
 * altered and how, and the message. The octets as they are, too, as a packet. */
#include "base/status.h"
#include "proto/dnscrypt/box.h"

#include <sodium.h>
#include <string.h>

enum { HEAD = 6, TAG = 16, MESSAGE_MOST = 4096, PADDING_MOST = 512 };

static struct pv_box box;
static const uint8_t nonce[PV_BOX_CLIENT_NONCE] = "fuzz nonce";

/* As a server does. Returns the packet's length. */
static size_t seal(uint8_t *packet, const uint8_t *message, size_t length, size_t padding,
                   uint8_t mark)
{
    uint8_t whole[PV_BOX_NONCE] = {0}, *sealed = packet + PV_BOX_REPLY - TAG;
    memcpy(whole, nonce, sizeof nonce);
    whole[20] = mark;
    memcpy(packet, "r6fnvWj8", PV_BOX_MAGIC);
    memcpy(packet + PV_BOX_MAGIC, whole, sizeof whole);
    memcpy(sealed + TAG, message, length);
    memset(sealed + TAG + length, 0, padding);
    if (padding > 0)
        sealed[TAG + length] = mark;
    if (box.construction == PV_X25519_XSALSA20)
        crypto_box_easy_afternm(sealed, sealed + TAG, length + padding, whole, box.shared);
    else
        crypto_box_curve25519xchacha20poly1305_easy_afternm(sealed, sealed + TAG, length + padding,
                                                            whole, box.shared);
    return PV_BOX_REPLY + length + padding;
}

static void open_raw(const uint8_t *data, size_t size)
{
    uint8_t *packet = malloc(size + 1), *message;
    const char *why = NULL;
    size_t n;
    memcpy(packet, data, size);
    PV_BUG_IF(pv_box_open(&box, nonce, packet, size, &message, &n, &why) || !why);
    free(packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t packet[PV_BOX_REPLY + MESSAGE_MOST + PADDING_MOST];
    PV_BUG_IF(sodium_init() < 0);
    if (size < HEAD || size > MESSAGE_MOST)
        return 0;
    memset(box.shared, 's', sizeof box.shared);
    box.construction = data[0] & 1 ? PV_X25519_XSALSA20 : PV_X25519_XCHACHA20;
    size_t length = size - HEAD, padding = data[1] + (data[0] & 2 ? 256U : 0), found;
    uint8_t mark = data[2] ? 0x80 : data[3], flip = data[5], *message;
    const char *why = NULL;
    size_t n = seal(packet, data + HEAD, length, padding, mark);
    size_t at = (data[3] << 8 | data[4]) % n;
    packet[at] ^= flip;
    bool right = flip == 0 && padding > 0 && mark == 0x80 && length >= 12;
    bool opened = pv_box_open(&box, nonce, packet, n, &message, &found, &why);
    PV_BUG_IF(right && !opened);
    PV_BUG_IF(opened && flip != 0);
    PV_BUG_IF(!opened && !why);
    if (right)
        PV_BUG_IF(found != length || memcmp(message, data + HEAD, length) != 0);
    open_raw(data, size);
    return 0;
}
