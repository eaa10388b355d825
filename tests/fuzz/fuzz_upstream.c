/* What is said of one upstream: a URL or stamp or nothing, then lines "name TEXT", "operator TEXT",
 * "tls_name TEXT", "tls_min TEXT", "property TEXT", "address TEXT", "pin TEXT", "relay TEXT",
 * "provider_name TEXT", "provider_key TEXT". What is accepted is equal to itself
 * said again, and to nothing else; a refusal is one printable line that begins with the option. */
#include "upstream/upstream.h"

#include "base/status.h"

#include <string.h>

enum { LIST_MOST = 8 };

struct said {
    struct privy_upstream_options options;
    const char *properties[LIST_MOST + 1], *addresses[LIST_MOST + 1], *pins[LIST_MOST + 1];
    const char *relays[LIST_MOST + 1];
};

static void append(const char **list, const char *text)
{
    for (unsigned i = 0; i < LIST_MOST; i++) {
        if (!list[i]) {
            list[i] = text;
            return;
        }
    }
}

static void say(struct said *s, char *line)
{
    char *text = line + strcspn(line, " ");
    if (!*text)
        return;
    *text++ = 0;
    if (strcmp(line, "name") == 0)
        s->options.name = text;
    if (strcmp(line, "operator") == 0)
        s->options.operator_name = text;
    if (strcmp(line, "tls_name") == 0)
        s->options.tls_name = text;
    if (strcmp(line, "tls_min") == 0)
        s->options.tls_min = text;
    if (strcmp(line, "property") == 0)
        append(s->properties, text);
    if (strcmp(line, "address") == 0)
        append(s->addresses, text);
    if (strcmp(line, "pin") == 0)
        append(s->pins, text);
    if (strcmp(line, "relay") == 0)
        append(s->relays, text);
    if (strcmp(line, "provider_name") == 0)
        s->options.provider_name = text;
    if (strcmp(line, "provider_key") == 0)
        s->options.provider_key = text;
}

static const char *const *or_none(const char *const *list)
{
    return list[0] ? list : NULL;
}

static void is_a_refusal(const struct privy_error *error)
{
    static const char *const options[] = {"url",     "name",          "operator",    "tls_name",
                                          "tls_min", "addresses",     "pins",        "properties",
                                          "relays",  "provider_name", "provider_key"};
    bool named = false;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        size_t n = strlen(options[i]);
        named |= strncmp(error->message, options[i], n) == 0 && error->message[n] == ':';
    }
    PV_BUG_IF(!named);
    for (const char *p = error->message; *p; p++)
        PV_BUG_IF(*p < ' ' || *p > '~');
}

static enum privy_status make(const char *url, const struct privy_upstream_options *o,
                              struct pv_upstream **ret, struct privy_error *reterr)
{
    struct privy_stamp *stamp = NULL;
    enum privy_status status = PRIVY_OK;
    if (url && pv_is_stamp(url))
        status = pv_upstream_read_stamp(url, &stamp, reterr);
    if (status == PRIVY_OK)
        status = pv_upstream_new(url, stamp, o, 853, ret, reterr);
    privy_stamp_free(stamp);
    return status;
}

static void is_itself(const struct pv_upstream *a, const char *url, const struct said *s)
{
    struct privy_upstream_options other = s->options;
    struct pv_upstream *b = NULL, *c = NULL;
    PV_BUG_IF(make(url, &s->options, &b, NULL) != PRIVY_OK);
    PV_BUG_IF(!pv_upstream_equal(a, b) || !pv_upstream_equal(b, a));
    other.tls_name = a->tls_name && strcmp(a->tls_name, "x.example") == 0 ? NULL : "x.example";
    if (make(url, &other, &c, NULL) == PRIVY_OK)
        PV_BUG_IF(pv_upstream_equal(a, c) && strcmp(a->tls_name, c->tls_name) != 0);
    pv_upstream_unref(b);
    pv_upstream_unref(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[2048];
    struct said s = {.options = {.size = sizeof s.options}};
    struct privy_error error;
    struct pv_upstream *up = NULL;
    if (size >= sizeof text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    char *rest = text, *url = strsep(&rest, "\n");
    while (rest)
        say(&s, strsep(&rest, "\n"));
    s.options.properties = or_none(s.properties);
    s.options.addresses = or_none(s.addresses);
    s.options.pins = or_none(s.pins);
    s.options.relays = or_none(s.relays);
    url = *url ? url : NULL;
    if (make(url, &s.options, &up, &error) == PRIVY_OK)
        is_itself(up, url, &s);
    else
        is_a_refusal(&error);
    pv_upstream_unref(up);
    return 0;
}
