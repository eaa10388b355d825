/* Memory that runs out: the linker puts our functions in the place of malloc and the like (`scarce`
 * in meson.build). */
#ifndef SCARCE_H
#define SCARCE_H

#include <stdbool.h>

/* From now on, allocations `from` to `from + many - 1` fail; the first is 1. */
void scarce_begin(unsigned from, unsigned many);
unsigned scarce_end(void);                 /* back to plenty; so many were asked for */
extern const volatile bool *scarce_spares; /* while true, all succeed and none counts */

#endif
