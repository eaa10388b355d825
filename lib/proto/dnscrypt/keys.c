#include "proto/dnscrypt/keys.h"

#include <sodium.h>

enum { IN_A_BLOCK = 64 };

struct pv_key_block {
    struct pv_list link; /* in no list: it is full */
    struct pv_key_store *store;
    struct pv_list free;
    unsigned used;
    struct pv_keys keys[IN_A_BLOCK];
};

void pv_key_store_init(struct pv_key_store *store)
{
    pv_list_init(&store->blocks);
}

static struct pv_key_block *block_of(struct pv_list *link)
{
    return pv_container(link, struct pv_key_block, link);
}

void pv_key_store_done(struct pv_key_store *store)
{
    pv_list_each_safe (it, &store->blocks)
        sodium_free(block_of(it));
    pv_list_init(&store->blocks);
}

static struct pv_key_block *add_block(struct pv_key_store *store)
{
    struct pv_key_block *b = sodium_malloc(sizeof *b);
    if (!b)
        return NULL;
    b->store = store;
    b->used = 0;
    pv_list_init(&b->free);
    for (unsigned i = 0; i < IN_A_BLOCK; i++)
        pv_list_append(&b->free, &b->keys[i].link);
    pv_list_append(&store->blocks, &b->link);
    return b;
}

struct pv_keys *pv_keys_new(struct pv_key_store *store)
{
    struct pv_list *first = pv_list_first(&store->blocks);
    struct pv_key_block *b = first ? block_of(first) : add_block(store);
    if (!b)
        return NULL;
    struct pv_keys *k = pv_container(b->free.next, struct pv_keys, link); /* it has room */
    pv_list_remove(&k->link);
    if (++b->used == IN_A_BLOCK)
        pv_list_remove(&b->link);
    k->block = b;
    k->refs = 1;
    return k;
}

struct pv_keys *pv_keys_ref(struct pv_keys *k)
{
    k->refs++;
    return k;
}

/* The last one with room stays, empty or not: it is needed soon. */
static void give_back(struct pv_keys *k)
{
    struct pv_key_block *b = k->block;
    pv_list_prepend(&b->free, &k->link);
    if (b->used-- == IN_A_BLOCK)
        pv_list_prepend(&b->store->blocks, &b->link);
    bool alone = b->link.next == b->link.prev;
    if (b->used > 0 || alone)
        return;
    pv_list_remove(&b->link);
    sodium_free(b);
}

void pv_keys_unref(struct pv_keys *k)
{
    if (!k || --k->refs > 0)
        return;
    pv_box_wipe(&k->box);
    give_back(k);
}
