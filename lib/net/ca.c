#include "net/ca.h"

#include "base/list.h"
#include "net/pem.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MOST = 16 * 1024 * 1024 };

struct pv_ca_set {
    struct pv_list link;
    unsigned refs;
    dev_t device; /* what it was read from, and when that was last written */
    ino_t inode;
    off_t size;
    struct timespec written;
    X509_STORE *store;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pv_list sets = {&sets, &sets};

static struct pv_ca_set *find_ref(const struct stat *st)
{
    pv_list_each (it, &sets) {
        struct pv_ca_set *set = pv_container(it, struct pv_ca_set, link);
        if (set->device == st->st_dev && set->inode == st->st_ino && set->size == st->st_size &&
            set->written.tv_sec == st->st_mtim.tv_sec &&
            set->written.tv_nsec == st->st_mtim.tv_nsec) {
            set->refs++;
            return set;
        }
    }
    return NULL;
}

static void set_free(struct pv_ca_set *set)
{
    X509_STORE_free(set->store);
    free(set);
}

static struct pv_ca_set *set_new(const struct stat *st)
{
    struct pv_ca_set *set = calloc(1, sizeof *set);
    if (!set)
        return NULL;
    set->refs = 1;
    set->device = st->st_dev;
    set->inode = st->st_ino;
    set->size = st->st_size;
    set->written = st->st_mtim;
    set->store = X509_STORE_new();
    if (set->store)
        return set;
    set_free(set);
    return NULL;
}

/* The last word that is not PV_PEM_ONE, and how many were before it. */
static enum pv_pem read_certificates(X509_STORE *store, FILE *file, unsigned *ret_count)
{
    BIO *bio = BIO_new_fp(file, BIO_NOCLOSE);
    X509 *certificate;
    enum pv_pem got = bio ? PV_PEM_ONE : PV_PEM_NO_MEMORY;
    for (*ret_count = 0; got == PV_PEM_ONE; ++*ret_count) {
        got = pv_pem_certificate(bio, &certificate);
        if (got != PV_PEM_ONE)
            break;
        if (!X509_STORE_add_cert(store, certificate))
            got = PV_PEM_NO_MEMORY;
        X509_free(certificate);
    }
    BIO_free(bio);
    return got;
}

static enum privy_status load_file(const char *path, FILE *file, const struct stat *st,
                                   struct pv_ca_set **ret, struct privy_error *reterr)
{
    struct pv_ca_set *set = set_new(st);
    if (!set)
        return pv_error(reterr, PRIVY_ENOMEM, "ca_file: no memory");
    unsigned count;
    enum pv_pem end = read_certificates(set->store, file, &count);
    if (end == PV_PEM_END && count > 0) {
        *ret = set;
        return PRIVY_OK;
    }
    set_free(set);
    if (end == PV_PEM_NO_MEMORY)
        return pv_error(reterr, PRIVY_ENOMEM, "ca_file: no memory");
    return pv_error(reterr, PRIVY_EFILE, "ca_file: %s: %s", path,
                    end == PV_PEM_END ? "holds no certificate (PEM)"
                                      : "holds a broken certificate");
}

/* Opening what is no file, as a pipe, may wait for ever. NULL with errno. */
static FILE *open_file(const char *path, struct stat *ret_st)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    FILE *file = NULL;
    if (fd < 0)
        return NULL;
    if (fstat(fd, ret_st) == 0) {
        if (S_ISREG(ret_st->st_mode) && ret_st->st_size <= FILE_MOST)
            file = fdopen(fd, "r");
        else
            errno = S_ISDIR(ret_st->st_mode)      ? EISDIR
                    : ret_st->st_size > FILE_MOST ? EFBIG
                                                  : EINVAL;
    }
    if (!file) {
        int why = errno;
        close(fd);
        errno = why;
    }
    return file;
}

static enum privy_status get_file(const char *path, struct pv_ca_set **ret,
                                  struct privy_error *reterr)
{
    struct stat st;
    FILE *file = open_file(path, &st);
    if (!file && errno == ENOMEM)
        return pv_error(reterr, PRIVY_ENOMEM, "ca_file: no memory");
    if (!file)
        return pv_error(reterr, PRIVY_EFILE, "ca_file: %s: %s", path,
                        errno == EINVAL ? "not a file" : strerror(errno));
    enum privy_status status = PRIVY_OK;
    *ret = find_ref(&st);
    if (!*ret) {
        status = load_file(path, file, &st, ret, reterr);
        if (status == PRIVY_OK)
            pv_list_append(&sets, &(*ret)->link);
    }
    fclose(file);
    return status;
}

/* ---- the system's ---- */

/* Is it a directory in which certificates are found by the hash of their subject ("1a2b3c4d.0")?
 * Such one costs nothing to open; a bundle is parsed as a whole. */
static bool is_hashed_directory(const char *path)
{
    DIR *directory = opendir(path);
    if (!directory)
        return false;
    bool hashed = false;
    for (struct dirent *e; !hashed && (e = readdir(directory));) {
        unsigned digits = 0;
        while (isxdigit((unsigned char)e->d_name[digits]))
            digits++;
        hashed = digits == 8 && strcmp(e->d_name + digits, ".0") == 0;
    }
    closedir(directory);
    return hashed;
}

static bool get_directory(const char *path, struct pv_ca_set **ret)
{
    struct stat st;
    if (!is_hashed_directory(path) || stat(path, &st) != 0)
        return false;
    *ret = find_ref(&st);
    if (*ret)
        return true;
    struct pv_ca_set *set = set_new(&st);
    if (!set)
        return false;
    if (!X509_STORE_load_path(set->store, path)) {
        set_free(set);
        return false;
    }
    pv_list_append(&sets, &set->link);
    *ret = set;
    return true;
}

/* Paths of our own choice: the environment (SSL_CERT_DIR) does not decide whom we trust. */
static enum privy_status get_system(struct pv_ca_set **ret, struct privy_error *reterr)
{
    const char *const directories[] = {X509_get_default_cert_dir(), "/etc/ssl/certs"};
    const char *const bundles[] = {
        X509_get_default_cert_file(), "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
        if (get_directory(directories[i], ret))
            return PRIVY_OK;
    for (size_t i = 0; i < sizeof bundles / sizeof *bundles; i++)
        if (get_file(bundles[i], ret, NULL) == PRIVY_OK)
            return PRIVY_OK;
    return pv_error(reterr, PRIVY_EFILE,
                    "ca_file: the system has no CA certificates (install ca-certificates, or name "
                    "a file)");
}

enum privy_status pv_ca_set_get(const char *file, struct pv_ca_set **ret,
                                struct privy_error *reterr)
{
    struct pv_ca_set *set = NULL;
    pthread_mutex_lock(&lock);
    enum privy_status status = file ? get_file(file, &set, reterr) : get_system(&set, reterr);
    pthread_mutex_unlock(&lock);
    if (status == PRIVY_OK)
        *ret = set;
    return status;
}

void pv_ca_set_unref(struct pv_ca_set *set)
{
    if (!set)
        return;
    pthread_mutex_lock(&lock);
    bool last = --set->refs == 0;
    if (last)
        pv_list_remove(&set->link);
    pthread_mutex_unlock(&lock);
    if (last)
        set_free(set);
}

X509_STORE *pv_ca_set_store(const struct pv_ca_set *set)
{
    return set->store;
}
