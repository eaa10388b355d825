/* The other end of HTTP/2 connections: a server of nghttp2's on a sock. The questions in its
 * requests become messages heard. */
#ifndef FUZZ_H2_PEER_H
#define FUZZ_H2_PEER_H

#include "world.h"

enum h2_deed {
    H2_LEAVES,  /* GOAWAY */
    H2_REFUSES, /* the request of the oldest message, unprocessed; forgotten, as below */
    H2_RESETS,  /* the same, with another reason */
    H2_NARROWS, /* one stream at once */
    H2_WIDENS,  /* 100 */
    H2_PINGS,
    H2_SENDS_HTML, /* instead of an answer, as below */
    H2_SENDS_NOTHING,
    H2_UNAVAILABLE, /* 503, for 2 s */
    H2_NOT_FOUND,
    H2_WRONG_TYPE, /* 415 */
    H2_MOVED,
    H2_DEEDS
};

/* Let one be on this sock, before any octet, and know when the sock is closed. */
void h2_peer_open(struct pv_sock *);
void h2_peer_close(struct pv_sock *);
bool h2_peer_is_on(const struct pv_sock *);
/* Take in what came, send what is due. */
void h2_peer_runs(struct pv_sock *);
void h2_peer_answers(struct pv_sock *, const struct world_message *, const uint8_t *, size_t);
void h2_peer_does(struct pv_sock *, enum h2_deed);

#endif
