/* Routes: which pool answers for a zone. The longest zone wins. Pure. */
#ifndef PRIVYDNSD_ROUTES_H
#define PRIVYDNSD_ROUTES_H

#include "config/config.h"
#include "base/map.h"

struct routes {
    struct pv_map map;
    struct route_zone *zones;
    size_t count;
};

bool routes_init(struct routes *, const struct config *); /* false: no memory */
void routes_done(struct routes *);

struct route_match {
    const struct config_pool *pool;
    size_t zone_length; /* 1: the root */
};
/* The route of the longest zone that name (lower case, wire form) is in; false: none. */
bool routes_find(const struct routes *, const uint8_t *name, size_t length,
                 struct route_match *ret);

#endif
