#include "net/ca.h"

#include "base/list.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <sys/stat.h>

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

static int no_passphrase(char *buffer, int size, int writing, void *arg)
{
    (void)buffer, (void)size, (void)writing, (void)arg;
    return -1; /* never ask on a terminal */
}

static bool ran_out_of_memory(void)
{
    bool out = false;
    for (unsigned long error; (error = ERR_get_error());)
        out |= ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE;
    return out;
}

/* Where there was no memory for its key OpenSSL reads a certificate without. It would be trusted,
 * and verify nothing. One whose key OpenSSL does not know has none the second time either. */
static bool lost_its_key(X509 *certificate)
{
    if (X509_get0_pubkey(certificate))
        return false;
    X509 *again = X509_dup(certificate);
    bool lost = !again || X509_get0_pubkey(again);
    X509_free(again);
    ERR_clear_error();
    return lost;
}

enum { BROKEN = -1, NO_MEMORY = -2 };

/* How many certificates were read, or one of these. */
static int read_certificates(X509_STORE *store, FILE *file)
{
    int count = 0;
    X509 *certificate;
    ERR_clear_error();
    while ((certificate = PEM_read_X509(file, NULL, no_passphrase, NULL))) {
        bool added = X509_STORE_add_cert(store, certificate), lost = lost_its_key(certificate);
        X509_free(certificate);
        if (!added || lost)
            return NO_MEMORY;
        count++;
    }
    unsigned long error = ERR_peek_last_error();
    bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
    return ran_out_of_memory() ? NO_MEMORY : at_end ? count : BROKEN;
}

static enum privy_status load_file(const char *path, FILE *file, const struct stat *st,
                                   struct pv_ca_set **ret, struct privy_error *reterr)
{
    struct pv_ca_set *set = set_new(st);
    if (!set)
        return pv_error(reterr, PRIVY_ENOMEM, "ca_file: no memory");
    int count = read_certificates(set->store, file);
    if (count > 0) {
        *ret = set;
        return PRIVY_OK;
    }
    set_free(set);
    if (count == NO_MEMORY)
        return pv_error(reterr, PRIVY_ENOMEM, "ca_file: no memory");
    return pv_error(reterr, PRIVY_EFILE, "ca_file: %s: %s", path,
                    count == BROKEN ? "holds a broken certificate" : "holds no certificate (PEM)");
}

static enum privy_status get_file(const char *path, struct pv_ca_set **ret,
                                  struct privy_error *reterr)
{
    struct stat st;
    FILE *file = fopen(path, "re");
    if (!file || fstat(fileno(file), &st) != 0 || (S_ISDIR(st.st_mode) && (errno = EISDIR))) {
        int why = errno;
        if (file)
            fclose(file);
        if (why == ENOMEM)
            return pv_error(reterr, PRIVY_ENOMEM, "ca_file: no memory");
        return pv_error(reterr, PRIVY_EFILE, "ca_file: %s: %s", path, strerror(why));
    }
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
