#include "config/node.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct node *node_new(struct arena *arena, enum node_kind kind, const struct place *place)
{
    struct node *n = arena_alloc(arena, sizeof *n);
    if (!n)
        return NULL;
    n->kind = kind;
    n->place = n->key_place = *place;
    return n;
}

struct node *node_scalar(struct arena *arena, const struct place *place, const char *text,
                         size_t length)
{
    struct node *n = node_new(arena, NODE_SCALAR, place);
    if (n)
        n->text = arena_copy(arena, text, length);
    return n && n->text ? n : NULL;
}

void node_append(struct node *parent, struct node *child)
{
    child->next = NULL;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
}

struct node *node_get(const struct node *map, const char *key)
{
    if (!map || map->kind != NODE_MAP)
        return NULL;
    node_each (n, map)
        if (!strcmp(n->key, key))
            return n;
    return NULL;
}

struct node *node_path(const struct node *map, const char *path)
{
    const char *dot = strchr(path, '.');
    char first[64];
    if (!dot)
        return node_get(map, path);
    snprintf(first, sizeof first, "%.*s", (int)(dot - path), path);
    return node_path(node_get(map, first), dot + 1);
}

void node_set(struct node *map, const char *key, struct node *child)
{
    struct node **at = &map->first, *before = NULL;
    while (*at && strcmp((*at)->key, key)) {
        before = *at;
        at = &before->next;
    }
    child->key = key;
    child->next = *at ? (*at)->next : NULL;
    *at = child;
    if (!child->next)
        map->last = child;
}

struct node *node_map_at(struct arena *arena, struct node *map, const char *key,
                         const struct place *place)
{
    struct node *there = node_get(map, key);
    if (there && there->kind == NODE_MAP)
        return there;
    if (there && !there->null)
        place = &there->place;
    struct node *made = node_new(arena, NODE_MAP, place);
    if (made)
        node_set(map, key, made);
    return made;
}

void node_merge(struct node *into, struct node *from)
{
    for (struct node *n = from->first, *next; n; n = next) {
        next = n->next;
        struct node *old = node_get(into, n->key);
        if (old && old->kind == NODE_MAP && n->kind == NODE_MAP)
            node_merge(old, n);
        else if (!old || old->kind != NODE_MAP || !n->null)
            node_set(into, n->key, n);
    }
}

/* Length of the UTF-8 sequence at s, 0: none. Surrogates and overlong forms are none. */
static size_t utf8_length(const unsigned char *s, size_t left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
    if (n < 2 || n > left)
        return n > left ? 0 : n;
    uint32_t c = s[0] & (0xffU >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if (s[i] >> 6 != 2)
            return 0;
        c = c << 6 | (s[i] & 63U);
    }
    return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n;
}

bool text_is_utf8(const char *text, size_t length)
{
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0, n; i < length; i += n) {
        n = utf8_length(s + i, length - i);
        if (!n)
            return false;
    }
    return true;
}
