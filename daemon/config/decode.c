#include "config/decode.h"

#include "config/value.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

struct decoder {
    struct arena *arena;
    struct faults *faults;
    bool failed; /* no memory */
};

static void decode_map(struct decoder *, const struct schema_scope *, const char *group,
                       const struct node *map, void *base);
static void decode_defaults(struct decoder *, const struct schema_scope *, void *base);

/* What a row without a number, text or list expects, for messages. */
static const char *kind_text(enum node_kind kind)
{
    static const char *const texts[] = {"a single value", "a list", "a map"};
    return texts[kind];
}

static bool expect(struct decoder *d, const struct schema_row *row, const struct node *n,
                   enum node_kind kind)
{
    if (n->kind == kind && !n->null)
        return true;
    if (n->null)
        faults_error(d->faults, &n->place, "%s: has no value; %s is needed", row->path,
                     kind_text(kind));
    else
        faults_error(d->faults, &n->place, "%s: found %s; %s is needed", row->path,
                     kind_text(n->kind), kind_text(kind));
    return false;
}

static void *array(struct decoder *d, size_t count, size_t size)
{
    void *a = arena_array(d->arena, count ? count : 1, size);
    d->failed |= !a;
    return a;
}

static size_t count_children(const struct node *n)
{
    size_t count = 0;
    node_each (child, n)
        count++;
    return count;
}

/* ---- single values ---- */

static void decode_number(struct decoder *d, const struct schema_row *row, const struct node *n,
                          uint32_t *ret)
{
    char complaint[VALUE_TEXT];
    if (expect(d, row, n, NODE_SCALAR) && !value_parse(row, n->text, ret, complaint))
        faults_error(d->faults, &n->place, "%s: %s", row->path, complaint);
}

static bool has_control(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return true;
    return false;
}

/* Is the text of a scalar what the row allows? */
static bool text_fits(struct decoder *d, const struct schema_row *row, const struct node *n)
{
    char complaint[VALUE_TEXT];
    uint32_t unused;
    const char *what = NULL;
    if (has_control(n->text)) {
        faults_error(d->faults, &n->place, "%s: control characters are not allowed", row->path);
        return false;
    }
    if (row->words && !word_parse(row->words, n->text, &unused, complaint)) {
        faults_error(d->faults, &n->place, "%s: %s", row->path, complaint);
        return false;
    }
    what = row->check ? row->check(n->text) : NULL;
    if (what)
        faults_error(d->faults, &n->place, "%s: '%.100s' is not %s", row->path, n->text, what);
    return !what;
}

/* Relative paths are relative to their file, so that `-p` and a reload mean the same file. */
static const char *absolute(struct decoder *d, const struct node *n)
{
    char here[PATH_MAX];
    const char *directory = n->directory;
    if (!n->text[0] || n->text[0] == '/')
        return n->text;
    if (!directory)
        directory = getcwd(here, sizeof here);
    const char *path = arena_printf(d->arena, "%s/%s", directory ? directory : ".", n->text);
    d->failed |= !path;
    return path;
}

static void decode_text(struct decoder *d, const struct schema_row *row, const struct node *n,
                        const char **ret)
{
    if (expect(d, row, n, NODE_SCALAR) && text_fits(d, row, n))
        *ret = row->type == TYPE_PATH ? absolute(d, n) : n->text;
}

/* ---- lists of values ---- */

static void decode_address(struct decoder *d, const struct schema_row *row, const struct node *n,
                           struct pv_addr *ret)
{
    struct pv_addr addr;
    if (pv_addr_parse(n->text, strlen(n->text), 53, &addr) && pv_addr_port(&addr)) {
        *ret = addr;
        return;
    }
    faults_error(d->faults, &n->place,
                 "%s: '%.100s' is not an address, such as 127.0.0.1, 127.0.0.1:53 or \"[::1]:53\"",
                 row->path, n->text);
}

static void decode_prefix(struct decoder *d, const struct schema_row *row, const struct node *n,
                          struct pv_prefix *ret)
{
    if (pv_prefix_parse(n->text, strlen(n->text), ret))
        return;
    faults_error(d->faults, &n->place,
                 "%s: '%.100s' is not an address or prefix, such as 192.0.2.0/24 or "
                 "\"2001:db8::/32\" (no bits set behind the prefix)",
                 row->path, n->text);
}

static void decode_zone(struct decoder *d, const struct schema_row *row, const struct node *n,
                        struct config_zone *ret)
{
    size_t length;
    if (pv_name_from_text(n->text, strlen(n->text), ret->name, &length)) {
        ret->length = length;
        pv_name_lower(ret->name, length);
        return;
    }
    faults_error(d->faults, &n->place,
                 "%s: '%.100s' is not a domain name (labels of 1 to 63 ASCII letters; \"xn--\" "
                 "forms for others)",
                 row->path, n->text);
}

/* One item into slot i of the list; a faulty one leaves it zeroed, so that the others keep their
 * places. */
static void decode_item(struct decoder *d, const struct schema_row *row, const struct node *n,
                        void *items, size_t i)
{
    if (row->type == TYPE_TEXTS)
        ((const char **)items)[i] = "";
    if (!expect(d, row, n, NODE_SCALAR))
        return;
    if (row->type == TYPE_ADDRS)
        decode_address(d, row, n, (struct pv_addr *)items + i);
    else if (row->type == TYPE_PREFIXES)
        decode_prefix(d, row, n, (struct pv_prefix *)items + i);
    else if (row->type == TYPE_ZONES)
        decode_zone(d, row, n, (struct config_zone *)items + i);
    else if (text_fits(d, row, n))
        ((const char **)items)[i] = n->text;
}

/* The lists of config.h all look like this. */
struct list {
    void *items;
    size_t count;
};

static void decode_list(struct decoder *d, const struct schema_row *row, const struct node *n,
                        void *ret)
{
    static const size_t sizes[] = {[TYPE_TEXTS] = sizeof(char *),
                                   [TYPE_ADDRS] = sizeof(struct pv_addr),
                                   [TYPE_PREFIXES] = sizeof(struct pv_prefix),
                                   [TYPE_ZONES] = sizeof(struct config_zone)};
    bool single = n->kind == NODE_SCALAR && !n->null;
    size_t count = single ? 1 : count_children(n);
    if (!single && !expect(d, row, n, NODE_LIST))
        return;
    struct list list = {array(d, count + 1, sizes[row->type]), count};
    if (!list.items)
        return;
    const struct node *item = single ? n : n->first;
    for (size_t i = 0; i < count; i++, item = item->next)
        decode_item(d, row, item, list.items, i);
    memcpy(ret, &list, sizeof list);
}

/* ---- tables inside the table ---- */

static bool decode_upstream(struct decoder *d, const struct schema_row *row, const struct node *n,
                            struct config_upstream *up)
{
    const struct schema_row *url = schema_find(&schema_upstream, "url");
    up->node = n;
    decode_defaults(d, &schema_upstream, up);
    if (n->kind == NODE_MAP)
        decode_map(d, &schema_upstream, "", n, up);
    else if (expect(d, row, n, NODE_SCALAR))
        decode_text(d, url, n, &up->url);
    else
        return false;
    return true;
}

static void decode_upstreams(struct decoder *d, const struct schema_row *row, const struct node *n,
                             struct config_pool *pool)
{
    bool single = n->kind == NODE_SCALAR && !n->null;
    if (!single && !expect(d, row, n, NODE_LIST))
        return;
    pool->upstreams = array(d, single ? 1 : count_children(n), sizeof *pool->upstreams);
    if (!pool->upstreams)
        return;
    pool->upstream_count = 0;
    if (single)
        pool->upstream_count += decode_upstream(d, row, n, pool->upstreams);
    else
        node_each (item, n)
            pool->upstream_count +=
                decode_upstream(d, row, item, &pool->upstreams[pool->upstream_count]);
}

static void decode_pool(struct decoder *d, const struct schema_row *row, const struct node *n,
                        struct config_pool *pool)
{
    const struct schema_row *name = schema_find(&schema_route, "pool");
    const char *what = name->check(n->key);
    if (what)
        faults_error(d->faults, &n->key_place, "pools: '%.100s' is not %s", n->key, what);
    pool->name = n->key;
    pool->node = n;
    privy_pool_options_default(&pool->options);
    decode_defaults(d, &schema_pool, pool);
    if (expect(d, row, n, NODE_MAP))
        decode_map(d, &schema_pool, "", n, pool);
}

static void decode_pools(struct decoder *d, const struct schema_row *row, const struct node *n,
                         struct config *c)
{
    if (n->null || !expect(d, row, n, NODE_MAP))
        return;
    c->pools = array(d, count_children(n), sizeof *c->pools);
    if (!c->pools)
        return;
    node_each (pool, n)
        decode_pool(d, row, pool, &c->pools[c->pool_count++]);
}

static void decode_routes(struct decoder *d, const struct schema_row *row, const struct node *n,
                          struct config *c)
{
    if (n->null || !expect(d, row, n, NODE_LIST))
        return;
    c->routes = array(d, count_children(n), sizeof *c->routes);
    if (!c->routes)
        return;
    node_each (item, n) {
        struct config_route *route = &c->routes[c->route_count];
        route->node = item;
        if (!expect(d, row, item, NODE_MAP))
            continue;
        decode_map(d, &schema_route, "", item, route);
        c->route_count++;
    }
}

/* ---- rows and maps ---- */

static void decode_row(struct decoder *d, const struct schema_row *row, const struct node *n,
                       void *base)
{
    void *at = (char *)base + row->offset;
    if (row->type == TYPE_POOLS)
        decode_pools(d, row, n, base);
    else if (row->type == TYPE_UPSTREAMS)
        decode_upstreams(d, row, n, base);
    else if (row->type == TYPE_ROUTES)
        decode_routes(d, row, n, base);
    else if (schema_is_list(row))
        decode_list(d, row, n, at);
    else if (schema_is_text(row))
        decode_text(d, row, n, at);
    else
        decode_number(d, row, n, at);
}

static void unknown_key(struct decoder *d, const struct schema_scope *scope, const char *group,
                        const struct node *n)
{
    char out[SCHEMA_KEY];
    const char *near = schema_nearest(scope, group, n->key, out);
    const char *where = group[0] ? group : scope->name;
    if (near)
        faults_error(d->faults, &n->key_place, "unknown key '%.60s' in %s; did you mean '%s'?",
                     n->key, where, near);
    else
        faults_error(d->faults, &n->key_place, "unknown key '%.60s' in %s", n->key, where);
}

static void decode_map(struct decoder *d, const struct schema_scope *scope, const char *group,
                       const struct node *map, void *base)
{
    node_each (n, map) {
        char path[SCHEMA_KEY];
        int length = snprintf(path, sizeof path, "%s%s%s", group, group[0] ? "." : "", n->key);
        bool fits = length > 0 && (size_t)length < sizeof path;
        const struct schema_row *row = fits ? schema_find(scope, path) : NULL;
        bool is_group = fits && !group[0] && schema_is_group(scope, path);
        struct schema_row map_row = {.path = path};
        if (row && !strchr(n->key, '.'))
            decode_row(d, row, n, base);
        else if (!is_group)
            unknown_key(d, scope, group, n);
        else if (!n->null && expect(d, &map_row, n, NODE_MAP))
            decode_map(d, scope, path, n, base);
    }
}

struct node *decode_split(struct arena *arena, const struct schema_row *row,
                          const struct place *place, const char *text)
{
    bool list = schema_is_list(row) || row->type == TYPE_UPSTREAMS;
    struct node *n = node_new(arena, list ? NODE_LIST : NODE_SCALAR, place);
    if (!n || !list) {
        if (n)
            n->text = arena_copy(arena, text, strlen(text));
        return n && n->text ? n : NULL;
    }
    while (*text) {
        size_t length = strcspn(text, ",");
        size_t begin = strspn(text, " \t"), end = length;
        while (end > begin && strchr(" \t", text[end - 1]))
            end--;
        struct node *item = node_scalar(arena, place, text + begin, end > begin ? end - begin : 0);
        if (!item)
            return NULL;
        node_append(n, item);
        text += length + (text[length] == ',');
    }
    return n;
}

static void decode_defaults(struct decoder *d, const struct schema_scope *scope, void *base)
{
    schema_each (row, scope) {
        void *at = (char *)base + row->offset;
        if (schema_is_list(row) || schema_is_text(row)) {
            struct node *n =
                row->text ? decode_split(d->arena, row, &(struct place){0}, row->text) : NULL;
            if (n)
                decode_row(d, row, n, base);
            d->failed |= row->text && !n;
        } else if (row->type < TYPE_TEXT) {
            *(uint32_t *)at = row->preset;
        }
    }
}

bool decode_config(struct config *c, const struct node *tree, struct faults *faults)
{
    struct decoder d = {.arena = c->arena, .faults = faults};
    privy_cache_options_default(&c->cache);
    privy_query_options_default(&c->query);
    privy_limit_options_default(&c->limits);
    decode_defaults(&d, &schema_top, c);
    decode_map(&d, &schema_top, "", tree, c);
    return !d.failed;
}
