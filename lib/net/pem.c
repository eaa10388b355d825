#include "net/pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>

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

/* Has it a key OpenSSL knows, and extensions it understands? Both are kept in the certificate. */
static bool is_usable(X509 *certificate)
{
    return X509_get0_pubkey(certificate) && X509_check_purpose(certificate, -1, 0) == 1;
}

/* Where there was no memory for its key or its extensions OpenSSL goes on without, for as long as
 * there is the certificate: it would be trusted, and verify nothing. One that is unusable in truth
 * is so the second time too. */
static bool lost_something(X509 *certificate)
{
    if (is_usable(certificate))
        return false;
    X509 *again = X509_dup(certificate);
    bool lost = !again || is_usable(again);
    X509_free(again);
    ERR_clear_error();
    return lost;
}

enum pv_pem pv_pem_certificate(BIO *bio, X509 **ret)
{
    ERR_clear_error();
    X509 *certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    if (certificate && !lost_something(certificate)) {
        *ret = certificate;
        return PV_PEM_ONE;
    }
    if (certificate) {
        X509_free(certificate);
        return PV_PEM_NO_MEMORY;
    }
    unsigned long error = ERR_peek_last_error();
    bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
    return ran_out_of_memory() ? PV_PEM_NO_MEMORY : at_end ? PV_PEM_END : PV_PEM_BROKEN;
}
