/* A tree of nodes to a struct config, by the tables: types, bounds, words, unknown keys. */
#ifndef PRIVYDNSD_CONFIG_DECODE_H
#define PRIVYDNSD_CONFIG_DECODE_H

#include "config/config.h"
#include "config/node.h"
#include "config/schema.h"

/* Fill config with the defaults, then with what the tree says; all faults are told. Pools are
 * decoded, their sets not made. False: no memory. */
bool decode_config(struct config *, const struct node *tree, struct faults *);

/* A value as it stands in an environment variable, on the command line or in a table's default:
 * a scalar, or the items of a list between commas. NULL: no memory. */
struct node *decode_split(struct arena *, const struct schema_row *, const struct place *,
                          const char *text);

#endif
