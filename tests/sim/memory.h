/* Memory: the linker puts our own functions in the place of malloc and the like, so that the
 * library's allocations can be counted and made to fail. */
#ifndef SIM_MEMORY_H
#define SIM_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* The world's own: zeroed, never fails, counted with the rest. */
void *own_alloc(size_t);
void own_free(void *);

/* Of the library's allocations from now on, the first `spared` succeed, the next `many` fail. */
void memory_fail(uint64_t spared, uint64_t many);
uint64_t memory_refused(void); /* so many have failed */
long memory_live(void);        /* allocations that were not freed */

#endif
