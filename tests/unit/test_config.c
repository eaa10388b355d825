/* The configuration of privydnsd: each kind of fault with its place and words; what comes over
 * what; what is printed loads back to the same. */
#include "unit.h"

#include "config_file.h"

/* ---- faults ---- */

static void syntax(void **state)
{
    (void)state;
    expect_faults("a: [1\n", "privydns.yaml:2:1: did not find expected ',' or ']' while parsing a "
                             "flow sequence\n");
    expect_faults("- a\n", "privydns.yaml:1:1: this is not a map of keys ('key: value')\n");
    expect_faults("workers: 1\n---\nworkers: 2\n",
                  "privydns.yaml:2:1: a second document ('---') is not allowed\n");
    expect_faults("workers: &x 1\n", "privydns.yaml:1:10: anchors (&x) are not allowed; write the "
                                     "value itself\n");
    expect_faults("workers: *x\n", "privydns.yaml:1:10: aliases (*x) are not allowed; write the "
                                   "value itself\n");
    expect_faults("workers: !x 1\n",
                  "privydns.yaml:1:10: tags (!x) are not allowed; write the value alone\n");
    expect_faults("user: \"a\\0b\"\n", "privydns.yaml:1:7: a NUL character is not allowed\n");
    expect_faults("workers: 1\nfreebind: no\nworkers: 2\n",
                  "privydns.yaml:3:1: key 'workers' is already given in line 1\n");
    expect_faults("listen: [[[[[[[[1]]]]]]]]\n",
                  "privydns.yaml:1:10: listen: found a list; a single value is needed\n"
                  "privydns.yaml:1:16: nested deeper than 8 levels\n");
}

/* A file of the size allowed may be nothing but faults: told in a moment, on one screen or two. */
static void O16_bombs(void **state)
{
    enum { BRACKETS = 100000, KEYS = 250 };
    char *text = malloc(BRACKETS + 1), *at = text;
    struct faults faults = {0};
    (void)state;
    assert_non_null(text);
    memset(text, '[', BRACKETS);
    memcpy(text, "a: ", 3);
    text[BRACKETS] = '\0';
    expect_faults(text, "privydns.yaml:1:11: nested deeper than 8 levels\n");
    for (unsigned i = 0; i < KEYS; i++)
        at += sprintf(at, "k%u: 1\n", i);
    write_file("privydns.yaml", text);
    free(text);
    assert_null(load(NULL, &faults));
    assert_int_equal(faults.count, FAULTS_MAX);
    assert_int_equal(faults.errors, FAULTS_MAX);
    assert_true(faults.more);
    faults_done(&faults);
}

static void quotes(void **state)
{
    (void)state;
    expect_faults("listen: [::1]:53\n",
                  "privydns.yaml:1:9: [::1]:53 is a list to YAML; quote it: \"[::1]:53\"\n");
    expect_faults("listen:\n  - 127.0.0.1:53\n  - [::1]:53\n",
                  "privydns.yaml:3:5: [::1]:53 is a list to YAML; quote it: \"[::1]:53\"\n");
    expect_faults("pools: {default: {upstreams: [tls://[2620:fe::fe]:853]}}\n",
                  "privydns.yaml:1:31: tls://[2620:fe::fe]:853 is a list to YAML; quote it: "
                  "\"tls://[2620:fe::fe]:853\"\n");
}

static void unreadable(void **state)
{
    struct options options = {0};
    char *big = malloc(300 * 1024);
    (void)state;
    assert_non_null(big);
    memset(big, '#', 300 * 1024 - 1);
    big[300 * 1024 - 1] = '\0';
    expect_faults(big, "privydns.yaml: larger than 256 KiB\n");
    free(big);
    expect_faults("user: \xff\n", "privydns.yaml: not a text file in UTF-8: invalid leading UTF-8 "
                                  "octet at octet 6\n");
    assert_int_equal(unlink(file), 0);
    expect_with(&options, false, "privydns.yaml: cannot be read: No such file or directory\n");
    assert_int_equal(mkdir(file, 0700), 0);
    expect_with(&options, false, "privydns.yaml: cannot be read: Is a directory\n");
    assert_int_equal(rmdir(file), 0);
}

static void keys(void **state)
{
    (void)state;
    expect_faults("quary: 1\nzebra: 1\n",
                  "privydns.yaml:1:1: unknown key 'quary' in configuration; "
                  "did you mean 'query'?\n"
                  "privydns.yaml:2:1: unknown key 'zebra' in "
                  "configuration\n");
    expect_faults("query: {deadlin: 5s}\n",
                  "privydns.yaml:1:9: unknown key 'deadlin' in query; did "
                  "you mean 'deadline'?\n");
    expect_faults("query.deadline: 5s\n",
                  "privydns.yaml:1:1: unknown key 'query.deadline' in configuration\n");
    expect_faults("query: 5\n",
                  "privydns.yaml:1:8: query: found a single value; a map is needed\n");
    expect_faults("workers: [1]\n",
                  "privydns.yaml:1:10: workers: found a list; a single value is needed\n");
    expect_faults("workers:\n",
                  "privydns.yaml:1:9: workers: has no value; a single value is needed\n");
    expect_faults("pools: {default: {upstreams: [{urll: tls://9.9.9.9}]}}\n",
                  "privydns.yaml:1:31: url: missing; an upstream needs one\n"
                  "privydns.yaml:1:32: unknown key 'urll' in upstream; did you mean 'url'?\n");
}

static void values(void **state)
{
    (void)state;
    expect_faults("query: {deadline: 5}\n", "privydns.yaml:1:19: query.deadline: '5' is not a "
                                            "duration, such as 500ms, 5s, 10m, 1h or 1d\n");
    expect_faults("query: {deadline: 31s}\n", "privydns.yaml:1:19: query.deadline: 31s is out of "
                                              "bounds; allowed: 100ms to 30s\n");
    expect_faults("query: {deadline: 99999999999999999999d}\n",
                  "privydns.yaml:1:19: query.deadline: 99999999999999999999d is out of bounds; "
                  "allowed: 100ms to 30s\n");
    expect_faults("query: {tries: -1, hedge: 0, hedge_budget: 5}\n",
                  "privydns.yaml:1:16: query.tries: '-1' is not a whole number\n"
                  "privydns.yaml:1:27: query.hedge: 0 is out of bounds; allowed: auto, or 1ms to "
                  "10s\n"
                  "privydns.yaml:1:44: query.hedge_budget: '5' is not a percentage, such as 5%\n");
    expect_faults("cache: {size: 32MB, prefetch: maybe}\n",
                  "privydns.yaml:1:15: cache.size: '32MB' is not a size, such as 64KiB or 32MiB\n"
                  "privydns.yaml:1:31: cache.prefetch: 'maybe' is not true or false\n");
    expect_faults("workers: 65\n",
                  "privydns.yaml:1:10: workers: 65 is out of bounds; allowed: auto, or 1 to 64\n");
    expect_faults("log: {level: notise}\n",
                  "privydns.yaml:1:14: log.level: 'notise' is not error, warning, notice, info or "
                  "debug; did you mean 'notice'?\n");
    expect_faults("user: a b\n", "privydns.yaml:1:7: user: 'a b' is not a name: 1 to 63 letters, "
                                 "digits, '.', '_' and '-'\n");
    expect_faults("state_dir: \"a\\nb\"\n",
                  "privydns.yaml:1:12: state_dir: control characters are not allowed\n");
}

static void addresses(void **state)
{
    (void)state;
    expect_faults("listen: [localhost, 127.0.0.1:53, 127.0.0.1]\n",
                  "privydns.yaml:1:10: listen: 'localhost' is not an address, such as 127.0.0.1, "
                  "127.0.0.1:53 or \"[::1]:53\"\n"
                  "privydns.yaml:1:35: listen: 127.0.0.1:53 is given twice\n");
    expect_faults("listen: []\n", "privydns.yaml:1:9: listen: no address to answer on\n");
    expect_faults("listen: 127.0.0.1\nallow: [10.0.0.1/8]\n",
                  "privydns.yaml:2:9: allow: '10.0.0.1/8' is not an address or prefix, such as "
                  "192.0.2.0/24 or \"2001:db8::/32\" (no bits set behind the prefix)\n");
    expect_warnings("listen: 192.0.2.1\nallow: [127.0.0.0/8, 0.0.0.0/0]\n",
                    "privydns.yaml:2:22: warning: allow: answers the whole world; such resolvers "
                    "are misused for attacks on others\n");
}

static void upstreams(void **state)
{
    (void)state;
    expect_faults(
        "pools:\n  default:\n    upstreams:\n      - udp://192.0.2.1\n",
        "privydns.yaml:4:9: url: udp:// is not encrypted: allowed only where the pool says "
        "`plaintext: true`\n");
    expect_faults("pools: {default: {upstreams: [{url: tls://9.9.9.9, pins: [x], tls_min: 1}]}}\n",
                  "privydns.yaml:1:59: pins: 'x' is not sha256/ and the base64 of 32 octets (44 "
                  "letters)\n"
                  "privydns.yaml:1:72: tls_min: '1' is not 1.2 or 1.3\n");
    expect_faults("pools: {default: {upstreams: []}, a: {}}\n",
                  "privydns.yaml:1:30: upstreams: empty; pool 'default' needs some\n"
                  "privydns.yaml:1:35: upstreams: missing; pool 'a' needs some\n");
    expect_faults("pools: {default: {upstreams: [{url: tls://9.9.9.9, name: a}, {url: "
                  "tls://9.9.9.10, name: a}]}}\n",
                  "privydns.yaml:1:90: name: 'a' is already the name of the upstream at "
                  "privydns.yaml:1:58\n");
    expect_faults("pools: {default: {upstreams: [{url: tls://9.9.9.9, properties: [dnsec], "
                  "addresses: [x]}]}}\n",
                  "privydns.yaml:1:65: properties: 'dnsec' is not dnssec, filter or nolog; did you "
                  "mean 'dnssec'?\n"
                  "privydns.yaml:1:85: addresses: 'x' is not an address, such as 192.0.2.1, "
                  "192.0.2.1:853 or [2001:db8::1]:853\n");
    expect_warnings(
        "pools: {default: {upstreams: [tls://9.9.9.9, {url: tls://9.9.9.10, properties: "
        "filter}]}}\n",
        "privydns.yaml:1:80: warning: pool 'default' mixes upstreams with and without "
        "dnssec or filter; when one says SERVFAIL or REFUSED only those with the same "
        "are asked instead\n");
}

static void protocols(void **state)
{
    (void)state;
    char expected[512] = "privydns.yaml:1:29: protocol: this build has no 'dott'; allowed: any";
    for (unsigned i = 0; privy_protocols(i); i++)
        strcat(strcat(expected, ", "), privy_protocols(i));
    strcat(expected, "; did you mean 'dot'?\n");
    expect_faults("pools: {default: {protocol: dott}}\n", expected);
    strcat(expected, "privydns.yaml:1:47: url: 'tls://:1' has no host: expected SCHEME://HOST, for "
                     "example tls://9.9.9.9#dns.quad9.net\n");
    expect_faults("pools: {default: {protocol: dott, upstreams: ['tls://:1']}}\n", expected);
    expect_faults("pools: {default: {protocol: do53, upstreams: tls://9.9.9.9}}\n",
                  "privydns.yaml:1:29: protocol: no upstream of pool 'default' speaks do53\n");
    expect_faults("pools: {default: {upstreams: {url: tls://9.9.9.9}}}\n",
                  "privydns.yaml:1:30: upstreams: found a map; a list is needed\n");
    expect_faults("pools: {default: {upstreams: [{url: tls://9.9.9.9, method: get, "
                  "allow_xsalsa: true, ephemeral_keys: false}]}}\n",
                  "privydns.yaml:1:60: method: dot has no methods\n"
                  "privydns.yaml:1:79: allow_xsalsa: dot is not DNSCrypt\n");
    expect_faults("pools: {default: {plaintext: true, upstreams: [{url: udp://9.9.9.9, ca_file: "
                  "/nowhere}]}}\n",
                  "privydns.yaml:1:78: ca_file: do53 has no TLS\n");
}

static void loops(void **state)
{
    (void)state;
    expect_faults("listen: 127.0.0.1\npools: {default: {plaintext: true, upstreams: "
                  "udp://127.0.0.1}}\n",
                  "privydns.yaml:2:47: url: 127.0.0.1:53 is where this daemon listens: a loop\n");
    expect_faults("listen: 0.0.0.0:5300\npools: {default: {plaintext: true, upstreams: "
                  "['tcp://127.9.9.9:5300']}}\n",
                  "privydns.yaml:2:48: url: 127.9.9.9:5300 is where this daemon listens: a loop\n");
    expect_faults("listen: '[::1]:53'\npools: {default: {upstreams: [{url: tls://a.example, "
                  "addresses: [192.0.2.1, '[::1]:53']}]}}\n",
                  "privydns.yaml:2:77: addresses: [::1]:53 is where this daemon listens: a loop\n");
    write_file("privydns.yaml", "listen: 127.0.0.1\npools: {default: {plaintext: true, upstreams: "
                                "[udp://127.0.0.1:54, tls://127.0.0.1]}}\n");
    config_unref(must_load(NULL));
}

static void routes(void **state)
{
    (void)state;
    expect_faults(
        "routes:\n  - {zones: [corp.example, a..b, CORP.example.], pool: defalt}\n  - {}\n",
        "privydns.yaml:2:28: zones: 'a..b' is not a domain name (labels of 1 to 63 ASCII "
        "letters; \"xn--\" forms for others)\n"
        "privydns.yaml:2:34: zones: 'corp.example.' is routed already\n"
        "privydns.yaml:2:56: pool: there is no pool 'defalt'; did you mean 'default'?\n"
        "privydns.yaml:3:5: pool: missing; a route needs one\n");
    expect_faults("bootstrap: [udp://9.9.9.9, tls://dns.example, tls://9.9.9.9]\n",
                  "privydns.yaml:1:13: bootstrap: 'udp://9.9.9.9' is not encrypted\n"
                  "privydns.yaml:1:28: bootstrap: 'tls://dns.example' needs an address for a host, "
                  "as in tls://9.9.9.9#dns.quad9.net\n");
}

static void later(void **state)
{
    (void)state;
    expect_warnings("control: /run/x.sock\nhttp: 127.0.0.1:8053\nsandbox: log\ncache: {persist: "
                    "disk}\n",
                    "privydns.yaml:1:10: warning: control: not in this version\n"
                    "privydns.yaml:2:7: warning: http: not in this version\n"
                    "privydns.yaml:3:10: warning: sandbox: not in this version\n"
                    "privydns.yaml:4:18: warning: cache.persist: not in this version\n");
    expect_warnings("control: ''\nhttp: ''\nsandbox: off\ncache: {persist: off}\n", "");
    expect_faults("sandbox: maybe\nhttp: 127.0.0.1\n",
                  "privydns.yaml:1:10: sandbox: 'maybe' is not on, log or off\n"
                  "privydns.yaml:2:7: http: '127.0.0.1' is not ADDRESS:PORT, such as "
                  "127.0.0.1:8053, or \"\" for none\n");
    expect_warnings("query: {deadline: 1s}\n",
                    "privydns.yaml:1:19: warning: cache.stale_after: 1800ms is not before "
                    "query.deadline (1s): no slow answer would be replaced by an expired one\n");
    expect_faults("cache: {min_ttl: 1h, max_ttl: 1m}\n",
                  "privydns.yaml:1:18: cache.min_ttl: longer than cache.max_ttl\n");
    expect_warnings("pools: {a: {upstreams: tls://9.9.9.9}}\n",
                    "privydns.yaml:1:1: warning: pools: there is no pool 'default'; what no route "
                    "takes is asked of the built-in one, " PRIVYDNS_DEFAULT_UPSTREAMS "\n");
}

/* ---- files ---- */

static void private_files(void **state)
{
    static const char yaml[] = "pools:\n"
                               "  default:\n"
                               "    upstreams:\n"
                               "    - url: tls://9.9.9.9\n"
                               "      client_key: link.key\n"
                               "      client_cert: a.crt\n"
                               "      client_key_passphrase_file: nope\n";
    char path[192], link[192], text[4096];
    struct faults faults = {0};
    (void)state;
    write_file("a.key", "secret\n");
    snprintf(path, sizeof path, "%s/a.key", directory);
    snprintf(link, sizeof link, "%s/link.key", directory);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(symlink("a.key", link), 0);
    write_file("privydns.yaml", yaml);

    assert_null(load(NULL, &faults));
    faults_text(&faults, text, sizeof text);
    assert_non_null(strstr(text, "privydns.yaml:5:19: client_key: 'link.key' has mode 0644: others "
                                 "could read or change it; allowed: 0640 or less (chmod 0600)\n"));
    assert_non_null(strstr(text, "privydns.yaml:7:35: client_key_passphrase_file: 'nope' cannot be "
                                 "read: No such file or directory\n"));
    faults_done(&faults);

    assert_int_equal(chmod(path, 0640), 0);
    assert_null(load(NULL, &faults)); /* the passphrase is still missing */
    assert_null(strstr(faults_text(&faults, text, sizeof text), "has mode"));
    faults_done(&faults);
}

/* ---- what comes over what ---- */

static void precedence(void **state)
{
    struct options options = {.listen = {"127.0.0.9:99"}, .listen_count = 1, .verbose = 1};
    char path[192];
    (void)state;
    write_file("privydns.yaml", "workers: 2\nquery: {tries: 2, padding: 0}\nlisten: 127.0.0.2\n"
                                "allow: [10.0.0.0/8]\nlog: {level: error}\n");
    snprintf(path, sizeof path, "%s.d", file);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file("privydns.yaml.d/10.yaml", "query: {tries: 3}\nallow: [192.0.2.0/24]\n");
    write_file("privydns.yaml.d/20.yaml", "query: {tries: 5}\nspecial: off\n");
    write_file("privydns.yaml.d/30.conf", "nonsense\n");
    setenv("PRIVYDNS_WORKERS", "auto", 1);
    setenv("PRIVYDNS_LISTEN", "127.0.0.3, [::1]:54", 1);
    setenv("PRIVYDNS_UPSTREAM", "tls://192.0.2.1,tls://192.0.2.2", 1);
    setenv("PRIVYDNS_LOG_LEVEL", "warning", 1);

    struct config *c = must_load(NULL);
    assert_int_equal(c->query.tries, 5);
    assert_int_equal(c->query.padding, 0);
    assert_int_equal(c->special, 0);
    assert_int_equal(c->allow.count, 1);
    assert_int_equal(c->allow.items[0].bits, 24);
    assert_int_equal(c->workers, 0);
    assert_int_equal(c->listen.count, 2);
    assert_int_equal(pv_addr_port(&c->listen.items[1]), 54);
    assert_int_equal(c->log.level, PRIVY_LOG_WARNING);
    assert_int_equal(c->default_pool->upstream_count, 2);
    assert_string_equal(c->default_pool->upstreams[1].url, "tls://192.0.2.2");
    assert_false(c->built_in_upstreams);

    char *text = printed(c, config_print), where[128];
    snprintf(where, sizeof where, "# %s.d/20.yaml:1:16\n", file);
    assert_non_null(strstr(text, where));
    assert_non_null(strstr(text, "# PRIVYDNS_WORKERS\n"));
    assert_non_null(strstr(text, "# default\n"));
    free(text);
    config_unref(c);

    options.upstreams[options.upstream_count++] = "tls://192.0.2.3";
    c = must_load(&options);
    assert_int_equal(c->listen.count, 1);
    assert_int_equal(pv_addr_port(&c->listen.items[0]), 99);
    assert_int_equal(c->log.level, PRIVY_LOG_INFO);
    assert_int_equal(c->log.target, TARGET_STDERR);
    assert_int_equal(c->default_pool->upstream_count, 1);
    config_unref(c);
}

/* A fault counts where a later source hides it; each source has its own kind of place. */
static void faults_of_all_sources(void **state)
{
    char path[192];
    (void)state;
    write_file("privydns.yaml", "workers: 99\n");
    snprintf(path, sizeof path, "%s.d", file);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file("privydns.yaml.d/1.yaml", "workers: 2\nnope: 1\n");
    setenv("PRIVYDNS_LISTEN", "here", 1);
    setenv("PRIVYDNS_LOGLEVEL", "info", 1);
    setenv("PRIVYDNS_SERVICE_HOST", "10.0.0.1", 1);
    setenv("PRIVYDNS_USER", "\xff", 1);
    struct options options = {.upstreams = {"nothing"}, .upstream_count = 1};
    expect_with(&options, false,
                "privydns.yaml:1:10: workers: 99 is out of bounds; allowed: auto, or 1 to 64\n"
                "privydns.yaml.d/1.yaml:2:1: unknown key 'nope' in configuration\n"
                "PRIVYDNS_USER: user: not text in UTF-8\n"
                "PRIVYDNS_LOGLEVEL: warning: no such variable; did you mean PRIVYDNS_LOG_LEVEL?\n"
                "PRIVYDNS_LISTEN: listen: 'here' is not an address, such as 127.0.0.1, "
                "127.0.0.1:53 or \"[::1]:53\"\n"
                "-u: url: 'nothing' is not an upstream: expected tls://HOST or the like\n");
}

static int forget_variables(void **state)
{
    static const char *const names[] = {"WORKERS",  "LISTEN",       "UPSTREAM", "LOG_LEVEL",
                                        "LOGLEVEL", "SERVICE_HOST", "USER",     "CONFIG"};
    char name[64], command[256];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(name, sizeof name, "PRIVYDNS_%s", names[i]);
        unsetenv(name);
    }
    snprintf(command, sizeof command, "rm -rf '%s.d'", file);
    return system(command);
}

/* ---- defaults, printing, reloading ---- */

static void defaults(void **state)
{
    struct faults faults = {0};
    struct config *c = config_from_text("", 0, &faults);
    (void)state;
    assert_non_null(c);
    assert_int_equal(faults.count, 0);
    assert_int_equal(c->listen.count, 2);
    assert_int_equal(pv_addr_port(&c->listen.items[1]), 53);
    assert_int_equal(c->allow.count, 2);
    assert_int_equal(c->workers, 1);
    assert_string_equal(c->user, "privydns");
    assert_int_equal(c->query.deadline, 4500);
    assert_int_equal(c->cache.size, 32 << 20);
    assert_int_equal(c->query.size, sizeof c->query);
    assert_int_equal(c->tcp_idle, 10000);
    assert_int_equal(c->edns_size, 1232);
    assert_true(c->built_in_upstreams);
    assert_string_equal(c->default_pool->name, "default");
    config_unref(c);
}

static void C19_nobody_else_by_default(void **state)
{
    struct faults faults = {0};
    struct config *c = config_from_text("", 0, &faults);
    (void)state;
    for (size_t i = 0; i < c->listen.count; i++)
        assert_true(pv_addr_is_loopback(&c->listen.items[i]));
    for (size_t i = 0; i < c->allow.count; i++) {
        const struct pv_prefix *p = &c->allow.items[i];
        assert_true(pv_addr_is_loopback(&p->addr));
        assert_int_equal(p->bits, p->addr.sa.sa_family == AF_INET ? 8 : 128);
    }
    config_unref(c);
}

static const char everything[] =
    "listen: ['127.0.0.1:5353', '[::1]:5353']\n"
    "allow: ['2001:db8::/32']\n"
    "workers: auto\n"
    "pools:\n"
    "  null.x: {upstreams: tls://192.0.2.9}\n"
    "  default:\n"
    "    strategy: spread\n"
    "    trust_ad: yes\n"
    "    protocol: dot\n"
    "    upstreams:\n"
    "      - tls://9.9.9.9#dns.quad9.net\n"
    "      - url: tls://dns.example\n"
    "        name: 'null'\n"
    "        operator: example\n"
    "        properties: [nolog]\n"
    "        addresses: [192.0.2.1, '2001:db8::1']\n"
    "        tls_min: '1.3'\n"
    "        tls_name: other.example\n"
    "        pins: ['sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=']\n"
    "  office: {upstreams: ['udp://192.0.2.53'], plaintext: true}\n"
    "routes:\n"
    "  - {zones: ['corp.example', 'a\\.b.example', 2.0.192.in-addr.arpa], pool: office}\n"
    "bootstrap: []\n"
    "cache: {size: 64KiB, min_ttl: 0s, stale: 0, max_ttl: 90s}\n"
    "query: {deadline: 4999ms, hedge: 100ms, hedge_budget: 0%, ecs: zero, any: refuse}\n"
    "log: {target: syslog, facility: local3}\n"
    "state_dir: \"with space, \\u00fc and \\\"\"\n";

static void round_trip(void **state)
{
    (void)state;
    write_file("privydns.yaml", everything);
    struct config *c = must_load(NULL);
    assert_int_equal(c->pool_count, 3);
    assert_int_equal(c->pools[1].options.strategy, PRIVY_SPREAD);
    assert_ptr_equal(c->routes[0].pool, &c->pools[2]);
    assert_int_equal(c->routes[0].zones.items[1].length, 13);
    assert_null(c->bootstrap_set);
    char *first = printed(c, config_dump), *with_places = printed(c, config_print);
    char path[128];
    snprintf(path, sizeof path, "%s/with space", directory);
    assert_int_equal(strncmp(c->state_dir, path, strlen(path)), 0);
    config_unref(c);

    write_file("privydns.yaml", with_places);
    c = must_load(NULL);
    char *second = printed(c, config_dump);
    assert_string_equal(first, second);
    config_unref(c);
    free(first);
    free(second);
    free(with_places);
}

struct seen {
    const char *names[4]; /* borrowed of the upstream: the same pointer is the same object */
    unsigned count;
};

static void see_upstream(void *arg, const struct privy_upstream_stats *stats)
{
    struct seen *seen = arg;
    assert_true(seen->count < 4);
    seen->names[seen->count++] = stats->name;
}

/* After a reload, an upstream that did not change is the same one; what changed is not. */
static void sets(void **state)
{
    struct faults faults = {0};
    struct options options = {.config = file};
    struct seen before = {0}, after = {0};
    (void)state;
    write_file("privydns.yaml",
               "pools: {default: {upstreams: [tls://192.0.2.1, tls://192.0.2.2]}}\n");
    struct config *old = must_load(NULL);
    privy_upstreams_stats(old->default_pool->set, see_upstream, &before);
    write_file("privydns.yaml", "pools: {default: {upstreams: [{url: tls://192.0.2.2, tls_min: "
                                "'1.3'}, tls://192.0.2.1]}}\n");
    struct config *next = config_load(&options, old, &faults);
    assert_non_null(next);
    privy_upstreams_stats(next->default_pool->set, see_upstream, &after);
    assert_int_equal(before.count, 2);
    assert_int_equal(after.count, 2);
    assert_ptr_equal(after.names[1], before.names[0]);
    assert_ptr_not_equal(after.names[0], before.names[1]);
    config_unref(old);
    config_unref(config_ref(next));
    config_unref(next);
    faults_done(&faults);
}

static void chosen_file(void **state)
{
    struct faults faults = {0};
    struct options options = {0};
    (void)state;
    write_file("privydns.yaml", "workers: 7\n");
    setenv("PRIVYDNS_CONFIG", file, 1);
    struct config *c = config_load(&options, NULL, &faults);
    assert_non_null(c);
    assert_int_equal(c->workers, 7);
    config_unref(c);
    faults_done(&faults);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(syntax),
        cmocka_unit_test(O16_bombs),
        cmocka_unit_test(quotes),
        cmocka_unit_test(unreadable),
        cmocka_unit_test(keys),
        cmocka_unit_test(values),
        cmocka_unit_test(addresses),
        cmocka_unit_test(upstreams),
        cmocka_unit_test(protocols),
        cmocka_unit_test(loops),
        cmocka_unit_test(routes),
        cmocka_unit_test(later),
        cmocka_unit_test(private_files),
        cmocka_unit_test_teardown(precedence, forget_variables),
        cmocka_unit_test_teardown(faults_of_all_sources, forget_variables),
        cmocka_unit_test(defaults),
        cmocka_unit_test(C19_nobody_else_by_default),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(sets),
        cmocka_unit_test_teardown(chosen_file, forget_variables),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
