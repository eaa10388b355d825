#include "proto/registry.h"

/* The first handler of this build for which is() holds, or NULL. */
static const struct pv_proto *find(bool (*is)(const struct pv_proto *, const char *),
                                   const char *word)
{
    for (unsigned i = 0; pv_protos[i]; i++) {
        for (const struct pv_proto *p = pv_protos[i]; p->name; p++) {
            if (is(p, word))
                return p;
        }
    }
    return NULL;
}

static bool has_scheme(const struct pv_proto *p, const char *scheme)
{
    return strcmp(p->scheme, scheme) == 0;
}

static bool has_name(const struct pv_proto *p, const char *name)
{
    return strcmp(p->name, name) == 0;
}

static bool has_tls(const struct pv_proto *p, const char *unused)
{
    (void)unused;
    return p->traits & PV_TRAIT_TLS;
}

const struct pv_proto *pv_proto_by_scheme(const char *scheme)
{
    return find(has_scheme, scheme);
}

const struct pv_proto *pv_proto_by_stamp(unsigned type)
{
    for (unsigned i = 0; pv_protos[i]; i++) {
        for (const struct pv_proto *p = pv_protos[i]; p->name; p++) {
            if (p->traits & PV_TRAIT_STAMP && p->stamp == type)
                return p;
        }
    }
    return NULL;
}

/* "mtls" is no protocol but a trait: any TLS one whose upstream has an identity. */
static bool is_mtls(const char *word)
{
    return strcmp(word, "mtls") == 0;
}

bool pv_proto_word_known(const char *word)
{
    return is_mtls(word) ? find(has_tls, NULL) != NULL : find(has_name, word) != NULL;
}

bool pv_proto_word_matches(const char *word, const struct pv_upstream *up)
{
    const struct pv_proto *p = up->proto;
    if (is_mtls(word))
        return p->traits & PV_TRAIT_TLS && pv_upstream_has_identity(up);
    return strcmp(p->name, word) == 0;
}

const char *privy_protocols(unsigned i)
{
    for (unsigned k = 0; pv_protos[k]; k++, i--) {
        if (i == 0)
            return pv_protos[k]->name;
    }
    return i == 0 && find(has_tls, NULL) ? "mtls" : NULL;
}
