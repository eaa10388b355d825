#include "options.h"

#include <privydns/privydns.h>

#include <event2/event.h>
#include <getopt.h>
#include <openssl/crypto.h>
#include <sodium.h>
#include <stdio.h>
#include <yaml.h>

static const char usage[] =
    "usage: privydnsd [-c FILE] [-l ADDR[:PORT]]... [-u URL]... [-t] [-p] [-v]... [-V] [-h]\n";

static const char help[] =
    "Answers DNS questions of this machine through encrypted upstreams.\n"
    "\n"
    "  -c, --config FILE     default /etc/privydns/privydns.yaml if it exists, else the\n"
    "                        built-in defaults\n"
    "  -l, --listen ADDR     replaces `listen` (repeatable)\n"
    "  -u, --upstream URL    replaces the upstreams of pool `default` (repeatable)\n"
    "  -t, --test-config     check everything, print every fault as FILE:LINE:COLUMN: message\n"
    "  -p, --print-config    print the effective configuration, with where each value came from\n"
    "  -v, --verbose         info, twice debug; log to stderr\n"
    "  -V, --version         version, protocols built in, library versions\n"
    "  -h, --help            this text\n"
    "\n"
    "See privydnsd(8) and privydns.yaml(5).\n";

static const struct option long_options[] = {{"config", required_argument, NULL, 'c'},
                                             {"listen", required_argument, NULL, 'l'},
                                             {"upstream", required_argument, NULL, 'u'},
                                             {"test-config", no_argument, NULL, 't'},
                                             {"print-config", no_argument, NULL, 'p'},
                                             {"verbose", no_argument, NULL, 'v'},
                                             {"version", no_argument, NULL, 'V'},
                                             {"help", no_argument, NULL, 'h'},
                                             {NULL, 0, NULL, 0}};

static void print_version(void)
{
    printf("privydnsd %s\nprotocols:", privy_version());
    for (unsigned i = 0; privy_protocols(i); i++)
        printf(" %s", privy_protocols(i));
    printf("\nlibraries: %s, libevent %s, libsodium %s, libyaml %s\n",
           OpenSSL_version(OPENSSL_VERSION), event_get_version(), sodium_version_string(),
           yaml_get_version_string());
}

static int wrong(const char *what)
{
    if (what)
        fprintf(stderr, "privydnsd: %s\n", what);
    fputs(usage, stderr);
    fputs("Try 'privydnsd --help'.\n", stderr);
    return EXIT_USAGE;
}

/* One flag; -1: go on. */
static int take(int flag, struct options *o)
{
    switch (flag) {
    case 'c':
        o->config = optarg;
        return -1;
    case 'l':
        if (o->listen_count == OPTIONS_REPEAT)
            return wrong("too many -l");
        o->listen[o->listen_count++] = optarg;
        return -1;
    case 'u':
        if (o->upstream_count == OPTIONS_REPEAT)
            return wrong("too many -u");
        o->upstreams[o->upstream_count++] = optarg;
        return -1;
    case 't':
        o->test = true;
        return -1;
    case 'p':
        o->print = true;
        return -1;
    case 'v':
        o->verbose++;
        return -1;
    case 'V':
        print_version();
        return 0;
    case 'h':
        fputs(usage, stdout);
        fputs(help, stdout);
        return 0;
    default:
        return wrong(NULL); /* getopt has said what */
    }
}

int options_parse(int argc, char **argv, struct options *ret)
{
    struct options o = {0};
    int flag, code = -1;
    optind = 0; /* from the start, whoever parsed before */
    while (code < 0 && (flag = getopt_long(argc, argv, "c:l:u:tpvVh", long_options, NULL)) != -1)
        code = take(flag, &o);
    if (code >= 0)
        return code;
    if (optind < argc) {
        char what[128];
        snprintf(what, sizeof what, "unexpected argument '%.80s'", argv[optind]);
        return wrong(what);
    }
    *ret = o;
    return -1;
}
