#include "listeners.h"

#include "process/log.h"

#include <errno.h>
#include <stdlib.h>

bool addrs_have(const struct config_addrs *list, const struct pv_addr *addr)
{
    for (size_t i = 0; i < list->count; i++)
        if (pv_addr_equal(&list->items[i], addr))
            return true;
    return false;
}

/* Many machines have no IPv6, and the default listens on ::1 too. */
static bool is_dispensable(const struct pv_addr *addr, int error)
{
    return addr->sa.sa_family == AF_INET6 && pv_addr_is_loopback(addr) &&
           (error == EAFNOSUPPORT || error == EADDRNOTAVAIL);
}

static int open_next(struct listeners *l, const struct pv_addr *addr, unsigned workers,
                     bool freebind, char *why, size_t capacity)
{
    char text[PV_ADDR_TEXT];
    int error = 0;
    int code = sockets_open(&l->items[l->count], addr, workers, freebind, why, capacity, &error);
    if (code == 0)
        l->count++;
    if (code == 0 || !is_dispensable(addr, error))
        return code;
    log_notice("%s is not served: this machine has no IPv6", pv_addr_text(addr, text));
    return 0;
}

int listeners_open(struct listeners *l, const struct config_addrs *wanted,
                   const struct config_addrs *have, unsigned workers, bool freebind, char *why,
                   size_t capacity)
{
    int code = 0;
    *l = (struct listeners){.items = calloc(wanted->count + 1, sizeof *l->items)};
    for (size_t i = 0; l->items && code == 0 && i < wanted->count; i++)
        if (!addrs_have(have, &wanted->items[i]))
            code = open_next(l, &wanted->items[i], workers, freebind, why, capacity);
    if (!l->items || (code == 0 && l->count + have->count == 0)) {
        snprintf(why, capacity, "no address to listen on");
        code = EXIT_CANNOT_START;
    }
    if (code)
        listeners_done(l);
    return code;
}

void listeners_done(struct listeners *l)
{
    for (size_t i = 0; i < l->count; i++)
        sockets_close(&l->items[i]);
    free(l->items);
    *l = (struct listeners){0};
}
