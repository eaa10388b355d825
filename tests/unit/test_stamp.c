/* Stamps: every vector, and each part of each stamp cut short or changed. */
#include "unit.h"

#include "stamp_vectors.h"
#include "upstream/stamp.h"
#include "upstream/upstream.h"

#include <sodium.h>

#define VECTORS (sizeof stamp_vectors / sizeof *stamp_vectors)

static void same(const char *id, const char *part, const char *found, const char *expected)
{
    if ((found == NULL) != (expected == NULL) || (found && strcmp(found, expected) != 0))
        fail_msg("%s: %s: '%s', not '%s'", id, part, found ? found : "", expected ? expected : "");
}

static void same_bootstrap(const struct stamp_vector *v, const struct privy_stamp *s)
{
    char all[512] = "";
    for (unsigned i = 0; s->bootstrap && s->bootstrap[i]; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? " " : "",
                 s->bootstrap[i]);
    same(v->id, "bootstrap", s->bootstrap ? all : NULL, v->bootstrap);
}

static void is_as_expected(const struct stamp_vector *v, const struct privy_stamp *s)
{
    assert_int_equal(s->type, v->type);
    assert_int_equal(s->dnssec, v->dnssec);
    assert_int_equal(s->nolog, v->nolog);
    assert_int_equal(s->nofilter, v->nofilter);
    assert_int_equal(s->port, v->port);
    same(v->id, "address", s->address, v->address);
    same(v->id, "host", s->host, v->host);
    same(v->id, "path", s->path, v->path);
    same(v->id, "provider", s->provider_name, v->provider_name);
    same(v->id, "relay", s->relay ? s->relay->address : NULL, v->relay);
    same_bootstrap(v, s);
    assert_int_equal(s->hash_count * 32, v->hashes.at ? v->hashes.length : 0);
    if (v->hashes.at)
        assert_memory_equal(s->hashes, v->hashes.at, v->hashes.length);
    assert_int_equal(s->provider_key != NULL, v->provider_key.at != NULL);
    if (v->provider_key.at)
        assert_memory_equal(s->provider_key, v->provider_key.at, 32);
}

static void is_refused(const struct stamp_vector *v, enum privy_status status,
                       const struct privy_error *error)
{
    size_t length = strlen(v->reason);
    if (status != PRIVY_EINVAL || strncmp(error->message, "stamp: ", 7) != 0 ||
        strncmp(error->message + 7, v->reason, length) != 0 ||
        (error->message[7 + length] && error->message[7 + length] != ':'))
        fail_msg("%s: expected '%s', got '%s'", v->id, v->reason, error->message);
}

static void vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < VECTORS; i++) {
        const struct stamp_vector *v = &stamp_vectors[i];
        struct privy_stamp *s = NULL;
        struct privy_error error = {.status = PRIVY_OK};
        enum privy_status status = privy_stamp_parse(v->stamp, &s, &error);
        if (v->reason) {
            is_refused(v, status, &error);
            assert_null(s);
            continue;
        }
        if (status != PRIVY_OK)
            fail_msg("%s: %s", v->id, error.message);
        is_as_expected(v, s);
        privy_stamp_free(s);
    }
}

/* A stamp that lost letters at its end is never another valid one, but for lists that may be left
 * away: then it still is of the same server. */
static void cut_short(void **state)
{
    (void)state;
    for (size_t i = 0; i < VECTORS; i++) {
        const struct stamp_vector *v = &stamp_vectors[i];
        char text[1024];
        for (size_t n = strlen(v->stamp); !v->reason && !v->relay && n-- > 7;) {
            struct privy_stamp *s = NULL;
            snprintf(text, sizeof text, "%.*s", (int)n, v->stamp);
            if (privy_stamp_parse(text, &s, NULL) != PRIVY_OK)
                continue;
            same(v->id, "host", s->host, v->host);
            assert_true(v->bootstrap && !s->bootstrap);
            privy_stamp_free(s);
        }
    }
}

static void odd_texts(void **state)
{
    (void)state;
    struct privy_stamp *s = NULL;
    struct privy_error error;
    char text[2100] = "sdns://";
    assert_int_equal(privy_stamp_parse(NULL, &s, &error), PRIVY_EINVAL);
    assert_int_equal(privy_stamp_parse("", &s, NULL), PRIVY_EINVAL);
    assert_int_equal(privy_stamp_parse("SDNS://AAcAAAAAAAAABzguOC44Ljg", &s, &error), PRIVY_OK);
    assert_string_equal(s->protocol, "do53");
    privy_stamp_free(s);
    privy_stamp_free(NULL);
    memset(text + 7, 'A', 2042);
    assert_int_equal(privy_stamp_parse(text, &s, &error), PRIVY_EINVAL);
    assert_string_equal(error.message, "stamp: longer than 2048 letters");
    assert_int_equal(
        privy_stamp_parse("sdns://gQ8xNDYuNzAuODIuMzo0NDM/AAcAAAAAAAAABzguOC44Ljg", &s, &error),
        PRIVY_EINVAL);
    assert_string_equal(error.message,
                        "stamp: before '/' stands a relay, behind it a DNSCrypt server");
}

/* A DoT stamp of a.b, with so many times "[::1]" behind it. */
static const char *with_bootstraps(unsigned n)
{
    static char text[2100];
    static uint8_t payload[15 + 6 * 250] = {0x03, [11] = 3, 'a', '.', 'b'};
    for (unsigned i = 0; i < n; i++)
        memcpy(payload + 15 + 6 * (size_t)i + 1, "[::1]", 5);
    for (unsigned i = 0; i < n; i++)
        payload[15 + 6 * i] = i + 1 < n ? 0x85 : 0x05;
    strcpy(text, "sdns://");
    sodium_bin2base64(text + 7, sizeof text - 7, payload, 15 + 6 * (size_t)n,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    return text;
}

static void bootstraps_are_bounded(void **state)
{
    (void)state;
    struct privy_stamp *s = NULL;
    struct privy_error error;
    assert_int_equal(privy_stamp_parse(with_bootstraps(16), &s, &error), PRIVY_OK);
    for (unsigned i = 0; i < 16; i++)
        assert_string_equal(s->bootstrap[i], "[::1]");
    assert_null(s->bootstrap[16]);
    privy_stamp_free(s);
    for (unsigned n = 17; n <= 240; n++) {
        assert_int_equal(privy_stamp_parse(with_bootstraps(n), &s, &error), PRIVY_EINVAL);
        assert_string_equal(error.message, "stamp: bootstrap: bad: too many");
    }
}

/* ---- what becomes of them ---- */

static const char *stamp_of(const char *id)
{
    for (size_t i = 0; i < VECTORS; i++)
        if (strcmp(stamp_vectors[i].id, id) == 0)
            return stamp_vectors[i].stamp;
    fail_msg("no vector %s", id);
    return NULL;
}

static struct pv_upstream *upstream(const char *url, struct privy_upstream_options o)
{
    struct pv_upstream *up = NULL;
    struct privy_error error;
    struct privy_stamp *stamp = NULL;
    o.size = sizeof o;
    if ((url && pv_upstream_read_stamp(url, &stamp, &error) != PRIVY_OK) ||
        pv_upstream_new(url, stamp, &o, 853, &up, &error) != PRIVY_OK)
        fail_msg("%s", error.message);
    privy_stamp_free(stamp);
    return up;
}

static void upstream_of_a_name(void **state)
{
    char text[PV_ADDR_TEXT];
    struct pv_upstream *up = upstream(stamp_of("y05"), (struct privy_upstream_options){0});
    (void)state;
    assert_string_equal(up->url.host, "dns.example.com");
    assert_string_equal(up->name, "dns.example.com");
    assert_string_equal(up->operator_name, "example.com");
    assert_string_equal(up->url.path, "/q");
    assert_int_equal(up->url.port, 8443);
    assert_int_equal(up->address_count, 1);
    assert_string_equal(pv_addr_text(&up->addresses[0], text), "192.0.2.1:8443");
    assert_int_equal(up->hash_count, 3);
    assert_int_equal(up->hashes[2][31], 0x33);
    assert_int_equal(up->properties, PV_PROP_DNSSEC | PV_PROP_NOLOG);
    pv_upstream_unref(up);
    up = upstream(stamp_of("s15"), (struct privy_upstream_options){0});
    assert_int_equal(up->address_count, 0); /* to be looked up */
    assert_int_equal(up->properties, PV_PROP_DNSSEC | PV_PROP_NOLOG | PV_PROP_FILTER);
    pv_upstream_unref(up);
}

static void upstream_of_an_address(void **state)
{
    char text[PV_ADDR_TEXT];
    static const char *const none[] = {NULL}, *const other[] = {"192.0.2.9", NULL};
    struct pv_upstream *up = upstream(stamp_of("s12"), (struct privy_upstream_options){0});
    (void)state;
    assert_true(up->url.is_address);
    assert_string_equal(up->url.host, "2606:4700:4700::1111");
    assert_string_equal(pv_addr_text(&up->addresses[0], text), "[2606:4700:4700::1111]:443");
    pv_upstream_unref(up);
    /* What the user says goes before what the stamp says. */
    up = upstream(stamp_of("s05"),
                  (struct privy_upstream_options){.properties = none, .addresses = other});
    assert_int_equal(up->properties, 0);
    assert_int_equal(up->address_count, 1);
    assert_string_equal(pv_addr_text(&up->addresses[0], text), "192.0.2.9:8443");
    assert_string_equal(up->provider_name, "2.dnscrypt-cert.quad9.net");
    assert_string_equal(up->operator_name, "quad9.net");
    assert_int_equal(up->provider_key[0], 0x67);
    pv_upstream_unref(up);
}

static void relays(void **state)
{
    char text[PV_ADDR_TEXT];
    const char *const more[] = {stamp_of("s22"), stamp_of("s23"), NULL};
    struct pv_upstream *up = upstream(
        stamp_of("m01"), (struct privy_upstream_options){.relays = more, .ephemeral_keys = true});
    (void)state;
    assert_true(up->ephemeral_keys && !up->allow_xsalsa);
    assert_int_equal(up->relay_count, 3);
    assert_string_equal(pv_addr_text(&up->relays[0], text), "146.70.82.3:443");
    assert_string_equal(pv_addr_text(&up->relays[1], text), "137.74.223.234:443");
    assert_string_equal(pv_addr_text(&up->relays[2], text), "[2a0d:5600:1d:9::53]:443");
    pv_upstream_unref(up);
}

/* Whatever is said differently makes another upstream; the long form is the same as its stamp. */
static void equality(void **state)
{
    static const char *const relay[] = {"sdns://gQ4xMzcuNzQuMjIzLjIzNA", NULL};
    static const char *const at[] = {"9.9.9.9:8443", NULL}, *const both[] = {"dnssec", "nolog",
                                                                             "filter", NULL};
    static const char key[] = "67c847b8c8758cd120245543be756746df34df1d84c00b8c470368df821d863e";
    struct pv_upstream *a = upstream(stamp_of("s05"), (struct privy_upstream_options){0});
    struct privy_upstream_options others[] = {{.relays = relay},
                                              {.allow_xsalsa = true},
                                              {.ephemeral_keys = true},
                                              {.properties = at + 1}};
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct pv_upstream *b = upstream(stamp_of("s05"), others[i]);
        assert_false(pv_upstream_equal(a, b));
        assert_true(pv_upstream_equal(b, b));
        pv_upstream_unref(b);
    }
    struct pv_upstream *b =
        upstream(NULL, (struct privy_upstream_options){.provider_name = "2.dnscrypt-cert.quad9.net",
                                                       .provider_key = key,
                                                       .addresses = at,
                                                       .properties = both});
    assert_memory_equal(a->provider_key, b->provider_key, 32);
    assert_string_equal(b->url_text, "2.dnscrypt-cert.quad9.net");
    assert_string_equal(b->name, "9.9.9.9");
    assert_true(pv_addr_equal(&a->addresses[0], &b->addresses[0]));
    pv_upstream_unref(a);
    pv_upstream_unref(b);
    /* Hashes decide trust. */
    a = upstream(stamp_of("s08"), (struct privy_upstream_options){.name = "a"});
    b = upstream("sdns://AgcAAAAAAAAABzEuMC4wLjEgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
                 "AASZG5zLmNsb3VkZmxhcmUuY29tCi9kbnMtcXVlcnk",
                 (struct privy_upstream_options){.name = "a"});
    assert_int_equal(b->hash_count, 1);
    assert_false(pv_upstream_equal(a, b));
    pv_upstream_unref(a);
    pv_upstream_unref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(cut_short),
        cmocka_unit_test(odd_texts),
        cmocka_unit_test(bootstraps_are_bounded),
        cmocka_unit_test(upstream_of_a_name),
        cmocka_unit_test(upstream_of_an_address),
        cmocka_unit_test(relays),
        cmocka_unit_test(equality),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
