/* Tells when files may have changed: watches the directories and links that their names lead
 * through. */
#ifndef PV_NET_WATCH_H
#define PV_NET_WATCH_H

#include "net/loop.h"

struct pv_watch;
/* changed runs from the loop, half a second after the last of several changes (two seconds after
 * the first): certificate and key are seldom written in one. Where nothing can be watched it runs
 * once a minute, else once an hour: not all file systems tell. paths: NULL-ended; copied. NULL: no
 * memory. */
struct pv_watch *pv_watch_new(struct pv_loop *, const char *const *paths,
                              void (*changed)(void *arg), void *arg);
void pv_watch_free(struct pv_watch *); /* NULL is fine */

#endif
