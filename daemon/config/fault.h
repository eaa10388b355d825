/* What is wrong with a configuration: all of it, each with its place. */
#ifndef PRIVYDNSD_CONFIG_FAULT_H
#define PRIVYDNSD_CONFIG_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Where a value or a key was written. */
struct place {
    const char *source;    /* a file's name, "PRIVYDNS_LISTEN", "--listen"; NULL: the default */
    unsigned line, column; /* from 1; 0: the source has no lines */
};
#define PLACE_TEXT 4200
/* "FILE:LINE:COLUMN", "PRIVYDNS_LISTEN", or "default". */
const char *place_text(const struct place *, char out[PLACE_TEXT]);

struct fault {
    char *text;           /* "FILE:LINE:COLUMN: message", one line, foreign text escaped */
    bool warning;         /* does not make the configuration unusable */
    size_t source_length; /* of text: the FILE alone */
    unsigned line, column;
};

enum { FAULTS_MAX = 100 };

struct faults {
    struct fault *items; /* source by source, in order of their lines; FAULTS_MAX at most */
    size_t count;
    bool more;      /* there are more than those */
    bool no_memory; /* it need not be the configuration that is at fault */
    size_t
        errors; /* those that are not warnings; also counts what items lacks, FAULTS_MAX at most */
};

/* What comes second at the place of an error is left out: it follows from the first. */
void faults_error(struct faults *, const struct place *, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void faults_no_memory(struct faults *, const char *source);
void faults_warn(struct faults *, const struct place *, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* One line each; the program's log has them line by line through items. */
void faults_print(const struct faults *, FILE *);
void faults_done(struct faults *); /* starts from {0}, and is {0} again */

/* The word nearest to text, for "did you mean", written to out and returned; NULL: none is near.
 * next gives the i-th word, or NULL; it need not outlive the next call. */
#define NEAREST_TEXT 64
const char *nearest_word(const char *text, const char *(*next)(void *arg, size_t i), void *arg,
                         char out[NEAREST_TEXT]);

#endif
