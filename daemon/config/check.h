/* What one value alone cannot show: whether the parts of a configuration fit together, and fit the
 * files and protocols that are there. */
#ifndef PRIVYDNSD_CONFIG_CHECK_H
#define PRIVYDNSD_CONFIG_CHECK_H

#include "config/config.h"

/* Pure: names, routes, loops, bounds against each other, parts that this version lacks. Sets
 * default_pool and each route's pool. */
void check_config(struct config *, struct faults *);
/* Make the sets of upstreams, with all the files they name. */
void check_upstreams(struct config *, const struct config *previous, struct faults *);

#endif
