/* Memory of one configuration: given out piece by piece, freed at once. */
#ifndef PRIVYDNSD_CONFIG_ARENA_H
#define PRIVYDNSD_CONFIG_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *);
/* Zeroed, aligned for anything; NULL: no memory. */
void *arena_alloc(struct arena *, size_t size);
/* count members of size octets each. */
void *arena_array(struct arena *, size_t count, size_t size);
char *arena_copy(struct arena *, const char *text, size_t length); /* with a NUL added */
char *arena_printf(struct arena *, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
