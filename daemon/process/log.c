#include "process/log.h"

#include "base/list.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MOST 60 /* seconds between attempts to find a syslog daemon */

enum form { FORM_SYSLOG, FORM_JOURNAL, FORM_PLAIN };
enum sent { SENT, SENT_LATER, SENT_NEVER };

static struct {
    pthread_mutex_t lock;
    enum form form;
    uint32_t facility;
    _Atomic unsigned level;
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    int fd; /* syslog's socket, or stderr; -1: not connected */
    unsigned retry_after;
    time_t retry_at;

    char *ring[LOG_RING];
    size_t first, count;
    uint64_t dropped, dropped_told;

    pthread_t owner; /* the thread of the loop below: only it closes a socket the loop waits for */
    struct event_base *base;
    bool attached, waiting;
    int wake_fd;
    struct event wake, writable, retry;
} L = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1, .wake_fd = -1, .level = PRIVY_LOG_NOTICE};

static time_t now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

/* ---- sinks ---- */

static bool may_touch_socket(void)
{
    return !L.attached || pthread_equal(L.owner, pthread_self());
}

static void stop_waiting(void)
{
    if (L.attached && L.waiting) {
        event_del(&L.writable);
        event_del(&L.retry);
        L.waiting = false;
    }
}

static void disconnect(void)
{
    stop_waiting();
    if (L.form == FORM_SYSLOG && L.fd >= 0)
        close(L.fd);
    L.fd = -1;
}

static bool connect_syslog(void)
{
    if (now_s() < L.retry_at)
        return false;
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    memcpy(to.sun_path, L.path, sizeof to.sun_path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0) {
        L.fd = fd;
        L.retry_after = 0;
        L.retry_at = 0;
        return true;
    }
    if (fd >= 0)
        close(fd);
    L.retry_after = L.retry_after ? L.retry_after * 2 : 1;
    if (L.retry_after > RETRY_MOST)
        L.retry_after = RETRY_MOST;
    L.retry_at = now_s() + L.retry_after;
    return false;
}

static enum sent send_syslog(const char *line)
{
    for (int round = 0; round < 2; round++) {
        if (L.fd < 0 && (!may_touch_socket() || !connect_syslog()))
            return SENT_LATER;
        if (send(L.fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            return SENT;
        if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == EINTR)
            return SENT_LATER;
        if (errno == EMSGSIZE)
            return SENT_NEVER;
        if (!may_touch_socket())
            return SENT_LATER;
        disconnect(); /* the syslog daemon was restarted: there is a new socket of that name */
    }
    return SENT_LATER;
}

static enum sent send_stderr(const char *line)
{
    struct pollfd p = {.fd = L.fd, .events = POLLOUT};
    if (poll(&p, 1, 0) == 0)
        return SENT_LATER;
    if (write(L.fd, line, strlen(line)) >= 0)
        return SENT;
    return errno == EAGAIN || errno == EINTR ? SENT_LATER : SENT_NEVER;
}

/* ---- lines ---- */

static int severity(enum privy_log_level level)
{
    static const int of[] = {LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG};
    return of[level];
}

/* The octets of one line as the sink wants it; caller frees. */
static char *render(enum privy_log_level level, const char *text)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char *line = NULL;
    int n;
    if (L.form == FORM_SYSLOG) {
        struct tm tm;
        time_t now = time(NULL);
        localtime_r(&now, &tm);
        n = asprintf(&line, "<%d>%.3s %2d %02d:%02d:%02d privydnsd[%ld]: %s",
                     (int)L.facility | severity(level), months + 3 * tm.tm_mon, tm.tm_mday,
                     tm.tm_hour, tm.tm_min, tm.tm_sec, (long)getpid(), text);
    } else if (L.form == FORM_JOURNAL) {
        n = asprintf(&line, "<%d>%s\n", severity(level), text);
    } else {
        n = asprintf(&line, "privydnsd: %s%s\n",
                     level == PRIVY_LOG_ERROR     ? "error: "
                     : level == PRIVY_LOG_WARNING ? "warning: "
                                                  : "",
                     text);
    }
    return n < 0 ? NULL : line;
}

static enum sent send_line(const char *line)
{
    return L.form == FORM_SYSLOG ? send_syslog(line) : send_stderr(line);
}

static void push(char *line)
{
    if (!line || L.count == LOG_RING) {
        free(line);
        L.dropped++;
        return;
    }
    L.ring[(L.first + L.count++) % LOG_RING] = line;
}

static void pop(void)
{
    free(L.ring[L.first]);
    L.first = (L.first + 1) % LOG_RING;
    L.count--;
}

static void tell_dropped(void)
{
    char text[64];
    if (L.dropped == L.dropped_told)
        return;
    snprintf(text, sizeof text, "%llu lines dropped",
             (unsigned long long)(L.dropped - L.dropped_told));
    char *line = render(PRIVY_LOG_WARNING, text);
    if (line && send_line(line) == SENT)
        L.dropped_told = L.dropped;
    free(line);
}

/* Write as long as it goes. */
static void drain(void)
{
    while (L.count) {
        enum sent sent = send_line(L.ring[L.first]);
        if (sent == SENT_LATER)
            return;
        if (sent == SENT_NEVER)
            L.dropped++;
        pop();
    }
    tell_dropped();
}

static void write_text(enum privy_log_level level, char *text)
{
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?'; /* who builds a line has escaped it; this is the last guard */
    pthread_mutex_lock(&L.lock);
    push(render(level, text));
    drain();
    if (L.count && L.attached && !L.waiting)
        eventfd_write(L.wake_fd, 1);
    pthread_mutex_unlock(&L.lock);
}

void log_write(enum privy_log_level level, const char *format, ...)
{
    char text[LOG_LINE];
    va_list args;
    if (level > atomic_load_explicit(&L.level, memory_order_relaxed))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    write_text(level, text);
}

static void library_line(void *arg, enum privy_log_level level, const char *line)
{
    (void)arg;
    log_write(level, "%s", line);
}

uint64_t log_dropped(void)
{
    pthread_mutex_lock(&L.lock);
    uint64_t n = L.dropped;
    pthread_mutex_unlock(&L.lock);
    return n;
}

/* ---- the loop that writes what had to wait ---- */

static void on_ready(evutil_socket_t fd, short what, void *arg);

/* Wait for the sink, on the owner's thread, with the lock. */
static void wait_for_sink(void)
{
    struct timeval tv = {.tv_sec = L.retry_at > now_s() ? L.retry_at - now_s() : 1};
    if (!L.count || L.waiting)
        return;
    if (L.fd >= 0) {
        event_assign(&L.writable, L.base, L.fd, EV_WRITE, on_ready, NULL);
        event_add(&L.writable, NULL);
    } else {
        event_add(&L.retry, &tv);
    }
    L.waiting = true;
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    eventfd_t ignored;
    (void)fd, (void)what, (void)arg;
    pthread_mutex_lock(&L.lock);
    eventfd_read(L.wake_fd, &ignored);
    stop_waiting();
    drain();
    wait_for_sink();
    pthread_mutex_unlock(&L.lock);
}

bool log_attach(struct event_base *base)
{
    L.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (L.wake_fd < 0)
        return false;
    event_assign(&L.wake, base, L.wake_fd, EV_READ | EV_PERSIST, on_ready, NULL);
    event_assign(&L.writable, base, -1, EV_WRITE, on_ready, NULL);
    event_assign(&L.retry, base, -1, 0, on_ready, NULL);
    event_add(&L.wake, NULL);
    pthread_mutex_lock(&L.lock);
    L.owner = pthread_self();
    L.base = base;
    L.attached = true;
    drain();
    wait_for_sink();
    pthread_mutex_unlock(&L.lock);
    return true;
}

void log_detach(void)
{
    pthread_mutex_lock(&L.lock);
    if (L.attached) {
        stop_waiting();
        event_del(&L.wake);
        close(L.wake_fd);
        L.wake_fd = -1;
        L.attached = false;
    }
    pthread_mutex_unlock(&L.lock);
}

/* ---- opening ---- */

/* Is stderr the journal's stream? */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;
    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(2, &st) == 0 &&
           st.st_dev == device && st.st_ino == inode;
}

static enum form choose_form(enum config_target target, const char *path)
{
    bool journal = stderr_is_journal();
    if (target == TARGET_SYSLOG)
        return FORM_SYSLOG;
    if (target == TARGET_AUTO && !journal && !isatty(2) && access(path, F_OK) == 0)
        return FORM_SYSLOG;
    return journal ? FORM_JOURNAL : FORM_PLAIN;
}

void log_open(const struct log_options *o)
{
    const char *path = o->socket ? o->socket : "/dev/log";
    tzset();
    pthread_mutex_lock(&L.lock);
    enum form form = choose_form(o->target, path);
    if (form != L.form || form != FORM_SYSLOG || strcmp(path, L.path) != 0) {
        disconnect();
        L.form = form;
        L.fd = form == FORM_SYSLOG ? -1 : 2;
        L.retry_at = 0;
        snprintf(L.path, sizeof L.path, "%s", path);
    }
    L.facility = o->facility;
    atomic_store_explicit(&L.level, o->level, memory_order_relaxed);
    pthread_mutex_unlock(&L.lock);
    privy_log_set(library_line, NULL, o->level);
}

void log_close(void)
{
    privy_log_set(NULL, NULL, PRIVY_LOG_ERROR);
    pthread_mutex_lock(&L.lock);
    drain();
    while (L.count)
        pop();
    disconnect();
    pthread_mutex_unlock(&L.lock);
}
