#include "config/sources.h"

#include "config/decode.h"
#include "config/flags.h"
#include "config/yaml.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

struct sources {
    struct arena *arena;
    struct faults *faults;
    struct node *tree;
    bool failed;
};

static void no_memory(struct sources *s)
{
    faults_no_memory(s->faults, "privydnsd");
    s->failed = true;
}

/* ---- files ---- */

/* Up to one octet more than is allowed, so that yaml_parse sees what is too large. */
static char *read_all(int fd, size_t *ret_length)
{
    size_t capacity = YAML_FILE_MAX + 1, length = 0;
    ssize_t n = 1;
    char *text = malloc(capacity);
    while (text && n && length < capacity) {
        n = read(fd, text + length, capacity - length);
        if (n < 0 && errno != EINTR)
            break;
        length += n > 0 ? (size_t)n : 0;
        n = n < 0 ? 1 : n;
    }
    if (n < 0) {
        free(text);
        return NULL;
    }
    *ret_length = length;
    return text;
}

/* The absolute directory of a file, for the relative paths in it. */
static const char *directory_of(struct arena *arena, const char *path)
{
    char real[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const char *directory = slash ? arena_copy(arena, path, (size_t)(slash - path) + 1) : "./";
    if (directory && realpath(directory, real))
        directory = arena_copy(arena, real, strlen(real));
    return directory;
}

/* Each source is decoded alone too: a fault counts where a later source replaces the value. */
static void check_alone(struct sources *s, const struct node *tree)
{
    struct config *scratch = arena_alloc(s->arena, sizeof *scratch);
    if (!scratch) {
        no_memory(s);
        return;
    }
    scratch->arena = s->arena;
    if (!decode_config(scratch, tree, s->faults))
        no_memory(s);
}

static void take_text(struct sources *s, const char *path, const char *text, size_t length)
{
    const char *source = arena_copy(s->arena, path, strlen(path));
    const char *directory = source ? directory_of(s->arena, source) : NULL;
    if (!directory) {
        no_memory(s);
        return;
    }
    struct node *tree = yaml_parse(s->arena, text, length, source, directory, s->faults);
    if (!tree) {
        s->failed = true;
        return;
    }
    check_alone(s, tree);
    node_merge(s->tree, tree);
}

/* Opening never waits, as it would at a pipe without a writer; a reload must not hang there. */
static int open_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        fcntl(fd, F_SETFL, O_RDONLY);
    return fd;
}

static bool is_pipe(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

static void take_file(struct sources *s, const char *path, bool may_be_missing)
{
    size_t length = 0;
    int fd = open_file(path);
    char *text = fd < 0 ? NULL : read_all(fd, &length);
    if (text && !length && is_pipe(fd))
        faults_error(s->faults, &(struct place){.source = path}, "a pipe that nothing comes from");
    else if (text)
        take_text(s, path, text, length);
    else if (errno == ENOMEM)
        no_memory(s);
    else if (errno != ENOENT || !may_be_missing)
        faults_error(s->faults, &(struct place){.source = path}, "cannot be read: %s",
                     strerror(errno));
    if (fd >= 0)
        close(fd);
    free(text);
}

static int is_drop_in(const struct dirent *e)
{
    size_t length = strlen(e->d_name);
    return e->d_name[0] != '.' && length > 5 && !strcmp(e->d_name + length - 5, ".yaml");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* FILE.d/\*.yaml */
static void take_drop_ins(struct sources *s, const char *file)
{
    char directory[PATH_MAX], path[PATH_MAX + NAME_MAX + 2];
    struct dirent **names = NULL;
    snprintf(directory, sizeof directory, "%s.d", file);
    int count = scandir(directory, &names, is_drop_in, by_name);
    if (count < 0 && errno == ENOMEM)
        no_memory(s);
    else if (count < 0 && errno != ENOENT && errno != ENOTDIR)
        faults_error(s->faults, &(struct place){.source = directory}, "cannot be read: %s",
                     strerror(errno));
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, names[i]->d_name);
        take_file(s, path, false);
        free(names[i]);
    }
    free(names);
}

/* ---- environment and flags ---- */

/* Put a node where a path of up to two keys says; of the upstreams: pools.default.upstreams. */
static void put(struct sources *s, const struct schema_row *row, struct node *n)
{
    const char *dot = strchr(row->path, '.');
    struct node *map = s->tree;
    if (n && row->type == TYPE_UPSTREAMS) {
        map = node_map_at(s->arena, map, "pools", &n->place);
        map = map ? node_map_at(s->arena, map, "default", &n->place) : NULL;
    } else if (n && dot) {
        char *group = arena_copy(s->arena, row->path, (size_t)(dot - row->path));
        map = group ? node_map_at(s->arena, map, group, &n->place) : NULL;
    }
    if (n && map)
        node_set(map, dot ? dot + 1 : row->path, n);
    else
        no_memory(s);
}

static void take_value(struct sources *s, const struct schema_row *row, const char *source,
                       const char *text)
{
    struct place place = {.source = source};
    if (text_is_utf8(text, strlen(text)))
        put(s, row, decode_split(s->arena, row, &place, text));
    else
        faults_error(s->faults, &place, "%s: not text in UTF-8", row->path);
}

/* The row of the i-th variable: one for each row of the top table that is no table itself, and one
 * for the upstreams of the pool `default`. */
static const struct schema_row *variable_row(size_t i)
{
    schema_each (row, &schema_top)
        if (row->type < TYPE_POOLS && !i--)
            return row;
    return i ? NULL : schema_find(&schema_pool, "upstreams");
}

static const char *next_variable(void *arg, size_t i)
{
    const struct schema_row *row = variable_row(i);
    if (!row)
        return NULL;
    return row->type == TYPE_UPSTREAMS ? "PRIVYDNS_UPSTREAM" : schema_variable(row, arg);
}

/* Docker and Kubernetes set such variables for a service that is named privydns. */
static bool is_service_variable(const char *name)
{
    static const char *const stems[] = {"PRIVYDNS_SERVICE_", "PRIVYDNS_PORT", "PRIVYDNS_ENV_",
                                        "PRIVYDNS_NAME"};
    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++)
        if (!strncmp(name, stems[i], strlen(stems[i])))
            return true;
    return false;
}

static void unknown_variable(struct sources *s, const char *name)
{
    char variable[SCHEMA_VARIABLE], out[NEAREST_TEXT];
    struct place place = {.source = name};
    if (!strcmp(name, "PRIVYDNS_CONFIG") || is_service_variable(name))
        return;
    const char *near = nearest_word(name, next_variable, variable, out);
    if (near)
        faults_warn(s->faults, &place, "no such variable; did you mean %s?", near);
    else
        faults_warn(s->faults, &place, "no such variable");
}

static bool variable_exists(const char *name)
{
    char variable[SCHEMA_VARIABLE];
    const char *known;
    for (size_t i = 0; (known = next_variable(variable, i)); i++)
        if (!strcmp(known, name))
            return true;
    return false;
}

static void take_environment(struct sources *s)
{
    char variable[SCHEMA_VARIABLE];
    const char *name;
    for (size_t i = 0; (name = next_variable(variable, i)); i++) {
        const char *value = getenv(name), *source = arena_copy(s->arena, name, strlen(name));
        if (value && source)
            take_value(s, variable_row(i), source, value);
        else if (!source)
            no_memory(s);
    }
    for (char **e = environ; e && *e; e++) { /* NULL after clearenv() */
        size_t length = strcspn(*e, "=");
        char *other = strncmp(*e, "PRIVYDNS_", 9) ? NULL : arena_copy(s->arena, *e, length);
        if (other && !variable_exists(other))
            unknown_variable(s, other);
    }
}

/* The values of a flag that may be repeated; commas in them are kept. */
static void take_flags(struct sources *s, const struct schema_row *row, const char *flag,
                       const char *const *values, size_t count)
{
    struct place place = {.source = flag};
    struct node *list = count ? node_new(s->arena, NODE_LIST, &place) : NULL;
    for (size_t i = 0; i < count && list; i++) {
        struct node *item = node_scalar(s->arena, &place, values[i], strlen(values[i]));
        if (!text_is_utf8(values[i], strlen(values[i])))
            faults_error(s->faults, &place, "not text in UTF-8");
        if (item)
            node_append(list, item);
        else
            no_memory(s);
    }
    if (count)
        put(s, row, list);
}

static void take_options(struct sources *s, const struct options *o)
{
    take_flags(s, schema_find(&schema_top, "listen"), "-l", o->listen, o->listen_count);
    take_flags(s, schema_find(&schema_pool, "upstreams"), "-u", o->upstreams, o->upstream_count);
    if (!o->verbose)
        return;
    take_value(s, schema_find(&schema_top, "log.level"), "-v", o->verbose > 1 ? "debug" : "info");
    take_value(s, schema_find(&schema_top, "log.target"), "-v", "stderr");
}

/* ---- all ---- */

bool sources_built_in(struct arena *arena, struct node *tree, struct faults *faults)
{
    struct sources s = {.arena = arena, .faults = faults, .tree = tree};
    struct node *pools = node_get(tree, "pools");
    struct node *pool = node_get(pools, "default");
    if (node_get(pool, "upstreams") || (pool && !pool->null && pool->kind != NODE_MAP) ||
        (pools && !pools->null && pools->kind != NODE_MAP))
        return true;
    if (pools && pools->first && !pool)
        faults_warn(faults, &pools->key_place,
                    "pools: there is no pool 'default'; what no route takes is asked of the "
                    "built-in one, %s",
                    schema_built_in_upstreams);
    const struct schema_row *row = schema_find(&schema_pool, "upstreams");
    put(&s, row, decode_split(arena, row, &(struct place){0}, schema_built_in_upstreams));
    return !s.failed;
}

struct node *sources_read(struct arena *arena, const struct options *o, struct faults *faults)
{
    struct sources s = {.arena = arena, .faults = faults};
    const char *variable = getenv("PRIVYDNS_CONFIG");
    const char *file = o->config ? o->config : variable && variable[0] ? variable : SOURCES_FILE;
    s.tree = node_new(arena, NODE_MAP, &(struct place){.source = file});
    if (!s.tree) {
        no_memory(&s);
        return NULL;
    }
    take_file(&s, file, !o->config && !(variable && variable[0]));
    take_drop_ins(&s, file);
    take_environment(&s);
    take_options(&s, o);
    return s.failed ? NULL : s.tree;
}
