#include "config/check.h"
#include "config/node.h"
#include "config/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- private files ---- */

enum { PRIVATE_MODE = 0137 }; /* bits that a private file must not have */

static bool is_trusted(uid_t owner, const char *user)
{
    const struct passwd *service = user ? getpwnam(user) : NULL;
    return owner == 0 || owner == geteuid() || (service && owner == service->pw_uid);
}

/* Root opens what the user that it becomes cannot. */
static bool stays_readable(const struct stat *st, const char *user)
{
    const struct passwd *service = geteuid() == 0 && user ? getpwnam(user) : NULL;
    gid_t groups[64];
    int count = sizeof groups / sizeof *groups;
    if (!service || service->pw_uid == 0)
        return true;
    if (st->st_uid == service->pw_uid)
        return st->st_mode & S_IRUSR;
    if (getgrouplist(user, service->pw_gid, groups, &count) < 0)
        return true; /* in too many to tell */
    bool member = false;
    for (int i = 0; i < count; i++)
        member |= groups[i] == st->st_gid;
    return member && st->st_mode & S_IRGRP;
}

static void check_private(const struct config *c, const struct config_upstream *up, const char *key,
                          const char *path, struct faults *f)
{
    struct place place = check_key_place(up->node, key);
    struct stat st;
    int fd = path ? open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
    if (!path)
        return;
    if (fd < 0 || fstat(fd, &st))
        faults_error(f, &place, "%s: '%s' cannot be read: %s", key, path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        faults_error(f, &place, "%s: '%s' is not a file", key, path);
    else if (st.st_mode & PRIVATE_MODE)
        faults_error(f, &place,
                     "%s: '%s' has mode %04o: others could read or change it; allowed: "
                     "0640 or less (chmod 0600)",
                     key, path, (unsigned)st.st_mode & 07777);
    else if (!is_trusted(st.st_uid, c->user))
        faults_error(f, &place, "%s: '%s' belongs to uid %u; allowed: root or %s", key, path,
                     (unsigned)st.st_uid, c->user ? c->user : "our user");
    else if (!stays_readable(&st, c->user))
        faults_warn(f, &place,
                    "%s: '%s': user '%s' cannot read it: it will not be read again when it "
                    "changes (chgrp to the user's group, chmod 0640)",
                    key, path, c->user);
    if (fd >= 0)
        close(fd);
}

/* ---- one upstream ---- */

/* Which key is which option of the library's. */
static const struct mapping {
    const char *key;
    size_t ours, theirs;
    enum { TEXT, LIST, FLAG } kind;
    bool identity; /* part of the client's: they stand and fall together */
} mappings[] = {
#define MAPPED(key, member, kind, identity)                                                        \
    {                                                                                              \
        key, offsetof(struct config_upstream, member),                                             \
            offsetof(struct privy_upstream_options, member), kind, identity                        \
    }
#define TEXT(member)     MAPPED(#member, member, TEXT, false)
#define LIST(member)     MAPPED(#member, member, LIST, false)
#define FLAG(member)     MAPPED(#member, member, FLAG, false)
#define IDENTITY(member) MAPPED(#member, member, TEXT, true)
    TEXT(name),
    MAPPED("operator", operator_name, TEXT, false),
    LIST(properties),
    LIST(addresses),
    IDENTITY(client_cert),
    IDENTITY(client_key),
    IDENTITY(client_key_passphrase_file),
    TEXT(ca_file),
    TEXT(tls_name),
    TEXT(tls_min),
    TEXT(method),
    LIST(pins),
    LIST(relays),
    FLAG(ephemeral_keys),
    TEXT(provider_name),
    TEXT(provider_key),
    FLAG(allow_xsalsa),
};
#define MAPPINGS (sizeof mappings / sizeof *mappings)

/* An item with a fault of its own was left empty, and the fault told. */
static bool is_whole(const struct config_strings *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (!list->items[i][0])
            return false;
    return list->count;
}

static void fill(const struct config_upstream *up, struct privy_upstream_options *o)
{
    *o = (struct privy_upstream_options){.size = sizeof *o};
    for (size_t i = 0; i < MAPPINGS; i++) {
        const void *from = (const char *)up + mappings[i].ours;
        void *to = (char *)o + mappings[i].theirs;
        const struct config_strings *list = from;
        if (mappings[i].kind == FLAG)
            *(bool *)to = *(const uint32_t *)from;
        else if (mappings[i].kind == TEXT)
            memcpy(to, from, sizeof(char *));
        else if (is_whole(list))
            memcpy(to, &list->items, sizeof list->items);
    }
}

static const struct mapping *mapping_of(const char *message)
{
    size_t length = strcspn(message, ":");
    for (size_t i = 0; i < MAPPINGS; i++)
        if (strlen(mappings[i].key) == length && !strncmp(mappings[i].key, message, length))
            return &mappings[i];
    return NULL;
}

static void forget(struct privy_upstream_options *o, const struct mapping *faulty)
{
    static const size_t sizes[] = {[TEXT] = sizeof(char *), [LIST] = sizeof(char **), [FLAG] = 1};
    for (size_t i = 0; i < MAPPINGS; i++)
        if (&mappings[i] == faulty || (faulty->identity && mappings[i].identity))
            memset((char *)o + mappings[i].theirs, 0, sizes[mappings[i].kind]);
}

/* Where the option at fault was written; of a list, the item that the message quotes. */
static struct place faulty_place(const struct config_upstream *up, const struct mapping *faulty,
                                 const char *message)
{
    if (!faulty || faulty->kind != LIST)
        return check_key_place(up->node, faulty ? faulty->key : "url");
    const struct config_strings *list = (const void *)((const char *)up + faulty->ours);
    const char *quoted = message + strcspn(message, "'");
    for (size_t i = 0; quoted[0] && i < list->count; i++) {
        size_t length = strlen(list->items[i]);
        if (!strncmp(quoted + 1, list->items[i], length) && quoted[1 + length] == '\'')
            return check_item_place(node_get(up->node, faulty->key), i);
    }
    return check_key_place(up->node, faulty->key);
}

static void tell(struct faults *f, const struct place *place, const struct privy_error *error)
{
    if (error->status == PRIVY_ENOMEM)
        faults_no_memory(f, "privydnsd");
    else
        faults_error(f, place, "%s", error->message);
}

/* One of those chosen at build time: a small build may lack its protocol. */
static bool is_built_in(const struct config_upstream *up)
{
    return !check_key_place(up->node, "url").source;
}

/* The library tells its first fault only: forget the option at fault and ask again, so that all are
 * told. A set with a fault is never used. */
static bool add_upstream(struct privy_upstreams *set, const struct config_upstream *up,
                         struct faults *f)
{
    struct privy_upstream_options o;
    const struct mapping *faulty = mappings;
    fill(up, &o);
    for (size_t i = 0; faulty && i <= MAPPINGS; i++) {
        struct privy_error error;
        if (privy_upstreams_add(set, up->url, &o, &error) == PRIVY_OK)
            return true;
        if (error.status == PRIVY_EUNSUPPORTED && is_built_in(up))
            return false;
        faulty = mapping_of(error.message);
        struct place place = faulty_place(up, faulty, error.message);
        tell(f, &place, &error);
        if (faulty)
            forget(&o, faulty);
        if (!up->url && !o.provider_name)
            break; /* nothing is left to know it by */
    }
    return false;
}

/* ---- pools ---- */

struct matches {
    const char *protocol;
    unsigned count;
};

static void count_match(void *arg, const struct privy_upstream_stats *stats)
{
    struct matches *m = arg;
    m->count +=
        !strcmp(m->protocol, "mtls") ? stats->client_auth : !strcmp(m->protocol, stats->protocol);
}

static void check_filter(const struct config_pool *pool, struct faults *f)
{
    struct matches m = {.protocol = pool->protocol};
    struct place place = check_key_place(pool->node, "protocol");
    privy_upstreams_stats(pool->set, count_match, &m);
    if (strcmp(pool->protocol, "any") && !m.count)
        faults_error(f, &place, "protocol: no upstream of pool '%s' speaks %s", pool->name,
                     pool->protocol);
}

static void make_pool(const struct config *c, struct config_pool *pool,
                      const struct config *previous, struct faults *f)
{
    struct privy_upstreams_options o = {.size = sizeof o,
                                        .pool = pool->name,
                                        .protocol = pool->protocol,
                                        .pool_options = pool->options,
                                        .bootstrap = c->bootstrap_set};
    const struct config_pool *before = previous ? config_find_pool(previous, pool->name) : NULL;
    struct privy_upstreams *old = before ? before->set : NULL;
    struct privy_error error;
    size_t errors = f->errors, count = 0;
    if (privy_upstreams_new(old, &o, &pool->set, &error)) {
        struct place place = check_key_place(pool->node, "protocol");
        tell(f, &place, &error);
        o.protocol = NULL; /* to hear of the upstreams' faults too */
        if (privy_upstreams_new(old, &o, &pool->set, &error))
            return;
    }
    for (size_t i = 0; i < pool->upstream_count; i++) {
        const struct config_upstream *up = &pool->upstreams[i];
        check_private(c, up, "client_key", up->client_key, f);
        check_private(c, up, "client_key_passphrase_file", up->client_key_passphrase_file, f);
        if (up->url || up->provider_name)
            count += add_upstream(pool->set, up, f);
    }
    if (!count && pool->upstream_count && is_built_in(pool->upstreams))
        faults_error(f, &(struct place){.source = "privydnsd"},
                     "this build speaks the protocol of none of its built-in upstreams: name "
                     "others in pools.%s.upstreams",
                     pool->name);
    if (f->errors == errors && o.protocol)
        check_filter(pool, f);
}

/* ---- bootstrap ---- */

/* False: the set is no larger than before. */
static bool add_bootstrap(struct config *c, size_t i, struct faults *f)
{
    const char *url = c->bootstrap.items[i];
    struct place place = check_item_place(node_get(c->tree, "bootstrap"), i);
    struct pv_addr addr;
    struct privy_error error;
    if (strstr(url, "://") && !check_is_stamp(url) && !check_host_address(url, &addr)) {
        faults_error(f, &place,
                     "bootstrap: '%.200s' needs an address for a host, as in "
                     "tls://9.9.9.9#dns.quad9.net",
                     url);
        return false;
    }
    enum privy_status status = privy_upstreams_add(c->bootstrap_set, url, NULL, &error);
    if (status == PRIVY_EUNSUPPORTED && !node_get(c->tree, "bootstrap"))
        return false;
    if (status == PRIVY_EPERM)
        faults_error(f, &place, "bootstrap: '%.200s' is not encrypted", url);
    else if (status == PRIVY_ENOMEM)
        faults_no_memory(f, "privydnsd");
    else if (status)
        faults_error(f, &place, "bootstrap: %s",
                     strncmp(error.message, "url: ", 5) ? error.message : error.message + 5);
    return status == PRIVY_OK;
}

/* Of a build without the protocol of the built-in ones nobody may hear: who needs them will. */
static void make_bootstrap(struct config *c, const struct config *previous, struct faults *f)
{
    struct privy_upstreams_options o = {.size = sizeof o, .pool = "bootstrap"};
    struct faults unheard = {0};
    struct faults *heard = node_get(c->tree, "bootstrap") ? f : &unheard;
    unsigned count = 0;
    struct privy_error error;
    privy_pool_options_default(&o.pool_options);
    if (privy_upstreams_new(previous ? previous->bootstrap_set : NULL, &o, &c->bootstrap_set,
                            &error))
        tell(f, &(struct place){.source = "bootstrap"}, &error);
    for (size_t i = 0; c->bootstrap_set && i < c->bootstrap.count; i++)
        count += add_bootstrap(c, i, heard);
    if (unheard.errors || !count) {
        privy_upstreams_unref(c->bootstrap_set);
        c->bootstrap_set = NULL;
    }
    if (unheard.no_memory)
        faults_no_memory(f, "privydnsd");
    faults_done(&unheard);
}

void check_upstreams(struct config *c, const struct config *previous, struct faults *f)
{
    make_bootstrap(c, previous, f);
    for (size_t i = 0; i < c->pool_count; i++)
        make_pool(c, &c->pools[i], previous, f);
}
