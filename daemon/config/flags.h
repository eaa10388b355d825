/* What the command line says, and what the program may answer. */
#ifndef PRIVYDNSD_CONFIG_FLAGS_H
#define PRIVYDNSD_CONFIG_FLAGS_H

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

#endif
