/* What parses as an address or prefix gives text that parses to the same. */
#include "base/addr.h"
#include "base/status.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    char out[PV_ADDR_TEXT];
    struct pv_addr a, b;
    if (pv_addr_parse(text, size, 853, &a)) {
        pv_addr_text(&a, out);
        PV_BUG_IF(!pv_addr_parse(out, strlen(out), 1, &b) || !pv_addr_equal(&a, &b));
        pv_addr_host(&a, out);
        PV_BUG_IF(!pv_addr_parse(out, strlen(out), 1, &b) || !pv_addr_same_host(&a, &b));
    }
    struct pv_prefix p, q;
    if (pv_prefix_parse(text, size, &p)) {
        pv_prefix_text(&p, out);
        PV_BUG_IF(!pv_prefix_parse(out, strlen(out), &q) || q.bits != p.bits);
        PV_BUG_IF(!pv_addr_equal(&p.addr, &q.addr) || !pv_prefix_has(&p, &p.addr));
    }
    return 0;
}
