/* Who holds a port, where /proc tells. */
#ifndef PRIVYDNSD_HOLDER_H
#define PRIVYDNSD_HOLDER_H

#include "base/addr.h"

#define HOLDER_TEXT 96

/* "systemd-resolve (pid 123)"; NULL: it cannot be known. */
const char *holder_find(const struct pv_addr *, bool tcp, char out[HOLDER_TEXT]);

#endif
