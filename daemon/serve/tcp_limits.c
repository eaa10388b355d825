#include "serve/tcp_limits.h"

#include "base/list.h"

#include <stdlib.h>

struct peer {
    struct pv_map_node node;
    struct pv_addr addr;
    unsigned count;
};

bool tcp_limits_init(struct tcp_limits *l)
{
    *l = (struct tcp_limits){.lock = PTHREAD_MUTEX_INITIALIZER};
    return pv_map_init(&l->peers, 64);
}

void tcp_limits_done(struct tcp_limits *l)
{
    pv_map_done(&l->peers);
    pthread_mutex_destroy(&l->lock);
}

static bool peer_equal(const struct pv_map_node *node, const void *key)
{
    return pv_addr_same_host(&pv_container(node, struct peer, node)->addr, key);
}

static uint64_t peer_hash(const struct pv_addr *addr)
{
    if (addr->sa.sa_family == AF_INET)
        return pv_hash(&addr->in.sin_addr, sizeof addr->in.sin_addr);
    return pv_hash(&addr->in6.sin6_addr, sizeof addr->in6.sin6_addr);
}

static struct peer *peer_find(struct tcp_limits *l, const struct pv_addr *addr)
{
    struct pv_map_node *node = pv_map_find(&l->peers, peer_hash(addr), peer_equal, addr);
    return node ? pv_container(node, struct peer, node) : NULL;
}

static struct peer *peer_new(struct tcp_limits *l, const struct pv_addr *addr)
{
    struct peer *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->addr = *addr;
    p->node.hash = peer_hash(addr);
    pv_map_insert(&l->peers, &p->node);
    return p;
}

bool tcp_peer_take(struct tcp_limits *l, const struct pv_addr *addr, unsigned most)
{
    if (pv_addr_is_loopback(addr))
        return true;
    pthread_mutex_lock(&l->lock);
    struct peer *p = peer_find(l, addr);
    if (!p)
        p = peer_new(l, addr);
    bool good = p && p->count < most;
    if (good)
        p->count++;
    pthread_mutex_unlock(&l->lock);
    return good;
}

void tcp_peer_give(struct tcp_limits *l, const struct pv_addr *addr)
{
    if (pv_addr_is_loopback(addr))
        return;
    pthread_mutex_lock(&l->lock);
    struct peer *p = peer_find(l, addr);
    if (p && --p->count == 0) {
        pv_map_remove(&l->peers, &p->node);
        free(p);
    }
    pthread_mutex_unlock(&l->lock);
}

unsigned tcp_limits_most(const struct tcp_limits *l, unsigned configured)
{
    unsigned most = atomic_load_explicit(&l->most, memory_order_relaxed);
    return most && most < configured ? most : configured;
}

bool tcp_place_take(struct tcp_limits *l, unsigned configured)
{
    unsigned most = tcp_limits_most(l, configured);
    if (atomic_fetch_add_explicit(&l->clients, 1, memory_order_relaxed) < most)
        return true;
    tcp_place_give(l);
    return false;
}

void tcp_place_give(struct tcp_limits *l)
{
    atomic_fetch_sub_explicit(&l->clients, 1, memory_order_relaxed);
}
