/* Names with letters beyond ASCII, written as DNS has them [RFC 3492; RFC 5891]. */
#ifndef PV_UPSTREAM_IDNA_H
#define PV_UPSTREAM_IDNA_H

#include <stdbool.h>
#include <stddef.h>

bool pv_is_utf8(const char *text, size_t length);
/* Each label that is not ASCII becomes its "xn--" form; nothing is mapped (the text is taken to be
 * in lower case and composed), ASCII letters become small. text is UTF-8. False: it does not fit.
 */
bool pv_idna_to_ascii(const char *text, size_t length, char *out, size_t capacity);

#endif
