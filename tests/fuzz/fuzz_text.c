/* RDATA of any type as text: printable, as long as it says, cut where it does not fit, and where
 * the form is unknown the very octets. The first two octets are the type, the third says how many
 * of the rest stand before the RDATA (names may point there). */
#include "wire/rrtype.h"
#include "wire/text.h"

#include <stdio.h>
#include <stdlib.h>

static char text[4 * 65535 + 1100], cut[512];

static void is_hex_of(const char *hex, const uint8_t *rdata, size_t length)
{
    char pair[3];

    for (size_t i = 0; i < length; i++, hex += 2) {
        snprintf(pair, sizeof pair, "%02X", (unsigned)rdata[i]);
        if (memcmp(pair, hex, 2) != 0)
            abort();
    }
    if (*hex)
        abort();
}

/* A type's name is that type's, and what is taken for a name has one. */
static void type_is_named(uint16_t type, const uint8_t *data, size_t size)
{
    char name[16], given[16];

    if (pv_type_parse(pv_type_text(type, name)) != type)
        abort();
    snprintf(given, sizeof given, "%.*s", (int)(size < 15 ? size : 15), (const char *)data);
    uint16_t parsed = pv_type_parse(given);
    if (parsed && pv_type_parse(pv_type_text(parsed, name)) != parsed)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > 65535)
        return 0;
    uint16_t type = pv_get16(data);
    const uint8_t *message = data + 3;
    size_t left = size - 3, before = data[2] < left ? data[2] : left;
    const uint8_t *rdata = message + before;
    uint16_t length = (uint16_t)(left - before);

    if (type)
        type_is_named(type, message, left);
    size_t need = pv_rdata_text(message, left, type, rdata, length, text, sizeof text);
    if (need >= sizeof text || strlen(text) != need)
        abort();
    for (const char *p = text; *p; p++)
        if (*p < ' ' || *p > '~')
            abort();
    if (strncmp(text, "\\# ", 3) == 0)
        is_hex_of(text + strcspn(text + 3, " ") + 3 + (length > 0), rdata, length);
    size_t capacity = size % sizeof cut;
    if (pv_rdata_text(message, left, type, rdata, length, cut, capacity) != need)
        abort();
    if (capacity && strncmp(cut, text, capacity - 1) != 0)
        abort();
    return 0;
}
