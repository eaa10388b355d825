#include "config/config.h"

#include "base/status.h"
#include "config/node.h"
#include "config/schema.h"
#include "config/value.h"

#include <stdarg.h>
#include <string.h>

struct printer {
    FILE *out;
    bool origins;
    int column; /* where the next character goes, in the line */
};

enum { COMMENT_COLUMN = 48 };

static void put(struct printer *p, const char *format, ...) PV_PRINTF(2, 3);
static void put(struct printer *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vfprintf(p->out, format, args);
    va_end(args);
    p->column += n > 0 ? n : 0;
}

/* End the line, with where its value came from. n NULL: nobody wrote it. */
static void end_line(struct printer *p, const struct node *n)
{
    char text[PLACE_TEXT], safe[PLACE_TEXT];
    if (p->origins) {
        place_text(n ? &n->place : &(struct place){0}, text);
        pv_escape(safe, sizeof safe, text, strlen(text));
        int gap = p->column < COMMENT_COLUMN ? COMMENT_COLUMN - p->column : 2;
        fprintf(p->out, "%*s# %s", gap, "", n ? safe : "default");
    }
    fputc('\n', p->out);
    p->column = 0;
}

/* ---- scalars ---- */

static bool is_plain(const char *text)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/";
    size_t length = strlen(text);
    if (!length || !strchr(first, text[0]) || text[length - 1] == ':')
        return false;
    for (const char *c = text; *c; c++)
        if (!strchr(first, *c) && !strchr(".:_@+=%#-", *c))
            return false;
    return strcmp(text, "null") && strcmp(text, "Null") && strcmp(text, "NULL");
}

/* The code point at *text, which is UTF-8, stepping over it. */
static unsigned long take_code(const char **text)
{
    const unsigned char *s = (const unsigned char *)*text;
    unsigned extra = s[0] < 0x80 ? 0 : s[0] < 0xe0 ? 1 : s[0] < 0xf0 ? 2 : 3;
    unsigned long code = extra ? s[0] & (0x3fU >> extra) : s[0];
    for (unsigned i = 1; i <= extra && s[i]; i++)
        code = code << 6 | (s[i] & 63U);
    *text += extra + 1;
    return code;
}

static void put_text(struct printer *p, const char *text)
{
    if (is_plain(text)) {
        put(p, "%s", text);
        return;
    }
    put(p, "\"");
    while (*text) {
        unsigned long code = take_code(&text);
        if (code == '"' || code == '\\')
            put(p, "\\%c", (char)code);
        else if (code >= ' ' && code < 0x7f)
            put(p, "%c", (char)code);
        else
            put(p, "\\U%08lx", code);
    }
    put(p, "\"");
}

/* ---- lists ---- */

static size_t count_of(const void *list)
{
    const struct config_strings *any = list; /* all lists look alike */
    return any->count;
}

static void put_item(struct printer *p, const struct schema_row *row, const void *list, size_t i)
{
    char text[PV_NAME_TEXT];
    if (row->type == TYPE_ADDRS)
        pv_addr_text(&((const struct config_addrs *)list)->items[i], text);
    else if (row->type == TYPE_PREFIXES)
        pv_prefix_text(&((const struct config_prefixes *)list)->items[i], text);
    else if (row->type == TYPE_ZONES)
        pv_name_to_text(((const struct config_zones *)list)->items[i].name, text);
    put_text(p, row->type == TYPE_TEXTS ? ((const struct config_strings *)list)->items[i] : text);
}

static void put_list(struct printer *p, const struct schema_row *row, const void *list,
                     const struct node *n, int indent)
{
    size_t count = count_of(list);
    if (!count)
        put(p, " []");
    end_line(p, n);
    for (size_t i = 0; i < count; i++) {
        put(p, "%*s- ", indent, "");
        put_item(p, row, list, i);
        fputc('\n', p->out);
        p->column = 0;
    }
}

/* ---- rows ---- */

static bool is_unset(const struct schema_row *row, const void *at)
{
    if (schema_is_text(row))
        return !*(const char *const *)at;
    if (schema_is_list(row))
        return !row->text && !count_of(at);
    return false;
}

/* "key: value" of a single value or a list; key without its group. */
static void put_row(struct printer *p, const struct schema_row *row, const void *base,
                    const struct node *n, int indent)
{
    const void *at = (const char *)base + row->offset;
    const char *dot = strchr(row->path, '.');
    char text[VALUE_TEXT];
    put(p, "%s:", dot ? dot + 1 : row->path);
    if (schema_is_list(row)) {
        put_list(p, row, at, n, indent + 2);
        return;
    }
    put(p, " ");
    if (schema_is_text(row))
        put_text(p, *(const char *const *)at);
    else
        put(p, "%s", value_text(row, *(const uint32_t *)at, text));
    end_line(p, n);
}

static void put_upstream(struct printer *p, const struct config_upstream *up)
{
    const char *lead = "      - ";
    schema_each (row, &schema_upstream) {
        const void *at = (const char *)up + row->offset;
        bool is_map = up->node->kind == NODE_MAP;
        const struct node *n = is_map ? node_get(up->node, row->path) : up->node;
        if (is_unset(row, at) || (is_map ? !n : strcmp(row->path, "url")))
            continue;
        put(p, "%s", lead);
        put_row(p, row, up, n, 8);
        lead = "        ";
    }
}

static void put_pools(struct printer *p, const struct config *c)
{
    put(p, "pools:\n");
    for (size_t i = 0; i < c->pool_count; i++) {
        const struct config_pool *pool = &c->pools[i];
        p->column = 0;
        put(p, "  ");
        put_text(p, pool->name);
        put(p, ":\n");
        schema_each (row, &schema_pool) {
            const struct node *n = node_get(pool->node, row->path);
            p->column = 0;
            put(p, "    ");
            if (row->type != TYPE_UPSTREAMS) {
                put_row(p, row, pool, n, 4);
                continue;
            }
            put(p, "upstreams:");
            end_line(p, n);
            for (size_t k = 0; k < pool->upstream_count; k++)
                put_upstream(p, &pool->upstreams[k]);
        }
    }
    p->column = 0;
}

static void put_routes(struct printer *p, const struct config *c)
{
    put(p, "routes:%s", c->route_count ? "" : " []");
    end_line(p, node_get(c->tree, "routes"));
    for (size_t i = 0; i < c->route_count; i++) {
        const struct config_route *route = &c->routes[i];
        put(p, "  - ");
        schema_each (row, &schema_route) {
            if (row != schema_route.rows)
                put(p, "    ");
            put_row(p, row, route, node_get(route->node, row->path), 4);
        }
    }
}

static void put_top_row(struct printer *p, const struct config *c, const struct schema_row *row,
                        const char **group)
{
    const struct node *n = node_path(c->tree, row->path);
    size_t length = strcspn(row->path, ".");
    bool grouped = row->path[length] == '.';
    if (row->later && !n)
        return; /* set or not, it does nothing yet; printed, it would warn */
    if (grouped && (!*group || strncmp(*group, row->path, length + 1))) {
        put(p, "%.*s:\n", (int)length, row->path);
        p->column = 0;
        *group = row->path;
    }
    if (grouped)
        put(p, "  ");
    if (row->type == TYPE_POOLS)
        put_pools(p, c);
    else if (row->type == TYPE_ROUTES)
        put_routes(p, c);
    else
        put_row(p, row, c, n, grouped ? 2 : 0);
}

static void print_all(const struct config *c, FILE *out, bool origins)
{
    struct printer p = {.out = out, .origins = origins};
    const char *group = NULL;
    schema_each (row, &schema_top)
        put_top_row(&p, c, row, &group);
}

void config_print(const struct config *c, FILE *out)
{
    print_all(c, out, true);
}

void config_dump(const struct config *c, FILE *out)
{
    print_all(c, out, false);
}
