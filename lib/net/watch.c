#include "net/watch.h"

#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
    PATHS_MOST = 4,
    LINKS_MOST = 8,
    WATCHED_MOST = PATHS_MOST * (LINKS_MOST + 1), /* directories */
    SETTLE_US = 500000,
    SETTLE_MOST_US = 2000000,
    EVENTS = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF |
             IN_MOVE_SELF | IN_ONLYDIR,
};
static const uint64_t BLIND_US = 60000000, SEEING_US = 3600000000;

struct pv_watch {
    struct pv_loop *loop;
    int fd; /* -1: nothing can be watched */
    struct event *readable;
    int watched[WATCHED_MOST];
    unsigned count;
    bool blind;     /* some directory is not watched */
    uint64_t first; /* µs: of the changes that are not told yet; 0: there are none */
    struct pv_timer settled, again;
    void (*changed)(void *arg);
    void *arg;
    char *paths[PATHS_MOST];
};

/* ---- directories ---- */

static bool is_watched(const struct pv_watch *w, int id)
{
    for (unsigned i = 0; i < w->count; i++)
        if (w->watched[i] == id)
            return true;
    return false;
}

static void add_directory(struct pv_watch *w, const char *path)
{
    int id = w->fd < 0 || w->count == WATCHED_MOST ? -1 : inotify_add_watch(w->fd, path, EVENTS);
    if (id < 0)
        w->blind = true;
    else if (!is_watched(w, id))
        w->watched[w->count++] = id;
}

struct walk {
    char at[PATH_MAX];   /* a directory, without links in its name */
    char rest[PATH_MAX]; /* of the name, from there */
    unsigned links;
};

/* The link that stands before the rest leads there. False: too long. */
static bool follow(struct walk *k, const char *target, const char *after)
{
    char rest[PATH_MAX];
    int n = snprintf(rest, sizeof rest, "%s%s", target, after);
    if (n < 0 || (size_t)n >= sizeof rest || ++k->links > LINKS_MOST)
        return false;
    memcpy(k->rest, rest, (size_t)n + 1);
    if (target[0] == '/')
        strcpy(k->at, "/");
    return true;
}

/* One step of the name. False: at its end, or where it leads no further. */
static bool step(struct pv_watch *w, struct walk *k)
{
    const char *name = k->rest + strspn(k->rest, "/");
    size_t length = strcspn(name, "/");
    const char *after = name + length;
    char next[PATH_MAX], target[PATH_MAX];
    int n = snprintf(next, sizeof next, "%s/%.*s", k->at, (int)length, name);
    if (length == 0 || n < 0 || (size_t)n >= sizeof next)
        return false;
    ssize_t linked = readlink(next, target, sizeof target - 1);
    /* What changes is a link, the file, or that something is there at all. */
    bool last = after[strspn(after, "/")] == '\0', missing = linked < 0 && errno == ENOENT;
    if (linked > 0 || last || missing)
        add_directory(w, k->at);
    if (linked > 0) {
        target[linked] = '\0';
        return follow(k, target, after);
    }
    memcpy(k->at, next, (size_t)n + 1);
    memmove(k->rest, after, strlen(after) + 1);
    return !last && !missing;
}

static void add_directories(struct pv_watch *w, const char *path)
{
    struct walk k = {.at = ""};
    strcpy(k.at, path[0] == '/' ? "/" : ".");
    snprintf(k.rest, sizeof k.rest, "%s", path);
    while (step(w, &k))
        ;
}

/* Again after each change: a link may lead elsewhere now, and what it led to is of no interest. */
static void add_all(struct pv_watch *w)
{
    int before[WATCHED_MOST];
    unsigned count = w->count;
    memcpy(before, w->watched, sizeof before);
    w->count = 0;
    w->blind = false;
    for (unsigned i = 0; i < PATHS_MOST && w->paths[i]; i++)
        add_directories(w, w->paths[i]);
    for (unsigned i = 0; i < count; i++)
        if (!is_watched(w, before[i]))
            inotify_rm_watch(w->fd, before[i]);
}

/* ---- changes ---- */

static void on_again(struct pv_timer *t);

static void look(struct pv_watch *w)
{
    add_all(w);
    pv_timer_set(w->loop, &w->again, pv_now(w->loop) + (w->blind ? BLIND_US : SEEING_US), on_again);
    w->first = 0;
    w->changed(w->arg);
}

static void on_again(struct pv_timer *t)
{
    look(pv_container(t, struct pv_watch, again));
}

static void on_settled(struct pv_timer *t)
{
    look(pv_container(t, struct pv_watch, settled));
}

/* What all events are of, in one word. */
static uint32_t read_events(int fd)
{
    char bytes[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    uint32_t mask = 0;
    ssize_t n;
    while ((n = read(fd, bytes, sizeof bytes)) > 0) {
        for (const char *at = bytes; at < bytes + n;) {
            const struct inotify_event *e = (const void *)at;
            mask |= e->mask;
            at += sizeof *e + e->len;
        }
    }
    return mask;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct pv_watch *w = arg;
    (void)what;
    if ((read_events(fd) & ~(uint32_t)IN_IGNORED) == 0) /* we have taken a watch away */
        return;
    pv_now_refresh(w->loop);
    uint64_t now = pv_now(w->loop);
    if (!w->first)
        w->first = now;
    uint64_t due = now + SETTLE_US, last = w->first + SETTLE_MOST_US;
    pv_timer_set(w->loop, &w->settled, due < last ? due : last, on_settled);
}

/* ---- life ---- */

/* Where that fails, the clock alone has to do. */
static void begin_watching(struct pv_watch *w)
{
    struct event_base *base = pv_loop_base(w->loop);
    w->fd = base ? inotify_init1(IN_NONBLOCK | IN_CLOEXEC) : -1;
    if (w->fd < 0)
        return;
    w->readable = event_new(base, w->fd, EV_READ | EV_PERSIST, on_readable, w);
    if (w->readable && event_add(w->readable, NULL) == 0)
        return;
    close(w->fd);
    w->fd = -1;
}

static bool begin(struct pv_watch *w, const char *const *paths)
{
    for (unsigned i = 0; i < PATHS_MOST && paths[i]; i++) {
        w->paths[i] = strdup(paths[i]);
        if (!w->paths[i])
            return false;
    }
    begin_watching(w);
    add_all(w);
    pv_timer_set(w->loop, &w->again, pv_now(w->loop) + (w->blind ? BLIND_US : SEEING_US), on_again);
    return true;
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
    pv_timer_clear(w->loop, &w->again);
    for (unsigned i = 0; i < PATHS_MOST; i++)
        free(w->paths[i]);
    free(w);
}
