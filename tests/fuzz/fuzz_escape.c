/* What is escaped stays on its line, fits, and can be undone. The first octet is the capacity. */
#include "base/status.h"

#include <string.h>

static uint8_t undo(const char **p)
{
    const char *c = *p;
    if (*c != '\\') {
        *p += 1;
        return (uint8_t)*c;
    }
    *p += 4;
    return (uint8_t)((c[1] - '0') * 100 + (c[2] - '0') * 10 + c[3] - '0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t capacity = *data;
    char *out = malloc(capacity + 1);
    out[capacity] = 'x';
    size_t n = pv_escape(out, capacity, data + 1, size - 1);
    PV_BUG_IF(out[capacity] != 'x');
    PV_BUG_IF(capacity ? n >= capacity || strlen(out) != n : n != 0);
    for (size_t i = 0; i < n; i++)
        PV_BUG_IF(out[i] < ' ' || out[i] > '~');
    size_t i = 1;
    for (const char *p = out; p < out + n; i++)
        PV_BUG_IF(undo(&p) != data[i]);
    PV_BUG_IF(i < size && capacity >= n + 5); /* there was room for more */
    free(out);
    return 0;
}
