/* The UDP side, and what the kernel may say when a reply is to leave. Questions are for localhost,
 * answered here: no resolver is needed. */
#include "unit.h"

#include "serve.h"
#include "serve/udp.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/time.h>
#include <unistd.h>

enum { BURST = 20 };

/* The linker puts these in the place of the real ones. */
int __real_sendmmsg(int, struct mmsghdr *, unsigned, int);
int __wrap_sendmmsg(int, struct mmsghdr *, unsigned, int);
int __real_recvmmsg(int, struct mmsghdr *, unsigned, int, struct timespec *);
int __wrap_recvmmsg(int, struct mmsghdr *, unsigned, int, struct timespec *);

static struct fixture {
    struct site site;
    struct limits limits;
    struct stats stats;
    struct server server;
    struct event_base *base;
    struct udp *udp;
    int client;
    unsigned sends;
    unsigned fail_from, fail_count; /* of the calls: which fail */
    int error;
    bool port_zero; /* whoever asks seems to ask from port 0 */
} F;

int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    unsigned call = F.sends++;
    if (call < F.fail_from || call - F.fail_from >= F.fail_count)
        return __real_sendmmsg(fd, messages, count, flags);
    errno = F.error;
    return -1;
}

int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout)
{
    int n = __real_recvmmsg(fd, messages, count, flags, timeout);
    for (int i = 0; F.port_zero && i < n; i++)
        pv_addr_set_port(messages[i].msg_hdr.msg_name, 0);
    return n;
}

static int set_up(void **state)
{
    struct pv_addr addr;
    socklen_t size = sizeof addr;
    struct timeval patience = {.tv_usec = 100000};
    (void)state;
    F = (struct fixture){0};
    assert_non_null(site_init(&F.site, NULL, NULL));
    assert_true(server_init(&F.server, F.site.policy, &F.limits, &F.stats));
    F.base = event_base_new();
    F.udp = udp_new(F.base, &F.server);
    assert_non_null(F.udp);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(pv_addr_parse("127.0.0.1:0", 11, 0, &addr));
    assert_int_equal(bind(fd, &addr.sa, pv_addr_size(&addr)), 0);
    assert_int_equal(getsockname(fd, &addr.sa, &size), 0);
    assert_true(udp_listen(F.udp, fd, &addr));
    F.client = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(connect(F.client, &addr.sa, pv_addr_size(&addr)), 0);
    setsockopt(F.client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(F.client);
    server_done(&F.server);
    udp_free(F.udp);
    event_base_free(F.base);
    policy_unref(F.site.policy);
    return 0;
}

static void ask(unsigned count)
{
    uint8_t query[100];
    size_t n = site_query(query, sizeof query, "localhost", PV_T_A, PV_C_IN, 0, false);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(send(F.client, query, n, 0), n);
    event_base_loop(F.base, EVLOOP_NONBLOCK);
}

static unsigned replies(void)
{
    uint8_t reply[512];
    unsigned count = 0;
    while (recv(F.client, reply, sizeof reply, 0) > 0)
        count++;
    return count;
}

/* The reply that cannot leave is lost and counted; the others leave; nothing is tried again. */
static void C17_one_reply_cannot_leave(void **state)
{
    static const int errors[] = {EPERM, ENETUNREACH, EHOSTUNREACH, EMSGSIZE, EINVAL, ECONNREFUSED};
    (void)state;
    F.fail_count = 1;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        F.error = errors[i];
        F.fail_from = F.sends;
        ask(BURST);
        assert_int_equal(replies(), BURST - 1);
        assert_int_equal(F.sends, 2 * (i + 1));
        assert_int_equal(F.stats.send_failed, i + 1);
    }
}

static void C17_no_reply_can_leave(void **state)
{
    static const int errors[] = {EAGAIN, ENOBUFS, ENOMEM, EPERM};
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        F.error = errors[i];
        F.sends = F.fail_from = 0;
        F.fail_count = 1000;
        ask(BURST);
        assert_int_equal(replies(), 0);
        assert_int_equal(F.stats.send_failed, BURST * (i + 1));
        assert_in_range(F.sends, 1, BURST);
        F.fail_count = 0;
        ask(1);
        assert_int_equal(replies(), 1);
    }
}

static void C17_interrupted(void **state)
{
    (void)state;
    F.error = EINTR;
    F.fail_count = 3;
    ask(BURST);
    assert_int_equal(replies(), BURST);
    assert_int_equal(F.stats.send_failed, 0);
}

static void C2_nobody_is_at_port_zero(void **state)
{
    (void)state;
    F.port_zero = true;
    ask(1);
    assert_int_equal(F.sends, 0);
    F.port_zero = false;
    ask(1);
    assert_int_equal(replies(), 1);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(C17_one_reply_cannot_leave),
        EACH(C17_no_reply_can_leave),
        EACH(C17_interrupted),
        EACH(C2_nobody_is_at_port_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
