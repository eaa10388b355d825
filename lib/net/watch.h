/* Tells when files may have changed: watches the directories that their names lead through. */
#ifndef PV_NET_WATCH_H
#define PV_NET_WATCH_H

#include "net/loop.h"

struct pv_watch;
/* changed runs from the loop, half a second after the last of several changes: certificate and key
 * are seldom written in one. paths: NULL-ended; copied. NULL: no memory, or nothing here can watch:
 * then ask now and then. */
struct pv_watch *pv_watch_new(struct pv_loop *, const char *const *paths,
                              void (*changed)(void *arg), void *arg);
void pv_watch_free(struct pv_watch *); /* NULL is fine */

#endif
