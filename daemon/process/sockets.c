#include "process/sockets.h"

#include "config/flags.h"
#include "process/holder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define UDP_RECEIVE_BUFFER (1 << 20)
#define TCP_BACKLOG        512

static void set(int fd, int level, int name, int value)
{
    setsockopt(fd, level, name, &value, sizeof value); /* each is of use, none is needed */
}

/* UDP: enough room for a burst, and on a wildcard the address that was asked. */
static void prepare_udp(int fd, const struct pv_addr *addr)
{
    bool v6 = addr->sa.sa_family == AF_INET6;
    int size = UDP_RECEIVE_BUFFER;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
        set(fd, SOL_SOCKET, SO_RCVBUF, size);
    if (!pv_addr_is_any(addr))
        return;
    if (v6)
        set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    else
        set(fd, IPPROTO_IP, IP_PKTINFO, 1);
}

/* A bound socket, or -1 with errno. */
static int open_one(const struct pv_addr *addr, int type, bool freebind, bool share)
{
    bool v6 = addr->sa.sa_family == AF_INET6;
    int fd = socket(addr->sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (v6)
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (freebind)
        set(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND, 1);
    if (type == SOCK_STREAM)
        set(fd, SOL_SOCKET, SO_REUSEADDR, 1); /* old connections' TIME_WAIT */
    else
        prepare_udp(fd, addr);
    if (share)
        set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (bind(fd, &addr->sa, pv_addr_size(addr)) == 0 &&
        (type != SOCK_STREAM || listen(fd, TCP_BACKLOG) == 0))
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static unsigned unprivileged_start(void)
{
    unsigned start = 1024;
    FILE *f = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
    if (f) {
        if (fscanf(f, "%u", &start) != 1)
            start = 1024;
        fclose(f);
    }
    return start;
}

static int explain(const struct pv_addr *addr, bool tcp, int error, char *why, size_t capacity)
{
    char text[PV_ADDR_TEXT], who[HOLDER_TEXT];
    const char *holder = NULL;
    pv_addr_text(addr, text);
    switch (error) {
    case EADDRINUSE:
        holder = holder_find(addr, tcp, who);
        snprintf(why, capacity, "%s is in use%s%s", text, holder ? " by " : "",
                 holder ? holder : " by another program (ss -lnup, ss -lntp as root say which)");
        return EXIT_CANNOT_START;
    case EACCES:
    case EPERM:
        snprintf(why, capacity,
                 "no permission to bind %s: ports below %u need root, CAP_NET_BIND_SERVICE or the "
                 "sysctl net.ipv4.ip_unprivileged_port_start",
                 text, unprivileged_start());
        return EXIT_NO_PERMISSION;
    case EADDRNOTAVAIL:
        snprintf(why, capacity,
                 "cannot bind %s: this machine does not have that address (`freebind: true` binds "
                 "it all the same)",
                 text);
        return EXIT_CANNOT_START;
    default:
        snprintf(why, capacity, "cannot bind %s: %s", text, strerror(error));
        return EXIT_CANNOT_START;
    }
}

void sockets_close(struct sockets *s)
{
    for (unsigned i = 0; i < s->workers; i++) {
        if (s->udp[i] >= 0)
            close(s->udp[i]);
        if (s->tcp[i] >= 0)
            close(s->tcp[i]);
    }
    s->workers = 0;
}

/* Fill slot i; false with errno. */
static bool open_pair(struct sockets *s, unsigned i, bool freebind, bool share, bool *ret_tcp)
{
    s->workers = i + 1;
    s->tcp[i] = -1;
    *ret_tcp = false;
    s->udp[i] = open_one(&s->addr, SOCK_DGRAM, freebind, share);
    if (s->udp[i] < 0)
        return false;
    *ret_tcp = true;
    s->tcp[i] = open_one(&s->addr, SOCK_STREAM, freebind, share);
    return s->tcp[i] >= 0;
}

int sockets_open(struct sockets *ret, const struct pv_addr *addr, unsigned workers, bool freebind,
                 char *why, size_t capacity, int *ret_errno)
{
    bool tcp;
    *ret = (struct sockets){.addr = *addr};
    /* Alone first: SO_REUSEPORT would let a second daemon of the same user take half the traffic.
     */
    bool good = open_pair(ret, 0, freebind, false, &tcp);
    if (good && workers > 1)
        sockets_close(ret);
    for (unsigned i = 0; good && workers > 1 && i < workers; i++)
        good = open_pair(ret, i, freebind, true, &tcp);
    if (good)
        return 0;
    *ret_errno = errno;
    sockets_close(ret);
    return explain(addr, tcp, *ret_errno, why, capacity);
}
