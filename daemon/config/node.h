/* What a configuration says: a tree of maps, lists and scalars that know where they were written.
 */
#ifndef PRIVYDNSD_CONFIG_NODE_H
#define PRIVYDNSD_CONFIG_NODE_H

#include "config/arena.h"
#include "config/fault.h"

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node {
    enum node_kind kind;
    bool null;          /* a scalar that is empty, ~ or null, and not quoted */
    struct place place; /* of the value */
    struct place key_place;
    const char *key;       /* in a map */
    const char *text;      /* of a scalar: UTF-8, no NUL octet */
    const char *directory; /* what relative paths in it are relative to; NULL: where we run */
    struct node *first, *last, *next; /* children; next sibling */
};

#define node_each(it, parent)                                                                      \
    for (struct node *it = (parent) ? (parent)->first : NULL; it; it = it->next)

/* New nodes; NULL: no memory. The text is copied. */
struct node *node_new(struct arena *, enum node_kind, const struct place *);
struct node *node_scalar(struct arena *, const struct place *, const char *text, size_t length);
void node_append(struct node *parent, struct node *child);
/* Under this key, instead of what is there. */
void node_set(struct node *map, const char *key, struct node *child);

struct node *node_get(const struct node *map, const char *key);   /* NULL: not there, or no map */
struct node *node_path(const struct node *map, const char *path); /* "query.deadline" */
/* The map at a path of one or two keys, made where it is missing; NULL: no memory. */
struct node *node_map_at(struct arena *, struct node *map, const char *key, const struct place *);

/* Take over all of from: maps merge, anything else replaces. from must not be used any more. */
void node_merge(struct node *into, struct node *from);

bool text_is_utf8(const char *text, size_t length);

#endif
