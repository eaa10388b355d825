/* OpenSSL often goes on where it has no memory: without the key of a certificate, without an
 * algorithm, and for as long as the process lives. So its allocations are watched. */
#ifndef PRIVYDNSD_MEMORY_H
#define PRIVYDNSD_MEMORY_H

#include <stdbool.h>

/* Before anything else of OpenSSL. */
void memory_watch(void);
/* Did it get less than it asked for on this thread, since the last call? */
bool memory_ran_out(void);

#endif
