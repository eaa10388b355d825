#include "proto/doh_site.h"

#include <stdlib.h>
#include <string.h>

static void site_free(void *arg)
{
    struct pv_doh_site *s = arg;
    pv_credentials_done(&s->credentials);
    free(s);
}

/* "host", "host:8443", "[2001:db8::1]" [RFC 3986 §3.2]. */
static void write_authority(struct pv_doh_site *s, const struct pv_url *url)
{
    bool v6 = url->is_address && strchr(url->host, ':');
    char port[8] = "";
    if (url->port && url->port != 443)
        snprintf(port, sizeof port, ":%u", url->port);
    snprintf(s->authority, sizeof s->authority, "%s%s%s%s", v6 ? "[" : "", url->host, v6 ? "]" : "",
             port);
}

/* The one expression a template may have is {?dns}, at its end [RFC 8484 §4.1]. */
static bool expand(struct pv_doh_site *s, const char *template)
{
    static const char expression[] = "{?dns}";
    size_t length = strlen(template), end = sizeof expression - 1;
    if (length >= end && strcmp(template + length - end, expression) == 0)
        length -= end;
    if (memchr(template, '{', length) || memchr(template, '}', length))
        return false;
    snprintf(s->path, sizeof s->path, "%.*s", (int)length, template);
    snprintf(s->get_prefix, sizeof s->get_prefix, "%s%sdns=", s->path,
             strchr(s->path, '?') ? "&" : "?");
    return true;
}

static enum pv_doh_method method_of(const struct pv_upstream *up)
{
    if (!up->method || strcmp(up->method, "post") == 0)
        return PV_DOH_POST;
    return strcmp(up->method, "get") == 0 ? PV_DOH_GET : PV_DOH_AUTO;
}

enum privy_status pv_doh_site_check(struct pv_upstream *up, struct privy_error *reterr)
{
    struct pv_doh_site *s = calloc(1, sizeof *s);
    if (!s)
        return pv_error(reterr, PRIVY_ENOMEM, "no memory");
    s->method = method_of(up);
    write_authority(s, &up->url);
    enum privy_status status =
        expand(s, up->url.path[0] ? up->url.path : "/dns-query")
            ? pv_credentials_init(&s->credentials, up, reterr)
            : pv_error(reterr, PRIVY_EINVAL,
                       "url: '%s': of templates only {?dns} is known, at the end", up->url_text);
    if (status != PRIVY_OK) {
        site_free(s);
        return status;
    }
    up->shared = s;
    up->shared_free = site_free;
    return PRIVY_OK;
}
