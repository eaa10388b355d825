/* The addresses that are served, and how they change. */
#ifndef PRIVYDNSD_LISTENERS_H
#define PRIVYDNSD_LISTENERS_H

#include "config/config.h"
#include "config/flags.h"
#include "process/sockets.h"

/* Sockets just opened, not given to the workers yet. */
struct listeners {
    struct sockets *items;
    size_t count;
};

/* Bind the addresses of `wanted` that are not among `have`: all, or none with an exit code and why.
 * An address of IPv6 loopback that the machine does not have is left out, with a line in the log.
 */
int listeners_open(struct listeners *ret, const struct config_addrs *wanted,
                   const struct config_addrs *have, unsigned workers, bool freebind, char *why,
                   size_t capacity);
void listeners_done(struct listeners *); /* closes what nobody took */
bool addrs_have(const struct config_addrs *, const struct pv_addr *);

#endif
