#include "process/privs.h"

#include "config/flags.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define DESCRIPTORS_MOST 65536

#if defined(__SANITIZE_ADDRESS__)
#    define UNDER_SANITIZER 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define UNDER_SANITIZER 1
#    endif
#endif
#ifndef UNDER_SANITIZER
#    define UNDER_SANITIZER 0
#endif

/* Any other error means that there is no such user [getpwnam(3)], or no right to become it. */
static bool is_trouble(int error)
{
    return error == ENOMEM || error == EMFILE || error == ENFILE || error == EIO || error == EINTR;
}

int privs_find(struct privs *p, const char *user, char *why, size_t capacity)
{
    *p = (struct privs){.user = user};
    if (geteuid() != 0)
        return 0;
    errno = 0;
    struct passwd *pw = getpwnam(user);
    if (!pw && is_trouble(errno)) {
        snprintf(why, capacity, "user '%s': %s", user, strerror(errno));
        return EXIT_CANNOT_START;
    }
    if (!pw) {
        snprintf(why, capacity, "user '%s': no such user (set `user`, or create it)", user);
        return EXIT_NO_PERMISSION;
    }
    p->uid = pw->pw_uid;
    p->gid = pw->pw_gid;
    p->change = pw->pw_uid != 0;
    return 0;
}

static bool is_dropped(const struct privs *p)
{
    uid_t ruid, euid, suid;
    gid_t rgid, egid, sgid;
    if (getresuid(&ruid, &euid, &suid) != 0 || getresgid(&rgid, &egid, &sgid) != 0)
        return false;
    if (ruid != p->uid || euid != p->uid || suid != p->uid || rgid != p->gid || egid != p->gid ||
        sgid != p->gid)
        return false;
    return setuid(0) != 0 && seteuid(0) != 0; /* there must be no way back */
}

int privs_drop(const struct privs *p, char *why, size_t capacity)
{
    if (!p->change)
        return 0;
    if (initgroups(p->user, p->gid) != 0 || setresgid(p->gid, p->gid, p->gid) != 0 ||
        setresuid(p->uid, p->uid, p->uid) != 0) {
        int error = errno;
        snprintf(why, capacity, "cannot become user '%s': %s", p->user, strerror(error));
        return is_trouble(error) ? EXIT_CANNOT_START : EXIT_NO_PERMISSION;
    }
    if (!is_dropped(p)) {
        snprintf(why, capacity, "could not give up root for user '%s'", p->user);
        return EXIT_NO_PERMISSION;
    }
    return 0;
}

void privs_harden(void)
{
    struct rlimit none = {0, 0};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    setrlimit(RLIMIT_CORE, &none);
    if (!UNDER_SANITIZER) /* the leak check attaches to us like a debugger */
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

unsigned privs_raise_descriptors(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return 1024;
    rlim_t want = r.rlim_max < DESCRIPTORS_MOST ? r.rlim_max : DESCRIPTORS_MOST;
    if (r.rlim_cur < want) {
        struct rlimit more = {.rlim_cur = want, .rlim_max = r.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &more) == 0)
            r = more;
    }
    return r.rlim_cur < DESCRIPTORS_MOST ? (unsigned)r.rlim_cur : DESCRIPTORS_MOST;
}
