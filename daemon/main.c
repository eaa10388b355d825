/* privydnsd: start, stop, reload. The main thread answers no query; the workers do. */
#include "listeners.h"
#include "options.h"
#include "process/log.h"
#include "process/memory.h"
#include "process/privs.h"
#include "worker.h"

#include <event2/event.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define STOP_MOST_MS      1500 /* workers have 1 s for what is in flight */
#define WHY               512
#define DESCRIPTORS_SPARE 32 /* beside clients: connections to upstreams, files, log ... */
#define DESCRIPTORS_EACH  8  /* the same, each worker */
#define CONNECTIONS_SPARE 16 /* in DESCRIPTORS_SPARE there is room for so many */

static struct daemon {
    struct options options;
    struct config *config;
    struct shared shared;
    struct event_base *base;
    struct mailbox mailbox;
    struct event sigterm, sigint, sighup, stop_timer;
    struct worker *workers[SOCKETS_WORKERS];
    unsigned worker_count, running;
    struct config_addrs served; /* the addresses; our copy */
    bool stopping;
    char why[WHY];
} D;

/* ---- the configuration's lines ---- */

static void log_faults(const struct faults *faults)
{
    for (size_t i = 0; i < faults->count; i++)
        log_write(faults->items[i].warning ? PRIVY_LOG_WARNING : PRIVY_LOG_ERROR, "%s",
                  faults->items[i].text);
    if (faults->more)
        log_error("and more");
}

static void apply_log(const struct config *config)
{
    struct log_options o = {.target = (enum config_target)config->log.target,
                            .level = (enum privy_log_level)config->log.level,
                            .facility = config->log.facility};
    log_open(&o);
    if (config->log.queries)
        log_warning("log.queries: the names that people look up are being logged");
}

/* ---- who will see the queries ---- */

struct names {
    char text[400];
    size_t length;
    bool more;
};

/* "9.9.9.9 (dns.quad9.net, dot)": whom, the name it proves to have, and how. */
static void add_name(void *arg, const struct privy_upstream_stats *stats)
{
    struct names *n = arg;
    size_t room = sizeof n->text - n->length;
    const char *proves = strchr(stats->url, '#');
    int m = snprintf(n->text + n->length, room, "%s%s (%s%s%s)", n->length ? ", " : "", stats->name,
                     proves ? proves + 1 : "", proves ? ", " : "", stats->protocol);
    if (m < 0 || (size_t)m >= room) {
        n->text[n->length] = 0;
        n->more = true;
        return;
    }
    n->length += (size_t)m;
}

static void log_pools(const struct config *config)
{
    for (size_t i = 0; i < config->pool_count; i++) {
        struct names names = {0};
        privy_upstreams_stats(config->pools[i].set, add_name, &names);
        bool built_in = &config->pools[i] == config->default_pool && config->built_in_upstreams;
        log_notice("%s%s%s will see the queries of pool %s%s", names.text, names.more ? " ..." : "",
                   built_in ? ", built in," : "", config->pools[i].name,
                   config->pools[i].options.plaintext ? ", where plaintext is allowed" : "");
    }
}

static void log_listeners(void)
{
    for (size_t i = 0; i < D.served.count; i++) {
        char text[PV_ADDR_TEXT];
        log_notice("listening on %s, UDP and TCP", pv_addr_text(&D.served.items[i], text));
    }
}

/* ---- served addresses ---- */

/* What is served once `config` applies: of the wanted, those that were opened or were there. */
static bool served_after(const struct config *config, const struct listeners *opened,
                         struct config_addrs *ret)
{
    ret->items = calloc(config->listen.count + 1, sizeof *ret->items);
    ret->count = 0;
    for (size_t i = 0; ret->items && i < config->listen.count; i++) {
        const struct pv_addr *addr = &config->listen.items[i];
        bool is = addrs_have(&D.served, addr);
        for (size_t j = 0; !is && j < opened->count; j++)
            is = pv_addr_equal(&opened->items[j].addr, addr);
        if (is)
            ret->items[ret->count++] = *addr;
    }
    return ret->items != NULL;
}

/* ---- descriptors ---- */

static unsigned count_upstreams(const struct config *config)
{
    size_t n = 0;
    for (size_t i = 0; i < config->pool_count; i++)
        n += config->pools[i].upstream_count;
    return (unsigned)n;
}

/* Clients leave at least one for each upstream. */
static void limit_clients(const struct config *config, unsigned workers)
{
    unsigned descriptors = privs_raise_descriptors();
    unsigned connections = workers * count_upstreams(config);
    unsigned spare = DESCRIPTORS_SPARE + workers * DESCRIPTORS_EACH;
    if (connections > CONNECTIONS_SPARE)
        spare += connections - CONNECTIONS_SPARE;
    unsigned most = descriptors > spare + 4 ? descriptors - spare : 4;
    if (most < config->tcp_clients && most != D.shared.tcp_limits.most)
        log_warning("only %u TCP clients at a time: RLIMIT_NOFILE is %u", most, descriptors);
    D.shared.tcp_limits.most = most;
}

/* ---- reload ---- */

/* All or nothing, of what OpenSSL takes part in too. */
static struct config *load(struct config *previous, struct faults *faults)
{
    memory_ran_out();
    struct config *config = config_load(&D.options, previous, faults);
    if (!memory_ran_out())
        return config;
    faults_no_memory(faults, "privydnsd");
    config_unref(config);
    return NULL;
}

static void warn_restart(const struct config *old, const struct config *new)
{
    if (old->workers != new->workers)
        log_warning("`workers` changes with the next start only");
    if (strcmp(old->user, new->user) != 0)
        log_warning("`user` changes with the next start only");
    if (memcmp(&old->cache, &new->cache, sizeof old->cache) != 0)
        log_warning("`cache` changes with the next start only");
    if (old->limits.connections_per_upstream != new->limits.connections_per_upstream)
        log_warning("`limits.connections_per_upstream` changes with the next start only");
}

static struct change *change_new(struct config *config, struct listeners *opened,
                                 const struct config_addrs *served)
{
    struct change *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->refs = 1;
    c->policy = policy_new(config);
    c->removed = calloc(D.served.count + 1, sizeof *c->removed);
    if (!c->policy || !c->removed) {
        change_unref(c);
        return NULL;
    }
    for (size_t i = 0; i < D.served.count; i++)
        if (!addrs_have(served, &D.served.items[i]))
            c->removed[c->removed_count++] = D.served.items[i];
    c->added = opened->items;
    c->added_count = opened->count;
    *opened = (struct listeners){0};
    return c;
}

/* To all workers or to none. */
static bool send_change(struct change *c)
{
    struct notice *notices[SOCKETS_WORKERS];
    unsigned count = 0;
    while (count < D.worker_count && (notices[count] = notice_new(D.workers[count], c)))
        count++;
    bool all = count == D.worker_count;
    for (unsigned i = 0; i < count; i++) {
        if (all)
            notice_send(notices[i]);
        else
            notice_free(notices[i]);
    }
    return all;
}

/* Swap to a checked configuration; takes it over. False with D.why: nothing has changed. */
static bool adopt(struct config *config)
{
    struct listeners opened;
    struct config_addrs served = {0};
    struct change *change = NULL;
    if (listeners_open(&opened, &config->listen, &D.served, D.worker_count, config->freebind, D.why,
                       WHY) != 0)
        return false;
    if (served_after(config, &opened, &served))
        change = change_new(config, &opened, &served);
    bool sent = change && send_change(change);
    change_unref(change);
    if (!sent) {
        snprintf(D.why, WHY, "no memory");
        listeners_done(&opened);
        free(served.items);
        return false;
    }
    apply_log(config);
    warn_restart(D.config, config);
    limit_clients(config, D.worker_count);
    free(D.served.items);
    D.served = served;
    config_unref(D.config);
    D.config = config;
    return true;
}

static void on_reload(evutil_socket_t fd, short what, void *arg)
{
    struct faults faults = {0};
    (void)fd, (void)what, (void)arg;
    if (D.stopping)
        return;
    struct config *config = load(D.config, &faults);
    log_faults(&faults);
    snprintf(D.why, WHY, "%zu fault%s in the configuration", faults.errors,
             faults.errors == 1 ? "" : "s");
    faults_done(&faults);
    if (config && adopt(config)) {
        log_notice("configuration reloaded");
        return;
    }
    config_unref(config);
    log_error("reload failed, nothing has changed: %s", D.why);
}

/* ---- stop ---- */

static void on_stop_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    log_warning("a worker does not stop; leaving without it");
    log_close();
    _exit(0);
}

static void on_stop(evutil_socket_t signal, short what, void *arg)
{
    struct timeval tv = {.tv_sec = STOP_MOST_MS / 1000, .tv_usec = STOP_MOST_MS % 1000 * 1000};
    (void)what, (void)arg;
    if (D.stopping) {
        log_close();
        _exit(0);
    }
    D.stopping = true;
    log_notice("stopping: %s", strsignal((int)signal));
    event_add(&D.stop_timer, &tv);
    for (unsigned i = 0; i < D.worker_count; i++)
        worker_stop(D.workers[i]);
}

static void on_worker_ended(struct letter *l)
{
    (void)l;
    if (--D.running == 0)
        event_base_loopexit(D.base, NULL);
}

static void log_totals(void)
{
    struct stats total = {0};
    for (unsigned i = 0; i < D.worker_count; i++)
        stats_add(&total, worker_stats(D.workers[i]));
    log_info("stopped: %llu queries over UDP, %llu over TCP, %llu malformed",
             (unsigned long long)total.queries_udp, (unsigned long long)total.queries_tcp,
             (unsigned long long)total.malformed);
}

/* ---- start ---- */

/* Started without them, a socket would take the place of stderr, and get the log. */
static void have_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

static unsigned count_workers(const struct config *config)
{
    cpu_set_t set;
    unsigned n = config->workers;
    if (n == 0 && sched_getaffinity(0, sizeof set, &set) == 0)
        n = (unsigned)CPU_COUNT(&set);
    return n == 0 ? 1 : n > SOCKETS_WORKERS ? SOCKETS_WORKERS : n;
}

static int start_workers(struct listeners *opened, unsigned count)
{
    struct policy *policy = policy_new(D.config);
    bool good = policy != NULL;
    snprintf(D.why, WHY, "no memory");
    while (good && D.worker_count < count) {
        struct worker *w = worker_new(D.worker_count, policy, &D.shared, D.why, WHY);
        if (w)
            D.workers[D.worker_count++] = w;
        for (size_t i = 0; w && i < opened->count; i++)
            good = worker_listen(w, &opened->items[i]) && good;
        good = w && good;
    }
    policy_unref(policy);
    for (unsigned i = 0; good && i < count; i++) {
        good = worker_start(D.workers[i]);
        D.running += good;
    }
    return good ? 0 : EXIT_CANNOT_START;
}

static bool start_loop(void)
{
    D.base = event_base_new();
    if (!D.base || !mailbox_init(&D.mailbox, D.base) || !log_attach(D.base))
        return false;
    signal(SIGPIPE, SIG_IGN);
    evsignal_assign(&D.sigterm, D.base, SIGTERM, on_stop, NULL);
    evsignal_assign(&D.sigint, D.base, SIGINT, on_stop, NULL);
    evsignal_assign(&D.sighup, D.base, SIGHUP, on_reload, NULL);
    evtimer_assign(&D.stop_timer, D.base, on_stop_timer, NULL);
    return event_add(&D.sigterm, NULL) == 0 && event_add(&D.sigint, NULL) == 0 &&
           event_add(&D.sighup, NULL) == 0;
}

/* Everything up to the moment when queries are answered. 0, or an exit code with D.why. */
static int start(void)
{
    struct privs privs;
    struct listeners opened = {0};
    struct config_addrs none = {0};
    unsigned workers = count_workers(D.config);
    int code = privs_find(&privs, D.config->user, D.why, WHY);
    if (code == 0)
        code = listeners_open(&opened, &D.config->listen, &none, workers, D.config->freebind, D.why,
                              WHY);
    if (code == 0)
        code = privs_drop(&privs, D.why, WHY);
    privs_harden();
    if (code == 0) {
        snprintf(D.why, WHY, "no memory or no descriptors");
        D.shared.ended = on_worker_ended;
        D.shared.mailbox = &D.mailbox;
        D.shared.cache = D.config->cache.size ? privy_cache_new(&D.config->cache) : NULL;
        if (!tcp_limits_init(&D.shared.tcp_limits) || !start_loop() ||
            (D.config->cache.size && !D.shared.cache) ||
            !served_after(D.config, &opened, &D.served))
            code = EXIT_CANNOT_START;
    }
    if (code == 0) {
        limit_clients(D.config, workers);
        code = start_workers(&opened, workers);
    }
    if (code == 0 && memory_ran_out()) {
        snprintf(D.why, WHY, "no memory");
        code = EXIT_CANNOT_START;
    }
    listeners_done(&opened);
    return code;
}

static void finish(void)
{
    /* All but done: one more signal must not turn the exit code into "killed". */
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (unsigned i = 0; i < D.worker_count; i++)
        worker_free(D.workers[i]);
    log_detach();
    event_del(&D.sigterm);
    event_del(&D.sigint);
    event_del(&D.sighup);
    event_del(&D.stop_timer);
    mailbox_done(&D.mailbox);
    event_base_free(D.base);
    privy_cache_unref(D.shared.cache);
    tcp_limits_done(&D.shared.tcp_limits);
    free(D.served.items);
    config_unref(D.config);
    log_close();
}

/* Could not start: say it where whoever started us looks. */
static int give_up(int code)
{
    fprintf(stderr, "privydnsd: %s\n", D.why);
    log_close();
    _exit(code); /* workers may be running */
}

static int test_or_print(struct faults *faults)
{
    int code = faults->no_memory ? EXIT_CANNOT_START : EXIT_CONFIG;
    faults_print(faults, stderr);
    faults_done(faults);
    if (!D.config)
        return code;
    if (D.options.print)
        config_print(D.config, stdout);
    else if (D.options.test)
        puts("the configuration is good");
    config_unref(D.config);
    return fflush(stdout) == 0 ? 0 : EXIT_CANNOT_START;
}

int main(int argc, char **argv)
{
    struct faults faults = {0};
    have_standard_descriptors();
    memory_watch();
    int code = options_parse(argc, argv, &D.options);
    if (code >= 0)
        return code;
    D.mailbox.fd = -1;
    D.config = load(NULL, &faults);
    if (!D.config || D.options.test || D.options.print)
        return test_or_print(&faults);
    apply_log(D.config);
    log_faults(&faults);
    faults_done(&faults);
    code = start();
    if (code)
        return give_up(code);
    log_notice("privydnsd " PRIVYDNS_VERSION " started, %u worker%s", D.worker_count,
               D.worker_count == 1 ? "" : "s");
    log_listeners();
    log_pools(D.config);
    event_base_dispatch(D.base);
    log_totals();
    finish();
    return 0;
}
