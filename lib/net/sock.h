/* Connected sockets, TCP and UDP: the only place of the library that moves packets. Edge: reports
 * readiness, never retries. The functions behind it are the test's seam. */
#ifndef PV_NET_SOCK_H
#define PV_NET_SOCK_H

#include "base/addr.h"
#include "net/loop.h"

#include <sys/types.h>

enum { PV_SOCK_READ = 1, PV_SOCK_WRITE = 2 };

struct pv_sock;
/* events: PV_SOCK_READ: recv() will not block (or tells the end); PV_SOCK_WRITE: connected, or room
 * again. May close the sock. */
typedef void pv_sock_ready(void *arg, unsigned events);

/* What the machine does for us. All but the clocks set errno like the system calls. */
struct pv_machine {
    uint64_t (*now)(void *world);     /* CLOCK_MONOTONIC, µs */
    uint64_t (*age_now)(void *world); /* CLOCK_BOOTTIME, s */
    /* Begin to connect; NULL with errno when it fails at once. A TCP sock is writable when
     * connected or failed: pv_sock_error() tells. */
    struct pv_sock *(*open)(struct pv_loop *, bool tcp, const struct pv_addr *peer,
                            pv_sock_ready *ready, void *arg);
    void (*want)(struct pv_sock *, unsigned events);
    int (*error)(struct pv_sock *); /* SO_ERROR: 0 when connected */
    ssize_t (*send)(struct pv_sock *, const void *, size_t);
    ssize_t (*recv)(struct pv_sock *, void *, size_t); /* 0: the peer closed (TCP) */
    void (*hasten)(struct pv_sock *);                  /* optional: see pv_sock_hasten() */
    bool (*local)(struct pv_sock *, struct pv_addr *ret);
    void (*close)(struct pv_sock *);
    void (*arm)(struct pv_loop *); /* unused by the real one; a simulation learns of new timers */
};
extern const struct pv_machine pv_machine_real;

struct pv_sock *pv_sock_open(struct pv_loop *, bool tcp, const struct pv_addr *peer,
                             pv_sock_ready *ready, void *arg);
void pv_sock_want(struct pv_sock *, unsigned events); /* begins with none */
int pv_sock_error(struct pv_sock *);
ssize_t pv_sock_send(struct pv_sock *, const void *, size_t);
ssize_t pv_sock_recv(struct pv_sock *, void *, size_t);
/* TCP: acknowledge what was read now, not when the kernel likes. A server that leaves Nagle's
 * algorithm on holds its next answer for that, 40 ms long. */
void pv_sock_hasten(struct pv_sock *);
bool pv_sock_local(struct pv_sock *, struct pv_addr *ret);
void pv_sock_close(struct pv_sock *); /* NULL is fine */

/* What every implementation's sock begins with. */
struct pv_sock_head {
    const struct pv_machine *machine;
};

#endif
