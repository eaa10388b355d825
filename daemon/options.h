/* The command line of privydnsd. */
#ifndef PRIVYDNSD_OPTIONS_H
#define PRIVYDNSD_OPTIONS_H

#include "config/flags.h"

/* Read the command line. -1: go on. Else the exit code: help or version was printed (0), or the
 * usage is wrong and was explained on stderr (EXIT_USAGE). */
int options_parse(int argc, char **argv, struct options *ret);

#endif
