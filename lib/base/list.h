/* Doubly linked list, links embedded in the members. An initialised link that is in no list points
 * to itself, so removing twice is harmless. */
#ifndef PV_BASE_LIST_H
#define PV_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct pv_list {
    struct pv_list *prev, *next;
};

#define pv_container(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void pv_list_init(struct pv_list *l)
{
    l->prev = l->next = l;
}

static inline bool pv_list_empty(const struct pv_list *l)
{
    return l->next == l;
}

static inline void pv_list_insert_before(struct pv_list *at, struct pv_list *n)
{
    n->prev = at->prev;
    n->next = at;
    at->prev->next = n;
    at->prev = n;
}

static inline void pv_list_append(struct pv_list *head, struct pv_list *n)
{
    pv_list_insert_before(head, n);
}

static inline void pv_list_prepend(struct pv_list *head, struct pv_list *n)
{
    pv_list_insert_before(head->next, n);
}

static inline void pv_list_remove(struct pv_list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    pv_list_init(n);
}

/* Move all members of src to the end of dst. */
static inline void pv_list_splice(struct pv_list *dst, struct pv_list *src)
{
    if (pv_list_empty(src))
        return;
    src->next->prev = dst->prev;
    dst->prev->next = src->next;
    src->prev->next = dst;
    dst->prev = src->prev;
    pv_list_init(src);
}

static inline struct pv_list *pv_list_first(const struct pv_list *head)
{
    return head->next == head ? NULL : head->next;
}

#define pv_list_each(it, head) for (struct pv_list *it = (head)->next; it != (head); it = it->next)
/* The current member may be removed or freed in the body. */
#define pv_list_each_safe(it, head)                                                                \
    for (struct pv_list *it = (head)->next, *it##_next = it->next; it != (head);                   \
         it = it##_next, it##_next = it->next)

#endif
