#include "net/pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>
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

enum pv_pem pv_pem_certificate(BIO *bio, X509 **ret)
{
    ERR_clear_error();
    X509 *certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    if (certificate && !lost_its_key(certificate)) {
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
