#include "unit.h"

#include "process/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

struct daemon {
    char directory[32];
    struct sockaddr_un addr;
    int fd;
};

static void bind_socket(struct daemon *d)
{
    unlink(d->addr.sun_path);
    d->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(d->fd >= 0);
    assert_int_equal(bind(d->fd, (struct sockaddr *)&d->addr, sizeof d->addr), 0);
}

static void open_log(struct daemon *d, enum privy_log_level level)
{
    struct log_options o = {.target = TARGET_SYSLOG,
                            .level = level,
                            .facility = LOG_DAEMON,
                            .socket = d->addr.sun_path};
    log_open(&o);
}

static int set_up(void **state)
{
    struct daemon *d = calloc(1, sizeof *d);
    *state = d;
    strcpy(d->directory, "/tmp/test_log.XXXXXX");
    assert_non_null(mkdtemp(d->directory));
    d->addr.sun_family = AF_UNIX;
    snprintf(d->addr.sun_path, sizeof d->addr.sun_path, "%s/log", d->directory);
    bind_socket(d);
    open_log(d, PRIVY_LOG_INFO);
    return 0;
}

static int tear_down(void **state)
{
    struct daemon *d = *state;
    log_close();
    close(d->fd);
    unlink(d->addr.sun_path);
    rmdir(d->directory);
    free(d);
    return 0;
}

/* The next line, or "". */
static const char *take(struct daemon *d)
{
    static char line[2048];
    ssize_t n = recv(d->fd, line, sizeof line - 1, MSG_DONTWAIT);
    line[n < 0 ? 0 : n] = 0;
    return line;
}

/* The next line, which the loop may have to write first. */
static const char *wait_line(struct daemon *d, struct event_base *base)
{
    const char *line;
    while (!*(line = take(d)))
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
    return line;
}

/* What stands after "privydnsd[pid]: ". */
static const char *text_of(const char *line)
{
    const char *colon = strstr(line, "]: ");
    return colon ? colon + 3 : "";
}

static void lines_look_like_syslog(void **state)
{
    struct daemon *d = *state;
    char month[8], rest[64], expect[64];
    int priority, day, hour, minute, second;
    log_notice("upstream %s is down", "a");
    const char *line = take(d);
    assert_int_equal(sscanf(line, "<%d>%3s %2d %2d:%2d:%2d %63s", &priority, month, &day, &hour,
                            &minute, &second, rest),
                     7);
    assert_int_equal(priority, LOG_DAEMON | LOG_NOTICE);
    snprintf(expect, sizeof expect, "privydnsd[%ld]:", (long)getpid());
    assert_string_equal(rest, expect);
    assert_string_equal(text_of(line), "upstream a is down");
    log_write(PRIVY_LOG_DEBUG, "not at this level");
    assert_string_equal(take(d), "");
    log_error("two\nlines\x1b[1m");
    assert_string_equal(text_of(take(d)), "two?lines?[1m");
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Nobody reads: no line waits for it, a thousand are kept, the rest is counted and told. */
static void an_unread_socket_does_not_block(void **state)
{
    struct daemon *d = *state;
    struct event_base *base = event_base_new();
    uint64_t before = log_dropped();
    double begun = seconds();
    char expect[64];
    for (int i = 0; i < 3000; i++)
        log_info("line %d", i);
    assert_true(seconds() - begun < 5);
    int dropped = (int)(log_dropped() - before);
    assert_in_range(dropped, 3000 - LOG_RING - 600, 3000 - LOG_RING); /* some are in the socket */
    assert_true(log_attach(base));
    for (int i = 0; i < 3000 - dropped; i++) {
        snprintf(expect, sizeof expect, "line %d", i);
        assert_string_equal(text_of(wait_line(d, base)), expect);
    }
    snprintf(expect, sizeof expect, "%d lines dropped", dropped);
    assert_string_equal(text_of(wait_line(d, base)), expect);
    log_detach();
    event_base_free(base);
}

/* The loop writes what waits, as soon as somebody reads. */
static void the_loop_writes_the_rest(void **state)
{
    struct daemon *d = *state;
    struct event_base *base = event_base_new();
    assert_true(log_attach(base));
    for (int i = 0; i < 500; i++)
        log_info("line %d", i);
    int got = 0;
    double begun = seconds();
    while (got < 500 && seconds() - begun < 10) {
        while (*take(d))
            got++;
        event_base_loop(base, EVLOOP_NONBLOCK);
    }
    assert_int_equal(got, 500);
    log_detach();
    event_base_free(base);
}

static void a_new_socket_is_found(void **state)
{
    struct daemon *d = *state;
    log_info("first");
    assert_string_equal(text_of(take(d)), "first");
    close(d->fd);
    bind_socket(d); /* the syslog daemon was restarted */
    log_info("second");
    assert_string_equal(text_of(take(d)), "second");
}

static void an_absent_socket_keeps_lines(void **state)
{
    struct daemon *d = *state;
    struct event_base *base = event_base_new();
    close(d->fd);
    unlink(d->addr.sun_path);
    log_info("while away");
    bind_socket(d);
    assert_true(log_attach(base));
    assert_string_equal(text_of(wait_line(d, base)), "while away"); /* its timer tries again */
    log_detach();
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_look_like_syslog, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_unread_socket_does_not_block, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_loop_writes_the_rest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_new_socket_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_absent_socket_keeps_lines, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
