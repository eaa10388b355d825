/* sim [SEEDS]: so many worlds, on all processors. See usage(). */
#include "report.h"
#include "story.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MOST = 64, SECONDS_A_SEED = 120 };

struct job {
    pid_t pid;
    _Atomic uint64_t next, seed, passed, failed; /* next: counted from the first */
};

static struct {
    uint64_t first, count;
    unsigned jobs;
    const char *must_fail; /* with this */
    bool verbose, digests, keep_going;
} options = {.first = 1, .count = 1000};

static const char usage[] = "usage: sim [options] [SEEDS]\n"
                            "  SEEDS            so many worlds (default 1000)\n"
                            "  --first SEED     the first of them (default 1)\n"
                            "  --seed SEED      this one only\n"
                            "  --jobs N         in so many processes (default: one per processor)\n"
                            "  --digest         print what each world came to: equal in every run\n"
                            "  --keep-going     do not end with the first that fails\n"
                            "  --must-fail TEXT succeed when one of them fails with this text\n"
                            "  -v, --verbose    tell what happens\n";

/* ---- one world ---- */

static void say(void *arg, enum privy_log_level level, const char *line)
{
    (void)arg;
    (void)level;
    report_trace("log: %s", line);
}

static void run(uint64_t seed)
{
    static struct world w;
    alarm(SECONDS_A_SEED);
    report_begin(seed, options.verbose, options.must_fail, &w.now);
    world_create(&w, seed);
    story_run(&w);
    world_destroy(&w);
    if (options.digests)
        printf("%" PRIu64 " %016" PRIx64 "\n", seed, report_digest());
}

/* ---- many ---- */

static void work(struct job *j)
{
    if (options.verbose)
        privy_log_set(say, NULL, PRIVY_LOG_DEBUG);
    while (j->next < options.count) {
        j->seed = options.first + j->next;
        j->next += options.jobs;
        run(j->seed);
        j->passed++;
    }
    fflush(stdout);
}

static void start(struct job *j)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        work(j);
        exit(0);
    }
    j->pid = pid; /* the child shares this memory */
}

static void tell_end(const struct job *j, int status)
{
    if (WIFSIGNALED(status))
        printf("sim: seed %" PRIu64 ": died of signal %d (%s); replay: ./dev sim --seed %" PRIu64
               "\n",
               j->seed, WTERMSIG(status), strsignal(WTERMSIG(status)), j->seed);
    else if (WEXITSTATUS(status) != REPORT_BROKEN && WEXITSTATUS(status) != REPORT_EXPECTED)
        printf("sim: seed %" PRIu64 ": ended with code %d; replay: ./dev sim --seed %" PRIu64 "\n",
               j->seed, WEXITSTATUS(status), j->seed);
}

static void stop(struct job *jobs)
{
    for (unsigned i = 0; i < options.jobs; i++) {
        if (jobs[i].pid > 0)
            kill(jobs[i].pid, SIGKILL);
    }
}

/* stopped: those that end now were told to. */
static void ended(struct job *jobs, struct job *j, int status, bool *stopped, bool *found)
{
    j->pid = 0;
    if (status == 0 || *stopped)
        return;
    tell_end(j, status);
    j->failed++;
    *found = WIFEXITED(status) && WEXITSTATUS(status) == REPORT_EXPECTED;
    *stopped = *found || !options.keep_going;
    if (*stopped)
        stop(jobs);
    else
        start(j);
}

/* Wait for all, or for the one that ends it. True: it failed with what was looked for. */
static bool wait_for(struct job *jobs)
{
    bool stopped = false, found = false;
    int status;
    pid_t pid;
    while ((pid = wait(&status)) > 0) {
        for (unsigned i = 0; i < options.jobs; i++) {
            if (jobs[i].pid == pid)
                ended(jobs, &jobs[i], status, &stopped, &found);
        }
    }
    return found;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void misused(void)
{
    fputs(usage, stderr);
    exit(64);
}

static uint64_t number(const char *text, uint64_t least)
{
    char *end;
    errno = 0;
    uint64_t n = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || n < least)
        misused();
    return n;
}

static void read_options(int argc, char **argv)
{
    static const struct option longs[] = {
        {"first", required_argument, NULL, 'f'}, {"seed", required_argument, NULL, 's'},
        {"jobs", required_argument, NULL, 'j'},  {"digest", no_argument, NULL, 'd'},
        {"keep-going", no_argument, NULL, 'k'},  {"must-fail", required_argument, NULL, 'm'},
        {"verbose", no_argument, NULL, 'v'},     {NULL, 0, NULL, 0},
    };
    int c;
    options.jobs = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    while ((c = getopt_long(argc, argv, "v", longs, NULL)) != -1) {
        if (c == 'f' || c == 's')
            options.first = number(optarg, 0);
        if (c == 's')
            options.count = 1;
        else if (c == 'j')
            options.jobs = number(optarg, 1) < JOBS_MOST ? (unsigned)number(optarg, 1) : JOBS_MOST;
        else if (c == 'd')
            options.digests = true;
        else if (c == 'm')
            options.must_fail = optarg;
        else if (c == 'k')
            options.keep_going = true;
        else if (c == 'v')
            options.verbose = true;
        else if (c == '?')
            misused();
    }
    if (optind < argc)
        options.count = number(argv[optind++], 1);
    if (optind < argc)
        misused();
    options.keep_going |= options.must_fail != NULL; /* past those that fail otherwise */
    if (options.jobs > options.count)
        options.jobs = (unsigned)options.count;
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    double begun = seconds();
    struct job *jobs = mmap(NULL, JOBS_MOST * sizeof *jobs, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (jobs == MAP_FAILED)
        broken("no memory for %u processes", options.jobs);
    uint64_t passes = 0, failures = 0;
    for (unsigned i = 0; i < options.jobs; i++) {
        jobs[i].next = i;
        start(&jobs[i]);
    }
    bool found = wait_for(jobs);
    for (unsigned i = 0; i < options.jobs; i++) {
        passes += jobs[i].passed;
        failures += jobs[i].failed;
    }
    printf("sim: %" PRIu64 " seeds passed, %" PRIu64 " failed, in %.1f s (%u processes)\n", passes,
           failures, seconds() - begun, options.jobs);
    return options.must_fail ? !found : failures > 0;
}
