#include "config/config.h"

#include "config/check.h"
#include "config/decode.h"
#include "config/sources.h"
#include "config/yaml.h"

#include <stdlib.h>
#include <string.h>

static struct config *config_new(struct faults *faults)
{
    struct config *c = calloc(1, sizeof *c);
    if (c)
        c->arena = arena_new();
    if (!c || !c->arena) {
        faults_no_memory(faults, "privydnsd");
        free(c);
        return NULL;
    }
    atomic_init(&c->refs, 1);
    return c;
}

/* The last step of a load: all or nothing. */
static struct config *config_finish(struct config *c, const struct faults *faults)
{
    if (!faults->errors)
        return c;
    config_unref(c);
    return NULL;
}

static void config_build(struct config *c, struct node *tree, struct faults *faults)
{
    c->tree = tree;
    c->built_in_upstreams = !node_path(tree, "pools.default.upstreams");
    if (!sources_built_in(c->arena, tree, faults) || !decode_config(c, tree, faults))
        faults_no_memory(faults, "privydnsd");
    check_config(c, faults);
}

struct config *config_load(const struct options *o, const struct config *previous,
                           struct faults *faults)
{
    struct config *c = config_new(faults);
    struct node *tree = c ? sources_read(c->arena, o, faults) : NULL;
    if (tree) {
        config_build(c, tree, faults);
        check_upstreams(c, previous, faults);
    }
    return c ? config_finish(c, faults) : NULL;
}

struct config *config_from_text(const char *text, size_t length, struct faults *faults)
{
    struct config *c = config_new(faults);
    struct node *tree = c ? yaml_parse(c->arena, text, length, "text", "/", faults) : NULL;
    if (tree)
        config_build(c, tree, faults);
    return c ? config_finish(c, faults) : NULL;
}

struct config_pool *config_find_pool(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->pool_count; i++)
        if (!strcmp(c->pools[i].name, name))
            return &c->pools[i];
    return NULL;
}

struct config *config_ref(struct config *c)
{
    if (c)
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void config_unref(struct config *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < c->pool_count; i++)
        privy_upstreams_unref(c->pools[i].set);
    privy_upstreams_unref(c->bootstrap_set);
    arena_free(c->arena);
    free(c);
}
