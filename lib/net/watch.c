#include "net/watch.h"

#include <event2/event.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
    PATHS_MOST = 4,
    LINKS_MOST = 8,
    SETTLE_US = 500000,
    EVENTS = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_ONLYDIR,
};

struct pv_watch {
    struct pv_loop *loop;
    int fd;
    struct event *readable;
    struct pv_timer settled;
    void (*changed)(void *arg);
    void *arg;
    char *paths[PATHS_MOST];
};

/* The directory part of a path, "." where there is none. */
static void directory_of(const char *path, char out[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    snprintf(out, PATH_MAX, "%.*s", (int)(n ? n : 1), n ? path : slash ? "/" : ".");
}

/* Kubernetes and certbot change a link, in one of the directories between the name and the file. */
static void add_directories(struct pv_watch *w, const char *path)
{
    char at[PATH_MAX], directory[PATH_MAX], target[PATH_MAX];
    snprintf(at, sizeof at, "%s", path);
    for (unsigned i = 0; i < LINKS_MOST; i++) {
        directory_of(at, directory);
        inotify_add_watch(w->fd, directory, EVENTS);
        ssize_t n = readlink(at, target, sizeof target - 1);
        if (n <= 0)
            return;
        target[n] = '\0';
        int length = target[0] == '/' ? snprintf(at, sizeof at, "%s", target)
                                      : snprintf(at, sizeof at, "%s/%s", directory, target);
        if (length < 0 || (size_t)length >= sizeof at)
            return;
    }
}

/* Again after each change: a link may lead elsewhere now. */
static void add_all(struct pv_watch *w)
{
    for (unsigned i = 0; i < PATHS_MOST && w->paths[i]; i++)
        add_directories(w, w->paths[i]);
}

static void on_settled(struct pv_timer *t)
{
    struct pv_watch *w = pv_container(t, struct pv_watch, settled);
    add_all(w);
    w->changed(w->arg);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    struct pv_watch *w = arg;
    (void)what;
    while (read(fd, events, sizeof events) > 0)
        ;
    pv_now_refresh(w->loop);
    pv_timer_set(w->loop, &w->settled, pv_now(w->loop) + SETTLE_US, on_settled);
}

static bool begin(struct pv_watch *w, const char *const *paths)
{
    struct event_base *base = pv_loop_base(w->loop);
    for (unsigned i = 0; i < PATHS_MOST && paths[i]; i++) {
        w->paths[i] = strdup(paths[i]);
        if (!w->paths[i])
            return false;
    }
    w->fd = base ? inotify_init1(IN_NONBLOCK | IN_CLOEXEC) : -1;
    if (w->fd < 0)
        return false;
    add_all(w);
    w->readable = event_new(base, w->fd, EV_READ | EV_PERSIST, on_readable, w);
    return w->readable && event_add(w->readable, NULL) == 0;
}

struct pv_watch *pv_watch_new(struct pv_loop *loop, const char *const *paths,
                              void (*changed)(void *arg), void *arg)
{
    struct pv_watch *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->loop = loop;
    w->fd = -1;
    w->changed = changed;
    w->arg = arg;
    if (begin(w, paths))
        return w;
    pv_watch_free(w);
    return NULL;
}

void pv_watch_free(struct pv_watch *w)
{
    if (!w)
        return;
    if (w->readable)
        event_free(w->readable);
    if (w->fd >= 0)
        close(w->fd);
    pv_timer_clear(w->loop, &w->settled);
    for (unsigned i = 0; i < PATHS_MOST; i++)
        free(w->paths[i]);
    free(w);
}
