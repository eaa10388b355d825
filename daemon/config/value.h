/* Numbers, durations, sizes, words: text to value and back, by the row that says what is allowed.
 */
#ifndef PRIVYDNSD_CONFIG_VALUE_H
#define PRIVYDNSD_CONFIG_VALUE_H

#include "config/schema.h"

#define VALUE_TEXT 256

/* False: complaint says what was found and what is allowed: "'5' is not a duration: ...". */
bool value_parse(const struct schema_row *, const char *text, uint32_t *ret,
                 char complaint[VALUE_TEXT]);
/* The shortest text that value_parse reads back as v. */
const char *value_text(const struct schema_row *, uint32_t v, char out[VALUE_TEXT]);
/* What is allowed, in words: "100ms to 30s", "true or false", "auto, or 1 to 64". */
const char *value_allowed(const struct schema_row *, char out[VALUE_TEXT]);
/* Is text one of words? Else the complaint, with "did you mean". */
bool word_parse(const struct schema_word *, const char *text, uint32_t *ret,
                char complaint[VALUE_TEXT]);
/* The words of a row, or NULL. */
const struct schema_word *value_words(const struct schema_row *);

#endif
