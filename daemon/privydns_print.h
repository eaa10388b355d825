/* What `privydns` shows of an answer or an error: lines for people, bare values, or JSON. */
#ifndef PRIVYDNS_PRINT_H
#define PRIVYDNS_PRINT_H

#include <privydns/privydns.h>

enum print_form { PRINT_LINES, PRINT_SHORT, PRINT_JSON };

struct print_question {
    const char *name; /* as typed */
    uint16_t type;
    enum print_form form;
};

/* Does the answer hold what was asked for (after its CNAMEs)? */
bool print_has_data(const struct print_question *, const struct privy_answer *);
void print_answer(const struct print_question *, const struct privy_answer *);
/* Each attempt on a line of standard error; as JSON on standard output. */
void print_error(const struct print_question *, const struct privy_error *);

#endif
