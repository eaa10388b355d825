#include "base/status.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>

#define LINE_MAX_OCTETS 1024

static const char *const status_text[] = {
    [PRIVY_OK] = "success",
    [PRIVY_EINVAL] = "invalid argument",
    [PRIVY_ENOMEM] = "out of memory",
    [PRIVY_EBUSY] = "too many unanswered questions",
    [PRIVY_EFORMAT] = "not a DNS query",
    [PRIVY_EUNSUPPORTED] = "no upstream, or not this build, speaks that protocol",
    [PRIVY_EFILE] = "file not readable or with the wrong contents",
    [PRIVY_EPERM] = "not permitted",
    [PRIVY_EMISS] = "not in the cache",
    [PRIVY_EUNREACHABLE] = "no upstream could be reached",
    [PRIVY_EPEER] = "an upstream could not be authenticated or misbehaved",
    [PRIVY_ETIMEOUT] = "no answer before the deadline",
    [PRIVY_ENOTREADY] = "no upstream's address is known yet",
};

const char *privy_strerror(enum privy_status status)
{
    size_t i = (size_t)status;
    return i < sizeof status_text / sizeof *status_text ? status_text[i] : "unknown status";
}

static struct {
    pthread_mutex_t mutex; /* over callback and arg; not held while calling */
    void (*callback)(void *arg, enum privy_log_level, const char *line);
    void *arg;
    atomic_int most; /* -1: nobody listens */
} sink = {.mutex = PTHREAD_MUTEX_INITIALIZER, .most = -1};

void privy_log_set(void (*callback)(void *arg, enum privy_log_level, const char *line), void *arg,
                   enum privy_log_level most)
{
    pthread_mutex_lock(&sink.mutex);
    sink.callback = callback;
    sink.arg = arg;
    atomic_store_explicit(&sink.most, callback ? (int)most : -1, memory_order_relaxed);
    pthread_mutex_unlock(&sink.mutex);
}

bool pv_log_wants(enum privy_log_level level)
{
    return (int)level <= atomic_load_explicit(&sink.most, memory_order_relaxed);
}

void pv_log(enum privy_log_level level, const char *format, ...)
{
    if (!pv_log_wants(level))
        return;
    char line[LINE_MAX_OCTETS];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);

    pthread_mutex_lock(&sink.mutex);
    void (*callback)(void *, enum privy_log_level, const char *) = sink.callback;
    void *arg = sink.arg;
    pthread_mutex_unlock(&sink.mutex);
    if (callback)
        callback(arg, level, line);
}

void pv_bug(const char *what, const char *file, int line)
{
    pv_log(PRIVY_LOG_ERROR, "bug in privydns: %s (%s:%d); please report it", what, file, line);
#ifdef PV_TRAP_BUGS
    fprintf(stderr, "bug in privydns: %s (%s:%d)\n", what, file, line);
#endif
}

enum privy_status pv_error(struct privy_error *reterr, enum privy_status status, const char *format,
                           ...)
{
    if (!reterr)
        return status;
    reterr->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(reterr->message, sizeof reterr->message, format, args);
    va_end(args);
    for (char *p = reterr->message; *p; p++) /* foreign text must not start a line of its own */
        if (*p == '\n' || *p == '\r')
            *p = ' ';
    return status;
}

size_t pv_escape(char *out, size_t capacity, const void *bytes, size_t length)
{
    const uint8_t *in = bytes;
    size_t n = 0;
    if (capacity == 0)
        return 0;
    for (size_t i = 0; i < length; i++) {
        bool plain = in[i] >= 0x20 && in[i] < 0x7f && in[i] != '\\';
        if (capacity - n <= (plain ? 1 : 4)) /* what does not fit whole, and the rest, is cut */
            break;
        if (plain) {
            out[n++] = (char)in[i];
            continue;
        }
        out[n++] = '\\';
        out[n++] = (char)('0' + in[i] / 100);
        out[n++] = (char)('0' + in[i] / 10 % 10);
        out[n++] = (char)('0' + in[i] % 10);
    }
    out[n] = '\0';
    return n;
}
