/* THE TABLE: every key of the configuration, one row each. The parser, the defaults, the checks,
 * `privydnsd -p`, the environment's variables, conf/privydns.yaml and the table of
 * privydns.yaml(5) all come from it. A new key is a row here (or, an option of the library's, in
 * privydns/options.h) and its use. */
#ifndef PRIVYDNSD_CONFIG_SCHEMA_H
#define PRIVYDNSD_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a value looks like: enum privy_unit, or one of these. Units and the first two are uint32_t
 * in their struct, texts const char *, lists as config.h has them. */
enum schema_type {
    TYPE_WORD = 32,  /* one of words; their value is kept */
    TYPE_COUNT_AUTO, /* 0 is `auto` */
    TYPE_TEXT,
    TYPE_PATH,  /* made absolute */
    TYPE_TEXTS, /* list; the first of the lists */
    TYPE_ADDRS,
    TYPE_PREFIXES,
    TYPE_ZONES,
    TYPE_POOLS, /* map of maps; the first of those that hold tables of their own */
    TYPE_UPSTREAMS,
    TYPE_ROUTES,
};

struct schema_word {
    const char *word; /* NULL ends the list */
    uint32_t value;
};

struct schema_row {
    const char *path; /* in its scope: "listen", "query.deadline" */
    unsigned type;
    size_t offset;                /* in the scope's struct */
    uint32_t least, most, preset; /* numbers; preset is the default */
    const char *text; /* texts and lists: the default; lists comma-separated; NULL: unset */
    const struct schema_word *words; /* what texts and items may be; NULL: see check */
    /* NULL: fine; else what it is not, to follow "'...' is not ". May be NULL: any text. */
    const char *(*check)(const char *text);
    const char *example; /* for the commented file where there is no default */
    const char *meaning;
    const char *later; /* a part to come: set to anything but this, it is told */
};

struct schema_scope {
    const char *name; /* for messages: "pool" */
    const struct schema_row *rows;
    size_t count;
};

extern const struct schema_scope schema_top, schema_pool, schema_upstream, schema_route;

#define schema_each(row, scope)                                                                    \
    for (const struct schema_row *row = (scope)->rows, *row##_end = row + (scope)->count;          \
         row < row##_end; row++)

static inline bool schema_is_list(const struct schema_row *row)
{
    return row->type >= TYPE_TEXTS && row->type < TYPE_POOLS;
}

static inline bool schema_is_text(const struct schema_row *row)
{
    return row->type == TYPE_TEXT || row->type == TYPE_PATH;
}

/* NULL: no such row. */
const struct schema_row *schema_find(const struct schema_scope *, const char *path);
/* Does a row's path begin with this, and a dot? */
bool schema_is_group(const struct schema_scope *, const char *path);
/* The key nearest to a wrong one, below group ("query" or ""), for "did you mean"; or NULL. */
#define SCHEMA_KEY 64
const char *schema_nearest(const struct schema_scope *, const char *group, const char *key,
                           char out[SCHEMA_KEY]);
/* The environment's name of a row of schema_top: "PRIVYDNS_QUERY_DEADLINE". */
#define SCHEMA_VARIABLE 64
const char *schema_variable(const struct schema_row *, char out[SCHEMA_VARIABLE]);

/* The upstreams of a build without a configuration, comma-separated. */
extern const char schema_built_in_upstreams[];

#endif
