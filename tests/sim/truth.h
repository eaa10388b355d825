/* Is what an asker was told true, and was it entitled to better? */
#ifndef SIM_TRUTH_H
#define SIM_TRUTH_H

#include "asker.h"

/* May this server be asked for it at all? */
bool truth_allows(const struct asker *, const struct server *);
void truth_check(struct asker *, const struct privy_answer *);
void truth_check_cached(struct asker *, const uint8_t *wire, size_t length,
                        const struct privy_facts *);
/* It has ended: with one healthy upstream it may not have failed. */
void truth_promise(const struct asker *);

#endif
