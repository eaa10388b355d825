#include "process/holder.h"

#include "base/status.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Does a line of /proc/net's tables name a socket that stands in the way of addr? The address is
 * printed as numbers of the machine's byte order. */
static bool line_matches(const char *text, const struct pv_addr *addr)
{
    uint32_t words[4] = {0};
    unsigned port;
    size_t count = 0;
    for (; count < 4 && text[0] != ':'; count++, text += 8)
        if (sscanf(text, "%8x", &words[count]) != 1)
            return false;
    if (sscanf(text, ":%x", &port) != 1 || port != pv_addr_port(addr))
        return false;
    bool any = !(words[0] | words[1] | words[2] | words[3]);
    if (any || pv_addr_is_any(addr))
        return true;
    if (addr->sa.sa_family == AF_INET)
        return count == 1 && words[0] == addr->in.sin_addr.s_addr;
    return count == 4 && memcmp(words, &addr->in6.sin6_addr, sizeof words) == 0;
}

/* The inode of the socket that holds it; 0: none found. */
static unsigned long find_inode(const char *table, const struct pv_addr *addr)
{
    char line[512], local[64], remote[64];
    unsigned state;
    unsigned long inode, found = 0;
    FILE *f = fopen(table, "re");
    if (!f)
        return 0;
    while (!found && fgets(line, sizeof line, f))
        if (sscanf(line, "%*s %63s %63s %x %*s %*s %*s %*s %*s %lu", local, remote, &state,
                   &inode) == 4 &&
            (state == 7 || state == 10) && line_matches(local, addr)) /* UDP bound, TCP listening */
            found = inode;
    fclose(f);
    return found;
}

static bool process_has(const char *pid, unsigned long inode)
{
    char path[300], want[64], link[64];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    snprintf(want, sizeof want, "socket:[%lu]", inode);
    DIR *dir = opendir(path);
    struct dirent *e;
    while (dir && !found && (e = readdir(dir))) {
        ssize_t n = readlinkat(dirfd(dir), e->d_name, link, sizeof link - 1);
        if (n > 0) {
            link[n] = 0;
            found = strcmp(link, want) == 0;
        }
    }
    if (dir)
        closedir(dir);
    return found;
}

static const char *describe(const char *pid, char out[HOLDER_TEXT])
{
    char path[300], name[32] = "", safe[64];
    snprintf(path, sizeof path, "/proc/%s/comm", pid);
    FILE *f = fopen(path, "re");
    if (f) {
        if (fgets(name, sizeof name, f))
            name[strcspn(name, "\n")] = 0;
        fclose(f);
    }
    pv_escape(safe, sizeof safe, name, strlen(name));
    snprintf(out, HOLDER_TEXT, "%s (pid %.20s)", *safe ? safe : "a process", pid);
    return out;
}

static const char *find_process(unsigned long inode, char out[HOLDER_TEXT])
{
    const char *found = NULL;
    struct dirent *e;
    DIR *proc = opendir("/proc");
    while (proc && !found && (e = readdir(proc)))
        if (isdigit((unsigned char)e->d_name[0]) && process_has(e->d_name, inode))
            found = describe(e->d_name, out);
    if (proc)
        closedir(proc);
    return found;
}

const char *holder_find(const struct pv_addr *addr, bool tcp, char out[HOLDER_TEXT])
{
    /* An IPv6 wildcard may hold IPv4 ports too, so both tables matter. */
    static const char *const tables[2][2] = {{"/proc/net/udp", "/proc/net/udp6"},
                                             {"/proc/net/tcp", "/proc/net/tcp6"}};
    for (size_t i = 0; i < 2; i++) {
        unsigned long inode = find_inode(tables[tcp][i], addr);
        if (inode)
            return find_process(inode, out);
    }
    return NULL;
}
