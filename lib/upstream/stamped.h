/* Upstreams that have no URL: what a stamp says of one, and what only DNSCrypt's have. */
#ifndef PV_UPSTREAM_STAMPED_H
#define PV_UPSTREAM_STAMPED_H

#include "upstream/upstream.h"

/* The parts that a URL would give, from a stamp. */
enum privy_status pv_upstream_take_stamp(struct pv_upstream *, const struct privy_stamp *,
                                         struct privy_error *reterr);
/* The same from provider_name, provider_key and addresses. */
enum privy_status pv_upstream_take_provider(struct pv_upstream *,
                                            const struct privy_upstream_options *,
                                            struct privy_error *reterr);
/* What may be said of DNSCrypt upstreams besides. */
enum privy_status pv_upstream_take_relays(struct pv_upstream *,
                                          const struct privy_upstream_options *,
                                          struct privy_error *reterr);

#endif
