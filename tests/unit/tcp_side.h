/* The TCP side on loopback and clients of it, for test_tcp.c. The clock stands still until a test
 * moves it. Questions are for localhost, answered here: no resolver is needed. */
#ifndef TCP_SIDE_H
#define TCP_SIDE_H

#include "unit.h"

#include "serve.h"
#include "serve/tcp.h"

#define PLACES  20
#define IDLE_MS 10000
#define TIMERS  64

extern struct tcp_side {
    struct site site;
    struct limits limits;
    struct tcp_limits tcp_limits;
    struct stats stats;
    struct server server;
    struct event_base *base;
    struct tcp *tcp;
    struct pv_addr addr;
    uint64_t now_ms;
    struct timer {
        struct event *event; /* NULL: free */
        uint64_t at_ms;
    } timers[TIMERS];
    unsigned accepts, log_lines;
    int accept_error, send_error; /* what the kernel says; 0: it does its work */
    bool unwatched;               /* libevent takes no descriptor */
} F;

int set_up(void **state);
int tear_down(void **state);

/* Let everything happen that needs no time; let time pass. */
void settle(void);
void advance(uint64_t ms);

/* A connection. receive_buffer: 0 for the usual size. */
int client(int receive_buffer);
/* A question in its frame, and the length of the answer's frame. */
size_t question(uint8_t out[100], size_t *ret_answer);
void send_all(int fd, const void *data, size_t length);
ssize_t send_some(int fd, const void *data, size_t length, int flags);

/* Reads what is there, while the clock stands. False: the connection has ended. */
bool take(int fd, size_t *sum);
void receives(int fd, size_t length);
void is_answered(int fd);
void is_open(int fd);
size_t is_closed(int fd); /* returns the octets that came before the end */

#endif
