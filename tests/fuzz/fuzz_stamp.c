/* A stamp that is accepted has parts that stand on their own: names, addresses, a path as URLs have
 * it; an upstream made of it is one. A refusal is one printable line. */
#include "base/addr.h"
#include "upstream/stamp.h"
#include "upstream/upstream.h"

#include <string.h>

static bool is_address(const char *text)
{
    struct pv_addr address;
    return pv_addr_parse(text, strlen(text), 0, &address) && !pv_addr_is_any(&address);
}

static bool is_path(const char *text)
{
    for (const char *p = text; *p; p++)
        if (*p <= ' ' || *p > '~')
            return false;
    return *text == '/';
}

static void is_whole(const struct privy_stamp *s)
{
    PV_BUG_IF(s->port == 0 || !s->protocol);
    PV_BUG_IF(s->address && !is_address(s->address));
    PV_BUG_IF(s->host && !is_address(s->host) && !pv_host_is_name(s->host));
    PV_BUG_IF(s->path && !is_path(s->path));
    PV_BUG_IF(!s->address && !s->host);
    PV_BUG_IF(!s->provider_name != !s->provider_key);
    PV_BUG_IF(s->provider_name && !pv_host_is_name(s->provider_name));
    PV_BUG_IF((s->hash_count > 0) != (s->hashes != NULL));
    for (size_t i = 0; s->bootstrap && s->bootstrap[i]; i++)
        PV_BUG_IF(!is_address(s->bootstrap[i]));
    if (s->relay)
        is_whole(s->relay);
}

/* Of those types that a protocol has. */
static void is_an_upstream(const char *text, const struct privy_stamp *s)
{
    const struct privy_upstream_options none = {.size = sizeof none};
    struct pv_upstream *a = NULL, *b = NULL;
    if (s->type > PV_STAMP_DOT)
        return;
    PV_BUG_IF(pv_upstream_new(text, s, &none, 853, &a, NULL) != PRIVY_OK);
    PV_BUG_IF(pv_upstream_new(text, s, &none, 853, &b, NULL) != PRIVY_OK);
    PV_BUG_IF(!pv_upstream_equal(a, b) || a->hash_count != s->hash_count);
    PV_BUG_IF((a->address_count == 0) != (!s->address && !a->url.is_address));
    pv_upstream_unref(a);
    pv_upstream_unref(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[2200];
    struct privy_stamp *s = NULL;
    struct privy_error error = {.status = PRIVY_OK};
    if (size >= sizeof text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    if (privy_stamp_parse(text, &s, &error) == PRIVY_OK) {
        is_whole(s);
        is_an_upstream(text, s);
    } else {
        PV_BUG_IF(strncmp(error.message, "stamp: ", 7) != 0);
        for (const char *p = error.message; *p; p++)
            PV_BUG_IF(*p < ' ' || *p > '~');
    }
    privy_stamp_free(s);
    return 0;
}
