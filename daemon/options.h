/* The command line of privydnsd. */
#ifndef PRIVYDNSD_OPTIONS_H
#define PRIVYDNSD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#define OPTIONS_REPEAT 64 /* how often -l and -u may be given */

/* Exit codes, as sysexits.h has them. */
enum { EXIT_USAGE = 64, EXIT_CANNOT_START = 71, EXIT_NO_PERMISSION = 77, EXIT_CONFIG = 78 };

/* Strings are borrowed from argv. */
struct options {
    const char *config; /* -c; NULL: the environment's PRIVYDNS_CONFIG, or the default */
    const char *listen[OPTIONS_REPEAT];
    size_t listen_count;
    const char *upstreams[OPTIONS_REPEAT]; /* of the pool `default` */
    size_t upstream_count;
    bool test, print; /* -t, -p */
    unsigned verbose; /* 1: log.level info, 2: debug; either: log.target stderr */
};

/* Read the command line. -1: go on. Else the exit code: help or version was printed (0), or the
 * usage is wrong and was explained on stderr (EXIT_USAGE). */
int options_parse(int argc, char **argv, struct options *ret);

#endif
