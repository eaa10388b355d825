/* What libsodium takes of a question over DNSCrypt: seal a query, open a reply, as long as ours
 * are. Prints the µs of both together. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 100000, TAG = 16 };

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
    static unsigned char query[65536], reply[65536], key[32], nonce[24];
    unsigned long long to_seal = argc > 1 ? strtoull(argv[1], NULL, 10) : 512;
    unsigned long long to_open = argc > 2 ? strtoull(argv[2], NULL, 10) : 512;
    if (sodium_init() < 0 || to_seal > 65000 || to_open > 65000)
        return 1;
    double begun = now();
    for (int i = 0; i < ROUNDS; i++) {
        nonce[i & 7]++;
        if (crypto_box_curve25519xchacha20poly1305_easy_afternm(query, query + TAG, to_seal, nonce,
                                                                key))
            return 1;
    }
    double sealing = now() - begun;
    crypto_box_curve25519xchacha20poly1305_easy_afternm(query, reply + TAG, to_open, nonce, key);
    begun = now();
    for (int i = 0; i < ROUNDS; i++) {
        if (crypto_box_curve25519xchacha20poly1305_open_easy_afternm(reply, query, to_open + TAG,
                                                                     nonce, key))
            return 1;
    }
    printf("%.3f\n", (sealing + now() - begun) / ROUNDS);
    return 0;
}
