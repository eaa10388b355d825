/* The addresses of upstreams that are given by name: asked of the set's bootstrap upstreams, which
 * have addresses and are encrypted; never of the set itself. */
#ifndef PV_RESOLVER_BOOTSTRAP_H
#define PV_RESOLVER_BOOTSTRAP_H

#include "resolver/resolver.h"

struct pv_bootstrap *pv_bootstrap_new(struct privy_resolver *master); /* NULL: no memory */
void pv_bootstrap_free(struct pv_bootstrap *);
/* Ask for A and AAAA, unless that is under way, or failed a moment ago. */
void pv_bootstrap_lookup(struct pv_bootstrap *, struct pv_endpoint *);
/* The master has another set, or another network; b may be NULL. */
void pv_bootstrap_set_upstreams(struct pv_bootstrap *, struct privy_upstreams *);
void pv_bootstrap_network_changed(struct pv_bootstrap *);
void pv_bootstrap_forget(struct pv_bootstrap *, const struct pv_endpoint *);

#endif
