/* The TCP side towards slow, greedy and vanishing clients. */
#include "tcp_side.h"

#include <errno.h>
#include <unistd.h>

#define UNSENT (256 * 1024) /* where a client is read no more */

/* ---- C11: slow ---- */

static void C11_a_message_may_take_five_seconds(void **state)
{
    uint8_t frame[100];
    size_t answer;
    int slow = client(0), other = client(0);
    (void)state;
    question(frame, &answer);
    for (int i = 0; i < 5; i++) {
        send_all(slow, frame + i, 1);
        is_open(slow);
        is_answered(other);
        advance(i < 4 ? 1000 : 999);
    }
    is_open(slow);
    advance(1);
    is_closed(slow);
    is_answered(other);
    close(slow);
    close(other);
}

static void C11_so_may_the_largest(void **state)
{
    static uint8_t much[60000];
    int fd = client(0);
    (void)state;
    send_all(fd, "\377\377", 2);
    send_all(fd, much, sizeof much);
    advance(4999);
    is_open(fd);
    advance(1);
    is_closed(fd);
    close(fd);
}

static void C11_what_can_be_no_message_is_not_awaited(void **state)
{
    (void)state;
    for (uint8_t n = 0; n < PV_HEADER; n++) {
        int fd = client(0);
        send_all(fd, (uint8_t[]){0, n}, 2);
        assert_int_equal(is_closed(fd), 0);
        close(fd);
    }
}

static void idle_clients_are_closed(void **state)
{
    int fd = client(0), quiet = client(0);
    (void)state;
    is_answered(fd);
    advance(IDLE_MS - 1);
    is_open(quiet);
    is_answered(fd);
    advance(1);
    is_closed(quiet);
    advance(IDLE_MS - 2);
    is_open(fd);
    advance(1);
    is_closed(fd);
    close(fd);
    close(quiet);
}

/* ---- C12, C13: many, and in pieces ---- */

static void C12_every_cut_of_two_messages(void **state)
{
    uint8_t frames[200];
    size_t answer, length = question(frames, &answer);
    int fd = client(0);
    (void)state;
    length += question(frames + length, &answer);
    for (size_t cut = 1; cut < length; cut++) {
        send_all(fd, frames, cut);
        receives(fd, cut >= length / 2 ? answer : 0);
        send_all(fd, frames + cut, length - cut);
        receives(fd, cut >= length / 2 ? answer : 2 * answer);
    }
    close(fd);
}

static void C12_answers_come_after_a_half_close(void **state)
{
    uint8_t frame[100];
    size_t answer, length = question(frame, &answer);
    int fd = client(0);
    (void)state;
    for (int i = 0; i < 3; i++)
        send_all(fd, frame, length);
    shutdown(fd, SHUT_WR);
    assert_int_equal(is_closed(fd), 3 * answer);
    close(fd);
}

static uint8_t many[300 * 100];

/* As many questions as fit; *ret_answers: how long all answers are. */
static size_t fill_many(size_t *ret_answers)
{
    size_t length = 0, answer;
    *ret_answers = 0;
    while (length < sizeof many - 100) {
        length += question(many + length, &answer);
        *ret_answers += answer;
    }
    return length;
}

/* However much comes at once, everything is answered. */
static void C13_very_many_in_one_go(void **state)
{
    enum { ROUNDS = 100 };
    size_t answers, length = fill_many(&answers), sent = 0, got = 0;
    int fd = client(0);
    (void)state;
    for (int i = 0; got < ROUNDS * answers && i < 100000; i++) {
        size_t at = sent % length, left = ROUNDS * length - sent;
        ssize_t n = left ? send_some(fd, many + at, left < length - at ? left : length - at, 0) : 0;
        sent += n > 0 ? (size_t)n : 0;
        assert_true(take(fd, &got));
    }
    assert_int_equal(got, ROUNDS * answers);
    close(fd);
}

/* ---- C14: greedy ---- */

static void C14_who_never_reads_is_not_read(void **state)
{
    size_t answers, length = fill_many(&answers), at = 0;
    int fd = client(4096);
    (void)state;
    for (int full = 0; full < 50;) { /* until nobody takes any more */
        ssize_t n = send_some(fd, many + at, length - at, 0);
        full = n > 0 ? 0 : full + 1;
        at = n > 0 ? (at + (size_t)n) % length : at;
        settle();
        assert_true(F.tcp_limits.unsent <= UNSENT + 1000);
    }
    assert_true(F.tcp_limits.unsent >= UNSENT);
    advance(4999);
    assert_int_equal(F.tcp_limits.clients, 1);
    advance(1);
    assert_int_equal(F.tcp_limits.clients, 0);
    close(fd);
}

/* ---- C15: too many ---- */

static void C15_no_descriptors(void **state)
{
    static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM};
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        F.accept_error = errors[i];
        F.accepts = 0;
        int fd = client(0);
        settle();
        assert_int_equal(F.accepts, 1);
        advance(5000);
        assert_in_range(F.accepts, 6, 20); /* looks now and then, and does not spin */
        F.accept_error = 0;
        advance(999);
        is_answered(fd);
        close(fd);
        settle();
    }
    assert_int_equal(F.log_lines, 1);
    F.accept_error = EMFILE;
    int fd = client(0);
    advance(61000);
    assert_int_equal(F.log_lines, 2); /* once a minute */
    close(fd);
}

static void C15_pausing_ends_when_it_can(void **state)
{
    (void)state;
    int fd = client(0);
    F.accept_error = EMFILE;
    settle();
    F.accept_error = 0;
    F.unwatched = true;
    advance(3000);
    F.unwatched = false;
    advance(999);
    is_answered(fd);
    close(fd);
}

static void C15_who_cannot_be_watched_is_closed(void **state)
{
    (void)state;
    int other = client(0);
    is_answered(other);
    F.unwatched = true;
    int fd = client(0);
    is_closed(fd);
    F.unwatched = false;
    is_answered(other);
    close(fd);
    fd = client(0);
    is_answered(fd);
    assert_int_equal(F.tcp_limits.clients, 2);
    close(fd);
    close(other);
}

/* The one that was silent the longest. */
static void C15_more_clients_than_places(void **state)
{
    int fds[PLACES + 1];
    (void)state;
    for (int i = 0; i < PLACES; i++) {
        fds[i] = client(0);
        is_answered(fds[i]);
    }
    is_answered(fds[0]);
    fds[PLACES] = client(0);
    is_answered(fds[PLACES]);
    is_closed(fds[1]);
    is_open(fds[0]);
    for (int i = 0; i <= PLACES; i++)
        close(fds[i]);
}

/* ---- C16: gone ---- */

static void C16_the_kernel_says_that_the_client_is_gone(void **state)
{
    static const int errors[] = {EPIPE, ECONNRESET, ETIMEDOUT, EHOSTUNREACH};
    uint8_t frame[100];
    size_t answer, length = question(frame, &answer);
    int other = client(0);
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        int fd = client(0);
        F.send_error = errors[i];
        send_all(fd, frame, length);
        is_closed(fd);
        F.send_error = 0;
        is_answered(other);
        close(fd);
    }
    close(other);
}

static void C16_urgent_data_and_resets(void **state)
{
    struct linger at_once = {1, 0};
    uint8_t frame[100];
    size_t answer, length = question(frame, &answer);
    (void)state;
    for (int i = 0; i < 20; i++) {
        int fd = client(0);
        send_all(fd, frame, length);
        send_some(fd, "!", 1, MSG_OOB);
        send_all(fd, frame, length);
        if (i & 1)
            receives(fd, 2 * answer);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(fd);
    }
    int other = client(0);
    is_answered(other);
    assert_int_equal(F.tcp_limits.clients, 1);
    close(other);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(C11_a_message_may_take_five_seconds),
        EACH(C11_so_may_the_largest),
        EACH(C11_what_can_be_no_message_is_not_awaited),
        EACH(idle_clients_are_closed),
        EACH(C12_every_cut_of_two_messages),
        EACH(C12_answers_come_after_a_half_close),
        EACH(C13_very_many_in_one_go),
        EACH(C14_who_never_reads_is_not_read),
        EACH(C15_no_descriptors),
        EACH(C15_pausing_ends_when_it_can),
        EACH(C15_who_cannot_be_watched_is_closed),
        EACH(C15_more_clients_than_places),
        EACH(C16_the_kernel_says_that_the_client_is_gone),
        EACH(C16_urgent_data_and_resets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
