#include "unit.h"

#include "net/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

static struct event_base *base;
static struct pv_loop *loop;
static struct pv_addr server_address;
static int server;

static int begin(void **state)
{
    (void)state;
    base = event_base_new();
    loop = pv_loop_new(base, NULL, NULL);
    server_address =
        (struct pv_addr){.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof server_address;
    server = socket(AF_INET, SOCK_DGRAM, 0);
    return server < 0 || bind(server, &server_address.sa, sizeof server_address.in) != 0 ||
           getsockname(server, &server_address.sa, &size) != 0;
}

static int end(void **state)
{
    (void)state;
    pv_loop_free(loop);
    event_base_free(base);
    return 0;
}

static unsigned seen;

static void ready(void *arg, unsigned events)
{
    seen |= events;
    pv_sock_want(*(struct pv_sock **)arg, 0);
}

static unsigned wait_for(struct pv_sock *s, unsigned events)
{
    seen = 0;
    pv_sock_want(s, events);
    event_base_loop(base, 0); /* ends when nothing is wanted any more */
    return seen;
}

static void datagrams(void **state)
{
    (void)state;
    char bytes[16];
    struct pv_addr local, from;
    socklen_t size = sizeof from;
    struct pv_sock *s = NULL;
    s = pv_sock_open(loop, false, &server_address, ready, &s);
    assert_non_null(s);
    assert_true(pv_sock_local(s, &local));
    assert_int_equal(wait_for(s, PV_SOCK_WRITE), PV_SOCK_WRITE);
    assert_int_equal(pv_sock_recv(s, bytes, sizeof bytes), -1);
    assert_int_equal(errno, EAGAIN);

    assert_int_equal(pv_sock_send(s, "question", 8), 8);
    assert_int_equal(recvfrom(server, bytes, sizeof bytes, 0, &from.sa, &size), 8);
    assert_true(pv_addr_equal(&from, &local));
    assert_int_equal(sendto(server, "answer", 6, 0, &from.sa, size), 6);
    assert_int_equal(wait_for(s, PV_SOCK_READ), PV_SOCK_READ);
    assert_int_equal(pv_sock_recv(s, bytes, sizeof bytes), 6);

    close(server); /* now the kernel tells that nobody is there */
    assert_int_equal(pv_sock_send(s, "again", 5), 5);
    assert_int_equal(wait_for(s, PV_SOCK_READ), PV_SOCK_READ);
    assert_int_equal(pv_sock_recv(s, bytes, sizeof bytes), -1);
    assert_int_equal(errno, ECONNREFUSED);
    pv_sock_close(s);
    pv_sock_close(NULL);
}

static void failed_connection_is_writable_and_tells(void **state)
{
    (void)state;
    struct pv_sock *s = NULL;
    s = pv_sock_open(loop, true, &server_address, ready, &s);
    assert_non_null(s);
    assert_int_equal(wait_for(s, PV_SOCK_WRITE), PV_SOCK_WRITE);
    assert_int_equal(pv_sock_error(s), ECONNREFUSED);
    pv_sock_close(s);
}

static bool memory_is_out;

static void *some_realloc(void *p, size_t n)
{
    return memory_is_out ? NULL : realloc(p, n);
}

static void *some_malloc(size_t n)
{
    return memory_is_out ? NULL : malloc(n);
}

/* libevent cannot take it: its owner hears of that, instead of waiting for ever. */
static void what_cannot_be_watched_is_broken(void **state)
{
    (void)state;
    char bytes[16];
    struct pv_sock *s = NULL;
    event_set_mem_functions(some_malloc, some_realloc, free);
    for (unsigned events = PV_SOCK_READ; events <= PV_SOCK_WRITE; events++) {
        struct event_base *other = event_base_new(); /* knows no descriptor yet */
        struct pv_loop *l = pv_loop_new(other, NULL, NULL);
        s = pv_sock_open(l, false, &server_address, ready, &s);
        assert_non_null(s);
        seen = 0;
        memory_is_out = true;
        pv_sock_want(s, events);
        memory_is_out = false;
        event_base_loop(other, EVLOOP_NONBLOCK);
        assert_int_equal(seen, events);
        assert_int_equal(pv_sock_error(s), ENOMEM);
        assert_int_equal(pv_sock_send(s, "no", 2), -1);
        assert_int_equal(errno, ENOMEM);
        assert_int_equal(pv_sock_recv(s, bytes, sizeof bytes), -1);
        assert_int_equal(errno, ENOMEM);
        pv_sock_close(s);
        pv_loop_free(l);
        event_base_free(other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagrams),
        cmocka_unit_test(failed_connection_is_writable_and_tells),
        cmocka_unit_test(what_cannot_be_watched_is_broken),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
