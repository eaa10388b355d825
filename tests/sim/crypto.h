/* OpenSSL that follows from the seed, and the servers' side of it. */
#ifndef SIM_CRYPTO_H
#define SIM_CRYPTO_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

/* From now on OpenSSL's random numbers follow from the seed. */
void crypto_seed(uint64_t);
/* The pins "sha256/..." of the true and of the wrong certificate. */
const char *crypto_pin(bool wrong);
/* A file that holds the true one, which is for *.sim.test. */
const char *crypto_ca_file(void);
SSL_CTX *crypto_server(bool wrong_cert, bool tls12);

/* The files of a client's identity, one for each upstream, and what they hold now: each the old
 * one or the new one. */
void crypto_identity_files(unsigned upstream, const char **ret_cert, const char **ret_key);
void crypto_identity_set(unsigned upstream, bool new_cert, bool new_key);
/* 1: the old one's certificate, 2: the new one's, 0: another. */
unsigned crypto_identity_of(X509 *);

#endif
