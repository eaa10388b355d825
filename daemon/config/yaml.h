/* YAML text to a tree of nodes. */
#ifndef PRIVYDNSD_CONFIG_YAML_H
#define PRIVYDNSD_CONFIG_YAML_H

#include "config/node.h"

enum {
    YAML_FILE_MAX = 256 * 1024,
    YAML_DEPTH_MAX = 8,
};

/* Parse one document. source and directory must live as long as the arena. An empty document is an
 * empty map. NULL: the text is not YAML, or there is no memory (told in faults); what can be read
 * around (an anchor, a key given twice) is told and the tree is returned. */
struct node *yaml_parse(struct arena *, const char *text, size_t length, const char *source,
                        const char *directory, struct faults *);

#endif
