/* Giving up what is no longer needed: root, core dumps. */
#ifndef PRIVYDNSD_PRIVS_H
#define PRIVYDNSD_PRIVS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct privs {
    bool change; /* we are root and shall not stay it */
    uid_t uid;
    gid_t gid;
    const char *user;
};

/* Look the user up. 0, or an exit code with why in `why`. */
int privs_find(struct privs *, const char *user, char *why, size_t capacity);
/* Become that user, for good, and make sure of it. 0, or an exit code with why. */
int privs_drop(const struct privs *, char *why, size_t capacity);
/* No core dumps, no debugger, no new privileges: keys are in our memory. */
void privs_harden(void);
/* As many descriptors as we may have; returns how many. */
unsigned privs_raise_descriptors(void);

#endif
