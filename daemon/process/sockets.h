/* Listening sockets. */
#ifndef PRIVYDNSD_SOCKETS_H
#define PRIVYDNSD_SOCKETS_H

#include "base/addr.h"

#define SOCKETS_WORKERS 64

/* The sockets of one listen address: UDP and TCP, one pair for each worker. */
struct sockets {
    struct pv_addr addr;
    unsigned workers;
    int udp[SOCKETS_WORKERS], tcp[SOCKETS_WORKERS];
};

/* Bind all of them. 0, or the exit code with why (a line for people) and the errno. */
int sockets_open(struct sockets *ret, const struct pv_addr *, unsigned workers, bool freebind,
                 char *why, size_t capacity, int *ret_errno);
void sockets_close(struct sockets *);

#endif
