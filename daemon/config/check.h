/* What one value alone cannot show: whether the parts of a configuration fit together, and fit the
 * files and protocols that are there. */
#ifndef PRIVYDNSD_CONFIG_CHECK_H
#define PRIVYDNSD_CONFIG_CHECK_H

#include "config/config.h"

/* Opens no file: names, routes, loops, bounds against each other, parts that this version lacks.
 * Sets default_pool and each route's pool. */
void check_config(struct config *, struct faults *);
/* Make the sets of upstreams, with all the files they name. */
void check_upstreams(struct config *, const struct config *previous, struct faults *);

/* Places for messages: the i-th item of a list that may be one scalar, the value of a key or the
 * map that lacks it. */
struct place check_item_place(const struct node *list, size_t i);
struct place check_key_place(const struct node *map, const char *key);
/* The address that is the host of a URL; port 0 where it has none. */
bool check_host_address(const char *url, struct pv_addr *ret);
bool check_is_stamp(const char *url);

#endif
