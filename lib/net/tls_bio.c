#include "net/tls_session.h"

#include <errno.h>
#include <pthread.h>

static int bio_send(BIO *bio, const char *bytes, int n)
{
    struct pv_tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t sent = pv_sock_send(t->sock, bytes, (size_t)n);
    if (sent > 0)
        return (int)sent;
    if (sent == 0 || errno == EAGAIN || errno == EINTR)
        BIO_set_retry_write(bio);
    else
        t->sock_error = errno;
    return -1;
}

static int bio_recv(BIO *bio, char *bytes, int n)
{
    struct pv_tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (t->flooded)
        return -1;
    ssize_t received = pv_sock_recv(t->sock, bytes, (size_t)n);
    if (received > 0)
        return (int)received;
    if (received == 0)
        t->at_end = true;
    else if (errno == EAGAIN || errno == EINTR)
        BIO_set_retry_read(bio);
    else
        t->sock_error = errno;
    return received == 0 ? 0 : -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *arg)
{
    (void)number, (void)arg;
    const struct pv_tls *t = BIO_get_data(bio);
    if (command == BIO_CTRL_EOF)
        return t->at_end;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *new_bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "pv_sock");
    if (!m)
        return NULL;
    BIO_meth_set_write(m, bio_send);
    BIO_meth_set_read(m, bio_recv);
    BIO_meth_set_ctrl(m, bio_ctrl);
    return m;
}

/* The same for all; made when it is first needed and there is memory for it. */
static BIO_METHOD *bio_method(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static BIO_METHOD *method;
    pthread_mutex_lock(&lock);
    if (!method)
        method = new_bio_method();
    BIO_METHOD *m = method;
    pthread_mutex_unlock(&lock);
    return m;
}

bool pv_tls_attach(struct pv_tls *t)
{
    BIO_METHOD *method = bio_method();
    BIO *bio = method ? BIO_new(method) : NULL;
    if (!bio)
        return false;
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    return true;
}
