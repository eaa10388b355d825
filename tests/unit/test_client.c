/* The library as programs see it, over real sockets of this machine: many threads share one client;
 * a resolver on somebody's event_base is freed inside its own callback. */
#include "unit.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <poll.h>
#include <privydns/privydns.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { THREADS = 8, LOOKUPS = 50, NAMES = 20 };

/* A server over UDP: each name is 192.0.2.<length of its first label>; "silent" gets no answer. */
struct server {
    int fd;
    uint16_t port;
    pthread_t thread;
    atomic_bool stop;
    atomic_uint questions;
};

static size_t answer(uint8_t *message, size_t length)
{
    static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 0};
    size_t at = 12;
    while (at < length && message[at])
        at += message[at] + 1U;
    at += 5;
    if (at > length || memcmp(message + 13, "silent", 6) == 0)
        return 0;
    message[2] = 0x81; /* QR RD */
    message[3] = 0x80; /* RA */
    memcpy(message + 6, (uint8_t[6]){0, 1}, 6);
    memcpy(message + at, record, sizeof record);
    message[at + sizeof record - 1] = message[12];
    return at + sizeof record;
}

static void *serve(void *arg)
{
    struct server *s = arg;
    uint8_t message[2048];
    while (!s->stop) {
        struct pollfd p = {.fd = s->fd, .events = POLLIN};
        struct sockaddr_in from;
        socklen_t from_length = sizeof from;
        if (poll(&p, 1, 20) <= 0)
            continue;
        ssize_t n = recvfrom(s->fd, message, 1024, 0, (struct sockaddr *)&from, &from_length);
        size_t length = n > 0 ? answer(message, (size_t)n) : 0;
        s->questions++;
        if (length)
            sendto(s->fd, message, length, 0, (struct sockaddr *)&from, from_length);
    }
    return NULL;
}

static void server_begin(struct server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof a;
    s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(s->fd >= 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &length), 0);
    s->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_end(struct server *s)
{
    s->stop = true;
    pthread_join(s->thread, NULL);
    close(s->fd);
}

static struct privy_upstreams *upstreams(const struct server *s)
{
    struct privy_upstreams_options o = {.size = sizeof o};
    struct privy_upstreams *set = NULL;
    struct privy_error error;
    char url[64];
    privy_pool_options_default(&o.pool_options);
    o.pool_options.plaintext = true;
    assert_int_equal(privy_upstreams_new(NULL, &o, &set, &error), PRIVY_OK);
    snprintf(url, sizeof url, "udp://127.0.0.1:%u", s->port);
    assert_int_equal(privy_upstreams_add(set, url, NULL, &error), PRIVY_OK);
    return set;
}

static struct privy_client *client_new(const struct server *s, struct privy_cache *cache,
                                       unsigned deadline)
{
    struct privy_resolver_options resolver;
    struct privy_client *client = NULL;
    struct privy_error error;
    privy_resolver_options_default(&resolver);
    resolver.query.deadline = deadline;
    struct privy_client_options o = {
        .size = sizeof o, .upstreams = upstreams(s), .cache = cache, .resolver = &resolver};
    assert_int_equal(privy_client_new(&o, &client, &error), PRIVY_OK);
    privy_upstreams_unref(o.upstreams);
    return client;
}

/* ---- threads: cmocka's asserts are for the main one, so these count ---- */

struct worker {
    struct privy_client *client;
    pthread_t thread;
    unsigned number, right, failed;
    enum privy_status last;
};

static bool look_up(struct worker *w, unsigned i)
{
    char name[64] = "", text[64] = "", want[16];
    struct privy_answer *found = NULL;
    struct privy_record record;
    struct privy_error error = {0};
    size_t cursor = 0;
    unsigned length = 1 + (i + w->number) % NAMES;
    memset(name, 'x', length);
    snprintf(name + length, sizeof name - length, ".n%u.example", i / NAMES);
    snprintf(want, sizeof want, "192.0.2.%u", length);
    w->last = privy_lookup(w->client, name, 1, NULL, &found, &error);
    if (w->last != PRIVY_OK)
        return false;
    if (privy_answer_record(found, &cursor, &record))
        privy_record_text(found, &record, text, sizeof text);
    privy_answer_unref(found);
    return strcmp(text, want) == 0;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    for (unsigned i = 0; i < LOOKUPS; i++)
        w->right += look_up(w, i);
    return NULL;
}

static void *wait_in_vain(void *arg)
{
    struct worker *w = arg;
    char name[32];
    struct privy_answer *found = NULL;
    struct privy_error error = {0};
    snprintf(name, sizeof name, "silent%u.example", w->number);
    w->last = privy_lookup(w->client, name, 1, NULL, &found, &error);
    w->failed = w->last == PRIVY_ETIMEOUT && error.status == w->last && error.attempt_count > 0;
    return NULL;
}

static void run(struct worker workers[THREADS], struct privy_client *client,
                void *(*function)(void *))
{
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.client = client, .number = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, function, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
}

static void many_threads(void **state)
{
    (void)state;
    struct server s = {0};
    struct worker workers[THREADS];
    server_begin(&s);
    struct privy_cache *cache = privy_cache_new(NULL);
    for (unsigned round = 0; round < 2; round++) {
        struct privy_client *client = client_new(&s, round ? cache : NULL, 4500);
        run(workers, client, work);
        for (unsigned i = 0; i < THREADS; i++)
            assert_int_equal(workers[i].right, LOOKUPS);
        privy_client_free(client);
    }
    assert_true(s.questions <= (THREADS + 1) * LOOKUPS * 2);
    privy_cache_unref(cache);
    server_end(&s);
}

static void many_threads_wait_in_vain(void **state)
{
    (void)state;
    struct server s = {0};
    struct worker workers[THREADS];
    server_begin(&s);
    struct privy_client *client = client_new(&s, NULL, 300);
    run(workers, client, wait_in_vain);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(workers[i].failed, 1);
    privy_client_free(client);
    server_end(&s);
}

static void what_cannot_be_asked(void **state)
{
    (void)state;
    struct server s = {0};
    struct privy_answer *found = NULL;
    struct privy_error error = {0};
    server_begin(&s);
    struct privy_client *client = client_new(&s, NULL, 300);
    assert_int_equal(privy_lookup(client, "a..b", 1, NULL, &found, &error), PRIVY_EINVAL);
    assert_int_equal(error.status, PRIVY_EINVAL);
    assert_int_equal(privy_lookup(client, "www.example", 1, "smtp", &found, &error),
                     PRIVY_EUNSUPPORTED);
    assert_int_equal(privy_lookup(client, "www.example", 1, "smtp", &found, NULL),
                     PRIVY_EUNSUPPORTED);
    assert_null(found);
    privy_client_free(client);
    server_end(&s);
}

/* ---- a resolver on somebody's loop ---- */

struct seen {
    struct privy_resolver *resolver;
    struct event_base *base;
    unsigned calls;
};

static void done_and_free(void *arg, enum privy_status status, const struct privy_answer *answer,
                          const struct privy_error *error)
{
    struct seen *seen = arg;
    (void)status, (void)error, (void)answer;
    seen->calls++;
    privy_resolver_free(seen->resolver);
    seen->resolver = NULL;
}

/* From an answer, from a deadline; with others under way, some of whose ends are due in the same
 * turn, and with their timers and deferrals still in the loop that goes too. */
static void freed_in_its_callback(void **state)
{
    (void)state;
    struct server s = {0};
    server_begin(&s);
    for (unsigned round = 0; round < 2; round++) {
        struct seen seen = {.base = event_base_new()};
        struct privy_resolver_options o;
        struct privy_upstreams *set = upstreams(&s);
        struct privy_error error;
        char name[32];
        privy_resolver_options_default(&o);
        o.query.deadline = 200;
        assert_int_equal(privy_resolver_new(seen.base, set, NULL, &o, &seen.resolver, &error),
                         PRIVY_OK);
        for (unsigned i = 0; i < 20; i++) {
            snprintf(name, sizeof name, "%s%u.example", round ? "silent" : "www", i / 2);
            assert_int_equal(
                privy_query(seen.resolver, name, 1, NULL, NULL, done_and_free, &seen, NULL),
                PRIVY_OK);
        }
        assert_int_equal(event_base_dispatch(seen.base), 1); /* until nothing is left in it */
        assert_int_equal(seen.calls, 1);
        assert_null(seen.resolver);
        event_base_free(seen.base);
        privy_upstreams_unref(set);
    }
    server_end(&s);
}

static void never(void *arg, enum privy_status status, const struct privy_answer *answer,
                  const struct privy_error *error)
{
    (void)arg, (void)status, (void)answer, (void)error;
    fail_msg("called back");
}

static void freed_outside(void **state)
{
    (void)state;
    struct server s = {0};
    server_begin(&s);
    for (unsigned turns = 0; turns < 6; turns++) {
        struct event_base *base = event_base_new();
        struct privy_resolver *resolver = NULL;
        struct privy_upstreams *set = upstreams(&s);
        struct privy_error error;
        assert_int_equal(privy_resolver_new(base, set, NULL, NULL, &resolver, &error), PRIVY_OK);
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(
                privy_query(resolver, "silent.example", 1, NULL, NULL, never, NULL, NULL),
                PRIVY_OK);
        for (unsigned i = 0; i < turns; i++)
            event_base_loop(base, EVLOOP_NONBLOCK);
        privy_resolver_free(resolver);
        assert_int_equal(event_base_dispatch(base), 1);
        event_base_free(base);
        privy_upstreams_unref(set);
    }
    server_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_threads),         cmocka_unit_test(many_threads_wait_in_vain),
        cmocka_unit_test(what_cannot_be_asked), cmocka_unit_test(freed_in_its_callback),
        cmocka_unit_test(freed_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
