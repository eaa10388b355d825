#include "tcp_side.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

/* The linker puts these in the place of the real ones, in our code and in the daemon's. */
int __real_event_add(struct event *, const struct timeval *);
int __real_event_del(struct event *);
int __real_accept4(int, struct sockaddr *, socklen_t *, int);
ssize_t __real_send(int, const void *, size_t, int);
int __wrap_clock_gettime(clockid_t, struct timespec *);
int __wrap_event_add(struct event *, const struct timeval *);
int __wrap_event_del(struct event *);
int __wrap_accept4(int, struct sockaddr *, socklen_t *, int);
ssize_t __wrap_send(int, const void *, size_t, int);

struct tcp_side F;

/* ---- the clock ---- */

int __wrap_clock_gettime(clockid_t id, struct timespec *ret)
{
    (void)id;
    *ret = (struct timespec){(time_t)(F.now_ms / 1000), (long)(F.now_ms % 1000) * 1000000};
    return 0;
}

static struct timer *timer_of(const struct event *event)
{
    for (size_t i = 0; i < TIMERS; i++)
        if (F.timers[i].event == event)
            return &F.timers[i];
    return NULL;
}

int __wrap_event_add(struct event *event, const struct timeval *wait)
{
    if (!wait)
        return F.unwatched ? -1 : __real_event_add(event, NULL);
    struct timer *t = timer_of(event) ? timer_of(event) : timer_of(NULL);
    assert_non_null(t);
    *t = (struct timer){event,
                        F.now_ms + (uint64_t)wait->tv_sec * 1000 + (uint64_t)wait->tv_usec / 1000};
    return 0;
}

int __wrap_event_del(struct event *event)
{
    struct timer *t = timer_of(event);
    if (t)
        t->event = NULL;
    return __real_event_del(event);
}

void settle(void)
{
    for (int i = 0; i < 5; i++) {
        usleep(100);
        event_base_loop(F.base, EVLOOP_NONBLOCK);
    }
}

void advance(uint64_t ms)
{
    uint64_t end = F.now_ms + ms;
    settle();
    for (;;) {
        struct timer *next = NULL;
        for (size_t i = 0; i < TIMERS; i++)
            if (F.timers[i].event && (!next || F.timers[i].at_ms < next->at_ms))
                next = &F.timers[i];
        if (!next || next->at_ms > end)
            break;
        struct event *event = next->event;
        F.now_ms = next->at_ms > F.now_ms ? next->at_ms : F.now_ms;
        next->event = NULL;
        event_active(event, EV_TIMEOUT, 0);
        settle();
    }
    F.now_ms = end;
}

/* ---- the kernel ---- */

int __wrap_accept4(int fd, struct sockaddr *addr, socklen_t *size, int flags)
{
    F.accepts++;
    if (!F.accept_error)
        return __real_accept4(fd, addr, size, flags);
    errno = F.accept_error;
    return -1;
}

ssize_t __wrap_send(int fd, const void *data, size_t length, int flags)
{
    if (!F.send_error)
        return __real_send(fd, data, length, flags);
    errno = F.send_error;
    return -1;
}

/* ---- the server ---- */

static void count_line(void *arg, enum privy_log_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
    F.log_lines++;
}

static void listen_on_loopback(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    socklen_t size = sizeof F.addr;
    assert_true(pv_addr_parse("127.0.0.1:0", 11, 0, &F.addr));
    assert_int_equal(bind(fd, &F.addr.sa, pv_addr_size(&F.addr)), 0);
    assert_int_equal(getsockname(fd, &F.addr.sa, &size), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_true(tcp_listen(F.tcp, fd, &F.addr));
}

int set_up(void **state)
{
    (void)state;
    F = (struct tcp_side){.now_ms = 1000000};
    privy_log_set(count_line, NULL, PRIVY_LOG_WARNING);
    assert_non_null(site_init(&F.site, NULL, NULL));
    F.site.config.tcp_clients = PLACES;
    F.site.config.tcp_per_client = 5;
    F.site.config.tcp_idle = IDLE_MS;
    assert_true(tcp_limits_init(&F.tcp_limits));
    assert_true(server_init(&F.server, F.site.policy, &F.limits, &F.stats));
    F.base = event_base_new();
    F.tcp = tcp_new(F.base, &F.server, &F.tcp_limits);
    assert_non_null(F.tcp);
    listen_on_loopback();
    return 0;
}

int tear_down(void **state)
{
    (void)state;
    tcp_free(F.tcp);
    server_done(&F.server);
    event_base_free(F.base);
    assert_int_equal(F.tcp_limits.clients, 0);
    assert_int_equal(F.tcp_limits.unsent, 0);
    tcp_limits_done(&F.tcp_limits);
    policy_unref(F.site.policy);
    privy_log_set(NULL, NULL, PRIVY_LOG_WARNING);
    return 0;
}

/* ---- clients ---- */

int client(int receive_buffer)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (receive_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    assert_int_equal(connect(fd, &F.addr.sa, pv_addr_size(&F.addr)), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

ssize_t send_some(int fd, const void *data, size_t length, int flags)
{
    return __real_send(fd, data, length, flags | MSG_NOSIGNAL);
}

void send_all(int fd, const void *data, size_t length)
{
    assert_int_equal(send_some(fd, data, length, 0), length);
}

size_t question(uint8_t out[100], size_t *ret_answer)
{
    size_t n = site_query(out + 2, 98, "localhost", PV_T_A, PV_C_IN, 0, false);
    pv_put16(out, (uint16_t)n);
    *ret_answer = 2 + n + 16;
    return 2 + n;
}

bool take(int fd, size_t *sum)
{
    static uint8_t sink[65536];
    ssize_t n;
    settle();
    while ((n = recv(fd, sink, sizeof sink, 0)) > 0)
        *sum += (size_t)n;
    return n < 0 && errno == EAGAIN;
}

void is_open(int fd)
{
    size_t sum = 0;
    assert_true(take(fd, &sum));
    assert_int_equal(sum, 0);
}

size_t is_closed(int fd)
{
    size_t sum = 0;
    for (int i = 0; i < 5000; i++)
        if (!take(fd, &sum))
            return sum;
    fail_msg("it is open");
    return 0;
}

void receives(int fd, size_t length)
{
    size_t sum = 0;
    for (int i = 0; sum < length && i < 5000; i++)
        assert_true(take(fd, &sum));
    assert_int_equal(sum, length);
}

void is_answered(int fd)
{
    uint8_t frame[100];
    size_t answer, length = question(frame, &answer);
    send_all(fd, frame, length);
    receives(fd, answer);
}
