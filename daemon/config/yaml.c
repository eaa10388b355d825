#include "config/yaml.h"

#include <string.h>
#include <yaml.h>

enum { SKIP_MAX = 64 };

struct builder {
    struct arena *arena;
    struct faults *faults;
    const char *source, *directory, *text;
    size_t length;
    yaml_parser_t parser;
    struct node *stack[YAML_DEPTH_MAX];
    unsigned depth;
    struct node *key; /* of the map on top: its value is expected next */
    struct node *root;
    unsigned skip; /* > 0: inside what is too deep or no key, so an error: that many levels */
    bool failed;
};

static struct place place_of(const struct builder *b, const yaml_mark_t *mark)
{
    return (struct place){b->source, (unsigned)mark->line + 1, (unsigned)mark->column + 1};
}

static void no_memory(struct builder *b)
{
    faults_no_memory(b->faults, b->source);
    b->failed = true;
}

static bool is_null(const yaml_event_t *e)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    if (e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp((const char *)e->data.scalar.value, words[i]))
            return true;
    return false;
}

/* Anchors and tags carry nothing here but surprises. */
static void refuse_extras(struct builder *b, const struct place *at, const yaml_char_t *anchor,
                          const yaml_char_t *tag)
{
    if (anchor)
        faults_error(b->faults, at, "anchors (&%s) are not allowed; write the value itself",
                     (const char *)anchor);
    if (tag)
        faults_error(b->faults, at, "tags (%s) are not allowed; write the value alone",
                     (const char *)tag);
}

static bool takes_key(const struct builder *b)
{
    return b->depth && b->stack[b->depth - 1]->kind == NODE_MAP && !b->key;
}

static void place_in_map(struct builder *b, struct node *map, struct node *n)
{
    struct node *old = node_get(map, b->key->text);
    n->key = b->key->text;
    n->key_place = b->key->place;
    if (old) {
        faults_error(b->faults, &n->key_place, "key '%s' is already given in line %u", n->key,
                     old->key_place.line);
        node_set(map, n->key, n);
    } else {
        node_append(map, n);
    }
    b->key = NULL;
}

static void place_node(struct builder *b, struct node *n)
{
    n->directory = b->directory;
    if (!b->depth)
        b->root = n;
    else if (b->stack[b->depth - 1]->kind == NODE_MAP)
        place_in_map(b, b->stack[b->depth - 1], n);
    else
        node_append(b->stack[b->depth - 1], n);
}

static void on_scalar(struct builder *b, const yaml_event_t *e)
{
    struct place at = place_of(b, &e->start_mark);
    const char *text = (const char *)e->data.scalar.value;
    refuse_extras(b, &at, e->data.scalar.anchor, e->data.scalar.tag);
    if (strlen(text) != e->data.scalar.length)
        faults_error(b->faults, &at, "a NUL character is not allowed");
    struct node *n = node_scalar(b->arena, &at, text, strlen(text));
    if (!n) {
        no_memory(b);
    } else if (takes_key(b)) {
        b->key = n;
    } else {
        n->null = is_null(e);
        place_node(b, n);
    }
}

static void on_alias(struct builder *b, const yaml_event_t *e)
{
    struct place at = place_of(b, &e->start_mark);
    faults_error(b->faults, &at, "aliases (*%s) are not allowed; write the value itself",
                 (const char *)e->data.alias.anchor);
    struct node *n = node_scalar(b->arena, &at, "", 0);
    if (!n) {
        no_memory(b);
    } else if (takes_key(b)) {
        b->key = n;
    } else {
        n->null = true;
        place_node(b, n);
    }
}

static void on_begin(struct builder *b, enum node_kind kind, const yaml_event_t *e,
                     const yaml_char_t *anchor, const yaml_char_t *tag)
{
    struct place at = place_of(b, &e->start_mark);
    refuse_extras(b, &at, anchor, tag);
    struct node *n = node_new(b->arena, kind, &at);
    if (!n) {
        no_memory(b);
    } else if (takes_key(b)) {
        faults_error(b->faults, &at, "a key must be a word, not a list or map");
        b->key = node_scalar(b->arena, &at, "", 0);
        b->failed |= !b->key;
        b->skip = 1;
    } else if (b->depth == YAML_DEPTH_MAX) {
        faults_error(b->faults, &at, "nested deeper than %d levels", YAML_DEPTH_MAX);
        n->kind = NODE_SCALAR;
        n->text = "";
        n->null = true;
        place_node(b, n);
        b->skip = 1;
    } else {
        place_node(b, n);
        b->stack[b->depth++] = n;
    }
}

/* It is an error already. libyaml's time grows with the square of the levels: no need to go on. */
static void skip(struct builder *b, bool begin, bool end)
{
    b->skip = b->skip + begin - end;
    b->failed |= b->skip > SKIP_MAX;
}

static void on_event(struct builder *b, const yaml_event_t *e)
{
    bool begin = e->type == YAML_SEQUENCE_START_EVENT || e->type == YAML_MAPPING_START_EVENT;
    bool end = e->type == YAML_SEQUENCE_END_EVENT || e->type == YAML_MAPPING_END_EVENT;
    if (b->skip)
        skip(b, begin, end);
    else if (e->type == YAML_SCALAR_EVENT)
        on_scalar(b, e);
    else if (e->type == YAML_ALIAS_EVENT)
        on_alias(b, e);
    else if (e->type == YAML_SEQUENCE_START_EVENT)
        on_begin(b, NODE_LIST, e, e->data.sequence_start.anchor, e->data.sequence_start.tag);
    else if (e->type == YAML_MAPPING_START_EVENT)
        on_begin(b, NODE_MAP, e, e->data.mapping_start.anchor, e->data.mapping_start.tag);
    else if (end)
        b->depth--;
}

static bool is_in(const char *set, char c)
{
    return c && strchr(set, c);
}

/* Length of "[...]" with an IPv6 address in it, at line[i]; 0: it is not. */
static size_t bracketed(const char *line, size_t i, size_t length)
{
    size_t end = i + 1;
    unsigned colons = 0;
    if (line[i] != '[' || (i && is_in("\"'", line[i - 1])))
        return 0;
    for (; end < length && is_in("0123456789abcdefABCDEF:.%", line[end]); end++)
        colons += line[end] == ':';
    return colons > 1 && end < length && line[end] == ']' ? end + 1 - i : 0;
}

/* An unquoted [::1]:53 is a list to YAML, and its errors about that help nobody. Find such a word
 * in the line of the error. */
static bool find_bracketed(const char *line, size_t length, size_t *ret_begin, size_t *ret_end)
{
    for (size_t i = 0; i < length; i++) {
        size_t n = bracketed(line, i, length);
        if (!n)
            continue;
        size_t begin = i, end = i + n;
        while (begin && !is_in(" \t,[{\"'", line[begin - 1]))
            begin--;
        while (end < length && !is_in(" \t,]}\"'\r", line[end]))
            end++;
        *ret_begin = begin;
        *ret_end = end;
        return true;
    }
    return false;
}

static bool hint_quotes(struct builder *b, const struct place *at)
{
    const char *line = b->text, *end = b->text + b->length, *newline;
    size_t from, to;
    for (unsigned i = 1; i < at->line; i++) {
        newline = memchr(line, '\n', (size_t)(end - line));
        if (!newline)
            return false;
        line = newline + 1;
    }
    newline = memchr(line, '\n', (size_t)(end - line));
    size_t length = (size_t)((newline ? newline : end) - line);
    if (!find_bracketed(line, length, &from, &to))
        return false;
    faults_error(b->faults, &(struct place){at->source, at->line, (unsigned)from + 1},
                 "%.*s is a list to YAML; quote it: \"%.*s\"", (int)(to - from), line + from,
                 (int)(to - from), line + from);
    return true;
}

static void on_error(struct builder *b)
{
    const yaml_parser_t *p = &b->parser;
    struct place at = place_of(b, &p->problem_mark);
    b->failed = true;
    if (p->error == YAML_MEMORY_ERROR)
        no_memory(b);
    else if (p->error == YAML_READER_ERROR)
        faults_error(b->faults, &(struct place){.source = b->source},
                     "not a text file in UTF-8: %s at octet %zu", p->problem, p->problem_offset);
    else if (!hint_quotes(b, &at))
        faults_error(b->faults, &at, "%s%s%s", p->problem, p->context ? " " : "",
                     p->context ? p->context : "");
}

static void parse_events(struct builder *b)
{
    unsigned documents = 0;
    yaml_event_type_t type = YAML_NO_EVENT;
    while (!b->failed && type != YAML_STREAM_END_EVENT) {
        yaml_event_t e;
        if (!yaml_parser_parse(&b->parser, &e)) {
            on_error(b);
            return;
        }
        type = e.type;
        if (type == YAML_DOCUMENT_START_EVENT && documents++) {
            struct place at = place_of(b, &e.start_mark);
            faults_error(b->faults, &at, "a second document ('---') is not allowed");
            type = YAML_STREAM_END_EVENT;
        } else {
            on_event(b, &e);
        }
        yaml_event_delete(&e);
    }
}

static struct node *finish(struct builder *b)
{
    struct place start = {b->source, 1, 1};
    if (b->failed)
        return NULL;
    if (!b->root || b->root->null) {
        b->root = node_new(b->arena, NODE_MAP, &start);
        if (!b->root)
            no_memory(b);
    } else if (b->root->kind != NODE_MAP) {
        faults_error(b->faults, &b->root->place, "this is not a map of keys ('key: value')");
        return NULL;
    }
    return b->root;
}

struct node *yaml_parse(struct arena *arena, const char *text, size_t length, const char *source,
                        const char *directory, struct faults *faults)
{
    struct builder b = {.arena = arena,
                        .faults = faults,
                        .source = source,
                        .directory = directory,
                        .text = text,
                        .length = length};
    if (length > YAML_FILE_MAX) {
        faults_error(faults, &(struct place){.source = source}, "larger than %d KiB",
                     YAML_FILE_MAX / 1024);
        return NULL;
    }
    if (!yaml_parser_initialize(&b.parser)) {
        no_memory(&b);
        return NULL;
    }
    size_t mark = length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0; /* byte order */
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)text + mark, length - mark);
    parse_events(&b);
    yaml_parser_delete(&b.parser);
    return finish(&b);
}
