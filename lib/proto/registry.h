/* The protocols of this build, as the build option `protocols` names them; registry.c is written by
 * the build. Nothing else knows which there are. */
#ifndef PV_PROTO_REGISTRY_H
#define PV_PROTO_REGISTRY_H

#include "conn/proto.h"

/* One handler file may serve several schemes: its array ends with a name of NULL. */
extern const struct pv_proto *const pv_protos[]; /* NULL-ended list of such arrays */

const struct pv_proto *pv_proto_by_scheme(const char *scheme);
const struct pv_proto *pv_proto_by_stamp(unsigned type);
/* A word that selects upstreams: a protocol's name, or "mtls" (any TLS one with an identity). */
bool pv_proto_word_known(const char *word);
bool pv_proto_word_matches(const char *word, const struct pv_upstream *);

#endif
