#include "config/schema.h"

#include "config/config.h"
#include "config/fault.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

const char schema_built_in_upstreams[] = PRIVYDNS_DEFAULT_UPSTREAMS;

/* ---- words ---- */

static const struct schema_word persist_words[] = {
    {"off", PERSIST_OFF}, {"memory", PERSIST_MEMORY}, {"disk", PERSIST_DISK}, {NULL, 0}};
static const struct schema_word any_words[] = {
    {"forward", ANY_FORWARD}, {"hinfo", ANY_HINFO}, {"refuse", ANY_REFUSE}, {NULL, 0}};
static const struct schema_word target_words[] = {
    {"auto", TARGET_AUTO}, {"syslog", TARGET_SYSLOG}, {"stderr", TARGET_STDERR}, {NULL, 0}};
static const struct schema_word level_words[] = {
    {"error", PRIVY_LOG_ERROR}, {"warning", PRIVY_LOG_WARNING}, {"notice", PRIVY_LOG_NOTICE},
    {"info", PRIVY_LOG_INFO},   {"debug", PRIVY_LOG_DEBUG},     {NULL, 0}};
static const struct schema_word facility_words[] = {{"daemon", LOG_DAEMON},
                                                    {"user", LOG_USER},
                                                    {"auth", LOG_AUTH},
                                                    {"authpriv", LOG_AUTHPRIV},
                                                    {"local0", LOG_LOCAL0},
                                                    {"local1", LOG_LOCAL1},
                                                    {"local2", LOG_LOCAL2},
                                                    {"local3", LOG_LOCAL3},
                                                    {"local4", LOG_LOCAL4},
                                                    {"local5", LOG_LOCAL5},
                                                    {"local6", LOG_LOCAL6},
                                                    {"local7", LOG_LOCAL7},
                                                    {NULL, 0}};
static const struct schema_word sandbox_words[] = {
    {"on", SANDBOX_ON}, {"log", SANDBOX_LOG}, {"off", SANDBOX_OFF}, {NULL, 0}};
static const struct schema_word property_words[] = {
    {"dnssec", 0}, {"filter", 0}, {"nolog", 0}, {NULL, 0}};
static const struct schema_word method_words[] = {{"post", 0}, {"get", 0}, {"auto", 0}, {NULL, 0}};
static const struct schema_word tls_words[] = {{"1.2", 0}, {"1.3", 0}, {NULL, 0}};

/* ---- checks: what a text is not ---- */

static const char *check_name(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._-";
    size_t length = strlen(text);
    if (length && length < 64 && strspn(text, allowed) == length && text[0] != '-')
        return NULL;
    return "a name: 1 to 63 letters, digits, '.', '_' and '-'";
}

static const char *check_some(const char *text)
{
    return text[0] ? NULL : "allowed: it may not be empty";
}

static const char *check_address(const char *text)
{
    struct pv_addr addr;
    if (pv_addr_parse(text, strlen(text), 1, &addr) && pv_addr_port(&addr))
        return NULL;
    return "an address, such as 192.0.2.1, 192.0.2.1:853 or [2001:db8::1]:853";
}

static const char *check_http(const char *text)
{
    struct pv_addr addr;
    if (!text[0] || (pv_addr_parse(text, strlen(text), 0, &addr) && pv_addr_port(&addr)))
        return NULL;
    return "ADDRESS:PORT, such as 127.0.0.1:8053, or \"\" for none";
}

static const char *check_key(const char *text)
{
    unsigned digits = 0;
    for (; *text; text++) {
        if (!isxdigit((unsigned char)*text) && *text != ':')
            digits = 65;
        digits += *text != ':';
    }
    return digits == 64 ? NULL : "a public key: 64 hexadecimal digits, colons allowed";
}

/* ---- the table ---- */

/* A library option is its row in privydns/options.h, mounted below a key. */
#define CACHE_ROW(name, unit, lo, hi, def, text)                                                   \
    {"cache." #name, unit, offsetof(struct config, cache.name), lo, hi, def, .meaning = text},
#define QUERY_ROW(name, unit, lo, hi, def, text)                                                   \
    {"query." #name, unit, offsetof(struct config, query.name), lo, hi, def, .meaning = text},
#define LIMIT_ROW(name, unit, lo, hi, def, text)                                                   \
    {"limits." #name, unit, offsetof(struct config, limits.name), lo, hi, def, .meaning = text},
#define POOL_ROW(name, unit, lo, hi, def, text)                                                    \
    {#name, unit, offsetof(struct config_pool, options.name), lo, hi, def, .meaning = text},
#define AT(member)          .offset = offsetof(struct config, member)
#define IN_POOL(member)     .offset = offsetof(struct config_pool, member)
#define IN_UPSTREAM(member) .offset = offsetof(struct config_upstream, member)
#define IN_ROUTE(member)    .offset = offsetof(struct config_route, member)
#define FLAG                .type = PRIVY_UNIT_BOOL, .most = 1
#define WORD(list)          .type = TYPE_WORD, .words = list

/* clang-format off */
static const struct schema_row top_rows[] = {
    {"listen", TYPE_ADDRS, AT(listen), .text = "127.0.0.1:53,[::1]:53",
     .meaning = "addresses to answer on, each over UDP and TCP"},
    {"allow", TYPE_PREFIXES, AT(allow), .text = "127.0.0.0/8,::1/128",
     .meaning = "who may ask; anybody else gets REFUSED"},
    {"freebind", FLAG, AT(freebind),
     .meaning = "bind addresses that the machine does not have yet"},
    {"workers", TYPE_COUNT_AUTO, AT(workers), .least = 1, .most = 64, .preset = 1,
     .meaning = "threads that answer; auto is one per CPU"},
    {"user", TYPE_TEXT, AT(user), .text = "privydns", .check = check_name,
     .meaning = "whom to become after binding, when started as root"},
    {"pools", TYPE_POOLS, AT(pools),
     .meaning = "named groups of upstreams; `default` takes what no route takes"},
    {"routes", TYPE_ROUTES, AT(routes),
     .meaning = "zones that another pool answers; the longest zone wins"},
    {"special", FLAG, AT(special), .preset = 1,
     .meaning = "answer special-use names here (localhost, .onion, private reverse zones ...)"},
    {"bootstrap", TYPE_TEXTS, AT(bootstrap), .text = PRIVYDNS_DEFAULT_UPSTREAMS, .example = "[\"tls://9.9.9.9#dns.quad9.net\"]",
     .check = check_some,
     .meaning = "asked only for the addresses of upstreams; URLs with addresses, encrypted"},
    PRIVY_CACHE_OPTIONS(CACHE_ROW)
    {"cache.persist", WORD(persist_words), AT(persist), .preset = PERSIST_MEMORY, .later = "off",
     .meaning = "keep the cache over a restart: in memory that the service manager holds, or on disk in state_dir"},
    PRIVY_QUERY_OPTIONS(QUERY_ROW)
    {"query.edns_size", PRIVY_UNIT_COUNT, AT(edns_size), .least = 512, .most = 4096,
     .preset = 1232, .meaning = "largest UDP answer to a client, in octets"},
    {"query.any", WORD(any_words), AT(any), .preset = ANY_FORWARD,
     .meaning = "what becomes of a question of type ANY"},
    PRIVY_LIMIT_OPTIONS(LIMIT_ROW)
    {"limits.tcp_clients", PRIVY_UNIT_COUNT, AT(tcp_clients), .least = 1, .most = 100000,
     .preset = 256, .meaning = "TCP connections of clients, at most"},
    {"limits.tcp_per_client", PRIVY_UNIT_COUNT, AT(tcp_per_client), .least = 1, .most = 100000,
     .preset = 32, .meaning = "the same for one client address that is not loopback"},
    {"limits.tcp_idle", PRIVY_UNIT_MS, AT(tcp_idle), .least = 100, .most = 600000,
     .preset = 10000, .meaning = "a client's TCP connection without a question is closed after this"},
    {"log.target", WORD(target_words), AT(log.target), .preset = TARGET_AUTO,
     .meaning = "auto: stderr on a terminal, under systemd or without /dev/log; else syslog"},
    {"log.level", WORD(level_words), AT(log.level), .preset = PRIVY_LOG_NOTICE,
     .meaning = "the least important lines that are written"},
    {"log.facility", WORD(facility_words), AT(log.facility), .preset = LOG_DAEMON,
     .meaning = "the facility of syslog"},
    {"log.queries", FLAG, AT(log.queries), .meaning = "write the names that clients ask for"},
    {"control", TYPE_PATH, AT(control), .text = "/run/privydns/control.sock", .later = "",
     .meaning = "socket of privydnsctl; \"\" is none"},
    {"http", TYPE_TEXT, AT(http), .text = "", .check = check_http, .later = "",
     .meaning = "ADDRESS:PORT of metrics, health and the status page; \"\" is none"},
    {"state_dir", TYPE_PATH, AT(state_dir), .text = "/var/lib/privydns",
     .meaning = "where what must outlive a restart is kept (the last good time); \"\" is nowhere"},
    {"sandbox", WORD(sandbox_words), AT(sandbox), .preset = SANDBOX_ON, .later = "off",
     .meaning = "give up system calls and files that are not needed; log: only say what would be refused"},
};

static const struct schema_row pool_rows[] = {
    PRIVY_POOL_OPTIONS(POOL_ROW)
    {"protocol", TYPE_TEXT, IN_POOL(protocol), .text = "any", .check = check_some,
     .meaning = "any, or a protocol word: use only those upstreams"},
    {"upstreams", TYPE_UPSTREAMS, IN_POOL(upstreams),
     .meaning = "whom to ask: URLs, or maps of the keys below"},
};

static const struct schema_row upstream_rows[] = {
    {"url", TYPE_TEXT, IN_UPSTREAM(url), .check = check_some, .example = "tls://dns.example.net",
     .meaning = "where it is: tls://HOST[:853][#NAME], https://HOST[:443]/PATH, sdns://...; udp:// and tcp:// in a plaintext pool"},
    {"name", TYPE_TEXT, IN_UPSTREAM(name), .check = check_name, .example = "example",
     .meaning = "what logs and metrics call it; default: its host, a second one host-2"},
    {"operator", TYPE_TEXT, IN_UPSTREAM(operator_name), .check = check_name, .example = "example",
     .meaning = "who runs it; default: the site of its host"},
    {"properties", TYPE_TEXTS, IN_UPSTREAM(properties), .words = property_words,
     .example = "[dnssec, filter]",
     .meaning = "what it does to answers: dnssec (validates), filter (blocks), nolog"},
    {"addresses", TYPE_TEXTS, IN_UPSTREAM(addresses), .check = check_address,
     .example = "[192.0.2.1, \"2001:db8::1\"]", .meaning = "its addresses; then nothing needs looking up"},
    {"method", TYPE_TEXT, IN_UPSTREAM(method), .words = method_words, .example = "auto",
     .meaning = "how https:// is asked: post (default), get, or auto: get where post is refused"},
    {"client_cert", TYPE_PATH, IN_UPSTREAM(client_cert), .check = check_some,
     .example = "corp.crt", .meaning = "our certificate and its chain, PEM; read again when it changes"},
    {"client_key", TYPE_PATH, IN_UPSTREAM(client_key), .check = check_some, .example = "corp.key",
     .meaning = "its private key, PEM; refused when others can read it"},
    {"client_key_passphrase_file", TYPE_PATH, IN_UPSTREAM(client_key_passphrase_file),
     .check = check_some, .example = "corp.pass",
     .meaning = "first line: what unlocks the key; refused when others can read it"},
    {"ca_file", TYPE_PATH, IN_UPSTREAM(ca_file), .check = check_some, .example = "corp-ca.pem",
     .meaning = "authorities to trust instead of the system's, PEM"},
    {"tls_name", TYPE_TEXT, IN_UPSTREAM(tls_name), .check = check_some,
     .example = "resolver.example.net", .meaning = "the name in its certificate; default: the URL's"},
    {"tls_min", TYPE_TEXT, IN_UPSTREAM(tls_min), .words = tls_words, .example = "\"1.3\"",
     .meaning = "lowest version of TLS; default 1.2, or 1.3 with a client certificate"},
    {"pins", TYPE_TEXTS, IN_UPSTREAM(pins), .check = check_some,
     .example = "[\"sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"]",
     .meaning = "public keys of which one must be in its verified chain"},
    {"relays", TYPE_TEXTS, IN_UPSTREAM(relays), .check = check_some,
     .example = "[\"sdns://gQ0xOTIuMC4yLjE6NDQz\"]",
     .meaning = "DNSCrypt: stamps of relays; it is reached through one of these, never directly"},
    {"ephemeral_keys", FLAG, IN_UPSTREAM(ephemeral_keys),
     .meaning = "DNSCrypt: a new key of ours for each question"},
    {"provider_name", TYPE_TEXT, IN_UPSTREAM(provider_name), .check = check_some,
     .example = "2.dnscrypt-cert.example.net",
     .meaning = "DNSCrypt without a stamp: the provider's name; needs provider_key and addresses"},
    {"provider_key", TYPE_TEXT, IN_UPSTREAM(provider_key), .check = check_key,
     .example = "79b5562e8fe654f94078b112e8a98ba7901f853ae695bed7e0e3910bad049664",
     .meaning = "DNSCrypt: the provider's public key"},
    {"allow_xsalsa", FLAG, IN_UPSTREAM(allow_xsalsa),
     .meaning = "DNSCrypt: use the older cipher too, where a server has no other"},
};

static const struct schema_row route_rows[] = {
    {"zones", TYPE_ZONES, IN_ROUTE(zones), .example = "[corp.example, 2.0.192.in-addr.arpa]",
     .meaning = "names, each with all below it"},
    {"pool", TYPE_TEXT, IN_ROUTE(pool_name), .check = check_name, .example = "office",
     .meaning = "who answers them"},
};
/* clang-format on */

#define ROWS(table) table, sizeof table / sizeof *table
const struct schema_scope schema_top = {"configuration", ROWS(top_rows)};
const struct schema_scope schema_pool = {"pool", ROWS(pool_rows)};
const struct schema_scope schema_upstream = {"upstream", ROWS(upstream_rows)};
const struct schema_scope schema_route = {"route", ROWS(route_rows)};

/* ---- looking things up ---- */

const struct schema_row *schema_find(const struct schema_scope *scope, const char *path)
{
    schema_each (row, scope)
        if (!strcmp(row->path, path))
            return row;
    return NULL;
}

bool schema_is_group(const struct schema_scope *scope, const char *path)
{
    size_t length = strlen(path);
    schema_each (row, scope)
        if (!strncmp(row->path, path, length) && row->path[length] == '.')
            return true;
    return false;
}

struct level {
    const struct schema_scope *scope;
    size_t skip; /* of a path: the group and its dot */
    const char *group;
    char word[64];
};

/* The i-th key of one level; a group stands there once for each of its rows, which is harmless. */
static const char *level_word(void *arg, size_t i)
{
    struct level *level = arg;
    schema_each (row, level->scope) {
        bool inside = !level->skip || (!strncmp(row->path, level->group, level->skip - 1) &&
                                       row->path[level->skip - 1] == '.');
        if (inside && !i--) {
            const char *key = row->path + level->skip;
            snprintf(level->word, sizeof level->word, "%.*s", (int)strcspn(key, "."), key);
            return level->word;
        }
    }
    return NULL;
}

const char *schema_nearest(const struct schema_scope *scope, const char *group, const char *key,
                           char out[SCHEMA_KEY])
{
    struct level level = {scope, group[0] ? strlen(group) + 1 : 0, group, ""};
    return nearest_word(key, level_word, &level, out);
}

const char *schema_variable(const struct schema_row *row, char out[SCHEMA_VARIABLE])
{
    size_t n = (size_t)snprintf(out, SCHEMA_VARIABLE, "PRIVYDNS_%s", row->path);
    for (size_t i = 0; i < n; i++)
        out[i] = out[i] == '.' ? '_' : (char)toupper((unsigned char)out[i]);
    return out;
}
