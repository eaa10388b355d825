/* Wire to text to wire gives the same name; reading and checking agree. The first octet says where
 * in the message the name begins. */
#include "base/status.h"
#include "wire/name.h"

static void text_gives_it_back(const uint8_t *name, size_t length)
{
    uint8_t again[PV_NAME_MAX];
    char text[PV_NAME_TEXT];
    size_t n = 0;
    size_t text_length = pv_name_to_text(name, text);
    PV_BUG_IF(text_length >= PV_NAME_TEXT || text[text_length] != '\0');
    PV_BUG_IF(!pv_name_from_text(text, text_length, again, &n));
    PV_BUG_IF(n != length || memcmp(again, name, n) != 0);
    PV_BUG_IF(pv_name_length(name) != length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pv_name_memo memo;
    uint8_t name[PV_NAME_MAX];
    const char *why = NULL, *why_not = NULL;
    if (size == 0 || *data >= size)
        return 0;
    struct pv_reader r = pv_reader(data, size), s;
    pv_take(&r, *data);
    s = r;
    size_t length = pv_name_read(&r, data, name, &why);
    pv_name_memo_init(&memo, size);
    PV_BUG_IF(pv_name_check(&s, data, &memo, &why_not) != length || s.at != r.at || s.bad != r.bad);
    PV_BUG_IF(!why != !why_not || r.bad != !length);
    if (length)
        text_gives_it_back(name, length);

    /* What one name left in the memory must not change the verdict on the next. */
    while (!s.bad && pv_left(&s)) {
        r = s;
        PV_BUG_IF(pv_name_check(&s, data, &memo, NULL) != pv_name_read(&r, data, NULL, NULL));
        PV_BUG_IF(s.at != r.at || s.bad != r.bad);
    }
    return 0;
}
