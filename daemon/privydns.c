/* privydns: one lookup over any protocol, no daemon needed. The library's own customer: it sees the
 * public header only. */
#include "privydns_print.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EXIT_ANSWERED, EXIT_NOTHING, EXIT_BAD_USAGE, EXIT_UNRESOLVED };

#define UPSTREAMS_MAX 32
#define TYPE_PTR      12

struct arguments {
    const char *upstreams[UPSTREAMS_MAX]; /* as typed */
    unsigned upstream_count;
    const char *protocol;
    struct privy_upstream_options options;
    bool trace;
    const char *words[2]; /* NAME and TYPE, in the order typed */
    unsigned word_count;
    bool reverse;
    char reverse_name[80];
    struct print_question question;
};

static const char usage[] =
    "usage: privydns [-u URL | @URL]... [options] NAME [TYPE]\n"
    "       privydns [-u URL | @URL]... [options] -x ADDRESS\n"
    "  -u, --upstream URL    ask this one: tls://HOST[:853][#NAME], https://HOST/PATH,\n"
    "                        sdns://STAMP, udp://HOST[:53] or tcp://HOST[:53];\n"
    "                        repeatable, asked in this order;\n"
    "                        default: " PRIVYDNS_DEFAULT_UPSTREAMS "\n"
    "  -P, --protocol WORD   only upstreams of this protocol\n"
    "      --ca-file FILE    trust these certificates (PEM) instead of the system's\n"
    "      --client-cert FILE, --client-key FILE\n"
    "                        show this certificate (PEM) to the upstream\n"
    "  -x, --reverse ADDRESS the name of an address (PTR)\n"
    "      --short           only the data, one a line\n"
    "      --json            one JSON object\n"
    "      --trace           tell each step on standard error\n"
    "  -h, --help            this text\n"
    "  -V, --version         version and protocols\n"
    "TYPE is A unless given, and may stand before NAME.\n"
    "exit: 0 answered, 1 no such name or no data, 2 bad usage, 3 could not resolve\n";

static void __attribute__((format(printf, 1, 2), noreturn)) bad_usage(const char *format, ...)
{
    va_list args;

    fputs("privydns: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs(" (-h shows how)\n", stderr);
    exit(EXIT_BAD_USAGE);
}

static void show_version(void)
{
    printf("privydns %s\nprotocols:", privy_version());
    for (unsigned i = 0; privy_protocols(i); i++)
        printf(" %s", privy_protocols(i));
    putchar('\n');
    exit(0);
}

/* "192.0.2.1" -> "1.2.0.192.in-addr.arpa" [RFC 1035 §3.5; RFC 3596 §2.5] */
static bool reverse_name(const char *text, char out[80])
{
    unsigned char a[16];
    char *at = out;

    if (inet_pton(AF_INET, text, a) == 1) {
        snprintf(out, 80, "%u.%u.%u.%u.in-addr.arpa", a[3], a[2], a[1], a[0]);
        return true;
    }
    if (inet_pton(AF_INET6, text, a) != 1)
        return false;
    for (int i = 15; i >= 0; i--)
        at += sprintf(at, "%x.%x.", a[i] & 15u, a[i] >> 4u);
    strcpy(at, "ip6.arpa");
    return true;
}

static void check_protocol(const char *word)
{
    char known[256] = "";

    for (unsigned i = 0; privy_protocols(i); i++) {
        size_t n = strlen(known);
        if (strcmp(privy_protocols(i), word) == 0)
            return;
        snprintf(known + n, sizeof known - n, " %s", privy_protocols(i));
    }
    bad_usage("-P: '%s' is no protocol of this build:%s", word, known);
}

static void add_upstream(struct arguments *a, const char *url)
{
    if (a->upstream_count == UPSTREAMS_MAX)
        bad_usage("more than %d upstreams", UPSTREAMS_MAX);
    a->upstreams[a->upstream_count++] = url;
}

static void add_word(struct arguments *a, const char *word)
{
    if (*word == '@') {
        add_upstream(a, word + 1);
        return;
    }
    if (a->word_count == 2)
        bad_usage("'%s' is too much: one NAME and one TYPE", word);
    a->words[a->word_count++] = word;
}

static const char *typed_name(const char *name)
{
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p > 127)
            bad_usage("'%s' has non-ASCII letters: type its xn-- form", name);
    return name;
}

/* Which of the words is the name? A single one is, whatever it looks like; of two, the last that
 * is a type is the type. */
static void set_question(struct arguments *a)
{
    struct print_question *q = &a->question;
    const char *type = NULL;

    if (a->reverse) {
        if (a->word_count > 1)
            bad_usage("-x ADDRESS and a NAME cannot be looked up at once");
        q->name = a->reverse_name;
        type = a->word_count ? a->words[0] : "PTR";
    } else if (a->word_count == 0) {
        bad_usage("what name?");
    } else if (a->word_count == 1) {
        q->name = typed_name(a->words[0]);
        type = "A";
    } else {
        bool last = privy_type_parse(a->words[1]) || !privy_type_parse(a->words[0]);
        q->name = typed_name(a->words[!last]);
        type = a->words[last];
    }
    q->type = privy_type_parse(type);
    if (!q->type)
        bad_usage("'%s' is no record type; A, AAAA, MX, TXT, HTTPS, TYPE65 ... are", type);
}

static const char short_options[] = "u:P:x:hV";
enum { OPT_CA_FILE = 256, OPT_CERT, OPT_KEY, OPT_SHORT, OPT_JSON, OPT_TRACE };
static const struct option long_options[] = {
    {"upstream", required_argument, NULL, 'u'},
    {"protocol", required_argument, NULL, 'P'},
    {"ca-file", required_argument, NULL, OPT_CA_FILE},
    {"client-cert", required_argument, NULL, OPT_CERT},
    {"client-key", required_argument, NULL, OPT_KEY},
    {"reverse", required_argument, NULL, 'x'},
    {"short", no_argument, NULL, OPT_SHORT},
    {"json", no_argument, NULL, OPT_JSON},
    {"trace", no_argument, NULL, OPT_TRACE},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static void set_option(struct arguments *a, int option, const char *value)
{
    switch (option) {
    case 'u':
        add_upstream(a, value);
        break;
    case 'P':
        check_protocol(value);
        a->protocol = value;
        break;
    case 'x':
        a->reverse = true;
        if (!reverse_name(value, a->reverse_name))
            bad_usage("-x: '%s' is not an address", value);
        break;
    case OPT_CA_FILE:
        a->options.ca_file = value;
        break;
    case OPT_CERT:
        a->options.client_cert = value;
        break;
    case OPT_KEY:
        a->options.client_key = value;
        break;
    case OPT_SHORT:
    case OPT_JSON:
        a->question.form = option == OPT_SHORT ? PRINT_SHORT : PRINT_JSON;
        break;
    case OPT_TRACE:
        a->trace = true;
        break;
    case 'V':
        show_version();
        break;
    case 'h':
        fputs(usage, stdout);
        exit(0);
    default:
        fputs("privydns: -h shows how\n", stderr); /* getopt has told what */
        exit(EXIT_BAD_USAGE);
    }
}

static void read_arguments(struct arguments *a, int argc, char **argv)
{
    int option;

    a->options.size = sizeof a->options;
    while ((option = getopt_long(argc, argv, short_options, long_options, NULL)) != -1)
        set_option(a, option, optarg);
    for (int i = optind; i < argc; i++)
        add_word(a, argv[i]);
    set_question(a);
}

/* ---- asking ---- */

static struct privy_upstreams *set_new(bool plaintext, struct privy_upstreams *bootstrap)
{
    struct privy_upstreams_options options = {.size = sizeof options, .bootstrap = bootstrap};
    struct privy_upstreams *set;
    struct privy_error error;

    privy_pool_options_default(&options.pool_options);
    options.pool_options.strategy = PRIVY_ORDERED;
    options.pool_options.plaintext = plaintext;
    if (privy_upstreams_new(NULL, &options, &set, &error) == PRIVY_OK)
        return set;
    fprintf(stderr, "privydns: %s\n", error.message);
    exit(EXIT_UNRESOLVED);
}

static void set_add(struct privy_upstreams *set, const char *url, bool is_built_in,
                    const struct privy_upstream_options *options)
{
    struct privy_error error;
    enum privy_status status = privy_upstreams_add(set, url, options, &error);

    if (options && status == PRIVY_EUNSUPPORTED && strncmp(error.message, "ca_file: ", 9) == 0) {
        /* It is meant for all that are typed, and this one has no certificates. */
        struct privy_upstream_options others = *options;
        others.ca_file = NULL;
        status = privy_upstreams_add(set, url, &others, &error);
    }
    if (status == PRIVY_OK || (is_built_in && status == PRIVY_EUNSUPPORTED))
        return;
    fprintf(stderr, "privydns: upstream %s: %s\n", url, error.message);
    exit(EXIT_BAD_USAGE);
}

/* Those of the build whose protocols it has; they have their addresses with them. */
static struct privy_upstreams *built_in(const struct privy_upstream_options *options)
{
    struct privy_upstreams *set = set_new(false, NULL);
    char list[] = PRIVYDNS_DEFAULT_UPSTREAMS, *rest = list;

    for (const char *url; (url = strsep(&rest, ","));)
        set_add(set, url, true, options);
    return set;
}

/* What is typed may be plaintext: whoever types udp:// means it. Upstreams typed by name are looked
 * up through the built-in ones. */
static struct privy_upstreams *upstreams_of(const struct arguments *a)
{
    if (a->upstream_count == 0)
        return built_in(&a->options);
    struct privy_upstreams *bootstrap = built_in(NULL);
    struct privy_upstreams *set = set_new(true, bootstrap);
    for (unsigned i = 0; i < a->upstream_count; i++)
        set_add(set, a->upstreams[i], false, &a->options);
    privy_upstreams_unref(bootstrap);
    return set;
}

static double milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void trace_line(void *begun, enum privy_log_level level, const char *line)
{
    (void)level;
    fprintf(stderr, "%8.1f ms  %s\n", milliseconds() - *(const double *)begun, line);
}

static int ask(const struct arguments *a, struct privy_client *client)
{
    struct privy_answer *answer;
    struct privy_error error = {.status = PRIVY_OK};
    enum privy_status status =
        privy_lookup(client, a->question.name, a->question.type, a->protocol, &answer, &error);
    int result = EXIT_UNRESOLVED;

    if (status == PRIVY_EINVAL)
        bad_usage("'%s' is not a domain name", a->question.name);
    if (status == PRIVY_EUNSUPPORTED)
        bad_usage("-P: none of the upstreams speaks '%s'", a->protocol);
    if (status != PRIVY_OK) {
        print_error(&a->question, &error);
        return EXIT_UNRESOLVED;
    }
    print_answer(&a->question, answer);
    if (privy_answer_rcode(answer) == 0 || privy_answer_rcode(answer) == 3)
        result = print_has_data(&a->question, answer) && privy_answer_rcode(answer) == 0
                     ? EXIT_ANSWERED
                     : EXIT_NOTHING;
    privy_answer_unref(answer);
    return result;
}

int main(int argc, char **argv)
{
    static struct arguments a;
    struct privy_client_options options = {.size = sizeof options};
    struct privy_client *client;
    struct privy_error error;
    double begun = milliseconds();
    int result;

    read_arguments(&a, argc, argv);
    if (a.trace)
        privy_log_set(trace_line, &begun, PRIVY_LOG_DEBUG);
    options.upstreams = upstreams_of(&a);
    if (privy_client_new(&options, &client, &error) != PRIVY_OK) {
        fprintf(stderr, "privydns: %s\n", error.message);
        privy_upstreams_unref(options.upstreams);
        return EXIT_UNRESOLVED;
    }
    result = ask(&a, client);
    privy_client_free(client);
    privy_upstreams_unref(options.upstreams);
    privy_log_set(NULL, NULL, PRIVY_LOG_ERROR);
    if (fflush(stdout) != 0) {
        perror("privydns: standard output");
        return EXIT_UNRESOLVED;
    }
    return result;
}
