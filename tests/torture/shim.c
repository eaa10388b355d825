/* Loaded before the C library (LD_PRELOAD): makes the N-th call of one kind fail, as torture.py
 * says in a file both have mapped, and writes down where that was. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <unwind.h>

#define EXPORT __attribute__((visibility("default")))
#define FRAMES 40

/* As control.py packs it. */
struct control {
    char kind[24];
    uint32_t at, many, error; /* which calls of that kind fail: so many from the at-th on; how */
    _Atomic uint32_t armed;   /* written last */
    _Atomic uint32_t count;   /* calls of that kind since then */
    _Atomic uint32_t failed;  /* of those */
    _Atomic uint64_t calls;   /* system calls of all kinds, ever */
    _Atomic int64_t blocks;   /* of memory, allocated and not freed */
};

static struct control *control;
static const char *log_path;
static _Thread_local __attribute__((tls_model("initial-exec"))) bool inside;

/* ---- what fails ---- */

struct trace {
    void *frames[FRAMES];
    int count;
};

static _Unwind_Reason_Code add_frame(struct _Unwind_Context *context, void *arg)
{
    struct trace *t = arg;
    t->frames[t->count++] = (void *)_Unwind_GetIP(context);
    return t->count < FRAMES ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static int open_log(void)
{
    return (int)syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_CREAT | O_APPEND, 0666);
}

static void note(const char *kind, unsigned n)
{
    struct trace trace = {.count = 0};
    char line[100];
    int fd = open_log();
    if (fd < 0)
        return;
    int length = snprintf(line, sizeof line, "%s %u: %s\n", kind, n, strerrorname_np(errno));
    syscall(SYS_write, fd, line, length);
    _Unwind_Backtrace(add_frame, &trace); /* backtrace() would load a library, and leak a little */
    backtrace_symbols_fd(trace.frames, trace.count, fd);
    syscall(SYS_close, fd);
}

/* From where a call comes, as a number [FNV-1a]. */
static void note_place(void)
{
    struct trace trace = {.count = 0};
    uint64_t place = UINT64_C(0xcbf29ce484222325);
    int fd = open_log();
    _Unwind_Backtrace(add_frame, &trace);
    for (int i = 0; i < trace.count; i++)
        place = (place ^ (uintptr_t)trace.frames[i]) * UINT64_C(0x100000001b3);
    syscall(SYS_write, fd, &place, sizeof place);
    syscall(SYS_close, fd);
}

/* at 0: none fails; and where many is 0 too, the place of each is told. */
static bool is_due(const char *kind, unsigned n)
{
    if (control->at == 0) {
        inside = true;
        if (control->many == 0)
            note_place();
        inside = false;
        return false;
    }
    if (n < control->at || n - control->at >= control->many)
        return false;
    errno = (int)control->error;
    if (atomic_fetch_add(&control->failed, 1) == 0) {
        inside = true;
        note(kind, n);
        inside = false;
    }
    errno = (int)control->error;
    return true;
}

static bool fails(const char *kind, bool is_call)
{
    if (!control || inside)
        return false;
    if (is_call)
        atomic_fetch_add(&control->calls, 1);
    if (!atomic_load(&control->armed) || strcmp(kind, control->kind) != 0)
        return false;
    return is_due(kind, atomic_fetch_add(&control->count, 1) + 1);
}

static __attribute__((constructor)) void begin(void)
{
    const char *path = getenv("TORTURE_CONTROL");
    log_path = getenv("TORTURE_LOG");
    int fd = path && log_path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED)
        control = mapped;
}

static void *next(const char *name)
{
    bool before = inside;
    inside = true;
    void *function = dlsym(RTLD_NEXT, name);
    inside = before;
    if (!function)
        abort();
    return function;
}

/* REAL(f): the function that ours hides. */
#define REAL(f)                                                                                    \
    ({                                                                                             \
        static __typeof__(&f) real_;                                                               \
        if (!real_)                                                                                \
            real_ = (__typeof__(&f))next(#f);                                                      \
        real_;                                                                                     \
    })

/* ---- memory ---- */

static struct {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
    bool looking; /* dlsym() itself asks for memory, before anybody is there to have it */
} real;

static _Alignas(16) char early[16384];
static size_t early_used;

static bool is_early(const void *p)
{
    return (uintptr_t)p - (uintptr_t)early < sizeof early;
}

static void *early_alloc(size_t n)
{
    n = (n + 15) & ~(size_t)15;
    if (n > sizeof early - early_used)
        abort();
    early_used += n;
    return early + early_used - n;
}

/* False: not yet, this call comes from looking for them. */
static bool have_real(void)
{
    if (real.free || real.looking)
        return !real.looking;
    real.looking = true;
    real.malloc = (__typeof__(real.malloc))next("malloc");
    real.calloc = (__typeof__(real.calloc))next("calloc");
    real.aligned_alloc = (__typeof__(real.aligned_alloc))next("aligned_alloc");
    real.realloc = (__typeof__(real.realloc))next("realloc");
    real.free = (__typeof__(real.free))next("free");
    real.looking = false;
    return true;
}

static void *counted(void *p)
{
    if (p && control && !inside)
        atomic_fetch_add(&control->blocks, 1);
    return p;
}

EXPORT void *malloc(size_t n)
{
    if (!have_real())
        return early_alloc(n);
    return fails("malloc", false) ? NULL : counted(real.malloc(n));
}

EXPORT void *calloc(size_t count, size_t size)
{
    if (!have_real())
        return early_alloc(count * size);
    return fails("malloc", false) ? NULL : counted(real.calloc(count, size));
}

EXPORT void *aligned_alloc(size_t alignment, size_t n)
{
    if (!have_real())
        return early_alloc(n);
    return fails("malloc", false) ? NULL : counted(real.aligned_alloc(alignment, n));
}

static void *early_realloc(void *old, size_t n)
{
    size_t most = (size_t)(early + sizeof early - (char *)old);
    void *p = malloc(n);
    return p ? memcpy(p, old, n < most ? n : most) : NULL;
}

EXPORT void *realloc(void *old, size_t n)
{
    if (!old || is_early(old) || !have_real())
        return old ? early_realloc(old, n) : malloc(n);
    if (fails("malloc", false))
        return NULL;
    void *p = real.realloc(old, n);
    if (!p && n == 0 && control && !inside)
        atomic_fetch_sub(&control->blocks, 1);
    return p;
}

EXPORT void free(void *p)
{
    if (!p || is_early(p) || !have_real())
        return;
    if (control && !inside)
        atomic_fetch_sub(&control->blocks, 1);
    real.free(p);
}

/* ---- system calls: kind, result type, its value on failure, name, parameters, arguments ---- */

#define CALL(kind, type, bad, name, params, args)                                                  \
    EXPORT type name params                                                                        \
    {                                                                                              \
        return fails(kind, true) ? (bad) : REAL(name) args;                                        \
    }

CALL("socket", int, -1, socket, (int domain, int type, int protocol), (domain, type, protocol))
CALL("connect", int, -1, connect, (int fd, const struct sockaddr *addr, socklen_t size),
     (fd, addr, size))
CALL("bind", int, -1, bind, (int fd, const struct sockaddr *addr, socklen_t size), (fd, addr, size))
CALL("listen", int, -1, listen, (int fd, int backlog), (fd, backlog))
CALL("accept4", int, -1, accept4, (int fd, struct sockaddr *addr, socklen_t *size, int flags),
     (fd, addr, size, flags))
CALL("getsockname", int, -1, getsockname, (int fd, struct sockaddr *addr, socklen_t *size),
     (fd, addr, size))
CALL("setsockopt", int, -1, setsockopt,
     (int fd, int level, int name, const void *value, socklen_t size),
     (fd, level, name, value, size))
CALL("getsockopt", int, -1, getsockopt, (int fd, int level, int name, void *value, socklen_t *size),
     (fd, level, name, value, size))

CALL("send", ssize_t, -1, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags))
CALL("send", ssize_t, -1, sendto,
     (int fd, const void *p, size_t n, int flags, const struct sockaddr *to, socklen_t size),
     (fd, p, n, flags, to, size))
CALL("send", ssize_t, -1, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
CALL("sendmmsg", int, -1, sendmmsg, (int fd, struct mmsghdr *m, unsigned n, int flags),
     (fd, m, n, flags))
CALL("recv", ssize_t, -1, recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags))
CALL("recv", ssize_t, -1, recvfrom,
     (int fd, void *p, size_t n, int flags, struct sockaddr *from, socklen_t *size),
     (fd, p, n, flags, from, size))
CALL("recv", ssize_t, -1, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags))
CALL("recvmmsg", int, -1, recvmmsg,
     (int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *timeout),
     (fd, m, n, flags, timeout))

CALL("poll", int, -1, poll, (struct pollfd * fds, nfds_t n, int ms), (fds, n, ms))
CALL("read_event", int, -1, eventfd_read, (int fd, eventfd_t *value), (fd, value))

CALL("epoll_create", int, -1, epoll_create1, (int flags), (flags))
CALL("epoll_ctl", int, -1, epoll_ctl, (int epoll, int what, int fd, struct epoll_event *event),
     (epoll, what, fd, event))
CALL("epoll_wait", int, -1, epoll_wait, (int epoll, struct epoll_event *events, int n, int ms),
     (epoll, events, n, ms))
CALL("eventfd", int, -1, eventfd, (unsigned value, int flags), (value, flags))
CALL("timerfd", int, -1, timerfd_create, (clockid_t clock, int flags), (clock, flags))
CALL("pipe", int, -1, pipe2, (int fds[2], int flags), (fds, flags))
CALL("pipe", int, -1, socketpair, (int domain, int type, int protocol, int fds[2]),
     (domain, type, protocol, fds))

CALL("open", FILE *, NULL, fopen, (const char *path, const char *mode), (path, mode))
CALL("open", FILE *, NULL, fopen64, (const char *path, const char *mode), (path, mode))
CALL("open", DIR *, NULL, opendir, (const char *path), (path))
CALL("stat", int, -1, stat, (const char *path, struct stat *st), (path, st))
CALL("stat", int, -1, stat64, (const char *path, struct stat64 *st), (path, st))
CALL("stat", int, -1, fstat, (int fd, struct stat *st), (fd, st))
CALL("stat", int, -1, fstat64, (int fd, struct stat64 *st), (fd, st))

CALL("mmap", void *, MAP_FAILED, mmap,
     (void *at, size_t n, int protection, int flags, int fd, off_t offset),
     (at, n, protection, flags, fd, offset))
CALL("mmap", void *, MAP_FAILED, mmap64,
     (void *at, size_t n, int protection, int flags, int fd, off64_t offset),
     (at, n, protection, flags, fd, offset))
CALL("madvise", int, -1, madvise, (void *at, size_t n, int advice), (at, n, advice))

CALL("getrandom", ssize_t, -1, getrandom, (void *p, size_t n, unsigned flags), (p, n, flags))

CALL("getpwnam", struct passwd *, NULL, getpwnam, (const char *name), (name))
CALL("initgroups", int, -1, initgroups, (const char *user, gid_t group), (user, group))
CALL("setresgid", int, -1, setresgid, (gid_t r, gid_t e, gid_t s), (r, e, s))
CALL("setresuid", int, -1, setresuid, (uid_t r, uid_t e, uid_t s), (r, e, s))

/* Of files only: what libevent keeps for itself has nothing to fail. */
EXPORT ssize_t read(int fd, void *p, size_t n)
{
    struct stat st;
    bool is_file = control && REAL(fstat)(fd, &st) == 0 && S_ISREG(st.st_mode);
    return is_file && fails("read", true) ? -1 : REAL(read)(fd, p, n);
}

/* Only what a pipe, a terminal or a disk may refuse: libevent's signals have a socket, never full.
 */
EXPORT ssize_t write(int fd, const void *p, size_t n)
{
    return fd <= STDERR_FILENO && fails("write", true) ? -1 : REAL(write)(fd, p, n);
}

EXPORT int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return fails("open", true) ? -1 : REAL(open)(path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return fails("open", true) ? -1 : REAL(open64)(path, flags, mode);
}

/* It returns its error. */
EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg)
{
    return fails("pthread_create", true) ? errno
                                         : REAL(pthread_create)(thread, attributes, run, arg);
}

/* Linux closes whatever it says. */
EXPORT int close(int fd)
{
    if (!fails("close", true))
        return REAL(close)(fd);
    int error = errno;
    REAL(close)(fd);
    errno = error;
    return -1;
}
