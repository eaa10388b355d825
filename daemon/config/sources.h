/* Where a configuration comes from: file, drop-ins, environment, flags, in this order, each over
 * the ones before. */
#ifndef PRIVYDNSD_CONFIG_SOURCES_H
#define PRIVYDNSD_CONFIG_SOURCES_H

#include "config/node.h"

struct options;

#define SOURCES_FILE "/etc/privydns/privydns.yaml"

/* Everything merged; NULL: a source cannot be read, or there is no memory (told in faults). What is
 * read is also checked source by source, so that a fault is told even where a later source hides
 * it. */
struct node *sources_read(struct arena *, const struct options *, struct faults *);
/* Where nobody wrote the pool `default`, or its upstreams: those of the build. False: no memory. */
bool sources_built_in(struct arena *, struct node *tree, struct faults *);

#endif
