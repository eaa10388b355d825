/* The configuration of privydnsd, checks of one value against another and against the machine. */
#include "unit.h"

#include "config_file.h"

#include <ifaddrs.h>
#include <net/if.h>

static void listening(void **state)
{
    (void)state;
    expect_faults("listen: [x, y]\n",
                  "privydns.yaml:1:10: listen: 'x' is not an address, such as 127.0.0.1, "
                  "127.0.0.1:53 or \"[::1]:53\"\n"
                  "privydns.yaml:1:13: listen: 'y' is not an address, such as 127.0.0.1, "
                  "127.0.0.1:53 or \"[::1]:53\"\n");
    expect_faults("allow: []\n", "privydns.yaml:1:8: allow: nobody could ask\n");
    expect_warnings("listen: 127.0.0.1\nallow: 0.0.0.0/0\n", ""); /* on loopback it is no danger */
}

/* An address of this machine's that is no loopback one, as text; false: it has none. */
static bool own_address(char out[PV_ADDR_TEXT])
{
    struct ifaddrs *all = NULL;
    bool found = false;
    assert_int_equal(getifaddrs(&all), 0);
    for (struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
        struct pv_addr addr = {0};
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || i->ifa_flags & IFF_LOOPBACK)
            continue;
        memcpy(&addr, i->ifa_addr, sizeof addr.in);
        pv_addr_set_port(&addr, 0);
        found = pv_addr_host(&addr, out) != NULL;
    }
    freeifaddrs(all);
    return found;
}

static void loops(void **state)
{
    char yaml[256], expected[256], own[PV_ADDR_TEXT];
    (void)state;
    expect_faults("listen: 127.0.0.1\npools: {default: {plaintext: true, upstreams: "
                  "['udp://0.0.0.0']}}\n",
                  "privydns.yaml:2:48: url: 0.0.0.0:53 is where this daemon listens: a loop\n");
    expect_faults("listen: 127.0.0.1\npools: {default: {plaintext: true, upstreams: "
                  "['UDP://127.0.0.1']}}\n",
                  "privydns.yaml:2:48: url: 127.0.0.1:53 is where this daemon listens: a loop\n");
    expect_faults("listen: 127.0.0.1\npools: {default: {plaintext: true, upstreams: [{url: "
                  "'udp://[::ffff:127.0.0.1]'}]}}\n",
                  "privydns.yaml:2:54: url: [::ffff:127.0.0.1]:53 is where this daemon listens: "
                  "a loop\n");
    write_file("privydns.yaml", "listen: 0.0.0.0\nallow: 127.0.0.1\npools: {default: {plaintext: "
                                "true, upstreams: ['udp://192.0.2.254', 'tcp://[::1]']}}\n");
    config_unref(must_load(NULL));
    if (!own_address(own))
        return;
    snprintf(yaml, sizeof yaml,
             "listen: 0.0.0.0\npools: {default: {plaintext: true, upstreams: ['udp://%s']}}\n",
             own);
    snprintf(expected, sizeof expected,
             "privydns.yaml:2:48: url: %s:53 is where this daemon listens: a loop\n", own);
    expect_faults(yaml, expected);
}

static void names(void **state)
{
    (void)state;
    write_file("privydns.yaml",
               "pools: {default: {upstreams: [{url: tls://9.9.9.9, name: a}, {url: "
               "tls://9.9.9.10, name: b}, tls://9.9.9.11]}, other: {upstreams: "
               "[tls://9.9.9.12, {url: tls://9.9.9.13, name: c}]}}\n");
    config_unref(must_load(NULL));
    expect_faults("pools: {default: {upstreams: [{url: tls://9.9.9.9, name: -a}]}, '': {upstreams: "
                  "tls://9.9.9.9}}\n",
                  "privydns.yaml:1:58: name: '-a' is not a name: 1 to 63 letters, digits, '.', '_' "
                  "and '-'\n"
                  "privydns.yaml:1:65: pools: '' is not a name: 1 to 63 letters, digits, '.', '_' "
                  "and '-'\n");
    expect_faults("user: abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl\n",
                  "privydns.yaml:1:7: user: "
                  "'abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl' is not a "
                  "name: 1 to 63 letters, digits, '.', '_' and '-'\n");
}

static void shapes(void **state)
{
    (void)state;
    expect_faults("pools: {default: 5, a: {upstreams: {}}}\n",
                  "privydns.yaml:1:18: pools: found a single value; a map is needed\n"
                  "privydns.yaml:1:36: upstreams: found a map; a list is needed\n");
    expect_faults("pools: 5\nroutes: 5\n",
                  "privydns.yaml:1:8: pools: found a single value; a map is needed\n"
                  "privydns.yaml:2:9: routes: found a single value; a list is needed\n");
    expect_faults("routes: [5, {zones: [], pool: [1]}]\n",
                  "privydns.yaml:1:10: routes: found a single value; a map is needed\n"
                  "privydns.yaml:1:21: zones: a route needs some\n"
                  "privydns.yaml:1:31: pool: found a list; a single value is needed\n");
    expect_faults("pools: {default: {upstreams: [[tls://9.9.9.9], null]}}\nlisten: [[1], {a: 1}]\n",
                  "privydns.yaml:1:31: upstreams: found a list; a single value is needed\n"
                  "privydns.yaml:1:48: upstreams: has no value; a single value is needed\n"
                  "privydns.yaml:2:10: listen: found a list; a single value is needed\n"
                  "privydns.yaml:2:15: listen: found a map; a single value is needed\n");
    expect_warnings("pools:\nroutes:\nquery:\n", "");
    expect_warnings("# nothing\n", "");
    expect_warnings("\xef\xbb\xbf~\n", ""); /* a byte order mark is none of the text's */
    expect_faults("? [a]\n: 1\n? &x b\n: 1\n",
                  "privydns.yaml:1:3: a key must be a word, not a list or map\n"
                  "privydns.yaml:3:3: anchors (&x) are not allowed; write the value itself\n");
}

static void protocols(void **state)
{
    char expected[256] = "privydns.yaml:1:29: protocol: this build has no 'quic'; allowed: any";
    (void)state;
    for (unsigned i = 0; privy_protocols(i); i++)
        strcat(strcat(expected, ", "), privy_protocols(i));
    strcat(expected, "\n");
    expect_faults("pools: {default: {protocol: quic, upstreams: tls://9.9.9.9}}\n", expected);
    expect_faults("pools: {default: {protocol: mtls, upstreams: tls://9.9.9.9}}\n",
                  "privydns.yaml:1:29: protocol: no upstream of pool 'default' speaks mtls\n");
    expect_faults("routes: [{zones: a.example, pool: zzzzzzzz}]\n",
                  "privydns.yaml:1:35: pool: there is no pool 'zzzzzzzz'\n");
    expect_faults("routes: [{zones: [a.example, b.example], pool: default}, {zones: a.example, "
                  "pool: default}]\n",
                  "privydns.yaml:1:66: zones: 'a.example.' is routed already\n");
}

static bool speaks(const char *word)
{
    const char *known;
    for (unsigned i = 0; (known = privy_protocols(i)); i++)
        if (strcmp(known, word) == 0)
            return true;
    return false;
}

/* Stamps as they stand in public lists. */
#define DNSCRYPT                                                                                   \
    "sdns://AQcAAAAAAAAADjIxMi40Ny4yMjguMTM2IOgBuE6mBr-wusDOQ0RbsV66ZLAvo8SqMa4QY2oHkDJNHzIuZG5zY" \
    "3J5cHQtY2VydC5mci5kbnNjcnlwdC5vcmc"
#define DOH      "sdns://AgcAAAAAAAAABzEuMC4wLjEAEmRucy5jbG91ZGZsYXJlLmNvbQovZG5zLXF1ZXJ5"
#define FILTERED "sdns://AwMAAAAAAAAAAAATZG5zLmFkZ3VhcmQtZG5zLmNvbQ"
#define DOQ      "sdns://BAMAAAAAAAAAAAATZG5zLmFkZ3VhcmQtZG5zLmNvbQ"
#define PLAIN    "sdns://AAcAAAAAAAAABzguOC44Ljg"
#define RELAY    "sdns://gQ8xNDYuNzAuODIuMzo0NDM"
#define AT_HOME  "sdns://gQ4yMTIuNDcuMjI4LjEzNg" /* a relay with the address of DNSCRYPT */
#define KEY      "'00112233445566778899aabbccddeeff:00112233445566778899AABBCCDDEEFF'"
#define POOL(it) "pools: {default: {upstreams: [" it "]}}\n"

static void stamps(void **state)
{
    (void)state;
    write_file("privydns.yaml", POOL("'" DOH "', 'SDNS"
                                     "://AgcAAAAAAAAABzEuMC4wLjEABzEuMC4wLjEKL2Rucy1xdWVyeQ'"));
    config_unref(must_load(NULL));
    write_file("privydns.yaml", "pools: {default: {plaintext: true, upstreams: ['" PLAIN "']}}\n");
    config_unref(must_load(NULL));
    write_file("privydns.yaml", "bootstrap: ['" DOH "']\n" POOL("'" FILTERED "'"));
    config_unref(must_load(NULL));
    expect_faults(POOL("'" PLAIN "'"),
                  "privydns.yaml:1:31: url: udp:// is not encrypted: allowed only where the pool "
                  "says `plaintext: true`\n");
    expect_faults(POOL("'" DOQ "', {url: '" RELAY "', properties: [dnssec, filter]}"),
                  "privydns.yaml:1:31: url: doq is not built in\n"
                  "privydns.yaml:1:90: url: it is the stamp of a relay: name it in `relays` of a "
                  "server\n");
    expect_faults(POOL("'sdns://AAcAAAAAAAAABzguOC44Ljh'"),
                  "privydns.yaml:1:31: url: stamp: base64url tail bits: the last letter is "
                  "wrong\n");
    expect_faults("bootstrap: ['" FILTERED "']\n" POOL("'" DOH "'"),
                  "privydns.yaml:1:13: bootstrap: no address for 'dns.adguard-dns.com': give "
                  "`addresses`, or `bootstrap`\n");
    expect_faults("listen: 1.0.0.1:443\n" POOL("'" DOH "'"),
                  "privydns.yaml:2:31: url: 1.0.0.1:443 is where this daemon listens: a loop\n");
}

/* A stamp says whether it filters; what the user says goes before it. */
static void classes_of_stamps(void **state)
{
    (void)state;
    expect_warnings(
        POOL("'" DOH "', {url: '" FILTERED "', addresses: 192.0.2.1}"),
        "privydns.yaml:1:106: warning: pool 'default' mixes upstreams with and without dnssec or "
        "filter; when one says SERVFAIL or REFUSED only those with the same are asked instead\n");
    expect_warnings(POOL("'" DOH "', {url: '" FILTERED "', addresses: 192.0.2.1, properties: "
                         "dnssec}"),
                    "");
}

static void dnscrypt(void **state)
{
    (void)state;
    if (!speaks("dnscrypt")) {
        expect_faults(POOL("'" DNSCRYPT "', {provider_name: a, provider_key: " KEY
                           ", addresses: 192.0.2.1, properties: dnssec}"),
                      "privydns.yaml:1:31: url: dnscrypt is not built in\n"
                      "privydns.yaml:1:177: provider_name: DNSCrypt is not built in\n");
        return;
    }
    write_file("privydns.yaml",
               POOL("'" DNSCRYPT "', {url: '" DNSCRYPT "', relays: '" RELAY "', ephemeral_keys: "
                    "true}, {provider_name: 2.dnscrypt-cert.example.net, provider_key: " KEY
                    ", addresses: [192.0.2.7:8443, '2001:db8::7'], properties: dnssec, "
                    "allow_xsalsa: true, relays: ['" RELAY "']}"));
    config_unref(must_load(NULL));
    expect_faults(POOL("{url: '" DNSCRYPT "', relays: ['" RELAY "', '" DOH "']}"),
                  "privydns.yaml:1:210: relays: '" DOH
                  "' is not a relay's stamp: it is one of doh\n");
    expect_faults(
        POOL("{url: '" DNSCRYPT "', relays: ['sdns://gQA']}"),
        "privydns.yaml:1:176: relays: 'sdns://gQA' is not a relay's stamp: addr: empty\n");
    expect_faults(POOL("{url: '" DNSCRYPT "', relays: [x]}"),
                  "privydns.yaml:1:176: relays: 'x' is not a relay's stamp: scheme: it begins with "
                  "sdns://\n");
    expect_faults(POOL("{url: '" DNSCRYPT "', relays: ['" RELAY "', '" AT_HOME "']}"),
                  "privydns.yaml:1:175: relays: 212.47.228.136 is the server itself\n");
    expect_faults(POOL("{url: '" DNSCRYPT "', method: get, provider_name: a}"),
                  "privydns.yaml:1:175: method: dnscrypt has no methods\n"
                  "privydns.yaml:1:195: provider_name: there is a url, which says it\n");
    expect_faults(POOL("{url: '" DNSCRYPT "', pins: "
                       "['sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=']}"),
                  "privydns.yaml:1:173: pins: dnscrypt has no TLS\n");
    expect_faults(POOL("{url: '" DNSCRYPT "', ca_file: /nowhere, tls_min: '1.3', tls_name: a}"),
                  "privydns.yaml:1:176: ca_file: dnscrypt has no TLS\n"
                  "privydns.yaml:1:195: tls_min: dnscrypt has no TLS\n"
                  "privydns.yaml:1:212: tls_name: dnscrypt has no TLS\n");
    expect_faults(POOL("{provider_name: 'a b', provider_key: " KEY "}"),
                  "privydns.yaml:1:47: provider_name: 'a b' is not a name\n");
    expect_faults(
        POOL("{provider_name: a, provider_key: " KEY "}"),
        "privydns.yaml:1:31: addresses: missing: provider_name needs the server's addresses\n");
    expect_faults(POOL("{provider_name: a, addresses: 192.0.2.1}"),
                  "privydns.yaml:1:31: provider_key: missing: provider_name needs the provider's "
                  "public key\n");
}

#define NO "dot is not DNSCrypt\n"

static void dnscrypt_only(void **state)
{
    (void)state;
    expect_faults(POOL("{url: tls://9.9.9.9, relays: ['" RELAY "'], provider_key: " KEY
                       ", provider_name: a, ephemeral_keys: true, allow_xsalsa: true}"),
                  "privydns.yaml:1:60: relays: " NO
                  "privydns.yaml:1:110: provider_key: there is a url, which says it\n"
                  "privydns.yaml:1:194: provider_name: there is a url, which says it\n"
                  "privydns.yaml:1:213: ephemeral_keys: " NO
                  "privydns.yaml:1:233: allow_xsalsa: " NO);
    expect_faults(
        POOL("{url: tls://9.9.9.9, ephemeral_keys: maybe, relays: [], provider_name: ''}"),
        "privydns.yaml:1:68: ephemeral_keys: 'maybe' is not true or false\n"
        "privydns.yaml:1:102: provider_name: '' is not allowed: it may not be empty\n");
    expect_faults(
        "bootstrap: ['sdns://AQ', '', 'x']\n",
        "privydns.yaml:1:13: bootstrap: stamp: truncated: letters are missing at its end\n"
        "privydns.yaml:1:26: bootstrap: '' is not allowed: it may not be empty\n"
        "privydns.yaml:1:30: bootstrap: 'x' is not an upstream: expected tls://HOST or the like\n");
}

/* Of all sources, the last that says it counts; what has no value takes nothing away. */
static void drop_ins(void **state)
{
    char path[192];
    struct options options = {.upstreams = {"tls://192.0.2.3"}, .upstream_count = 1, .verbose = 2};
    (void)state;
    snprintf(path, sizeof path, "%s.d", file);
    write_file("privydns.yaml", "query: {tries: 2}\nworkers: 2\npools:\n");
    assert_int_equal(mkdir(path, 0700), 0);
    write_file("privydns.yaml.d/1.yaml", "query:\nworkers: 3\n");
    write_file("privydns.yaml.d/.2.yaml", "nonsense: 1\n");
    write_file("privydns.yaml.d/.yaml", "nonsense: 1\n");
    struct config *c = must_load(&options);
    assert_int_equal(c->query.tries, 2);
    assert_int_equal(c->workers, 3);
    assert_int_equal(c->log.level, PRIVY_LOG_DEBUG);
    assert_string_equal(c->default_pool->upstreams[0].url, "tls://192.0.2.3");
    config_unref(c);

    /* a flag does not mend what a file has wrong */
    write_file("privydns.yaml.d/1.yaml", "pools: {default: 5}\nquery: 7\n");
    options.upstreams[0] = "tls://\xff";
    expect_with(&options, false,
                "privydns.yaml.d/1.yaml:1:18: pools: found a single value; a map is needed\n"
                "privydns.yaml.d/1.yaml:2:8: query: found a single value; a map is needed\n"
                "-u: not text in UTF-8\n"
                "-u: url: 'tls://\\255' has a name with non-ASCII letters: write its xn-- form\n");
}

static int forget_drop_ins(void **state)
{
    char command[256];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s.d'", file);
    return system(command);
}

static void what_is_no_file(void **state)
{
    struct options options = {0};
    char path[192];
    (void)state;
    unlink(file);
    assert_int_equal(mkfifo(file, 0600), 0);
    expect_with(&options, false, "privydns.yaml: a pipe that nothing comes from\n");
    assert_int_equal(unlink(file), 0);
    write_file("privydns.yaml", "");
    snprintf(path, sizeof path, "%s.d", file);
    assert_int_equal(symlink("privydns.yaml.d", path), 0);
    expect_with(&options, false,
                "privydns.yaml.d: cannot be read: Too many levels of symbolic links\n");
}

/* Opening a pipe that nobody writes to would wait for ever. */
static void authorities_from_a_pipe(void **state)
{
    char path[192], text[4096];
    struct faults faults = {0};
    (void)state;
    write_file("privydns.yaml",
               "pools: {default: {upstreams: [{url: tls://9.9.9.9, ca_file: a.pem}]}}\n");
    snprintf(path, sizeof path, "%s/a.pem", directory);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_null(load(NULL, &faults));
    assert_non_null(strstr(faults_text(&faults, text, sizeof text), "a.pem: not a file\n"));
    faults_done(&faults);
    assert_int_equal(unlink(path), 0);
}

/* A key that is not a file of ours, or somebody else's. */
static void private_files_of_others(void **state)
{
    char path[192], text[4096];
    struct faults faults = {0};
    (void)state;
    write_file("privydns.yaml", "user: nobody\npools: {default: {upstreams: [{url: tls://9.9.9.9, "
                                "client_cert: a.crt, client_key: a.key}]}}\n");
    write_file("a.crt", "");
    snprintf(path, sizeof path, "%s/a.key", directory);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_null(load(NULL, &faults));
    assert_non_null(strstr(faults_text(&faults, text, sizeof text), "a.key' is not a file\n"));
    faults_done(&faults);
    assert_int_equal(rmdir(path), 0);
    if (geteuid() != 0)
        return; /* nobody else can give a file away */
    for (unsigned uid = 65533; uid <= 65534; uid++) {
        write_file("a.key", "");
        assert_int_equal(chmod(path, 0600), 0);
        assert_int_equal(chown(path, uid, 0), 0);
        assert_null(load(NULL, &faults));
        faults_text(&faults, text, sizeof text);
        assert_int_equal(strstr(text, "belongs to uid 65533; allowed: root or nobody\n") != NULL,
                         uid == 65533);
        faults_done(&faults);
    }
    static const struct {
        mode_t mode;
        uid_t owner;
        gid_t group;
        bool told;
    } rows[] = {{0600, 0, 0, true},
                {0640, 0, 0, true},
                {0600, 0, 65534, true},
                {0640, 0, 65534, false},
                {0600, 65534, 0, false}};
    for (unsigned k = 0; k < sizeof rows / sizeof *rows; k++) {
        assert_int_equal(chmod(path, rows[k].mode), 0);
        assert_int_equal(chown(path, rows[k].owner, rows[k].group), 0);
        assert_null(load(NULL, &faults));
        faults_text(&faults, text, sizeof text);
        assert_int_equal(strstr(text, "warning: client_key: ") != NULL, rows[k].told);
        assert_int_equal(strstr(text, "user 'nobody' cannot read it") != NULL, rows[k].told);
        faults_done(&faults);
    }
}

static void empty_variable(void **state)
{
    struct faults faults = {0};
    struct options options = {0};
    (void)state;
    setenv("PRIVYDNS_CONFIG", "", 1);
    setenv("PRIVYDNS_LISTEN", " 127.0.0.3 ,\t[::1]:54\t, ", 1);
    setenv("PRIVYDNS_PORT_53_UDP", "udp://10.0.0.1:53", 1);
    setenv("PRIVYDNS_ABSOLUTELY_NOTHING", "1", 1);
    struct config *c = config_load(&options, NULL, &faults);
    char text[4096];
    faults_text(&faults, text, sizeof text);
    assert_non_null(strstr(text, "PRIVYDNS_ABSOLUTELY_NOTHING: warning: no such variable\n"));
    assert_non_null(strstr(text, "PRIVYDNS_LISTEN: listen: '' is not an address"));
    assert_null(strstr(text, "PORT_53"));
    assert_null(c);
    faults_done(&faults);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listening),
        cmocka_unit_test(loops),
        cmocka_unit_test(names),
        cmocka_unit_test(shapes),
        cmocka_unit_test(protocols),
        cmocka_unit_test(stamps),
        cmocka_unit_test(classes_of_stamps),
        cmocka_unit_test(dnscrypt),
        cmocka_unit_test(dnscrypt_only),
        cmocka_unit_test_teardown(drop_ins, forget_drop_ins),
        cmocka_unit_test_teardown(what_is_no_file, forget_drop_ins),
        cmocka_unit_test(authorities_from_a_pipe),
        cmocka_unit_test(private_files_of_others),
        cmocka_unit_test(empty_variable),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
