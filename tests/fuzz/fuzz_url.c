/* A URL that is accepted, written again from its parts, is accepted with the same parts; the text
 * of a refusal is one printable line. */
#include "upstream/url.h"

#include <string.h>

static void print(const struct pv_url *u, char *out, size_t capacity)
{
    bool v6 = strchr(u->host, ':'), fragment_v6 = strchr(u->fragment, ':');
    char port[8] = "";

    if (u->port)
        snprintf(port, sizeof port, ":%u", (unsigned)u->port);
    snprintf(out, capacity, "%s://%s%s%s%s%s%s%s%s%s", u->scheme, v6 ? "[" : "", u->host,
             v6 ? "]" : "", port, u->path, *u->fragment ? "#" : "", fragment_v6 ? "[" : "",
             u->fragment, fragment_v6 ? "]" : "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[2048], again[2048];
    struct pv_url a, b;
    struct privy_error error = {.status = PRIVY_OK};

    if (size >= sizeof text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    if (pv_url_parse(text, &a, &error) != PRIVY_OK) {
        for (const char *p = error.message; *p; p++)
            if (*p < ' ' || *p > '~')
                abort();
        return 0;
    }
    print(&a, again, sizeof again);
    if (pv_url_parse(again, &b, NULL) != PRIVY_OK || strcmp(a.scheme, b.scheme) != 0 ||
        strcmp(a.host, b.host) != 0 || a.is_address != b.is_address || a.port != b.port ||
        strcmp(a.path, b.path) != 0 || strcmp(a.fragment, b.fragment) != 0)
        abort();
    if (a.is_address && !pv_addr_equal(&a.address, &b.address))
        abort();
    return 0;
}
