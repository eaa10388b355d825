/* Certificates out of PEM text, one by one: the end of the text is told from one that is broken,
 * and both from a lack of memory. Knows OpenSSL. */
#ifndef PV_NET_PEM_H
#define PV_NET_PEM_H

#include <openssl/x509.h>

enum pv_pem { PV_PEM_ONE, PV_PEM_END, PV_PEM_BROKEN, PV_PEM_NO_MEMORY };
enum pv_pem pv_pem_certificate(BIO *, X509 **ret);

#endif
