/* The floor that `dev bench` measures against: a UDP echo that does nothing but turn a query into a
 * response (one bit), with recvmmsg and sendmmsg. usage: echo PORT */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { BATCH = 64, SIZE = 512 };

static unsigned char bytes[BATCH][SIZE];
static struct sockaddr_in peers[BATCH];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];

static void prepare(void)
{
    for (unsigned i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){bytes[i], SIZE};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &peers[i],
                                              .msg_namelen = sizeof peers[i],
                                              .msg_iov = &parts[i],
                                              .msg_iovlen = 1};
    }
}

static int echo(int fd)
{
    int count = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
    for (int i = 0; i < count; i++) {
        bytes[i][2] |= 0x80;
        parts[i].iov_len = messages[i].msg_len;
    }
    for (int sent = 0; sent < count;) {
        int n = sendmmsg(fd, messages + sent, (unsigned)(count - sent), 0);
        if (n < 0)
            return -1;
        sent += n;
    }
    for (int i = 0; i < count; i++)
        parts[i].iov_len = SIZE;
    return count;
}

int main(int argc, char **argv)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(argc > 1 ? argv[1] : "5399")),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        perror("echo");
        return 1;
    }
    prepare();
    while (echo(fd) >= 0)
        ;
    perror("echo");
    return 1;
}
