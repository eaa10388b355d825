/* The other end of an HTTP/2 connection: nghttp2's server on a stream of a machine in memory
 * (fuzz/world.h), which writes down what it got. Include unit.h first. */
#ifndef H2_SERVER_H
#define H2_SERVER_H

#include "../fuzz/world.h"

#include <nghttp2/nghttp2.h>

enum { SERVER_REQUESTS = 200 };

struct server_request {
    int32_t id;
    char fields[512]; /* "name: value", a line each */
    bool path_hidden; /* to be kept in no table on the way */
    bool whole;
    uint32_t reset; /* by the client, with this code */
    bool was_reset;
    uint8_t body[256];
    size_t length;
    /* The response's body. */
    const uint8_t *out;
    size_t out_length;
};

struct server {
    struct world *world;
    struct pv_sock *sock; /* until the client has closed it */
    nghttp2_session *session;
    struct server_request requests[SERVER_REQUESTS]; /* in their order */
    unsigned count;
    unsigned pings, goaways;
};

/* Begins on a sock that is open; streams: its limit, 0 for none said. */
void server_begin(struct server *, struct pv_sock *, uint32_t streams);
void server_end(struct server *);
/* Both sides say what they have to say. */
void server_runs(struct server *);
/* fields: more of them, with count; body may be NULL. Said with the next server_runs(). */
void server_responds(struct server *, unsigned request, const char *status,
                     const nghttp2_nv *fields, size_t count, const void *body, size_t length);
void server_answers(struct server *, unsigned request, const char *text);
void server_sets(struct server *, int32_t setting, uint32_t value);
void server_limits(struct server *, uint32_t streams);
/* A frame of any kind, beside its session. */
void server_frame(struct server *, uint8_t type, uint8_t flags, int32_t stream, const void *payload,
                  size_t length);

#endif
