/* A configuration that is accepted, printed as `privydnsd -p` prints it and read again, is the
 * same: it prints alike, and none of its upstreams is taken for a new one. One that is refused says
 * why. */
#include "config/check.h"

#include "base/status.h"
#include "resolver/upstreams.h"

#include <stdlib.h>
#include <string.h>

struct text {
    char *at;
    size_t length;
};

static struct config *read_text(const char *text, size_t length)
{
    struct faults faults = {0};
    struct config *c = config_from_text(text, length, &faults);
    PV_BUG_IF(!c && !faults.errors);
    faults_done(&faults);
    return c;
}

static struct text print(const struct config *c, void (*printer)(const struct config *, FILE *))
{
    struct text text = {NULL, 0};
    FILE *stream = open_memstream(&text.at, &text.length);
    PV_BUG_IF(!stream);
    printer(c, stream);
    fclose(stream);
    return text;
}

/* Nothing on the machine may be opened because an input says so. */
static bool names_files(const struct config *c)
{
    for (size_t i = 0; i < c->pool_count; i++)
        for (size_t k = 0; k < c->pools[i].upstream_count; k++)
            if (c->pools[i].upstreams[k].client_cert || c->pools[i].upstreams[k].client_key ||
                c->pools[i].upstreams[k].client_key_passphrase_file)
                return true;
    return false;
}

static bool make_upstreams(struct config *c, const struct config *previous)
{
    struct faults faults = {0};
    check_upstreams(c, previous, &faults);
    bool good = !faults.errors;
    faults_done(&faults);
    return good;
}

static void upstreams_are_the_same(struct config *c, struct config *again)
{
    if (names_files(c) || !make_upstreams(c, NULL))
        return;
    PV_BUG_IF(!make_upstreams(again, c) || c->pool_count != again->pool_count);
    for (size_t i = 0; i < c->pool_count; i++) {
        const struct privy_upstreams *a = c->pools[i].set, *b = again->pools[i].set;
        PV_BUG_IF(a->count != b->count);
        for (unsigned k = 0; k < a->count; k++)
            PV_BUG_IF(a->members[k] != b->members[k]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *c = read_text((const char *)data, size);
    if (!c)
        return 0;
    struct text printed = print(c, config_print), dumped = print(c, config_dump);
    struct config *again = read_text(printed.at, printed.length);
    PV_BUG_IF(!again);
    struct text dumped_again = print(again, config_dump);
    PV_BUG_IF(strcmp(dumped.at, dumped_again.at) != 0);
    upstreams_are_the_same(c, again);
    free(printed.at);
    free(dumped.at);
    free(dumped_again.at);
    config_unref(again);
    config_unref(c);
    return 0;
}
